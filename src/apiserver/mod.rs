//! HTTP: a request is parsed once, answered by one verb, and written out in one place.
//!
//! What is served is told by [`Resource`]; the room knows nothing of packages beyond the three implementations of it.

mod admission;
mod age;
mod answer;
mod apply;
mod authz;
mod body;
mod caller;
mod delegate;
mod discovery;
mod document;
mod endpoint;
mod failure;
mod form;
mod health;
mod identity;
mod keeper;
mod limits;
mod metadata;
mod metrics;
mod negotiate;
mod openapi;
mod pages;
mod patch;
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
mod shape;
mod status;
mod terms;
mod trace;
mod verbs;
mod view;
mod webhook;
mod write;
mod writer;

pub use admission::{Denial, Judge, Proposal};
pub use age::age;
pub use apply::{Author, Fields, Owner, Owners, Ownership, without_nulls};
pub use authz::{AccessReviews, Authorizer};
pub use caller::Caller;
pub use failure::{Cause, Failure, FieldError, Subject};
pub use health::Health;
pub use identity::{
    Authenticator, Headers, Identity, Presented, ProxyTerms, Terms, Token, TokenReviews, Trust,
    follow_published,
};
pub use keeper::{Changed, Deleted, Edit, Keeper, Request};
pub use limits::Limits;
pub use metadata::{Naming, check_metadata};
pub use metrics::Metrics;
pub use patch::{Lists, Patch};
pub use registry::Registry;
pub use resource::{Column, Kind, Problem, Refusal, Resource, Subresource};
pub use schema::Schema;
pub use serve::{Certificate, Unusable, serve};
pub use server::{Server, Settings};
pub use shape::{List, Shape};
pub use status::Told;
pub use terms::DeleteTerms;
pub use webhook::{Hear, Message};
pub use write::{FieldValidation, PatchKind, Reply, Verb, Write, WriteOptions, Writer, Written};
pub use writer::ObjectWriter;
