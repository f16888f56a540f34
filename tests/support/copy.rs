//! A client of the cache that keeps a copy by following, and checks while it does that it is told one story: nothing lost,
//! nothing doubled, no version that goes back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use porch::cache::{Catalog, Entry, Follower, Name, Store, Version};

/// Marsaglia's xorshift: chance that can be had again.
pub struct Chance(pub u64);

impl Chance {
    /// Returns a number below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A client that keeps a copy by following, and begins anew when it is told to.
pub struct Copy<T> {
    store: Arc<Store<T>>,
    follower: Option<Follower<T>>,
    /// What it knows.
    pub state: BTreeMap<Name, (Version, Bytes)>,
    newest: Version,
    /// How often it had to begin anew.
    pub begun: usize,
}

impl<T: Entry> Copy<T> {
    /// Returns a copy that knows nothing yet.
    pub fn of(store: &Arc<Store<T>>) -> Self {
        Self {
            store: store.clone(),
            follower: None,
            state: BTreeMap::new(),
            newest: Version(0),
            begun: 0,
        }
    }

    /// Hears all there is to hear now.
    pub fn catch_up(&mut self) {
        loop {
            let Some(follower) = &mut self.follower else {
                self.begin();
                continue;
            };
            match follower.next().now_or_never() {
                None => return,
                Some(Err(_)) => self.follower = None,
                Some(Ok(batch)) => {
                    for change in &batch.changes {
                        let name = change.was.as_ref().or(change.is.as_ref()).unwrap().name();
                        let was = change.was.as_ref().map(|it| it.version());
                        assert_eq!(self.state.get(name).map(|it| it.0), was, "lost or doubled");
                        match &change.is {
                            Some(is) => self.state.insert(name.clone(), shown(is)),
                            None => self.state.remove(name),
                        };
                    }
                    assert!(batch.version > self.newest, "back, or doubled");
                    self.newest = batch.version;
                }
            }
        }
    }

    fn begin(&mut self) {
        let snapshot = self.store.snapshot();
        assert!(snapshot.version >= self.newest, "a list went back");
        self.newest = snapshot.version;
        self.begun += 1;
        let pair = |(name, it): (&Name, &Arc<T>)| (name.clone(), shown(it));
        self.state = snapshot.objects.iter().map(pair).collect();
        self.follower = Some(self.store.follow(snapshot.version).unwrap());
    }

    /// Loses the connection; resumes at another replica from what was heard last, if that has heard of it.
    pub async fn move_to(&mut self, catalog: &Catalog, store: &Arc<Store<T>>) {
        let within = Duration::from_secs(3);
        if catalog.wait_for(self.newest, within).await.is_ok() {
            self.follower = store.follow(self.newest).ok();
            self.store = store.clone();
        }
    }
}

/// Returns what a reader is shown of an object.
pub fn shown<T: Entry>(entry: &Arc<T>) -> (Version, Bytes) {
    (entry.version(), entry.metadata().clone())
}
