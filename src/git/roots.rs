//! What a mirror is kept for: the refs that each of its holders saw last, and the commits that were in use lately. In come
//! refs, out go those of one holder, or the objects that somebody may still want. Each holder has a file of its own, written
//! whole, so that none waits for another and thousands of refs cost no more than one.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use git2::Oid;

use super::{Error, Refs};

/// First line of a file of refs (gitrepository-layout).
const HEADER: &str = "# pack-refs with: peeled fully-peeled sorted ";
/// The refs of a mirror that has one holder, where Git itself finds them.
const LONE: &str = "packed-refs";
/// The directory of the refs of holders that have a name.
const HOLDERS: &str = "holders";
/// The commits that a ref pointed at lately, or that were pushed, as lines `SECONDS ID`: records and readers may still name
/// them. The seconds are those since 1970.
const RECENT: &str = "recent";

/// Returns the refs of a holder; none if it has none yet.
///
/// # Errors
/// [`Error::Corrupt`]; [`Error::Local`].
pub(super) fn of(mirror: &Path, holder: &str) -> Result<Refs, Error> {
    read(&file(mirror, holder))
}

/// Makes the refs of a holder these, and remembers what they pointed at before.
///
/// # Errors
/// [`Error::Local`]; [`Error::Corrupt`].
pub(super) fn replace(mirror: &Path, holder: &str, refs: &Refs) -> Result<(), Error> {
    let before = of(mirror, holder)?;
    if before == *refs && file(mirror, holder).exists() {
        return Ok(());
    }
    let now = tips(refs);
    let gone: Vec<Oid> = tips(&before).difference(&now).copied().collect();
    remember(mirror, &gone)?;
    write(&file(mirror, holder), print(refs).as_bytes())
}

/// Forgets a holder; one that is unknown is forgotten.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn forget(mirror: &Path, holder: &str) -> Result<(), Error> {
    let path = file(mirror, holder);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::local(&path, &error)),
        _ => Ok(()),
    }
}

/// Returns the holders that have a name.
pub(super) fn holders(mirror: &Path) -> Vec<String> {
    let entries = fs::read_dir(mirror.join(HOLDERS)).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    // One with a dot was half-written when a process was killed.
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.contains('.'))
        .collect()
}

/// Returns the refs of every holder that can be read, or why one can't.
pub(super) fn all(mirror: &Path) -> Vec<Result<Refs, Error>> {
    let holders = holders(mirror);
    let each = holders.iter().map(String::as_str).chain([""]);
    each.map(|holder| of(mirror, holder)).collect()
}

/// Returns what refs point at: commits, and the tag objects before them.
pub(super) fn tips(refs: &Refs) -> BTreeSet<Oid> {
    let ids = refs
        .iter()
        .flat_map(|(_, target)| [&target.id, &target.commit]);
    ids.filter_map(|id| Oid::from_str(id).ok()).collect()
}

/// Remembers that commits are in use now.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn remember(mirror: &Path, ids: &[Oid]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let (path, now) = (mirror.join(RECENT), seconds());
    let mut lines = String::new();
    for id in ids {
        lines.extend([&now.to_string(), " ", &id.to_string(), "\n"]);
    }
    let open = fs::OpenOptions::new().append(true).create(true).open(&path);
    // In one piece, so that what others append stays whole.
    open.and_then(|mut file| file.write_all(lines.as_bytes()))
        .map_err(|error| Error::local(&path, &error))
}

/// Returns the commits that were in use in the last so long, and forgets the others.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn recent(mirror: &Path, within: Duration) -> Result<BTreeSet<Oid>, Error> {
    let path = mirror.join(RECENT);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(Error::local(&path, &error)),
    };
    let since = seconds().saturating_sub(within.as_secs());
    let mut kept = String::new();
    let mut ids = BTreeSet::new();
    for line in text.lines() {
        // What is no such line was cut short by a full disk.
        if let Some((at, id)) = line.split_once(' ')
            && at.parse().is_ok_and(|at: u64| at > since)
            && let Ok(id) = Oid::from_str(id)
        {
            ids.insert(id);
            kept.extend([line, "\n"]);
        }
    }
    if kept.len() < text.len() {
        write(&path, kept.as_bytes())?;
    }
    Ok(ids)
}

/// Returns where the refs of a holder are. Names are the cluster's, but nothing that could lead elsewhere is let through.
fn file(mirror: &Path, holder: &str) -> PathBuf {
    let harmless = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let name: String = holder.chars().filter(harmless).collect();
    if name.is_empty() {
        mirror.join(LONE)
    } else {
        mirror.join(HOLDERS).join(name)
    }
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn read(path: &Path) -> Result<Refs, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Refs::default()),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(Error::Corrupt("its file of refs is not text".into()));
        }
        Err(error) => return Err(Error::local(path, &error)),
    };
    parse(&text)
}

/// Writes a file beside the old one and puts it in its place.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::local(path, &error);
    let fresh = path.with_extension("new");
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut file = fs::File::create(&fresh).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)
}

fn print(refs: &Refs) -> String {
    let mut out = format!("{HEADER}\n");
    for (name, target) in refs.iter() {
        out.extend([&target.id, " ", name, "\n"]);
        if target.commit != target.id {
            out.extend(["^", &target.commit, "\n"]);
        }
    }
    out
}

fn parse(text: &str) -> Result<Refs, Error> {
    let mut refs = Refs::default();
    let mut last = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(commit) = line.strip_prefix('^') {
            refs.peel(last, commit);
        } else if let Some((id, name)) = line.split_once(' ') {
            refs.insert(name, id, None);
            last = name;
        } else {
            return Err(Error::Corrupt("its file of refs cannot be read".into()));
        }
    }
    Ok(refs)
}
