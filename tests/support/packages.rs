//! The files of packages in repositories, read by git's command line.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{collections::BTreeMap, fs::File, io::Write as _};

use porch::package::Files;

use crate::{
    git_server::{git, git_command},
    repository::Repository,
};

/// Returns the files of a directory at a tag or a branch; none if it is not there.
pub fn files(repository: &Repository, reference: &str, directory: &str) -> Files {
    let tree = format!("{reference}:{directory}");
    let listed = git_command(&repository.bare())
        .args(["ls-tree", "-r", &tree])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let entries: Vec<(&str, &str)> = listed
        .lines()
        .filter(|line| line.starts_with("100"))
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    let ids = entries.iter().map(|(head, _)| head.rsplit(' ').next());
    let contents = contents(repository, ids.map(Option::unwrap));
    let paths = entries.iter().map(|(_, path)| (*path).to_owned());
    paths.zip(contents).collect()
}

/// Returns the contents of objects.
pub fn contents<'a>(repository: &Repository, ids: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let path = repository.root().join("ids");
    let mut file = File::create(&path).unwrap();
    for id in ids {
        writeln!(file, "{id}").unwrap();
    }
    let output = git_command(&repository.bare())
        .args(["cat-file", "--batch"])
        .stdin(File::open(&path).unwrap())
        .output()
        .unwrap();
    let (mut rest, mut all) = (output.stdout.as_slice(), Vec::new());
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let size: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        all.push(rest[end + 1..end + 1 + size].to_vec());
        rest = &rest[end + size + 2..];
    }
    all
}

/// Two versions of a package, one after the other.
pub struct Step {
    pub title: String,
    pub old: Files,
    pub new: Files,
}

/// Returns all steps between consecutive versions of the packages of a repository.
pub fn steps(repository: &Repository) -> Vec<Step> {
    let tags = git(&repository.bare(), &["tag", "--list"]);
    let mut versions: BTreeMap<&str, Vec<(Vec<u64>, &str)>> = BTreeMap::new();
    for tag in tags.lines() {
        let Some((directory, version)) = tag.rsplit_once("/v") else {
            continue;
        };
        let numbers = version.split('.').map_while(|part| part.parse().ok());
        let all = versions.entry(directory).or_default();
        all.push((numbers.collect(), tag));
    }
    let mut steps = Vec::new();
    for (directory, mut tags) in versions {
        tags.sort_unstable();
        for pair in tags.windows(2) {
            let [old, new] = [pair[0].1, pair[1].1].map(|tag| files(repository, tag, directory));
            if old.contains_key("Kptfile") && new.contains_key("Kptfile") {
                let title = format!("{} to {}", pair[0].1, pair[1].1);
                steps.push(Step { title, old, new });
            }
        }
    }
    steps
}
