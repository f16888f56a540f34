//! What a Repository's status says. In comes what was there and what became of the last look, out comes what should be
//! there. Times move only with what they are the time of. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::{
    api::{REPOSITORY_CONFLICT, Repository, RepositoryStatus},
    sync::{Note, Outcome, Progress, Trouble},
};

/// The condition that says whether the last look went well.
pub const READY: &str = "Ready";
/// The condition that says whether everything in Git is served.
const COMPLETE: &str = "Complete";
/// What is told while nothing came of a look yet; upstream's words.
const RECONCILING: &str = "Repository reconciliation in progress";
/// How many things that are not served are told; more would drown the rest.
const TOLD: usize = 10;

/// Where a Repository stands.
pub enum Standing<'a> {
    /// The object must change first.
    Refused(String),
    /// This other Repository of the same Git repository is in its way.
    Conflicting(String),
    /// Nothing came of a look yet.
    Reconciling,
    /// A look has much to read, and has come so far.
    Reading(Progress),
    /// A look ended.
    Looked(&'a Outcome),
}

/// Returns the status that a Repository should have; `remark` is added to a message that all is well.
#[must_use]
pub fn status(
    repository: &Repository,
    before: &RepositoryStatus,
    standing: &Standing<'_>,
    (now, remark): (Timestamp, &str),
) -> RepositoryStatus {
    let generation = repository.metadata.generation.unwrap_or_default();
    let mut status = before.clone();
    let mut set = |type_, (value, reason, message): (&str, &str, String)| {
        let condition = Condition {
            type_: String::from(type_),
            status: value.into(),
            reason: reason.into(),
            message,
            observed_generation: Some(generation),
            last_transition_time: Time(seconds(now)),
        };
        put(&mut status.conditions, condition);
    };
    match standing {
        Standing::Refused(why) => {
            let next = "it is tried again when the Repository changes";
            let message = format!("{why}. Not ready since {}; {next}", since(before, now));
            set(READY, ("False", "Error", message));
        }
        Standing::Conflicting(other) => {
            let message = conflict(other, since(before, now));
            set(READY, ("False", REPOSITORY_CONFLICT, message));
        }
        Standing::Reconciling => set(READY, ("False", "Reconciling", RECONCILING.into())),
        Standing::Reading(Progress { read, of }) => {
            let (read, of) = (grouped(*read), grouped(*of));
            let message = format!("{RECONCILING}: reading {read} of {of} package revisions");
            set(READY, ("False", "Reconciling", message));
        }
        Standing::Looked(outcome) => {
            match &outcome.result {
                Ok(seen) => {
                    set(
                        READY,
                        ("True", "Ready", format!("Repository Ready{remark}")),
                    );
                    set(COMPLETE, complete(&seen.notes));
                }
                Err(trouble) => {
                    let when = when(before, trouble, (now, outcome.next));
                    let message = format!("{}{remark}. {when}", trouble.message);
                    set(READY, ("False", "Error", message));
                }
            }
            looked(&mut status, outcome);
        }
    }
    status.observed_generation = generation;
    status
}

/// Returns since when there is trouble, how often it was tried, and what comes next, as sentences.
fn when(
    before: &RepositoryStatus,
    trouble: &Trouble,
    (now, next): (Timestamp, Option<Timestamp>),
) -> String {
    let since = since(before, now);
    let tries = match trouble.tries {
        0 => "not asked again since".into(),
        1 => "tried once".into(),
        many => format!("tried {} times in a row", grouped(many as usize)),
    };
    let next = match next {
        Some(next) => format!("it is tried again at {}", seconds(next)),
        None => "it is tried again when the Repository changes".into(),
    };
    format!("Not ready since {since}; {tries}; {next}")
}

fn conflict(other: &str, since: Timestamp) -> String {
    format!(
        "Repository conflict with existing repository: {other}. Not ready since {since}; \
         it is tried again when that one goes"
    )
}

/// Returns since when a Repository is not ready.
fn since(before: &RepositoryStatus, now: Timestamp) -> Timestamp {
    let known = ready(before).filter(|ready| ready.status == "False");
    seconds(known.map_or(now, |ready| ready.last_transition_time.0))
}

/// Returns a number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Notes what a look saw, and when.
fn looked(status: &mut RepositoryStatus, outcome: &Outcome) {
    let time = |at: Timestamp| Time(seconds(at));
    if let Ok(seen) = &outcome.result {
        status.package_count = i64::try_from(seen.revisions).ok();
        status.git_commit_hash = seen.head.clone().unwrap_or_default();
        status.last_full_sync_time = Some(time(outcome.at));
    }
    status.next_full_sync_time = outcome.next.map(time);
    status.observed_run_once_at = outcome.acted_on.map(time);
}

fn complete(notes: &[Note]) -> (&'static str, &'static str, String) {
    if notes.is_empty() {
        return (
            "True",
            "Complete",
            "Everything that is a package revision is served".into(),
        );
    }
    let mut told: Vec<String> = notes.iter().take(TOLD).map(ToString::to_string).collect();
    if notes.len() > TOLD {
        told.push(format!("and {} more", notes.len() - TOLD));
    }
    (
        "False",
        "Skipped",
        format!("Not served: {}", told.join("; ")),
    )
}

/// Puts a condition in its place. The time of its transition stays while its status does.
fn put(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|known| known.type_ == new.type_) {
        None => conditions.push(new),
        Some(known) => {
            if known.status == new.status {
                new.last_transition_time = known.last_transition_time.clone();
            }
            *known = new;
        }
    }
}

/// Returns a time as it is stored: in whole seconds.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Returns the reason of the `Ready` condition; nothing if there is none.
#[must_use]
pub fn ready(status: &RepositoryStatus) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == READY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Seen;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn outcome(second: i64, result: Result<Seen, &str>) -> Outcome {
        let trouble = |message: &str| Trouble {
            message: message.into(),
            kind: "Unreachable",
            tries: 1,
        };
        Outcome {
            generation: 1,
            result: result.map_err(trouble),
            at: at(second),
            next: Some(at(second + 300)),
            acted_on: None,
        }
    }

    fn told(before: &RepositoryStatus, standing: &Standing<'_>, second: i64) -> RepositoryStatus {
        let mut repository = Repository::default();
        repository.metadata.generation = Some(2);
        status(&repository, before, standing, (at(second), ""))
    }

    #[test]
    fn a_transition_has_a_time_and_what_follows_has_not() {
        let new = told(&RepositoryStatus::default(), &Standing::Reconciling, 1);
        let ready_at = |status: &RepositoryStatus| {
            let condition = ready(status).unwrap();
            (
                condition.reason.clone(),
                condition.last_transition_time.0.as_second(),
            )
        };
        assert_eq!(ready_at(&new), ("Reconciling".into(), 1));
        let failed = outcome(2, Err("no such host"));
        let failed = told(&new, &Standing::Looked(&failed), 2);
        assert_eq!(ready_at(&failed), ("Error".into(), 1));
        assert_eq!(
            (failed.package_count, failed.last_full_sync_time.as_ref()),
            (None, None)
        );
        let well = outcome(
            3,
            Ok(Seen {
                revisions: 7,
                head: Some("c".into()),
                notes: vec![],
            }),
        );
        let well = told(&failed, &Standing::Looked(&well), 3);
        assert_eq!(ready_at(&well), ("Ready".into(), 3));
        assert_eq!(
            (well.package_count, well.git_commit_hash.as_str()),
            (Some(7), "c")
        );
        assert_eq!(well.observed_generation, 2);
        let later = outcome(
            9,
            Ok(Seen {
                revisions: 7,
                head: Some("c".into()),
                notes: vec![],
            }),
        );
        let later = told(&well, &Standing::Looked(&later), 9);
        assert_eq!(ready_at(&later), ("Ready".into(), 3));
        assert_eq!(later.last_full_sync_time, Some(Time(at(9))));
        let failed = outcome(10, Err("timeout"));
        let failed = told(&later, &Standing::Looked(&failed), 10);
        assert_eq!(ready_at(&failed), ("Error".into(), 10));
        assert_eq!(
            (failed.package_count, failed.last_full_sync_time),
            (Some(7), Some(Time(at(9))))
        );
    }

    #[test]
    fn trouble_is_told_with_its_beginning_its_tries_and_what_comes_next() {
        let message = |status: &RepositoryStatus| ready(status).unwrap().message.clone();
        let well = told(&RepositoryStatus::default(), &Standing::Reconciling, 1);
        let first = outcome(100, Err("no such host"));
        let first = told(&well, &Standing::Looked(&first), 100);
        assert_eq!(
            message(&first),
            "no such host. Not ready since 1970-01-01T00:00:01Z; tried once; \
             it is tried again at 1970-01-01T00:06:40Z"
        );
        let mut later = outcome(500, Err("no such host"));
        later.next = None;
        later.result = later.result.map_err(|trouble| Trouble {
            tries: 1234,
            ..trouble
        });
        let later = told(&first, &Standing::Looked(&later), 500);
        assert_eq!(
            message(&later),
            "no such host. Not ready since 1970-01-01T00:00:01Z; tried 1,234 times in a row; \
             it is tried again when the Repository changes"
        );
        let progress = Progress {
            read: 4200,
            of: 1_111_000,
        };
        let reading = told(&later, &Standing::Reading(progress), 501);
        assert_eq!(
            message(&reading),
            "Repository reconciliation in progress: reading 4,200 of 1,111,000 package revisions"
        );
    }

    #[test]
    fn what_must_change_first_is_told_with_its_beginning_and_what_comes_next() {
        let message = |status: &RepositoryStatus| ready(status).unwrap().message.clone();
        let refused = Standing::Refused("spec.git.repo: no".into());
        let first = told(&RepositoryStatus::default(), &refused, 100);
        assert_eq!(
            message(&first),
            "spec.git.repo: no. Not ready since 1970-01-01T00:01:40Z; \
             it is tried again when the Repository changes"
        );
        assert_eq!(told(&first, &refused, 500), first, "nothing is new");
        let conflict = Standing::Conflicting("a/first".into());
        let conflict = told(&first, &conflict, 600);
        assert_eq!(
            message(&conflict),
            "Repository conflict with existing repository: a/first. \
             Not ready since 1970-01-01T00:01:40Z; it is tried again when that one goes"
        );
    }

    #[test]
    fn what_is_not_served_is_told_in_bounds() {
        let notes = |count| {
            let note = |number| Note {
                what: format!("refs/{number}"),
                why: "odd".into(),
            };
            (0..count).map(note).collect::<Vec<_>>()
        };
        assert_eq!(complete(&[]).0, "True");
        assert_eq!(complete(&notes(1)).2, "Not served: refs/0: odd");
        let (status, reason, message) = complete(&notes(1000));
        assert_eq!((status, reason), ("False", "Skipped"));
        assert!(message.ends_with("; and 990 more"), "{message}");
    }
}
