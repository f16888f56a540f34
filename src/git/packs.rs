//! The packs of a mirror, as files: how one is written, and what tells that one is damaged.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use git2::Indexer;

use super::{Error, Mirror};

/// So much is written at once, in bytes: libgit2 makes sure of one page of the disk a piece, and the kernel ends a process
/// that writes to a page of which the disk has none.
const PIECE: usize = 4096;

/// Returns the writer of a new pack in a mirror.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn writer<'a>(mirror: &Mirror, odb: &git2::Odb<'a>) -> Result<Indexer<'a>, Error> {
    let path = directory(mirror);
    fs::create_dir_all(&path).map_err(|error| Error::local(&path, &error))?;
    Indexer::new(Some(odb), &path, 0, false).map_err(|error| Error::local(&path, &error.message()))
}

/// Writes what has come of a pack.
///
/// # Errors
/// [`Error::Unpackable`] for what is no pack; [`Error::Local`].
pub(super) fn write(pack: &mut Indexer<'_>, data: &[u8]) -> Result<(), Error> {
    let written = data
        .chunks(PIECE)
        .try_for_each(|piece| pack.write_all(piece));
    written.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        inner.map_or_else(|| Error::Unpackable(error.to_string()), broken)
    })
}

/// Ends a pack: its objects are there from now on. Returns the hash in its name.
///
/// # Errors
/// [`Error::Unpackable`] for what is no whole pack; [`Error::Local`].
pub(super) fn commit(pack: Indexer<'_>) -> Result<String, Error> {
    pack.commit().map_err(|error| broken(&error))
}

/// Returns whose fault it is that a pack could not be written: the disk's, or what is in it.
fn broken(error: &git2::Error) -> Error {
    let why = error.message();
    match error.class() {
        git2::ErrorClass::Os | git2::ErrorClass::Filesystem => {
            Error::Local(format!("the disk does not take what was fetched: {why}"))
        }
        _ => Error::Unpackable(format!("the pack cannot be read: {why}")),
    }
}

/// Returns what is wrong with the packs of a mirror, as far as their ends tell: the index of a pack names the checksum that
/// the pack ends with (gitformat-pack).
pub(super) fn damage(mirror: &Mirror) -> Option<String> {
    let is_whole = |pack: &Path| {
        let index = end(&pack.with_extension("idx"), 40)?;
        let checksum = end(pack, 20)?;
        Some(index[..20] == checksum)
    };
    let packs = sizes(mirror.directory()).into_iter();
    let mut indexed = packs.filter(|(pack, _)| pack.with_extension("idx").exists());
    let (broken, _) = indexed.find(|(pack, _)| is_whole(pack) != Some(true))?;
    Some(format!("{} is not as it was written", broken.display()))
}

/// Returns the last bytes of a file; nothing if it has fewer, or can't be read.
fn end(file: &Path, count: usize) -> Option<Vec<u8>> {
    let mut open = fs::File::open(file).ok()?;
    open.seek(SeekFrom::End(-i64::try_from(count).ok()?)).ok()?;
    let mut bytes = vec![0; count];
    open.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// Returns where the packs of a mirror are.
pub(super) fn directory(mirror: &Mirror) -> PathBuf {
    below(mirror.directory())
}

fn below(mirror: &Path) -> PathBuf {
    mirror.join("objects").join("pack")
}

/// Returns the packs of the mirror in a directory and how long they are.
pub(super) fn sizes(mirror: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(below(mirror)).into_iter().flatten().flatten();
    let packs = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "pack"));
    packs
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
        .collect()
}

/// Writes what a builder builds into a pack.
///
/// # Errors
/// [`Error::Unpackable`]; [`Error::Local`].
pub(super) fn copy(
    builder: &mut git2::PackBuilder<'_>,
    pack: &mut Indexer<'_>,
) -> Result<(), Error> {
    let mut problem = None;
    let written = builder.foreach(|piece| {
        problem = write(pack, piece).err();
        problem.is_none()
    });
    match problem {
        Some(problem) => Err(problem),
        None => written.map_err(|error| Error::Unpackable(error.message().into())),
    }
}
