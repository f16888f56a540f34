//! A mirror written anew, without what nobody can want any more. In three steps, so that whoever fetches waits for moments
//! only: what is wanted is noted; it is written into one pack, which takes long; and what came to be wanted meanwhile is
//! added before the old packs go.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use git2::{ObjectType, Oid, PackBuilder};

use super::{Error, Kept, Mirror, roots, upkeep};

/// So many packs of any size are left alone.
const MOST: usize = 100;
/// Everything is written anew for the sake of one object in so many.
const WORTH: usize = 4;
/// Packs of more bytes together are not written anew: it would take minutes, and as much disk again.
const LARGEST: u64 = 2 << 30;

/// What somebody may want of a mirror, and the packs that it is in.
pub struct Wanted {
    /// Nobody else removes packs until this is dropped.
    lock: fs::File,
    old: Vec<PathBuf>,
    tips: BTreeSet<Oid>,
    /// There is too much to write it anew.
    is_too_large: bool,
}

/// What came of writing a mirror anew.
pub enum Rewrite {
    /// It is not worth it.
    Needless(Kept),
    /// A pack that is to stand in the place of old ones.
    Ready(Rewritten),
}

/// A pack with all that was wanted, beside the old ones.
pub struct Rewritten {
    wanted: Wanted,
    fresh: PathBuf,
    objects: (usize, usize),
}

impl Mirror {
    /// Notes what refs of any holder point at, and what was in use in the last so long; nothing if somebody else is about to
    /// remove packs. It takes moments, in which nobody may make refs of a holder others.
    ///
    /// # Errors
    /// [`Error::Local`]; [`Error::Corrupt`].
    pub fn want(&self, within: Duration) -> Result<Option<Wanted>, Error> {
        let Some(lock) = upkeep::lock(self)? else {
            return Ok(None);
        };
        // Before it is tried: what can't be done now is not tried again and again.
        upkeep::stamp(self.directory())?;
        let packs = upkeep::survey(self)?;
        Ok(Some(Wanted {
            lock,
            is_too_large: packs.iter().map(|(_, size)| size).sum::<u64>() > LARGEST,
            old: packs.into_iter().map(|(pack, _)| pack).collect(),
            // After the packs: what is noted then is in them, or in one that stays.
            tips: tips(self, within)?,
        }))
    }

    /// Writes what is wanted into a pack of its own, if that is worth it. It may take minutes; any number may read and fetch
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Local`]; [`Error::Corrupt`]. The mirror is whole all the same.
    pub fn rewrite(&self, wanted: Wanted) -> Result<Rewrite, Error> {
        let before = wanted.old.len();
        let mut kept = Kept {
            packs: (before, before),
            ..Kept::default()
        };
        if wanted.is_too_large {
            return Ok(Rewrite::Needless(kept));
        }
        let held = upkeep::objects(&wanted.old)?.len();
        kept.objects = (held, held);
        let builder = reached(self, &wanted.tips, &BTreeSet::new())?;
        let count = builder.object_count();
        // What was kept meanwhile is in neither count, or in the second alone.
        let few = held.saturating_sub(count) * WORTH < held || count == 0;
        if few && before <= MOST {
            return Ok(Rewrite::Needless(kept));
        }
        let fresh = upkeep::add(self, builder)?;
        Ok(Rewrite::Ready(Rewritten {
            wanted,
            fresh,
            objects: (held, count),
        }))
    }

    /// Removes the packs in whose place a new one was written, and keeps what came to be wanted since. Nobody may fetch
    /// meanwhile, or make refs of a holder others; any number may read and keep packs.
    ///
    /// # Errors
    /// [`Error::Local`]; [`Error::Corrupt`]. The mirror is whole all the same.
    pub fn supplant(&self, rewritten: Rewritten, within: Duration) -> Result<Kept, Error> {
        let Wanted {
            lock,
            old,
            tips: known,
            ..
        } = rewritten.wanted;
        let now = tips(self, within)?;
        let late: BTreeSet<Oid> = now.difference(&known).copied().collect();
        if !late.is_empty() {
            let builder = reached(self, &late, &known)?;
            if builder.object_count() > 0 {
                upkeep::add(self, builder)?;
            }
        }
        let after = upkeep::remove(self, &old, &rewritten.fresh)?;
        drop(lock);
        Ok(Kept {
            packs: (old.len(), after),
            objects: rewritten.objects,
        })
    }
}

/// Returns what refs of any holder point at, and what was in use in the last so long.
fn tips(mirror: &Mirror, within: Duration) -> Result<BTreeSet<Oid>, Error> {
    let mut tips = BTreeSet::new();
    for refs in roots::all(mirror.directory()) {
        tips.extend(roots::tips(&refs?));
    }
    let odb = mirror.odb()?;
    let recent = roots::recent(mirror.directory(), within)?.into_iter();
    tips.extend(recent.filter(|id| odb.exists(*id)));
    Ok(tips)
}

/// Returns the builder of a pack of all that these reach and those of `known` do not; it may hold some of that too.
fn reached<'a>(
    mirror: &'a Mirror,
    tips: &BTreeSet<Oid>,
    known: &BTreeSet<Oid>,
) -> Result<PackBuilder<'a>, Error> {
    let failed = |error: git2::Error| Error::Corrupt(error.message().to_string());
    let (repository, odb) = (mirror.repository(), mirror.odb()?);
    let mut builder = repository.packbuilder().map_err(failed)?;
    let mut walk = repository.revwalk().map_err(failed)?;
    let kind = |id: Oid| odb.read_header(id).map(|(_, kind)| kind).map_err(failed);
    for id in tips {
        let mut id = *id;
        while let Ok(tag) = repository.find_tag(id) {
            builder.insert_object(id, None).map_err(failed)?;
            id = tag.target_id();
        }
        match kind(id)? {
            ObjectType::Commit => walk.push(id).map_err(failed)?,
            _ => builder.insert_recursive(id, None).map_err(failed)?,
        }
    }
    for id in known {
        if kind(*id)? == ObjectType::Commit {
            walk.hide(*id).map_err(failed)?;
        }
    }
    builder.insert_walk(&mut walk).map_err(failed)?;
    Ok(builder)
}
