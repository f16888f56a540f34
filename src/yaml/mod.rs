//! YAML: typed reading and writing as Kubernetes' tools do it, in one place.

mod write;

pub use write::to_string;
