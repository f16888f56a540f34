//! What is counted of requests, under the names that Kubernetes' dashboards know.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the durations of requests, in seconds: those of kube-apiserver.
const SECONDS: [f64; 22] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0,
];
/// Upper bounds of the sizes of events, in bytes: those of kube-apiserver.
const SIZES: [f64; 8] = [
    1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0,
];

/// What is said of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    pub(super) verb: String,
    pub(super) dry_run: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) scope: String,
    pub(super) component: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Coded {
    verb: String,
    dry_run: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    component: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    group: String,
    version: String,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestKind {
    request_kind: &'static str,
}

type Durations = Family<Labels, Histogram, fn() -> Histogram>;
type Sizes = Family<KindLabels, Histogram, fn() -> Histogram>;

/// What is counted. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics {
    /// Everything that is told; locked while something is added or told, never while a request is served.
    registry: Arc<Mutex<Registry>>,
    requests: Family<Coded, Counter>,
    durations: Durations,
    longrunning: Family<Labels, Gauge>,
    inflight: Family<RequestKind, Gauge>,
    events: Family<KindLabels, Counter>,
    sizes: Sizes,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Returns metrics that nothing was counted in yet.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            longrunning: Family::default(),
            inflight: Family::default(),
            events: Family::default(),
            sizes: Family::new_with_constructor(|| Histogram::new(SIZES)),
        };
        metrics.register(|registry| {
            let counted = metrics.clone();
            registry.register("apiserver_request", "Requests answered", counted.requests);
            registry.register(
                "apiserver_request_duration_seconds",
                "Time until requests were answered",
                counted.durations,
            );
            registry.register(
                "apiserver_longrunning_requests",
                "Watches under way",
                counted.longrunning,
            );
            registry.register(
                "apiserver_current_inflight_requests",
                "Other requests under way",
                counted.inflight,
            );
            registry.register(
                "apiserver_watch_events",
                "Events sent to watchers",
                counted.events,
            );
            registry.register(
                "apiserver_watch_events_sizes",
                "Sizes of events sent to watchers, in bytes",
                counted.sizes,
            );
        });
        metrics
    }

    /// Lets `add` register more metrics, to be told with these.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns everything, as Prometheus reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a string takes whatever is written to it");
        text
    }

    /// Counts a request that was answered.
    pub(super) fn answered(&self, labels: &Labels, code: u16, took: Duration) {
        let Labels {
            verb,
            dry_run,
            group,
            version,
            resource,
            subresource,
            scope,
            component,
        } = labels.clone();
        let coded = Coded {
            verb,
            dry_run,
            group,
            version,
            resource,
            subresource,
            scope,
            component,
            code,
        };
        self.requests.get_or_create(&coded).inc();
        self.durations
            .get_or_create(labels)
            .observe(took.as_secs_f64());
    }

    /// Counts a request that is under way, for as long as what is returned lives.
    pub(super) fn inflight(&self, mutating: bool) -> UnderWay {
        let request_kind = if mutating { "mutating" } else { "readOnly" };
        let gauge = self.inflight.get_or_create(&RequestKind { request_kind });
        UnderWay::new(gauge.clone())
    }

    /// Counts a watch, for as long as what is returned lives.
    pub(super) fn watched(&self, labels: &Labels) -> Watched {
        let kind = KindLabels {
            group: labels.group.clone(),
            version: labels.version.clone(),
            resource: labels.resource.clone(),
        };
        Watched {
            _under_way: UnderWay::new(self.longrunning.get_or_create(labels).clone()),
            events: self.events.get_or_create(&kind).clone(),
            sizes: self.sizes.get_or_create(&kind).clone(),
        }
    }
}

/// One that is counted while it lives.
pub(super) struct UnderWay(Gauge);

impl UnderWay {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A watch that is counted while it lives, and its events.
pub(super) struct Watched {
    _under_way: UnderWay,
    events: Counter,
    sizes: Histogram,
}

impl Watched {
    /// Counts an event of so many bytes.
    pub(super) fn event(&self, bytes: usize) {
        self.events.inc();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sizes.observe(f64::from(bytes));
    }
}
