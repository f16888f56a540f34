//! The feed: the one stream of the cluster's records, and what it tells the cache.
//!
//! In comes kube-runtime's watcher of `PackageRev`; out go the events that the catalog lives of, in their order. When a
//! stream's list is complete it touches the marker, and the catalog serves the stream once the touch has come round. It
//! never decides what is served, and never writes anything but the marker.

use std::{
    future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use kube_runtime::{
    WatchStreamExt,
    utils::Backoff,
    watcher::{self, Event, watcher},
};
use tokio::time::Instant;

use super::marker::Marker;
use crate::{
    api::{FORMAT, Observed, PackageRev, PackageRevSpec},
    cache::{Catalog, Version},
};

/// Between two touches of the marker, whoever asks for them.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Between two touches when nobody asks: moves bookmarks on, and shows that the stream is alive.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a stream may say nothing while it lists: a server that knows no streaming lists would be silent for ever.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one watch lasts, in seconds; a stream that died silently is found out a little later.
const WATCH_SECONDS: u32 = 60;
/// How long a touch may take to come round before somebody should know.
const ROUND_TRIP: Duration = Duration::from_secs(15);

/// The feed of a catalog; its clones share it.
#[derive(Clone)]
pub struct Feed {
    parts: Arc<Parts>,
}

struct Parts {
    catalog: Catalog,
    records: Api<DynamicObject>,
    marker: Marker,
    /// Whether to touch the marker though nobody asks: one replica of all is enough.
    keeping: AtomicBool,
    /// What is wrong, for whoever asks whether we are well.
    problems: Mutex<Problems>,
}

#[derive(Default)]
struct Problems {
    stream: Option<String>,
    marker: Option<String>,
    /// The version of a touch that the stream has yet to bring, and since when.
    awaited: Option<(Version, Instant)>,
}

/// How a stream begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// With a watch that sends what is there: one request, little memory at the server.
    Streaming,
    /// With pages, for servers that refuse the former.
    Paged,
}

impl Feed {
    /// Returns a feed of `catalog` whose marker is in `namespace`. It does nothing before it runs.
    #[must_use]
    pub fn new(client: Client, catalog: Catalog, namespace: &str) -> Self {
        let kind = ApiResource::erase::<PackageRev>(&());
        let parts = Parts {
            catalog,
            records: Api::all_with(client.clone(), &kind),
            marker: Marker::new(client, namespace),
            keeping: AtomicBool::new(true),
            problems: Mutex::default(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Returns what keeps the feed from its work, as a sentence; nothing while all is well.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let problems = self.parts.problems();
        let known = problems.stream.as_ref().or(problems.marker.as_ref());
        known.cloned().or_else(|| {
            let (version, since) = problems.awaited?;
            let late = since.elapsed() > ROUND_TRIP && self.parts.catalog.seen() < version;
            late.then(|| format!("the stream of packagerevs has not brought version {version} yet"))
        })
    }

    /// Says whether this replica touches the marker every half minute, as one of all should.
    pub fn keep_touching(&self, yes: bool) {
        self.parts.keeping.store(yes, Ordering::Relaxed);
    }

    /// Feeds the catalog, for ever. To end it, drop the future.
    pub async fn run(&self) {
        let mut listing = Listing::Streaming;
        loop {
            listing = self.parts.follow(listing).await;
        }
    }
}

impl Parts {
    /// Follows one stream until it has to begin in another way, and returns that.
    async fn follow(&self, listing: Listing) -> Listing {
        let stream = watcher(self.records.clone(), listing.config()).backoff(Pause::default());
        let mut stream = pin!(stream);
        let mut touches = Touches::new(self);
        let mut silent_since = Instant::now();
        loop {
            tokio::select! {
                event = stream.next() => {
                    silent_since = Instant::now();
                    match event {
                        Some(Ok(event)) => self.take(event, &mut touches),
                        Some(Err(error)) => {
                            self.report(&error);
                            touches.hurry();
                            if listing == Listing::Streaming && is_refusal(&error) && !touches.listed {
                                return Listing::Paged;
                            }
                        }
                        None => return listing,
                    }
                }
                () = tokio::time::sleep_until(silent_since + SILENCE),
                    if listing == Listing::Streaming && !touches.listed => return Listing::Paged,
                () = touches.next() => {}
            }
        }
    }

    /// Tells the catalog of one event.
    fn take(&self, event: Event<DynamicObject>, touches: &mut Touches<'_>) {
        let mut known = true;
        match event {
            Event::Init => {
                touches.stop();
                self.catalog.begin_relist();
            }
            Event::InitApply(object) => self.catalog.stage(record(object)),
            Event::InitDone => {
                self.catalog.staged();
                touches.start();
            }
            Event::Apply(object) => known = self.catalog.apply(record(object)),
            Event::Delete(object) => known = self.catalog.delete(&record(object)),
        }
        self.problems().stream = (!known).then(|| {
            "the cluster sent a packagerev whose resourceVersion cannot be compared".into()
        });
    }

    fn report(&self, error: &watcher::Error) {
        let problem = format!("cannot follow packagerevs: {error}");
        tracing::warn!(%problem);
        self.problems().stream = Some(problem);
    }

    fn problems(&self) -> MutexGuard<'_, Problems> {
        let problems = self.problems.lock();
        problems.expect("nothing panics while it holds two sentences")
    }
}

impl Listing {
    fn config(self) -> watcher::Config {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        match self {
            Self::Streaming => config.streaming_lists(),
            Self::Paged => config,
        }
    }
}

/// Returns whether a server refused the way a stream began, not this caller or this moment.
fn is_refusal(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else {
        return false;
    };
    (400..500).contains(&status.code) && ![401, 403, 404, 408, 410, 429].contains(&status.code)
}

/// Returns an object as a record. One that can't be read keeps its name and its owner, so that it is neither served nor
/// taken for absent; one in a newer format keeps the format's number, so that nobody rewrites it.
fn record(object: DynamicObject) -> PackageRev {
    let DynamicObject {
        mut metadata,
        mut data,
        ..
    } = object;
    // Nobody asks for them, and they are larger than the rest.
    metadata.managed_fields = None;
    let raw = data["spec"].take();
    if raw.is_null() {
        return bare(metadata);
    }
    let spec = <PackageRevSpec as serde::Deserialize>::deserialize(&raw).unwrap_or_else(|error| {
        let name = metadata.name.as_deref().unwrap_or_default();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        tracing::warn!(namespace, name, %error, "a packagerev cannot be read");
        remains(&raw)
    });
    PackageRev {
        spec,
        ..bare(metadata)
    }
}

/// Returns a record that says nothing yet.
fn bare(metadata: ObjectMeta) -> PackageRev {
    PackageRev {
        metadata,
        ..PackageRev::default()
    }
}

/// Returns what can be read of a record that can't be read as a whole.
fn remains(raw: &serde_json::Value) -> PackageRevSpec {
    fn part<T: serde::de::DeserializeOwned + Default>(raw: &serde_json::Value, name: &str) -> T {
        serde_json::from_value(raw[name].clone()).unwrap_or_default()
    }
    let format = raw["observed"]["format"].as_u64();
    let newer = format.and_then(|format| u32::try_from(format).ok());
    PackageRevSpec {
        repository: part(raw, "repository"),
        metadata: part(raw, "metadata"),
        observed: newer
            .filter(|format| *format > FORMAT)
            .map(|format| Observed {
                format,
                ..Observed::default()
            }),
        intent: part(raw, "intent"),
        ..PackageRevSpec::default()
    }
}

/// A touch under way.
type Touch<'a> = Pin<Box<dyn Future<Output = Result<Version, String>> + Send + 'a>>;

/// When to touch the marker, and what came of it.
struct Touches<'a> {
    feed: &'a Parts,
    /// Whether the stream's list is complete: a touch before that proves nothing.
    listed: bool,
    /// The touch under way.
    touch: Option<Touch<'a>>,
    /// When the last one began.
    last: Option<Instant>,
    /// When the next one begins, unless a reader asks for it sooner.
    due: Option<Instant>,
    /// Whether the next one is for nobody in particular: another replica can do that.
    routine: bool,
    pause: Pause,
}

impl<'a> Touches<'a> {
    fn new(feed: &'a Parts) -> Self {
        Self {
            feed,
            listed: false,
            touch: None,
            last: None,
            due: None,
            routine: false,
            pause: Pause::default(),
        }
    }

    /// Stops touching, and forgets the one under way: it was for a stream that is no more.
    fn stop(&mut self) {
        self.listed = false;
        self.touch = None;
        self.due = None;
    }

    /// Touches now, for a stream whose list is complete.
    fn start(&mut self) {
        self.listed = true;
        self.due = Some(Instant::now());
        self.routine = false;
    }

    /// Touches as soon as may be.
    fn hurry(&mut self) {
        let soonest = self
            .last
            .map_or_else(Instant::now, |last| last + AT_MOST_EVERY);
        self.due = Some(self.due.map_or(soonest, |due| due.min(soonest)));
        self.routine = false;
    }

    /// Does the next thing that there is to do: begins a touch, or takes its answer. Safe to cancel.
    async fn next(&mut self) {
        if !self.listed {
            return future::pending().await;
        }
        if let Some(touch) = &mut self.touch {
            let answer = touch.await;
            self.touch = None;
            self.take(answer);
            return;
        }
        tokio::select! {
            () = at(self.due) => self.begin(),
            () = self.feed.catalog.wanted() => self.hurry(),
        }
    }

    fn begin(&mut self) {
        let idle = self.routine && !self.feed.keeping.load(Ordering::Relaxed);
        if idle {
            self.due = Some(Instant::now() + AT_LEAST_EVERY);
            return;
        }
        self.last = Some(Instant::now());
        self.touch = Some(Box::pin(self.feed.marker.touch()));
    }

    fn take(&mut self, answer: Result<Version, String>) {
        self.routine = answer.is_ok();
        match answer {
            Ok(version) => {
                self.pause.reset();
                self.tell(None);
                self.feed.catalog.touched(version);
                self.expect(version);
                self.due = Some(Instant::now() + AT_LEAST_EVERY);
            }
            Err(problem) => {
                self.tell(Some(problem));
                self.due = self.pause.next().map(|pause| Instant::now() + pause);
            }
        }
    }

    /// Notes a version that the stream is to bring, unless an older one is awaited still.
    fn expect(&self, version: Version) {
        let seen = self.feed.catalog.seen();
        let mut problems = self.feed.problems();
        if problems.awaited.is_none_or(|(older, _)| older <= seen) {
            problems.awaited = Some((version, Instant::now()));
        }
    }

    fn tell(&self, problem: Option<String>) {
        let mut problems = self.feed.problems();
        if problems.marker != problem {
            if let Some(problem) = &problem {
                tracing::warn!(%problem);
            }
            problems.marker = problem;
        }
    }
}

/// Waits until a moment; without one, for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => future::pending().await,
    }
}

/// Pauses after failures: a fifth of a second, then twice as long each time, up to [`LONGEST_PAUSE`].
#[derive(Default)]
struct Pause {
    failures: u32,
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(200 << self.failures.min(6));
        self.failures += 1;
        Some(pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
