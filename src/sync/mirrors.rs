//! The mirrors on disk, which Repository has which, and who may work on them. In come deeds that block; they run where
//! blocking is allowed, so many at a time that a slow server, a long scan and a reader never wait for each other's kind.
//! A mirror that is damaged is made anew; it has nothing that Git has not.
//!
//! Repositories share a mirror if they have the same address and nothing opens it, or the same Secret of the same namespace.
//! Others do not, even if they could show the same password: what opens a repository also says whom to take for its server,
//! and whoever may say that could ask for objects of which only the name is known.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Error, Target,
    hosts::{Asker, Hosts},
    secrets::Keys,
    store::{Place, Store},
};
use crate::git::{self, Access, Address, Due, Kept, Mirror, Proxies, Refs, Timeouts};

/// How many mirrors are removed at once: whoever deletes a Repository waits for no scan.
const REMOVALS: usize = 4;
/// How long the end of a fetch is waited for that was told to end; it removes by itself what it leaves later.
const PARTING: Duration = Duration::from_secs(1);
/// After a start, looks at what is known already begin so far from each other, but for so many that begin at once.
const APART: Duration = Duration::from_millis(50);
const AT_ONCE: u32 = 20;
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
    /// Those in use. Held for moments.
    known: Mutex<Known>,
    /// Who may ask which server.
    hosts: Hosts,
    removals: Arc<Semaphore>,
    /// Scans: they need a processor each.
    scans: Arc<Semaphore>,
    /// Reads of files: somebody waits for them, so they have a gate of their own.
    reads: Arc<Semaphore>,
    /// When the next look at what is known already begins, at the earliest.
    next_start: Mutex<Instant>,
    /// Upkeep: nobody waits for it, so one at a time is enough.
    upkeep: Arc<Semaphore>,
}

/// Mirrors in use.
#[derive(Default)]
struct Known {
    /// By the UID of their Repository.
    places: HashMap<String, Arc<Place>>,
    /// By the names of their directories.
    stores: HashMap<String, Arc<Store>>,
}

impl Mirrors {
    /// Returns the mirrors in a directory; it is made when it is needed.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let processors = thread::available_parallelism().map_or(2, usize::from);
        let gate = |places| Arc::new(Semaphore::new(places));
        let parts = Parts {
            directory: directory.into(),
            known: Mutex::default(),
            hosts: Hosts::new(),
            removals: gate(REMOVALS),
            scans: gate(processors.max(2)),
            reads: gate(processors.max(2) * 2),
            next_start: Mutex::new(Instant::now()),
            upkeep: gate(1),
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

    /// Returns how long to wait before the first look at a repository that an earlier process looked at: many must not begin
    /// at once.
    pub(super) fn patience(&self) -> Duration {
        let next = self.parts.next_start.lock();
        let (mut next, now) = (
            next.expect("nobody panics with the lock held"),
            Instant::now(),
        );
        let earliest = now.checked_sub(APART * AT_ONCE).unwrap_or(now);
        *next = (*next).max(earliest) + APART;
        next.saturating_duration_since(now)
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

    /// Returns the place of a Repository's mirror, which it holds from now on.
    pub(super) fn place(&self, target: &Target) -> Arc<Place> {
        self.settle(&target.subject.uid, &name_of(target))
    }

    /// Makes known which mirror a Repository has.
    pub fn hold(&self, target: &Target) {
        self.place(target);
    }

    /// Returns the place of a mirror that nobody else uses.
    pub(super) fn lone_place(&self, id: &str) -> Arc<Place> {
        self.settle(id, &format!("{id}{SUFFIX}"))
    }

    /// Returns the place of a Repository's mirror, if it is known here which one that is.
    pub(super) fn known_place(&self, uid: &str) -> Option<Arc<Place>> {
        self.known().places.get(uid).cloned()
    }

    fn settle(&self, uid: &str, name: &str) -> Arc<Place> {
        let mut known = self.known();
        let directory = self.parts.directory.join(name);
        if let Some(place) = known.places.get(uid)
            && place.directory() == directory
        {
            return place.clone();
        }
        let make = || Arc::new(Store::new(directory));
        let store = known.stores.entry(name.into()).or_insert_with(make).clone();
        store.holders().insert(uid.into());
        let place = Arc::new(Place::new(uid, store));
        let left = known.places.insert(uid.into(), place.clone());
        if let Some(left) = left {
            left.store.holders().remove(uid);
            drop(known);
            self.part_later(left);
        }
        place
    }

    /// Takes away what a Repository leaves that is opened with another Secret now.
    fn part_later(&self, left: Arc<Place>) {
        let mirrors = self.clone();
        tokio::spawn(async move {
            if let Err(error) = mirrors.part(&left).await {
                tracing::warn!(%error, "a mirror could not be removed");
            }
        });
    }

    /// Takes its mirror from a Repository that is no more, and removes it unless another holds it too. A deed that is under
    /// way for it ends soon and removes what it left.
    ///
    /// # Errors
    /// [`Error::Git`]: the disk.
    pub async fn remove(&self, uid: &str) -> Result<(), Error> {
        let place = {
            let mut known = self.known();
            let place = known.places.remove(uid);
            if let Some(place) = &place {
                place.store.holders().remove(uid);
            }
            place
        };
        match place {
            Some(place) => self.part(&place).await,
            None => Ok(()),
        }
    }

    async fn part(&self, place: &Arc<Place>) -> Result<(), Error> {
        let shared = !place.store.holders().is_empty();
        // Whoever fetches for the others is not waited for.
        let patience = if shared { Duration::ZERO } else { PARTING };
        let turn = place.store.turn.clone();
        let turn = tokio::time::timeout(patience, turn.lock_owned()).await;
        let leaving = place.clone();
        let done = blocking(&self.parts.removals, move || {
            match (leaving.store.leave(leaving.holder()), turn) {
                // Whoever is still at it removes the rest.
                (Err(_), Err(_)) => Ok(()),
                (removed, _) => removed,
            }
        });
        let done = done.await;
        // One that somebody still works on stays known, so that who comes next waits for its turn.
        let known = &mut *self.known();
        let used = |store: &Arc<Store>| !store.holders().is_empty() || Arc::strong_count(store) > 1;
        known.stores.retain(|_, store| used(store));
        done
    }

    /// Removes the mirrors of all Repositories but these, such as an earlier process left.
    ///
    /// # Errors
    /// [`Error::Git`]: the disk.
    pub async fn keep_only(&self, targets: &[Target]) -> Result<(), Error> {
        let mut kept: HashMap<String, HashSet<String>> = HashMap::new();
        for target in targets {
            let holders = kept.entry(name_of(target)).or_default();
            holders.insert(target.subject.uid.clone());
        }
        for (name, store) in &self.known().stores {
            let holders = kept.entry(name.clone()).or_default();
            holders.extend(store.holders().iter().cloned());
        }
        let directory = self.parts.directory.clone();
        blocking(&self.parts.removals, move || sweep(&directory, &kept)).await
    }

    /// Throws a damaged mirror away, to be made anew by the next fetch, unless that was done since it had this age.
    pub(super) async fn discard(&self, place: &Arc<Place>, age: u64) -> Result<(), Error> {
        let turn = place.store.turn.clone().lock_owned().await;
        let place = place.clone();
        blocking(&self.parts.removals, move || {
            let _turn = turn;
            place.store.discard(age)
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
        let refs = match self.has(place, refs).await? {
            Ok(refs) => return Ok(refs),
            Err(refs) => refs,
        };
        let turn = place.store.turn.clone().lock_owned().await;
        // Who had the turn before may have brought it.
        let refs = match self.has(place, refs).await? {
            Ok(refs) => return Ok(refs),
            Err(refs) => refs,
        };
        let fetching = place.clone();
        let server = access.clone();
        let fetched = self.exchange(&server, move || {
            // The turn ends with the deed, even if nobody waits for it any more.
            let _turn = turn;
            let fetched = fetching.fetch(&access, &refs);
            fetched.map(|()| refs)
        });
        let fetched = fetched.await;
        self.keep_up(place);
        fetched
    }

    /// Returns the refs, as good if all that they reach is in a mirror.
    async fn has(&self, place: &Arc<Place>, refs: Refs) -> Result<Result<Refs, Refs>, Error> {
        let place = place.clone();
        let has = move || {
            Ok(if place.has(&refs) {
                Ok(refs)
            } else {
                Err(refs)
            })
        };
        blocking(&self.parts.reads, has).await
    }

    /// Sees to the packs of a mirror, in the background. Who fetches meanwhile waits for moments, who reads does not.
    pub(super) fn keep_up(&self, place: &Arc<Place>) {
        let (place, gate) = (place.clone(), self.parts.upkeep.clone());
        tokio::spawn(async move {
            let store = place.store.clone();
            let due = threaded(move || Ok(store.due())).await;
            let due = due.unwrap_or(Due::Nothing);
            if due == Due::Nothing {
                return;
            }
            let _permit = gate.acquire_owned().await;
            let done = see_to(&place, due).await;
            place.store.put_off();
            place.part();
            let mirror = place.directory().display();
            match done {
                Ok(kept) => tracing::debug!(%mirror, ?kept, "the packs of a mirror were seen to"),
                // A mirror may have gone meanwhile, and one that is damaged is found by those who read it.
                Err(error) => {
                    tracing::debug!(%mirror, %error, "the packs of a mirror could not be seen to");
                }
            }
        });
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
        blocking(&self.parts.scans, move || deed(&place.store.open()?)).await
    }

    /// Does something short with a mirror that somebody waits for.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        place: &Arc<Place>,
        deed: impl FnOnce(&Mirror) -> Result<T, git::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = place.clone();
        blocking(&self.parts.reads, move || place.store.with(deed)).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.parts.known.lock();
        known.expect("nobody panics with the lock held")
    }
}

/// Does what is due of a mirror's upkeep.
async fn see_to(place: &Arc<Place>, due: Due) -> Result<Kept, Error> {
    let store = place.store.clone();
    match due {
        Due::Nothing => Ok(Kept::default()),
        Due::Join => threaded(move || store.open()?.join_packs()).await,
        Due::Drop => {
            let rewritten = threaded(move || store.rewrite()).await?;
            let Some(rewritten) = rewritten else {
                return Ok(Kept::default());
            };
            let (store, turn) = (place.store.clone(), place.store.turn.clone());
            let turn = turn.lock_owned().await;
            threaded(move || {
                let _turn = turn;
                store.supplant(rewritten)
            })
            .await
        }
    }
}

/// Returns the name of the directory of a Repository's mirror: of what makes it the same as another's. The name of a Secret
/// says nothing that is secret.
fn name_of(target: &Target) -> String {
    let subject = &target.subject;
    let opened = target
        .secret
        .as_ref()
        .map(|name| [&subject.namespace, name]);
    let [namespace, secret] = opened.map_or(["", ""], |opened| opened.map(String::as_str));
    let parts = [target.address.as_str(), namespace, secret];
    let hash = Sha256::digest(parts.join("\n"));
    let mut number = [0; 16];
    number.copy_from_slice(&hash[..16]);
    let number = u128::from_be_bytes(number);
    format!("{number:032x}{SUFFIX}")
}

/// Removes what is not kept: mirrors by the names of their directories, and in each those who do not hold it.
fn sweep(directory: &Path, kept: &HashMap<String, HashSet<String>>) -> Result<(), git::Error> {
    // A directory that does not exist holds nothing to remove.
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy().into_owned();
        let Some(holders) = kept.get(&name) else {
            if name.ends_with(SUFFIX) {
                Mirror::remove(&path)?;
            }
            continue;
        };
        let left = Mirror::holders(&path).into_iter();
        for holder in left.filter(|holder| !holders.contains(holder)) {
            Mirror::release(&path, &holder)?;
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
