//! What follows from one look: what was read of Git is weighed against the records. In comes both, out goes what must be
//! written, and what is told of it. What was not read counts as unknown, never as absent. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Note, Seen, Target,
    fate::Fate,
    settle::{Look, Settlement, settle},
};
use crate::{
    api::PackageRev,
    git::{Refs, Scan},
};

/// What one look read.
pub struct Read<'a> {
    pub scan: Scan,
    /// Refs that were not read yet, though they should be.
    pub later: &'a HashSet<String>,
    /// What became of the writes that records tell of.
    pub fates: HashMap<String, Fate>,
    /// The time.
    pub now: Timestamp,
}

/// Returns what must be written, and what was seen.
pub fn weigh(
    target: &Target,
    records: &[Arc<PackageRev>],
    refs: &Refs,
    read: Read<'_>,
) -> (Settlement, Seen) {
    let Read {
        scan,
        later,
        fates,
        now,
    } = read;
    let unread = scan.unread.iter().map(|unread| &unread.reference);
    let look = Look {
        found: scan.found,
        unread: unread.chain(later).cloned().collect(),
        fates,
        now,
    };
    let mut settlement = settle(&target.subject, records, refs, look);
    let skipped = scan.skipped.into_iter().map(|skipped| Note {
        what: match skipped.path.as_str() {
            "" => skipped.reference,
            path => format!("{}:{path}", skipped.reference),
        },
        why: skipped.why,
    });
    let unread = scan.unread.into_iter().map(|unread| Note {
        what: unread.reference,
        why: format!(
            "it cannot be read, so what is known of it stays: {}",
            unread.why
        ),
    });
    let mut notes: Vec<Note> = skipped
        .chain(unread)
        .chain(std::mem::take(&mut settlement.notes))
        .collect();
    notes.sort();
    notes.dedup();
    let seen = Seen {
        revisions: settlement.served,
        head: scan.head,
        notes,
    };
    (settlement, seen)
}
