//! Upgrades: a local package moved from the upstream that it was made from to a newer one. In come the files of the three, out come
//! those of the upgraded package. Upstream and its lock are not set here; the task does that.

mod packages;
mod replace;
mod resources;

use std::fmt;

use super::{Files, Problem};

/// How local changes and upstream's come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Resources are merged field by field; where both changed the same, upstream wins.
    #[default]
    ResourceMerge,
    /// Upstream replaces a package that was not changed here; one that was is refused.
    FastForward,
    /// Upstream replaces the package, whatever was changed here; only its Kptfile is merged.
    ForceDeleteReplace,
    /// Upstream's files are copied over the local ones; those that only the local package has stay.
    CopyMerge,
}

impl Strategy {
    /// Returns the strategy of that name in the API; one that is not known is [`Strategy::ResourceMerge`].
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            "fast-forward" => Self::FastForward,
            "force-delete-replace" => Self::ForceDeleteReplace,
            "copy-merge" => Self::CopyMerge,
            _ => Self::ResourceMerge,
        }
    }
}

/// Why a package can't be upgraded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Both sides have a subpackage of that path that the old upstream has not. Whoever owns the local one can move it.
    #[error("subpackage {0:?} added in both upstream and local")]
    AddedTwice(String),
    /// The local package has changes that the strategy would lose: the paths of the files, sorted.
    #[error("local package files have been modified: [{}].\n  use a different update --strategy.", .0.join(" "))]
    Modified(Vec<String>),
    /// Two resources of one file are the same to a merge.
    #[error(
        "found duplicate {version:?} resources in file {path:?}, please refer to \"update\" documentation for the fix"
    )]
    Duplicate {
        /// `original`, `updated` or `dest`.
        version: &'static str,
        /// Path of the file.
        path: String,
    },
    /// A file that must be merged can't be read.
    #[error("cannot read {path:?}: {why}")]
    Unreadable {
        /// Path of the file.
        path: String,
        /// A short sentence.
        why: String,
    },
    /// The two sides together would have a file where they have a directory.
    #[error("{0:?} would be a file and a directory: one is local, the other upstream's")]
    Clash(String),
    /// The Kptfile of the upgraded package can't be told where it comes from.
    #[error(transparent)]
    Kptfile(#[from] Problem),
}

impl UpgradeError {
    /// Returns the error of a file that can't be read.
    pub(super) fn unreadable(path: &str, why: &impl fmt::Display) -> Self {
        Self::Unreadable {
            path: path.into(),
            why: why.to_string(),
        }
    }
}

/// Returns the files of a local package moved from its old upstream to a new one. Its name stays; `upstream` and `upstreamLock` are for the
/// caller to set. Local files that are not changed keep their bytes.
///
/// # Errors
/// [`UpgradeError`].
pub fn upgrade(
    old: &Files,
    new: &Files,
    local: &Files,
    strategy: Strategy,
) -> Result<Files, UpgradeError> {
    let three = packages::Three::new(old, new, local);
    let upgraded = match strategy {
        Strategy::ResourceMerge => resources::merge(&three),
        Strategy::FastForward => replace::fast_forward(&three),
        Strategy::ForceDeleteReplace => replace::replace(&three),
        Strategy::CopyMerge => replace::copy(&three),
    };
    without_clash(upgraded?)
}

/// Returns files that can be in one tree.
fn without_clash(files: Files) -> Result<Files, UpgradeError> {
    let directories = files
        .keys()
        .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]));
    let mut clashes = directories.filter(|directory| files.contains_key(*directory));
    match clashes.next() {
        Some(path) => Err(UpgradeError::Clash(path.into())),
        None => Ok(files),
    }
}

#[cfg(test)]
mod tests;
