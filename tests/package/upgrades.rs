//! The packages of real repositories upgraded from each version to the next.

use std::{fmt::Write as _, sync::LazyLock};

use porch::{
    package::{
        Files,
        kptfile::{Origin, UPSTREAM_IDENTIFIER},
        tasks::{CloneTarget, UpgradeTarget, clone, upgrade},
        upgrade::{Strategy, UpgradeError},
    },
    yaml,
};
use serde_json::Value;

use crate::{
    packages::{Step, steps},
    repository::{Repository, bundles},
};

/// What a user of the test sets on resources.
const OURS: &str = "example.com/ours";
/// The comment that such a user writes above them.
const COMMENT: &str = "# this is ours\n";
/// Set to try every step, and not only some.
const EVERY: &str = "PORCH_TEST_ALL";
/// How many steps are tried, and how large the largest package is, in bytes: a build for tests is slow.
const MOST: usize = 12;
const LARGEST: usize = 20_000;
const ALL: [Strategy; 4] = [
    Strategy::ResourceMerge,
    Strategy::FastForward,
    Strategy::ForceDeleteReplace,
    Strategy::CopyMerge,
];

fn origin(reference: &str) -> Origin {
    Origin {
        repo: "https://example.com/x.git".into(),
        directory: "d".into(),
        reference: reference.into(),
        commit: "c".into(),
    }
}

fn cloned(files: &Files, reference: &str) -> Option<Files> {
    let target = CloneTarget {
        name: "mine".into(),
        origin: origin(reference),
        deployed_as: None,
    };
    clone(files.clone(), &target).ok()
}

fn upgraded(step: &Step, local: &Files, strategy: Strategy) -> Result<Files, UpgradeError> {
    let target = UpgradeTarget {
        name: "mine".into(),
        origin: origin("v2"),
        strategy,
    };
    upgrade(&step.old, &step.new, local, &target)
}

/// Returns whether a package has others in it that come from elsewhere: these are for nobody to touch.
fn has_remote(files: &Files) -> bool {
    let mut kptfiles = files.iter().filter(|(path, _)| path.ends_with("/Kptfile"));
    kptfiles.any(|(_, content)| String::from_utf8_lossy(content).contains("upstream:"))
}

/// Steps from all over the repositories whose packages can be cloned, with a clone of the old one.
static STEPS: LazyLock<Vec<(Step, Files)>> = LazyLock::new(|| {
    let repositories = bundles().into_iter();
    let steps = repositories.flat_map(|bundle| steps(&Repository::of_bundle(&bundle)));
    let is_every = std::env::var_os(EVERY).is_some();
    let is_small =
        |files: &Files| is_every || files.values().map(Vec::len).sum::<usize>() <= LARGEST;
    let is_wanted = |files: &Files| is_small(files) && !has_remote(files);
    let wanted = steps.filter(|step| is_wanted(&step.old) && is_wanted(&step.new));
    let mut all: Vec<_> = wanted
        .filter_map(|step| {
            let local = cloned(&step.old, "v1")?;
            Some((step, local))
        })
        .collect();
    let every = if is_every { 1 } else { all.len() / MOST + 1 };
    let mut at = 0;
    all.retain(|_| {
        at += 1;
        at % every == 0
    });
    all
});

#[test]
fn an_untouched_clone_becomes_a_clone_of_the_next_version() {
    for (step, local) in STEPS.iter() {
        let mut want = cloned(&step.new, "v2").unwrap();
        for strategy in ALL {
            let mut got = upgraded(step, local, strategy)
                .unwrap_or_else(|error| panic!("{}, {strategy:?}: {error}", step.title));
            let kptfile = got.remove("Kptfile");
            assert!(kptfile.is_some(), "{}", step.title);
            want.remove("Kptfile");
            let differing = want
                .iter()
                .filter(|(path, content)| got.get(*path) != Some(content));
            let differing: Vec<_> = differing.map(|(path, _)| path).collect();
            assert!(
                differing.is_empty(),
                "{}, {strategy:?}: {differing:?}",
                step.title
            );
            assert_eq!(got.len(), want.len(), "{}, {strategy:?}", step.title);
        }
    }
}

/// Returns a package in which a user changed every resource, and how many of them.
fn changed(local: &Files) -> (Files, usize) {
    let mut count = 0;
    let mut changed = local.clone();
    for (path, content) in &mut changed {
        // A package's context is its own: it is no change of a user.
        let is_wanted = is_yaml(path) && path != "package-context.yaml";
        if let Some(text) = is_wanted.then(|| changed_file(content)).flatten() {
            *content = text.into_bytes();
            count += 1;
        }
    }
    changed.insert("ours.txt".into(), b"ours".to_vec());
    (changed, count)
}

fn is_yaml(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, end)| matches!(end, "yaml" | "yml"))
}

fn changed_file(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let mut values = yaml::documents(text).ok()?;
    if text.starts_with("---") {
        return None;
    }
    for value in &mut values {
        let metadata = value.get_mut("metadata")?;
        metadata.get("name")?;
        let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
        annotations.insert(OURS.into(), "kept".into());
    }
    let mut made = COMMENT.to_owned();
    write!(made, "{}", yaml::rewrite(text, &values).ok()?).unwrap();
    Some(made)
}

/// Returns what the documents of a file say, but for our annotation and marks.
fn said(content: &[u8]) -> Vec<Value> {
    // What is no YAML says nothing.
    let documents = std::str::from_utf8(content).map(yaml::documents);
    let documents = documents.map(Result::unwrap_or_default).unwrap_or_default();
    let bare = documents.into_iter().map(|mut document| {
        if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut);
            let is_left = annotations.is_some_and(|annotations| {
                annotations.remove(OURS);
                annotations.remove(UPSTREAM_IDENTIFIER);
                !annotations.is_empty()
            });
            if !is_left {
                metadata.remove("annotations");
            }
        }
        document
    });
    bare.filter(|document| !document.is_null()).collect()
}

#[test]
fn changes_of_both_sides_come_through_a_merge() {
    let (mut files, mut steps) = (0, 0);
    for (step, local) in STEPS.iter() {
        let (local, count) = changed(local);
        let got = upgraded(step, &local, Strategy::ResourceMerge)
            .unwrap_or_else(|error| panic!("{}: {error}", step.title));
        assert_eq!(got["ours.txt"], b"ours");
        for (path, content) in &local {
            let Ok(text) = std::str::from_utf8(content) else {
                continue;
            };
            if text.starts_with(COMMENT) {
                let kept = String::from_utf8(got[path].clone()).unwrap();
                assert!(kept.starts_with(COMMENT), "{}: {path}\n{kept}", step.title);
                assert!(kept.contains(OURS), "{}: {path}\n{kept}", step.title);
            }
        }
        for (path, content) in step.new.iter().filter(|(path, _)| is_yaml(path)) {
            let made = said(&got[path]);
            for document in said(content) {
                assert!(
                    made.contains(&document),
                    "{}: {path}\n{document}",
                    step.title
                );
            }
        }
        files += count;
        steps += 1;
    }
    assert!(
        steps == 0 || files > 2 * steps,
        "{files} files in {steps} steps"
    );
}

#[test]
fn no_strategy_loses_what_it_should_keep() {
    for (step, local) in STEPS.iter() {
        let (local, count) = changed(local);
        let forward = upgraded(step, &local, Strategy::FastForward);
        let Err(UpgradeError::Modified(paths)) = forward else {
            panic!("{}: a changed package was replaced", step.title);
        };
        assert_eq!(paths.len(), count + 1, "{}: {paths:?}", step.title);
        for strategy in [Strategy::ForceDeleteReplace, Strategy::CopyMerge] {
            let got = upgraded(step, &local, strategy).unwrap();
            let missing = step.new.keys().find(|path| !got.contains_key(*path));
            assert_eq!(missing, None, "{}", step.title);
            let is_copied = strategy == Strategy::CopyMerge;
            assert_eq!(got.contains_key("ours.txt"), is_copied, "{}", step.title);
        }
    }
}
