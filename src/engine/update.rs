//! A package revision as its user wants it: metadata, the Kptfile's share of it, and the lifecycle, by plain update or by
//! approval. In comes an edit of the object, which is computed from exactly the record that it replaces; out goes the record.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{
    About, Call, Engine, Error, Record,
    found::{Outline, kptfile_of},
    locks::Lock,
    records::{Records, Unwritten},
    report::Report,
    share,
    surroundings::Home,
    wish::{Wish, carried, wish},
    write::{Base, Setback, Undertaking},
};
use crate::{
    api::{Observed, PackageRev, PackageRevision, Task, UserMetadata},
    cache::{Name, Version, name_of, version_of, view},
    git::task_message,
    package::{
        Files, KPTFILE, Lifecycle, RevisionKey,
        kptfile::{self, Change},
        strategy::RevisionInput,
    },
    sync::{self, Deed, Draft, Point, Work},
};

/// How often a write is computed anew because of what a stranger did to Git.
const ATTEMPTS: u32 = 4;
/// The condition in a Kptfile that says whether its package was rendered.
const RENDERED: &str = "Rendered";
/// How often a publication is given another number: each time somebody else got the one before.
const NUMBERS: u32 = 64;

/// Which way a revision is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The object itself.
    Plain,
    /// Its approval.
    Approval,
}

impl Engine {
    /// Updates the revision of this name as `edit` says, which is given the object as it is. If somebody was faster and
    /// the caller named no version (`patient`), it is asked again.
    ///
    /// # Errors
    /// [`Error`], or what `edit` says.
    pub async fn update<E: From<Error>>(
        &self,
        name: &Name,
        (way, patient): (Way, bool),
        edit: impl Fn(&PackageRevision) -> Result<RevisionInput, E>,
        call: &Call,
    ) -> Result<Record, E> {
        let (mut attempts, mut numbers, mut taken) = (0, 0, 0);
        loop {
            let (lock, record) = self.take(name, patient, call).await?;
            let base = record.clone();
            let old = view::package_revision(&record);
            let old = old.ok_or_else(|| Error::NotFound(About::Request))?;
            let new = edit(&old)?;
            let wish = wish(way, &record, &old, &new)?;
            match self.fulfil((record, lock), wish, taken, call).await {
                Ok(record) => return Ok(record),
                Err(Setback::Told(error)) => return Err(error.into()),
                Err(Setback::Changed) if !patient => return Err(Error::Modified.into()),
                // Whoever was faster is seen soon; until then every attempt would lose again.
                Err(Setback::Changed) => self.moved_on(&base, call).await?,
                Err(Setback::Lost(reference)) => match number_of(&reference) {
                    // A tag that was taken says nothing about this object: there are other numbers.
                    Some(number) if numbers < NUMBERS => {
                        numbers += 1;
                        taken = taken.max(number);
                    }
                    Some(_) => return Err(Error::Modified.into()),
                    None => {
                        attempts += 1;
                        if attempts == ATTEMPTS || !patient {
                            return Err(Error::Modified.into());
                        }
                    }
                },
            }
        }
    }

    /// Returns the right to write a revision, and its record. Who is not `patient` is told at once if another writes.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`]; [`Error::TimedOut`]; [`Error::Unavailable`].
    pub(super) async fn take(
        &self,
        name: &Name,
        patient: bool,
        call: &Call,
    ) -> Result<(Lock, Record), Error> {
        loop {
            let lock = match self.parts.locks.take(name) {
                Some(lock) => lock,
                None if patient => {
                    let lock = timeout_at(call.deadline, self.parts.locks.wait(name)).await;
                    lock.map_err(|_| Error::TimedOut)?
                }
                None => return Err(busy(name)),
            };
            let record = self.current(name).await?;
            let intent = record.spec.intent.as_ref();
            if intent.is_none_or(|intent| !intent.is_open()) {
                return Ok((lock, record));
            }
            drop(lock);
            if !patient {
                return Err(busy(name));
            }
            self.moved_on(&record, call).await?;
        }
    }

    /// Returns the record of a revision that is served.
    pub(super) async fn current(&self, name: &Name) -> Result<Record, Error> {
        let found = self.means().feed.find(name).await;
        let found = found.map_err(|unknown| Error::Unavailable {
            why: unknown.to_string(),
            after: 1,
        })?;
        let found = found.ok_or(Error::NotFound(About::Request))?;
        Ok(found.record().clone())
    }

    /// Waits until something newer than a record was seen.
    pub(super) async fn moved_on(&self, record: &PackageRev, call: &Call) -> Result<(), Error> {
        let (catalog, name) = (self.means().feed.catalog(), name_of(record));
        let next = Version(catalog.seen().0 + 1);
        let known = catalog.record(&name.namespace, &name.name);
        if known.as_deref().and_then(version_of) == version_of(record) {
            let left = call.deadline.saturating_duration_since(Instant::now());
            // It is looked at anew in either case.
            let _ = catalog.wait_for(next, left.min(POLL)).await;
        }
        if call.deadline <= Instant::now() {
            return Err(Error::TimedOut);
        }
        Ok(())
    }

    async fn fulfil(
        &self,
        (record, lock): (Record, Lock),
        wish: Wish,
        taken: i64,
        call: &Call,
    ) -> Result<Record, Setback> {
        match wish {
            Wish::Nothing => Ok(record),
            Wish::Metadata(metadata) => self.rewrite(record, metadata, lock, call).await,
            Wish::Departure(metadata) => {
                let mut last = record.as_ref().clone();
                last.spec.metadata = metadata;
                self.depart((record, lock), true, call).await?;
                Ok(Arc::new(last))
            }
            Wish::Deed {
                to,
                content,
                metadata,
            } => {
                let content = (to, content.as_slice(), taken);
                let undertaking = self.undertake(&record, content, metadata, call);
                let (mut undertaking, report) = undertaking.await?;
                if call.dry_run {
                    self.rehearse(&mut undertaking, call).await?;
                    return Ok(undertaking.rehearsed(&record, to));
                }
                let done = self.carry_out(undertaking, lock, call).await?;
                let done = done.ok_or(Error::NotFound(About::Request))?;
                self.tell(&done, &report, call);
                Ok(done)
            }
        }
    }

    /// Writes other metadata: one settle, and nothing in Git.
    pub(super) async fn rewrite(
        &self,
        record: Record,
        metadata: UserMetadata,
        lock: Lock,
        call: &Call,
    ) -> Result<Record, Setback> {
        let mut next = record.as_ref().clone();
        if let Some(late) = next
            .spec
            .intent
            .as_mut()
            .and_then(|it| it.metadata.as_mut())
        {
            // A write that lapsed may come to pass after all: it brings its own share then, and takes nothing away.
            *late = carried(late, &record.spec.metadata, &metadata);
        }
        next.spec.metadata = metadata;
        let namespace = next.metadata.namespace.clone().unwrap_or_default();
        let records = Records::new(&self.sync().client, &namespace);
        if call.dry_run {
            return match records.rehearse(&next).await {
                Ok(()) => Ok(Arc::new(next)),
                Err(Unwritten::Failed(error)) => Err(error.into()),
                Err(_) => Err(Setback::Changed),
            };
        }
        if !call.begin.may() {
            return Err(Error::TimedOut.into());
        }
        self.sync().failpoints.pass(Point::BeforeMetadata).await;
        let written = records.replace(&next).await;
        self.sync().failpoints.pass(Point::AfterMetadata).await;
        drop(lock);
        match written {
            Ok(written) => {
                self.see(version_of(&written).unwrap_or_default()).await?;
                next.metadata.resource_version = written.metadata.resource_version;
                Ok(Arc::new(next))
            }
            Err(Unwritten::Failed(error)) => Err(error.into()),
            Err(_) => Err(Setback::Changed),
        }
    }

    /// Returns what is to be done to Git, and what was rendered for it.
    async fn undertake(
        &self,
        record: &Record,
        (to, content, taken): (Lifecycle, &[Change], i64),
        mut metadata: UserMetadata,
        call: &Call,
    ) -> Result<(Undertaking, Report), Error> {
        let home = self.home_of(record).await?;
        let observed = observed(record)?;
        let (mut outline, mut report) = (Outline::of(observed), Report::default());
        let unrendered = to == Lifecycle::Proposed && failed_to_render(observed);
        let step = if content.is_empty() && !unrendered {
            self.step(record, observed, (to, taken))?
        } else {
            let current = self.files(record).await?;
            let files = edited(current.clone(), content)?;
            let name = name_of(record).name;
            let rendered = self.rendered(files, (&name, "spec"), call).await?;
            let files;
            (files, report) = rendered;
            let kptfile = files.get(KPTFILE).map_or(&[][..], Vec::as_slice);
            outline.kptfile = kptfile_of(kptfile);
            let now = (self.sync().clock)();
            share::of_files(&mut metadata, (&current, &files), (call, now));
            written(observed, files, to == Lifecycle::Proposed)
        };
        let known = (home, key_of(record, observed), record.clone());
        let undertaking = undertaking(known, step, (outline, to), (metadata, call, self));
        Ok((undertaking, report))
    }

    /// Returns what brings a revision from where it is in its life to where it is wanted; numbers up to `taken` are not
    /// to be had.
    fn step(
        &self,
        record: &Record,
        observed: &Observed,
        (to, taken): (Lifecycle, i64),
    ) -> Result<Step, Error> {
        use Lifecycle::{DeletionProposed, Draft, Proposed, Published};
        let git = &observed.git;
        let commit = git.commit.clone();
        let number = observed.revision;
        let deed = match (observed.lifecycle, to) {
            (Draft, Proposed) => Deed::Propose {
                draft: draft_of(observed),
            },
            (Proposed, Draft) => Deed::Reject {
                draft: draft_of(observed),
            },
            (Proposed, Published) => {
                let number = self.next_number(record, observed).max(taken + 1);
                let draft = draft_of(observed);
                Deed::Publish { draft, number }
            }
            (Published, DeletionProposed) => Deed::ProposeDeletion { commit, number },
            (DeletionProposed, Published) => Deed::Keep { commit, number },
            (from, to) => {
                return Err(Error::Internal(format!("no way leads from {from} to {to}")));
            }
        };
        let message = String::new();
        Ok(Step { deed, message })
    }

    /// Returns the number of a package's next revision: one more than the highest that is published.
    fn next_number(&self, record: &Record, observed: &Observed) -> i64 {
        let key = view::package_key(record, observed);
        let namespace = record.metadata.namespace.clone().unwrap_or_default();
        let package = Name::new(namespace, key.name());
        let records = self.means().feed.catalog().records_of_package(&package);
        let published = records.iter().filter_map(|record| {
            let observed = view::observed(record)?;
            let same = view::package_key(record, observed) == key;
            (same && observed.lifecycle.is_published()).then_some(observed.revision)
        });
        published.max().unwrap_or_default().max(0) + 1
    }

    /// Returns the files of a revision.
    pub(super) async fn files(&self, record: &PackageRev) -> Result<Files, Error> {
        let read = self.means().contents.files(record).await;
        let read = read.map_err(|error| match error {
            sync::Error::Unreadable(why) => Error::Forbidden {
                about: About::Request,
                why: format!("its files can't be read: {why}"),
            },
            other => Error::Unavailable {
                why: other.to_string(),
                after: 2,
            },
        })?;
        Ok(read.into_iter().collect())
    }
}

/// Returns the files of a draft with what its object says of the Kptfile.
fn edited(mut files: Files, content: &[Change]) -> Result<Files, Error> {
    let kptfile = files.get(KPTFILE).cloned().unwrap_or_default();
    let edited = kptfile::edit(&kptfile, content);
    let edited = edited.map_err(|problem| Error::Conflict(format!("Kptfile: {problem}")))?;
    files.insert(KPTFILE.into(), edited);
    Ok(files)
}

/// The longest wait for something that may have happened unseen.
const POLL: std::time::Duration = std::time::Duration::from_millis(250);

/// Returns whether a draft was stored though its pipeline failed.
fn failed_to_render(observed: &Observed) -> bool {
    let mut conditions = observed.kptfile.conditions.iter();
    observed.lifecycle == Lifecycle::Draft
        && conditions.any(|condition| condition.type_ == RENDERED && condition.status != "True")
}

/// Returns the number of a revision that a tag stands for.
fn number_of(reference: &str) -> Option<i64> {
    let tag = reference.strip_prefix("refs/tags/")?;
    tag.rsplit_once("/v")?.1.parse().ok()
}

/// A deed and the message of its commit.
pub(super) struct Step {
    pub deed: Deed,
    pub message: String,
}

fn undertaking(
    (home, key, record): (Home, RevisionKey, Record),
    step: Step,
    (mut outline, to): (Outline, Lifecycle),
    (metadata, call, engine): (UserMetadata, &Call, &Engine),
) -> Undertaking {
    let directory = home.target.subject.scope.full_path(&key.package.package);
    let place = format!("{directory}/{}", key.workspace);
    let publishes = match (&step.deed, to) {
        (Deed::Publish { number, .. }, _) => {
            outline.revision = *number;
            outline.reference = format!("refs/tags/{directory}/v{number}");
            true
        }
        (_, Lifecycle::Proposed) => {
            outline.reference = format!("refs/heads/proposed/{place}");
            false
        }
        (_, Lifecycle::Draft) => {
            outline.reference = format!("refs/heads/drafts/{place}");
            false
        }
        _ => false,
    };
    Undertaking {
        work: Work {
            deed: step.deed,
            directory,
            workspace: key.workspace.clone(),
            message: step.message,
            author: call.caller.author(&home.repository),
            time: (engine.sync().clock)(),
        },
        home,
        key,
        base: Base::Known(record),
        metadata: Some(metadata),
        outline: Some(outline),
        publishes,
    }
}

impl Undertaking {
    /// Returns the record as it would be, so far as that is known before anything is done.
    pub(super) fn rehearsed(self, record: &PackageRev, to: Lifecycle) -> Record {
        let mut next = record.clone();
        next.spec.metadata = self.metadata.unwrap_or_else(|| next.spec.metadata.clone());
        if let Some(observed) = &mut next.spec.observed {
            observed.lifecycle = to;
            if let Some(outline) = self.outline {
                observed.revision = outline.revision;
                observed.git.ref_ = outline.reference;
                observed.kptfile = outline.kptfile;
            }
            if self.publishes {
                observed.latest = true;
                observed.published_by = self.work.author.email;
                let at = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.work.time);
                observed.published_at = Some(at);
            }
        }
        Arc::new(next)
    }
}

/// Returns the step that gives a draft these files.
pub(super) fn written(observed: &Observed, files: Files, propose: bool) -> Step {
    // Upstream's word for every change of a draft's files.
    let task = Task {
        type_: "render".into(),
        ..Task::default()
    };
    Step {
        message: task_message(&observed.git.directory, &observed.workspace, Some(&task)),
        deed: Deed::Write {
            files: Arc::new(files),
            draft: Some(draft_of(observed)),
            before: None,
            propose,
        },
    }
}

fn draft_of(observed: &Observed) -> Draft {
    Draft {
        commit: observed.git.commit.clone(),
        tree: observed.git.tree.clone(),
    }
}

/// Returns what Git says of a record that is served.
pub(super) fn observed(record: &PackageRev) -> Result<&Observed, Error> {
    view::observed(record).ok_or(Error::NotFound(About::Request))
}

/// Returns the key under which a record was written.
pub(super) fn key_of(record: &PackageRev, observed: &Observed) -> RevisionKey {
    RevisionKey {
        package: view::package_key(record, observed),
        workspace: observed.workspace.clone(),
    }
}

/// Returns that another write is under way (upstream's words).
fn busy(name: &Name) -> Error {
    Error::Busy(format!(
        "another request is already in progress on package revision \"{}/{}\"",
        name.namespace, name.name
    ))
}
