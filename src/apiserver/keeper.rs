//! The hook of those who keep the objects of a kind and let them be changed: what they are asked, and what they answer.
//!
//! In comes what a caller wants once everything was checked that is the same for every kind; out goes the object as it
//! then is. HTTP, decoding, patches and the rules of metadata are not theirs; storage, and what the kind means, is
//! nobody else's.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::{Caller, DeleteTerms, Failure, Identity, Verb};
use crate::cache::{Name, Version};

/// One who keeps the objects of a kind and lets them be changed. A dry run is asked for by
/// [`Request::dry_run`]: everything is done but for the deed, and the answer is the same.
pub trait Keeper: Send + Sync + 'static {
    /// Makes a new object. `object` has `apiVersion`, `kind` and the namespace of the URL; what the server gives (uid,
    /// creationTimestamp, generation, …) it has not. Its name may be missing, with or without a `generateName`.
    ///
    /// # Errors
    /// Whatever the caller is to be told.
    fn create(
        &self,
        object: Value,
        request: &Request,
    ) -> impl Future<Output = Result<Changed, Failure>> + Send;

    /// Changes an object: `edit` is given the object as it is now and returns it as it should be. It may be asked again
    /// when somebody else was faster; if the caller named a version, it will refuse then. What comes back equal is no
    /// change, and no write.
    ///
    /// # Errors
    /// [`Failure::NotFound`] if there is no such object; what `edit` says; whatever else the caller is to be told.
    fn update(
        &self,
        name: &Name,
        edit: Edit,
        request: &Request,
    ) -> impl Future<Output = Result<Changed, Failure>> + Send;

    /// Lets an object go, if it is as `terms` want it ([`DeleteTerms::check`]).
    ///
    /// # Errors
    /// [`Failure::NotFound`] if there is no such object; whatever else the caller is to be told.
    fn delete(
        &self,
        name: &Name,
        terms: DeleteTerms,
        request: &Request,
    ) -> impl Future<Output = Result<Deleted, Failure>> + Send;

    /// Returns whether `metadata.managedFields` is kept like everything else. Then it is told who owns what, and
    /// server-side apply is offered; else nothing of it ever reaches the keeper.
    fn keeps_owners(&self) -> bool {
        false
    }

    /// Returns the field manager of those who make objects other than by a request, and keep nothing of who owns what: what
    /// nobody is said to own is theirs.
    fn maker(&self) -> Option<&'static str> {
        None
    }
}

/// A change that is made of what there is. Cheap to clone.
#[derive(Clone)]
pub struct Edit(Arc<Editing>);

type Editing = dyn Fn(&Value) -> Result<Value, Failure> + Send + Sync;

impl Edit {
    /// Returns the edit that `editing` makes.
    pub fn new(editing: impl Fn(&Value) -> Result<Value, Failure> + Send + Sync + 'static) -> Self {
        Self(Arc::new(editing))
    }

    /// Returns the object as it should be, given what it is now. Nothing is remembered between two calls.
    ///
    /// # Errors
    /// What the caller is to be told if that can't be, such as [`Failure::Conflict`] if it named another version.
    pub fn apply(&self, live: &Value) -> Result<Value, Failure> {
        (self.0)(live)
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Edit")
    }
}

/// Who wants a change, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub user: Identity,
    /// What was asked for.
    pub verb: Verb,
    /// Subresource, such as `approval`; empty for the object itself.
    pub subresource: String,
    /// Everything is done but for the deed.
    pub dry_run: bool,
    /// Who manages the fields.
    pub field_manager: String,
    /// The version that the caller names, if it names one: it wants that changed and nothing else. A keeper that has not
    /// seen it waits for it; one that finds another does not try again.
    pub version: Option<Version>,
    /// The one who waits for the answer.
    pub caller: Caller,
}

impl Request {
    /// Returns when the caller is told that it took too long.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.caller.deadline()
    }
}

/// An object after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The whole object as one line of JSON.
    pub object: Bytes,
    /// Sentences for the caller.
    pub warnings: Vec<String>,
}

impl From<Bytes> for Changed {
    fn from(object: Bytes) -> Self {
        Self {
            object,
            warnings: Vec::new(),
        }
    }
}

/// What became of an object that was to go, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Somebody holds it still: the object as it is now.
    Held(Bytes),
    /// It is gone: the object as it was.
    Gone(Bytes),
    /// It is gone, and the caller is told no more than whose uid that was.
    Done {
        /// The object's uid.
        uid: String,
    },
}
