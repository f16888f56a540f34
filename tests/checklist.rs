//! The table of what an aggregated API server must do names tests that are there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Returns the names of all functions that are tests.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "tests", "e2e"] {
        sources(&root.join(directory), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let (text, mut marked) = (fs::read_to_string(file).unwrap(), false);
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ")
                && std::mem::take(&mut marked)
            {
                let end = rest.find('(').unwrap();
                found.insert(rest[..end].to_owned());
            }
        }
    }
    // The suites that take their server as an argument.
    let suites = include_str!("writing/checks.rs").lines();
    let checks = suites.filter_map(|line| line.trim().strip_suffix(',')?.split_once("::"));
    found.extend(checks.map(|(_, name)| name.to_owned()));
    found
}

#[test]
fn every_test_that_the_checklist_names_is_there() {
    let tests = tests();
    let page = include_str!("../e2e/CHECKLIST.md");
    let words = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = words.filter(|word| word.matches('_').count() > 1).collect();
    assert!(named.len() > 100, "only {} tests are named", named.len());
    let gone: Vec<_> = named
        .into_iter()
        .filter(|it| !tests.contains(*it))
        .collect();
    assert!(gone.is_empty(), "no such tests: {gone:#?}");
}
