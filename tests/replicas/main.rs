//! Writes through replicas that share a cluster and a Git repository, while everything goes wrong that can: processes that
//! are killed, answers that are lost, strangers who push, and servers that say no.

#[path = "../support/git_server.rs"]
mod git_server;

mod crash;
mod group;
mod locking;
mod property;
mod rig;
mod strangers;
mod truth;
mod witness;
