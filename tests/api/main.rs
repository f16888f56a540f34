//! The API server's machinery, driven in the same process through the one value that also stands behind the socket.

mod callers;
mod changes;
mod client;
mod deletions;
mod documents;
#[path = "../support/engine.rs"]
mod engine;
mod leaving;
mod reads;
mod toy;
mod watches;
mod writes;
