//! The API server's machinery, driven in the same process through the one value that also stands behind the socket.

mod callers;
mod client;
mod documents;
mod hostile;
mod reads;
mod toy;
mod watches;
mod writes;
