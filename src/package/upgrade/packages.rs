//! The three versions of a package, cut into the package itself and its subpackages.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    package::{
        Files, IGNORED, Ignored, KPTFILE, MOST_BYTES_OF_FILE,
        files::{is_yaml, name_of},
        merge::{Versions, is_same, is_same_kptfile},
        tasks::CONTEXT_FILE,
    },
    yaml,
};

/// Three versions of a package.
pub(super) struct Three<'a> {
    pub(super) files: Versions<&'a Files>,
    /// Every directory that is a subpackage in one of the three, and whether it has an upstream of its own.
    subpackages: BTreeMap<&'a str, bool>,
    /// What packages ignore, here or upstream, by their directories.
    ignored: BTreeMap<&'a str, Vec<Ignored>>,
}

impl<'a> Three<'a> {
    pub(super) fn new(old: &'a Files, new: &'a Files, local: &'a Files) -> Self {
        let files = Versions {
            origin: Some(old),
            updated: Some(new),
            local: Some(local),
        };
        let mut subpackages = BTreeMap::new();
        for files in [old, new] {
            for (directory, is_remote) in found(files) {
                // Of local type in one of them is enough.
                let all = subpackages.entry(directory).or_insert(true);
                *all &= is_remote;
            }
        }
        for (directory, is_remote) in found(local) {
            // What has an upstream here is not touched, whatever it is there.
            subpackages.insert(directory, is_remote);
        }
        let mut three = Self {
            files,
            subpackages,
            ignored: BTreeMap::new(),
        };
        three.ignored = three
            .directories()
            .map(|of| (of, three.rules(of)))
            .collect();
        three
    }

    /// Returns what a package ignores, here or upstream. A file that says too much says nothing.
    fn rules(&self, directory: &str) -> Vec<Ignored> {
        let file = self.file(&inside(directory, IGNORED));
        let said = [file.local, file.updated].into_iter().flatten();
        said.filter_map(|content| Ignored::of(content).ok())
            .collect()
    }

    /// Returns whether a file holds no resources, whatever its name is.
    pub(super) fn is_ignored(&self, path: &str) -> bool {
        let owner = self.owner(path);
        let rest = path.strip_prefix(owner).unwrap_or(path);
        let rest = rest.trim_start_matches('/');
        let mut rules = self.ignored.get(owner).into_iter().flatten();
        rules.any(|rules| rules.has(rest))
    }

    /// Returns the directories of the package itself (empty) and its subpackages, parents first.
    pub(super) fn directories(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once("").chain(self.subpackages.keys().copied())
    }

    /// Returns the directory of the package that a file belongs to: the innermost of the three versions.
    fn owner(&self, path: &str) -> &'a str {
        let mut parents = parents(path);
        let found = parents.find_map(|parent| self.subpackages.get_key_value(parent));
        found.map_or("", |(directory, _)| *directory)
    }

    /// Returns whether the file or directory belongs to a subpackage with an upstream of its own, which this package's does not touch.
    pub(super) fn is_remote(&self, path: &str) -> bool {
        let here = self.subpackages.get(path).copied().unwrap_or_default();
        here || parents(path).any(|parent| self.subpackages.get(parent) == Some(&true))
    }

    /// Returns the paths of the files that belong to each package in one of the three, itself and not its subpackages.
    pub(super) fn owned(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut owned: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let files = [self.files.origin, self.files.updated, self.files.local];
        for path in files.into_iter().flatten().flat_map(BTreeMap::keys) {
            owned.entry(self.owner(path)).or_default().insert(path);
        }
        owned
    }

    /// Returns the three versions of a file.
    pub(super) fn file(&self, path: &str) -> Versions<&'a [u8]> {
        self.files.map(|files| files.get(path).map(Vec::as_slice))
    }

    /// Returns those files that a user changed here.
    pub(super) fn modified<'b>(&self, paths: impl IntoIterator<Item = &'b str>) -> Vec<&'b str> {
        let paths = paths.into_iter();
        paths.filter(|path| self.is_modified(path)).collect()
    }

    fn is_modified(&self, path: &str) -> bool {
        let file = self.file(path);
        if name_of(path) == KPTFILE {
            let is_root = path == KPTFILE;
            // Only the root's is of any package that there is; another one makes its directory a package.
            let is_there = is_root || file.origin.is_some() == file.local.is_some();
            return !is_there || !is_same_kptfile(file.origin, file.local, is_root);
        }
        match (file.origin, file.local) {
            // A clone writes it, and tells the package in it who it is.
            _ if path == CONTEXT_FILE && file.local.is_some() => false,
            (Some(origin), Some(local)) if is_yaml(path) => !is_same(path, origin, local),
            (origin, local) => origin != local,
        }
    }
}

/// Returns the path of a package's Kptfile.
pub(super) fn kptfile_of(directory: &str) -> String {
    inside(directory, KPTFILE)
}

fn inside(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        return name.into();
    }
    format!("{directory}/{name}")
}

/// Returns the directories above a file or directory, innermost first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at])
}

/// Returns the subpackages of a package, and whether they have upstreams of their own. One whose Kptfile can't be read has none.
fn found(files: &Files) -> impl Iterator<Item = (&str, bool)> {
    files.iter().filter_map(|(path, content)| {
        let directory = path.strip_suffix(KPTFILE)?.strip_suffix('/')?;
        Some((directory, has_upstream(content)))
    })
}

fn has_upstream(kptfile: &[u8]) -> bool {
    if kptfile.len() > MOST_BYTES_OF_FILE {
        return false;
    }
    let text = std::str::from_utf8(kptfile).unwrap_or_default();
    let kptfile: Value = yaml::from_str(text).unwrap_or_default();
    kptfile.get("upstream").is_some_and(|one| !one.is_null())
}
