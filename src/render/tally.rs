//! What is counted of functions, for those who watch over the server. In come runs, out go metrics for a registry that
//! somebody else serves. Images are the users' words, so only functions of this program are told by name.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the durations of functions, in seconds.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0, 60.0];
/// A run longer than this is worth a line for whoever reads the log.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    function: &'static str,
    result: &'static str,
}

/// What is counted; clones count together.
#[derive(Clone)]
pub struct Tally {
    durations: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Default for Tally {
    fn default() -> Self {
        let durations = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> _);
        Self { durations }
    }
}

impl Tally {
    /// Has `registry` tell what is counted.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "porch_function_duration_seconds",
            "Time that functions of packages took; function is a name of this program, or where it runs",
            self.durations.clone(),
        );
    }

    /// Counts a run of a function.
    pub(super) fn ran(&self, (function, image): (&'static str, &str), well: bool, took: Duration) {
        let result = if well { "success" } else { "failure" };
        let labels = Labels { function, result };
        let seconds = took.as_secs_f64();
        self.durations.get_or_create(&labels).observe(seconds);
        if took > SLOW {
            tracing::warn!(image, ?took, result, "a function was slow");
        } else {
            tracing::debug!(image, ?took, result, "a function ran");
        }
    }
}
