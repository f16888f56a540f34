//! The strategies that take upstream's files as they are. The Kptfile of the package itself is merged by all of them.

use super::{UpgradeError, packages::Three};
use crate::package::{
    Files, KPTFILE,
    merge::{merge_kptfile, without_render},
    tasks::CONTEXT_FILE,
};

/// Returns upstream's files, and of the local ones only those of subpackages with upstreams of their own.
pub(super) fn replace(three: &Three) -> Result<Files, UpgradeError> {
    let (local, updated) = (three.files.local, three.files.updated);
    let kept = local.into_iter().flatten();
    let kept = kept.filter(|(path, _)| three.is_remote(path));
    let taken = updated.into_iter().flatten();
    let taken = taken.filter(|(path, _)| !three.is_remote(path));
    let all = kept.chain(taken);
    let made = all.map(|(path, content)| (path.clone(), content.clone()));
    with_kptfile(made.collect(), three)
}

/// Returns upstream's files in place of a package that nobody changed here.
pub(super) fn fast_forward(three: &Three) -> Result<Files, UpgradeError> {
    let owned = three.owned();
    let paths = owned.values().flatten().copied();
    let modified = three.modified(paths.filter(|path| !three.is_remote(path)));
    if !modified.is_empty() {
        let paths = modified.into_iter().map(str::to_owned);
        let mut paths: Vec<_> = paths.collect();
        paths.sort_unstable();
        return Err(UpgradeError::Modified(paths));
    }
    let mut made = replace(three)?;
    if let Some(context) = three.file(CONTEXT_FILE).local {
        made.insert(CONTEXT_FILE.into(), context.to_vec());
    }
    if let Some(kptfile) = made.get_mut(KPTFILE) {
        *kptfile = without_render(KPTFILE, kptfile)?;
    }
    Ok(made)
}

/// Returns the local files with all of upstream's over them, without those that are gone upstream.
pub(super) fn copy(three: &Three) -> Result<Files, UpgradeError> {
    let mut made = three.files.local.cloned().unwrap_or_default();
    let is_gone = |path: &String| {
        let file = three.file(path);
        file.origin.is_some() && file.updated.is_none()
    };
    made.retain(|path, _| path == KPTFILE || !is_gone(path));
    let taken = three.files.updated.into_iter().flatten();
    made.extend(taken.map(|(path, content)| (path.clone(), content.clone())));
    with_kptfile(made, three)
}

/// Returns the files with the Kptfile of the package itself.
fn with_kptfile(mut made: Files, three: &Three) -> Result<Files, UpgradeError> {
    made.remove(KPTFILE);
    let merged = merge_kptfile(KPTFILE, three.file(KPTFILE), true)?;
    made.extend(merged.map(|content| (KPTFILE.to_owned(), content)));
    Ok(made)
}
