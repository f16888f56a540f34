//! Refs, objects and the wire: the only room that knows libgit2.
//!
//! In comes the address of a repository with what opens it, out come its refs, a mirror of its objects on disk, and the
//! package revisions that they hold; in come new files and edits of refs, out goes one push. Every call blocks: callers run them where blocking is allowed. It never prints a
//! credential, never runs another program, never trusts a name that a server or a tree gave it, and never reads the
//! user's own Git configuration.

mod access;
mod commit;
mod commit_write;
mod fetch;
mod files;
mod history;
mod host_keys;
mod http;
#[cfg(test)]
mod laws;
mod layout;
mod link;
mod list;
mod message;
mod mirror;
mod pack;
mod packet;
mod packs;
mod proxy;
mod push;
mod push_local;
mod push_turn;
mod receive;
mod refs;
mod report;
mod resolve;
mod rewrite;
mod roots;
mod scan;
mod seed;
mod ssh;
mod ssh_open;
mod talk;
mod tree;
mod tree_write;
mod upkeep;
mod verdict;
mod walk;
mod workbench;

use std::time::Duration;

pub use access::{Access, Address, Credentials, Secret, Timeouts};
pub use commit::{Annotation, annotations};
pub use commit_write::{NewCommit, Person};
pub use files::{File, Limits, blob_id, file_count, files, paths};
pub use host_keys::{HostKeys, SshKeys};
pub use layout::{RefKind, Scope, classify, deletion_ref, lifecycle, short_name};
pub use list::{list_refs, list_some};
pub use message::{approval_message, deletion_message, task_message};
pub use mirror::Mirror;
pub use pack::Pack;
pub use proxy::{Proxies, Proxy};
pub use push::{Pushed, RefEdit, Refusal, Refused, push, rehearse};
pub use refs::{RefTarget, Refs};
pub use rewrite::{Rewrite, Rewritten, Wanted};
pub use scan::{Found, Reading, Scan, Scanner, Skipped, Unread};
pub use seed::{Step, seed};
pub use upkeep::{Due, Kept};
pub use workbench::Workbench;

/// What goes wrong with a repository, by what can be done next. No message holds a credential.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server does not answer: try again soon.
    #[error("{0}")]
    Unreachable(String),
    /// The server was too slow: try again.
    #[error("timeout: {0}")]
    TimedOut(String),
    /// 401: read the credentials again, then tell the user.
    #[error("authentication required: {0}")]
    Unauthorized(String),
    /// 403: the credentials are not enough.
    #[error("authorization failed: {0}")]
    Forbidden(String),
    /// 404: there is no such repository, or not for these credentials.
    #[error("repository not found: {0}")]
    NotFound(String),
    /// 429: wait longer.
    #[error("rate limit: too many requests to {0}")]
    Throttled(String),
    /// 429 or 503 with a word on when: come again then.
    #[error("{why}")]
    Later {
        /// What the server said.
        why: String,
        /// After which time it wants to be asked again.
        after: Duration,
    },
    /// The server could not be trusted: its certificate or its authority must change.
    #[error("tls: {0}")]
    Certificate(String),
    /// The server could not be trusted: its key is not among those that are known.
    #[error("host key: {0}")]
    HostKey(String),
    /// The repository lacks the registered branch.
    #[error("branch {branch:?} not found in repository")]
    BranchMissing {
        /// The registered branch.
        branch: String,
    },
    /// The server said what no Git server says.
    #[error("{0}")]
    Protocol(String),
    /// What should be a pack is none, or stands on objects that the mirror holds no more: ask for everything.
    #[error("{0}")]
    Unpackable(String),
    /// The mirror is damaged: remove it and fetch anew.
    #[error("the mirror is damaged: {0}")]
    Corrupt(String),
    /// The disk of this machine.
    #[error("{0}")]
    Local(String),
    /// The address, or what should open it, is not acceptable.
    #[error("{0}")]
    Refused(String),
    /// More than this server is willing to read, or the other to take.
    #[error("{0}")]
    TooLarge(String),
    /// The server has no room for what was sent; nothing was done.
    #[error("{0}")]
    Full(String),
    /// The answer to a push was lost: it may have been done, and may yet be. The refs must be looked at.
    #[error("{0}")]
    Uncertain(String),
}

impl Error {
    /// Returns the error of reading an object that the mirror should hold.
    fn object(id: git2::Oid, error: &git2::Error) -> Self {
        Self::Corrupt(format!("object {id}: {}", error.message()))
    }

    /// Returns the error of something done on the disk of this machine.
    fn local(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self::Local(format!("{}: {error}", path.display()))
    }
}

/// Makes libgit2 deaf to the machine it runs on; every way into the room passes here first.
///
/// # Errors
/// [`Error::Local`] when libgit2 refuses an option.
fn prepare() -> Result<(), Error> {
    use std::sync::OnceLock;
    /// Options of libgit2 are global to the process, so they are set exactly once.
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    let done = DONE.get_or_init(|| options().map_err(|error| error.message().to_string()));
    done.clone().map_err(Error::Local)
}

#[allow(unsafe_code)]
fn options() -> Result<(), git2::Error> {
    use git2::{ConfigLevel, opts};
    let levels = [
        ConfigLevel::System,
        ConfigLevel::Global,
        ConfigLevel::XDG,
        ConfigLevel::ProgramData,
    ];
    // SAFETY: these options are plain global values of libgit2, and `prepare` sets them once, before any other call of
    // this room into libgit2; no other room calls it.
    unsafe {
        for level in levels {
            opts::set_search_path(level, "")?;
        }
        // A mirror on a mounted volume may belong to another user; nothing in a repository is ever executed here.
        opts::set_verify_owner_validation(false)?;
    }
    // Scans read most objects once: libgit2's cache would cost more time and memory than it saves.
    opts::enable_caching(false);
    // Objects are hashed when they arrive, and what is on disk carries checksums.
    opts::strict_hash_verification(false);
    Ok(())
}
