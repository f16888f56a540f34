//! One look at a repository after another, until nothing moves: what is there, what of it the records do not say, and the
//! writing of that. In comes a target, out goes what was seen. The version of the records is always older than what was
//! read of Git, so that nothing that a user did meanwhile is undone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::Client;

use super::{
    Error, Mirrors, Note, Processes, Target,
    due::due,
    fate::Fate,
    manager::{Clock, Means},
    records,
    secrets::{self, Keys},
    settle::Settlement,
    store::Place,
    sweep::{Progress, Sweep},
    weigh::{Read, weigh},
};
use crate::{
    api::{IntendedEdit, Intent, PackageRev},
    cache::{Catalog, Version},
    git::{self, Access, Mirror, RefEdit, Refs, Refusal, Scan, Scanner, Workbench},
};

/// How many looks follow each other at once; then the others' turn comes.
const LOOKS: usize = 10;
/// How long what was written may take to come round in the cache.
const ROUND_TRIP: Duration = Duration::from_secs(30);
/// How long to wait for the cache after a lost race: whoever won it is not seen yet.
const BREATH: Duration = Duration::from_millis(200);

/// What was seen of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of package revisions that are served.
    pub revisions: usize,
    /// Head of the branch; nothing if it is missing.
    pub head: Option<String>,
    /// What is there and not served.
    pub notes: Vec<Note>,
}

/// Looks at one repository, and remembers what it saw.
pub struct Looker {
    client: Client,
    catalog: Catalog,
    mirrors: Mirrors,
    /// The mirror of this repository, and how often it was made anew when the look began that is under way.
    place: Arc<Place>,
    age: u64,
    /// Who may still finish what it began.
    processes: Processes,
    /// The time.
    clock: Clock,
    /// What was read once need not be read again; taken out while a scan uses it.
    scanner: Option<Scanner>,
    /// Open connections, for as long as the credentials are the same.
    access: Option<(Target, Keys, Access)>,
    /// Refs that could not be read at the last look, with what they point at: a new mirror was tried for them, so their
    /// repository holds them so.
    hopeless: HashSet<(String, String)>,
    /// The last look after which nothing was left to do.
    settled: Option<Settled>,
    /// What was read since the look began, in parts.
    sweep: Sweep,
}

/// What was there when nothing was left to do.
struct Settled {
    target: Target,
    refs: Refs,
    records: Fingerprint,
    seen: Seen,
}

/// What becomes of records shows here: a write moves the newest version, and a deletion the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    number: usize,
    newest: Version,
}

impl Fingerprint {
    fn of(records: &[Arc<PackageRev>]) -> Self {
        let versions = records
            .iter()
            .filter_map(|record| record.metadata.resource_version.as_ref()?.parse().ok());
        Self {
            number: records.len(),
            newest: versions.max().unwrap_or_default(),
        }
    }
}

/// What to do after a look.
enum Next {
    /// Nothing is left to do.
    Rest(Seen),
    /// A part was read and written: go on with the next.
    GoOn,
    /// Something was written, or somebody else was faster: look again.
    Look,
}

/// Looks at a repository now, beside its manager: a write met what nobody had seen yet.
///
/// # Errors
/// What kept it from reading, or from writing.
pub async fn look_now(means: &Means, target: &Target) -> Result<Seen, Error> {
    let mut looker = Looker::new(means, target);
    looker.look(target, &|_| ()).await
}

impl Looker {
    /// Returns one that has seen nothing yet of this repository.
    pub fn new(means: &Means, target: &Target) -> Self {
        Self {
            client: means.client.clone(),
            catalog: means.catalog.clone(),
            mirrors: means.mirrors.clone(),
            place: means.mirrors.place(target),
            age: 0,
            processes: means.processes.clone(),
            clock: means.clock.clone(),
            scanner: None,
            access: None,
            hopeless: HashSet::new(),
            settled: None,
            sweep: Sweep::default(),
        }
    }

    /// Looks until nothing moves, and returns what was seen; what is much is read in parts, and `tell` hears how far that is.
    ///
    /// # Errors
    /// What kept it from reading, or from writing.
    pub async fn look(
        &mut self,
        target: &Target,
        tell: &(dyn Fn(Progress) + Sync),
    ) -> Result<Seen, Error> {
        let access = self.access(target).await?;
        self.mirrors.admit(&access)?;
        self.sweep = Sweep::default();
        // It may be opened with another Secret now.
        self.place = self.mirrors.place(target);
        let (mut looks, mut made) = (0, false);
        while looks < LOOKS {
            looks += 1;
            match self.look_once(target, &access, tell).await {
                Ok(Next::Rest(seen)) if seen.head.is_none() && target.create_branch && !made => {
                    made = true;
                    self.make_branch(target, &access).await?;
                }
                Ok(Next::Rest(seen)) => return missing(target, seen),
                Ok(Next::GoOn) => looks -= 1,
                Ok(Next::Look) => {}
                Err(Error::Git(git::Error::Corrupt(why))) if !self.sweep.healed => {
                    self.heal(&why).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Cluster(
            "the repository and its records do not come to rest".into(),
        ))
    }

    /// Gives up what is under way with the server: nobody waits for it any more.
    pub fn give_up(&mut self) {
        if let Some((_, _, access)) = self.access.take() {
            access.hang_up();
        }
    }

    /// Returns the version of the Secret that was used last.
    pub fn secret_version(&self) -> Option<&str> {
        self.access
            .as_ref()
            .map(|(_, keys, _)| keys.version.as_str())
    }

    /// Returns the version that the Secret has now; nothing if it can't be read.
    pub async fn secret_now(&self, target: &Target) -> Option<String> {
        let keys = secrets::keys(
            &self.client,
            &target.subject.namespace,
            target.secret.as_deref(),
        )
        .await;
        keys.ok().map(|keys| keys.version)
    }

    async fn access(&mut self, target: &Target) -> Result<Access, Error> {
        let namespace = &target.subject.namespace;
        let keys = secrets::keys(&self.client, namespace, target.secret.as_deref()).await?;
        if let Some((old, known, access)) = &self.access
            && (&old.address, known) == (&target.address, &keys)
        {
            return Ok(access.clone());
        }
        let access = self.mirrors.access(target.address.clone(), &keys);
        self.access = Some((target.clone(), keys, access.clone()));
        Ok(access)
    }

    async fn look_once(
        &mut self,
        target: &Target,
        access: &Access,
        tell: &(dyn Fn(Progress) + Sync),
    ) -> Result<Next, Error> {
        let subject = &target.subject;
        self.age = self.place.store.age();
        let (_, records) = self.catalog.records_of(&subject.namespace, &subject.name);
        let fingerprint = Fingerprint::of(&records);
        let refs = self.refs(target, access).await?;
        let writing = records.iter().any(|record| record.spec.intent.is_some());
        if let Some(settled) = &self.settled
            && !writing
            && settled.records == fingerprint
            && settled.target == *target
            && settled.refs == refs
        {
            return Ok(Next::Rest(settled.seen.clone()));
        }
        self.settled = None;
        if self.sweep.fetched.as_ref() != Some(&refs) {
            if !self.fetch(target, access, &refs).await? {
                return Ok(Next::Look);
            }
            self.sweep.fetched = Some(refs.clone());
        }
        let part = self
            .sweep
            .part(&subject.scope, due(subject, &records, &refs), &refs);
        if let Some(progress) = part.progress {
            tell(progress);
        }
        let (refs, scan) = self.scan(target, refs, part.now).await?;
        if let Some(why) = self.blame(&scan, part.later.is_empty()) {
            self.heal(&why).await?;
            return Ok(Next::Look);
        }
        let fates = self.fates(&records, &refs).await?;
        let read = Read {
            scan,
            later: &part.later,
            fates,
            now: (self.clock)(),
        };
        let (settlement, seen) = weigh(target, &records, &refs, read);
        if !part.later.is_empty() {
            return self.write(target, settlement).await.map(|()| Next::GoOn);
        }
        if settlement.packages.is_empty() && !settlement.again {
            self.settled = Some(Settled {
                target: target.clone(),
                refs,
                records: fingerprint,
                seen: seen.clone(),
            });
            return Ok(Next::Rest(seen));
        }
        self.write(target, settlement).await.map(|()| Next::Look)
    }

    async fn scan(
        &mut self,
        target: &Target,
        refs: Refs,
        wanted: HashSet<String>,
    ) -> Result<(Refs, Scan), Error> {
        let scope = target.subject.scope.clone();
        let known = self
            .scanner
            .take()
            .filter(|scanner| *scanner.scope() == scope);
        let mut scanner = known.unwrap_or_else(|| Scanner::new(scope.clone()));
        let (scanner, refs, scan) = self
            .mirrors
            .scan(&self.place, move |mirror| {
                let scan = scanner.scan(mirror, &refs, &|name| wanted.contains(name))?;
                Ok((scanner, refs, scan))
            })
            .await?;
        self.scanner = Some(scanner);
        Ok((refs, scan))
    }

    async fn refs(&self, target: &Target, access: &Access) -> Result<Refs, Error> {
        let refs = self.mirrors.list_refs(access.clone()).await?;
        Ok(refs.relevant(&target.subject.scope))
    }

    /// Brings what these refs reach into the mirror, and returns whether it is there: not if the refs have moved meanwhile, so
    /// that what they were can't be had any more.
    async fn fetch(&self, target: &Target, access: &Access, refs: &Refs) -> Result<bool, Error> {
        let place = &self.place;
        let fetched = self.mirrors.fetch(place, access.clone(), refs.clone());
        match fetched.await {
            Err(Error::Git(error @ (git::Error::Protocol(_) | git::Error::Unpackable(_)))) => {
                let now = self.refs(target, access).await?;
                (now != *refs).then_some(false).ok_or(error.into())
            }
            other => other.map(|_| true),
        }
    }

    /// Makes the registered branch, which its owner wants made where it is missing. Whoever was faster made it as well.
    async fn make_branch(&mut self, target: &Target, access: &Access) -> Result<(), Error> {
        let (branch, now) = (target.subject.scope.branch_ref(), (self.clock)());
        tracing::info!(branch, "the registered branch is missing and is made");
        let begin = move |mirror: &Mirror| {
            let mut bench = Workbench::new(mirror)?;
            let commit = bench.first_commit(now)?;
            Ok((bench.pack(), commit))
        };
        let (pack, commit) = self.mirrors.scan(&self.place, begin).await?;
        let edit = RefEdit {
            name: branch,
            from: None,
            to: Some(commit),
        };
        let access = access.clone();
        let server = access.clone();
        let pushing = move || git::push(&access, &[pack], &[edit]);
        let pushed = self.mirrors.exchange(&server, pushing).await?;
        let declined = pushed
            .refused
            .into_iter()
            .find_map(|refused| match refused.why {
                Refusal::Declined(words) => Some(words),
                _ => None,
            });
        declined.map_or(Ok(()), |words| {
            let why = format!("the branch could not be made: the Git server refused it: {words}");
            Err(Error::Git(git::Error::Refused(why)))
        })
    }

    /// Returns what became of the writes that records tell of and that nobody else will see to.
    async fn fates(
        &self,
        records: &[Arc<PackageRev>],
        refs: &Refs,
    ) -> Result<HashMap<String, Fate>, Error> {
        let open = records.iter().filter_map(|record| {
            let name = record.metadata.name.clone()?;
            Some((name, record.spec.intent.clone()?))
        });
        let open: Vec<(String, Intent)> = open.collect();
        if open.is_empty() {
            return Ok(HashMap::new());
        }
        let processes = open.iter().map(|(_, intent)| intent.process.clone());
        let alive = self.processes.alive(&processes.collect()).await?;
        let now = (self.clock)();
        let refs = refs.clone();
        let judge = move |mirror: &Mirror| {
            let fates = open.into_iter().filter_map(|(name, intent)| {
                let landed = has_landed(mirror, &refs, &intent.edits);
                let fate = Fate::of(&intent, landed, alive.contains(&intent.process), now)?;
                Some((name, fate))
            });
            Ok(fates.collect())
        };
        self.mirrors.scan(&self.place, judge).await
    }

    async fn write(&self, target: &Target, settlement: Settlement) -> Result<(), Error> {
        let applied =
            records::apply(&self.client, &target.subject.namespace, settlement.packages).await;
        tracing::debug!(
            made = applied.made,
            conflicts = applied.conflicts,
            "records were written"
        );
        if let Some(failure) = applied.failure {
            return Err(failure);
        }
        if applied.conflicts > 0 {
            tokio::time::sleep(BREATH).await;
        }
        let seen = self.catalog.wait_for(applied.newest, ROUND_TRIP).await;
        seen.map_err(|late| Error::Cluster(format!("what was written does not come back: {late}")))
    }

    /// Returns why the mirror should be made anew: it may be to blame for refs that can't be read now, and could be before.
    /// `all` says whether everything was read that had to be.
    fn blame(&mut self, scan: &Scan, all: bool) -> Option<String> {
        let damaged = scan.unread.iter().filter(|unread| unread.damaged);
        let now = damaged.clone();
        let now = now.map(|unread| (unread.reference.clone(), unread.id.clone()));
        let before = self.hopeless.clone();
        if all {
            self.hopeless.clear();
        }
        self.hopeless.extend(now);
        if self.sweep.healed {
            return None;
        }
        let new = damaged.clone().find(|unread| {
            let ref_ = (unread.reference.clone(), unread.id.clone());
            !before.contains(&ref_)
        })?;
        Some(format!("{}: {}", new.reference, new.why))
    }

    /// Forgets everything about a mirror that is damaged, so that it is made anew.
    async fn heal(&mut self, why: &str) -> Result<(), Error> {
        tracing::warn!(why, "a mirror is damaged and is made anew");
        self.scanner = None;
        self.settled = None;
        self.sweep = Sweep::of_a_new_mirror();
        self.mirrors.discard(&self.place, self.age).await
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Returns whether a write has landed: a ref that it creates or moves contains its commit or, if it only takes refs away,
/// they are gone.
fn has_landed(mirror: &Mirror, refs: &Refs, edits: &[IntendedEdit]) -> bool {
    let mut brought = edits
        .iter()
        .filter_map(|edit| Some((edit, edit.to.as_ref()?)));
    let mut any = false;
    let contained = brought.any(|(edit, commit)| {
        any = true;
        refs.get(&edit.ref_)
            .is_some_and(|now| now.commit == *commit || mirror.reaches(&now.commit, commit))
    });
    contained || (!any && !edits.is_empty() && edits.iter().all(|edit| !refs.contains(&edit.ref_)))
}

/// Returns what was seen, unless the branch is missing: what else is there was settled by then.
fn missing(target: &Target, seen: Seen) -> Result<Seen, Error> {
    if seen.head.is_some() {
        return Ok(seen);
    }
    let branch = target.subject.scope.branch.clone();
    Err(git::Error::BranchMissing { branch }.into())
}
