//! The feed: the one stream of the cluster's records, and what it tells the cache.
//!
//! In comes kube-runtime's watcher of `PackageRev`; out go the events that the catalog lives of, in their order. When a
//! stream's list is complete it touches the marker, and the catalog serves the stream once the touch has come round. It
//! never decides what is served, and never writes anything but the marker.

use std::{
    pin::pin,
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
    watcher::{self, Event, watcher},
};
use tokio::time::Instant;

use super::{
    marker::Marker,
    touches::{Pause, Touches},
};
use crate::{
    api::{FORMAT, Observed, PackageRev, PackageRevSpec},
    cache::{Catalog, Version, version_of},
};

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

pub(super) struct Parts {
    pub catalog: Catalog,
    records: Api<DynamicObject>,
    pub marker: Marker,
    /// Whether to touch the marker though nobody asks: one replica of all is enough.
    pub keeping: AtomicBool,
    /// What is wrong, for whoever asks whether we are well.
    problems: Mutex<Problems>,
}

/// What is wrong, as sentences.
#[derive(Default)]
pub(super) struct Problems {
    stream: Option<String>,
    pub marker: Option<String>,
    /// The version of a touch that the stream has yet to bring, and since when.
    pub awaited: Option<(Version, Instant)>,
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

    /// Returns the catalog that it feeds.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.parts.catalog
    }

    /// Returns the records of a namespace as the cluster has them now.
    pub(super) fn records(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<PackageRev>(&());
        Api::namespaced_with(self.parts.records.clone().into_client(), namespace, &kind)
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
        self.problems().stream = None;
        match event {
            Event::Init => {
                touches.stop();
                self.catalog.begin_relist();
            }
            Event::InitApply(object) => self.catalog.stage(self.record(object)),
            Event::InitDone => {
                self.catalog.staged();
                touches.start();
            }
            Event::Apply(object) => self.catalog.apply(self.record(object)),
            Event::Delete(object) => self.catalog.delete(&self.record(object)),
        }
    }

    /// Returns an object as a record, and notes if it is none that the catalog can place.
    fn record(&self, object: DynamicObject) -> PackageRev {
        let record = record(object);
        if version_of(&record).is_none() {
            let problem = "the cluster sent a packagerev whose resourceVersion cannot be compared";
            self.problems().stream = Some(problem.into());
        }
        record
    }

    fn report(&self, error: &watcher::Error) {
        let problem = format!("cannot follow packagerevs: {error}");
        tracing::warn!(%problem);
        self.problems().stream = Some(problem);
    }

    pub fn problems(&self) -> MutexGuard<'_, Problems> {
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
pub(super) fn record(object: DynamicObject) -> PackageRev {
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
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: &Value) -> PackageRev {
        let object = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1",
            "kind": "PackageRev",
            "metadata": {"name": "r.a.v1", "namespace": "ns", "resourceVersion": "7"},
            "spec": spec
        });
        record(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_record_that_cannot_be_read_is_neither_served_nor_absent() {
        let owner = json!({"name": "r", "uid": "u"});
        let observed = |format: u32, lifecycle: &str| {
            json!({
                "format": format, "package": "a", "workspace": "v1",
                "lifecycle": lifecycle, "git": {}, "kptfile": {}
            })
        };
        let cases = [
            (observed(1, "Published"), true, Some(1)),
            (observed(1, "Unheard"), false, None),
            (observed(2, "Unheard"), false, Some(2)),
            (json!("nonsense"), false, None),
            (Value::Null, false, None),
        ];
        for (observed, served, format) in cases {
            let record = read(&json!({
                "repository": owner, "observed": observed,
                "metadata": {"labels": {"tier": "one"}}
            }));
            assert_eq!(record.spec.repository.name, "r");
            assert_eq!(record.spec.metadata.labels["tier"], "one");
            assert_eq!(record.spec.observed.as_ref().map(|it| it.format), format);
            let catalog = Catalog::new(10);
            catalog.apply(record);
            assert_eq!(catalog.records_of("ns", "r").1.len(), 1);
            let shown = catalog.revisions().snapshot().objects.len() == 1;
            assert_eq!(shown, served, "{observed}");
        }
        for nothing in [Value::Null, json!(7), json!([])] {
            assert_eq!(read(&nothing).spec.observed, None);
        }
    }
}
