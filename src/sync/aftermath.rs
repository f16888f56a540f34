//! What follows from a push of our own: the records of its package say so, the own one last. In comes what was pushed; out
//! goes the version at which the records have it. It is tried until it is done: Git has it already.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    Point, Subject,
    fate::Fate,
    manager::Means,
    records::{self, Applied},
    settle::{Edit, Look, settle},
};
use crate::{
    api::PackageRev,
    cache::{Catalog, Name, Version, view},
    git::{Found, RefEdit, RefTarget, Refs, deletion_ref},
    package::{Lifecycle, RevisionKey},
};

/// How long to wait for the cache, or for the cluster to come back, between two attempts.
const BREATH: Duration = Duration::from_millis(20);
/// The longest of these waits.
const LONGEST: Duration = Duration::from_secs(5);
/// After so many attempts, new records of others are left to the next scan: one of another name may be in their way.
const STUBBORN: u32 = 8;

/// A push that came to pass.
#[derive(Clone, Debug)]
pub struct Aftermath {
    /// The Repository.
    pub subject: Subject,
    /// The revision that was written.
    pub key: RevisionKey,
    /// The id of its intent.
    pub intent: String,
    /// What was pushed.
    pub edits: Vec<RefEdit>,
    /// The revisions that the push brought or changed.
    pub found: Vec<Found>,
    /// Whether the push moved the branch, so that what `found` lacks of it is gone.
    pub branch: bool,
}

/// Writes what follows from a push into the records, and returns the version at which all of it is there. It ends only when
/// that is done, or the record is no longer ours.
pub async fn settle_push(means: &Means, push: &Aftermath) -> Version {
    let catalog = &means.catalog;
    let mut newest = Version::default();
    let (mut pause, mut attempt) = (BREATH, 0);
    while let Some(edits) = push.edits(catalog, attempt < STUBBORN, (means.clock)()) {
        let applied = apply(means, push, edits).await;
        newest = newest.max(applied.newest);
        if applied.conflicts == 0 && applied.failure.is_none() {
            break;
        }
        if let Some(error) = applied.failure {
            tracing::warn!(%error, "what was pushed could not be recorded yet");
        }
        (pause, attempt) = ((pause * 2).min(LONGEST), attempt + 1);
        rest(catalog, newest, pause).await;
    }
    newest.max(agree_on_latest(means, push, newest).await)
}

/// Sets right which revision of the package of a push is the latest, also if nothing came of that: two writes of one package
/// that end at once each see the other unfinished. Returns the newest version.
pub async fn agree_on_latest(means: &Means, push: &Aftermath, mut newest: Version) -> Version {
    for _ in 0..STUBBORN {
        // Whoever is not seen by then, the next scan sets right.
        let _ = means.catalog.wait_for(newest, LONGEST).await;
        let edits = push.marks(&means.catalog);
        if edits.is_empty() {
            break;
        }
        let applied = apply(means, push, edits).await;
        newest = newest.max(applied.newest);
        rest(&means.catalog, newest, BREATH).await;
    }
    newest
}

/// Waits for whoever was faster to be seen; if that takes longer, the next attempt loses again.
async fn rest(catalog: &Catalog, newest: Version, pause: Duration) {
    sleep(pause).await;
    let _ = catalog.wait_for(newest, LONGEST).await;
}

/// Makes edits one after another, up to the first that fails.
async fn apply(means: &Means, push: &Aftermath, edits: Vec<Edit>) -> Applied {
    let mut all = Applied::default();
    for edit in edits {
        if all.made > 0 {
            means.failpoints.pass(Point::BetweenRecords).await;
        }
        let one = records::apply(&means.client, &push.subject.namespace, vec![vec![edit]]).await;
        all.made += one.made;
        all.newest = all.newest.max(one.newest);
        all.conflicts += one.conflicts;
        all.failure = one.failure;
        if all.conflicts > 0 || all.failure.is_some() {
            break;
        }
    }
    all
}

impl Aftermath {
    /// Returns the edits that make the records of the package say what was pushed; nothing if the own record is no longer
    /// ours to settle. `all` says whether records may be made that are not our own.
    fn edits(&self, catalog: &Catalog, all: bool, now: Timestamp) -> Option<Vec<Edit>> {
        let records = self.records(catalog);
        let name = self.key.name();
        let own = records
            .iter()
            .find(|record| record.metadata.name.as_deref() == Some(&name))?;
        let intent = own.spec.intent.as_ref();
        if intent.is_none_or(|intent| intent.id != self.intent) {
            return None;
        }
        let refs = self.refs(&records);
        let unread = if self.branch {
            HashSet::new()
        } else {
            HashSet::from([self.subject.scope.branch_ref()])
        };
        let look = Look {
            found: self.found.clone(),
            unread,
            fates: HashMap::from([(name, Fate::Landed)]),
            now,
        };
        let settlement = settle(&self.subject, &records, &refs, look);
        let mut edits: Vec<Edit> = settlement.packages.into_iter().flatten().collect();
        let own = self.key.name();
        edits.retain(|edit| match edit {
            Edit::Create(_) => all,
            // Whether others are gone, a scan knows.
            Edit::Delete(record) => record.metadata.name.as_deref() == Some(&own),
            Edit::Replace(_) => true,
        });
        Some(edits)
    }

    /// Returns the edits that make the records of the package agree on which is the latest.
    fn marks(&self, catalog: &Catalog) -> Vec<Edit> {
        let records = self.records(catalog);
        let look = Look {
            unread: HashSet::from([self.subject.scope.branch_ref()]),
            ..Look::default()
        };
        let refs = refs(&told(&records));
        let settlement = settle(&self.subject, &records, &refs, look);
        let edits = settlement.packages.into_iter().flatten();
        edits
            .filter(|edit| matches!(edit, Edit::Replace(_)))
            .collect()
    }

    /// Returns the records of the package, the own one among them whether Git was read for it or not.
    fn records(&self, catalog: &Catalog) -> Vec<Arc<PackageRev>> {
        let namespace = &self.subject.namespace;
        let package = Name::new(namespace, self.key.package.name());
        let mut records = catalog.records_of_package(&package);
        records.retain(|record| self.is_of_package(record));
        let own = catalog.record(namespace, &self.key.name());
        let known = |own: &Arc<PackageRev>| {
            records
                .iter()
                .any(|record| record.metadata.name == own.metadata.name)
        };
        if let Some(own) = own.filter(|own| !known(own)) {
            records.push(own);
        }
        records
    }

    fn is_of_package(&self, record: &PackageRev) -> bool {
        view::observed(record)
            .is_some_and(|observed| view::package_key(record, observed) == self.key.package)
    }

    /// Returns the ref of a revision that the push took away: it is gone, also where somebody else had done that before.
    fn gone<'a>(&self, records: &'a [Arc<PackageRev>]) -> Option<&'a String> {
        let name = self.key.name();
        let mut own = records.iter().filter(|_| self.found.is_empty());
        let own = own.find(|record| record.metadata.name.as_deref() == Some(&name))?;
        let reference = &view::observed(own)?.git.ref_;
        Some(reference).filter(|name| **name != self.subject.scope.branch_ref())
    }

    /// Returns the refs of the package as the records tell, and as the push left them.
    fn refs(&self, records: &[Arc<PackageRev>]) -> Refs {
        let mut targets = told(records);
        for edit in &self.edits {
            match &edit.to {
                Some(commit) => targets.insert(edit.name.clone(), commit.clone()),
                None => targets.remove(&edit.name),
            };
        }
        if let Some(own) = self.gone(records) {
            targets.remove(own);
        }
        refs(&targets)
    }
}

/// Returns the refs that records tell of, with their commits.
fn told(records: &[Arc<PackageRev>]) -> HashMap<String, String> {
    let mut targets = HashMap::new();
    for observed in records.iter().filter_map(|record| view::observed(record)) {
        let git = &observed.git;
        targets.insert(git.ref_.clone(), git.commit.clone());
        if observed.lifecycle == Lifecycle::DeletionProposed {
            let mark = deletion_ref(&git.directory, &observed.workspace, observed.revision);
            targets.insert(mark, git.commit.clone());
        }
    }
    targets
}

fn refs(targets: &HashMap<String, String>) -> Refs {
    let targets = targets.iter().map(|(name, commit)| {
        let (id, commit) = (commit.clone(), commit.clone());
        (name.as_str(), RefTarget { id, commit })
    });
    targets.collect()
}
