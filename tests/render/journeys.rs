//! What users do with the packages of real repositories: they clone and render them, upgrade the clones to the next version and render
//! these. Nothing panics, no file is lost, and the only errors are of functions that are not here.

use std::collections::BTreeMap;

use porch::package::{
    Files,
    kptfile::Origin,
    tasks::{CloneTarget, UpgradeTarget, clone, upgrade},
    upgrade::Strategy,
};

use crate::{
    corpus::{ALL, directories, functions, is_judged, missing_image, native_name, rendered},
    packages::{files, steps},
    repository::{Repository, bundles},
};

/// How many packages and steps are tried, and how large the largest one is, in bytes: a build for tests is slow.
const MOST: usize = 30;
const LARGEST: usize = 40_000;

fn origin(reference: &str) -> Origin {
    Origin {
        repo: "https://example.com/x.git".into(),
        directory: "d".into(),
        reference: reference.into(),
        commit: "c".into(),
    }
}

/// Returns a clone of a package, which has all its files.
fn cloned(title: &str, files: &Files) -> Files {
    let target = CloneTarget {
        name: "mine".into(),
        origin: origin("v1"),
        deployed_as: None,
    };
    let made = clone(files.clone(), &target).unwrap_or_else(|why| panic!("{title}: {why}"));
    assert!(made.keys().eq(files.keys()), "{title}: files are lost");
    made
}

/// What became of renders.
#[derive(Default)]
struct Count {
    good: usize,
    missing: BTreeMap<String, usize>,
    broken: usize,
}

impl Count {
    /// Renders a package, and returns it as it is stored then: as it was, if a function is not here.
    fn render(&mut self, title: &str, files: &Files, runtime: &tokio::runtime::Runtime) -> Files {
        let made = rendered(title, files, &functions(runtime).current());
        let lost = files.keys().find(|path| !made.files.contains_key(*path));
        assert_eq!(lost, None, "{title}");
        let Some(error) = made.error else {
            self.good += 1;
            return made.files;
        };
        match missing_image(&error) {
            Some(image) => {
                assert_eq!(native_name(image), None, "{title}: {error}");
                *self.missing.entry(image.into()).or_default() += 1;
            }
            None if is_judged(&error) => self.broken += 1,
            None => panic!("{title}: {error}"),
        }
        files.clone()
    }

    fn tell(&self, what: &str, count: usize) {
        let missing: usize = self.missing.values().sum();
        println!(
            "{count} {what}: {} rendered, {missing} with a function that is not here, {} broken",
            self.good, self.broken
        );
    }
}

/// Returns some of all, or all if that is asked for; none of those that are too large.
fn some<T>(all: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<T> {
    if std::env::var_os(ALL).is_some() {
        return all;
    }
    let mut all = all;
    all.retain(|one| size(one) <= LARGEST);
    let stride = all.len() / MOST + 1;
    all.into_iter().step_by(stride).collect()
}

fn size(files: &Files) -> usize {
    files.values().map(Vec::len).sum()
}

#[test]
fn the_packages_of_every_main_branch_are_cloned_and_rendered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for bundle in bundles() {
        let repository = Repository::of_bundle(&bundle);
        let all = directories(&repository, "main").into_iter();
        let all = all.map(|directory| (files(&repository, "main", &directory), directory));
        let (mut count, mut packages) = (Count::default(), 0);
        for (files, title) in some(all.collect(), |(files, _)| size(files)) {
            let local = cloned(&title, &files);
            count.render(&title, &local, &runtime);
            packages += 1;
        }
        let name = bundle.file_name().unwrap_or_default().display();
        count.tell(&format!("packages of {name} cloned"), packages);
    }
}

#[test]
fn the_steps_between_all_versions_are_made_and_rendered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for bundle in bundles() {
        let all = steps(&Repository::of_bundle(&bundle));
        let (mut count, mut made, mut told) = (Count::default(), 0, 0);
        for step in some(all, |step| size(&step.old) + size(&step.new)) {
            let local = cloned(&step.title, &step.old);
            let local = count.render(&step.title, &local, &runtime);
            let target = UpgradeTarget {
                name: "mine".into(),
                origin: origin("v2"),
                strategy: Strategy::ResourceMerge,
            };
            made += 1;
            let Ok(upgraded) = upgrade(&step.old, &step.new, &local, &target) else {
                told += 1;
                continue;
            };
            let lost = step.new.keys().find(|path| !upgraded.contains_key(*path));
            assert_eq!(lost, None, "{}", step.title);
            count.render(&step.title, &upgraded, &runtime);
        }
        let name = bundle.file_name().unwrap_or_default().display();
        count.tell(&format!("steps of {name} made, {told} refused"), made);
    }
}
