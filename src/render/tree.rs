//! The packages in a package, and which resources are whose.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audience, Item, Place, krm, layout::Layout};
use crate::package::{Files, IGNORED, Ignored, KPTFILE};

/// A package with its subpackages.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// Directories of the packages, the root's is empty.
    pub(super) packages: BTreeSet<&'a str>,
    /// Files of resources by their paths from the root.
    pub(super) layouts: BTreeMap<&'a str, Layout<'a>>,
    /// What packages ignore, by their directories.
    ignored: BTreeMap<&'a str, Ignored>,
}

impl<'a> Tree<'a> {
    /// Returns what is in the files of a package.
    ///
    /// # Errors
    /// A sentence: a file of resources can't be read, or nobody waits for it.
    pub(super) fn read(files: &'a Files, audience: &Audience) -> Result<Self, String> {
        let kptfiles = files.keys().filter_map(|path| path.strip_suffix(KPTFILE));
        let is_directory = |directory: &&str| directory.is_empty() || directory.ends_with('/');
        let packages = kptfiles.filter(is_directory);
        let packages = packages
            .map(|directory| directory.trim_end_matches('/'))
            .collect();
        let mut tree = Self {
            packages,
            layouts: BTreeMap::new(),
            ignored: BTreeMap::new(),
        };
        for package in &tree.packages {
            let path = krm::joined(package, IGNORED);
            if let Some(content) = files.get(&path) {
                let rules = Ignored::of(content).map_err(|why| format!("{path}: {why}"))?;
                tree.ignored.insert(package, rules);
            }
        }
        for (path, content) in files {
            if krm::is_resource(path) && !tree.is_ignored(path) {
                audience.check()?;
                let text =
                    std::str::from_utf8(content).map_err(|_| format!("{path}: it is not UTF-8"))?;
                let layout = Layout::read(text).map_err(|why| format!("{path}: {why}"))?;
                tree.layouts.insert(path, layout);
            }
        }
        Ok(tree)
    }

    /// Returns the package of a file, and the file's path from there.
    pub(super) fn home<'p>(&self, path: &'p str) -> (&'p str, &'p str) {
        let ends = path.rmatch_indices('/').map(|(at, _)| at);
        let mut outer = ends.filter(|at| self.packages.contains(&path[..*at]));
        outer
            .next()
            .map_or(("", path), |at| (&path[..at], &path[at + 1..]))
    }

    /// Returns whether no function sees a file. One package's rules say nothing of another's files.
    pub(super) fn is_ignored(&self, path: &str) -> bool {
        let (package, path) = self.home(path);
        let rules = self.ignored.get(package);
        rules.is_some_and(|rules| rules.has(path))
    }

    /// Returns the resources of all packages; those of a package in the order of a walk through its directories.
    ///
    /// # Errors
    /// A sentence: a document is no resource.
    pub(super) fn items(&self) -> Result<Vec<Item>, String> {
        let mut paths: Vec<&str> = self.layouts.keys().copied().collect();
        paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        let mut items = Vec::new();
        for path in paths {
            let (package, name) = self.home(path);
            for (index, document) in self.layouts[path].documents.iter().enumerate() {
                if let Some(why) = krm::problem(path, &document.value) {
                    return Err(format!(
                        "input resource list must contain only KRM resources: {path}: {why}"
                    ));
                }
                let place = Place {
                    package: package.into(),
                    path: name.into(),
                    index,
                };
                let object = document.value.clone();
                let text = document.text.into();
                items.push(Item {
                    object,
                    place,
                    text,
                });
            }
        }
        Ok(items)
    }

    /// Returns the packages in the order in which a parent comes before its children: branch by branch, or level by level.
    pub(super) fn parents_first(&self, by_levels: bool) -> Vec<&'a str> {
        let mut packages: Vec<&str> = self.packages.iter().copied().collect();
        let level = |package: &str| {
            let above = self
                .packages
                .iter()
                .filter(|other| krm::is_inside(package, other));
            if by_levels { above.count() } else { 0 }
        };
        packages.sort_by_cached_key(|package| (level(package), parts(package)));
        packages
    }

    /// Returns the packages in the order in which children come before their parents.
    pub(super) fn children_first(&self) -> Vec<&'a str> {
        let mut packages: Vec<&str> = self.packages.iter().copied().collect();
        // The package itself comes behind everything that its directory holds.
        packages.sort_by_cached_key(|package| {
            let parts = parts(package).into_iter().map(|part| (false, part));
            parts.chain([(true, "")]).collect::<Vec<_>>()
        });
        packages
    }
}

/// Returns the parts of a path; none of an empty one.
fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Files {
        let pairs = pairs.iter();
        pairs
            .map(|(path, text)| ((*path).into(), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn parents_come_first_or_last() {
        let paths = [
            "Kptfile",
            "a/Kptfile",
            "a/b/c/Kptfile",
            "a-x/Kptfile",
            "b/c/Kptfile",
            "xKptfile",
            "d/x.yaml",
        ];
        let files = files(&paths.map(|path| (path, "")));
        let tree = Tree::read(&files, &Audience::default()).unwrap();
        assert_eq!(tree.parents_first(false), ["", "a", "a/b/c", "a-x", "b/c"]);
        assert_eq!(tree.parents_first(true), ["", "a", "a-x", "b/c", "a/b/c"]);
        assert_eq!(tree.children_first(), ["a/b/c", "a", "a-x", "b/c", ""]);
        for (path, home) in [
            ("x.yaml", ("", "x.yaml")),
            ("b/x.yaml", ("", "b/x.yaml")),
            ("a/b/c", ("a", "b/c")),
            ("a/b/c/d", ("a/b/c", "d")),
            ("a-y/d", ("", "a-y/d")),
        ] {
            assert_eq!(tree.home(path), home);
        }
    }

    #[test]
    fn resources_are_those_of_files_that_are_not_ignored() {
        let one = "apiVersion: v1\nkind: K\nmetadata: {name: n}\n";
        let files = files(&[
            ("Kptfile", one),
            (".krmignore", "*.json\nsub\n"),
            ("a/z.yml", one),
            ("a.yaml", &format!("---\n{one}---\n# nothing\n---\n{one}")),
            ("a-b.yaml", "# nothing\n"),
            ("x.json", "not: [json"),
            ("text.txt", "not: [yaml"),
            ("sub/Kptfile", one),
            (
                "sub/x.json",
                "{\"apiVersion\": \"v1\", \"kind\": \"K\", \"metadata\": {\"name\": \"n\"}}",
            ),
        ]);
        let tree = Tree::read(&files, &Audience::default()).unwrap();
        let items = tree.items().unwrap();
        let places: Vec<_> = items
            .iter()
            .map(|item| (&*item.place.package, &*item.place.path, item.place.index))
            .collect();
        assert_eq!(
            places,
            [
                ("", "Kptfile", 0),
                ("", "a/z.yml", 0),
                ("", "a.yaml", 0),
                ("", "a.yaml", 1),
                ("sub", "Kptfile", 0),
                ("sub", "x.json", 0)
            ]
        );
    }

    #[test]
    fn what_is_no_resource_is_told_with_its_file() {
        for (content, word) in [
            ("a: [", "d/a.yaml: "),
            ("a: b\n", "d/a.yaml: resource must have"),
            ("- a\n", "only KRM"),
        ] {
            let files = files(&[("Kptfile", ""), ("d/a.yaml", content)]);
            let told = Tree::read(&files, &Audience::default()).and_then(|tree| tree.items());
            let told = told.unwrap_err();
            assert!(told.contains(word), "{told}");
        }
    }
}
