//! What is told of a render beside its files: which functions ran, when, and how long each took. To the caller in the answer, and to
//! whoever describes the revision later as an event of Kubernetes, which nobody waits for. Such an event also tells why a revision
//! stays that its owners are gone from. In come steps and records.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Time as When,
};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use super::{Call, Engine};
use crate::{
    api::{GROUP, PackageRev, RenderStatus, VERSION},
    cache::view,
    render::Step,
};

/// The annotation of a result list by which its reader knows how long each function took.
const DURATIONS: &str = "porch.kpt.dev/function-durations";
/// Who tells it.
const REPORTER: &str = "porch.kpt.dev/porch";
/// Most bytes of an event's sentence: a cluster takes 1,024.
const MOST_BYTES: usize = 1000;

/// How long nothing is told again that was told of a revision. The garbage collector asks ever again.
const SILENCE: Duration = Duration::from_mins(10);
/// How many revisions are remembered that something was told of.
const MOST_TOLD: usize = 4096;

/// Of which revisions something was told, by the UIDs of their records, and when.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<String, Instant>>);

impl Told {
    /// Returns whether it is time to tell something of a revision; then it counts as told.
    fn is_due(&self, uid: String) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.retain(|_, at| now.duration_since(*at) < SILENCE);
        }
        if told
            .get(&uid)
            .is_some_and(|at| now.duration_since(*at) < SILENCE)
        {
            return false;
        }
        if told.len() >= MOST_TOLD {
            return false;
        }
        told.insert(uid, now);
        true
    }
}

/// What functions ran, and how long each took; empty if none did.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// The functions by name and tag, each with how long it took.
    functions: Vec<String>,
    /// How long all took.
    took: Duration,
    /// Why the render failed, if it did.
    failure: Option<String>,
}

impl Report {
    /// Returns the report of a render.
    pub(super) fn of(steps: &[Step], failure: Option<&str>) -> Self {
        let told = |step: &Step| {
            let name = step.image.rsplit('/').next().unwrap_or_default();
            format!("{name} {:.1?}", step.took)
        };
        Self {
            functions: steps.iter().map(told).collect(),
            took: steps.iter().map(|step| step.took).sum(),
            failure: failure.map(Into::into),
        }
    }

    /// Writes into what the caller is told when it was, and how long each function took.
    pub(super) fn put(&self, status: &mut RenderStatus, now: Timestamp) {
        let metadata = &mut status.result.metadata;
        metadata.creation_timestamp = Some(When(now));
        if !self.functions.is_empty() {
            let durations = self.functions.join(", ");
            metadata.annotations = Some(BTreeMap::from([(DURATIONS.into(), durations)]));
        }
    }

    fn event(&self) -> Event {
        let count = self.functions.len();
        let mut note = format!("{count} function(s) in {:.1?}", self.took);
        if count > 0 {
            let _ = write!(note, ": {}", self.functions.join(", "));
        }
        let (type_, reason) = match &self.failure {
            None => (EventType::Normal, "Rendered"),
            Some(_) => (EventType::Warning, "RenderFailed"),
        };
        if let Some(failure) = &self.failure {
            note = format!("{failure}; {note}");
        }
        Event {
            type_,
            reason: reason.into(),
            note: Some(short(&note)),
            action: "Render".into(),
            secondary: None,
        }
    }
}

fn short(text: &str) -> String {
    if text.len() <= MOST_BYTES {
        return text.into();
    }
    let mut ends = (0..=MOST_BYTES).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    format!("{}…", &text[..end.unwrap_or_default()])
}

impl Engine {
    /// Tells of a render of a revision, if functions ran or should have and more than a rehearsal was asked for. Nobody waits until it
    /// is told.
    pub(super) fn tell(&self, record: &PackageRev, report: &Report, call: &Call) {
        let is_nothing = report.functions.is_empty() && report.failure.is_none();
        if is_nothing || call.dry_run {
            return;
        }
        self.publish(record, report.event());
    }

    /// Tells why a revision stays that somebody wanted to go who does not listen: once in a while, however often it is asked
    /// for.
    pub(super) fn tell_refusal(&self, record: &PackageRev, why: &str, call: &Call) {
        let uid = record.metadata.uid.clone().unwrap_or_default();
        if call.dry_run || !self.parts.told.is_due(uid) {
            return;
        }
        self.publish(
            record,
            Event {
                type_: EventType::Warning,
                reason: "DeletionRefused".into(),
                note: Some(short(why)),
                action: "Delete".into(),
                secondary: None,
            },
        );
    }

    fn publish(&self, record: &PackageRev, event: Event) {
        let Some(revision) = view::package_revision(record) else {
            return;
        };
        let regarding = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(revision.kind),
            name: revision.metadata.name,
            namespace: revision.metadata.namespace,
            uid: revision.metadata.uid,
            ..ObjectReference::default()
        };
        let reporter = Reporter {
            controller: REPORTER.into(),
            instance: Some(REPORTER.into()),
        };
        // A new one each time: a recorder counts events that are alike, and keeps what the first of them said.
        let recorder = Recorder::new(self.sync().client.clone(), reporter);
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &regarding).await {
                tracing::warn!(%error, reason = event.reason, "an event can't be told");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(count: usize) -> Vec<Step> {
        let step = |at: usize| Step {
            image: format!("ghcr.io/a/f{at}:v1"),
            took: Duration::from_millis(12),
            ..Step::default()
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn a_render_is_told_with_what_each_function_took() {
        let report = Report::of(&steps(2), None);
        let event = report.event();
        let note = "2 function(s) in 24.0ms: f0:v1 12.0ms, f1:v1 12.0ms";
        assert_eq!(
            (event.reason.as_str(), event.note.as_deref()),
            ("Rendered", Some(note))
        );
        let mut status = RenderStatus::default();
        report.put(&mut status, Timestamp::UNIX_EPOCH);
        let metadata = serde_json::to_value(status.result.metadata).unwrap();
        let want = serde_json::json!({
            "creationTimestamp": "1970-01-01T00:00:00Z",
            "annotations": {DURATIONS: "f0:v1 12.0ms, f1:v1 12.0ms"},
        });
        assert_eq!(metadata, want);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_told_again_after_a_while_only() {
        let told = Told::default();
        let due = |uid: &str| told.is_due(uid.into());
        assert_eq!(
            [due("a"), due("a"), due("b"), due("a")],
            [true, false, true, false]
        );
        tokio::time::advance(SILENCE).await;
        assert_eq!([due("a"), due("a")], [true, false]);
        for number in 2..MOST_TOLD {
            assert!(due(&number.to_string()), "{number}");
        }
        assert!(due("one more"), "what is long ago makes room");
    }

    #[test]
    fn a_failure_comes_first_and_an_event_stays_short() {
        let failed = Report::of(&steps(1), Some("it is broken")).event();
        assert_eq!(
            (failed.reason.as_str(), failed.note.as_deref()),
            (
                "RenderFailed",
                Some("it is broken; 1 function(s) in 12.0ms: f0:v1 12.0ms")
            )
        );
        for report in [
            Report::of(&steps(1000), None),
            Report::of(&[], Some(&"\u{1f980}".repeat(5000))),
        ] {
            assert!(report.event().note.is_some_and(|note| note.len() <= 1024));
        }
    }
}
