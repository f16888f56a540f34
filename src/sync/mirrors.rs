//! The mirrors on disk, one for each Repository, and who may work on them. In come deeds that block; they run where
//! blocking is allowed, so many at a time that a slow server, a long scan and a reader never wait for each other's kind.
//! A mirror that is damaged is made anew; it has nothing that Git has not.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{
    Error,
    hosts::{Asker, Hosts},
    secrets::Keys,
};
use crate::git::{self, Access, Address, Mirror, Proxies, Refs, Timeouts};

/// How many mirrors are removed at once: whoever deletes a Repository waits for no scan.
const REMOVALS: usize = 4;
/// How long the end of a fetch is waited for that was told to end; it removes by itself what it leaves later.
const PARTING: Duration = Duration::from_secs(1);
/// How long after a mirror was made anew for readers that may be done again: a repository can lack what they want too.
const REMADE: Duration = Duration::from_mins(10);
/// How many handles of one mirror are kept open for readers.
const HANDLES: usize = 4;
/// What the name of a mirror's directory ends with.
const SUFFIX: &str = ".git";

/// The mirrors of this process; clones share them.
#[derive(Clone)]
pub struct Mirrors {
    parts: Arc<Parts>,
    /// For whom servers are asked.
    asker: Asker,
    /// How long servers may take.
    timeouts: Timeouts,
    /// The proxies of this process.
    proxies: Arc<Proxies>,
}

struct Parts {
    /// Where they are.
    directory: PathBuf,
    /// Those in use, by the UID of their Repository.
    places: Mutex<HashMap<String, Arc<Place>>>,
    /// Who may ask which server.
    hosts: Hosts,
    removals: Arc<Semaphore>,
    /// Scans: they need a processor each.
    scans: Arc<Semaphore>,
    /// Reads of files: somebody waits for them, so they have a gate of their own.
    reads: Arc<Semaphore>,
}

/// One mirror.
pub struct Place {
    directory: PathBuf,
    /// Held by whoever changes the mirror: two fetches into one would do everything twice.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The Repository is gone: whoever ends a deed on the mirror removes it.
    gone: AtomicBool,
    /// Open handles, for readers to take and give back.
    handles: Mutex<Vec<Mirror>>,
    /// What registered branches were when they were seen last, by full name: plans stand on that.
    branches: Mutex<HashMap<String, Option<String>>>,
    /// When the mirror was made anew for readers.
    remade: Mutex<Option<Instant>>,
}

/// What a branch was when it was seen last.
pub(super) enum Branch {
    /// It was not looked for.
    Unknown,
    /// It was not there.
    Absent,
    /// This commit.
    At(String),
}

impl Mirrors {
    /// Returns the mirrors in a directory; it is made when it is needed.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let processors = thread::available_parallelism().map_or(2, usize::from);
        let gate = |places| Arc::new(Semaphore::new(places));
        let parts = Parts {
            directory: directory.into(),
            places: Mutex::default(),
            hosts: Hosts::new(),
            removals: gate(REMOVALS),
            scans: gate(processors.max(2)),
            reads: gate(processors.max(2) * 2),
        };
        Self {
            parts: Arc::new(parts),
            asker: Asker::Request,
            timeouts: Timeouts::default(),
            proxies: Arc::default(),
        }
    }

    /// Returns the same mirrors for a process that reaches servers through these proxies, unless a Secret names another.
    #[must_use]
    pub fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = Arc::new(proxies);
        self
    }

    /// Returns the same mirrors with other patience for servers.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Returns the same mirrors for one who looks in the background.
    pub(super) fn for_looks(&self) -> Self {
        Self {
            asker: Asker::Look,
            ..self.clone()
        }
    }

    /// Returns the access to a repository with what opens it; nothing is dialled yet.
    pub(super) fn access(&self, address: Address, keys: &Keys) -> Access {
        let (credentials, ca) = (keys.credentials.clone(), keys.ca.clone());
        let proxy = keys.proxy.clone();
        let proxy = proxy.or_else(|| self.proxies.lead_to(&address));
        Access::new(address, credentials, ca, self.timeouts).through(proxy)
    }

    /// Returns whether this server may be asked now; by those whom somebody waits for it always may.
    ///
    /// # Errors
    /// [`Error::Silent`].
    pub(super) fn admit(&self, access: &Access) -> Result<(), Error> {
        match self.asker {
            Asker::Look => self.parts.hosts.admit(access),
            Asker::Request => Ok(()),
        }
    }

    /// Returns the place of a Repository's mirror.
    pub(super) fn place(&self, uid: &str) -> Arc<Place> {
        let mut places = self.places();
        let make = || Arc::new(Place::new(self.parts.directory.join(file_name(uid))));
        places.entry(uid.into()).or_insert_with(make).clone()
    }

    /// Removes the mirror of a Repository that is no more. A deed that is under way on it ends soon and removes what it
    /// left.
    ///
    /// # Errors
    /// [`Error::Git`]: the disk.
    pub async fn remove(&self, uid: &str) -> Result<(), Error> {
        let known = self.places().remove(uid);
        let place = known
            .unwrap_or_else(|| Arc::new(Place::new(self.parts.directory.join(file_name(uid)))));
        place.gone.store(true, Ordering::SeqCst);
        let turn = place.turn.clone();
        let turn = tokio::time::timeout(PARTING, turn.lock_owned()).await;
        blocking(&self.parts.removals, move || {
            place.close();
            match (Mirror::remove(&place.directory), turn) {
                // Whoever is still at it removes the rest.
                (Err(_), Err(_)) => Ok(()),
                (removed, _) => removed,
            }
        })
        .await
    }

    /// Removes the mirrors of all Repositories but these, such as an earlier process left.
    ///
    /// # Errors
    /// [`Error::Git`]: the disk.
    pub async fn keep_only(&self, uids: &HashSet<String>) -> Result<(), Error> {
        let mut kept: HashSet<String> = uids.iter().map(|uid| file_name(uid)).collect();
        kept.extend(self.places().keys().map(|uid| file_name(uid)));
        let directory = self.parts.directory.clone();
        blocking(&self.parts.removals, move || sweep(&directory, &kept)).await
    }

    /// Throws a damaged mirror away, to be made anew by the next fetch.
    pub(super) async fn discard(&self, place: &Arc<Place>) -> Result<(), Error> {
        let turn = place.turn.clone().lock_owned().await;
        let place = place.clone();
        blocking(&self.parts.removals, move || {
            let _turn = turn;
            place.discard()
        })
        .await
    }

    /// Asks a server for its refs.
    pub(super) async fn list_refs(&self, access: Access) -> Result<Refs, Error> {
        self.exchange(&access.clone(), move || git::list_refs(&access))
            .await
    }

    /// Brings everything that these refs reach into a mirror. A damaged one is made anew.
    pub(super) async fn fetch(
        &self,
        place: &Arc<Place>,
        access: Access,
        refs: Refs,
    ) -> Result<Refs, Error> {
        let turn = place.turn.clone().lock_owned().await;
        let place = place.clone();
        self.exchange(&access.clone(), move || {
            // The turn ends with the deed, even if nobody waits for it any more.
            let _turn = turn;
            let fetched = place.fetch(&access, &refs);
            if fetched.is_ok() {
                place.note(&refs);
            }
            place.leave();
            fetched.map(|()| refs)
        })
        .await
    }

    /// Does something with a server.
    pub(super) async fn exchange<T: Send + 'static>(
        &self,
        access: &Access,
        deed: impl FnOnce() -> Result<T, git::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let seat = self.parts.hosts.seat(access, self.asker).await;
        let (parts, access) = (self.parts.clone(), access.clone());
        threaded(move || {
            let _seat = seat;
            let done = deed();
            parts.hosts.note(&access, &done);
            done
        })
        .await
    }

    /// Does something long with a mirror that needs a processor. Its handle is its own and goes with it: what was mapped
    /// of the packs, all of them at a first look, would else stay in memory.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        place: &Arc<Place>,
        deed: impl FnOnce(&Mirror) -> Result<T, git::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = place.clone();
        blocking(&self.parts.scans, move || deed(&place.open()?)).await
    }

    /// Does something short with a mirror that somebody waits for.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        place: &Arc<Place>,
        deed: impl FnOnce(&Mirror) -> Result<T, git::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = place.clone();
        blocking(&self.parts.reads, move || place.with(deed)).await
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Arc<Place>>> {
        self.parts
            .places
            .lock()
            .expect("nobody panics with the lock held")
    }
}

impl Place {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            turn: Arc::default(),
            gone: AtomicBool::new(false),
            handles: Mutex::default(),
            branches: Mutex::default(),
            remade: Mutex::default(),
        }
    }

    /// Returns whether the mirror may be made anew for a reader who finds it damaged, and takes note that it is.
    pub(super) fn may_be_remade(&self) -> bool {
        let mut remade = self
            .remade
            .lock()
            .expect("nobody panics with the lock held");
        let may = remade.is_none_or(|at| at.elapsed() > REMADE);
        if may {
            *remade = Some(Instant::now());
        }
        may
    }

    /// Returns what a registered branch was when it was seen last.
    pub(super) fn branch(&self, name: &str) -> Branch {
        match self.branches().get(name) {
            None => Branch::Unknown,
            Some(None) => Branch::Absent,
            Some(Some(head)) => Branch::At(head.clone()),
        }
    }

    /// Notes what the branches are, as a fetch saw them: those that were looked for before, and those that are there.
    fn note(&self, refs: &Refs) {
        let mut branches = self.branches();
        for (name, head) in branches.iter_mut() {
            *head = refs.get(name).map(|target| target.commit.clone());
        }
        for (name, target) in refs.iter().filter(|(name, _)| is_branch(name)) {
            branches.insert(name.into(), Some(target.commit.clone()));
        }
    }

    /// Notes what a registered branch is now.
    pub(super) fn note_branch(&self, name: String, head: Option<String>) {
        self.branches().insert(name, head);
    }

    /// Puts what was pushed into the mirror. What can't be put there is fetched when it is needed.
    pub(super) fn keep(&self, packs: &[git::Pack]) {
        let kept = self.with(|mirror| packs.iter().try_for_each(|pack| mirror.keep(pack)));
        if let Err(error) = kept {
            tracing::warn!(mirror = %self.directory.display(), %error, "what was pushed could not be kept");
        }
    }

    fn branches(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.branches
            .lock()
            .expect("nobody panics with the lock held")
    }

    fn fetch(&self, access: &Access, refs: &Refs) -> Result<(), git::Error> {
        let fetch = || Mirror::open(&self.directory)?.fetch(access, refs);
        match fetch() {
            Err(git::Error::Corrupt(why)) => {
                tracing::warn!(mirror = %self.directory.display(), why, "a mirror is damaged and is made anew");
                self.discard()?;
                fetch()
            }
            other => other,
        }
    }

    /// Removes the mirror, to be made anew by the next fetch.
    fn discard(&self) -> Result<(), git::Error> {
        self.close();
        Mirror::remove(&self.directory)
    }

    fn open(&self) -> Result<Mirror, git::Error> {
        let found = Mirror::find(&self.directory)?;
        found.ok_or_else(|| git::Error::Corrupt("there is no mirror yet".into()))
    }

    fn with<T>(
        &self,
        deed: impl FnOnce(&Mirror) -> Result<T, git::Error>,
    ) -> Result<T, git::Error> {
        let kept = self.handles().pop();
        // What is mapped of a file that was cut short can't be read, and nobody survives trying.
        let kept = kept.and_then(|mut mirror| mirror.is_whole().then_some(mirror));
        let mirror = match kept {
            Some(mirror) => mirror,
            None => self.open()?,
        };
        let done = deed(&mirror)?;
        let mut handles = self.handles();
        if handles.len() < HANDLES && !self.gone.load(Ordering::SeqCst) {
            handles.push(mirror);
        }
        Ok(done)
    }

    fn leave(&self) {
        if self.gone.load(Ordering::SeqCst)
            && let Err(error) = self.discard()
        {
            tracing::warn!(%error, "a mirror could not be removed");
        }
    }

    fn close(&self) {
        self.handles().clear();
    }

    fn handles(&self) -> MutexGuard<'_, Vec<Mirror>> {
        self.handles
            .lock()
            .expect("nobody panics with the lock held")
    }
}

/// Returns whether a ref is a branch that is no draft, no proposal and no mark.
fn is_branch(name: &str) -> bool {
    let own = ["drafts/", "proposed/", "deletionProposed/"];
    let branch = name.strip_prefix("refs/heads/");
    branch.is_some_and(|rest| !own.iter().any(|own| rest.starts_with(own)))
}

/// Returns the name of a mirror's directory. UIDs are the cluster's, but nothing that could lead elsewhere is let through.
fn file_name(uid: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let name: String = uid.chars().filter(|c| harmless(*c)).collect();
    format!("{name}{SUFFIX}")
}

fn sweep(directory: &Path, kept: &HashSet<String>) -> Result<(), git::Error> {
    // A directory that does not exist holds nothing to remove.
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(SUFFIX) && !kept.contains(&name) {
            Mirror::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Runs a deed that blocks, when the gate lets it. Its place at the gate is its own until it ends, even if nobody waits
/// for it any more.
async fn blocking<T: Send + 'static>(
    gate: &Arc<Semaphore>,
    deed: impl FnOnce() -> Result<T, git::Error> + Send + 'static,
) -> Result<T, Error> {
    let permit = gate.clone().acquire_owned().await;
    let permit = permit.expect("gates are never closed");
    threaded(move || {
        let _permit = permit;
        deed()
    })
    .await
}

async fn threaded<T: Send + 'static>(
    deed: impl FnOnce() -> Result<T, git::Error> + Send + 'static,
) -> Result<T, Error> {
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || span.in_scope(deed));
    match done.await {
        Ok(result) => Ok(result?),
        Err(error) => {
            Err(git::Error::Local(format!("a deed on a mirror ended badly: {error}")).into())
        }
    }
}
