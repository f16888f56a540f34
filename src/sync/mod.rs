//! What Git says, settled into records; what the records say, fed into the cache.
//!
//! In come Repositories, their Secrets and the cluster's records through a Kubernetes client, and Git through mirrors on
//! disk. Out go records, the cache's events, and what became of each look at a repository. It serves nobody by itself, and
//! Git is only read here.

mod adopt;
mod aftermath;
mod candidate;
mod contents;
mod credit;
mod due;
mod failpoints;
mod fate;
mod feed;
mod find;
mod foreign;
mod lane;
mod latest;
pub mod lease;
mod look;
mod manager;
mod marker;
mod mirrors;
mod observe;
mod plan;
mod processes;
mod records;
mod road;
pub mod schedule;
mod secrets;
mod settle;
mod subject;
mod tally;
mod target;
mod touches;

use std::time::Duration;

pub use aftermath::{Aftermath, agree_on_latest, settle_push};
pub use contents::Contents;
pub use credit::SYNC_MANAGER;
#[cfg(feature = "failpoints")]
pub use failpoints::Death;
pub use failpoints::{Failpoints, Point};
pub use feed::Feed;
pub use foreign::{Foreign, foreign};
pub use lane::{Declare, Failure, Lanes};
pub use look::{Seen, look_now};
pub use manager::{Clock, Manager, Means, Orders, Outcome, Rhythm};
pub use mirrors::Mirrors;
pub use observe::observe;
pub use plan::{Deed, Draft, Files, Plan, Work};
pub use processes::Processes;
pub use records::delete_all;
pub use settle::Note;
pub use subject::Subject;
pub use tally::Tally;
pub use target::Target;

use crate::git;

/// What keeps a repository from being read, by what can be done next. No message holds a credential.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The Repository object must change.
    #[error("{field}: {why}")]
    Invalid {
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The Secret must change, or come to be.
    #[error("failed to resolve credentials: {0}")]
    Credentials(String),
    /// The Git repository, or the way to it.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The cluster did not take or give what was asked: try again.
    #[error("{0}")]
    Cluster(String),
    /// What is asked for is not here now: try again.
    #[error("{0}")]
    Unavailable(String),
    /// What is asked for can't be had, however often it is tried.
    #[error("{0}")]
    Unreadable(String),
}

impl Error {
    /// Returns how long to wait before the repository is looked at again; nothing if only a change of the Repository
    /// can help. The classes are upstream's; only a Secret, which costs no server anything, is asked for more often.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Invalid { .. } => return None,
            Self::Git(error) => match error {
                git::Error::Unauthorized(_) | git::Error::Forbidden(_) => 600,
                git::Error::Certificate(_) | git::Error::Throttled(_) => 300,
                git::Error::NotFound(_)
                | git::Error::BranchMissing { .. }
                | git::Error::Refused(_) => 120,
                git::Error::TimedOut(_) => 60,
                _ => 30,
            },
            _ => 30,
        };
        Some(Duration::from_secs(seconds))
    }

    /// Returns whether other credentials may help.
    #[must_use]
    pub fn is_about_credentials(&self) -> bool {
        matches!(
            self,
            Self::Credentials(_)
                | Self::Git(
                    git::Error::Unauthorized(_)
                        | git::Error::Forbidden(_)
                        | git::Error::NotFound(_)
                )
        )
    }

    /// Returns what a Kubernetes client could not do.
    fn cluster(what: &str, error: &kube::Error) -> Self {
        let why = match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        Self::Cluster(format!("{what}: {why}"))
    }
}
