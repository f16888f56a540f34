//! What is counted of the looks at repositories, by Repository, for those who watch over the server. In come outcomes, out
//! go metrics for a registry that somebody else serves. It must not keep what is no more: each Repository costs memory.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{Error, Seen, Subject};

/// Upper bounds of the durations of looks, in seconds: from one that finds nothing moved to a first one of a large
/// repository far away.
const SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0,
];

/// A Repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    repository: String,
}

/// What is counted. Clones count together.
#[derive(Clone)]
pub struct Tally {
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    failures: Family<Labels, Counter>,
    revisions: Family<Labels, Gauge>,
    unserved: Family<Labels, Gauge>,
    /// A time, so that its age is true whenever it is asked for.
    success: Family<Labels, Gauge>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            failures: Family::default(),
            revisions: Family::default(),
            unserved: Family::default(),
            success: Family::default(),
        }
    }
}

impl Tally {
    /// Has `registry` tell what is counted.
    pub fn register(&self, registry: &mut Registry) {
        let all = self.clone();
        registry.register(
            "porch_repository_sync_duration_seconds",
            "Time that looks at a repository took, those that failed among them",
            all.durations,
        );
        registry.register(
            "porch_repository_sync_failures",
            "Looks at a repository that failed",
            all.failures,
        );
        registry.register(
            "porch_repository_package_revisions",
            "Package revisions served, as of the last look that went well",
            all.revisions,
        );
        registry.register(
            "porch_repository_unserved",
            "What is in Git and not served, as of the last look that went well",
            all.unserved,
        );
        registry.register(
            "porch_repository_last_success_timestamp_seconds",
            "When the last look that went well ended; time() minus this is its age",
            all.success,
        );
    }

    /// Counts a look that ended at `at`.
    pub(super) fn looked(
        &self,
        subject: &Subject,
        result: &Result<Seen, Error>,
        (at, took): (Timestamp, Duration),
    ) {
        let labels = labels(&subject.namespace, &subject.name);
        let seconds = took.as_secs_f64();
        self.durations.get_or_create(&labels).observe(seconds);
        // It is told from the beginning, so that its first increase shows.
        let failures = self.failures.get_or_create(&labels);
        match result {
            Err(_) => {
                failures.inc();
            }
            Ok(seen) => {
                drop(failures);
                let set = |family: &Family<Labels, Gauge>, value: i64| {
                    family.get_or_create(&labels).set(value);
                };
                set(&self.revisions, count(seen.revisions));
                set(&self.unserved, count(seen.notes.len()));
                set(&self.success, at.as_second());
            }
        }
    }

    /// Forgets a Repository that is no more.
    pub fn forget(&self, namespace: &str, repository: &str) {
        let labels = labels(namespace, repository);
        self.durations.remove(&labels);
        self.failures.remove(&labels);
        for family in [&self.revisions, &self.unserved, &self.success] {
            family.remove(&labels);
        }
    }
}

fn labels(namespace: &str, repository: &str) -> Labels {
    Labels {
        namespace: namespace.into(),
        repository: repository.into(),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
