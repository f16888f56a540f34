//! How much is done at once. In comes a request that wants to begin; out goes a place, held while it is answered, or a
//! refusal that says to come again.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Failure, Identity, request::Action};

/// What a caller is told when too much is under way (k8s.io/apiserver `maxinflight`).
const CROWDED: &str = "Too many requests, please try again later.";

/// How much may be under way at once; zero: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that read.
    pub reads: usize,
    /// Requests that write.
    pub writes: usize,
    /// Watches.
    pub watches: usize,
}

impl Default for Limits {
    /// Returns kube-apiserver's numbers, and as many watches as one connection of the aggregator could not open alone.
    fn default() -> Self {
        Self {
            reads: 400,
            writes: 200,
            watches: 20_000,
        }
    }
}

/// The places that there are.
pub(super) struct Places {
    reads: Option<Arc<Semaphore>>,
    writes: Option<Arc<Semaphore>>,
    watches: Option<Arc<Semaphore>>,
}

/// A place: given back when it is dropped.
pub(super) struct Seat {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        let places = |count: usize| (count > 0).then(|| Arc::new(Semaphore::new(count)));
        Self {
            reads: places(limits.reads),
            writes: places(limits.writes),
            watches: places(limits.watches),
        }
    }

    /// Returns a place for a request; masters, who keep the cluster going, always have one.
    ///
    /// # Errors
    /// [`Failure::TooManyRequests`]
    pub(super) fn take(&self, action: Action, who: &Identity) -> Result<Seat, Failure> {
        let places = match action {
            Action::Watch => &self.watches,
            Action::Get | Action::List => &self.reads,
            _ => &self.writes,
        };
        let Some(places) = places.as_ref().filter(|_| !who.is_master()) else {
            return Ok(Seat { _permit: None });
        };
        match places.clone().try_acquire_owned() {
            Ok(permit) => Ok(Seat {
                _permit: Some(permit),
            }),
            Err(_) => Err(Failure::TooManyRequests(CROWDED.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_told_to_come_again_and_masters_never_are() {
        let limits = Limits {
            reads: 2,
            writes: 1,
            watches: 0,
        };
        let (places, user) = (Places::new(limits), Identity::new("u", []));
        let one = places.take(Action::Get, &user).unwrap();
        let _two = places.take(Action::List, &user).unwrap();
        let refused = places.take(Action::Get, &user);
        assert!(matches!(refused, Err(Failure::TooManyRequests(_))));
        assert!(places.take(Action::Get, &Identity::master("m")).is_ok());
        assert!(places.take(Action::Patch, &user).is_ok());
        let watches: Vec<_> = (0..1000)
            .map(|_| places.take(Action::Watch, &user))
            .collect();
        assert!(watches.iter().all(Result::is_ok));
        drop(one);
        assert!(places.take(Action::Get, &user).is_ok());
    }
}
