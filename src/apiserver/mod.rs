//! HTTP: a request is parsed once, answered by one verb, and written out in one place.
//!
//! What is served is told by [`Resource`]; the room knows nothing of packages beyond the three implementations of it.

mod age;
mod answer;
mod authz;
mod body;
mod delegate;
mod discovery;
mod endpoint;
mod failure;
mod health;
mod identity;
mod limits;
mod metrics;
mod negotiate;
mod openapi;
mod opening;
mod pages;
mod peer;
mod query;
mod registry;
mod request;
mod resource;
pub mod resources;
mod route;
mod schema;
mod selection;
mod serve;
mod server;
mod status;
mod trace;
mod verbs;
mod view;
mod write;

pub use age::age;
pub use authz::{AccessReviews, Authorizer};
pub use failure::{Cause, Failure, FieldError, Subject};
pub use health::Health;
pub use identity::{
    Authenticator, Headers, Identity, Presented, ProxyTerms, Terms, Token, TokenReviews, Trust,
    follow_published,
};
pub use limits::Limits;
pub use metrics::Metrics;
pub use registry::Registry;
pub use resource::{Column, Kind, Problem, Refusal, Resource, Subresource};
pub use schema::Schema;
pub use serve::{Certificate, Unusable, serve};
pub use server::{Server, Settings};
pub use status::Told;
pub use write::{FieldValidation, PatchKind, Reply, Verb, Write, WriteOptions, Writer, Written};
