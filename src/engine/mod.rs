//! The engine: what users want of package revisions, done in Git and recorded.
//!
//! In come parsed requests of users who may make them; out go records as they are then, which say all that is shown. The
//! order of a write is always the same: intent, push, settle, wait until the own reflector has seen it. It knows no HTTP,
//! never reads a clock of its own, and never tells a caller that something was done before it can be read.

mod author;
mod create;
mod declared;
mod delete;
mod found;
mod locks;
mod packages;
mod records;
mod render;
mod report;
mod resources;
mod share;
mod source;
mod surroundings;
mod update;
mod upgrade;
mod wish;
mod write;

use std::{fmt, sync::Arc};

use tokio::time::Instant;

pub use author::Caller;
pub use delete::{Departed, Terms};
pub use render::Renderer;
pub use resources::{Replaced, Texts, Wanted, sort};
pub use update::Way;
pub use wish::managed_fields;

use crate::{
    api::PackageRev,
    package::Violation,
    sync::{self, Contents, Feed, Lanes},
};
use locks::Locks;
use report::Told;

/// What an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The object that the request names.
    Request,
    /// The Repository of this name.
    Repository(String),
    /// The namespace of this name.
    Namespace(String),
    /// The package revision of this name.
    Revision(String),
    /// The package of this name.
    Package(String),
}

/// Why a request was not carried out, named for what its caller can do next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The object must be changed.
    #[error("{name:?} is invalid")]
    Invalid {
        /// Name of the object, as the caller gave it.
        name: String,
        /// Everything that is wrong with it.
        violations: Vec<Violation>,
    },
    /// There is no such thing.
    #[error("{0:?} not found")]
    NotFound(About),
    /// There is one already.
    #[error("{0:?} already exists")]
    AlreadyExists(About),
    /// Somebody was faster: read it again.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since the version that the caller names: read it again.
    #[error("the object has been modified")]
    Modified,
    /// Another write is under way: try again soon.
    #[error("{0}")]
    Busy(String),
    /// It must not be done.
    #[error("{about:?} is forbidden: {why}")]
    Forbidden {
        /// What must not be changed.
        about: About,
        /// Why not.
        why: String,
    },
    /// It is more than is taken.
    #[error("{0}")]
    TooLarge(String),
    /// Not now: try again after so many seconds.
    #[error("{why}")]
    Unavailable {
        /// Why.
        why: String,
        /// When to try again, in seconds.
        after: u32,
    },
    /// The time for it is over.
    #[error("the request did not end in time")]
    TimedOut,
    /// A fault of this server.
    #[error("{0}")]
    Internal(String),
}

/// A request, beside what it wants.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// The field manager of what changes.
    pub manager: String,
    /// Whether nothing is to be changed: the answer is as if it were.
    pub dry_run: bool,
    /// When the caller must be answered.
    pub deadline: Instant,
    /// Asked before anything is written: says whether the caller still waits. What has begun is finished.
    pub begin: Begin,
}

/// Says whether to begin.
#[derive(Clone)]
pub struct Begin(Arc<dyn Fn() -> bool + Send + Sync>);

impl Begin {
    /// Returns what asks `still_there`.
    pub fn if_(still_there: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(still_there))
    }

    fn may(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Begin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Begin")
    }
}

/// What the engine works with.
#[derive(Clone)]
pub struct Means {
    /// The records, as far as they were seen.
    pub feed: Feed,
    /// The files of revisions.
    pub contents: Contents,
    /// The way to Git.
    pub lanes: Lanes,
    /// What looks at repositories are made with.
    pub sync: sync::Means,
    /// Who renders.
    pub renderer: Renderer,
    /// Whether `file://` addresses are allowed.
    pub allow_file: bool,
}

/// The engine; its clones share everything.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

struct Parts {
    means: Means,
    /// Saves two requests of this process the work that only one of them can finish.
    locks: Locks,
    /// Of what it was told that it stays.
    told: Told,
}

/// A package revision as it is once a request is done.
pub type Record = Arc<PackageRev>;

impl Engine {
    /// Returns an engine.
    #[must_use]
    pub fn new(means: Means) -> Self {
        let parts = Parts {
            means,
            locks: Locks::default(),
            told: Told::default(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    fn means(&self) -> &Means {
        &self.parts.means
    }

    fn sync(&self) -> &sync::Means {
        &self.parts.means.sync
    }
}
