//! The records in memory: what is, what changed, and who follows.
//!
//! In comes what the feed saw of the cluster's `PackageRev` objects, in the order of their versions. Out go snapshots at
//! one version, the changes since a version, and the selectors that choose among them. It knows no Git, no HTTP and no
//! Kubernetes client, and it never waits for a reader.

mod catalog;
mod entry;
mod follower;
mod package;
mod records;
mod revision;
mod selector;
mod store;
pub mod view;

pub use catalog::Catalog;
pub use entry::{Entry, Name, Version};
pub use follower::{Batch, Follower};
pub use package::Package;
pub use revision::{Revision, is_marker, name_of, version_of};
pub use selector::{FieldSelector, Fields, LabelSelector, Malformed};
pub use store::{Change, Expired, Snapshot, Store, TooNew};
