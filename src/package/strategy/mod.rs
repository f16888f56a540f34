//! What may be created and what may become of it. In come objects as clients sent them, out comes all that is wrong with them.
//!
//! Pure rules of single objects: whether names are taken, sources exist or a caller may do it, others say.

mod create;
mod input;
mod metadata;
mod source;
mod task;
mod update;

pub use create::{REPOSITORY_REQUIRED, create, creation_changes};
pub use input::RevisionInput;
pub use source::{Source, clone_source, edit_source, reserved_workspace};
pub use update::{approve, check_version, content_changes, update};

use super::Violation;
use crate::api::{Condition, LATEST_LABEL, ReadinessGate};

/// The field of the lifecycle.
const LIFECYCLE: &str = "spec.lifecycle";

/// Returns the path of the latest label.
fn latest_field() -> String {
    format!("metadata.labels.{LATEST_LABEL}")
}

/// Returns what is wrong with readiness gates.
fn check_gates(gates: &[ReadinessGate]) -> Vec<Violation> {
    let types = gates.iter().map(|gate| gate.condition_type.as_str());
    check_types(types, |at| {
        format!("spec.readinessGates[{at}].conditionType")
    })
}

/// Returns what is wrong with conditions.
fn check_conditions(conditions: &[Condition]) -> Vec<Violation> {
    let types = conditions.iter().map(|condition| condition.type_.as_str());
    let mut wrong = check_types(types, |at| format!("status.conditions[{at}].type"));
    for (at, condition) in conditions.iter().enumerate() {
        if !matches!(condition.status.as_str(), "True" | "False" | "Unknown") {
            let (field, value) = (
                format!("status.conditions[{at}].status"),
                condition.status.as_str(),
            );
            let supported = &["True", "False", "Unknown"];
            wrong.push(Violation::not_supported(field, value, supported));
        }
    }
    wrong
}

/// Returns those of a list's types that are missing or there twice.
fn check_types<'a>(
    types: impl Iterator<Item = &'a str>,
    field: impl Fn(usize) -> String,
) -> Vec<Violation> {
    let mut seen = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for (at, type_) in types.enumerate() {
        if type_.is_empty() {
            wrong.push(Violation::required(field(at), ""));
        } else if !seen.insert(type_) {
            wrong.push(Violation::duplicate(field(at), type_));
        }
    }
    wrong
}
