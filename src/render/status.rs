//! What is told of a render: to the caller, and in the package's own Kptfile.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Failure, pipeline::Kind};
use crate::{
    api::{Condition, RenderStatus, Result as Outcome, ResultItem, ResultList},
    package::kptfile::{self, Change},
};

/// The condition of a Kptfile that says whether its package is rendered.
const RENDERED: &str = "Rendered";
/// Most reports of one function that a Kptfile keeps: it is read often, and must stay small.
const MOST_REPORTS: usize = 50;
/// Most bytes of what a Kptfile keeps of all functions, reports and all.
const MOST_BYTES: usize = 128 << 10;
/// Most reports of one function that the caller is told.
const MOST_TOLD: usize = 1000;
/// Most characters of a text that a Kptfile keeps of a function.
const MOST_LETTERS: usize = 2000;
/// Most functions that a Kptfile keeps the outcomes of.
const MOST_STEPS: usize = 100;

/// A function that was run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What it does.
    pub kind: Kind,
    /// Its name in the pipeline; may be empty.
    pub name: String,
    /// Its image, with its tag or digest.
    pub image: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its reports.
    pub results: Vec<ResultItem>,
    /// Why it failed; nothing if it did not.
    pub failure: Option<String>,
    /// The status that its process ended with, if it has one and failed.
    pub exit_code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

impl Step {
    /// Returns the step as one that failed.
    pub(super) fn failed(self, failure: Failure) -> Self {
        Self {
            results: failure.results,
            stderr: failure.stderr,
            failure: Some(failure.message),
            exit_code: failure.exit_code,
            ..self
        }
    }

    fn exit_code(&self) -> i64 {
        let failed = i64::from(self.failure.is_some());
        // One that failed though its process ended well has failed all the same.
        self.exit_code
            .map_or(failed, |code| i64::from(code).max(failed))
    }

    fn told(&self) -> impl Iterator<Item = ResultItem> {
        self.results.iter().take(MOST_TOLD).cloned().map(told)
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            image: self.image.clone(),
            exec: String::new(),
            stderr: self.stderr.clone(),
            exit_code: self.exit_code(),
            results: self.told().collect(),
        }
    }
}

/// Returns a report with texts for values: clients take nothing else.
fn told(mut report: ResultItem) -> ResultItem {
    if let Some(field) = &mut report.field {
        for value in [&mut field.current_value, &mut field.proposed_value] {
            if let Some(value) = value.as_mut().filter(|value| !value.is_string()) {
                *value = value.to_string().into();
            }
        }
    }
    report
}

/// Returns what the caller is told.
pub(super) fn told_to_caller(steps: &[Step], error: &str) -> RenderStatus {
    let mut result = ResultList {
        kind: "FunctionResultList".into(),
        api_version: "kpt.dev/v1".into(),
        exit_code: i64::from(steps.iter().any(|step| step.failure.is_some())),
        items: steps.iter().map(Step::outcome).collect(),
        ..ResultList::default()
    };
    result.metadata.name = Some("fnresults".into());
    RenderStatus {
        result,
        error: error.into(),
    }
}

/// Returns a Kptfile that says how its package was rendered; nothing if it is none, or of a form that can't be changed. What functions
/// said is left out where it would make the Kptfile too large.
pub(super) fn in_kptfile(content: &[u8], steps: &[Step], error: Option<&str>) -> Option<Vec<u8>> {
    let condition = condition(error);
    let status = render_status(steps, error.is_some());
    let size = status.as_ref().map_or(0, |status| status.to_string().len());
    if size <= MOST_BYTES {
        return edited(content, &condition, status);
    }
    let quiet = |step: &Step| Step {
        results: Vec::new(),
        stderr: String::new(),
        ..step.clone()
    };
    let steps: Vec<Step> = steps.iter().map(quiet).collect();
    edited(content, &condition, render_status(&steps, error.is_some()))
}

fn edited(content: &[u8], condition: &Condition, status: Option<Value>) -> Option<Vec<u8>> {
    let condition = Change::Condition(condition.clone());
    let at_once = [condition.clone(), Change::RenderStatus(status.clone())];
    kptfile::edit(content, &at_once).ok().or_else(|| {
        // A status that is too different from what it was can still be taken out and written anew.
        let without = kptfile::edit(content, &[Change::RenderStatus(None)]).ok()?;
        let with = kptfile::edit(&without, &[condition]).ok()?;
        kptfile::edit(&with, &[Change::RenderStatus(status)]).ok()
    })
}

/// Returns a Kptfile without functions that says that it can be rendered, if it says that it can't; nothing if it does not say so.
pub(super) fn recovered(content: &[u8]) -> Option<Vec<u8>> {
    let observed = kptfile::observe("", content);
    let is_failed =
        |condition: &Condition| condition.type_ == RENDERED && condition.status == "False";
    let mut conditions = observed.conditions.iter();
    conditions
        .any(is_failed)
        .then(|| in_kptfile(content, &[], None))?
}

fn condition(error: Option<&str>) -> Condition {
    let (status, reason) = match error {
        None => ("True", "RenderSuccess"),
        Some(_) => ("False", "RenderFailed"),
    };
    Condition {
        type_: RENDERED.into(),
        status: status.into(),
        reason: reason.into(),
        message: short(error.unwrap_or_default()),
    }
}

fn render_status(steps: &[Step], is_failed: bool) -> Option<Value> {
    let mut status = Map::new();
    for (key, kind) in [
        ("mutationSteps", Kind::Mutator),
        ("validationSteps", Kind::Validator),
    ] {
        // The last ones are those that say what went wrong.
        let first = steps.len().saturating_sub(MOST_STEPS);
        let steps = steps[first..].iter().filter(|step| step.kind == kind);
        put(&mut status, key, steps.map(step).collect::<Vec<_>>().into());
    }
    if is_failed {
        let failed = steps.iter().filter(|step| step.failure.is_some());
        let lines: Vec<String> = failed.map(summary).collect();
        put(&mut status, "errorSummary", lines.join("\n").into());
    }
    (!status.is_empty()).then(|| status.into())
}

fn summary(step: &Step) -> String {
    let name = if step.name.is_empty() {
        &step.image
    } else {
        &step.name
    };
    match &step.failure {
        Some(why) if step.results.is_empty() => format!("{name}: {}", short(why)),
        _ => format!("{name}: exit code {}", step.exit_code()),
    }
}

fn step(step: &Step) -> Value {
    let mut told = Map::new();
    let why = step.failure.as_deref().filter(|_| step.results.is_empty());
    let reports = |only_errors: bool| {
        let is_wanted = |report: &&ResultItem| !only_errors || report.severity == "error";
        let reports = step.results.iter().filter(is_wanted).take(MOST_REPORTS);
        reports.map(report).collect::<Vec<_>>()
    };
    put(&mut told, "name", step.name.as_str().into());
    put(&mut told, "image", step.image.as_str().into());
    put(
        &mut told,
        "executionError",
        short(why.unwrap_or_default()).into(),
    );
    put(&mut told, "stderr", short(&step.stderr).into());
    told.insert("exitCode".into(), step.exit_code().into());
    put(&mut told, "results", reports(false).into());
    put(&mut told, "errorResults", reports(true).into());
    told.into()
}

fn report(report: &ResultItem) -> Value {
    let mut report = told(report.clone());
    report.message = short(&report.message);
    // The kpt that reads the Kptfile knows no tags.
    report.tags.clear();
    if let Some(field) = &mut report.field {
        for value in [&mut field.current_value, &mut field.proposed_value]
            .into_iter()
            .flatten()
        {
            *value = short(value.as_str().unwrap_or_default()).into();
        }
    }
    serde_json::to_value(report).unwrap_or(json!({}))
}

/// Puts a member that says something.
fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    let is_empty =
        value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        map.insert(key.into(), value);
    }
}

/// Returns a text as long as a Kptfile keeps it.
fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kptfile_stays_one_that_can_be_read() {
        let kptfile = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: n}\n";
        let report = ResultItem {
            message: "m".repeat(5000),
            severity: "error".into(),
            ..ResultItem::default()
        };
        let step = |reports: usize| Step {
            image: "i".into(),
            stderr: "\u{1}\n# e: ".repeat(5000),
            results: vec![report.clone(); reports],
            failure: Some("f\n".repeat(5000)),
            ..Step::default()
        };
        let few = in_kptfile(kptfile.as_bytes(), &[step(1)], Some("why")).unwrap();
        let text = String::from_utf8(few).unwrap();
        assert!(
            text.starts_with(kptfile) && text.contains("mmmm…"),
            "{text}"
        );
        let steps = [
            vec![Step::default(); 50],
            vec![
                Step {
                    failure: None,
                    ..step(60)
                };
                99
            ],
            vec![step(60)],
        ]
        .concat();
        let many = in_kptfile(kptfile.as_bytes(), &steps, Some("why")).unwrap();
        assert!(many.len() < MOST_BYTES);
        let text = String::from_utf8(many).unwrap();
        assert_eq!(
            (text.matches("exitCode: ").count(), text.contains("mmmm")),
            (100, false)
        );
        assert_eq!(kptfile::check(text.as_bytes()), Ok(()));
        assert_eq!(
            told_to_caller(&[step(2000)], "").result.items[0]
                .results
                .len(),
            MOST_TOLD
        );
    }

    #[test]
    fn what_is_no_kptfile_says_nothing() {
        for content in [
            "",
            "not: [yaml",
            "kind: Kptfile\n",
            "apiVersion: v1\nkind: Kptfile\n",
        ] {
            assert_eq!(in_kptfile(content.as_bytes(), &[], None), None);
            assert_eq!(recovered(content.as_bytes()), None);
        }
    }
}
