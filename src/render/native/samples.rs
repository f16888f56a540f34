//! What the tests of functions begin with: lists of documents, configs, and what all functions must keep.

use serde_json::{Value, json};

use super::super::{Item, List, Native, Place};
use crate::{api::ResultItem, yaml};

/// Returns a list of documents, each in a file of its own; no config if it is null.
pub(super) fn list(documents: &[&str], config: Value) -> List {
    let item = |(at, text): (usize, &&str)| Item {
        object: yaml::from_str(text).unwrap(),
        place: Place {
            path: format!("file{at}.yaml"),
            ..Place::default()
        },
        text: (*text).into(),
    };
    List {
        items: documents.iter().enumerate().map(item).collect(),
        config: Some(config).filter(|config| !config.is_null()),
        ..List::default()
    }
}

/// Returns a `ConfigMap` with data.
pub(super) fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "function-input"}, "data": data})
}

/// Runs a function twice, asserts that the second time changes nothing, and returns what the first one reported.
pub(super) fn unchanged_when_repeated(run: Native, list: &mut List) -> Vec<ResultItem> {
    let told = run(list).unwrap();
    let once = list.clone();
    run(list).unwrap();
    assert_eq!(*list, once);
    told
}

/// Asserts that a function fails with a sentence and a report of it.
pub(super) fn fails(run: Native, list: &mut List, why: &str) {
    let failure = run(list).unwrap_err();
    assert!(failure.message.contains(why), "{}", failure.message);
    let told = failure.results.last().unwrap();
    assert_eq!(
        (told.severity.as_str(), &told.message),
        ("error", &failure.message)
    );
}
