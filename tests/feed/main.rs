//! The feed against the embedded control plane, and two replicas on one store: what is served is what is there, whatever
//! befalls the stream, and versions never go back.

mod cluster;
mod feed;
mod lease;
mod replicas;
