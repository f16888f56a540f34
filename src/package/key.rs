//! Names of package revisions and the keys behind them. A name is composed, never parsed: two keys can share one.

use std::fmt;

use super::syntax::{LABEL, NAME, is_label};

/// A package within its namespace: the Repository and the path below the Repository's directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageKey {
    /// Name of the Repository object.
    pub repository: String,
    /// Path of the package, `/` between directories, none at its ends.
    pub package: String,
}

/// A package revision within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionKey {
    /// The package.
    pub package: PackageKey,
    /// The workspace: unique within the package.
    pub workspace: String,
}

impl PackageKey {
    /// Returns the name of the `PorchPackage`: `<repository>.<path with dots>`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.repository, self.package.replace('/', "."))
    }
}

impl RevisionKey {
    /// Returns the name of the `PackageRevision`: `<repository>.<path with dots>.<workspace>`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.package.name(), self.workspace)
    }

    /// Returns why this key can have no object name, or nothing when it can: the package is the repository's root, or
    /// the composed name is no DNS subdomain (RFC 1123). What Git holds under such a key is told, not served.
    ///
    /// # Errors
    /// [`Unnameable`] with the reason as a sentence.
    pub fn check(&self) -> Result<(), Unnameable> {
        if self.package.package.is_empty() {
            return Err(Unnameable(
                "a package at the root of the registered directory has no name".into(),
            ));
        }
        let name = self.name();
        if name.len() > NAME {
            return Err(Unnameable(format!(
                "{name:?} must be no more than {NAME} characters"
            )));
        }
        for part in name.split('.') {
            if !is_label(part) {
                return Err(Unnameable(format!(
                    "{part:?} in {name:?} is no lowercase RFC 1123 label: only 'a' to 'z', '0' to '9' and '-', at most {LABEL}, alphanumeric at both ends"
                )));
            }
        }
        Ok(())
    }
}

/// Why a key can have no object name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnameable(String);

impl fmt::Display for Unnameable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Returns whether an object can have this name: what can't have been named need not be looked for.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME && text.split('.').all(is_label)
}

/// Returns the number of a revision from the last part of its ref: one leading `v` is dropped, the rest is a decimal
/// integer; anything else is -1 (upstream Git layout).
#[must_use]
pub fn revision_number(text: &str) -> i64 {
    text.strip_prefix('v').unwrap_or(text).parse().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(repository: &str, package: &str, workspace: &str) -> RevisionKey {
        let (repository, package) = (repository.into(), package.into());
        RevisionKey {
            package: PackageKey {
                repository,
                package,
            },
            workspace: workspace.into(),
        }
    }

    #[test]
    fn names_are_composed_of_repository_path_and_workspace() {
        assert_eq!(key("r", "net/upf", "w1").name(), "r.net.upf.w1");
        assert_eq!(key("r", "net/upf", "w1").package.name(), "r.net.upf");
        assert_eq!(key("r", "hello", "v1.2.3").name(), "r.hello.v1.2.3");
    }

    #[test]
    fn keys_without_a_legal_name_are_told_why() {
        let long = "x".repeat(64);
        let wide = vec!["x".repeat(60); 5].join("/");
        for (package, workspace, why) in [
            ("", "v1", "root"),
            ("Upper", "v1", "label"),
            ("a_b", "v1", "label"),
            ("a", "nested/release", "label"),
            ("a", "-x", "label"),
            ("a//b", "v1", "label"),
            (long.as_str(), "v1", "63"),
            (wide.as_str(), "v1", "253"),
        ] {
            let told = key("r", package, workspace)
                .check()
                .unwrap_err()
                .to_string();
            assert!(told.contains(why), "{package} {workspace}: {told}");
        }
        assert_eq!(key("r", "a/b", "v1.0").check(), Ok(()));
    }

    #[test]
    fn revision_numbers_are_upstreams() {
        for (text, number) in [
            ("v1", 1),
            ("1", 1),
            ("v01", 1),
            ("+2", 2),
            ("v-3", -3),
            ("V1", -1),
            ("v1.0.0", -1),
            ("main", -1),
            ("v0", 0),
            ("", -1),
            ("vv1", -1),
            ("99999999999999999999", -1),
        ] {
            assert_eq!(revision_number(text), number, "{text:?}");
        }
    }
}
