//! A package moved to a newer upstream: its files merged, with where they come from now.

use super::merge_key;
use crate::package::{
    Files, KPTFILE, Problem,
    kptfile::{self, Change, Origin},
    upgrade::{self, Strategy, UpgradeError},
};

/// What an upgrade becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeTarget {
    /// `spec.packageName` of the package.
    pub name: String,
    /// Where the new upstream's files came from.
    pub origin: Origin,
    /// How local changes and upstream's come together.
    pub strategy: Strategy,
}

/// Returns the files of an upgraded package: those of `local`, moved from the upstream `old` to the upstream `new`. Its name stays; its
/// `upstream` and `upstreamLock` are the new ones, and its resources have marks for the next upgrade.
///
/// # Errors
/// [`UpgradeError`].
pub fn upgrade(
    old: &Files,
    new: &Files,
    local: &Files,
    target: &UpgradeTarget,
) -> Result<Files, UpgradeError> {
    let mut files = upgrade::upgrade(old, new, local, target.strategy)?;
    let Some(content) = files.get(KPTFILE) else {
        return Err(Problem::NoKptfile(target.name.clone()).into());
    };
    let kptfile = kptfile::edit(content, &[Change::Origin(target.origin.clone())])?;
    files.insert(KPTFILE.into(), kptfile);
    Ok(merge_key::mark(files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tasks::{CloneTarget, clone};

    fn origin(reference: &str) -> Origin {
        Origin {
            repo: "http://h/blueprints.git".into(),
            directory: "basens".into(),
            reference: reference.into(),
            commit: format!("commit-of-{reference}"),
        }
    }

    fn target(strategy: Strategy) -> UpgradeTarget {
        UpgradeTarget {
            name: "mine".into(),
            origin: origin("basens/v2"),
            strategy,
        }
    }

    fn files(all: &[(&str, &str)]) -> Files {
        let all = all.iter();
        all.map(|(path, text)| ((*path).into(), text.as_bytes().to_vec()))
            .collect()
    }

    fn text<'a>(files: &'a Files, path: &str) -> &'a str {
        std::str::from_utf8(&files[path]).unwrap()
    }

    const KPTFILE_TEXT: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: basens\ninfo:\n  description: d # about\n";
    const QUOTA: &str = "apiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: q\nspec:\n  memory: 40G # kpt-set: ${m}\n";
    const GONE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: gone\n";

    /// Returns two versions of an upstream, and a clone of the first.
    fn scene() -> (Files, Files, Files) {
        let old = files(&[
            ("Kptfile", KPTFILE_TEXT),
            ("quota.yaml", QUOTA),
            ("gone.yaml", GONE),
        ]);
        let more = QUOTA.replace("40G", "60G");
        let new = files(&[
            ("Kptfile", &KPTFILE_TEXT.replace("d # about", "e # about")),
            ("quota.yaml", &more),
            ("new.yaml", &GONE.replace("gone", "new")),
        ]);
        let clone_target = CloneTarget {
            name: "mine".into(),
            origin: origin("basens/v1"),
            deployed_as: None,
        };
        let local = clone(old.clone(), &clone_target).unwrap();
        (old, new, local)
    }

    #[test]
    fn a_clone_that_nobody_changed_becomes_a_clone_of_the_new_upstream() {
        let (old, new, local) = scene();
        let cloned = CloneTarget {
            name: "mine".into(),
            origin: origin("basens/v2"),
            deployed_as: None,
        };
        let mut want = clone(new.clone(), &cloned).unwrap();
        let kptfile = text(&want, "Kptfile").to_owned();
        for strategy in [
            Strategy::ResourceMerge,
            Strategy::FastForward,
            Strategy::ForceDeleteReplace,
            Strategy::CopyMerge,
        ] {
            let got = upgrade(&old, &new, &local, &target(strategy)).unwrap();
            assert_eq!(text(&got, "Kptfile"), kptfile, "{strategy:?}");
            want.insert("Kptfile".into(), got["Kptfile"].clone());
            assert_eq!(got, want, "{strategy:?}");
        }
    }

    #[test]
    fn a_changed_clone_keeps_its_changes_and_takes_upstreams() {
        let (old, new, mut local) = scene();
        let quota = text(&local, "quota.yaml").replace("name: q", "name: 'ours'");
        local.insert("quota.yaml".into(), quota.clone().into_bytes());
        local.insert("own.yaml".into(), GONE.replace("gone", "own").into_bytes());
        let got = upgrade(&old, &new, &local, &target(Strategy::ResourceMerge)).unwrap();
        assert_eq!(text(&got, "quota.yaml"), quota.replace("40G", "60G"));
        let paths: Vec<_> = got.keys().map(String::as_str).collect();
        assert_eq!(paths, ["Kptfile", "new.yaml", "own.yaml", "quota.yaml"]);
        assert!(text(&got, "new.yaml").contains("# kpt-merge: /new"));
        assert!(
            text(&got, "Kptfile").contains("ref: basens/v2\n    commit: commit-of-basens/v2\n")
        );
        // The next one finds nothing to do.
        let again = upgrade(&new, &new, &got, &target(Strategy::ResourceMerge)).unwrap();
        assert_eq!(again, got);
    }

    #[test]
    fn what_has_no_kptfile_is_no_package() {
        let none = files(&[("a.txt", "a")]);
        let got = upgrade(&none, &none, &none, &target(Strategy::CopyMerge));
        assert_eq!(
            got,
            Err(UpgradeError::Kptfile(Problem::NoKptfile("mine".into())))
        );
    }
}
