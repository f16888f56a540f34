//! The reports of a function, as it writes them and in both of their forms.

use serde_json::{Map, Value};

use crate::api::{ResultField, ResultFile, ResultItem, ResultResource};

/// Returns the reports: a list, or a map with the list as `items`, as functions wrote it once. What is no report is left out.
pub(super) fn read(results: &Value) -> Vec<ResultItem> {
    let list = results.get("items").unwrap_or(results).as_array();
    let reports = list.into_iter().flatten().filter_map(Value::as_object);
    reports.map(report).collect()
}

fn report(report: &Map<String, Value>) -> ResultItem {
    let part = |key: &str| report.get(key).and_then(Value::as_object);
    let tags = part("tags").into_iter().flatten();
    ResultItem {
        message: text(report.get("message")),
        severity: text(report.get("severity")),
        resource_ref: part("resourceRef").map(resource),
        field: part("field").map(field),
        file: part("file").map(|file| ResultFile {
            path: text(file.get("path")),
            index: file.get("index").and_then(Value::as_i64).unwrap_or(0),
        }),
        tags: tags
            .map(|(key, tag)| (key.clone(), text(Some(tag))))
            .collect(),
    }
}

fn resource(resource: &Map<String, Value>) -> ResultResource {
    let metadata = resource.get("metadata");
    let named = |key: &str| {
        let flat = resource.get(key);
        text(flat.or_else(|| metadata?.get(key)))
    };
    ResultResource {
        api_version: text(resource.get("apiVersion")),
        kind: text(resource.get("kind")),
        name: named("name"),
        namespace: named("namespace"),
    }
}

fn field(field: &Map<String, Value>) -> ResultField {
    let value = |key: &str| field.get(key).filter(|value| !value.is_null());
    let shown = |value: &Value| Value::from(text(Some(value)));
    ResultField {
        path: text(field.get("path")),
        current_value: value("currentValue").map(shown),
        proposed_value: value("proposedValue")
            .or_else(|| value("suggestedValue"))
            .map(shown),
    }
}

/// Returns a value as a text: clients of the API take nothing else for a value of a field.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
