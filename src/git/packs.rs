//! The packs of a mirror: every fetch leaves one, and every read looks through all of them, so small ones are joined now
//! and then. Nobody is disturbed: what is in the old packs is in the new one before they go.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use git2::{Indexer, Oid};

use super::{Error, Mirror};

/// So many small packs are left alone.
const MOST: usize = 40;
/// A pack is small up to so many bytes: joining rewrites it.
const SMALL: u64 = 16 << 20;
/// What a killed process left half-written is removed after this time; no fetch takes as long.
const STALE: Duration = Duration::from_hours(24);
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

/// Joins small packs if there are many, and removes what was left half-written.
///
/// # Errors
/// [`Error::Local`]; [`Error::Corrupt`]. The mirror is whole all the same.
pub(super) fn tidy(mirror: &Mirror) -> Result<(), Error> {
    if survey(mirror)?.len() <= MOST {
        return Ok(());
    }
    let path = mirror.directory().join("tidy.lock");
    let lock = fs::File::create(&path).map_err(|error| Error::local(&path, &error))?;
    if lock.try_lock().is_err() {
        // Somebody is at it, in this process or another.
        return Ok(());
    }
    let small = survey(mirror)?;
    let mut ids = BTreeSet::new();
    for pack in &small {
        let index = pack.with_extension("idx");
        let bytes = fs::read(&index).map_err(|error| Error::local(&index, &error))?;
        ids.extend(
            listed(&bytes)
                .ok_or_else(|| Error::Corrupt("the index of a pack cannot be read".into()))?,
        );
    }
    let joined = join(mirror, &ids)?;
    for pack in small.iter().filter(|pack| **pack != joined) {
        for end in ["idx", "rev", "pack"] {
            let _ = fs::remove_file(pack.with_extension(end));
        }
    }
    let refreshed = mirror.odb()?.refresh();
    refreshed.map_err(|error| Error::Corrupt(error.message().into()))
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

fn directory(mirror: &Mirror) -> PathBuf {
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

/// Returns the small packs, and removes stale leftovers.
fn survey(mirror: &Mirror) -> Result<Vec<PathBuf>, Error> {
    let path = directory(mirror);
    let entries = fs::read_dir(&path).map_err(|error| Error::local(&path, &error))?;
    let mut small = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        let file = entry.path();
        let end = file
            .extension()
            .and_then(|end| end.to_str())
            .unwrap_or_default();
        let old = facts.modified().ok().and_then(|then| then.elapsed().ok());
        match end {
            "pack" if facts.len() <= SMALL && file.with_extension("idx").exists() => {
                small.push(file);
            }
            "pack" | "idx" | "rev" => {}
            _ if old.is_some_and(|age| age > STALE) => drop(fs::remove_file(&file)),
            _ => {}
        }
    }
    Ok(small)
}

/// Returns the ids that the index of a pack lists (gitformat-pack, version 2).
fn listed(index: &[u8]) -> Option<Vec<Oid>> {
    let names = index.strip_prefix(b"\xfftOc\0\0\0\x02")?;
    let count = names
        .get(255 * 4..256 * 4)?
        .try_into()
        .ok()
        .map(u32::from_be_bytes)? as usize;
    let names = names.get(256 * 4..256 * 4 + count * 20)?;
    names
        .chunks_exact(20)
        .map(|id| Oid::from_bytes(id).ok())
        .collect()
}

/// Writes one pack with these objects, and returns its path.
fn join(mirror: &Mirror, ids: &BTreeSet<Oid>) -> Result<PathBuf, Error> {
    let failed = |error: git2::Error| Error::Corrupt(error.message().to_string());
    let odb = mirror.odb()?;
    let mut pack = writer(mirror, &odb)?;
    let mut builder = mirror.repository().packbuilder().map_err(failed)?;
    for id in ids {
        builder.insert_object(*id, None).map_err(failed)?;
    }
    copy(&mut builder, &mut pack)?;
    let name = commit(pack)?;
    Ok(directory(mirror).join(format!("pack-{name}.pack")))
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
