//! The API server's machinery, driven in the same process through the one value that also stands behind the socket.

mod applies;
mod callers;
mod changes;
mod client;
mod deletions;
mod documents;
mod kubectl;
mod leaving;
mod random;
mod reads;
mod toy;
mod watches;
mod writes;
