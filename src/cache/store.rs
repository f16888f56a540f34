//! Objects of one kind at one version, and the short history of how they came to be so.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, RwLock},
    time::Duration,
};

use imbl::OrdMap;
use tokio::sync::watch;

use super::{Batch, Entry, Follower, Name, Version};

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
    ) -> Result<Batch<T>, Expired> {
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
        let version = match changes.last() {
            Some(last) if to < state.log.len() => last.version,
            _ => state.head,
        };
        Ok(Batch { changes, version })
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

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, collections::BTreeMap};

    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;

    #[derive(Debug)]
    struct Thing {
        name: Name,
        version: Version,
        value: u64,
        metadata: Bytes,
    }

    impl Entry for Thing {
        fn name(&self) -> &Name {
            &self.name
        }
        fn version(&self) -> Version {
            self.version
        }
        fn label(&self, _: &str) -> Option<&str> {
            None
        }
        fn field(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }
        fn metadata(&self) -> &Bytes {
            &self.metadata
        }
        fn at(&self, version: Version) -> Self {
            thing(&self.name.name, version.0, self.value)
        }
    }

    fn thing(name: &str, version: u64, value: u64) -> Thing {
        Thing {
            name: Name::new("ns", name),
            version: Version(version),
            value,
            metadata: Bytes::new(),
        }
    }

    fn put(store: &Store<Thing>, name: &str, version: u64) {
        store.put(Arc::new(thing(name, version, version)));
    }

    fn remove(store: &Store<Thing>, name: &str, version: u64) {
        store.remove(&Name::new("ns", name), Version(version));
    }

    /// Names with versions, as `a1 b2`.
    fn listed(objects: &OrdMap<Name, Arc<Thing>>) -> String {
        let shown = |thing: &Arc<Thing>| format!("{}{}", thing.name.name, thing.version);
        objects.values().map(shown).collect::<Vec<_>>().join(" ")
    }

    /// What a follower is told now, as `+a1 -b2 @3`; `410` if it must begin anew; empty if there is nothing.
    fn told(follower: &mut Follower<Thing>) -> String {
        match follower.next().now_or_never() {
            None => String::new(),
            Some(Err(_)) => "410".into(),
            Some(Ok(batch)) => {
                let mut words: Vec<_> = batch.changes.iter().map(|it| word(it)).collect();
                words.push(format!("@{}", batch.version));
                words.join(" ")
            }
        }
    }

    fn word(change: &Change<Thing>) -> String {
        match (&change.was, &change.is) {
            (None, Some(is)) => format!("+{}{}", is.name.name, is.version),
            (Some(_), Some(is)) => format!("~{}{}", is.name.name, is.version),
            (Some(_), None) => {
                let last = change.last().unwrap();
                format!("-{}{}", last.name.name, last.version)
            }
            (None, None) => "nothing".into(),
        }
    }

    fn filled() -> Arc<Store<Thing>> {
        let store = Arc::new(Store::new(100));
        put(&store, "a", 2);
        put(&store, "b", 4);
        put(&store, "a", 6);
        remove(&store, "b", 8);
        store.advance(Version(10));
        store
    }

    #[test]
    fn a_snapshot_shows_what_was_at_its_version() {
        let store = filled();
        for (version, objects) in [
            (0, ""),
            (1, ""),
            (2, "a2"),
            (3, "a2"),
            (4, "a2 b4"),
            (6, "a6 b4"),
            (7, "a6 b4"),
            (8, "a6"),
            (10, "a6"),
        ] {
            let snapshot = store.snapshot_at(Version(version)).unwrap();
            assert_eq!(listed(&snapshot.objects), objects, "at {version}");
            assert_eq!(snapshot.version, Version(version));
        }
        assert!(store.snapshot_at(Version(11)).is_err());
        assert_eq!(store.snapshot().version, Version(10));
    }

    #[test]
    fn a_follower_hears_what_came_after_its_version_and_nothing_twice() {
        let store = filled();
        for (version, words) in [
            (0, "+a2 +b4 ~a6 -b8 @10"),
            (2, "+b4 ~a6 -b8 @10"),
            (3, "+b4 ~a6 -b8 @10"),
            (7, "-b8 @10"),
            (8, "@10"),
            (10, ""),
        ] {
            let mut follower = store.follow(Version(version)).unwrap();
            assert_eq!(told(&mut follower), words, "from {version}");
            assert_eq!(told(&mut follower), "", "from {version}");
        }
        assert!(store.follow(Version(11)).is_err());
    }

    #[test]
    fn what_was_known_changes_nothing() {
        let store = filled();
        let mut follower = store.follow(Version(10)).unwrap();
        put(&store, "a", 6);
        put(&store, "a", 2);
        put(&store, "b", 4);
        remove(&store, "a", 5);
        remove(&store, "b", 8);
        remove(&store, "c", 9);
        assert_eq!(listed(&store.snapshot().objects), "a6");
        assert_eq!(told(&mut follower), "");
        assert_eq!(store.version(), Version(10));
    }

    #[test]
    fn a_change_that_comes_late_is_made_and_followers_begin_anew() {
        for late in [9, 10] {
            let store = filled();
            let mut follower = store.follow(Version(8)).unwrap();
            put(&store, "c", late);
            assert_eq!(listed(&store.snapshot().objects), format!("a6 c{late}"));
            assert_eq!(told(&mut follower), "410");
            assert!(store.follow(Version(9)).is_err());
            assert_eq!(store.version(), Version(10));
            put(&store, "c", 11);
            let mut follower = store.follow(Version(10)).unwrap();
            assert_eq!(told(&mut follower), "~c11 @11");
        }
    }

    #[test]
    fn the_oldest_changes_are_forgotten_and_the_slow_are_told() {
        let store = Arc::new(Store::new(2));
        let mut slow = store.follow(Version(0)).unwrap();
        put(&store, "a", 1);
        put(&store, "b", 2);
        let mut quick = store.follow(Version(1)).unwrap();
        put(&store, "c", 3);
        assert_eq!(told(&mut slow), "410");
        assert_eq!(told(&mut quick), "+b2 +c3 @3");
        let oldest = Version(1);
        let asked = Version(0);
        assert_eq!(
            store.snapshot_at(asked).unwrap_err(),
            Expired { asked, oldest }
        );
        assert_eq!(listed(&store.snapshot_at(oldest).unwrap().objects), "a1");
    }

    #[test]
    fn a_replacement_ends_history_and_never_goes_back() {
        let store = filled();
        let mut follower = store.follow(Version(10)).unwrap();
        let objects = || {
            [(Name::new("ns", "z"), Arc::new(thing("z", 3, 0)))]
                .into_iter()
                .collect()
        };
        store.replace(objects(), Version(5));
        assert_eq!(store.version(), Version(10));
        assert_eq!(told(&mut follower), "410");
        assert_eq!(told(&mut store.follow(Version(10)).unwrap()), "");
        store.replace(objects(), Version(20));
        assert!(store.follow(Version(19)).is_err());
        assert_eq!(listed(&store.snapshot().objects), "z3");
    }

    #[test]
    fn changes_of_one_version_are_never_parted() {
        let store: Arc<Store<Thing>> = Arc::new(Store::new(1000));
        let named = |name: &str, version| {
            let is = Some(Arc::new(thing(name, version, 0)));
            (Name::new("ns", name), is)
        };
        for version in 1..200 {
            store.change(
                Version(version),
                vec![
                    named("a", version),
                    named("b", version),
                    named("c", version),
                ],
            );
        }
        let (mut at, mut heard) = (Version(0), 0);
        while at < Version(199) {
            let batch = store.since(at, 0, 64).unwrap();
            heard += batch.changes.len();
            at = batch.version;
        }
        assert_eq!(heard, 199 * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_the_version_or_with_the_time() {
        let store = filled();
        let within = Duration::from_secs(3);
        assert_eq!(store.wait_for(Version(10), within).await, Ok(()));
        let asked = Version(12);
        let current = Version(10);
        assert_eq!(
            store.wait_for(asked, within).await,
            Err(TooNew { asked, current })
        );
        let (waited, ()) = tokio::join!(store.wait_for(asked, within), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            put(&store, "a", 12);
        });
        assert_eq!(waited, Ok(()));
    }

    /// Marsaglia's xorshift: chance that can be had again.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    type State = BTreeMap<Name, (Version, u64)>;

    fn state(objects: &OrdMap<Name, Arc<Thing>>) -> State {
        let pair =
            |(name, thing): (&Name, &Arc<Thing>)| (name.clone(), (thing.version, thing.value));
        objects.iter().map(pair).collect()
    }

    /// A client that keeps a copy by following, and checks that each change fits what it has.
    struct Copy {
        state: State,
        follower: Follower<Thing>,
    }

    impl Copy {
        fn of(store: &Arc<Store<Thing>>, version: Version) -> Option<Self> {
            let snapshot = store.snapshot_at(version).ok()?;
            Some(Self {
                state: state(&snapshot.objects),
                follower: store.follow(version).ok()?,
            })
        }

        /// Takes what there is; false if it must begin anew.
        fn catch_up(&mut self) -> bool {
            while let Some(told) = self.follower.next().now_or_never() {
                let Ok(batch) = told else { return false };
                for change in &batch.changes {
                    self.take(change);
                }
            }
            true
        }

        fn take(&mut self, change: &Change<Thing>) {
            let name = change.was.as_ref().or(change.is.as_ref()).unwrap().name();
            let was = change.was.as_ref().map(|was| (was.version, was.value));
            assert_eq!(
                self.state.get(name).copied(),
                was,
                "nothing lost or doubled"
            );
            match &change.is {
                Some(is) => self.state.insert(name.clone(), (is.version, is.value)),
                None => self.state.remove(name),
            };
        }
    }

    /// One random change at a version.
    fn disturb(store: &Store<Thing>, chance: &mut Chance, version: u64) {
        let name = format!("n{}", chance.below(40));
        match chance.below(100) {
            0..60 => store.put(Arc::new(thing(&name, version, chance.below(1000)))),
            60..90 => remove(store, &name, version),
            90..99 => store.advance(Version(version)),
            _ => {
                let mut objects = store.snapshot().objects;
                objects.remove(&Name::new("ns", name));
                store.replace(objects, Version(version));
            }
        }
    }

    #[test]
    fn whatever_happens_copies_and_snapshots_agree_with_the_history() {
        for seed in 1..=8 {
            let mut chance = Chance(seed * 7919);
            let store = Arc::new(Store::new(64));
            let mut history: BTreeMap<Version, State> = [(Version(0), State::new())].into();
            let mut copies: Vec<Copy> = Vec::new();
            let mut version = 0;
            for _ in 0..2000 {
                version += 1 + chance.below(3);
                disturb(&store, &mut chance, version);
                let snapshot = store.snapshot();
                history.insert(snapshot.version, state(&snapshot.objects));

                let asked = Version(version.saturating_sub(chance.below(100)));
                if let Ok(snapshot) = store.snapshot_at(asked) {
                    let expected = history.range(..=asked).next_back().unwrap().1;
                    assert_eq!(&state(&snapshot.objects), expected, "at {asked}");
                }
                if copies.len() < 10 {
                    copies.extend(Copy::of(&store, asked));
                }
                if !copies.is_empty() {
                    let which = usize::try_from(chance.below(copies.len() as u64)).unwrap();
                    let copy = &mut copies[which];
                    let well = copy.catch_up();
                    if !well {
                        copies.swap_remove(which);
                    } else if chance.below(3) == 0 {
                        // Disconnects, and resumes from what it heard last.
                        let at = copy.follower.version();
                        copy.follower = store.follow(at).unwrap();
                    }
                }
            }
            let last = state(&store.snapshot().objects);
            for mut copy in copies {
                if copy.catch_up() {
                    assert_eq!(copy.state, last);
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_on_other_threads_miss_nothing() {
        let store = Arc::new(Store::new(100_000));
        let end = Version(5_000);
        let follow = |store: Arc<Store<Thing>>| async move {
            let mut copy = Copy::of(&store, Version(0)).unwrap();
            while copy.follower.version() < end {
                let batch = copy.follower.next().await.unwrap();
                for change in &batch.changes {
                    copy.take(change);
                }
            }
            copy.state
        };
        let readers: Vec<_> = (0..8)
            .map(|_| tokio::spawn(follow(store.clone())))
            .collect();
        let writer = store.clone();
        tokio::task::spawn_blocking(move || {
            let mut chance = Chance(4711);
            for version in 1..=end.0 {
                let name = format!("n{}", chance.below(40));
                if chance.below(3) == 0 {
                    remove(&writer, &name, version);
                    writer.advance(Version(version));
                } else {
                    put(&writer, &name, version);
                }
            }
        })
        .await
        .unwrap();
        let last = state(&store.snapshot().objects);
        for reader in readers {
            let waited = tokio::time::timeout(Duration::from_secs(20), reader).await;
            assert_eq!(waited.unwrap().unwrap(), last);
        }
    }
}
