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
mod hosts;
mod lane;
mod latest;
pub mod lease;
mod look;
mod manager;
mod marker;
mod mirrors;
mod observe;
mod patience;
mod plan;
mod processes;
mod records;
mod rehearsal;
mod road;
pub mod schedule;
mod secrets;
mod settle;
mod store;
mod subject;
mod sweep;
mod tally;
mod target;
mod touches;
mod weigh;

use std::time::Duration;

pub use aftermath::{Aftermath, agree_on_latest, settle_push};
pub use contents::Contents;
pub use credit::{Creditor, SYNC_MANAGER, credit, credit_files};
#[cfg(feature = "failpoints")]
pub use failpoints::Death;
pub use failpoints::{Failpoints, Point};
pub use feed::Feed;
pub use foreign::{Foreign, foreign};
pub use lane::{Declare, Failure, Lanes};
pub use look::{Seen, look_now};
pub use manager::{Clock, Manager, Means, Orders, Outcome, Rhythm, Trouble};
pub use mirrors::Mirrors;
pub use observe::observe;
pub use plan::{Deed, Draft, Files, Plan, Work};
pub use processes::Processes;
pub use records::delete_all;
pub use settle::Note;
pub use subject::Subject;
pub use sweep::Progress;
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
    /// Nobody is answered by the server of the repository, so it is left alone for a while.
    #[error("{server} answers nobody, so it is not asked for {}s", after.as_secs().max(1))]
    Silent {
        /// Scheme, host and port.
        server: String,
        /// How long it is still left alone.
        after: Duration,
        /// Whether it took too long to answer, or could not be reached.
        slow: bool,
    },
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
                git::Error::Certificate(_) | git::Error::HostKey(_) | git::Error::Throttled(_) => {
                    300
                }
                git::Error::NotFound(_)
                | git::Error::BranchMissing { .. }
                | git::Error::Refused(_) => 120,
                git::Error::TimedOut(_) => 60,
                git::Error::Later { after, .. } => return Some(*after),
                _ => 30,
            },
            Self::Silent { after, .. } => return Some(*after),
            _ => 30,
        };
        Some(Duration::from_secs(seconds))
    }

    /// Returns the kind of trouble as one word, for events and for those who count.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "Invalid",
            Self::Credentials(_) => "CredentialsMissing",
            Self::Cluster(_) | Self::Unavailable(_) => "ClusterUnavailable",
            Self::Silent { slow: true, .. } => "TimedOut",
            Self::Silent { slow: false, .. } => "Unreachable",
            Self::Unreadable(_) => "Unreadable",
            Self::Git(error) => match error {
                git::Error::Unreachable(_) => "Unreachable",
                git::Error::TimedOut(_) => "TimedOut",
                git::Error::Unauthorized(_) | git::Error::Forbidden(_) => "AccessDenied",
                git::Error::NotFound(_) => "NotFound",
                git::Error::Throttled(_) | git::Error::Later { .. } => "Throttled",
                git::Error::Certificate(_) => "CertificateInvalid",
                git::Error::HostKey(_) => "HostKeyInvalid",
                git::Error::BranchMissing { .. } => "BranchMissing",
                git::Error::Corrupt(_) => "MirrorDamaged",
                git::Error::Local(_) => "DiskFailed",
                git::Error::Refused(_) => "Refused",
                git::Error::TooLarge(_) => "TooLarge",
                git::Error::Protocol(_)
                | git::Error::Unpackable(_)
                | git::Error::Full(_)
                | git::Error::Uncertain(_) => "AnswerInvalid",
            },
        }
    }

    /// Returns whether another Secret may help.
    #[must_use]
    pub fn is_about_credentials(&self) -> bool {
        matches!(
            self,
            Self::Credentials(_)
                | Self::Git(
                    git::Error::Unauthorized(_)
                        | git::Error::Forbidden(_)
                        | git::Error::NotFound(_)
                        | git::Error::Certificate(_)
                        | git::Error::HostKey(_)
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
