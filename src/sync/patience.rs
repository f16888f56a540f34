//! How long to leave a repository alone after a look that failed. In comes why it failed and how often in a row, out goes a
//! time: upstream's for the class of the error, then twice as long, and so on. Pure; what looks like chance follows from
//! names, so that repositories that failed together do not come back together and a test sees what will be.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::Error;
use crate::git;

/// The longest wait that repetition leads to: longer waits are their class's own.
const LONGEST: Duration = Duration::from_mins(10);
/// By so many parts of a hundred a wait is longer at most than it would be.
const SPREAD: u64 = 20;

/// Returns how long to wait after the failure number `tries` of its kind in a row; nothing if only a change of the
/// Repository can help. `who` is what tells this repository from others.
#[must_use]
pub fn wait(error: &Error, tries: u32, who: &str) -> Option<Duration> {
    let class = error.retry_after()?;
    let wait = match error {
        Error::Git(git::Error::Later { .. }) | Error::Silent { .. } => class,
        Error::Git(_) => {
            let doubled = class.saturating_mul(1 << tries.saturating_sub(1).min(10));
            doubled.min(LONGEST.max(class))
        }
        // The cluster and its Secrets cost no Git server anything.
        _ => return Some(class),
    };
    let mut hasher = DefaultHasher::new();
    (who, tries).hash(&mut hasher);
    let part = u32::try_from(hasher.finish() % (SPREAD + 1)).unwrap_or_default();
    Some(wait + wait * part / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(error: git::Error, who: &str) -> Vec<u64> {
        let error = Error::Git(error);
        let each = (1..8).map(|tries| wait(&error, tries, who).unwrap().as_secs());
        each.collect()
    }

    #[test]
    fn waits_begin_with_the_class_of_the_error_and_grow_to_a_bound() {
        let words = || "https://tls.example.com/timeout: x".to_owned();
        for (error, least) in [
            (
                git::Error::Unreachable(words()),
                [30, 60, 120, 240, 480, 600, 600],
            ),
            (
                git::Error::TimedOut(words()),
                [60, 120, 240, 480, 600, 600, 600],
            ),
            (
                git::Error::NotFound(words()),
                [120, 240, 480, 600, 600, 600, 600],
            ),
            (
                git::Error::Certificate(words()),
                [300, 600, 600, 600, 600, 600, 600],
            ),
            (git::Error::Unauthorized(words()), [600; 7]),
            (
                git::Error::Later {
                    why: words(),
                    after: Duration::from_secs(77),
                },
                [77; 7],
            ),
        ] {
            let told = format!("{error:?}");
            for (wait, least) in waits(error, "uid").into_iter().zip(least) {
                assert!(
                    (least..=least * 6 / 5).contains(&wait),
                    "{told}: {wait} for {least}"
                );
            }
        }
    }

    #[test]
    fn repositories_that_failed_together_come_back_one_after_the_other() {
        let first = |who: &str| waits(git::Error::Unauthorized("x".into()), who)[0];
        let all: std::collections::BTreeSet<u64> = (0..100)
            .map(|number| first(&format!("uid-{number}")))
            .collect();
        assert!(all.len() > 15, "{all:?}");
    }

    #[test]
    fn what_only_a_change_can_help_is_not_tried_again_and_secrets_are_asked_for_often() {
        let invalid = Error::Invalid {
            field: "spec",
            why: "x".into(),
        };
        assert_eq!(wait(&invalid, 1, "uid"), None);
        let secret = Error::Credentials("x".into());
        assert_eq!(wait(&secret, 9, "uid"), Some(Duration::from_secs(30)));
    }
}
