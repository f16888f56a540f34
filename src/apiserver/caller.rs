//! The one who waits for an answer. It may go away, and then nothing is done for it; but what has begun is finished.
//!
//! In comes a deadline; out goes a handle for the deed and a guard for the one who waits. Which of the two is first, the
//! other learns: there is no moment at which a deed begins for somebody who has gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Failure;

/// How long one in the same process waits who does not say.
const PATIENCE: Duration = Duration::from_mins(1);

/// One who waits for what a deed comes to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    deadline: Instant,
    /// A lock, and not an atomic number, so that nobody sees a stage whose token was not cancelled yet.
    stage: Arc<Mutex<Stage>>,
    gone: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was done that can't be left.
    Waiting,
    /// The deed is finished, whoever listens.
    Begun,
    /// Nobody listens.
    Gone,
}

/// Makes the caller one who has gone when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Caller);

impl Default for Caller {
    fn default() -> Self {
        Self::until(Instant::now() + PATIENCE)
    }
}

impl Caller {
    /// Returns a caller who waits until `deadline`, unless it goes before.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            stage: Arc::new(Mutex::new(Stage::Waiting)),
            gone: CancellationToken::new(),
        }
    }

    /// Returns the moment at which the caller is told that it took too long.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Says that the deed begins: from now on the caller can't stop it by going away.
    ///
    /// # Errors
    /// [`Failure::Timeout`] if it has gone already: then nothing is to be done.
    pub fn begin(&self) -> Result<(), Failure> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Gone {
            return Err(Failure::Timeout);
        }
        *stage = Stage::Begun;
        Ok(())
    }

    /// Returns when the caller has gone; never once the deed has begun.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Returns whether the caller has gone before the deed began.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Returns what `doing` comes to, which is dropped where it stands if the caller goes first.
    ///
    /// # Errors
    /// That of `doing`; [`Failure::Timeout`] if the caller has gone.
    pub async fn stays_for<T>(
        &self,
        doing: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.gone() => Err(Failure::Timeout),
            done = doing => done,
        }
    }

    /// Returns a guard: when it is dropped, the caller has gone.
    pub(super) fn wait(&self) -> Waiting {
        Waiting(self.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let stage = &self.0.stage;
        let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Waiting {
            *stage = Stage::Gone;
            self.0.gone.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_goes_first_wins() {
        let caller = Caller::default();
        drop(caller.wait());
        assert!(caller.has_gone());
        assert_eq!(caller.begin(), Err(Failure::Timeout));
        let never = std::future::pending::<Result<(), Failure>>();
        assert_eq!(caller.stays_for(never).await, Err(Failure::Timeout));

        let caller = Caller::default();
        let waiting = caller.wait();
        assert_eq!(caller.begin(), Ok(()));
        drop(waiting);
        assert!(!caller.has_gone());
        assert_eq!(caller.begin(), Ok(()));
        assert_eq!(caller.stays_for(async { Ok(1) }).await, Ok(1));
    }
}
