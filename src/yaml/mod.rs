//! YAML: typed reading and writing as Kubernetes' tools do it, in one place.

mod read;
mod write;

pub use read::{Error, from_str};
pub use write::to_string;
