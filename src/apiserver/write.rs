//! The hook of those who change things: what a writing request says once HTTP is taken off, and what is answered.
//!
//! In comes a request that was parsed, authenticated and found to name a kind; out goes the object as it then is. The
//! machinery knows neither storage nor rules: a [`Writer`] does. It must not be told of anything that it need not know.

use std::future::Future;

use bytes::Bytes;

use super::{Caller, Failure, Identity};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new object.
    Create,
    /// A whole object in place of what is there.
    Update,
    /// A change of what is there.
    Patch(PatchKind),
    /// One object is to go.
    Delete,
    /// All that the selectors choose are to go.
    DeleteCollection,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, led by the types.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchKind {
    /// Every kind, in the order in which Kubernetes names them.
    pub const ALL: [Self; 4] = [Self::Json, Self::Merge, Self::Strategic, Self::Apply];

    /// Returns the media type that says so.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// What is done with fields that the kind does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped without a word.
    Ignore,
    /// Dropped with a warning.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// What the query of a writing request says. Every value was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Everything is done but for the deed.
    pub dry_run: bool,
    /// Who manages the fields; for all but [`PatchKind::Apply`] the client's name if it said nothing.
    pub field_manager: String,
    /// Whether an apply takes fields from their owners.
    pub force: bool,
    /// What is done with unknown fields.
    pub field_validation: FieldValidation,
    /// Chooses among a collection; as it was sent.
    pub label_selector: String,
    /// Chooses among a collection; as it was sent.
    pub field_selector: String,
    /// What becomes of dependents, if the query says so (a body may say it too).
    pub propagation_policy: String,
    /// The same in older words.
    pub orphan_dependents: Option<bool>,
    /// At most so many of a collection; zero is all.
    pub limit: usize,
}

/// A request to change something.
#[derive(Clone, Debug)]
pub struct Write {
    /// What is to be done.
    pub verb: Verb,
    /// Namespace; empty for a kind without.
    pub namespace: String,
    /// Name of the object; empty for a creation and for a collection.
    pub name: String,
    /// Subresource, such as `status`; empty for the object itself.
    pub subresource: String,
    /// The body as JSON (YAML is turned into it); empty if there was none. A deletion's is its `DeleteOptions`.
    pub body: Bytes,
    /// What a strict reader had against the body before it was made JSON, such as `duplicate field "spec.color"`.
    pub complaints: Vec<String>,
    /// What the query says.
    pub options: WriteOptions,
    /// Who asks.
    pub user: Identity,
    /// Who waits for the answer.
    pub caller: Caller,
    /// Why an apply may not make what is not there, if it may not.
    pub may_not_create: Option<Failure>,
}

/// What was done, with the whole object (or the `Status` or list of a deletion) as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is new.
    Created(Bytes),
    /// It was there.
    Updated(Bytes),
    /// It is gone, or will be.
    Deleted(Bytes),
}

/// What a writer answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What was done.
    pub written: Written,
    /// Sentences for the caller, sent as `Warning` headers.
    pub warnings: Vec<String>,
}

impl From<Written> for Reply {
    fn from(written: Written) -> Self {
        Self {
            written,
            warnings: Vec::new(),
        }
    }
}

/// One who changes the objects of one kind.
pub trait Writer: Send + Sync + 'static {
    /// Does what `write` says and returns what came of it. It is run to its end even if the caller has gone: one who
    /// would rather not begin then asks [`Write::caller`].
    ///
    /// # Errors
    /// Whatever the caller is to be told.
    fn write(&self, write: Write) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// Returns what `body`, in Kubernetes' protobuf, says as JSON; nothing if objects of this kind are not read in it.
    /// (`kubectl create secret` and its like send nothing else.)
    fn protobuf(&self, _body: &[u8]) -> Option<Result<Bytes, Failure>> {
        None
    }

    /// Returns the patches that are understood; others are refused, and not advertised.
    fn patches(&self) -> &[PatchKind] {
        &[PatchKind::Json, PatchKind::Merge, PatchKind::Apply]
    }
}
