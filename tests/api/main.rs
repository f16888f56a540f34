//! The API server's machinery, driven in the same process through the one value that also stands behind the socket.

mod admission;
mod applies;
mod callers;
mod changes;
mod client;
mod deletions;
mod documents;
#[path = "../support/engine.rs"]
mod engine;
mod hostile;
mod kubectl;
mod laws;
mod leaving;
mod malformed;
mod random;
mod reads;
mod sockets;
mod toy;
mod watches;
mod writes;
