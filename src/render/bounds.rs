//! What a function must not do, whoever wrote it: leave its package, put two resources in one place, touch what is no resource, make
//! what is none, or take away the package itself.

use std::collections::HashSet;

use serde_json::Value;

use super::{Item, Place, krm, tree::Tree};
use crate::package::{Files, KPTFILE};

/// The bounds of the functions of a package.
pub(super) struct Bounds<'a> {
    pub(super) tree: &'a Tree<'a>,
    pub(super) files: &'a Files,
    /// Directory of the package.
    pub(super) package: &'a str,
}

impl Bounds<'_> {
    /// Returns what a function made, with every resource in its place; one without a path gets one, named for its kind and name, in
    /// `directory` of the package.
    ///
    /// # Errors
    /// A sentence: the function did what it must not do to a resource.
    pub(super) fn placed(&self, items: Vec<Item>, directory: &str) -> Result<Vec<Item>, String> {
        let items = items.into_iter();
        items
            .map(|item| self.placed_item(item, directory))
            .collect()
    }

    fn placed_item(&self, mut item: Item, directory: &str) -> Result<Item, String> {
        let place = &item.place;
        let path = if place.path.is_empty() {
            krm::joined(directory, &default_path(&item.object))
        } else {
            place.path.clone()
        };
        // One that names no package is of this one.
        let package = if place.package.is_empty() {
            self.package
        } else {
            &place.package
        };
        let outside = || {
            format!(
                "function must not modify resources outside of package: resource has path {path}"
            )
        };
        let path_there = krm::cleaned(&path)
            .filter(|path| !path.is_empty())
            .ok_or_else(outside)?;
        let full = krm::cleaned(&krm::joined(package, &path_there)).ok_or_else(outside)?;
        let (home, name) = self.tree.home(&full);
        if !krm::is_inside(home, self.package) || !krm::is_inside(&full, self.package) {
            return Err(outside());
        }
        self.check_file(&full)?;
        if let Some(why) = krm::problem(&full, &item.object) {
            return Err(format!(
                "output resource list must contain only KRM resources: {full}: {why}"
            ));
        }
        item.place = Place {
            package: home.into(),
            path: name.into(),
            index: place.index,
        };
        Ok(item)
    }

    fn check_file(&self, full: &str) -> Result<(), String> {
        if self.tree.layouts.contains_key(full) {
            return Ok(());
        }
        if self.files.contains_key(full) {
            return Err(format!(
                "function must not overwrite {full:?}, which holds no resources that functions are given"
            ));
        }
        if !krm::is_resource(full) || self.tree.is_ignored(full) {
            return Err(format!(
                "function must not write {full:?}: a file of resources ends in .yaml, .yml or .json and is not ignored"
            ));
        }
        Ok(())
    }
}

/// What of resources must not be lost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    /// There are any.
    has_any: bool,
    /// The Kptfile of the root package is one of them.
    has_root: bool,
}

impl Summary {
    pub(super) fn of(items: &[Item]) -> Self {
        Self {
            has_any: !items.is_empty(),
            has_root: items.iter().any(is_root),
        }
    }
}

/// Returns nothing when what a function's resources became can go on; `before` is what they were.
///
/// # Errors
/// A sentence: two are in one place, or the package is gone.
pub(super) fn check(before: Summary, after: &[Item]) -> Result<(), String> {
    let mut taken = HashSet::new();
    for Item { place, .. } in after {
        if !taken.insert(place) {
            let path = krm::joined(&place.package, &place.path);
            return Err(format!(
                "resource at path {path:?} and index \"{}\" already exists",
                place.index
            ));
        }
    }
    let now = Summary::of(after);
    if before.has_any && !now.has_any {
        return Err("function returned no resources: a package must not lose them all".into());
    }
    if before.has_root && !now.has_root {
        return Err("function must not delete the Kptfile of the package".into());
    }
    Ok(())
}

/// Returns whether a resource is the Kptfile of the root package.
fn is_root(item: &Item) -> bool {
    let place = &item.place;
    place.package.is_empty()
        && place.path == KPTFILE
        && item.object["kind"] == "Kptfile"
        && item.object["apiVersion"] == "kpt.dev/v1"
}

/// Returns the path of a resource that has none.
fn default_path(object: &Value) -> String {
    let text = |pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().replace('/', "_")
    };
    let (kind, name) = (text("/kind").to_lowercase(), text("/metadata/name"));
    krm::joined(&text("/metadata/namespace"), &format!("{kind}_{name}.yaml"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Audience, *};

    fn files() -> Files {
        let kptfile = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: p}\n";
        let pairs = [
            ("Kptfile", kptfile),
            ("a.yaml", "apiVersion: v1\nkind: K\nmetadata: {name: a}\n"),
            ("README.md", "# readme\n"),
            (".krmignore", "secret.yaml\n"),
            ("secret.yaml", "x"),
            ("sub/Kptfile", kptfile),
            ("sub/deep/Kptfile", kptfile),
        ];
        pairs
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into()
    }

    fn item(package: &str, path: &str) -> Item {
        Item {
            object: json!({"apiVersion": "v1", "kind": "Kind", "metadata": {"name": "n", "namespace": "s"}}),
            place: Place {
                package: package.into(),
                path: path.into(),
                index: 0,
            },
            text: "".into(),
        }
    }

    fn placed(package: &str, item: Item) -> Result<String, String> {
        let files = files();
        let tree = Tree::read(&files, &Audience::default()).unwrap();
        let bounds = Bounds {
            tree: &tree,
            files: &files,
            package,
        };
        let items = bounds.placed(vec![item], "conf")?;
        Ok(format!(
            "{}:{}",
            items[0].place.package, items[0].place.path
        ))
    }

    #[test]
    fn every_resource_gets_its_place_in_the_package() {
        for (package, item, want) in [
            ("", item("", "a.yaml"), ":a.yaml"),
            ("", item("", ""), ":conf/s/kind_n.yaml"),
            ("", item("", "./x/../b.yaml"), ":b.yaml"),
            ("", item("", "sub/x.yaml"), "sub:x.yaml"),
            ("", item("sub", "deep/x.yaml"), "sub/deep:x.yaml"),
            ("", item("new", "x.json"), ":new/x.json"),
            ("sub", item("", "x.yaml"), "sub:x.yaml"),
            ("sub", item("sub", ""), "sub:conf/s/kind_n.yaml"),
            ("sub", item("sub/deep", "x.yml"), "sub/deep:x.yml"),
        ] {
            assert_eq!(placed(package, item).as_deref(), Ok(want));
        }
    }

    #[test]
    fn no_resource_leaves_its_package_or_takes_the_place_of_a_file() {
        for (package, item, word) in [
            (
                "",
                item("", "../x.yaml"),
                "outside of package: resource has path ../x.yaml",
            ),
            ("", item("", "a/../../x.yaml"), "outside of package"),
            ("", item("", "/etc/x.yaml"), "outside of package"),
            ("", item("", ".."), "outside of package"),
            ("", item("", "."), "outside of package"),
            ("", item("..", "x.yaml"), "outside of package"),
            ("", item("a/../..", "x.yaml"), "outside of package"),
            ("sub", item("sub", "../a.yaml"), "outside of package"),
            ("sub", item("sub/..", "a.yaml"), "outside of package"),
            ("sub", item("other", "a.yaml"), "outside of package"),
            ("sub", item("subs", "a.yaml"), "outside of package"),
            (
                "",
                item("", "README.md"),
                "must not overwrite \"README.md\"",
            ),
            (
                "",
                item("", "secret.yaml"),
                "must not overwrite \"secret.yaml\"",
            ),
            (
                "",
                item("", "d/secret.yaml"),
                "must not write \"d/secret.yaml\"",
            ),
            ("", item("", "x.txt"), "must not write \"x.txt\""),
            (
                "",
                Item {
                    object: json!({"kind": "K"}),
                    ..item("", "b.yaml")
                },
                "only KRM resources: b.yaml: ",
            ),
            (
                "",
                Item {
                    object: json!(null),
                    ..item("", "b.yaml")
                },
                "only KRM resources: b.yaml: ",
            ),
        ] {
            let told = format!("{package} {:?}", item.place);
            let got = placed(package, item).unwrap_err();
            assert!(got.contains(word), "{told}: {got}");
        }
        let mut odd = item("", "");
        odd.object["metadata"]["name"] = "../../x".into();
        assert_eq!(placed("", odd).unwrap(), ":conf/s/kind_.._.._x.yaml");
    }

    #[test]
    fn a_package_keeps_its_kptfile_and_a_place_its_resource() {
        let files = files();
        let tree = Tree::read(&files, &Audience::default()).unwrap();
        let before = tree.items().unwrap();
        let summary = Summary::of(&before);
        assert_eq!(check(summary, &before), Ok(()));
        assert_eq!(check(Summary::default(), &[]), Ok(()));
        let mut renamed = before.clone();
        renamed[0].object["kind"] = "Other".into();
        for (after, word) in [
            (vec![], "returned no resources"),
            (before[1..].to_vec(), "must not delete the Kptfile"),
            (renamed, "must not delete the Kptfile"),
            (
                [&before[..], &before[1..2]].concat(),
                "resource at path \"a.yaml\" and index \"0\" already exists",
            ),
        ] {
            assert!(check(summary, &after).unwrap_err().contains(word), "{word}");
        }
    }
}
