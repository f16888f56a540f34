//! The intent of a write: in its record before Git is touched, rewritten when the plan changes, taken back if nothing came
//! of it. In comes an undertaking and its plans; out goes whether to go on. Only its own intent is ever touched.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    Begin, Call, Engine, Error,
    create::exists,
    records::{Records, Unwritten},
    write::{Base, Setback, Undertaking},
};
use crate::{
    api::{IntendedEdit, Intent, PackageRev},
    cache::{Version, name_of, version_of},
    sync::{Declare, Failpoints, Plan, Point},
};

/// Returns what writes the intent when a plan is made.
pub fn declaring(declared: &Arc<Mutex<Declared>>) -> Declare {
    let declared = declared.clone();
    Box::new(move |plan: &Plan| {
        let (declared, edits) = (declared.clone(), intended(plan));
        async move { declared.lock().await.write(edits).await }.boxed()
    })
}

fn intended(plan: &Plan) -> Vec<IntendedEdit> {
    let edits = plan.edits.iter().map(|edit| IntendedEdit {
        ref_: edit.name.clone(),
        from: edit.from.clone(),
        to: edit.to.clone(),
    });
    edits.collect()
}

/// An intent on its way into its record.
pub struct Declared {
    records: Records,
    pub intent: Intent,
    /// The record with which the intent is to be written.
    next: PackageRev,
    /// Whether there was none before.
    new: bool,
    /// The write before, which lapsed and may come to pass after all: it must not be forgotten with this one.
    earlier: Option<Intent>,
    /// The record with the intent, as it was written last, or as it may have been.
    written: Option<PackageRev>,
    /// Why it could not be written.
    pub setback: Option<Setback>,
    begin: Begin,
    failpoints: Failpoints,
}

impl Declared {
    /// Returns the intent of an undertaking, not written yet.
    pub fn new(engine: &Engine, undertaking: &Undertaking, records: Records, call: &Call) -> Self {
        let subject = &undertaking.home.target.subject;
        let next = match &undertaking.base {
            Base::New => subject.record(&undertaking.key.name()),
            Base::Known(record) => record.as_ref().clone(),
        };
        let intent = Intent {
            id: Uuid::new_v4().to_string(),
            process: engine.sync().processes.id().into(),
            metadata: undertaking.metadata.clone(),
            ..Intent::default()
        };
        Self {
            records,
            intent,
            earlier: next.spec.intent.clone(),
            next,
            new: matches!(undertaking.base, Base::New),
            written: None,
            setback: None,
            begin: call.begin.clone(),
            failpoints: engine.sync().failpoints.clone(),
        }
    }

    /// Writes the intent with these edits; returns whether to go on.
    async fn write(&mut self, edits: Vec<IntendedEdit>) -> bool {
        if !self.begin.may() {
            self.setback = Some(Error::TimedOut.into());
            return false;
        }
        self.failpoints.pass(Point::BeforeIntent).await;
        self.intent.edits = edits;
        self.next.spec.intent = Some(self.intent.clone());
        let written = if self.new && self.written.is_none() {
            self.create().await
        } else {
            self.records.replace(&self.next).await
        };
        match written {
            Ok(record) => {
                self.next
                    .metadata
                    .resource_version
                    .clone_from(&record.metadata.resource_version);
                self.next.metadata.uid.clone_from(&record.metadata.uid);
                self.written = Some(record);
                self.failpoints.pass(Point::AfterIntent).await;
                true
            }
            Err(unwritten) => {
                if matches!(unwritten, Unwritten::Failed(_)) && self.written.is_none() {
                    // The answer may have been lost, and not the record.
                    self.written = Some(self.next.clone());
                }
                self.setback = Some(match unwritten {
                    Unwritten::Changed => Setback::Changed,
                    Unwritten::Exists => exists(name_of(&self.next).name).into(),
                    Unwritten::Failed(error) => error.into(),
                });
                false
            }
        }
    }

    /// Makes the record. One whose creation lapsed is in nobody's way.
    async fn create(&mut self) -> Result<PackageRev, Unwritten> {
        let made = self.records.create(&self.next).await;
        if !matches!(made, Err(Unwritten::Exists)) {
            return made;
        }
        let name = self.next.metadata.name.clone().unwrap_or_default();
        let found = self.records.get(&name).await.map_err(Unwritten::Failed)?;
        let lapsed = found.filter(|found| {
            let intent = found.spec.intent.as_ref();
            found.spec.observed.is_none() && intent.is_some_and(|intent| !intent.is_open())
        });
        let Some(lapsed) = lapsed else {
            return Err(Unwritten::Exists);
        };
        let ours = self.next.clone();
        self.earlier.clone_from(&lapsed.spec.intent);
        self.next.metadata = lapsed.metadata;
        self.next.metadata.finalizers = ours.metadata.finalizers;
        self.next.metadata.labels = ours.metadata.labels;
        self.records.replace(&self.next).await
    }

    /// Returns the version of the record with the intent.
    pub fn version(&self) -> Version {
        let written = self.written.as_ref();
        written.and_then(version_of).unwrap_or_default()
    }

    /// Returns the record that was made for the intent; nothing if there was one before.
    pub fn made(&self) -> Option<PackageRev> {
        self.written
            .clone()
            .filter(|_| self.new && self.earlier.is_none())
    }

    /// Takes the intent out of its record, and a record that was made for it away. Returns the newest version.
    pub async fn take_back(&mut self) -> Version {
        let earlier = self.earlier.clone();
        let remove = self.new && earlier.is_none();
        self.undo(
            move |record| record.spec.intent.clone_from(&earlier),
            remove,
        )
        .await
    }

    /// Leaves the intent as one that may still come to pass, and that is in nobody's way.
    pub async fn lapse(&mut self, now: jiff::Timestamp) -> Version {
        let lapsed = move |record: &mut PackageRev| {
            if let Some(intent) = &mut record.spec.intent {
                intent.lapsed = Some(Time(now));
            }
        };
        self.undo(lapsed, false).await
    }

    async fn undo(&mut self, change: impl Fn(&mut PackageRev), remove: bool) -> Version {
        let Some(mut record) = self.written.take() else {
            return Version::default();
        };
        let mut pause = Duration::from_millis(50);
        // As long as it takes: nobody else ends the intent of a process that lives.
        loop {
            let undone = if remove {
                self.records.remove(&record).await
            } else {
                let mut next = record.clone();
                change(&mut next);
                let replaced = self.records.replace(&next).await;
                replaced.map(|record| version_of(&record).unwrap_or_default())
            };
            match undone {
                Ok(version) => return version,
                Err(Unwritten::Failed(error)) => {
                    tracing::warn!(%error, "a write that came to nothing is still declared");
                    pause = (pause * 2).min(LONGEST);
                    tokio::time::sleep(pause).await;
                }
                Err(_) => {}
            }
            let name = record.metadata.name.clone().unwrap_or_default();
            match self.records.get(&name).await {
                Ok(Some(now)) if self.is_ours(&now) => record = now,
                Ok(_) => return Version::default(),
                Err(_) => tokio::time::sleep(pause).await,
            }
        }
    }

    fn is_ours(&self, record: &PackageRev) -> bool {
        let intent = record.spec.intent.as_ref();
        intent.is_some_and(|intent| intent.id == self.intent.id)
    }
}

/// The longest wait between two tries to take an intent back.
const LONGEST: Duration = Duration::from_secs(5);
