//! From which revisions a new one may be made.

use crate::package::{
    Lifecycle, PLACEHOLDER, PackageKey, RevisionKey, Violation, strategy::task::TASK,
};

/// A revision that a task names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Which one it is.
    pub key: &'a RevisionKey,
    /// Its number.
    pub revision: i64,
    /// Where in its life it is.
    pub lifecycle: Lifecycle,
}

impl Source<'_> {
    /// Returns whether this is a package as it is on the repository's branch.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.revision == PLACEHOLDER
    }

    fn placeholder(&self) -> String {
        let (repository, name) = (&self.key.package.repository, self.key.name());
        format!("revision may not be the placeholder package revision {repository}/{name}")
    }
}

/// Returns why a revision can't be cloned. Drafts can, as upstream has it.
#[must_use]
pub fn clone_source(source: Source) -> Option<Violation> {
    let field = format!("{TASK}.clone.upstreamRef.upstreamRef.name");
    let why = format!("upstream {}", source.placeholder());
    source
        .is_placeholder()
        .then(|| Violation::invalid(field, source.key.name(), why))
}

/// Returns why a revision can't be copied to a new one of `target`.
#[must_use]
pub fn edit_source(target: &PackageKey, source: Source) -> Option<Violation> {
    let why = if source.key.package != *target {
        let (repository, package) = (&target.repository, &target.package);
        format!("source revision must be from same package {repository}/{package}")
    } else if source.is_placeholder() {
        format!("source {}", source.placeholder())
    } else if !source.lifecycle.is_published() {
        "source revision must be published".into()
    } else {
        return None;
    };
    let field = format!("{TASK}.edit.sourceRef.name");
    Some(Violation::invalid(field, source.key.name(), why))
}

/// Returns why a workspace can't be one of a new revision in a repository with this branch: its name would be that of the package's
/// placeholder.
#[must_use]
pub fn reserved_workspace(workspace: &str, branch: &str) -> Option<Violation> {
    let why = "is the repository's branch, whose placeholder has this name";
    (workspace == branch).then(|| Violation::invalid("spec.workspaceName", workspace, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(package: &str) -> RevisionKey {
        let (repository, package) = ("r".into(), package.into());
        let package = PackageKey {
            repository,
            package,
        };
        let workspace = "w".into();
        RevisionKey { package, workspace }
    }

    #[test]
    fn sources_are_refused_in_upstreams_words() {
        use Lifecycle::{DeletionProposed, Draft, Proposed, Published};
        let same = "source revision must be from same package r/a/b";
        let placeholder = "revision may not be the placeholder package revision r/r.a.b.w";
        let published = "source revision must be published";
        for (package, revision, lifecycle, cloned, edited) in [
            ("a/b", 1, Published, "", ""),
            ("a/b", 1, DeletionProposed, "", ""),
            ("a/b", 0, Draft, "", published),
            ("a/b", 0, Proposed, "", published),
            ("b", 1, Published, "", same),
            ("a/b", -1, Published, placeholder, placeholder),
        ] {
            let key = key(package);
            let source = Source {
                key: &key,
                revision,
                lifecycle,
            };
            let told =
                |wrong: Option<Violation>| wrong.map(|wrong| wrong.detail).unwrap_or_default();
            let (clone, edit) = (
                told(clone_source(source)),
                told(edit_source(&self::key("a/b").package, source)),
            );
            assert!(
                clone.ends_with(cloned) && clone.is_empty() == cloned.is_empty(),
                "{clone}"
            );
            assert!(
                edit.ends_with(edited) && edit.is_empty() == edited.is_empty(),
                "{edit}"
            );
        }
        assert_eq!(reserved_workspace("v1", "main"), None);
        assert_eq!(
            reserved_workspace("main", "main").unwrap().field,
            "spec.workspaceName"
        );
    }
}
