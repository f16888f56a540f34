//! Why an edit was refused, told from words: servers have no codes for it. What git and the great servers say is known
//! here; where the words leave it open whether somebody was faster, the refs are looked at. In come words, out come
//! refusals.

use super::{RefEdit, Refs, Refusal, Refused, report::Heard};

/// What words say of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Moved,
    Declined,
    Incomplete,
    Neighbour,
    /// It failed; why is not in these words.
    Open,
}

/// Words of a refusal, in lower case; the first that is found decides.
const WORDS: &[(&str, Opinion)] = &[
    ("declined", Opinion::Declined),
    ("prohibited", Opinion::Declined),
    ("denied", Opinion::Declined),
    ("not allowed", Opinion::Declined),
    ("protected", Opinion::Declined),
    ("aborted by", Opinion::Declined),
    ("cannot create", Opinion::Declined),
    ("missing necessary objects", Opinion::Incomplete),
    ("missing object", Opinion::Incomplete),
    ("bad pack", Opinion::Incomplete),
    ("unresolved delta", Opinion::Incomplete),
    ("atomic push fail", Opinion::Neighbour),
    ("transaction aborted", Opinion::Neighbour),
    ("but expected", Opinion::Moved),
    ("already exists", Opinion::Moved),
    ("does not exist", Opinion::Moved),
    ("no such ref", Opinion::Moved),
    ("unable to resolve reference", Opinion::Moved),
    ("incorrect old value", Opinion::Moved),
    ("invalid old id", Opinion::Moved),
    ("fetch first", Opinion::Moved),
    ("stale info", Opinion::Moved),
    ("failed to lock", Opinion::Moved),
    ("lock failure", Opinion::Moved),
    (".lock': file exists", Opinion::Moved),
    ("failed to update", Opinion::Open),
    ("transaction failed", Opinion::Open),
    ("cannot lock ref", Opinion::Open),
];

fn opinion(words: &str) -> Opinion {
    let words = words.to_lowercase();
    let found = WORDS.iter().find(|(part, _)| words.contains(part));
    found.map_or(Opinion::Declined, |(_, opinion)| *opinion)
}

/// Returns the edits that were refused, and why. `look` returns the refs of these names as they are now, or nothing if
/// that cannot be said.
pub(super) fn judge(
    edits: &[RefEdit],
    heard: &Heard,
    look: &dyn Fn(&[&str]) -> Option<Refs>,
) -> Vec<Refused> {
    let failed = edits.iter().filter_map(|edit| {
        let reason = heard.statuses.get(&edit.name)?.as_deref()?;
        Some((edit, reason, opinion_of(&edit.name, reason, heard)))
    });
    let mut failed: Vec<_> = failed.collect();
    settle(&mut failed, heard, look);
    let refused = failed.into_iter().map(|(edit, reason, opinion)| Refused {
        name: edit.name.clone(),
        why: match opinion {
            Opinion::Moved => Refusal::Moved,
            Opinion::Neighbour => Refusal::Neighbour,
            Opinion::Incomplete => Refusal::Incomplete(heard.shown(reason)),
            Opinion::Declined | Opinion::Open => Refusal::Declined(heard.shown(reason)),
        },
    });
    refused.collect()
}

/// Returns what the reason says or, where that is open, what Git said besides of this ref.
fn opinion_of(name: &str, reason: &str, heard: &Heard) -> Opinion {
    let own = opinion(reason);
    if own != Opinion::Open {
        return own;
    }
    let quoted = format!("ref '{name}'");
    let mut lines = heard.words.iter().filter(|line| line.contains(&quoted));
    lines
        .find_map(|line| Some(opinion(line)).filter(|opinion| *opinion != Opinion::Open))
        .unwrap_or(Opinion::Open)
}

/// Decides what is open. Whoever was judged is to blame for the others that failed with it; if nobody was, the refs tell.
fn settle(
    failed: &mut [(&RefEdit, &str, Opinion)],
    heard: &Heard,
    look: &dyn Fn(&[&str]) -> Option<Refs>,
) {
    let shared = |reason: &str| reason.to_lowercase().contains("transaction failed");
    if heard.words.iter().any(|line| line.contains("aborted by")) {
        return;
    }
    let blamed = |failed: &[(&RefEdit, &str, Opinion)]| {
        let judged = |opinion| !matches!(opinion, Opinion::Open | Opinion::Neighbour);
        failed.iter().any(|(_, _, opinion)| judged(*opinion))
    };
    let known = blamed(failed);
    let open = |(_, reason, opinion): &(&RefEdit, &str, Opinion)| {
        *opinion == Opinion::Open && !(known && shared(reason))
    };
    let names: Vec<_> = failed
        .iter()
        .filter(|one| open(one))
        .map(|(edit, ..)| edit.name.as_str())
        .collect();
    if !names.is_empty() {
        let now = look(&names);
        for one in failed.iter_mut() {
            if open(one) && has_moved(one.0, now.as_ref()) {
                one.2 = Opinion::Moved;
            }
        }
    }
    if blamed(failed) {
        let left = |one: &&mut (&RefEdit, &str, Opinion)| one.2 == Opinion::Open && shared(one.1);
        failed
            .iter_mut()
            .filter(left)
            .for_each(|one| one.2 = Opinion::Neighbour);
    }
}

/// Returns whether a ref is not what was expected; where it can't be seen it may have.
fn has_moved(edit: &RefEdit, now: Option<&Refs>) -> bool {
    now.is_none_or(|now| now.get(&edit.name).map(|target| &target.id) != edit.from.as_ref())
}
