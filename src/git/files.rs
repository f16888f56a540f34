//! The files of a package, read by its tree. What a package must not hold is refused; what is too much is not read.

use git2::{ObjectType, Odb, Oid};

use super::{
    Error, Mirror,
    refs::is_id,
    tree::{self, Mode},
};
use crate::package::is_harmless;

/// How deep directories of a package are entered.
const DEEPEST: usize = 100;

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path from the package, `/` between directories.
    pub path: String,
    /// Content; of a symbolic link its target.
    pub content: Vec<u8>,
}

/// How much of a package is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files together.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 20_000,
            bytes: 64 << 20,
        }
    }
}

/// Returns the files of a package, in Git's order; submodules are left out.
///
/// # Errors
/// [`Error::Refused`] for a name that leads out of the package or into Git's own directory, or is not UTF-8; [`Error::TooLarge`];
/// [`Error::Corrupt`].
pub fn files(mirror: &Mirror, tree: &str, limits: Limits) -> Result<Vec<File>, Error> {
    let odb = mirror.odb()?;
    let mut left = limits.bytes;
    let mut all = Vec::new();
    for (path, id) in blobs(&odb, tree, limits.files)? {
        let (size, _) = odb
            .read_header(id)
            .map_err(|error| Error::object(id, &error))?;
        left = left.checked_sub(size).ok_or_else(|| {
            Error::TooLarge(format!("the package has more than {} bytes", limits.bytes))
        })?;
        let object = odb.read(id).map_err(|error| Error::object(id, &error))?;
        if object.kind() != ObjectType::Blob {
            return Err(Error::Corrupt(format!("object {id} is no blob")));
        }
        let content = object.data().to_vec();
        all.push(File { path, content });
    }
    Ok(all)
}

/// Returns the paths of a package's files, as [`files`] would.
///
/// # Errors
/// As [`files`].
pub fn paths(mirror: &Mirror, tree: &str) -> Result<Vec<String>, Error> {
    let odb = mirror.odb()?;
    let all = blobs(&odb, tree, Limits::default().files)?;
    Ok(all.into_iter().map(|(path, _)| path).collect())
}

/// Returns the id that Git gives a file with this content.
#[must_use]
pub fn blob_id(content: &[u8]) -> String {
    let id = Oid::hash_object(ObjectType::Blob, content);
    id.expect("any bytes are a blob").to_string()
}

/// Returns how many files a package has.
///
/// # Errors
/// As [`files`].
pub fn file_count(mirror: &Mirror, tree: &str) -> Result<usize, Error> {
    Ok(blobs(&mirror.odb()?, tree, Limits::default().files)?.len())
}

/// Returns the blobs below a tree.
fn blobs(odb: &Odb<'_>, tree: &str, most: usize) -> Result<Vec<(String, Oid)>, Error> {
    // libgit2 would take a short id for one that ends in zeros.
    let whole = Oid::from_str(tree).ok().filter(|_| is_id(tree));
    let root = whole.ok_or_else(|| Error::Refused("this is no id of a tree".into()))?;
    let mut all = Vec::new();
    enter(odb, (root, ""), most, &mut all)?;
    Ok(all)
}

fn enter(
    odb: &Odb<'_>,
    (id, prefix): (Oid, &str),
    most: usize,
    all: &mut Vec<(String, Oid)>,
) -> Result<(), Error> {
    if prefix.split('/').count() > DEEPEST {
        return Err(Error::TooLarge(format!(
            "the package has more than {DEEPEST} directories in each other"
        )));
    }
    let object = tree::read(odb, id, ObjectType::Tree)?;
    for entry in tree::entries(object.data()) {
        let entry = entry?;
        if !is_harmless(entry.name) {
            let name = String::from_utf8_lossy(entry.name);
            return Err(Error::Refused(format!(
                "the package holds a file with the forbidden name {name:?}"
            )));
        }
        let name = std::str::from_utf8(entry.name).map_err(|_| {
            // Shown in another way, two names could become one.
            let name = String::from_utf8_lossy(entry.name);
            Error::Refused(format!(
                "the package holds a file whose name is not UTF-8: {name:?}"
            ))
        })?;
        let path = format!("{prefix}{name}");
        match entry.mode {
            Mode::Directory => enter(odb, (entry.id, &format!("{path}/")), most, all)?,
            Mode::Submodule => {}
            Mode::File | Mode::Link if all.len() >= most => {
                return Err(Error::TooLarge(format!(
                    "the package has more than {most} files"
                )));
            }
            Mode::File | Mode::Link => all.push((path, entry.id)),
        }
    }
    Ok(())
}
