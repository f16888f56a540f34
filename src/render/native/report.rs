//! Reports of functions. In come sentences and what they are about, out come results.

use serde_json::Value;

use super::{
    super::{Failure, Item, List},
    resource,
};
use crate::api::{ResultFile, ResultItem, ResultResource};

/// Returns a report that something was done.
pub(super) fn info(message: impl Into<String>) -> ResultItem {
    with_severity("info", message.into())
}

/// Returns a report of something that may be wrong.
pub(super) fn warning(message: impl Into<String>) -> ResultItem {
    with_severity("warning", message.into())
}

/// Returns a report of something that is wrong.
pub(super) fn error(message: impl Into<String>) -> ResultItem {
    with_severity("error", message.into())
}

/// Returns a report of something that is wrong with the config, which may be a resource of the list.
pub(super) fn wrong_config(list: &List, message: impl Into<String>) -> ResultItem {
    let mut report = error(message);
    let Some(config) = &list.config else {
        return report;
    };
    report.resource_ref = Some(reference(config));
    let kept = list.items.iter().find(|item| item.object == *config);
    report.file = kept.map(file);
    report
}

/// Returns the failure of a function with its report.
pub(super) fn failure(list: &List, message: impl Into<String>) -> Failure {
    let message = message.into();
    Failure {
        results: vec![wrong_config(list, message.clone())],
        message,
        ..Failure::default()
    }
}

/// Returns reports, or the one that there is nothing to report.
pub(super) fn or_else(mut reports: Vec<ResultItem>, nothing: &str) -> Vec<ResultItem> {
    if reports.is_empty() {
        reports.push(info(nothing));
    }
    reports
}

/// Returns a report with the resource and file that it is about.
pub(super) fn about(item: &Item, report: ResultItem) -> ResultItem {
    ResultItem {
        resource_ref: Some(reference(&item.object)),
        file: Some(file(item)),
        ..report
    }
}

fn with_severity(severity: &str, message: String) -> ResultItem {
    ResultItem {
        message,
        severity: severity.into(),
        ..ResultItem::default()
    }
}

fn reference(object: &Value) -> ResultResource {
    ResultResource {
        api_version: resource::api_version(object).into(),
        kind: resource::kind(object).into(),
        name: resource::name(object).into(),
        namespace: resource::namespace(object).into(),
    }
}

fn file(item: &Item) -> ResultFile {
    ResultFile {
        path: item.place.path.clone(),
        index: i64::try_from(item.place.index).unwrap_or_default(),
    }
}
