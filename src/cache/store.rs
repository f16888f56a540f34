//! Objects of one kind at one version, and the short history of how they came to be so.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, RwLock},
    time::Duration,
};

use imbl::OrdMap;
use tokio::sync::watch;

use super::{Entry, Follower, Name, Version};

/// One change of one object: what was, and what is.
#[derive(Debug)]
pub struct Change<T> {
    /// The version that the change made.
    pub version: Version,
    /// The object before; nothing for a creation.
    pub was: Option<Arc<T>>,
    /// The object after; nothing for a deletion.
    pub is: Option<Arc<T>>,
    /// `was` under `version`, made for the first reader that is told of a disappearance.
    last: OnceLock<Arc<T>>,
}

impl<T: Entry> Change<T> {
    /// Returns the state before under the version of this change: what a reader is shown of an object that is gone, or
    /// gone from its selection. Nothing for a creation.
    pub fn last(&self) -> Option<&Arc<T>> {
        let was = self.was.as_ref()?;
        Some(self.last.get_or_init(|| Arc::new(was.at(self.version))))
    }
}

/// All objects at one version. Cheap to take and to keep.
#[derive(Debug)]
pub struct Snapshot<T> {
    /// The objects by name.
    pub objects: OrdMap<Name, Arc<T>>,
    /// The newest version seen when it was taken.
    pub version: Version,
}

/// The history asked for is no longer kept, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// The version asked for.
    pub asked: Version,
    /// The oldest version that can be followed.
    pub oldest: Version,
}

/// The version asked for was not seen in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too large resource version: {asked}, current: {current}")]
pub struct TooNew {
    /// The version asked for.
    pub asked: Version,
    /// The newest version seen.
    pub current: Version,
}

/// What writers share with readers; held for as long as it takes to clone a map or to push a change.
struct State<T> {
    objects: OrdMap<Name, Arc<T>>,
    /// Changes after `floor`, oldest first.
    log: VecDeque<Arc<Change<T>>>,
    /// The version before the first change in the log: the oldest that can be followed.
    floor: Version,
    /// The newest version seen.
    head: Version,
    /// Counts the times that history was lost: a follower from an earlier one must begin anew.
    epoch: u64,
}

/// Objects of one kind, the last changes, and the newest version seen. One writer; any number of readers.
pub struct Store<T> {
    state: RwLock<State<T>>,
    /// How many changes are kept.
    capacity: usize,
    /// Wakes followers and those who wait for a version; carries nothing, so that nobody waits for a reader.
    moved: watch::Sender<Version>,
}

impl<T: Entry> Store<T> {
    /// Returns an empty store at version zero that keeps the last `capacity` changes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let state = State {
            objects: OrdMap::new(),
            log: VecDeque::new(),
            floor: Version(0),
            head: Version(0),
            epoch: 0,
        };
        Self {
            state: RwLock::new(state),
            capacity,
            moved: watch::Sender::new(Version(0)),
        }
    }

    /// Returns all objects at the newest version seen.
    pub fn snapshot(&self) -> Snapshot<T> {
        let state = self.read();
        Snapshot {
            objects: state.objects.clone(),
            version: state.head,
        }
    }

    /// Returns all objects as they were at `version`.
    ///
    /// # Errors
    /// [`Expired`] if the changes since then are no longer known.
    pub fn snapshot_at(&self, version: Version) -> Result<Snapshot<T>, Expired> {
        let state = self.read();
        if version < state.floor || version > state.head {
            return Err(Expired {
                asked: version,
                oldest: state.floor,
            });
        }
        let mut objects = state.objects.clone();
        let later = state
            .log
            .partition_point(|change| change.version <= version);
        for change in state.log.range(later..).rev() {
            undo(&mut objects, change);
        }
        Ok(Snapshot { objects, version })
    }

    /// Returns the object of this name, if there is one.
    pub fn get(&self, name: &Name) -> Option<Arc<T>> {
        self.read().objects.get(name).cloned()
    }

    /// Returns the newest version seen.
    pub fn version(&self) -> Version {
        self.read().head
    }

    /// Waits until `version` has been seen, for at most `within`.
    ///
    /// # Errors
    /// [`TooNew`] if it was not.
    pub async fn wait_for(&self, version: Version, within: Duration) -> Result<(), TooNew> {
        let mut moved = self.moved.subscribe();
        let seen = moved.wait_for(|seen| *seen >= version);
        match tokio::time::timeout(within, seen).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(TooNew {
                asked: version,
                current: self.version(),
            }),
        }
    }

    /// Returns a follower of all changes after `version`.
    ///
    /// # Errors
    /// [`Expired`] if some of them are no longer known, or if `version` was not seen yet.
    pub fn follow(self: &Arc<Self>, version: Version) -> Result<Follower<T>, Expired> {
        let state = self.read();
        if version < state.floor || version > state.head {
            return Err(Expired {
                asked: version,
                oldest: state.floor,
            });
        }
        Ok(Follower::new(
            self.clone(),
            self.moved.subscribe(),
            version,
            state.epoch,
        ))
    }

    /// Returns about `most` changes after `version`, and the version up to which the reader then knows everything.
    /// Changes of one version are never parted: the reader's place is between versions.
    pub(super) fn since(
        &self,
        version: Version,
        epoch: u64,
        most: usize,
    ) -> Result<(Vec<Arc<Change<T>>>, Version), Expired> {
        let state = self.read();
        if epoch != state.epoch || version < state.floor {
            return Err(Expired {
                asked: version,
                oldest: state.floor,
            });
        }
        let from = state.after(version);
        let mut to = state.log.len().min(from + most);
        while to > 0 && to < state.log.len() && state.log[to].version == state.log[to - 1].version {
            to += 1;
        }
        let changes: Vec<_> = state.log.range(from..to).cloned().collect();
        let known = match changes.last() {
            Some(last) if to < state.log.len() => last.version,
            _ => state.head,
        };
        Ok((changes, known))
    }

    /// Puts an object in its place, as its version says. What that object already was at its version or later stays.
    pub fn put(&self, object: Arc<T>) {
        let (name, version) = (object.name().clone(), object.version());
        self.change(version, vec![(name, Some(object))]);
    }

    /// Takes an object away at `version`, that of its deletion. One that is newer stays.
    pub fn remove(&self, name: &Name, version: Version) {
        self.change(version, vec![(name.clone(), None)]);
    }

    /// Makes all changes of one version, and notes that everything up to it has been seen.
    ///
    /// Changes come in the order of their versions. One that comes late (its version was seen, its object's was not)
    /// is not lost: it is made, and since followers can't be told of it in its place, they are told to begin anew.
    pub(super) fn change(&self, version: Version, objects: Vec<(Name, Option<Arc<T>>)>) {
        {
            let mut state = self.write();
            let late = version <= state.head;
            let mut made = Vec::with_capacity(objects.len());
            for (name, is) in objects {
                made.extend(state.make(version, name, is, late));
            }
            if late && !made.is_empty() {
                state.forget();
            } else {
                state.head = state.head.max(version);
                state.log.extend(made);
                state.trim(self.capacity);
            }
        }
        self.tell();
    }

    /// Notes that everything up to `version` has been seen.
    pub fn advance(&self, version: Version) {
        {
            let mut state = self.write();
            state.head = state.head.max(version);
        }
        self.tell();
    }

    /// Replaces everything by `objects` at `version`. History is lost: followers are told to begin anew.
    pub fn replace(&self, objects: OrdMap<Name, Arc<T>>, version: Version) {
        {
            let mut state = self.write();
            state.head = state.head.max(version);
            state.objects = objects;
            state.forget();
        }
        self.tell();
    }

    fn tell(&self) {
        let head = self.version();
        self.moved.send_modify(|seen| *seen = head.max(*seen));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State<T>> {
        self.state
            .read()
            .expect("no writer panics with the lock held")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State<T>> {
        self.state
            .write()
            .expect("no writer panics with the lock held")
    }
}

impl<T: Entry> State<T> {
    /// Returns the place in the log of the first change after `version`.
    fn after(&self, version: Version) -> usize {
        self.log.partition_point(|change| change.version <= version)
    }

    /// Changes one object, and returns the change if there is one.
    fn make(
        &mut self,
        version: Version,
        name: Name,
        is: Option<Arc<T>>,
        late: bool,
    ) -> Option<Arc<Change<T>>> {
        let new = is.as_ref().map_or(version, |object| object.version());
        let known = match self.objects.get(&name) {
            Some(was) => was.version() >= new,
            None => is.is_none() || (late && self.buried(&name, new)),
        };
        if known {
            return None;
        }
        let was = match &is {
            Some(object) => self.objects.insert(name, object.clone()),
            None => self.objects.remove(&name),
        };
        let last = OnceLock::new();
        Some(Arc::new(Change {
            version,
            was,
            is,
            last,
        }))
    }

    /// Returns whether the log has a deletion of this object at `version` or later.
    fn buried(&self, name: &Name, version: Version) -> bool {
        let from = self.log.partition_point(|change| change.version < version);
        self.log.range(from..).any(|change| {
            change.is.is_none() && change.was.as_ref().is_some_and(|was| was.name() == name)
        })
    }

    /// Drops the history: nobody can follow from before the newest version.
    fn forget(&mut self) {
        self.log.clear();
        self.floor = self.head;
        self.epoch += 1;
    }

    /// Drops the oldest changes until at most `capacity` are left.
    fn trim(&mut self, capacity: usize) {
        while self.log.len() > capacity {
            let oldest = self.log.pop_front();
            self.floor = oldest.map_or(self.floor, |change| change.version);
        }
    }
}

fn undo<T: Entry>(objects: &mut OrdMap<Name, Arc<T>>, change: &Change<T>) {
    if let Some(was) = &change.was {
        objects.insert(was.name().clone(), was.clone());
    } else if let Some(is) = &change.is {
        objects.remove(is.name());
    }
}
