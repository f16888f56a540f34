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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::RefTarget;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn edit(name: &str, from: Option<&str>) -> RefEdit {
        RefEdit {
            name: name.into(),
            from: from.map(str::to_string),
            to: Some(TWO.into()),
        }
    }

    /// Returns what is told of refs that failed for these reasons, and which refs were looked at.
    fn told(
        failed: &[(&str, &str)],
        words: &[&str],
        now: &[(&str, &str)],
    ) -> (Vec<Refusal>, Vec<String>) {
        let edits: Vec<_> = failed
            .iter()
            .map(|(name, _)| edit(name, Some(ONE)))
            .collect();
        let status = |(name, why): &(&str, &str)| ((*name).into(), Some((*why).into()));
        let heard = Heard {
            statuses: failed.iter().map(status).collect(),
            words: words.iter().map(|line| (*line).to_string()).collect(),
        };
        let looked = std::cell::RefCell::new(Vec::new());
        let look = |names: &[&str]| {
            looked
                .borrow_mut()
                .extend(names.iter().map(|name| (*name).to_string()));
            let target = |id: &str| RefTarget {
                id: id.into(),
                commit: id.into(),
            };
            Some(now.iter().map(|(name, id)| (*name, target(id))).collect())
        };
        let refused = judge(&edits, &heard, &look);
        let why = refused.into_iter().map(|refused| refused.why).collect();
        (why, looked.into_inner())
    }

    #[test]
    fn words_of_servers_are_known() {
        let name = "refs/heads/a";
        for (reason, line, want) in [
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': is at 1 but expected 2",
                "moved",
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': reference already exists",
                "moved",
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': unable to resolve reference 'refs/heads/a'",
                "moved",
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': reference is missing but expected 2",
                "moved",
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': Unable to create '/r/refs/heads/a.lock': File exists.",
                "moved",
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': Unable to create '/r/refs/heads/a.lock': Permission denied",
                "declined",
            ),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/a': 'refs/heads' exists; cannot create 'refs/heads/a'",
                "declined",
            ),
            (
                "cannot lock ref 'refs/heads/a': is at 1 but expected 2",
                "",
                "moved",
            ),
            ("incorrect old value provided", "", "moved"),
            ("reference does not exist", "", "moved"),
            ("reference already exists", "", "moved"),
            ("remote ref does not exist", "", "moved"),
            ("fetch first", "", "moved"),
            ("stale info", "", "moved"),
            ("failed to lock", "", "moved"),
            ("non-fast-forward", "", "declined"),
            ("deletion prohibited", "", "declined"),
            ("deletion of the current branch prohibited", "", "declined"),
            ("branch is currently checked out", "", "declined"),
            (
                "hook declined",
                "error: cannot lock ref 'refs/heads/a': is at 1 but expected 2",
                "declined",
            ),
            (
                "pre-receive hook declined",
                "tag already exists",
                "declined",
            ),
            ("protected branch hook declined", "", "declined"),
            ("shallow update not allowed", "", "declined"),
            ("funny refname", "", "declined"),
            ("deny updating a hidden ref", "", "declined"),
            ("words that nobody knows", "", "declined"),
            ("missing necessary objects", "", "incomplete"),
            ("missing object(s)", "", "incomplete"),
            ("bad pack", "", "incomplete"),
            ("atomic push failure", "", "neighbour"),
            ("transaction aborted", "", "neighbour"),
        ] {
            let (refused, looked) = told(&[(name, reason)], &[line], &[]);
            let said = format!("{:?}", refused[0]).to_lowercase();
            assert!(said.starts_with(want), "{reason} {line}: {said}");
            assert!(looked.is_empty(), "{reason} {line}: the words were enough");
        }
    }

    #[test]
    fn where_words_leave_it_open_the_refs_tell() {
        let (a, b) = ("refs/heads/a", "refs/heads/b");
        let failed = "failed to update ref";
        let transaction = "atomic transaction failed";
        let declined = |words: &str| Refusal::Declined(words.into());
        for (reasons, words, now, want) in [
            (
                [failed, failed],
                "",
                [(a, ONE), (b, TWO)],
                [declined(failed), Refusal::Moved],
            ),
            (
                [transaction, transaction],
                "",
                [(a, ONE), (b, TWO)],
                [Refusal::Neighbour, Refusal::Moved],
            ),
            (
                [transaction, transaction],
                "",
                [(a, ONE), (b, ONE)],
                [declined(transaction), declined(transaction)],
            ),
            (
                [transaction, transaction],
                "error: cannot lock ref 'refs/heads/b': is at 1 but expected 2",
                [(a, ONE), (b, ONE)],
                [Refusal::Neighbour, Refusal::Moved],
            ),
            (
                [transaction, transaction],
                "fatal: ref updates aborted by hook",
                [(a, TWO), (b, TWO)],
                [
                    declined("atomic transaction failed: fatal: ref updates aborted by hook"),
                    declined("atomic transaction failed: fatal: ref updates aborted by hook"),
                ],
            ),
        ] {
            let words: Vec<_> = Some(words)
                .filter(|words| !words.is_empty())
                .into_iter()
                .collect();
            let (refused, _) = told(&[(a, reasons[0]), (b, reasons[1])], &words, &now);
            assert_eq!(refused, want, "{reasons:?} {words:?} {now:?}");
        }
        let (refused, looked) = told(&[(a, failed)], &[], &[]);
        assert_eq!(
            (refused, looked),
            (vec![Refusal::Moved], vec![a.to_string()]),
            "it is gone"
        );
    }

    #[test]
    fn a_ref_that_cannot_be_looked_at_may_have_moved() {
        let statuses = [(
            "refs/heads/a".to_string(),
            Some("failed to update ref".to_string()),
        )];
        let heard = Heard {
            statuses: statuses.into(),
            ..Heard::default()
        };
        let refused = judge(&[edit("refs/heads/a", None)], &heard, &|_| None);
        assert_eq!(refused[0].why, Refusal::Moved);
    }
}
