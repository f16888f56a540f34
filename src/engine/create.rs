//! New package revisions: an empty package, a copy of one from elsewhere, or the next revision of one that is published.
//! In comes the object as its user wants it, out goes the record of a draft. What is refused leaves nothing behind.

use std::sync::Arc;

use super::{
    About, Call, Engine, Error, Record,
    found::{Outline, kptfile_of},
    locks::Lock,
    report::Report,
    source::Source,
    surroundings::{Home, Standing},
    wish::user_metadata,
    write::{Base, Setback, Undertaking, name_in},
};
use crate::{
    api::{InitTask, Intent, PackageRev, Task},
    cache::Name,
    git::{Refs, task_message},
    package::{
        KPTFILE, Overlap, RevisionKey, Violation, clone_exists, kptfile, overlap,
        strategy::{self, RevisionInput},
    },
    sync::{Deed, Plan, Work, observe},
};

/// A creation that was found to be in order.
pub(super) struct Creation {
    pub home: Home,
    pub key: RevisionKey,
    pub task: Task,
    pub input: RevisionInput,
}

impl Engine {
    /// Creates a draft as `input` wants it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that is wrong with it; [`Error::AlreadyExists`]; every other [`Error`].
    pub async fn create(
        &self,
        namespace: &str,
        input: RevisionInput,
        call: &Call,
    ) -> Result<Record, Error> {
        let creation = self.check_creation(namespace, input).await?;
        let name = name_in(&creation.home, &creation.key);
        let lock = self.parts.locks.take(&name);
        let lock = lock.ok_or_else(|| busy(namespace, &creation))?;
        self.check_place(&name, &creation)?;
        let (source, report) = self.new_files(&creation, call).await?;
        let mut undertaking = self.beginning(creation, source, call);
        if call.dry_run {
            let rehearsed = self.rehearse(&mut undertaking, call).await;
            rehearsed.map_err(|setback| unborn(setback, name.name))?;
            return Ok(undertaking.rehearsed_beginning());
        }
        let record = self.begin(undertaking, lock, call).await?;
        self.tell(&record, &report, call);
        Ok(record)
    }

    async fn begin(
        &self,
        undertaking: Undertaking,
        lock: Lock,
        call: &Call,
    ) -> Result<Record, Error> {
        let name = undertaking.key.name();
        match self.carry_out(undertaking, lock, call).await {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(Error::NotFound(About::Revision(name))),
            Err(setback) => Err(unborn(setback, name)),
        }
    }

    async fn check_creation(
        &self,
        namespace: &str,
        input: RevisionInput,
    ) -> Result<Creation, Error> {
        let spec = &input.object.spec;
        if spec.repository.is_empty() {
            return Err(Error::Malformed("spec.repositoryName is required".into()));
        }
        match self.standing(namespace).await? {
            Standing::Active => {}
            Standing::Missing => {
                return Err(Error::NotFound(About::Namespace(namespace.into())));
            }
            Standing::Terminating => {
                return Err(Error::Forbidden {
                    about: About::Request,
                    why: format!(
                        "unable to create new content in namespace {namespace} because it is being terminated"
                    ),
                });
            }
        }
        let home = self.home(namespace, &spec.repository).await?;
        let mut violations = strategy::create(&input);
        let branch = &home.target.subject.scope.branch;
        violations.extend(strategy::reserved_workspace(&spec.workspace_name, branch));
        if !violations.is_empty() {
            return Err(invalid(&input, violations));
        }
        let package = spec.package_name.clone();
        let key = home.target.subject.key(&package, &spec.workspace_name);
        let default = || Task {
            type_: "init".into(),
            init: Some(InitTask {
                description: format!("{package} description"),
                ..InitTask::default()
            }),
            ..Task::default()
        };
        let task = spec.tasks.first().cloned().unwrap_or_else(default);
        Ok(Creation {
            home,
            key,
            task,
            input,
        })
    }

    /// Refuses what is there already, and packages within each other.
    fn check_place(&self, name: &Name, creation: &Creation) -> Result<(), Error> {
        let catalog = self.means().feed.catalog();
        let known = catalog.record(&name.namespace, &name.name);
        let stands = |record: &Arc<PackageRev>| {
            let intent = record.spec.intent.as_ref();
            record.spec.observed.is_some() || intent.is_none_or(Intent::is_open)
        };
        if known.as_ref().is_some_and(stands) {
            return Err(exists(name.name.as_str()));
        }
        if !matches!(creation.task.type_.as_str(), "init" | "clone") {
            return Ok(());
        }
        let (package, repository) = (
            &creation.key.package.package,
            &creation.key.package.repository,
        );
        let packages = self.packages_of(&name.namespace, repository);
        let overlap = overlap(package, packages.iter().map(String::as_str));
        let Some(overlap) = overlap else {
            return Ok(());
        };
        let why = match overlap {
            Overlap::Same if creation.task.type_ == "clone" => clone_exists(&creation.key.package),
            other => other.told(&creation.key.package),
        };
        let violation = Violation::invalid("spec.packageName", package.as_str(), why);
        Err(invalid(&creation.input, vec![violation]))
    }

    /// Returns the names of the packages of a Repository.
    pub(super) fn packages_of(&self, namespace: &str, repository: &str) -> Vec<String> {
        let prefix = format!("{repository}.");
        let all = self.means().feed.catalog().packages().snapshot().objects;
        let from = all.range(Name::new(namespace, prefix.as_str())..);
        let here = from
            .take_while(|(name, _)| name.namespace == namespace && name.name.starts_with(&prefix));
        let own = here.filter(|(_, package)| package.repository() == repository);
        own.map(|(_, package)| package.path().to_owned()).collect()
    }

    /// Returns the files that a new revision begins with, and what was rendered for it.
    async fn new_files(&self, creation: &Creation, call: &Call) -> Result<(Source, Report), Error> {
        let mut source = self.first_files(creation, call).await?;
        let files = &mut source.files;
        let changes = strategy::creation_changes(&creation.input);
        if !changes.is_empty() {
            let known = files.get(KPTFILE).cloned().unwrap_or_default();
            let edited = kptfile::edit(&known, &changes);
            let edited = edited.map_err(|problem| {
                let why = format!("the Kptfile can't be given this: {problem}");
                invalid(&creation.input, vec![Violation::forbidden("spec", why)])
            })?;
            files.insert(KPTFILE.into(), edited);
        }
        let name = creation.input.object.metadata.name.clone();
        let about = (name.as_deref().unwrap_or_default(), "spec.tasks[0]");
        let (files, report) = self.rendered(source.files, about, call).await?;
        let tree = source.tree;
        Ok((Source { files, tree }, report))
    }

    fn beginning(&self, creation: Creation, source: Source, call: &Call) -> Undertaking {
        let Creation {
            home,
            key,
            task,
            input,
        } = creation;
        let directory = home.target.subject.scope.full_path(&key.package.package);
        let kptfile = source.files.get(KPTFILE).map_or(&[][..], Vec::as_slice);
        let outline = Outline {
            package: key.package.package.clone(),
            revision: 0,
            reference: format!("refs/heads/drafts/{directory}/{}", key.workspace),
            task: Some(task.clone()),
            kptfile: kptfile_of(kptfile),
            now: None,
        };
        Undertaking {
            work: Work {
                deed: Deed::Write {
                    files: Arc::new(source.files),
                    draft: None,
                    before: source.tree,
                    propose: false,
                },
                message: task_message(&directory, &key.workspace, Some(&task)),
                directory,
                workspace: key.workspace.clone(),
                author: call.caller.author(&home.repository),
                time: (self.sync().clock)(),
            },
            metadata: Some(user_metadata(&PackageRev::default(), &input)),
            home,
            key,
            base: Base::New,
            outline: Some(outline),
            publishes: false,
        }
    }
}

impl Undertaking {
    /// Returns the record as it would be, so far as that is known before anything is done.
    fn rehearsed_beginning(self) -> Record {
        let subject = &self.home.target.subject;
        let mut record = subject.record(&self.key.name());
        record.spec.metadata = self.metadata.unwrap_or_default();
        let plan = Plan {
            edits: Vec::new(),
            commit: String::new(),
            tree: String::new(),
            moves_branch: false,
            number: None,
        };
        let found = self.outline.map(|outline| outline.found(&self.work, &plan));
        record.spec.observed = found.map(|found| observe(subject, &Refs::default(), found));
        Arc::new(record)
    }
}

/// Returns what is told of a creation that did not come to pass.
fn unborn(setback: Setback, name: String) -> Error {
    match setback {
        // Somebody made the same draft in Git, or its record.
        Setback::Changed | Setback::Told(Error::AlreadyExists(_)) => exists(name),
        Setback::Told(error) => error,
        Setback::Lost(reference) if reference.starts_with("refs/heads/drafts/") => exists(name),
        Setback::Lost(reference) => Error::Unavailable {
            why: format!("{reference} moves faster than can be written"),
            after: 2,
        },
    }
}

/// Returns that an object is invalid, under the name that its user gave it.
pub(super) fn invalid(input: &RevisionInput, violations: Vec<Violation>) -> Error {
    Error::Invalid {
        name: input.object.metadata.name.clone().unwrap_or_default(),
        violations,
    }
}

/// Returns that a revision is there, under the name that it has and its caller need not have given.
pub(super) fn exists(name: impl Into<String>) -> Error {
    Error::AlreadyExists(About::Revision(name.into()))
}

/// Returns that the same is being created (upstream's words).
fn busy(namespace: &str, creation: &Creation) -> Error {
    let RevisionKey { package, workspace } = &creation.key;
    Error::Busy(format!(
        "another request is already in progress to create package revision with details namespace={namespace:?}, repository={:?}, package={:?},workspace={workspace:?}",
        package.repository, package.package
    ))
}
