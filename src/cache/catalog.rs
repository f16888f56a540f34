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

    /// Returns the records behind a `PorchPackage`, by name; not those that Git was not read for.
    #[must_use]
    pub fn records_of_package(&self, package: &Name) -> Vec<Arc<PackageRev>> {
        self.state().live.of_package(package).cloned().collect()
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

    /// Takes an event: a record is new or changed. One without a version is no event. For the feed.
    pub fn apply(&self, record: PackageRev) {
        let Some(version) = version_of(&record) else {
            return;
        };
        let mut state = self.state();
        state.heard = Some(Instant::now());
        let record = Arc::new(record);
        if let Some(staged) = &mut state.staged {
            staged.records.put(record);
            staged.seen = staged.seen.max(version);
            self.settle(&mut state);
            return;
        }
        if version <= self.seen() {
            // Told twice: a watch that resumes may begin with what was the last.
            return;
        }
        let was = state.live.put(record.clone());
        self.publish(&state.live, was.as_deref(), Some(&record), version);
    }

    /// Takes an event: a record is gone. Its version is that of its deletion; without one it is no event. For the feed.
    pub fn delete(&self, record: &PackageRev) {
        let Some(version) = version_of(record) else {
            return;
        };
        let mut state = self.state();
        state.heard = Some(Instant::now());
        if let Some(staged) = &mut state.staged {
            staged.records.remove(&name_of(record));
            staged.seen = staged.seen.max(version);
            self.settle(&mut state);
            return;
        }
        if version <= self.seen() {
            return;
        }
        let was = state.live.remove(&name_of(record));
        self.publish(&state.live, was.as_deref(), None, version);
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{
        api::{Intent, MARKER_LABEL, Observed, Owner, PackageRevSpec},
        cache::Change,
        package::Lifecycle,
    };

    /// A record as a test writes it.
    #[derive(Clone, Debug)]
    struct Sketch {
        repository: &'static str,
        package: &'static str,
        workspace: String,
        revision: i64,
        lifecycle: Lifecycle,
        version: u64,
    }

    fn sketch(package: &'static str, revision: i64, version: u64) -> Sketch {
        let lifecycle = match revision {
            1.. => Lifecycle::Published,
            _ => Lifecycle::Draft,
        };
        Sketch {
            repository: "r",
            package,
            workspace: format!("w{revision}"),
            revision,
            lifecycle,
            version,
        }
    }

    fn record(sketch: &Sketch) -> PackageRev {
        let name = format!(
            "{}.{}.{}",
            sketch.repository,
            sketch.package.replace('/', "."),
            sketch.workspace
        );
        let mut record = blank(&name, sketch.version);
        record.spec.repository.name = sketch.repository.into();
        record.spec.observed = Some(Observed {
            format: 1,
            package: sketch.package.into(),
            workspace: sketch.workspace.clone(),
            revision: sketch.revision,
            lifecycle: sketch.lifecycle,
            ..Observed::default()
        });
        record
    }

    fn blank(name: &str, version: u64) -> PackageRev {
        let mut record = PackageRev::new(name, PackageRevSpec::default());
        record.metadata.namespace = Some("ns".into());
        record.metadata.uid = Some(format!("{name}-uid"));
        record.metadata.resource_version = Some(version.to_string());
        record.spec.repository = Owner {
            name: "r".into(),
            uid: "u".into(),
        };
        record
    }

    fn marker(version: u64) -> PackageRev {
        let mut marker = blank("marker", version);
        marker.metadata.labels = Some([(MARKER_LABEL.into(), "true".into())].into());
        marker
    }

    /// A catalog that was told of these in its first list, and serves.
    fn serving(records: &[Sketch], version: u64) -> Catalog {
        let catalog = Catalog::new(1000);
        relist(&catalog, records, version);
        catalog
    }

    fn relist(catalog: &Catalog, records: &[Sketch], version: u64) {
        catalog.begin_relist();
        for sketch in records {
            catalog.stage(record(sketch));
        }
        catalog.staged();
        catalog.touched(Version(version));
        catalog.apply(marker(version));
    }

    fn gone(sketch: &Sketch, version: u64) -> PackageRev {
        let mut record = record(sketch);
        record.metadata.resource_version = Some(version.to_string());
        record
    }

    /// The revisions served, as `a.w1@5`.
    fn revisions(catalog: &Catalog) -> String {
        shown(&catalog.revisions().snapshot().objects)
    }

    fn packages(catalog: &Catalog) -> String {
        let objects = catalog.packages().snapshot().objects;
        let word = |it: &Arc<Package>| {
            let name = &it.name().name["r.".len()..];
            format!("{name}@{}={}", it.version(), it.latest_revision())
        };
        objects.values().map(word).collect::<Vec<_>>().join(" ")
    }

    fn shown<T: Entry>(objects: &OrdMap<Name, Arc<T>>) -> String {
        let word = |it: &Arc<T>| format!("{}@{}", &it.name().name["r.".len()..], it.version());
        objects.values().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stream_serves_when_its_touch_has_come_round_after_its_list() {
        let catalog = Catalog::new(10);
        catalog.begin_relist();
        catalog.touched(Version(3));
        catalog.stage(record(&sketch("a", 1, 2)));
        catalog.stage(marker(9));
        catalog.staged();
        catalog.apply(record(&sketch("b", 1, 11)));
        assert!(!catalog.ready(), "a touch before the list proves nothing");
        catalog.touched(Version(12));
        assert!(!catalog.ready() && catalog.staging());
        assert_eq!(revisions(&catalog), "");
        assert_eq!(catalog.seen(), Version(0));
        catalog.apply(marker(12));
        assert!(catalog.ready() && !catalog.staging());
        assert_eq!(revisions(&catalog), "a.w1@2 b.w1@11");
        assert_eq!(packages(&catalog), "a@2=1 b@11=1");
        assert_eq!(catalog.seen(), Version(12));
        assert_eq!(catalog.packages().version(), Version(12));
    }

    #[test]
    fn a_touch_whose_event_was_quicker_than_its_answer_counts() {
        let catalog = Catalog::new(10);
        catalog.begin_relist();
        catalog.staged();
        catalog.apply(marker(12));
        catalog.apply(record(&sketch("a", 1, 13)));
        catalog.touched(Version(12));
        assert_eq!(catalog.seen(), Version(13));
        assert_eq!(revisions(&catalog), "a.w1@13");
    }

    #[test]
    fn while_a_stream_is_staged_the_old_state_and_its_history_serve() {
        let catalog = serving(&[sketch("a", 1, 2), sketch("b", 1, 3)], 10);
        catalog.apply(record(&sketch("c", 1, 11)));
        let mut follower = catalog.revisions().follow(Version(10)).unwrap();
        catalog.begin_relist();
        catalog.stage(record(&sketch("a", 1, 2)));
        catalog.staged();
        catalog.apply(record(&sketch("d", 1, 14)));
        assert_eq!(revisions(&catalog), "a.w1@2 b.w1@3 c.w1@11");
        let changes = futures::FutureExt::now_or_never(follower.next());
        assert_eq!(changes.unwrap().unwrap().changes.len(), 1);
        assert!(catalog.revisions().follow(Version(10)).is_ok());

        // It broke off; the next one tells another story.
        catalog.begin_relist();
        catalog.stage(record(&sketch("a", 1, 2)));
        catalog.stage(record(&sketch("e", 1, 15)));
        catalog.staged();
        catalog.touched(Version(16));
        let kept = catalog.revisions().get(&Name::new("ns", "r.a.w1")).unwrap();
        catalog.apply(marker(16));
        assert_eq!(revisions(&catalog), "a.w1@2 e.w1@15");
        let same = catalog.revisions().get(&Name::new("ns", "r.a.w1")).unwrap();
        assert!(
            Arc::ptr_eq(&kept, &same),
            "what did not change is not encoded again"
        );
        let told = futures::FutureExt::now_or_never(follower.next()).unwrap();
        assert!(told.is_err(), "what went in the gap has no version");
        assert!(catalog.packages().follow(Version(15)).is_err());
    }

    #[test]
    fn records_that_are_not_served_are_known_all_the_same() {
        let catalog = serving(&[sketch("a", 1, 2)], 5);
        let mut creation = blank("r.a.w2", 6);
        creation.spec.intent = Some(Intent::default());
        catalog.apply(creation);
        catalog.apply(marker(7));
        let mut incumbents = blank("r.old.w1", 8);
        incumbents.spec.repository = Owner::default();
        let label = (crate::api::REPOSITORY_LABEL.into(), "r".into());
        incumbents.metadata.labels = Some([label].into());
        catalog.apply(incumbents);
        assert_eq!(revisions(&catalog), "a.w1@2");
        let (version, records) = catalog.records_of("ns", "r");
        let names: Vec<_> = records.iter().map(|it| name_of(it).name).collect();
        assert_eq!(names, ["r.a.w1", "r.a.w2", "r.old.w1"]);
        assert_eq!(version, Version(8));
        assert!(catalog.record("ns", "r.a.w2").is_some());
        assert!(catalog.record("ns", "marker").is_none());
        assert_eq!(catalog.records_of("other", "r").1.len(), 0);
        assert_eq!(catalog.repositories(), [Name::new("ns", "r")]);
        let mut served = sketch("a", 0, 9);
        served.workspace = "w2".into();
        catalog.apply(record(&served));
        assert_eq!(revisions(&catalog), "a.w1@2 a.w2@9");
        catalog.apply(blank("r.a.w2", 10));
        assert_eq!(revisions(&catalog), "a.w1@2");
    }

    #[test]
    fn a_record_that_turns_out_to_be_of_another_package_or_repository_moves() {
        let catalog = serving(&[sketch("x/y", 1, 2)], 5);
        assert_eq!(packages(&catalog), "x.y@2=1");
        let mut moved = sketch("x", 1, 6);
        moved.workspace = "y.w1".into();
        let mut moved = record(&moved);
        moved.spec.repository.name = "s".into();
        catalog.apply(moved);
        let names = |it: &Arc<Package>| it.name().name.clone();
        let objects = catalog.packages().snapshot().objects;
        assert_eq!(objects.values().map(names).collect::<Vec<_>>(), ["s.x"]);
        assert_eq!(catalog.repositories(), [Name::new("ns", "s")]);
        assert_eq!(revisions(&catalog), "x.y.w1@6");
    }

    #[test]
    fn an_event_told_twice_changes_nothing() {
        let catalog = serving(&[sketch("a", 1, 2)], 5);
        catalog.apply(record(&sketch("b", 1, 6)));
        catalog.delete(&gone(&sketch("b", 1, 6), 7));
        catalog.apply(record(&sketch("b", 1, 6)));
        catalog.delete(&gone(&sketch("a", 1, 2), 4));
        assert_eq!(revisions(&catalog), "a.w1@2");
        assert_eq!(catalog.records_of("ns", "r").1.len(), 1);
        let mut nonsense = blank("nonsense", 0);
        nonsense.metadata.resource_version = Some("new".into());
        catalog.apply(nonsense);
        assert!(catalog.record("ns", "nonsense").is_none());
    }

    #[test]
    fn a_package_shows_its_highest_published_revision() {
        let first = [sketch("a/b", 0, 2), sketch("a/b", -1, 3)];
        let catalog = serving(&first, 5);
        assert_eq!(packages(&catalog), "a.b@2=0", "the lowest version of all");
        let steps: [(PackageRev, &str); 6] = [
            (record(&sketch("a/b", 1, 6)), "a.b@6=1"),
            (record(&sketch("a/b", -1, 7)), "a.b@6=1"),
            (record(&sketch("a/b", 2, 8)), "a.b@8=2"),
            (record(&sketch("a/b", 1, 9)), "a.b@8=2"),
            (record(&sketch("a/b", 3, 10)), "a.b@10=3"),
            (record(&sketch("a/b", 2, 11)), "a.b@10=3"),
        ];
        for (step, expected) in steps {
            catalog.apply(step);
            assert_eq!(packages(&catalog), expected);
        }
        catalog.delete(&gone(&sketch("a/b", 3, 10), 12));
        assert_eq!(packages(&catalog), "a.b@11=2", "its record is newer");
        catalog.delete(&gone(&sketch("a/b", 2, 11), 13));
        assert_eq!(
            packages(&catalog),
            "a.b@13=1",
            "its record is older than what was told"
        );
        for (revision, version, at) in [(1, 9, 14), (0, 2, 15)] {
            catalog.delete(&gone(&sketch("a/b", revision, version), at));
        }
        assert_eq!(packages(&catalog), "a.b@15=0", "the placeholder is left");
        catalog.delete(&gone(&sketch("a/b", -1, 7), 16));
        assert_eq!(packages(&catalog), "");
        let body = catalog.packages().snapshot_at(Version(10)).unwrap();
        let body: serde_json::Value =
            serde_json::from_slice(body.objects.values().next().unwrap().body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "kind": "PorchPackage",
                "apiVersion": "porch.kpt.dev/v1alpha1",
                "metadata": {
                    "name": "r.a.b", "namespace": "ns", "resourceVersion": "10",
                    "uid": crate::package::package_uid("ns", "r.a.b")
                },
                "spec": {"packageName": "a/b", "repository": "r"},
                "status": {"latestRevision": 3}
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_wants_more_wakes_the_feed() {
        let catalog = serving(&[], 5);
        let within = Duration::from_secs(3);
        assert!(catalog.wait_for(Version(5), within).await.is_ok());
        let feed = async {
            catalog.wanted().await;
            catalog.apply(marker(8));
        };
        let (waited, ()) = tokio::join!(catalog.wait_for(Version(8), within), feed);
        assert!(waited.is_ok());
        let feed = async {
            catalog.wanted().await;
            catalog.apply(marker(9));
        };
        let (waited, ()) = tokio::join!(catalog.wait_for(Version(99), within), feed);
        let (asked, current) = (Version(99), Version(9));
        assert_eq!(waited, Err(TooNew { asked, current }));
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

    /// The cluster: what is there, by name.
    type World = BTreeMap<String, Sketch>;

    /// One random change of the world, told to the catalog unless `silent`.
    fn disturb(
        catalog: &Catalog,
        world: &mut World,
        chance: &mut Chance,
        version: u64,
        silent: bool,
    ) {
        let package = ["a", "a/b", "a.b", "c"][usize::try_from(chance.below(4)).unwrap()];
        let revision = i64::try_from(chance.below(5)).unwrap() - 1;
        let mut sketch = sketch(package, revision, version);
        if chance.below(4) == 0 && revision > 0 {
            sketch.lifecycle = Lifecycle::Proposed;
        }
        let key = record(&sketch).metadata.name.unwrap();
        if chance.below(3) == 0 {
            let was = world.remove(&key);
            if let Some(was) = was.filter(|_| !silent) {
                catalog.delete(&gone(&was, version));
            }
        } else {
            if !silent {
                catalog.apply(record(&sketch));
            }
            world.insert(key, sketch);
        }
    }

    /// What the packages are, computed from scratch: the latest revision of each, by name.
    fn expected(world: &World) -> BTreeMap<String, i64> {
        let mut latest = BTreeMap::new();
        for sketch in world.values() {
            let name = format!("r.{}", sketch.package.replace('/', "."));
            let number = if sketch.lifecycle.is_published() {
                sketch.revision.max(0)
            } else {
                0
            };
            let entry = latest.entry(name).or_insert(0);
            *entry = number.max(*entry);
        }
        latest
    }

    /// Contents by name and version: no two of them may differ.
    type Seen = BTreeMap<(String, Version), Vec<u8>>;

    fn check(
        catalog: &Catalog,
        world: &World,
        seen: &mut Seen,
        newest: &mut BTreeMap<String, Version>,
    ) {
        let objects = catalog.packages().snapshot().objects;
        let told: BTreeMap<_, _> = objects
            .values()
            .map(|it| (it.name().name.clone(), it.latest_revision()))
            .collect();
        assert_eq!(told, expected(world));
        for package in objects.values() {
            let name = package.name().name.clone();
            let content = package.body().to_vec();
            let known = seen
                .entry((name.clone(), package.version()))
                .or_insert(content.clone());
            assert_eq!(*known, content, "two contents share a version");
            let before = newest.insert(name.clone(), package.version());
            assert!(before <= Some(package.version()), "{name} went back");
        }
        let served: BTreeSet<_> = catalog
            .revisions()
            .snapshot()
            .objects
            .values()
            .map(|it| (it.name().name.clone(), it.version().0))
            .collect();
        let there = world
            .iter()
            .map(|(name, sketch)| (name.clone(), sketch.version));
        assert_eq!(served, there.collect());
        assert_eq!(catalog.revisions().version(), catalog.packages().version());
    }

    #[test]
    fn whatever_happens_both_stores_show_what_is_there_and_never_go_back() {
        for seed in 1..=4 {
            let mut chance = Chance(seed * 104_729);
            let catalog = serving(&[], 1);
            let (mut world, mut seen, mut newest) = (World::new(), Seen::new(), BTreeMap::new());
            let mut follower = catalog.packages().follow(Version(1)).unwrap();
            let mut copy: BTreeMap<Name, Version> = BTreeMap::new();
            let mut version = 1;
            for step in 0..1500 {
                version += 1 + chance.below(2);
                if step % 100 == 99 {
                    for _ in 0..chance.below(10) {
                        disturb(&catalog, &mut world, &mut chance, version, true);
                        version += 1;
                    }
                    let records: Vec<_> = world.values().cloned().collect();
                    relist(&catalog, &records, version);
                } else {
                    disturb(&catalog, &mut world, &mut chance, version, false);
                }
                check(&catalog, &world, &mut seen, &mut newest);
                match futures::FutureExt::now_or_never(follower.next()) {
                    None => {}
                    Some(Ok(batch)) => batch.changes.iter().for_each(|it| take(&mut copy, it)),
                    Some(Err(_)) => {
                        let snapshot = catalog.packages().snapshot();
                        follower = catalog.packages().follow(snapshot.version).unwrap();
                        copy = versions(&snapshot.objects);
                    }
                }
                assert_eq!(copy, versions(&catalog.packages().snapshot().objects));
            }
        }
    }

    fn versions(objects: &OrdMap<Name, Arc<Package>>) -> BTreeMap<Name, Version> {
        let pair = |(name, it): (&Name, &Arc<Package>)| (name.clone(), it.version());
        objects.iter().map(pair).collect()
    }

    fn take(copy: &mut BTreeMap<Name, Version>, change: &Arc<Change<Package>>) {
        match (&change.was, &change.is) {
            (_, Some(is)) => {
                let was = copy.insert(is.name().clone(), is.version());
                assert!(was < Some(is.version()), "a change without a new version");
                assert!(is.version() <= change.version);
            }
            (Some(was), None) => assert!(copy.remove(was.name()).is_some()),
            (None, None) => unreachable!(),
        }
    }
}
