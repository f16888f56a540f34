//! Which packages and revisions can't be beside each other in a repository, by their full paths, and the sentences for it.

use super::{PackageKey, RevisionKey};

/// How a new package is in the way of one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is there.
    Same,
    /// One would be inside the other, which is named.
    Nested(String),
}

impl Overlap {
    /// Returns the sentence for it.
    #[must_use]
    pub fn told(&self, new: &PackageKey) -> String {
        let (package, repository) = (&new.package, &new.repository);
        match self {
            Self::Same => {
                format!("package {package:?} already exists in repository {repository:?}")
            }
            Self::Nested(existing) => format!(
                "package path {package:?} conflicts with existing package {existing:?}: packages cannot be nested"
            ),
        }
    }
}

/// Returns how a new package is in the way of one of a repository; that it is there goes before that it is inside another.
pub fn overlap<'a>(
    new_package: &str,
    existing: impl IntoIterator<Item = &'a str>,
) -> Option<Overlap> {
    let mut nested = None;
    for package in existing {
        if package == new_package {
            return Some(Overlap::Same);
        }
        if is_inside(package, new_package) || is_inside(new_package, package) {
            nested.get_or_insert_with(|| Overlap::Nested(package.into()));
        }
    }
    nested
}

fn is_inside(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the sentence for a workspace that another revision of the package has.
#[must_use]
pub fn workspace_taken(key: &RevisionKey) -> String {
    format!(
        "package revision workspaceNames must be unique; package revision with name {} in repo {} with workspaceName {} already exists",
        key.package.package, key.package.repository, key.workspace
    )
}

/// Returns the sentence for a clone of what is there already.
#[must_use]
pub fn clone_exists(key: &PackageKey) -> String {
    format!(
        "`clone` cannot create a new revision for package {:?} that already exists in repo {:?}; make subsequent revisions using `copy`",
        key.package, key.repository
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_compared_by_their_full_paths() {
        let existing = ["parent", "a/b/c", "pkg-other", "x/y"];
        let nested = |name: &str| Some(Overlap::Nested(name.into()));
        for (new, want) in [
            ("parent", Some(Overlap::Same)),
            ("parent/child", nested("parent")),
            ("a/b", nested("a/b/c")),
            ("a", nested("a/b/c")),
            ("a/b/c/d/e", nested("a/b/c")),
            ("c", None),
            ("b/c", None),
            ("pkg", None),
            ("parent2", None),
            ("x/z", None),
        ] {
            assert_eq!(overlap(new, existing), want, "{new}");
        }
        assert_eq!(overlap("a", ["a/b", "a"]), Some(Overlap::Same));
    }

    #[test]
    fn the_sentences_are_upstreams() {
        let package = PackageKey {
            repository: "git".into(),
            package: "a/b".into(),
        };
        let key = RevisionKey {
            package: package.clone(),
            workspace: "w".into(),
        };
        assert_eq!(
            Overlap::Same.told(&package),
            "package \"a/b\" already exists in repository \"git\""
        );
        assert_eq!(
            Overlap::Nested("a".into()).told(&package),
            "package path \"a/b\" conflicts with existing package \"a\": packages cannot be nested"
        );
        assert_eq!(
            workspace_taken(&key),
            "package revision workspaceNames must be unique; package revision with name a/b in repo git with workspaceName w already exists"
        );
        assert_eq!(
            clone_exists(&package),
            "`clone` cannot create a new revision for package \"a/b\" that already exists in repo \"git\"; make subsequent revisions using `copy`"
        );
    }
}
