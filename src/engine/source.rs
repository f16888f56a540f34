//! Where a new revision takes its files from: nothing, a revision of the namespace, or a Git repository that nobody
//! registered. In comes a creation, out come files. What is taken from elsewhere is read and never trusted.

use super::{
    Call, Engine, Error, Record,
    create::{Creation, invalid},
    render::is_light,
    update::observed,
};
use crate::{
    api::{CloneTask, GitLock, GitPackage, Observed, UpstreamPackage},
    cache::{Name, view},
    git::short_name,
    package::{
        Files, PLACEHOLDER, Problem, Violation,
        tasks::{self, CloneTarget},
    },
    sync::{self, Foreign, foreign},
};

/// The field of a clone's source.
const SOURCE: &str = "spec.tasks[0].clone.upstreamRef";
/// The field of a copy's source.
const COPIED: &str = "spec.tasks[0].edit.sourceRef.name";

/// What a new revision begins with.
pub struct Source {
    /// Its files.
    pub files: Files,
    /// The tree that they come from, if that is in the same repository.
    pub tree: Option<String>,
}

impl From<Files> for Source {
    fn from(files: Files) -> Self {
        Self { files, tree: None }
    }
}

impl Engine {
    /// Returns the files that a creation begins with, before its user's wishes.
    pub(super) async fn first_files(
        &self,
        creation: &Creation,
        call: &Call,
    ) -> Result<Source, Error> {
        let path = self.path(creation).await?;
        let task = &creation.task;
        match (&task.init, &task.clone, &task.edit, &task.upgrade) {
            (Some(init), ..) => Ok(tasks::init(&creation.key.package.package, init).into()),
            (_, Some(clone), ..) => self.cloned(creation, (clone, path), call).await,
            (_, _, _, Some(upgrade)) => self.upgraded(creation, upgrade, call).await,
            (_, _, Some(edit), _) => {
                let source = edit.source_ref.as_ref().map_or("", |source| &source.name);
                self.copied(creation, source).await
            }
            _ => {
                let why = format!("task of type {:?} not supported", task.type_);
                Err(creation.refused(Violation::forbidden("spec.tasks[0]", why)))
            }
        }
    }

    /// Returns the path of a new package below its parents; a parent must be there.
    async fn path(&self, creation: &Creation) -> Result<String, Error> {
        let package = &creation.key.package.package;
        let parent = creation.input.object.spec.parent.as_ref();
        let Some(parent) = parent.filter(|parent| !parent.name.is_empty()) else {
            return Ok(package.clone());
        };
        let field = "spec.parent.name";
        let record = self.named(creation, &parent.name, field).await?;
        let (files, name) = (
            self.files(&record).await?,
            observed(&record)?.package.clone(),
        );
        let path = tasks::package_path(Some((&files, &name)), package);
        path.map_err(|problem| {
            creation.refused(Violation::invalid(
                field,
                parent.name.as_str(),
                problem.to_string(),
            ))
        })
    }

    async fn cloned(
        &self,
        creation: &Creation,
        (clone, path): (&CloneTask, String),
        call: &Call,
    ) -> Result<Source, Error> {
        let (source, lock) = match &clone.upstream_ref {
            UpstreamPackage {
                upstream_ref: Some(source),
                ..
            } => self.registered(creation, &source.name).await?,
            UpstreamPackage { git: Some(git), .. } => self.foreign(creation, git).await?,
            _ => {
                let why = "invalid clone source (neither of git, oci, nor upstream were specified)";
                return Err(creation.refused(Violation::required(SOURCE, why)));
            }
        };
        let target = CloneTarget {
            name: creation.key.package.package.clone(),
            origin: lock.into(),
            deployed_as: creation.home.target.subject.deployment.then_some(path),
        };
        let Source { files, tree } = source;
        let is_light = is_light([&files]);
        let work = move || tasks::clone(files, &target);
        let files = self.weighed(is_light, work, call).await?;
        let files = files.map_err(|problem| creation.unfit(SOURCE, &problem))?;
        Ok(Source { files, tree })
    }

    /// Returns the files of a revision of the namespace, and where they are.
    async fn registered(
        &self,
        creation: &Creation,
        name: &str,
    ) -> Result<(Source, GitLock), Error> {
        let field = format!("{SOURCE}.upstreamRef.name");
        let record = self.named(creation, name, &field).await?;
        let observed = observed(&record)?;
        if observed.revision == PLACEHOLDER && is_on_branch(observed) {
            let why = format!(
                "upstream revision may not be the placeholder package revision {}/{name}",
                view::repository(&record)
            );
            return Err(creation.refused(Violation::invalid(field, name, why)));
        }
        let lock = lock_of(observed);
        Ok((self.source(creation, &record).await?, lock))
    }

    pub(super) async fn source(
        &self,
        creation: &Creation,
        record: &Record,
    ) -> Result<Source, Error> {
        let same = record.spec.repository.uid == creation.home.target.subject.uid;
        Ok(Source {
            files: self.files(record).await?,
            tree: Some(observed(record)?.git.tree.clone()).filter(|_| same),
        })
    }

    /// Returns the files of a package in a repository that nobody registered, and where they are.
    async fn foreign(
        &self,
        creation: &Creation,
        source: &GitPackage,
    ) -> Result<(Source, GitLock), Error> {
        let namespace = &creation.home.target.subject.namespace;
        let read = foreign(self.sync(), self.means().allow_file, namespace, source).await;
        let Foreign { files, lock } = read.map_err(|error| creation.unread(source, error))?;
        let files: Files = files.into_iter().collect();
        Ok((files.into(), lock))
    }

    /// Returns the files of a published revision of the same package.
    async fn copied(&self, creation: &Creation, name: &str) -> Result<Source, Error> {
        let record = self.named(creation, name, COPIED).await?;
        let observed = observed(&record)?;
        let (own, repository) = (&creation.key.package, view::repository(&record));
        let refuse = |why: String| Err(creation.refused(Violation::invalid(COPIED, name, why)));
        if view::package_key(&record, observed) != *own {
            return refuse(format!(
                "source revision must be from same package {}/{}",
                own.repository, own.package
            ));
        }
        if observed.revision == PLACEHOLDER && is_on_branch(observed) {
            return refuse(format!(
                "source revision may not be the placeholder package revision {repository}/{name}"
            ));
        }
        if !observed.lifecycle.is_published() {
            return refuse("source revision must be published".into());
        }
        self.source(creation, &record).await
    }

    /// Returns the record of a revision that a creation names.
    pub(super) async fn named(
        &self,
        creation: &Creation,
        name: &str,
        field: &str,
    ) -> Result<Record, Error> {
        let namespace = &creation.home.target.subject.namespace;
        match self.current(&Name::new(namespace, name)).await {
            Err(Error::NotFound(_)) => {
                let why = format!("cannot find package revision {name:?}");
                Err(creation.refused(Violation::invalid(field, name, why)))
            }
            other => other,
        }
    }
}

impl Creation {
    pub(super) fn refused(&self, violation: Violation) -> Error {
        invalid(&self.input, vec![violation])
    }

    fn unfit(&self, field: &str, problem: &Problem) -> Error {
        let why = format!("failed to update package upstream: {problem}");
        self.refused(Violation::forbidden(field, why))
    }

    /// Returns what is told of a package elsewhere that could not be read.
    fn unread(&self, source: &GitPackage, error: sync::Error) -> Error {
        use crate::git::Error as Git;
        let field = |name: &str| format!("{SOURCE}.{name}");
        let about = |name: &str, value: &str, why: String| {
            self.refused(Violation::invalid(field(name), value, why))
        };
        let why = format!("cannot clone Git repository: {error}");
        match error {
            // What may hold a credential is not repeated.
            sync::Error::Invalid {
                field: "git.repo",
                why,
            } => self.refused(Violation::forbidden(field("git.repo"), why)),
            sync::Error::Invalid { field, why } => {
                let value = match field {
                    "git.ref" => &source.ref_,
                    _ => &source.directory,
                };
                about(field, value, why)
            }
            sync::Error::Credentials(_) => {
                about("git.secretRef.name", &source.secret_ref.name, why)
            }
            sync::Error::Git(
                Git::Unauthorized(_)
                | Git::Forbidden(_)
                | Git::NotFound(_)
                | Git::Refused(_)
                | Git::TooLarge(_)
                | Git::Certificate(_)
                | Git::HostKey(_),
            ) => about("git.repo", &source.repo, why),
            _ => Error::Unavailable { why, after: 5 },
        }
    }
}

/// Returns where a revision is, as those made from it remember.
pub(super) fn lock_of(observed: &Observed) -> GitLock {
    GitLock {
        repo: observed.git.repo.clone(),
        directory: observed.git.directory.clone(),
        ref_: short_name(&observed.git.ref_).into(),
        commit: observed.git.commit.clone(),
    }
}

/// Returns whether a revision is the package on a branch, and no tag without a number.
pub(super) fn is_on_branch(observed: &Observed) -> bool {
    observed.git.ref_.starts_with("refs/heads/")
}
