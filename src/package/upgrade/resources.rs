//! The strategy that merges: package by package, file by file, resource by resource.

use std::collections::BTreeSet;

use super::{
    UpgradeError,
    packages::{Three, kptfile_of},
};
use crate::package::{
    Files, KPTFILE,
    merge::{merge_file, merge_kptfile, merge_whole},
    tasks::CONTEXT_FILE,
};

/// What becomes of a package.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is as it is here.
    Kept,
    /// It is as it is upstream.
    Taken,
    /// Its files are merged.
    Merged,
}

/// Returns the files of the local package with what upstream changed.
pub(super) fn merge(three: &Three) -> Result<Files, UpgradeError> {
    let owned = three.owned();
    let nothing = BTreeSet::new();
    let mut made = Files::new();
    for directory in three.directories() {
        let paths = owned.get(directory).unwrap_or(&nothing);
        let fate = fate(three, directory, paths)?;
        for path in paths {
            let content = merged(three, path, fate)?;
            made.extend(content.map(|content| ((*path).to_owned(), content)));
        }
    }
    Ok(made)
}

fn fate(three: &Three, directory: &str, paths: &BTreeSet<&str>) -> Result<Fate, UpgradeError> {
    if directory.is_empty() {
        return Ok(Fate::Merged);
    }
    if three.is_remote(directory) {
        return Ok(Fate::Kept);
    }
    let kptfile = three.file(&kptfile_of(directory));
    let is_there = |content: Option<&[u8]>| content.is_some();
    match (
        is_there(kptfile.origin),
        is_there(kptfile.local),
        is_there(kptfile.updated),
    ) {
        (false, true, true) => Err(UpgradeError::AddedTwice(directory.into())),
        (true, true, true) | (false, false, true) => Ok(Fate::Merged),
        (true, true, false) if three.modified(paths.iter().copied()).is_empty() => Ok(Fate::Taken),
        _ => Ok(Fate::Kept),
    }
}

fn merged(three: &Three, path: &str, fate: Fate) -> Result<Option<Vec<u8>>, UpgradeError> {
    let file = three.file(path);
    match fate {
        Fate::Kept => Ok(file.local.map(<[u8]>::to_vec)),
        Fate::Taken => Ok(file.updated.map(<[u8]>::to_vec)),
        // It tells the package who it is, as the name in its Kptfile does.
        Fate::Merged if path == CONTEXT_FILE && file.local.is_some() => {
            Ok(file.local.map(<[u8]>::to_vec))
        }
        Fate::Merged if path == KPTFILE => merge_kptfile(path, file, false),
        Fate::Merged if path.ends_with("/Kptfile") => merge_kptfile(path, file, true),
        Fate::Merged if three.is_ignored(path) => Ok(merge_whole(file)),
        Fate::Merged => merge_file(path, file),
    }
}
