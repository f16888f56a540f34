//! HTTP: a request is parsed once, answered by one verb, and written out in one place.
//!
//! What is served is told by [`Resource`]; the room knows nothing of packages beyond the three implementations of it.

mod resource;

pub use resource::{Column, Kind, Problem, Resource};
