//! HTTP: a request is parsed once, answered by one verb, and written out in one place.
//!
//! What is served is told by [`Resource`]; the room knows nothing of packages beyond the three implementations of it.

mod age;
mod answer;
mod failure;
mod identity;
mod negotiate;
mod query;
mod request;
mod resource;
mod schema;
mod status;
mod view;
mod write;

pub use age::age;
pub use failure::{Cause, Failure, FieldError, Subject};
pub use identity::Identity;
pub use resource::{Column, Kind, Problem, Resource, Subresource};
pub use schema::Schema;
pub use status::Told;
pub use write::{FieldValidation, PatchKind, Reply, Verb, Write, WriteOptions, Writer, Written};
