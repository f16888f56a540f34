//! A reader with a place in the history. It holds no queue: one too slow falls off the end and is told so.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Change, Entry, Expired, Store, Version};

/// How many changes a reader is handed at once; bounds what a slow one holds.
const BATCH: usize = 64;

/// What a follower is told.
pub struct Batch<T> {
    /// The changes, oldest first; empty when only the version moved.
    pub changes: Vec<Arc<Change<T>>>,
    /// The version up to which the reader then knows everything.
    pub version: Version,
}

/// A reader of all changes after a version.
pub struct Follower<T> {
    store: Arc<Store<T>>,
    /// Wakes when anything moved.
    moved: watch::Receiver<Version>,
    /// Everything up to here was handed out.
    at: Version,
    /// The history that `at` is a place in.
    epoch: u64,
}

impl<T: Entry> Follower<T> {
    pub(super) fn new(
        store: Arc<Store<T>>,
        moved: watch::Receiver<Version>,
        at: Version,
        epoch: u64,
    ) -> Self {
        Self {
            store,
            moved,
            at,
            epoch,
        }
    }

    /// Returns the version up to which everything was handed out.
    #[must_use]
    pub fn version(&self) -> Version {
        self.at
    }

    /// Waits for something new and returns it. Safe to cancel: nothing is lost.
    ///
    /// # Errors
    /// [`Expired`] if this reader was too slow, or history was lost; it must begin anew.
    pub async fn next(&mut self) -> Result<Batch<T>, Expired> {
        loop {
            self.moved.borrow_and_update();
            let batch = self.store.since(self.at, self.epoch, BATCH)?;
            if batch.version > self.at {
                self.at = batch.version;
                return Ok(batch);
            }
            if self.moved.changed().await.is_err() {
                // The store is held by this follower, so its sender lives as long.
                return Err(Expired {
                    asked: self.at,
                    oldest: self.at,
                });
            }
        }
    }
}
