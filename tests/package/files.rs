//! Files of packages cloned, and replaced by clients that lose comments.

use std::str::FromStr;

use porch::{
    package::{
        Files, heal,
        kptfile::{Origin, UPSTREAM_IDENTIFIER},
        tasks::{CloneTarget, clone},
    },
    yaml,
};
use serde_json::Value;
use yaml_edit::YamlFile;

use crate::{
    corpus::{Text, odd, real},
    repository::KPTFILE,
};

/// How many files are tried: a build for tests is slow.
const MOST: usize = 200;
/// The largest file that is tried, in bytes.
const LARGEST: usize = 10_000;

fn is_wanted(file: &Text) -> bool {
    file.name != "Kptfile" && file.text.len() <= LARGEST
}

/// Returns the odd files that are no Kptfiles.
fn odd_others() -> Vec<Text> {
    odd().into_iter().filter(is_wanted).collect()
}

/// Returns files that are no Kptfiles from all over the real repositories.
fn real_others() -> Vec<Text> {
    let real: Vec<Text> = real().into_iter().filter(is_wanted).collect();
    let step = real.len() / MOST + 1;
    real.into_iter().step_by(step).collect()
}

fn cloned(text: &str) -> String {
    let target = CloneTarget {
        name: "new".into(),
        origin: Origin::default(),
        deployed_as: None,
    };
    let files = [("Kptfile", KPTFILE), ("x.yaml", text)];
    let files: Files = files.map(|(path, text)| (path.into(), text.into())).into();
    let mut files = clone(files, &target).unwrap();
    String::from_utf8(files.remove("x.yaml").unwrap()).unwrap()
}

#[test]
fn a_clone_adds_marks_and_changes_nothing_else() {
    let (mut marked, mut all) = (0, 0);
    for file in odd_others().into_iter().chain(real_others()) {
        let got = cloned(&file.text);
        let Ok(before) = yaml::documents(&file.text) else {
            assert_eq!(got, file.text);
            continue;
        };
        let after = yaml::documents(&got).unwrap();
        assert_eq!(
            without_marks(after.clone()),
            without_marks(before.clone()),
            "{got}"
        );
        // What is there stays, in its order, but for the lines where the marks go.
        let takes_marks = |line: &&str| {
            ["metadata:", "  annotations: {}"]
                .iter()
                .any(|start| line.starts_with(start))
                || line.contains(UPSTREAM_IDENTIFIER)
        };
        let mut lines = got.lines();
        for line in file.text.lines().filter(|line| !takes_marks(line)) {
            assert!(lines.any(|new| new == line), "{line:?} is gone from\n{got}");
        }
        assert_eq!(cloned(&got), got);
        let is_named = |document: &&Value| document["metadata"]["name"].is_string();
        all += before.iter().filter(is_named).count();
        let has_mark = |document: &&Value| {
            document["metadata"]["annotations"][UPSTREAM_IDENTIFIER].is_string()
        };
        marked += after.iter().filter(has_mark).count();
    }
    assert!(
        marked * 100 >= all * 99,
        "{marked} of {all} resources are marked"
    );
}

fn without_marks(mut documents: Vec<Value>) -> Vec<Value> {
    for document in &mut documents {
        let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) else {
            continue;
        };
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(UPSTREAM_IDENTIFIER);
        }
        let is_empty = metadata.get("annotations").is_some_and(|one| {
            one.is_null() || one.as_object().is_some_and(serde_json::Map::is_empty)
        });
        if is_empty {
            metadata.remove("annotations");
        }
    }
    documents
}

fn healed(new: &str, old: &str) -> String {
    let files = |text: &str| -> Files { [("x.yaml".to_owned(), text.as_bytes().to_vec())].into() };
    let mut healed = heal(files(new), &files(old));
    String::from_utf8(healed.remove("x.yaml").unwrap()).unwrap()
}

/// Returns how many comments a text has.
fn comments(text: &str) -> usize {
    let file = YamlFile::from_str(text);
    file.map_or(0, |file| file.comments().count())
}

#[test]
fn comments_that_a_client_lost_come_back_and_nothing_else_changes() {
    assert_eq!(lost_and_found(&odd_others()), (4, 3), "of the odd ones");
    let (lost, found) = lost_and_found(&real_others());
    assert!(
        found * 10 >= lost * 9,
        "{found} of {lost} comments came back"
    );
}

/// Returns how many comments a client lost, and how many of them came back; nothing else may change.
fn lost_and_found(files: &[Text]) -> (usize, usize) {
    let (mut lost, mut found) = (0, 0);
    for file in files {
        assert_eq!(healed(&file.text, &file.text), file.text);
        let Ok(documents) = yaml::documents(&file.text) else {
            continue;
        };
        // As a client writes that reads values and no text.
        let written: Vec<String> = documents.iter().map(yaml::emit).collect();
        let written = written.join("---\n");
        let got = healed(&written, &file.text);
        assert_eq!(yaml::documents(&got), yaml::documents(&written), "{got}");
        assert_eq!(healed(&got, &file.text), got, "{}", file.text);
        lost += comments(&file.text) - comments(&written).min(comments(&file.text));
        found += comments(&got) - comments(&written);
        // Whoever takes the comments away has what was sent.
        let mut lines = got.lines();
        for line in written.lines() {
            assert!(
                lines.any(|new| new == line || new.starts_with(&format!("{line} #"))),
                "{line:?} is gone from\n{got}"
            );
        }
    }
    (lost, found)
}
