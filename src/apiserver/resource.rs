//! What a kind must tell to be served.
//!
//! In comes a kind's description and its objects; out go bytes and cells. A [`Resource`] never sees a request.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;

use super::Schema;
use crate::cache::{Entry, Fields, Name, Store, TooNew, Version};

/// A kind of the API: its names, what may be done with it, and how it is printed.
#[derive(Clone, Debug, Default)]
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
    /// Groups of kinds that `kubectl get` knows by one name, sorted.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What may be done, sorted.
    pub verbs: Vec<String>,
    /// What can't be done to these objects as such, and how it is done instead.
    pub refusals: Vec<Refusal>,
    /// What may be done below an object.
    pub subresources: Vec<Subresource>,
    /// Fields that a field selector may name, `metadata.name` and `metadata.namespace` among them.
    pub selectable: Vec<String>,
    /// How a list is printed.
    pub columns: Vec<Column>,
    /// What an object looks like.
    pub schema: Schema,
}

impl Kind {
    /// Returns `group/version`, or `version` of the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.clone();
        }
        format!("{}/{}", self.group, self.version)
    }

    /// Returns whether what is shown at a subresource is never a row of a table.
    pub(super) fn is_plain(&self, subresource: &str) -> bool {
        let mut below = self.subresources.iter();
        below.any(|below| below.name == subresource && below.plain)
    }
}

/// What a caller is told who asks for a verb that the kind never has.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// The verb, such as `create`.
    pub verb: String,
    /// What to do instead and what it is that can't be done; `is not supported on resources of kind …` follows.
    pub action: String,
}

/// What may be done below an object, such as `status`.
#[derive(Clone, Debug, Default)]
pub struct Subresource {
    /// Its name in URLs.
    pub name: String,
    /// What may be done, sorted.
    pub verbs: Vec<String>,
    /// Whether it shows the object as it is and never as a row of a table.
    pub plain: bool,
}

/// One column of a printed list.
#[derive(Clone, Debug, Default)]
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
    ///
    /// # Errors
    /// [`Problem`] if it can't be had.
    fn body(
        &self,
        object: &Arc<Self::Object>,
    ) -> impl Future<Output = Result<Bytes, Problem>> + Send;

    /// Returns the cells of the object's row, one for each of [`Kind::columns`].
    ///
    /// # Errors
    /// [`Problem`] if one can't be had.
    fn cells(
        &self,
        object: &Arc<Self::Object>,
    ) -> impl Future<Output = Result<Vec<serde_json::Value>, Problem>> + Send;

    /// Returns the object's `metadata` as one line of JSON.
    fn metadata(&self, object: &Self::Object) -> Bytes {
        object.metadata().clone()
    }

    /// Returns by which fields objects can be chosen.
    fn fields(&self) -> Fields<'_> {
        Fields::Plain(&self.kind().selectable)
    }

    /// Returns whether the objects can be relied on: an absence that is only due to loading must never be told as one.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] while they can't.
    fn ready(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// Returns the object of this name; nothing only if it is known that there is none.
    ///
    /// # Errors
    /// [`Problem`] if that can't be known.
    fn find(
        &self,
        name: &Name,
    ) -> impl Future<Output = Result<Option<Arc<Self::Object>>, Problem>> + Send {
        let found = self.store().get(name);
        async move { Ok(found) }
    }

    /// Waits until `version` has been seen, for at most `within`.
    ///
    /// # Errors
    /// [`TooNew`] if it was not.
    fn wait_for(
        &self,
        version: Version,
        within: Duration,
    ) -> impl Future<Output = Result<(), TooNew>> + Send {
        self.store().wait_for(version, within)
    }
}
