//! What a kind must tell to be served.

use std::{future::Future, sync::Arc};

use bytes::Bytes;

use crate::cache::{Entry, Store};

/// A kind of the API: its names, what may be done with it, and how it is printed.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, such as `v1alpha1`.
    pub version: String,
    /// Kind of one object.
    pub kind: String,
    /// Kind of a list of them.
    pub list_kind: String,
    /// Resource name in URLs.
    pub plural: String,
    /// Singular resource name.
    pub singular: String,
    /// Short names, sorted.
    pub short_names: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What may be done, sorted.
    pub verbs: Vec<String>,
    /// Fields that a field selector may name, `metadata.name` and `metadata.namespace` among them.
    pub selectable: Vec<String>,
    /// How a list is printed.
    pub columns: Vec<Column>,
}

/// One column of a printed list.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean` or `date`.
    pub type_: String,
    /// OpenAPI format; `name` for the name.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// Zero is printed always, more only in wide output.
    pub priority: i32,
}

/// Why an object's body can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// For now: the caller may try again.
    #[error("{0}")]
    Unavailable(String),
    /// For a reason that only the log tells.
    #[error("{0}")]
    Internal(String),
}

/// A kind that is served: where its objects are and what they look like.
pub trait Resource: Send + Sync + 'static {
    /// What the cache keeps of an object.
    type Object: Entry;

    /// Returns the description of the kind.
    fn kind(&self) -> &Kind;

    /// Returns the objects.
    fn store(&self) -> &Arc<Store<Self::Object>>;

    /// Returns the whole object as one line of JSON with `kind` and `apiVersion`.
    fn body(
        &self,
        object: &Arc<Self::Object>,
    ) -> impl Future<Output = Result<Bytes, Problem>> + Send;

    /// Returns the cells of the object's row, one for each of [`Kind::columns`].
    fn cells(
        &self,
        object: &Self::Object,
    ) -> impl Future<Output = Result<Vec<serde_json::Value>, Problem>> + Send;
}
