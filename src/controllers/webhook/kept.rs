//! The secrets of Repositories' own webhooks, kept for a moment: whoever sends a message has proved nothing yet, so however
//! many come, a Secret is read no more often than a bound says. A new secret counts as soon as that lets it be read.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a Secret is not read again.
const FRESH: Duration = Duration::from_secs(5);
/// How long what was read is kept.
const KEPT: Duration = Duration::from_mins(10);

/// Namespace and name.
type Name = (String, String);
/// A secret; nothing if there is none.
type Secret = Option<Vec<u8>>;

/// What was read.
#[derive(Default)]
pub struct Kept {
    /// Held for moments.
    known: Mutex<HashMap<Name, (Instant, Secret)>>,
}

impl Kept {
    /// Returns whether a secret fits; it is read if the one that is known does not, and was not read just now.
    pub async fn fits(
        &self,
        name: Name,
        is_it: impl Fn(&[u8]) -> bool,
        read: impl Future<Output = Secret>,
    ) -> bool {
        let now = Instant::now();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, secret)) = known.get_mut(&name) {
                if secret.as_deref().is_some_and(&is_it) {
                    return true;
                }
                if now < *at + FRESH {
                    return false;
                }
                // Those who come meanwhile need not read it too.
                *at = now;
            }
        }
        let secret = read.await;
        let done = secret.as_deref().is_some_and(is_it);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| now < *at + KEPT);
        known.insert(name, (now, secret));
        done
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_read_no_more_often_than_it_may_be_and_a_new_one_counts() {
        let (kept, reads) = (Kept::default(), Cell::new(0));
        let secret = Cell::new("old");
        let ask = async |shown: &str| {
            let fits = |secret: &[u8]| secret == shown.as_bytes();
            let read = async {
                reads.set(reads.get() + 1);
                Some(secret.get().into())
            };
            kept.fits(("a".into(), "b".into()), fits, read).await
        };
        for _ in 0..100 {
            assert!(!ask("guess").await);
            assert!(ask("old").await);
        }
        assert_eq!(reads.get(), 1);
        secret.set("new");
        assert!(!ask("new").await);
        tokio::time::advance(FRESH).await;
        assert!(ask("new").await);
        assert!(!ask("old").await);
        assert_eq!(reads.get(), 2);
        // Nor does what is right all the time hide for long that it is wrong by now.
        secret.set("newer");
        assert!(ask("new").await);
        tokio::time::advance(KEPT).await;
        let other = kept.fits(("a".into(), "c".into()), |_| true, async { None });
        assert!(!other.await);
        assert!(!ask("new").await);
    }
}
