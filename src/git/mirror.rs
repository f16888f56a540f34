//! A copy of a repository's refs and objects on disk. Whoever has its directory can open it; objects in it never change,
//! so any number may read while one fetches. It may have several holders: they share its objects, and each has its own refs,
//! all in one file, so that no name of a ref is ever the name of a file. It can be removed at any time: Git has everything.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{Access, Error, Pack, Refs, fetch, packs, prepare, roots, upkeep};

/// A repository on disk.
pub struct Mirror {
    directory: PathBuf,
    repository: git2::Repository,
    /// The packs as they were when it was opened.
    packs: Vec<(PathBuf, u64)>,
}

impl Mirror {
    /// Returns the mirror in a directory; an empty one is made if there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is there is no mirror; [`Error::Local`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        if let Some(found) = Self::find(directory)? {
            return Ok(found);
        }
        fs::create_dir_all(directory).map_err(|error| Error::local(directory, &error))?;
        let mut options = git2::RepositoryInitOptions::new();
        options
            .bare(true)
            .external_template(false)
            .initial_head("main");
        let made = git2::Repository::init_opts(directory, &options);
        let repository = made.map_err(|error| Error::local(directory, &error.message()))?;
        upkeep::stamp(directory)?;
        Ok(Self {
            directory: directory.into(),
            repository,
            packs: Vec::new(),
        })
    }

    /// Returns whether no pack was cut short since this mirror was opened. One that went is no loss: what was mapped of it
    /// stays.
    pub fn is_whole(&mut self) -> bool {
        let now = packs::sizes(&self.directory);
        let is_cut = |(path, size): &(PathBuf, u64)| {
            let before = self.packs.iter().find(|(known, _)| known == path);
            before.is_some_and(|(_, before)| size < before)
        };
        let whole = !now.iter().any(is_cut);
        self.packs = now;
        whole
    }

    /// Returns the mirror in a directory, or nothing if the directory is absent or empty.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is there is no mirror.
    pub fn find(directory: &Path) -> Result<Option<Self>, Error> {
        prepare()?;
        match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
            Ok(true) => return Ok(None),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(Error::Corrupt("there is a file in its place".into()));
            }
            Err(error) => return Err(Error::local(directory, &error)),
        }
        let opened = git2::Repository::open_bare(directory);
        let repository = opened.map_err(|error| Error::Corrupt(error.message().into()))?;
        Ok(Some(Self {
            directory: directory.into(),
            repository,
            packs: packs::sizes(directory),
        }))
    }

    /// Removes the mirror in a directory; one that is gone is removed.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn remove(directory: &Path) -> Result<(), Error> {
        let removed = match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => fs::remove_file(directory),
            other => other,
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::local(directory, &error))
            }
            _ => Ok(()),
        }
    }

    /// Brings in every object of the given refs, then makes the mirror's refs equal to them: others go. For a mirror that has
    /// one holder.
    ///
    /// # Errors
    /// As [`Self::bring`]. The mirror's refs are as they were then.
    pub fn fetch(&self, access: &Access, refs: &Refs) -> Result<(), Error> {
        self.bring(access, refs)?;
        self.hold("", refs)
    }

    /// Brings in every object of the given refs. One at a time; any number may read meanwhile.
    ///
    /// # Errors
    /// Every error of a server; [`Error::Corrupt`]; [`Error::Local`].
    pub fn bring(&self, access: &Access, refs: &Refs) -> Result<(), Error> {
        // What others hold can't be read: it is not offered, and whoever holds it finds out.
        let known = roots::all(&self.directory).into_iter().flatten();
        let fetched = fetch::fetch(self, access, &known.collect::<Vec<_>>(), refs);
        fetched.map_err(|error| match error {
            // A pack that was damaged hides what has come in another.
            Error::Protocol(_) | Error::Unpackable(_) => {
                packs::damage(self).map_or(error, Error::Corrupt)
            }
            other => other,
        })
    }

    /// Makes the refs of a holder equal to these, whose objects are here. One at a time for each holder.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::Local`].
    pub fn hold(&self, holder: &str, refs: &Refs) -> Result<(), Error> {
        roots::replace(&self.directory, holder, refs)
    }

    /// Returns whether everything that these refs point at is here.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn has_all(&self, refs: &Refs) -> Result<bool, Error> {
        fetch::has_all(&self.odb()?, refs)
    }

    /// Puts the objects of a pack into the mirror, so that they can be read at once and need not be fetched; no ref moves.
    /// Any number may do so while others fetch and read.
    ///
    /// # Errors
    /// [`Error::Local`]; [`Error::Corrupt`].
    pub fn keep(&self, pack: &Pack) -> Result<(), Error> {
        if pack.is_empty() {
            return Ok(());
        }
        // First: what nobody is known to want may be dropped.
        roots::remember(&self.directory, &pack.commits())?;
        let odb = self.odb()?;
        let mut writer = packs::writer(self, &odb)?;
        packs::write(&mut writer, &pack.bytes())?;
        packs::commit(writer)?;
        let refreshed = odb.refresh();
        refreshed.map_err(|error| Error::Corrupt(error.message().into()))
    }

    /// Returns the refs of a mirror that has one holder.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::Local`].
    pub fn refs(&self) -> Result<Refs, Error> {
        self.refs_of("")
    }

    /// Returns the refs of a holder.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::Local`].
    pub fn refs_of(&self, holder: &str) -> Result<Refs, Error> {
        roots::of(&self.directory, holder)
    }

    /// Forgets a holder of the mirror in a directory.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn release(directory: &Path, holder: &str) -> Result<(), Error> {
        roots::forget(directory, holder)
    }

    /// Returns the holders of the mirror in a directory.
    #[must_use]
    pub fn holders(directory: &Path) -> Vec<String> {
        roots::holders(directory)
    }

    /// Returns whether the mirror holds a commit, so that nothing need be fetched to read it.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        git2::Oid::from_str(id)
            .is_ok_and(|id| self.repository.odb().is_ok_and(|odb| odb.exists(id)))
    }

    /// Returns the whole id of the one commit that begins so, of those that the mirror holds.
    #[must_use]
    pub fn commit_of(&self, beginning: &str) -> Option<String> {
        let found = self.repository.find_commit_by_prefix(beginning).ok()?;
        Some(found.id().to_string())
    }

    /// Returns whether one commit has another in its history; not if either is missing.
    #[must_use]
    pub fn reaches(&self, commit: &str, ancestor: &str) -> bool {
        let (commit, ancestor) = (git2::Oid::from_str(commit), git2::Oid::from_str(ancestor));
        let (Ok(commit), Ok(ancestor)) = (commit, ancestor) else {
            return false;
        };
        self.repository
            .graph_descendant_of(commit, ancestor)
            .unwrap_or(false)
    }

    /// Returns the directory of the mirror.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the objects.
    pub(super) fn odb(&self) -> Result<git2::Odb<'_>, Error> {
        let odb = self.repository.odb();
        odb.map_err(|error| Error::Corrupt(error.message().into()))
    }

    /// Returns libgit2's view of the mirror.
    pub(super) fn repository(&self) -> &git2::Repository {
        &self.repository
    }
}
