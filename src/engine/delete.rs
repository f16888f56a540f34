//! Revisions that go. In comes a name and what must be true of its object; out goes the record as it was, gone or held by
//! finalizers: a user's, or the one that the garbage collector takes away when dependents are gone or free. What belongs to a namespace that goes is let go of, and Git is not touched.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    About, Call, Engine, Error, Record,
    locks::Lock,
    records::{Records, Unwritten},
    surroundings::Standing,
    update::{key_of, observed},
    write::{Base, Setback, Undertaking},
};
use crate::{
    api::{Observed, PackageRev, Propagation, Task},
    cache::{Name, Revision, Version, version_of},
    git::{Scope, deletion_message},
    package::{Lifecycle, PLACEHOLDER, revision_uid},
    sync::{Deed, Work},
};

/// How often a deletion is tried again because somebody else wrote to the record or to Git.
const ATTEMPTS: u32 = 5;

/// What must be true of an object that is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its UID.
    pub uid: Option<String>,
    /// Its version.
    pub version: Option<Version>,
    /// What becomes of its dependents, if the caller says so.
    pub propagation: Option<Propagation>,
}

/// What became of an object that was to go.
#[derive(Clone, Debug)]
pub enum Departed {
    /// Somebody holds it: the record as it is now.
    Held(Record),
    /// It is gone: the record as it was.
    Gone(Record),
}

impl Engine {
    /// Deletes the revision of this name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if it is published, or the upstream of another; every other [`Error`].
    pub async fn delete(&self, name: &Name, terms: &Terms, call: &Call) -> Result<Departed, Error> {
        for _ in 0..ATTEMPTS {
            let (lock, record) = self.take(name, false, call).await?;
            agree(name, &record, terms)?;
            match self.let_go((record.clone(), lock), terms, call).await {
                Ok(departed) => return Ok(departed),
                Err(Setback::Told(error)) => return Err(error),
                Err(Setback::Lost(_)) if call.dry_run => return Err(Error::Modified),
                Err(_) if terms.version.is_some() => return Err(Error::Modified),
                Err(_) => self.moved_on(&record, call).await?,
            }
        }
        Err(Error::Modified)
    }

    async fn let_go(
        &self,
        (record, lock): (Record, Lock),
        terms: &Terms,
        call: &Call,
    ) -> Result<Departed, Setback> {
        let namespace = record.metadata.namespace.clone().unwrap_or_default();
        let standing = self.standing(&namespace).await?;
        if standing == Standing::Active {
            self.may_be_deleted(&record, call)?;
        }
        let holders = self.holders(&record, terms);
        if !holders.is_empty() {
            let held = self.hold((record, holders), lock, call).await;
            return held.map(Departed::Held);
        }
        if standing != Standing::Active {
            self.unregister(&record, call).await?;
            return Ok(Departed::Gone(record));
        }
        let whatever = terms.version.is_none();
        self.depart((record.clone(), lock), whatever, call).await?;
        Ok(Departed::Gone(record))
    }

    /// Refuses to let go of what others count on. Whoever deletes what somebody owns may be the garbage collector, whom nobody
    /// hears: then the revision tells why it stays.
    fn may_be_deleted(&self, record: &PackageRev, call: &Call) -> Result<(), Error> {
        let may = self.may_go(record);
        if let Err(Error::Forbidden { why, .. }) = &may
            && !record.spec.metadata.owner_references.is_empty()
        {
            self.tell_refusal(record, why, call);
        }
        may
    }

    /// Returns who holds a revision once it is to go.
    fn holders(&self, record: &PackageRev, terms: &Terms) -> Vec<String> {
        let nobody_collects = self.sync().processes.is_alone();
        // Nobody would ever take the collector's finalizer away.
        let background = |_| Propagation::Background;
        let said = match terms.propagation {
            said if nobody_collects => said.map(background),
            said => said,
        };
        let held = record.spec.metadata.finalizers.iter();
        Propagation::holders(said, held.map(String::as_str))
    }

    /// Refuses to let go of what others count on.
    fn may_go(&self, record: &PackageRev) -> Result<(), Error> {
        let forbidden = |why: String| {
            let about = About::Request;
            Err(Error::Forbidden { about, why })
        };
        if observed(record)?.lifecycle == Lifecycle::Published {
            return forbidden(
                "published PackageRevisions must be proposed for deletion by setting spec.lifecycle to 'DeletionProposed' prior to deletion".into(),
            );
        }
        match self.referrer(record) {
            Some(referrer) => forbidden(format!(
                "cannot delete package revision, it is referenced as upstream by: {referrer}"
            )),
            None => Ok(()),
        }
    }

    /// Returns a revision of the namespace that was made from this one; the package on a branch does not count.
    fn referrer(&self, record: &PackageRev) -> Option<String> {
        let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let first = Name::new(namespace, "");
        let all = self.means().feed.catalog().revisions().snapshot().objects;
        let here = all
            .range(first..)
            .take_while(|(other, _)| other.namespace == namespace);
        let mut others = here.filter(|(other, _)| other.name != name);
        let found = others.find(|(_, revision)| comes_from(revision, name));
        found.map(|(other, _)| other.name.clone())
    }

    /// Marks a revision as one that is to go when none of these holds it any more.
    async fn hold(
        &self,
        (record, holders): (Record, Vec<String>),
        lock: Lock,
        call: &Call,
    ) -> Result<Record, Setback> {
        let mut metadata = record.spec.metadata.clone();
        if metadata.deletion_timestamp.is_some() && metadata.finalizers == holders {
            return Ok(record);
        }
        metadata.finalizers = holders;
        let now = || Time((self.sync().clock)());
        metadata.deletion_timestamp.get_or_insert_with(now);
        self.rewrite(record, metadata, lock, call).await
    }

    /// Takes a record away and leaves Git as it is.
    async fn unregister(&self, record: &Record, call: &Call) -> Result<(), Setback> {
        if call.dry_run {
            return Ok(());
        }
        let namespace = record.metadata.namespace.clone().unwrap_or_default();
        let records = Records::new(&self.sync().client, &namespace);
        match records.remove(record).await {
            Ok(_) => Ok(self.see_gone(record).await?),
            Err(Unwritten::Failed(error)) => Err(error.into()),
            Err(_) => {
                let name = record.metadata.name.clone().unwrap_or_default();
                match records.get(&name).await? {
                    None => Ok(()),
                    Some(now) => {
                        self.see(version_of(&now).unwrap_or_default()).await?;
                        Err(Setback::Changed)
                    }
                }
            }
        }
    }

    /// Takes a revision out of Git, and its record with it.
    pub(super) async fn depart(
        &self,
        (record, lock): (Record, Lock),
        whatever: bool,
        call: &Call,
    ) -> Result<(), Setback> {
        let namespace = record.metadata.namespace.clone().unwrap_or_default();
        if self.standing(&namespace).await? != Standing::Active {
            return self.unregister(&record, call).await;
        }
        self.may_go(&record)?;
        let home = self.home_of(&record).await?;
        let observed = observed(&record)?;
        let mut undertaking = Undertaking {
            work: Work {
                deed: deed(observed, &home.target.subject.scope, whatever),
                directory: observed.git.directory.clone(),
                workspace: observed.workspace.clone(),
                message: deletion_message(&observed.git.directory),
                author: call.caller.author(&home.repository),
                time: (self.sync().clock)(),
            },
            home,
            key: key_of(&record, observed),
            base: Base::Known(record.clone()),
            metadata: None,
            outline: None,
            publishes: false,
        };
        if call.dry_run {
            return self.rehearse(&mut undertaking, call).await;
        }
        self.carry_out(undertaking, lock, call).await.map(|_| ())
    }
}

/// Refuses to delete what is not what the caller means.
fn agree(name: &Name, record: &PackageRev, terms: &Terms) -> Result<(), Error> {
    let own = revision_uid(&name.namespace, &name.name);
    if let Some(uid) = terms.uid.as_ref().filter(|uid| **uid != own) {
        return Err(Error::Conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({own}). The object might have been deleted and then recreated"
        )));
    }
    let version = version_of(record).unwrap_or_default();
    if let Some(wanted) = terms.version.filter(|wanted| *wanted != version) {
        return Err(Error::Conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        )));
    }
    Ok(())
}

fn comes_from(revision: &Arc<Revision>, name: &str) -> bool {
    let observed = revision.observed();
    let named = |task: &Task| {
        let clone = task.clone.as_ref();
        let source = clone.and_then(|clone| clone.upstream_ref.upstream_ref.as_ref());
        let upgrade = task
            .upgrade
            .as_ref()
            .map(|upgrade| &upgrade.new_upstream_ref);
        [source, upgrade]
            .into_iter()
            .flatten()
            .any(|it| it.name == name)
    };
    observed.revision != PLACEHOLDER && observed.tasks.iter().any(named)
}

/// Returns what takes a revision out of Git.
fn deed(observed: &Observed, scope: &Scope, whatever: bool) -> Deed {
    let git = &observed.git;
    let marked = observed.lifecycle == Lifecycle::DeletionProposed;
    if git.ref_ == scope.branch_ref() {
        let mark = marked.then(|| git.commit.clone());
        return Deed::Remove { mark };
    }
    let commit = git.commit.clone();
    if observed.lifecycle.is_published() {
        Deed::Withdraw {
            tag: git.ref_.clone(),
            commit,
            whatever,
            number: observed.revision,
            marked,
        }
    } else {
        Deed::Discard {
            reference: git.ref_.clone(),
            commit,
            whatever,
        }
    }
}
