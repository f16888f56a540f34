//! A package made from another one: its files, under a new name, with where they came from.

use super::{context, merge_key};
use crate::package::{
    Files, KPTFILE, Problem,
    kptfile::{self, Change, Origin},
};

/// What a clone becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloneTarget {
    /// `spec.packageName` of the new package.
    pub name: String,
    /// Where the files came from.
    pub origin: Origin,
    /// In a repository of deployments: the path of the package below its parents, see [`super::package_path`].
    pub deployed_as: Option<String>,
}

/// Returns the files of a clone. Comments, order and unknown fields stay; what can't be parsed beside the Kptfile stays as it is.
///
/// # Errors
/// [`Problem::NoKptfile`]; [`Problem::Unreadable`]; [`Problem::Unwritable`].
pub fn clone(mut source: Files, target: &CloneTarget) -> Result<Files, Problem> {
    let Some(content) = source.get(KPTFILE) else {
        return Err(Problem::NoKptfile(target.name.clone()));
    };
    let changes = [
        Change::Name(target.name.clone()),
        Change::Origin(target.origin.clone()),
    ];
    let kptfile = kptfile::edit(content, &changes)?;
    source.insert(KPTFILE.into(), kptfile);
    if let Some(path) = &target.deployed_as {
        source = context::with_context(source, &target.name, path);
    }
    Ok(merge_key::mark(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(deployed_as: Option<&str>) -> CloneTarget {
        CloneTarget {
            name: "net/me".into(),
            origin: Origin {
                repo: "http://h/blueprints".into(),
                directory: "/basens".into(),
                reference: "basens/v1".into(),
                commit: "67f2954".into(),
            },
            deployed_as: deployed_as.map(str::to_owned),
        }
    }

    fn source() -> Files {
        let kptfile = "apiVersion: kpt.dev/v1\nkind: Kptfile\n# the name\nmetadata:\n  name: basens\nupstream: # from here\n  type: git\n  git:\n    repo: old\n    directory: d\n    ref: main\n  updateStrategy: fast-forward\nunheard: of\ninfo:\n  description: d # about\n";
        let namespace =
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: example # kpt-set: ${name}\n";
        let files = [
            ("Kptfile", kptfile),
            ("namespace.yaml", namespace),
            ("README.md", "# x\n"),
            ("bad.yaml", "{{ if }}\n"),
        ];
        files
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn a_clone_keeps_what_it_does_not_change() {
        let files = clone(source(), &target(None)).unwrap();
        let text = |path: &str| String::from_utf8(files[path].clone()).unwrap();
        let git = "  type: git\n  git:\n    repo: http://h/blueprints.git\n    directory: basens\n    ref: basens/v1\n";
        assert_eq!(
            text("Kptfile"),
            format!(
                "apiVersion: kpt.dev/v1\nkind: Kptfile\n# the name\nmetadata: # kpt-merge: /net/me\n  name: net/me\n  annotations:\n    internal.kpt.dev/upstream-identifier: 'kpt.dev|Kptfile|default|net/me'\nupstream: # from here\n{git}upstreamLock:\n{git}    commit: 67f2954\nunheard: of\ninfo:\n  description: d # about\n"
            )
        );
        assert_eq!(
            text("namespace.yaml"),
            "apiVersion: v1\nkind: Namespace\nmetadata: # kpt-merge: /example\n  name: example # kpt-set: ${name}\n  annotations:\n    internal.kpt.dev/upstream-identifier: '|Namespace|default|example'\n"
        );
        assert_eq!(
            (files.len(), text("README.md"), text("bad.yaml")),
            (4, "# x\n".into(), "{{ if }}\n".into())
        );
        let before = files.clone();
        assert_eq!(clone(files, &target(None)).unwrap(), before);
    }

    #[test]
    fn a_deployed_clone_has_a_context() {
        let files = clone(source(), &target(Some("parent/net/me"))).unwrap();
        let context = String::from_utf8(files[context::CONTEXT_FILE].clone()).unwrap();
        assert_eq!(
            context,
            "apiVersion: v1\nkind: ConfigMap\nmetadata: # kpt-merge: /kptfile.kpt.dev\n  name: kptfile.kpt.dev\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\n    internal.kpt.dev/upstream-identifier: '|ConfigMap|default|kptfile.kpt.dev'\ndata:\n  name: net/me\n  package-path: parent/net/me\n"
        );
    }

    #[test]
    fn what_is_no_package_is_no_source() {
        let mut files = source();
        files.remove(KPTFILE);
        assert_eq!(
            clone(files.clone(), &target(None)),
            Err(Problem::NoKptfile("net/me".into()))
        );
        files.insert(KPTFILE.into(), b"not: [yaml".to_vec());
        assert!(matches!(
            clone(files, &target(None)),
            Err(Problem::Unreadable(_))
        ));
    }
}
