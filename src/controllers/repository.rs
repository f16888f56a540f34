//! Repositories: a sync manager for each, its orders from the object's spec, its outcomes in the object's status. A
//! Repository that goes takes its records and its mirror along; Git is not touched.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};

use futures::{
    Stream,
    channel::mpsc::{self, UnboundedSender},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use kube_runtime::{
    controller::Action,
    events::{Event, EventType, Recorder, Reporter},
    finalizer::{self, finalizer},
    reflector::{ObjectRef, Store},
};
use serde_json::json;

use super::{
    Error, Settings,
    bells::Bell,
    conflict,
    status::{self, Standing},
    webhook::PUSHED,
};
use crate::{
    api::{CONFIG_GROUP, REPOSITORY_CONFLICT, Repository, RepositoryStatus},
    sync::{self, Manager, Means, Orders, Rhythm, Target, schedule::Schedule},
};

/// Holds a Repository until its records are gone; upstream's name for it.
const FINALIZER: &str = "config.porch.kpt.dev/repository";
/// The owner of the fields of the status; upstream's name for it.
const OWNER: &str = "repository-controller";
/// The longest message of an event, in bytes (Kubernetes API).
const NOTE: usize = 1024;

/// Namespace and name of a Repository.
pub type Name = (String, String);

/// What reconciliations share.
pub struct Context {
    pub means: Means,
    settings: Settings,
    /// The Repositories that are synchronised. Held for moments, never across a wait.
    entries: Mutex<HashMap<Name, Entry>>,
    /// Wakes the reconciler when a manager has something to tell: one message a look.
    moved: UnboundedSender<ObjectRef<Repository>>,
    recorder: Recorder,
    /// All Repositories: one may be in another's way.
    known: OnceLock<Store<Repository>>,
}

/// A Repository that is synchronised.
struct Entry {
    uid: String,
    /// Nothing while the object is not as it should be.
    manager: Option<Manager>,
    /// The status that was written last: the reflector may not have brought it yet.
    written: Option<RepositoryStatus>,
    /// The kind of trouble that was told in an event.
    told: Option<&'static str>,
    /// By which the manager is told that something was pushed; hangs as long as the manager is.
    bell: Option<Bell>,
    /// When another replica was told so last.
    pushed: Option<String>,
}

/// Why a Repository is not looked at.
enum Refusal {
    /// It must change.
    Invalid(sync::Error),
    /// This one is in its way.
    Conflict(String),
}

impl Refusal {
    fn standing(&self) -> Standing<'static> {
        match self {
            Self::Invalid(error) => Standing::Refused(error.to_string()),
            Self::Conflict(rival) => Standing::Conflicting(rival.clone()),
        }
    }
}

impl Context {
    /// Returns a context, and the stream of the Repositories that must be reconciled since their managers have something
    /// to tell.
    pub fn new(
        means: Means,
        settings: Settings,
    ) -> (Self, impl Stream<Item = ObjectRef<Repository>>) {
        let (moved, stream) = mpsc::unbounded();
        let reporter = Reporter {
            controller: format!("{CONFIG_GROUP}/{OWNER}"),
            instance: Some(OWNER.into()),
        };
        let context = Self {
            recorder: Recorder::new(means.client.clone(), reporter),
            means,
            settings,
            entries: Mutex::default(),
            moved,
            known: OnceLock::new(),
        };
        (context, stream)
    }

    /// Learns where all Repositories are known.
    pub fn know(&self, repositories: Store<Repository>) {
        // Nobody learns it twice.
        let _ = self.known.set(repositories);
    }

    fn others(&self) -> Vec<Arc<Repository>> {
        self.known.get().map(Store::state).unwrap_or_default()
    }

    /// Has those reconciled again that another Repository was in the way of.
    pub fn ask_again(&self) {
        for repository in conflict::waiting(&self.others()) {
            // Nobody listens any more when the process ends.
            let _ = self.moved.unbounded_send(ObjectRef::from_obj(&*repository));
        }
    }

    /// Returns where these Repositories are; those that must change are nowhere.
    pub fn targets(&self, repositories: &[Arc<Repository>]) -> Vec<Target> {
        let targets = repositories
            .iter()
            .map(|it| Target::of(it, self.settings.allow_file));
        targets.flatten().collect()
    }

    /// Stops all managers, and waits until they have let go of everything.
    pub async fn stop(&self) {
        let entries = std::mem::take(&mut *self.entries());
        for entry in entries.into_values() {
            if let Some(manager) = entry.manager {
                manager.stop().await;
            }
        }
    }

    /// Returns the Repositories that are synchronised.
    pub fn names(&self) -> Vec<Name> {
        self.entries().keys().cloned().collect()
    }

    /// Takes everything of a Repository away but Git: stops its manager, deletes its records, removes its mirror.
    ///
    /// # Errors
    /// What could not be taken away; the rest is, and it can be done again.
    pub async fn release(&self, name: &Name, uid: Option<String>) -> Result<(), Error> {
        let known = self.entries().remove(name);
        let uid = uid.or_else(|| known.as_ref().map(|entry| entry.uid.clone()));
        if let Some(manager) = known.and_then(|entry| entry.manager) {
            manager.stop().await;
        }
        self.means.tally.forget(&name.0, &name.1);
        let (_, records) = self.means.catalog.records_of(&name.0, &name.1);
        sync::delete_all(&self.means.client, &name.0, &name.1, &records).await?;
        if let Some(uid) = uid {
            self.means.mirrors.remove(&uid).await?;
        }
        Ok(())
    }

    /// Gives the manager of a Repository its orders, starting it if need be, and tells in the status what came of it.
    async fn keep(&self, repository: &Repository) -> Result<(), Error> {
        let before = self.forget_predecessor(repository).await?;
        let known = repository.status.clone().unwrap_or_default();
        let base = before.unwrap_or_else(|| known.clone());
        let (rhythm, remark) = self.rhythm(repository);
        let outcome = match Target::of(repository, self.settings.allow_file) {
            Err(error) => Err(Refusal::Invalid(error)),
            Ok(target) => match conflict::rival(repository, &self.others()) {
                Some(rival) => Err(Refusal::Conflict(rival)),
                None => Ok(self.order(repository, target, rhythm)),
            },
        };
        let is_ready = status::ready(&base).is_some_and(|ready| ready.status == "True");
        let is_unknown =
            status::ready(&base).is_none_or(|ready| ready.reason == REPOSITORY_CONFLICT);
        let standing = match &outcome {
            Err(refusal) => {
                self.note(repository, |entry| {
                    (entry.manager, entry.bell) = (None, None);
                });
                refusal.standing()
            }
            // How far a later look has come is told only if there is nothing better to tell.
            Ok((_, Some(progress))) if !is_ready => Standing::Reading(*progress),
            Ok((Some(outcome), _)) => Standing::Looked(outcome),
            Ok((None, _)) if is_unknown => Standing::Reconciling,
            Ok((None, _)) => return Ok(()),
        };
        let now = (self.settings.clock)();
        let wanted = status::status(repository, &base, &standing, (now, &remark));
        if wanted == base && wanted == known {
            return Ok(());
        }
        let kind = match &outcome {
            Err(Refusal::Invalid(error)) => Some(error.kind()),
            Err(Refusal::Conflict(_)) => Some(REPOSITORY_CONFLICT),
            Ok((Some(outcome), _)) => outcome.result.as_ref().err().map(|trouble| trouble.kind),
            Ok((None, _)) => None,
        };
        self.write(repository, wanted).await?;
        self.announce(repository, &base, kind).await;
        Ok(())
    }

    /// Lets go of a Repository of the same name that is no more. Returns the status that was written last.
    async fn forget_predecessor(
        &self,
        repository: &Repository,
    ) -> Result<Option<RepositoryStatus>, Error> {
        let name = name_of(repository);
        let uid = repository.uid().unwrap_or_default();
        let stale = match self.entries().get(&name) {
            Some(entry) if entry.uid == uid => return Ok(entry.written.clone()),
            Some(entry) => entry.uid.clone(),
            None => return Ok(None),
        };
        let entry = self.entries().remove(&name);
        if let Some(manager) = entry.and_then(|entry| entry.manager) {
            manager.stop().await;
        }
        self.means.mirrors.remove(&stale).await?;
        Ok(None)
    }

    fn order(
        &self,
        repository: &Repository,
        target: Target,
        rhythm: Rhythm,
    ) -> (Option<sync::Outcome>, Option<sync::Progress>) {
        let sync = repository.spec.sync.as_ref();
        let status = repository.status.as_ref();
        let orders = Orders {
            target,
            rhythm,
            run_once_at: sync
                .and_then(|sync| sync.run_once_at.as_ref())
                .map(|at| at.0),
            acted_on: status
                .and_then(|status| status.observed_run_once_at.as_ref())
                .map(|at| at.0),
            generation: repository.metadata.generation.unwrap_or_default(),
        };
        let mut entries = self.entries();
        let entry = entries
            .entry(name_of(repository))
            .or_insert_with(|| Entry::new(repository));
        if let Some(manager) = &entry.manager {
            manager.order(orders);
            let pushed = repository.annotations().get(PUSHED);
            if entry.pushed.as_ref() != pushed {
                entry.pushed = pushed.cloned();
                manager.poke();
            }
            let outcome = manager
                .outcome()
                .filter(|it| Some(it.generation) == repository.metadata.generation);
            return (outcome, manager.progress());
        }
        let (moved, object) = (self.moved.clone(), ObjectRef::from_obj(repository));
        let tell = move || {
            // Nobody listens any more when the process ends.
            let _ = moved.unbounded_send(object.clone());
        };
        let manager = Manager::start(orders, &self.means, tell);
        let bells = &self.settings.bells;
        entry.bell = Some(bells.hang(name_of(repository), manager.bell()));
        entry.manager = Some(manager);
        (None, None)
    }

    /// Returns how often to look, and what to tell the user about it.
    fn rhythm(&self, repository: &Repository) -> (Rhythm, String) {
        let interval = Rhythm::Interval(self.settings.interval);
        let sync = repository.spec.sync.as_ref();
        let Some(text) = sync
            .map(|sync| sync.schedule.trim())
            .filter(|text| !text.is_empty())
        else {
            return (interval, String::new());
        };
        match Schedule::parse(text, &self.settings.zone) {
            Ok(schedule) => (Rhythm::Schedule(schedule), String::new()),
            Err(why) => {
                let every = self.settings.interval;
                let remark = format!(
                    "; spec.sync.schedule: {text:?} is not used, but every {every:?} instead: {why}"
                );
                (interval, remark)
            }
        }
    }

    async fn write(&self, repository: &Repository, wanted: RepositoryStatus) -> Result<(), Error> {
        let namespace = repository.namespace().unwrap_or_default();
        let api: Api<Repository> = Api::namespaced(self.means.client.clone(), &namespace);
        let body = json!({
            "apiVersion": Repository::api_version(&()),
            "kind": Repository::kind(&()),
            "metadata": {"name": repository.name_any(), "uid": repository.uid()},
            "status": wanted,
        });
        let params = PatchParams::apply(OWNER).force();
        api.patch_status(&repository.name_any(), &params, &Patch::Apply(body))
            .await?;
        self.note(repository, |entry| entry.written = Some(wanted));
        Ok(())
    }

    /// Tells in an event that a Repository got into trouble, that the trouble is another now, or that it is over; not that
    /// it goes on.
    async fn announce(
        &self,
        repository: &Repository,
        before: &RepositoryStatus,
        kind: Option<&'static str>,
    ) {
        let was = status::ready(before).map(|ready| ready.reason.as_str());
        let (mut told, mut after) = (None, None);
        self.note(repository, |entry| {
            after.clone_from(&entry.written);
            told = entry.told;
            if after
                .as_ref()
                .and_then(status::ready)
                .is_some_and(|it| it.reason != "Reconciling")
            {
                entry.told = kind;
            }
        });
        let Some(is) = after.as_ref().and_then(status::ready) else {
            return;
        };
        let type_ = match (is.reason.as_str(), kind) {
            // A process that has just begun does not know what the one before it told.
            ("Error" | REPOSITORY_CONFLICT, Some(_)) if told.is_none() && was == Some("Error") => {
                return;
            }
            ("Error" | REPOSITORY_CONFLICT, Some(kind)) if told != Some(kind) => EventType::Warning,
            ("Ready", _) if told.is_some() || was == Some("Error") => EventType::Normal,
            _ => return,
        };
        let event = Event {
            type_,
            reason: kind.unwrap_or("Ready").into(),
            note: Some(is.message[..is.message.floor_char_boundary(NOTE)].to_owned()),
            action: "Synchronise".into(),
            secondary: None,
        };
        if let Err(error) = self
            .recorder
            .publish(&event, &repository.object_ref(&()))
            .await
        {
            tracing::debug!(%error, "an event could not be written");
        }
    }

    fn note(&self, repository: &Repository, deed: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries();
        deed(
            entries
                .entry(name_of(repository))
                .or_insert_with(|| Entry::new(repository)),
        );
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.entries
            .lock()
            .expect("nobody panics with the lock held")
    }
}

impl Entry {
    fn new(repository: &Repository) -> Self {
        Self {
            uid: repository.uid().unwrap_or_default(),
            manager: None,
            written: None,
            told: None,
            bell: None,
            pushed: repository.annotations().get(PUSHED).cloned(),
        }
    }
}

/// Makes what a Repository asks for so.
///
/// # Errors
/// [`Error`]: it must be tried again.
pub async fn reconcile(
    repository: Arc<Repository>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    if !context.settings.shard.has(&name_of(&repository)) {
        return Ok(Action::await_change());
    }
    let namespace = repository.namespace().unwrap_or_default();
    let api: Api<Repository> = Api::namespaced(context.means.client.clone(), &namespace);
    let done = finalizer(&api, FINALIZER, repository, |event| async {
        match event {
            finalizer::Event::Apply(repository) => context.keep(&repository).await?,
            finalizer::Event::Cleanup(repository) => {
                // An earlier process may have left a mirror: this one must know which.
                if let Ok(target) = Target::of(&repository, context.settings.allow_file) {
                    context.means.mirrors.hold(&target);
                }
                context
                    .release(&name_of(&repository), repository.uid())
                    .await?;
                context.ask_again();
            }
        }
        // Changes of the object and outcomes of its manager bring it back here.
        Ok::<_, Error>(Action::await_change())
    });
    done.await.map_err(|error| match error {
        finalizer::Error::ApplyFailed(error) | finalizer::Error::CleanupFailed(error) => error,
        other => Error::Finalizer(other.to_string()),
    })
}

fn name_of(repository: &Repository) -> Name {
    (
        repository.namespace().unwrap_or_default(),
        repository.name_any(),
    )
}
