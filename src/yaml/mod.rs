//! YAML: typed reading and writing as Kubernetes' tools do it, and documents changed in place, in one place.

mod comments;
mod edit;
mod lines;
mod outline;
mod quick;
mod read;
mod walk;
mod write;

pub use comments::{comments, with_comments, with_new_comments};
pub use edit::{pieces, rewrite, rewrite_read};
pub use lines::{
    Commented, Scalar, Scalars, commented, line_comments, with_line_comments, with_scalars,
};
pub use read::{Error, documents, from_str, from_str_with_duplicates, problem};
pub use write::{emit, to_string};
