//! New objects on top of a mirror. In come files, trees and commits, out come ids and one pack. Nothing is written to any
//! disk, and no ref moves: whoever drops the workbench has done nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::Arc,
};

use git2::{ObjectType, Odb, Oid};

use super::{
    Error, Mirror, Pack, commit,
    pack::Object,
    refs::is_id,
    tree::{self, Mode},
};

/// New objects on top of a mirror, in no ref yet: kept in memory, to be sent as one pack.
pub struct Workbench<'m> {
    odb: Odb<'m>,
    /// Objects of packs made earlier, which the mirror need not have.
    borrowed: HashMap<Oid, Arc<Object>>,
    /// What was made here.
    fresh: BTreeMap<Oid, Arc<Object>>,
    /// Commits that were made here, and the directory that each is about.
    pub(super) commits: Vec<(Oid, String)>,
}

impl<'m> Workbench<'m> {
    /// Returns an empty workbench.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the mirror can't be read.
    pub fn new(mirror: &'m Mirror) -> Result<Self, Error> {
        Ok(Self {
            odb: mirror.odb()?,
            borrowed: HashMap::new(),
            fresh: BTreeMap::new(),
            commits: Vec::new(),
        })
    }

    /// Takes in the objects of a pack that was made earlier, so that commits can stand on what was not fetched yet. They
    /// are not sent again: who sends this bench's pack alone vouches that the server has the other.
    pub fn take_in(&mut self, pack: &Pack) {
        let pairs = pack.objects().map(|object| (object.id, object.clone()));
        self.borrowed.extend(pairs);
    }

    /// Returns the tree of a directory in a commit, or nothing if the commit has no such directory. The directory is
    /// given from the root, `/` between its parts; empty for the root.
    ///
    /// # Errors
    /// [`Error::Refused`] for what is no id; [`Error::Corrupt`] when the commit is absent; [`Error::TooLarge`].
    pub fn tree_of(&self, commit: &str, directory: &str) -> Result<Option<String>, Error> {
        let mut current = self.root_of(whole_id(commit)?)?;
        for part in directory.split('/').filter(|part| !part.is_empty()) {
            let content = self.read(current, ObjectType::Tree)?;
            match entry(&content, part)? {
                Some((Mode::Directory, id)) => current = id,
                _ => return Ok(None),
            }
        }
        Ok(Some(current.to_string()))
    }

    /// Returns the new objects as one pack; an empty one if there are none. Known to the server is what the base, the
    /// parents and the trees hold that were given: the caller has seen them in refs. That the mirror has an object says
    /// nothing, for it may be the last to remember it.
    #[must_use]
    pub fn pack(&self) -> Pack {
        Pack::of(self.fresh.clone())
    }

    /// Returns the new commits with everything in the directories that they are about, new or not: for a server that has
    /// forgotten what it was taken to know ([`super::Refusal::Incomplete`]).
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::TooLarge`].
    pub fn whole_pack(&self) -> Result<Pack, Error> {
        let mut all = self.fresh.clone();
        for (commit, directory) in &self.commits {
            let mut current = self.root_of(*commit)?;
            self.include(*commit, ObjectType::Commit, &mut all)?;
            for part in directory.split('/').filter(|part| !part.is_empty()) {
                self.include(current, ObjectType::Tree, &mut all)?;
                let content = self.read(current, ObjectType::Tree)?;
                match entry(&content, part)? {
                    Some((Mode::Directory, id)) => current = id,
                    _ => break,
                }
            }
            self.include_below(current, &mut all)?;
        }
        Ok(Pack::of(all))
    }

    /// Adds a tree and all that is in it.
    fn include_below(&self, id: Oid, all: &mut BTreeMap<Oid, Arc<Object>>) -> Result<(), Error> {
        let (mut due, mut seen) = (vec![id], BTreeSet::new());
        while let Some(id) = due.pop() {
            if !seen.insert(id) {
                continue;
            }
            self.include(id, ObjectType::Tree, all)?;
            for entry in tree::entries(&self.read(id, ObjectType::Tree)?) {
                let entry = entry?;
                match entry.mode {
                    Mode::Directory => due.push(entry.id),
                    Mode::File | Mode::Link => self.include(entry.id, ObjectType::Blob, all)?,
                    Mode::Submodule => {}
                }
            }
        }
        Ok(())
    }

    fn include(
        &self,
        id: Oid,
        kind: ObjectType,
        all: &mut BTreeMap<Oid, Arc<Object>>,
    ) -> Result<(), Error> {
        if let Entry::Vacant(place) = all.entry(id) {
            let content = self.read(id, kind)?;
            place.insert(Arc::new(Object::new(id, kind, content)));
        }
        Ok(())
    }

    /// Returns the content of an object of this kind.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is missing or another kind; [`Error::TooLarge`].
    pub(super) fn read(&self, id: Oid, kind: ObjectType) -> Result<Vec<u8>, Error> {
        match self.fresh.get(&id).or_else(|| self.borrowed.get(&id)) {
            Some(object) if object.kind == kind => Ok(object.content.clone()),
            Some(_) => Err(Error::Corrupt(format!("object {id} is no {kind}"))),
            None => Ok(tree::read(&self.odb, id, kind)?.data().to_vec()),
        }
    }

    /// Returns the tree of a commit.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn root_of(&self, id: Oid) -> Result<Oid, Error> {
        let commit = commit::parse(&self.read(id, ObjectType::Commit)?);
        commit
            .tree
            .ok_or_else(|| Error::Corrupt(format!("commit {id} has no tree")))
    }

    /// Stores an object, unless it was taken in, and returns its id.
    pub(super) fn store(&mut self, kind: ObjectType, content: Vec<u8>) -> Oid {
        let id = hash(kind, &content);
        if !self.borrowed.contains_key(&id) {
            let fresh = || Arc::new(Object::new(id, kind, content));
            self.fresh.entry(id).or_insert_with(fresh);
        }
        id
    }
}

/// Returns the id of an object.
pub(super) fn hash(kind: ObjectType, content: &[u8]) -> Oid {
    Oid::hash_object(kind, content).expect("libgit2 hashes every content")
}

/// Returns the entry of this name in the bytes of a tree.
fn entry(content: &[u8], name: &str) -> Result<Option<(Mode, Oid)>, Error> {
    for entry in tree::entries(content) {
        let entry = entry?;
        if entry.name == name.as_bytes() {
            return Ok(Some((entry.mode, entry.id)));
        }
    }
    Ok(None)
}

/// Returns the id that a text is; libgit2 would take a short one for one that ends in zeros.
///
/// # Errors
/// [`Error::Refused`].
pub(super) fn whole_id(text: &str) -> Result<Oid, Error> {
    let id = Oid::from_str(text).ok().filter(|_| is_id(text));
    id.ok_or_else(|| Error::Refused("this is no id of an object".into()))
}
