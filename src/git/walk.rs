//! The packages below a directory. Memory by tree id: of a new commit only the trees that changed are read.

use std::{collections::HashMap, sync::Arc};

use git2::{ObjectType, Odb, Oid};

use super::{
    Error,
    tree::{self, Entry, Mode},
};
use crate::package::is_harmless;

/// How deep directories are entered.
const DEEPEST: usize = 100;
/// How many packages one branch may have: trees can name each other so that a small repository has more than any memory.
const MOST: usize = 200_000;
/// How much more the memory may hold than the branch has, before it is made anew.
const SLACK: usize = 4;

/// A package below a directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Path from that directory.
    pub(super) path: String,
    /// The package's tree.
    pub(super) tree: Oid,
    /// Its Kptfile.
    pub(super) kptfile: Oid,
}

/// What is below a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) packages: Vec<Place>,
    /// Paths that were not entered, and why.
    pub(super) skipped: Vec<(String, String)>,
}

/// What is known of trees.
#[derive(Default)]
pub(super) struct Walk {
    /// By tree id. Never wrong, as a tree never changes.
    known: HashMap<Oid, Arc<Level>>,
    /// How many there were after the last walk from nothing.
    usual: usize,
}

impl Walk {
    /// Returns the packages below the registered directory.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::TooLarge`].
    pub(super) fn packages(&mut self, odb: &Odb<'_>, root: Oid) -> Result<Level, Error> {
        let fresh = self.known.is_empty();
        if self.known.len() > self.usual * SLACK + 10_000 {
            self.known.clear();
        }
        let object = tree::read(odb, root, ObjectType::Tree)?;
        let mut level = Level::default();
        if has_kptfile(object.data())? {
            let why = "a Kptfile in the registered directory itself makes no package";
            level.skipped.push((String::new(), why.into()));
        }
        self.children(odb, object.data(), 0, &mut level)?;
        if fresh {
            self.usual = self.known.len();
        }
        Ok(level)
    }

    fn level(&mut self, odb: &Odb<'_>, id: Oid, depth: usize) -> Result<Arc<Level>, Error> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let object = tree::read(odb, id, ObjectType::Tree)?;
        let mut level = Level::default();
        match kptfile(object.data())? {
            Some((Mode::File | Mode::Link, kptfile)) => level.packages.push(Place {
                path: String::new(),
                tree: id,
                kptfile,
            }),
            other => {
                if other.is_some() {
                    level
                        .skipped
                        .push(("Kptfile".into(), "this Kptfile is no file".into()));
                }
                self.children(odb, object.data(), depth, &mut level)?;
            }
        }
        let level = Arc::new(level);
        self.known.insert(id, level.clone());
        Ok(level)
    }

    /// Adds what is in the directories of a tree.
    fn children(
        &mut self,
        odb: &Odb<'_>,
        data: &[u8],
        depth: usize,
        into: &mut Level,
    ) -> Result<(), Error> {
        for entry in tree::entries(data) {
            let entry = entry?;
            if entry.mode != Mode::Directory {
                continue;
            }
            match name(&entry, depth) {
                Ok(name) => {
                    let level = self.level(odb, entry.id, depth + 1)?;
                    join(into, name, &level)?;
                }
                Err(why) => into
                    .skipped
                    .push((String::from_utf8_lossy(entry.name).into(), why)),
            }
        }
        Ok(())
    }
}

/// Returns the name of a directory that is entered, or why it is not.
fn name<'a>(entry: &Entry<'a>, depth: usize) -> Result<&'a str, String> {
    if depth >= DEEPEST {
        return Err(format!("it is deeper than {DEEPEST} directories"));
    }
    if !is_harmless(entry.name) {
        return Err("a directory must not have this name".into());
    }
    std::str::from_utf8(entry.name).map_err(|_| "its name is not UTF-8".into())
}

fn join(into: &mut Level, name: &str, below: &Level) -> Result<(), Error> {
    let path = |rest: &str| {
        if rest.is_empty() {
            name.into()
        } else {
            format!("{name}/{rest}")
        }
    };
    if into.packages.len() + below.packages.len() > MOST
        || into.skipped.len() + below.skipped.len() > MOST
    {
        return Err(Error::TooLarge(format!(
            "the branch has more than {MOST} packages"
        )));
    }
    into.packages
        .extend(below.packages.iter().map(|place| Place {
            path: path(&place.path),
            ..*place
        }));
    into.skipped.extend(
        below
            .skipped
            .iter()
            .map(|(rest, why)| (path(rest), why.clone())),
    );
    Ok(())
}

fn kptfile(data: &[u8]) -> Result<Option<(Mode, Oid)>, Error> {
    for entry in tree::entries(data) {
        let entry = entry?;
        if entry.name == b"Kptfile" {
            return Ok(Some((entry.mode, entry.id)));
        }
    }
    Ok(None)
}

fn has_kptfile(data: &[u8]) -> Result<bool, Error> {
    Ok(matches!(kptfile(data)?, Some((Mode::File | Mode::Link, _))))
}
