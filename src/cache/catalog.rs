//! All records, and the two stores that are served from them: package revisions and packages.
//!
//! In comes the stream of the cluster's records, through one feed. A stream that begins anew is staged: what was seen
//! before serves on, until the feed proves that the new stream knows at least as much. Out go both stores, at one version.
//! It never asks the cluster for anything: it tells the feed when somebody waits for more.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use imbl::OrdMap;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    Entry, Name, Package, Revision, Store, TooNew, Version,
    package::source,
    records::{Records, package_of},
    revision::{name_of, version_of},
};
use crate::api::PackageRev;

/// A handle to the records; its clones share them.
#[derive(Clone)]
pub struct Catalog {
    parts: Arc<Parts>,
}

struct Parts {
    revisions: Arc<Store<Revision>>,
    packages: Arc<Store<Package>>,
    /// Held while one event is worked in: readers of the stores never need it.
    state: Mutex<State>,
    /// Tells the feed that a reader waits for a version not yet seen. Keeps one call for a feed that is busy.
    wanted: Notify,
    /// Whether the first stream has caught up; never goes back.
    ready: watch::Sender<bool>,
}

/// What the feed has told.
struct State {
    /// What is served.
    live: Records,
    /// A stream that has begun anew and has not caught up.
    staged: Option<Staged>,
    /// When the last event came.
    heard: Option<Instant>,
}

/// A stream that has begun anew.
#[derive(Default)]
struct Staged {
    records: Records,
    /// Whether its list is complete: what comes then are events, in the order of their versions.
    listed: bool,
    /// The newest version among its events.
    seen: Version,
    /// The version that it must have seen to know everything that anyone was ever told.
    needed: Option<Version>,
}

impl Catalog {
    /// Returns an empty catalog that keeps the last `history` changes of each store.
    #[must_use]
    pub fn new(history: usize) -> Self {
        let state = State {
            live: Records::default(),
            staged: None,
            heard: None,
        };
        let parts = Parts {
            revisions: Arc::new(Store::new(history)),
            packages: Arc::new(Store::new(history)),
            state: Mutex::new(state),
            wanted: Notify::new(),
            ready: watch::Sender::new(false),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Returns the package revisions.
    #[must_use]
    pub fn revisions(&self) -> &Arc<Store<Revision>> {
        &self.parts.revisions
    }

    /// Returns the packages.
    #[must_use]
    pub fn packages(&self) -> &Arc<Store<Package>> {
        &self.parts.packages
    }

    /// Returns all records of a Repository, served or not, and the version that they are of.
    #[must_use]
    pub fn records_of(&self, namespace: &str, repository: &str) -> (Version, Vec<Arc<PackageRev>>) {
        let state = self.state();
        let repository = Name::new(namespace, repository);
        (self.seen(), state.live.of_repository(&repository))
    }

    /// Returns a record by its name, served or not.
    #[must_use]
    pub fn record(&self, namespace: &str, name: &str) -> Option<Arc<PackageRev>> {
        self.state().live.get(&Name::new(namespace, name)).cloned()
    }

    /// Returns the Repositories that have records, by namespace and name.
    #[must_use]
    pub fn repositories(&self) -> Vec<Name> {
        self.state().live.repositories()
    }

    /// Returns whether everything was seen that anyone was ever told; once true, always true.
    #[must_use]
    pub fn ready(&self) -> bool {
        *self.parts.ready.borrow()
    }

    /// Waits until [`Catalog::ready`].
    pub async fn until_ready(&self) {
        let mut ready = self.parts.ready.subscribe();
        // The sender is in `self`, so it lives while we wait.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Returns the newest version seen.
    #[must_use]
    pub fn seen(&self) -> Version {
        self.parts.revisions.version()
    }

    /// Returns the time since the feed heard anything; nothing if it never did.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.state().heard.map(|heard| heard.elapsed())
    }

    /// Waits until `version` has been seen, for at most `within`; has the feed look for it.
    ///
    /// # Errors
    /// [`TooNew`] if it was not.
    pub async fn wait_for(&self, version: Version, within: Duration) -> Result<(), TooNew> {
        if self.seen() >= version {
            return Ok(());
        }
        self.parts.wanted.notify_one();
        // Packages move first, so they have been there too.
        self.parts.revisions.wait_for(version, within).await
    }

    /// Waits until a reader wants more than was seen. For the feed.
    pub async fn wanted(&self) {
        self.parts.wanted.notified().await;
    }

    /// Begins a new stream: what comes next is staged. A stream that had not caught up is forgotten. For the feed.
    pub fn begin_relist(&self) {
        self.state().staged = Some(Staged::default());
    }

    /// Takes a record from the list that a stream begins with. For the feed.
    pub fn stage(&self, record: PackageRev) {
        let mut state = self.state();
        state.heard = Some(Instant::now());
        let record = state.live.shared(record);
        if let Some(staged) = &mut state.staged {
            staged.records.put(record);
        }
    }

    /// Notes that the list is complete: from here on the stream has events, in order. For the feed.
    pub fn staged(&self) {
        if let Some(staged) = &mut self.state().staged {
            staged.listed = true;
        }
    }

    /// Notes the version of a touch of the marker that was made after the current stream's list was complete: when the
    /// stream has come so far, it serves. For the feed.
    pub fn touched(&self, version: Version) {
        let mut state = self.state();
        if let Some(staged) = &mut state.staged
            && staged.listed
        {
            staged.needed = staged.needed.max(Some(version));
        }
        self.settle(&mut state);
    }

    /// Returns whether a stream is still to catch up.
    #[must_use]
    pub fn staging(&self) -> bool {
        self.state().staged.is_some()
    }

    /// Takes an event: a record is new or changed. Returns false, and does nothing, if it has no version. For the feed.
    pub fn apply(&self, record: PackageRev) -> bool {
        let Some(version) = version_of(&record) else {
            return false;
        };
        let mut state = self.state();
        state.heard = Some(Instant::now());
        let record = Arc::new(record);
        if let Some(staged) = &mut state.staged {
            staged.records.put(record);
            staged.seen = staged.seen.max(version);
            self.settle(&mut state);
            return true;
        }
        if version <= self.seen() {
            // Told twice: a watch that resumes may begin with what was the last.
            return true;
        }
        let was = state.live.put(record.clone());
        self.publish(&state.live, was.as_deref(), Some(&record), version);
        true
    }

    /// Takes an event: a record is gone. Its version is that of its deletion. Returns false, and does nothing, if it has
    /// none. For the feed.
    pub fn delete(&self, record: &PackageRev) -> bool {
        let Some(version) = version_of(record) else {
            return false;
        };
        let mut state = self.state();
        state.heard = Some(Instant::now());
        if let Some(staged) = &mut state.staged {
            staged.records.remove(&name_of(record));
            staged.seen = staged.seen.max(version);
            self.settle(&mut state);
            return true;
        }
        if version <= self.seen() {
            return true;
        }
        let was = state.live.remove(&name_of(record));
        self.publish(&state.live, was.as_deref(), None, version);
        true
    }

    /// Tells both stores of one event.
    fn publish(
        &self,
        live: &Records,
        was: Option<&PackageRev>,
        is: Option<&Arc<PackageRev>>,
        version: Version,
    ) {
        let mut packages = Vec::new();
        let (before, after) = (was.and_then(package_of), is.and_then(|is| package_of(is)));
        let moved = before.clone().filter(|_| before != after);
        for name in moved.into_iter().chain(after) {
            packages.extend(self.package_change(live, name, version));
        }
        let mut revisions = Vec::new();
        if let Some(record) = is {
            revisions.push((name_of(record), Revision::of(record).map(Arc::new)));
        } else if let Some(record) = was {
            revisions.push((name_of(record), None));
        }
        self.parts.packages.change(version, packages);
        self.parts.revisions.change(version, revisions);
    }

    /// Returns what an event at `version` makes of a package; nothing if it leaves it as it is.
    fn package_change(
        &self,
        live: &Records,
        name: Name,
        version: Version,
    ) -> Option<(Name, Option<Arc<Package>>)> {
        let before = self.parts.packages.get(&name);
        let after = package(live, &name, before.as_ref(), version);
        let same = match (&before, &after) {
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            (before, after) => before.is_none() && after.is_none(),
        };
        (!same).then_some((name, after))
    }

    /// Lets the staged stream serve, if it has caught up.
    fn settle(&self, state: &mut State) {
        let caught_up = |staged: &mut Staged| staged.needed.is_some_and(|it| staged.seen >= it);
        let Some(staged) = state.staged.take_if(caught_up) else {
            return;
        };
        let head = staged.seen;
        state.live = staged.records;
        let packages = self.all_packages(&state.live, head);
        let revisions = self.all_revisions(&state.live);
        self.parts.packages.replace(packages, head);
        self.parts.revisions.replace(revisions, head);
        self.parts.ready.send_replace(true);
    }

    fn all_revisions(&self, live: &Records) -> OrdMap<Name, Arc<Revision>> {
        let before = self.parts.revisions.snapshot().objects;
        let kept = |name: &Name, record: &Arc<PackageRev>| {
            let known = before.get(name)?;
            Arc::ptr_eq(known.record(), record).then(|| known.clone())
        };
        let made = |record| Revision::of(record).map(Arc::new);
        live.all()
            .filter_map(|(name, record)| {
                Some((name.clone(), kept(name, record).or_else(|| made(record))?))
            })
            .collect()
    }

    fn all_packages(&self, live: &Records, version: Version) -> OrdMap<Name, Arc<Package>> {
        let before = self.parts.packages.snapshot().objects;
        live.packages()
            .filter_map(|name| {
                let made = package(live, name, before.get(name), version)?;
                Some((name.clone(), made))
            })
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.parts.state.lock();
        state.expect("no feed panics with the lock held")
    }
}

/// Returns a package as its records make it at `version`, or nothing if it has none: `before` itself if that is
/// unchanged. Its version is that of the record that its content comes from; if the package was newer already (a record
/// was taken away that was newer), that of the event, so that versions never go back and two contents never share one.
fn package(
    live: &Records,
    name: &Name,
    before: Option<&Arc<Package>>,
    version: Version,
) -> Option<Arc<Package>> {
    let source = source(live.of_package(name))?;
    let own = version_of(source)?;
    let Some(before) = before else {
        return Package::of(source, own).map(Arc::new);
    };
    let known = before.source();
    if name_of(known) == name_of(source) && version_of(known) == Some(own) {
        return Some(before.clone());
    }
    let newer = own > before.version();
    Package::of(source, if newer { own } else { version }).map(Arc::new)
}
