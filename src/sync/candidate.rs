//! A revision that Git holds, as a candidate for its name: what is known of it, and how rivals for one name stand to each
//! other. Pure. It copies nothing that a record says already: there may be ten thousands.

use std::ops::Deref;

use super::settle::Note;
use crate::{
    api::Observed,
    package::{Lifecycle, RevisionKey},
};

/// A revision that Git holds.
pub(super) struct Candidate<'a> {
    pub(super) key: RevisionKey,
    /// What is known of it, but for whether it is the latest.
    pub(super) observed: Known<'a>,
    pub(super) latest: bool,
    /// Whether it is to become the latest, and is not yet.
    pub(super) awaits: bool,
    /// The record says so itself and cannot be told otherwise.
    pub(super) fixed: bool,
}

impl Candidate<'_> {
    /// Returns it as its record is to say it.
    pub(super) fn observed(&self) -> Observed {
        Observed {
            latest: self.latest,
            awaits_latest: self.awaits,
            ..Observed::clone(&self.observed)
        }
    }
}

/// What is known of a revision. What its record says already is not copied: there may be ten thousands.
pub(super) enum Known<'a> {
    /// As its record says.
    Kept(&'a Observed),
    /// As it was read, or as it differs from its record.
    Read(Box<Observed>),
}

impl Deref for Known<'_> {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        match self {
            Self::Kept(observed) => observed,
            Self::Read(observed) => observed,
        }
    }
}

/// Returns the order in which rivals for one name are preferred: the one that cannot be moved; the first key; the later
/// stage of life; of published ones the branch, then the lowest number, whose content was promised first.
pub(super) fn rank(candidate: &Candidate<'_>) -> impl Ord + use<> {
    let observed = &candidate.observed;
    let stage = match observed.lifecycle {
        Lifecycle::Published | Lifecycle::DeletionProposed => 0,
        Lifecycle::Proposed => 1,
        Lifecycle::Draft => 2,
    };
    let canonical = format!(
        "refs/tags/{}/v{}",
        observed.git.directory, observed.revision
    );
    let tag = observed.git.ref_.starts_with("refs/tags/");
    (
        !candidate.fixed,
        candidate.key.clone(),
        stage,
        tag,
        (observed.revision < 1, observed.revision),
        (canonical != observed.git.ref_, observed.git.ref_.clone()),
    )
}

/// Returns whether two candidates are one revision, seen by its record and by the scan.
pub(super) fn is_same_place(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    one.key == other.key && one.observed.git.ref_ == other.observed.git.ref_
}

/// Returns what is told of a candidate that is not served.
pub(super) fn note(candidate: &Candidate<'_>, why: String) -> Note {
    let git = &candidate.observed.git;
    let what = if git.ref_.starts_with("refs/tags/") || candidate.observed.revision == 0 {
        git.ref_.clone()
    } else {
        format!("{}:{}", git.ref_, git.directory)
    };
    Note { what, why }
}

/// Returns what is told of one that lost its name to another.
pub(super) fn lost(name: &str, rival: &Candidate<'_>, chosen: &Candidate<'_>) -> Note {
    let other = note(chosen, String::new()).what;
    note(
        rival,
        format!("its name {name:?} is that of {other}, which is served"),
    )
}
