//! The feed against the embedded control plane, and two replicas on one store: what is served is what is there, whatever
//! befalls the stream, and versions never go back.

mod cluster;
#[path = "../support/copy.rs"]
mod copy;
mod feed;
mod lease;
#[path = "../support/record.rs"]
mod record;
mod replicas;
