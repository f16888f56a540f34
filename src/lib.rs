//! Porch: Kubernetes configuration packages that live in Git, served as a Kubernetes API.
//!
//! The map of the house, lowest floor first; a room may use the rooms below it and nothing else.
//!
//! - [`api`]: wire types. [`yaml`]: YAML read and edited. [`certificate`]: X.509 read and made.
//! - [`package`]: what a package is. Pure.
//! - [`git`]: refs, objects and the wire. [`cache`]: the records in memory, their history, their followers.
//! - [`render`]: the pipelines of packages, and the functions in this program.
//! - [`sync`]: what Git says, settled into records; what the records say, fed into the cache.
//! - [`engine`]: what users want of package revisions, done in Git and recorded.
//! - [`apiserver`]: HTTP, verbs, tables, discovery. [`controllers`]: reconcilers.
//! - [`standalone`]: a small control plane in the same process, for machines without a cluster.

pub mod api;
pub mod apiserver;
pub mod cache;
pub mod certificate;
pub mod config;
pub mod controllers;
pub mod crds;
pub mod engine;
pub mod git;
pub mod package;
pub mod render;
pub mod serve;
pub mod standalone;
pub mod sync;
pub mod telemetry;
pub mod wiring;
pub mod yaml;
