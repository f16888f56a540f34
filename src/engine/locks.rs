//! Locks in memory, one for each name that is being written: two requests of one process need not both do the work that
//! only one can finish. What keeps processes apart is the intent in the record.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::Notify;

use crate::cache::Name;

/// What is being written; clones share it.
#[derive(Clone, Default)]
pub struct Locks {
    /// Those who wait are woken when the name is free. Held for moments; a name that is free has no entry.
    held: Arc<Mutex<HashMap<Name, Arc<Notify>>>>,
}

/// The right to write under a name, given back when it is dropped.
pub struct Lock {
    locks: Locks,
    name: Name,
}

impl Locks {
    /// Returns the right to write under a name; nothing while another has it.
    #[must_use]
    pub fn take(&self, name: &Name) -> Option<Lock> {
        let mut held = self.held();
        if held.contains_key(name) {
            return None;
        }
        held.insert(name.clone(), Arc::default());
        Some(Lock {
            locks: self.clone(),
            name: name.clone(),
        })
    }

    /// Waits for the right to write under a name.
    pub async fn wait(&self, name: &Name) -> Lock {
        loop {
            // Made while the map is held, so that no release is missed.
            let freed = self
                .held()
                .get(name)
                .map(|held| held.clone().notified_owned());
            match freed {
                Some(freed) => freed.await,
                None => match self.take(name) {
                    Some(lock) => return lock,
                    None => tokio::task::yield_now().await,
                },
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Name, Arc<Notify>>> {
        self.held.lock().expect("nobody panics with the lock held")
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(freed) = self.locks.held().remove(&self.name) {
            freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_holds_a_name_and_others_wait_or_are_told() {
        let locks = Locks::default();
        let (one, other) = (Name::new("n", "a"), Name::new("n", "b"));
        let held = locks.take(&one).unwrap();
        assert!(locks.take(&one).is_none());
        assert!(locks.take(&other).is_some());
        let waiting = (0..10).map(|_| {
            let (locks, one) = (locks.clone(), one.clone());
            tokio::spawn(async move { drop(locks.wait(&one).await) })
        });
        let waiting: Vec<_> = waiting.collect();
        tokio::task::yield_now().await;
        drop(held);
        for waiter in waiting {
            waiter.await.unwrap();
        }
        assert!(locks.held().is_empty(), "a free name takes no memory");
    }
}
