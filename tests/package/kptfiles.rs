//! Kptfiles changed in place.

use std::collections::BTreeMap;

use porch::{
    api::{Condition, KptfileObserved, PackageMetadata, ReadinessGate},
    package::kptfile::{Change, Origin, UPSTREAM_IDENTIFIER, edit, observe},
    yaml,
};
use serde_json::Value;

use crate::corpus::{Chance, odd, real};

fn kptfiles() -> Vec<String> {
    let all = odd().into_iter().chain(real());
    let kptfiles = all.filter(|file| file.name == "Kptfile");
    let is_one = |text: &String| observe("b", text.as_bytes()).problem.is_empty();
    kptfiles.map(|file| file.text).filter(is_one).collect()
}

fn edited(text: &str, changes: &[Change]) -> String {
    let edited = edit(text.as_bytes(), changes);
    String::from_utf8(edited.unwrap_or_else(|problem| panic!("{problem}\n{text}"))).unwrap()
}

fn said(text: &str) -> KptfileObserved {
    observe("b", text.as_bytes())
}

#[test]
fn a_kptfile_that_says_it_all_keeps_its_bytes() {
    for text in kptfiles() {
        let said = said(&text);
        let metadata = PackageMetadata {
            labels: said.labels.to_map(),
            annotations: said.annotations.to_map(),
        };
        let same = [
            Change::Merge(metadata),
            Change::Labels(said.labels.to_map()),
            Change::Annotations(said.annotations.to_map()),
            Change::ReadinessGates(said.readiness_gates),
            Change::Conditions(said.conditions),
        ];
        assert_eq!(edited(&text, &same), text);
    }
}

#[test]
fn a_new_name_changes_one_line() {
    for text in kptfiles() {
        let renamed = edited(&text, &[Change::Name("renamed".into())]);
        let differing = text
            .lines()
            .zip(renamed.lines())
            .filter(|(old, new)| old != new);
        assert!(differing.count() <= 1, "{renamed}");
        assert_eq!(text.lines().count(), renamed.lines().count(), "{renamed}");
    }
}

const WORDS: &[&str] = &[
    "a",
    "on",
    "0644",
    "1.10",
    "",
    "x: y # z",
    "two\nlines\n",
    "it's",
    "~",
    "- a",
    "über",
    "true",
];

fn texts(chance: &mut Chance) -> BTreeMap<String, String> {
    let pairs = (0..chance.below(4)).map(|_| {
        let (key, value) = (chance.below(5), chance.below(WORDS.len() as u64));
        (
            format!("example.com/{key}"),
            WORDS[usize::try_from(value).unwrap()].to_owned(),
        )
    });
    pairs.collect()
}

/// Returns some of what is there and something new.
fn some<T: Clone>(present: &[T], new: &[T], chance: &mut Chance) -> Vec<T> {
    let all = present.iter().chain(new);
    all.filter(|_| chance.below(3) > 0).cloned().collect()
}

#[test]
fn what_is_written_is_read_and_all_else_stays() {
    let mut chance = Chance(7);
    let new_gates = ["x/new", "on"].map(|type_| ReadinessGate {
        condition_type: type_.into(),
    });
    let new_conditions = ["x/new", "on"].map(|type_| Condition {
        type_: type_.into(),
        status: "True".into(),
        reason: String::new(),
        message: "it's: \"odd\" # here".into(),
    });
    for text in kptfiles() {
        let before = said(&text);
        let (labels, mut annotations) = (texts(&mut chance), texts(&mut chance));
        let gates = some(&before.readiness_gates, &new_gates, &mut chance);
        let conditions = some(&before.conditions, &new_conditions, &mut chance);
        let got = edited(
            &text,
            &[
                Change::Labels(labels.clone()),
                Change::Annotations(annotations.clone()),
                Change::ReadinessGates(gates.clone()),
                Change::Conditions(conditions.clone()),
            ],
        );
        let after = said(&got);
        annotations.remove(UPSTREAM_IDENTIFIER);
        assert_eq!(
            (after.labels.to_map(), after.annotations.to_map()),
            (labels, annotations),
            "{got}"
        );
        assert_eq!(
            (&after.readiness_gates, &after.conditions),
            (&gates, &conditions),
            "{got}"
        );
        assert_eq!(after.upstream_lock, before.upstream_lock, "{got}");
        assert_eq!(rest(&got), rest(&text), "{got}");
    }
}

/// Returns a Kptfile without what the changes are about.
fn rest(text: &str) -> Value {
    let mut value: Value = yaml::from_str(text).unwrap();
    for (map, members) in [
        ("metadata", &["labels", "annotations"][..]),
        ("info", &["readinessGates"]),
        ("status", &["conditions"]),
    ] {
        if let Some(inner) = value.get_mut(map).and_then(Value::as_object_mut) {
            inner.retain(|key, _| !members.contains(&key.as_str()));
        }
        // One that is empty and one that is not there are the same.
        if value[map].as_object().is_none_or(serde_json::Map::is_empty) {
            value.as_object_mut().unwrap().remove(map);
        }
    }
    value
}

#[test]
fn the_origin_is_read_back_and_takes_no_comment_away() {
    for text in kptfiles() {
        let origin = Origin {
            repo: "https://example.com/x".into(),
            directory: "/d".into(),
            reference: "d/v1".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        };
        let got = edited(&text, &[Change::Origin(origin.clone())]);
        let lock = said(&got).upstream_lock.git.unwrap();
        assert_eq!(
            (lock.repo.as_str(), lock.directory.as_str()),
            ("https://example.com/x.git", "d")
        );
        assert_eq!((lock.ref_, lock.commit), (origin.reference, origin.commit));
        let comments = |text: &str| {
            text.lines()
                .filter(|line| line.trim_start().starts_with('#'))
                .count()
        };
        assert_eq!(comments(&got), comments(&text), "{got}");
    }
}
