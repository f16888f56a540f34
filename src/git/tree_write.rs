//! Files and directories into trees. What a package must not hold is refused before anything is stored; what stands beside
//! a package is kept byte for byte, however odd it is.

use std::collections::{BTreeMap, HashMap};

use git2::{ObjectType, Oid};

use super::{
    Error, Workbench,
    tree::{self, Mode},
    workbench::{hash, whole_id},
};
use crate::package::is_harmless;

/// How many parts a path may have: what is deeper would not be read back.
const DEEPEST: usize = 100;
/// The longest path, in bytes: what systems can check out.
const LONGEST: usize = 4096;

/// The files of one directory, as they are to be written.
#[derive(Default)]
struct Folder<'f> {
    files: BTreeMap<&'f str, &'f [u8]>,
    folders: BTreeMap<&'f str, Folder<'f>>,
}

/// One line of a tree.
struct Line {
    /// The mode as it is written, in octal digits.
    mode: Vec<u8>,
    name: Vec<u8>,
    id: Oid,
    is_directory: bool,
}

impl Line {
    fn new(mode: &str, name: &str, id: Oid) -> Self {
        Self {
            mode: mode.into(),
            name: name.into(),
            id,
            is_directory: mode == DIRECTORY,
        }
    }

    /// Returns what Git orders trees by: directories stand where their paths would.
    fn place(&self) -> impl Iterator<Item = u8> + '_ {
        let end = self.is_directory.then_some(b'/');
        self.name.iter().copied().chain(end)
    }
}

const DIRECTORY: &str = "40000";
const FILE: &str = "100644";
const PROGRAM: &str = "100755";
const LINK: &str = "120000";

impl Workbench<'_> {
    /// Stores files as a tree, and returns its id. `before` is the tree of the package as it was: a file whose content is
    /// unchanged keeps its mode (executable, symbolic link); every other one is a plain file. What `before` holds and
    /// `files` does not, submodules too, is dropped. What `before` holds is not sent again.
    ///
    /// # Errors
    /// [`Error::Refused`] for a path that is not relative, has an empty part, `.`, `..` or one that a checkout would take
    /// for Git's own directory, holds NUL, or is a file and a directory at once; [`Error::TooLarge`] for one too long or too
    /// deep; [`Error::Corrupt`] when `before` can't be read.
    pub fn package_tree(
        &mut self,
        files: &BTreeMap<String, Vec<u8>>,
        before: Option<&str>,
    ) -> Result<String, Error> {
        let before = before.map(whole_id).transpose()?;
        let mut root = Folder::default();
        for (path, content) in files {
            root.put(path, content)?;
        }
        Ok(self.write_folder(&root, before)?.to_string())
    }

    fn write_folder(&mut self, folder: &Folder<'_>, before: Option<Oid>) -> Result<Oid, Error> {
        let old = match before {
            Some(id) => old_entries(&self.read(id, ObjectType::Tree)?)?,
            None => HashMap::new(),
        };
        let mut lines = Vec::with_capacity(folder.files.len() + folder.folders.len());
        for (name, content) in &folder.files {
            let (mode, id) = self.write_file(content, old.get(name.as_bytes()));
            lines.push(Line::new(mode, name, id));
        }
        for (name, inner) in &folder.folders {
            let was = old.get(name.as_bytes()).filter(|was| was.mode == DIRECTORY);
            let id = self.write_folder(inner, was.map(|was| was.id))?;
            lines.push(Line::new(DIRECTORY, name, id));
        }
        lines.sort_by(|one, other| one.place().cmp(other.place()));
        Ok(self.write_lines(&lines, before))
    }

    /// Stores a file, and returns its mode and id.
    fn write_file(&mut self, content: &[u8], was: Option<&Old>) -> (&'static str, Oid) {
        let id = was.map(|_| hash(ObjectType::Blob, content));
        match was.filter(|was| was.mode != DIRECTORY && id == Some(was.id)) {
            Some(was) => (was.mode, was.id),
            None => (FILE, self.store(ObjectType::Blob, content.to_vec())),
        }
    }

    /// Returns a tree that is `root` but for the directory at `parts`, which becomes `tree`, or goes, and with it what
    /// would be empty above it. Nothing if nothing is left.
    ///
    /// # Errors
    /// [`Error::Refused`] when a file is in the way; [`Error::Corrupt`]; [`Error::TooLarge`].
    pub(super) fn graft(
        &mut self,
        root: Option<Oid>,
        parts: &[&str],
        tree: Option<Oid>,
    ) -> Result<Option<Oid>, Error> {
        let Some((name, rest)) = parts.split_first() else {
            return Ok(tree);
        };
        let mut lines = match root {
            Some(id) => lines(&self.read(id, ObjectType::Tree)?)?,
            None => Vec::new(),
        };
        let there = lines.iter().find(|line| line.name == name.as_bytes());
        let below = match there {
            Some(line) if line.is_directory => Some(line.id),
            Some(_) if tree.is_some() => return Err(in_the_way(name)),
            _ if tree.is_none() => return Ok(root),
            _ => None,
        };
        let grafted = self.graft(below, rest, tree)?;
        if grafted == below {
            return Ok(root);
        }
        lines.retain(|line| line.name != name.as_bytes());
        if let Some(id) = grafted {
            let line = Line::new(DIRECTORY, name, id);
            let after = |other: &Line| line.place().lt(other.place());
            let place = lines.iter().position(after).unwrap_or(lines.len());
            lines.insert(place, line);
        }
        Ok((!lines.is_empty()).then(|| self.write_lines(&lines, root)))
    }

    /// Stores a tree, unless it is the one that was there.
    fn write_lines(&mut self, lines: &[Line], before: Option<Oid>) -> Oid {
        let mut out = Vec::new();
        for line in lines {
            for piece in [&line.mode, &b" "[..], &line.name, b"\0", line.id.as_bytes()] {
                out.extend_from_slice(piece);
            }
        }
        match before {
            Some(id) if hash(ObjectType::Tree, &out) == id => id,
            _ => self.store(ObjectType::Tree, out),
        }
    }
}

impl<'f> Folder<'f> {
    /// Takes in a file.
    fn put(&mut self, path: &'f str, content: &'f [u8]) -> Result<(), Error> {
        let parts = parts(path)?;
        let (name, folders) = parts.split_last().expect("a path has at least one part");
        let mut current = self;
        for folder in folders {
            if current.files.contains_key(folder) {
                return Err(both(path));
            }
            current = current.folders.entry(folder).or_default();
        }
        if current.folders.contains_key(name) {
            return Err(both(path));
        }
        current.files.insert(name, content);
        Ok(())
    }
}

/// Returns the parts of a path that may be written.
///
/// # Errors
/// [`Error::Refused`]; [`Error::TooLarge`].
pub(super) fn parts(path: &str) -> Result<Vec<&str>, Error> {
    let parts: Vec<_> = path.split('/').collect();
    if parts.len() > DEEPEST || path.len() > LONGEST {
        let shown: String = path.chars().take(80).collect();
        return Err(Error::TooLarge(format!(
            "the path {shown:?}… is longer than {LONGEST} bytes or deeper than {DEEPEST} directories"
        )));
    }
    match parts
        .iter()
        .find(|part| part.contains('\0') || !is_harmless(part.as_bytes()))
    {
        None => Ok(parts),
        Some(part) => Err(Error::Refused(format!(
            "invalid path {path:?}: {part:?} must not be the name of a file or directory"
        ))),
    }
}

fn both(path: &str) -> Error {
    Error::Refused(format!(
        "invalid path {path:?}: a file and a directory have the same name"
    ))
}

fn in_the_way(name: &str) -> Error {
    Error::Refused(format!(
        "{name:?} is a file where a directory of the package must be"
    ))
}

/// An entry of the package as it was.
struct Old {
    /// As it would be written again.
    mode: &'static str,
    id: Oid,
}

fn old_entries(content: &[u8]) -> Result<HashMap<Vec<u8>, Old>, Error> {
    let mut all = HashMap::new();
    for entry in tree::entries(content) {
        let entry = entry?;
        let mode = match entry.mode {
            Mode::Directory => DIRECTORY,
            Mode::Link => LINK,
            Mode::File if is_program(entry.digits) => PROGRAM,
            Mode::File => FILE,
            Mode::Submodule => continue,
        };
        let old = Old { mode, id: entry.id };
        all.insert(entry.name.to_vec(), old);
    }
    Ok(all)
}

/// Returns whether a mode lets its owner run the file.
fn is_program(digits: &[u8]) -> bool {
    digits
        .iter()
        .nth_back(2)
        .is_some_and(|digit| digit & 1 == 1)
}

fn lines(content: &[u8]) -> Result<Vec<Line>, Error> {
    let line = |entry: Result<tree::Entry<'_>, Error>| {
        let entry = entry?;
        Ok(Line {
            mode: entry.digits.into(),
            name: entry.name.into(),
            id: entry.id,
            is_directory: entry.mode == Mode::Directory,
        })
    };
    tree::entries(content).map(line).collect()
}
