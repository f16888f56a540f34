//! The upkeep of a mirror: every fetch leaves a pack, every read looks through all of them, and what a force push left
//! behind stays. So small packs are joined, and now and then everything is written anew without what nobody can want any
//! more. Readers are not disturbed: what they need is in the new pack, safe on the disk, before the old ones go. A process
//! that is killed meanwhile leaves too much, never too little.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use git2::Oid;

use super::{Error, Mirror, packs};

/// So many small packs are left alone.
const MOST: usize = 40;
/// A pack is small up to so many bytes.
const SMALL: u64 = 16 << 20;
/// How often it is looked for what nobody can want.
const GRACE: Duration = Duration::from_hours(24);
/// What a killed process left half-written is removed after this time; no fetch takes as long.
const STALE: Duration = Duration::from_hours(24);
/// Says by its time when it was last looked for what nobody can want.
const STAMP: &str = "pruned";

/// What is due of a mirror's upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// [`Mirror::join_packs`].
    Join,
    /// [`Mirror::want`], and what follows.
    Drop,
}

/// What upkeep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many packs there were, and are.
    pub packs: (usize, usize),
    /// How many objects they held, and hold; zero if nobody counted.
    pub objects: (usize, usize),
}

impl Mirror {
    /// Returns what is due. It costs a look at the names of the packs.
    #[must_use]
    pub fn due(&self) -> Due {
        if age(&self.directory().join(STAMP)).is_none_or(|age| age > GRACE) {
            return Due::Drop;
        }
        let small = packs::sizes(self.directory())
            .into_iter()
            .filter(|(_, size)| *size <= SMALL);
        if small.count() > MOST {
            Due::Join
        } else {
            Due::Nothing
        }
    }

    /// Joins small packs if there are many. Any number may read and fetch meanwhile.
    ///
    /// # Errors
    /// [`Error::Local`]; [`Error::Corrupt`]. The mirror is whole all the same.
    pub fn join_packs(&self) -> Result<Kept, Error> {
        let Some(_lock) = lock(self)? else {
            return Ok(Kept::default());
        };
        let all = survey(self)?;
        let small: Vec<_> = all.iter().filter(|(_, size)| *size <= SMALL).collect();
        let before = all.len();
        if small.len() <= MOST {
            return Ok(Kept {
                packs: (before, before),
                ..Kept::default()
            });
        }
        let sizes: Vec<u64> = small.iter().map(|(_, size)| *size).collect();
        let old: Vec<PathBuf> = small[..joined(&sizes)]
            .iter()
            .map(|(pack, _)| pack.clone())
            .collect();
        let ids = objects(&old)?;
        let failed = |error: git2::Error| Error::Corrupt(error.message().to_string());
        let mut builder = self.repository().packbuilder().map_err(failed)?;
        for id in &ids {
            builder.insert_object(*id, None).map_err(failed)?;
        }
        let after = replace(self, builder, &old)?;
        Ok(Kept {
            packs: (before, after),
            ..Kept::default()
        })
    }
}

/// Returns how many of packs of these sizes, ordered by size, should be joined: the smaller ones, so that each that is left
/// is more than twice as large as what comes before it. So one object is rewritten a few times, however long it lies there.
fn joined(sizes: &[u64]) -> usize {
    let breaks = |at: &usize| sizes[*at] <= sizes[*at - 1].saturating_mul(2);
    let mut end = (1..sizes.len()).rev().find(breaks).map_or(0, |at| at + 1);
    let mut sum: u64 = sizes[..end].iter().sum();
    while end < sizes.len() && sizes[end] <= sum.saturating_mul(2) {
        sum += sizes[end];
        end += 1;
    }
    end
}

/// Takes the turn of whoever removes packs; nothing if somebody else has it, in this process or another.
pub(super) fn lock(mirror: &Mirror) -> Result<Option<fs::File>, Error> {
    let path = mirror.directory().join("tidy.lock");
    let lock = fs::File::create(&path).map_err(|error| Error::local(&path, &error))?;
    Ok(lock.try_lock().is_ok().then_some(lock))
}

/// Says that a mirror has nothing to drop now, as a new one.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn stamp(mirror: &Path) -> Result<(), Error> {
    let stamp = mirror.join(STAMP);
    fs::write(&stamp, "\n").map_err(|error| Error::local(&stamp, &error))
}

/// Returns how long ago a file was written; nothing if there is none.
fn age(file: &Path) -> Option<Duration> {
    let written = fs::metadata(file).ok()?.modified().ok()?;
    Some(
        SystemTime::now()
            .duration_since(written)
            .unwrap_or_default(),
    )
}

/// Returns the packs and their sizes, the smallest first, and removes stale leftovers.
pub(super) fn survey(mirror: &Mirror) -> Result<Vec<(PathBuf, u64)>, Error> {
    let path = packs::directory(mirror);
    let entries = fs::read_dir(&path).map_err(|error| Error::local(&path, &error))?;
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        let file = entry.path();
        let end = file.extension().and_then(|end| end.to_str());
        let has = |end: &str| file.with_extension(end).exists();
        match end.unwrap_or_default() {
            "pack" if has("idx") => found.push((file, facts.len())),
            "idx" if has("pack") => {}
            "rev" if has("idx") => {}
            _ if age(&file).is_some_and(|age| age > STALE) => drop(fs::remove_file(&file)),
            _ => {}
        }
    }
    found.sort_by(|(pack, size), (other, its)| (size, pack).cmp(&(its, other)));
    Ok(found)
}

/// Returns what packs hold, by their indexes.
pub(super) fn objects(packs: &[PathBuf]) -> Result<BTreeSet<Oid>, Error> {
    let mut ids = BTreeSet::new();
    for pack in packs {
        let index = pack.with_extension("idx");
        let bytes = fs::read(&index).map_err(|error| Error::local(&index, &error))?;
        let listed = listed(&bytes);
        ids.extend(
            listed.ok_or_else(|| Error::Corrupt("the index of a pack cannot be read".into()))?,
        );
    }
    Ok(ids)
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

/// Puts the pack of a builder in the place of old ones, and returns how many packs there are then.
fn replace(
    mirror: &Mirror,
    builder: git2::PackBuilder<'_>,
    old: &[PathBuf],
) -> Result<usize, Error> {
    let fresh = add(mirror, builder)?;
    remove(mirror, old, &fresh)
}

/// Writes the pack of a builder, safe on the disk, and returns where it is.
pub(super) fn add(mirror: &Mirror, mut builder: git2::PackBuilder<'_>) -> Result<PathBuf, Error> {
    let odb = mirror.odb()?;
    let mut pack = packs::writer(mirror, &odb)?;
    packs::copy(&mut builder, &mut pack)?;
    let name = packs::commit(pack)?;
    let fresh = packs::directory(mirror).join(format!("pack-{name}.pack"));
    for file in [
        &fresh,
        &fresh.with_extension("idx"),
        &packs::directory(mirror),
    ] {
        let synced = fs::File::open(file).and_then(|file| file.sync_all());
        synced.map_err(|error| Error::local(file, &error))?;
    }
    Ok(fresh)
}

/// Removes old packs in whose place there is a new one, and returns how many packs there are then.
pub(super) fn remove(mirror: &Mirror, old: &[PathBuf], fresh: &Path) -> Result<usize, Error> {
    // The same objects make the same name.
    for pack in old.iter().filter(|pack| *pack != fresh) {
        for end in ["idx", "rev", "pack"] {
            let _ = fs::remove_file(pack.with_extension(end));
        }
    }
    let refreshed = mirror.odb()?.refresh();
    refreshed.map_err(|error| Error::Corrupt(error.message().into()))?;
    Ok(packs::sizes(mirror.directory()).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_small_beside_what_is_left() {
        for (sizes, want) in [
            (&[][..], 0),
            (&[5], 0),
            (&[1, 3, 9], 0),
            (&[1, 1, 1], 3),
            (&[1, 1, 9], 2),
            (&[1, 1, 4], 3),
            (&[1, 1, 1, 6, 100], 4),
            (&[1, 1, 1, 1000, 1001], 5),
        ] {
            assert_eq!(joined(sizes), want, "{sizes:?}");
        }
    }

    #[test]
    fn what_comes_in_for_long_is_rewritten_a_few_times_each() {
        let (mut packs, mut written) = (Vec::new(), 0);
        for _ in 0..10_000 {
            packs.push(100_u64);
            packs.sort_unstable();
            if packs.len() > MOST {
                let end = joined(&packs);
                let sum: u64 = packs.drain(..end).sum();
                written += sum;
                packs.push(sum);
            }
        }
        assert!(packs.len() <= MOST + 1);
        assert!(written <= 100 * 10_000 * 8, "{written} bytes");
    }
}
