//! One mirror on disk, and the Repositories that hold it. Those that are on one address and opened in one way share it, so
//! that what one has fetched the other need not. Each sees only what its own server told it: it brings its own refs, and is
//! noted with them. The mirror goes with the last of its holders.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::git::{self, Access, Due, Kept, Mirror, Refs, Rewrite, Rewritten};

/// How long after a mirror was made anew for readers that may be done again: a repository can lack what they want too.
const REMADE: Duration = Duration::from_mins(10);
/// How many handles of one mirror are kept open for readers.
const HANDLES: usize = 4;
/// What no ref reaches is kept for so long.
const KEPT: Duration = Duration::from_hours(24);

/// One mirror.
pub(super) struct Store {
    pub(super) directory: PathBuf,
    /// Held by whoever changes the mirror: two fetches into one would do everything twice.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// Held by whoever writes down what a holder wants, and by whoever drops what nobody wants: for moments by the first.
    books: Mutex<()>,
    /// The UIDs of the Repositories that it is for. They change only with the lock on all stores held.
    holders: Mutex<HashSet<String>>,
    /// How often it was thrown away: who saw damage in an earlier one must not throw this one away.
    age: AtomicU64,
    /// Whether somebody sees to its packs, or will soon.
    kept: AtomicBool,
    /// Open handles, for readers to take and give back.
    handles: Mutex<Vec<Mirror>>,
    /// When the mirror was made anew for readers.
    remade: Mutex<Option<Instant>>,
}

/// A mirror, as one Repository sees it.
pub struct Place {
    /// The UID of the Repository.
    holder: String,
    pub(super) store: Arc<Store>,
    /// What registered branches were when they were seen last, by full name: plans stand on that.
    branches: Mutex<HashMap<String, Option<String>>>,
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

impl Store {
    /// Returns the store in a directory; it has no holder yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            turn: Arc::default(),
            books: Mutex::default(),
            holders: Mutex::default(),
            age: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            handles: Mutex::default(),
            remade: Mutex::default(),
        }
    }

    /// Returns those that it is for.
    pub(super) fn holders(&self) -> MutexGuard<'_, HashSet<String>> {
        held(&self.holders)
    }

    /// Returns how often it was thrown away.
    pub(super) fn age(&self) -> u64 {
        self.age.load(Ordering::SeqCst)
    }

    /// Removes the mirror, to be made anew by the next fetch, unless that was done since it had this age. The turn is the
    /// caller's.
    pub(super) fn discard(&self, age: u64) -> Result<(), git::Error> {
        if self.age() == age {
            self.remove()
        } else {
            Ok(())
        }
    }

    /// Takes away what one has left who does not hold it any more: all, if nobody else does.
    pub(super) fn leave(&self, holder: &str) -> Result<(), git::Error> {
        let (any, this) = {
            let holders = self.holders();
            (!holders.is_empty(), holders.contains(holder))
        };
        match (any, this) {
            (_, true) => Ok(()),
            (true, false) => Mirror::release(&self.directory, holder),
            (false, false) => self.remove(),
        }
    }

    fn remove(&self) -> Result<(), git::Error> {
        self.age.fetch_add(1, Ordering::SeqCst);
        held(&self.handles).clear();
        Mirror::remove(&self.directory)
    }

    /// Returns a handle of the mirror.
    pub(super) fn open(&self) -> Result<Mirror, git::Error> {
        let found = Mirror::find(&self.directory)?;
        found.ok_or_else(|| git::Error::Corrupt("there is no mirror yet".into()))
    }

    /// Does something with a handle that is open already, if there is one.
    pub(super) fn with<T>(
        &self,
        deed: impl FnOnce(&Mirror) -> Result<T, git::Error>,
    ) -> Result<T, git::Error> {
        let age = self.age();
        let kept = held(&self.handles).pop();
        // What is mapped of a file that was cut short can't be read, and nobody survives trying.
        let kept = kept.and_then(|mut mirror| mirror.is_whole().then_some(mirror));
        let mirror = match kept {
            Some(mirror) => mirror,
            None => self.open()?,
        };
        let done = deed(&mirror)?;
        let mut handles = held(&self.handles);
        if handles.len() < HANDLES && self.age() == age {
            handles.push(mirror);
        }
        Ok(done)
    }

    /// Returns what is due of its upkeep, for the caller to do; nothing if somebody does it.
    pub(super) fn due(&self) -> Due {
        if self.kept.swap(true, Ordering::SeqCst) {
            return Due::Nothing;
        }
        let due = self.open().map_or(Due::Nothing, |mirror| mirror.due());
        if due == Due::Nothing {
            self.put_off();
        }
        due
    }

    /// Leaves to others what is due.
    pub(super) fn put_off(&self) {
        self.kept.store(false, Ordering::SeqCst);
    }

    /// Writes the mirror anew without what nobody can want, if that is worth it; returns what is to stand in the place of what
    /// is there, and the age of the mirror that it is of. Who notes what a holder wants waits for moments.
    pub(super) fn rewrite(&self) -> Result<Option<(Rewritten, u64)>, git::Error> {
        let age = self.age();
        let mirror = self.open()?;
        let wanted = {
            let _books = held(&self.books);
            mirror.want(KEPT)?
        };
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        Ok(match mirror.rewrite(wanted)? {
            Rewrite::Needless(_) => None,
            Rewrite::Ready(rewritten) => Some((rewritten, age)),
        })
    }

    /// Puts what was written anew in its place, unless the mirror was thrown away since. The turn is the caller's.
    pub(super) fn supplant(&self, (rewritten, age): (Rewritten, u64)) -> Result<Kept, git::Error> {
        let _books = held(&self.books);
        if self.age() == age {
            self.open()?.supplant(rewritten, KEPT)
        } else {
            Ok(Kept::default())
        }
    }

    /// Returns whether the mirror may be made anew for a reader who finds it damaged, and takes note that it is.
    pub(super) fn may_be_remade(&self) -> bool {
        let mut remade = held(&self.remade);
        let may = remade.is_none_or(|at| at.elapsed() > REMADE);
        if may {
            *remade = Some(Instant::now());
        }
        may
    }
}

impl Place {
    pub(super) fn new(holder: &str, store: Arc<Store>) -> Self {
        Self {
            holder: holder.into(),
            store,
            branches: Mutex::default(),
        }
    }

    /// Returns the UID of the Repository.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Returns where the mirror is.
    pub(super) fn directory(&self) -> &Path {
        &self.store.directory
    }

    /// Returns what a registered branch was when it was seen last.
    pub(super) fn branch(&self, name: &str) -> Branch {
        match held(&self.branches).get(name) {
            None => Branch::Unknown,
            Some(None) => Branch::Absent,
            Some(Some(head)) => Branch::At(head.clone()),
        }
    }

    /// Returns the refs that were fetched last for this Repository.
    pub(super) fn refs(&self, mirror: &Mirror) -> Result<Refs, git::Error> {
        mirror.refs_of(&self.holder)
    }

    /// Notes what a registered branch is now.
    pub(super) fn note_branch(&self, name: String, head: Option<String>) {
        held(&self.branches).insert(name, head);
    }

    /// Puts what was pushed into the mirror. What can't be put there is fetched when it is needed.
    pub(super) fn keep(&self, packs: &[git::Pack]) {
        let keep =
            |mirror: &Mirror| -> Result<(), _> { packs.iter().try_for_each(|it| mirror.keep(it)) };
        if let Err(error) = self.store.with(keep) {
            tracing::warn!(mirror = %self.directory().display(), %error, "what was pushed could not be kept");
        }
    }

    /// Notes these refs as what this Repository wants, if all that they reach is here; returns whether that was so. It waits
    /// for nobody.
    pub(super) fn has(&self, refs: &Refs) -> bool {
        let Ok(_books) = self.store.books.try_lock() else {
            return false;
        };
        let all = self.store.with(|mirror| {
            let all = mirror.has_all(refs)?;
            if all {
                mirror.hold(&self.holder, refs)?;
            }
            Ok(all)
        });
        // What is damaged is found by whoever fetches.
        let all = all.unwrap_or(false);
        if all {
            self.note(refs);
        }
        self.part();
        all
    }

    /// Brings what these refs reach into the mirror; a damaged one is made anew. The turn is the caller's.
    pub(super) fn fetch(&self, access: &Access, refs: &Refs) -> Result<(), git::Error> {
        let fetch = || {
            let mirror = Mirror::open(self.directory())?;
            mirror.bring(access, refs)?;
            let _books = held(&self.store.books);
            mirror.hold(&self.holder, refs)
        };
        let fetched = match fetch() {
            Err(git::Error::Corrupt(why)) => {
                tracing::warn!(mirror = %self.directory().display(), why, "a mirror is damaged and is made anew");
                self.store.remove().and_then(|()| fetch())
            }
            other => other,
        };
        if fetched.is_ok() {
            self.note(refs);
        }
        self.part();
        fetched
    }

    /// Notes what the branches are, as a fetch saw them: those that were looked for before, and those that are there.
    fn note(&self, refs: &Refs) {
        let mut branches = held(&self.branches);
        for (name, head) in branches.iter_mut() {
            *head = refs.get(name).map(|target| target.commit.clone());
        }
        for (name, target) in refs.iter().filter(|(name, _)| is_branch(name)) {
            branches.insert(name.into(), Some(target.commit.clone()));
        }
    }

    /// Takes away what a deed left of a Repository that went meanwhile.
    pub(super) fn part(&self) {
        if let Err(error) = self.store.leave(&self.holder) {
            tracing::warn!(%error, "a mirror could not be removed");
        }
    }
}

/// Returns whether a ref is a branch that is no draft, no proposal and no mark.
fn is_branch(name: &str) -> bool {
    let own = ["drafts/", "proposed/", "deletionProposed/"];
    let branch = name.strip_prefix("refs/heads/");
    branch.is_some_and(|rest| !own.iter().any(|own| rest.starts_with(own)))
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().expect("nobody panics with the lock held")
}
