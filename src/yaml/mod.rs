//! YAML: typed reading and writing as Kubernetes' tools do it, and documents changed in place, in one place.

mod comments;
mod edit;
mod read;
mod write;

pub use comments::with_comments;
pub use edit::{pieces, rewrite};
pub use read::{Error, documents, from_str};
pub use write::{emit, to_string};
