//! A small control plane in the same process: a store of Kubernetes objects, for machines without a cluster.
//!
//! In come writes of namespaces, secrets, events, leases and the kinds of our own definitions; out goes what `kubectl`,
//! `kube-rs` and our own controllers rely on: versions, generations, finalizers, the effect of a definition's defaults
//! and rules, field owners, watches. It is a guest in the house: nobody but `main` (and tests) knows of it, and it must
//! not know what a package is.

mod columns;
pub mod credentials;
mod definition;
pub mod demo;
mod journal;
mod kinds;
mod object;
mod path;
mod plane;
mod protobuf;
mod rules;
mod run;
mod served;
mod storage;
mod write;

use std::path::PathBuf;

pub use definition::Definition;
pub use object::Object;
pub use plane::ControlPlane;
pub use run::run;
pub use served::Served;
pub use storage::{Persistence, Storage};

/// Why the control plane can't start, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the directory: the user may end it, or choose another directory.
    #[error(
        "the data directory {0} is in use by another process: stop that one, or name another with --data-dir"
    )]
    InUse(PathBuf),
    /// A later build wrote the store: the user may take that build.
    #[error(
        "the store in {directory} has format {found}; this build understands {known}: use a newer build"
    )]
    Newer {
        /// The data directory.
        directory: PathBuf,
        /// The format that it has.
        found: u64,
        /// The format that this build writes.
        known: u64,
    },
    /// A definition says what this control plane can't do: a mistake of ours.
    #[error("the definition of {kind} can't be served: {why}")]
    Definition {
        /// Kind that is defined.
        kind: String,
        /// What is wrong.
        why: String,
    },
    /// A stored object can't be read.
    #[error("the stored object {key} can't be read: {why}")]
    Damaged {
        /// Where it is in the store.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The disk or the database says no.
    #[error("the store in {directory} can't be used: {why}")]
    Storage {
        /// The data directory.
        directory: PathBuf,
        /// What is wrong.
        why: String,
    },
}
