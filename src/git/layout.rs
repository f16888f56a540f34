//! What a ref name means (upstream's Git layout). Pure: names in, meanings out; no object is read.

use super::refs::Refs;
use crate::package::{Lifecycle, PLACEHOLDER};

/// What part of a repository is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The branch that published packages are on.
    pub branch: String,
    /// The directory that holds the packages, without `/` at its ends; empty for the root.
    pub directory: String,
}

impl Scope {
    /// Returns the scope of a branch and a directory as users write them.
    #[must_use]
    pub fn new(branch: &str, directory: &str) -> Self {
        let parts = directory
            .split('/')
            .filter(|part| !matches!(*part, "" | "."));
        Self {
            branch: branch.into(),
            directory: parts.collect::<Vec<_>>().join("/"),
        }
    }

    /// Returns the full name of the registered branch.
    #[must_use]
    pub fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Returns the name of the package in a directory of the repository: empty for the registered directory itself,
    /// nothing for one outside it.
    #[must_use]
    pub fn package<'a>(&self, directory: &'a str) -> Option<&'a str> {
        if self.directory.is_empty() {
            return Some(directory);
        }
        let rest = directory.strip_prefix(self.directory.as_str())?;
        if rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix('/')
        }
    }

    /// Returns the directory of a package in the repository.
    #[must_use]
    pub fn full_path(&self, package: &str) -> String {
        match (self.directory.is_empty(), package.is_empty()) {
            (true, _) => package.into(),
            (_, true) => self.directory.clone(),
            _ => format!("{}/{package}", self.directory),
        }
    }
}

/// What a ref is. `directory` is the full path of the package, always within the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefKind {
    /// The registered branch.
    Branch,
    /// A draft.
    Draft {
        /// Full path of the package.
        directory: String,
        /// Its workspace.
        workspace: String,
    },
    /// A proposal.
    Proposed {
        /// Full path of the package.
        directory: String,
        /// Its workspace.
        workspace: String,
    },
    /// A tag that may be a published revision.
    Tag {
        /// Full path of the package.
        directory: String,
        /// What follows: `v1`, or anything else.
        text: String,
    },
    /// The mark that the deletion of a published revision is proposed.
    DeletionProposed {
        /// Full path of the package.
        directory: String,
        /// `v1`, or the workspace of a revision without a number.
        text: String,
    },
    /// A draft or proposal without a workspace: nothing that Porch makes.
    Malformed,
    /// Anything else: other branches, other tags, what is outside the directory.
    Other,
}

/// Returns what the ref of this full name is.
#[must_use]
pub fn classify(name: &str, scope: &Scope) -> RefKind {
    if name.strip_prefix("refs/heads/") == Some(&scope.branch) {
        return RefKind::Branch;
    }
    if let Some(rest) = name.strip_prefix("refs/tags/") {
        return within(rest, scope).map_or(RefKind::Other, |(directory, text)| RefKind::Tag {
            directory,
            text,
        });
    }
    let Some((kind, rest)) = name
        .strip_prefix("refs/heads/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return RefKind::Other;
    };
    if matches!(kind, "drafts" | "proposed") && !rest.contains('/') {
        return RefKind::Malformed;
    }
    let Some((directory, last)) = within(rest, scope) else {
        return RefKind::Other;
    };
    match kind {
        "drafts" => RefKind::Draft {
            directory,
            workspace: last,
        },
        "proposed" => RefKind::Proposed {
            directory,
            workspace: last,
        },
        "deletionProposed" => RefKind::DeletionProposed {
            directory,
            text: last,
        },
        _ => RefKind::Other,
    }
}

/// Returns the directory and what follows its last `/`, if that directory is in the scope.
fn within(rest: &str, scope: &Scope) -> Option<(String, String)> {
    let (directory, last) = rest.rsplit_once('/')?;
    scope.package(directory)?;
    Some((directory.into(), last.into()))
}

/// Returns the name of a ref as people say it: `basens/v1` for `refs/tags/basens/v1`.
#[must_use]
pub fn short_name(name: &str) -> &str {
    let known = ["refs/heads/", "refs/tags/"];
    let short = known.iter().find_map(|prefix| name.strip_prefix(prefix));
    short.unwrap_or(name)
}

/// Returns the name of the ref that marks a published revision as proposed for deletion. `directory` is the full path.
#[must_use]
pub fn deletion_ref(directory: &str, workspace: &str, revision: i64) -> String {
    if revision > 0 {
        format!("refs/heads/deletionProposed/{directory}/v{revision}")
    } else {
        format!("refs/heads/deletionProposed/{directory}/{workspace}")
    }
}

/// Returns the lifecycle of a revision from refs alone; no object is read. `reference` is its full ref, `directory` the
/// full path of its package.
#[must_use]
pub fn lifecycle(refs: &Refs, reference: &str, directory: &str, key: (&str, i64)) -> Lifecycle {
    let (workspace, revision) = key;
    if revision != PLACEHOLDER && reference.starts_with("refs/heads/drafts/") {
        return Lifecycle::Draft;
    }
    if revision != PLACEHOLDER && reference.starts_with("refs/heads/proposed/") {
        return Lifecycle::Proposed;
    }
    if refs.contains(&deletion_ref(directory, workspace, revision)) {
        Lifecycle::DeletionProposed
    } else {
        Lifecycle::Published
    }
}
