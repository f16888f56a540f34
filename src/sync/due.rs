//! What must be read: the refs that say something else than the records do. So nothing is read again that has not moved,
//! not even after a restart. Pure.

use std::{collections::HashSet, sync::Arc};

use super::subject::Subject;
use crate::{
    api::{FORMAT, Observed, PackageRev},
    git::{RefKind, Refs, classify},
};

/// Returns whether the refs still hold the revision of a record exactly as the record says: same ref, same commit, and
/// in a format that need not be computed anew. Never of a placeholder: its ref moves without it.
#[must_use]
pub fn is_current(subject: &Subject, refs: &Refs, observed: &Observed) -> bool {
    let git = &observed.git;
    observed.format >= FORMAT
        && git.ref_ != subject.scope.branch_ref()
        && refs
            .get(&git.ref_)
            .is_some_and(|target| target.commit == git.commit)
}

/// Returns the tags, drafts and proposals that must be read, those without a workspace among them: they are told.
#[must_use]
pub fn due(subject: &Subject, records: &[Arc<PackageRev>], refs: &Refs) -> HashSet<String> {
    let own = records.iter().filter(|record| !subject.disowns(record));
    let observed = own.filter_map(|record| record.spec.observed.as_ref());
    let current: HashSet<&str> = observed
        .filter(|observed| is_current(subject, refs, observed))
        .map(|observed| observed.git.ref_.as_str())
        .collect();
    let names = refs.iter().map(|(name, _)| name);
    names
        .filter(|name| !current.contains(name))
        .filter(|name| is_read(&classify(name, &subject.scope)))
        .map(String::from)
        .collect()
}

fn is_read(kind: &RefKind) -> bool {
    match kind {
        RefKind::Tag { .. }
        | RefKind::Draft { .. }
        | RefKind::Proposed { .. }
        | RefKind::Malformed => true,
        RefKind::Branch | RefKind::DeletionProposed { .. } | RefKind::Other => false,
    }
}
