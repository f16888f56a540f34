//! What a package revision must be to be created.

use super::{
    LIFECYCLE, RevisionInput, check_gates, latest_field, metadata,
    task::{self, TASKS},
};
use crate::{
    api::{LATEST_LABEL, PackageRevision},
    package::{Lifecycle, PackageKey, RevisionKey, Violation, kptfile::Change, syntax},
};

/// What upstream answers, as 400, when `spec.repository` is missing; the caller checks this before all else.
pub const REPOSITORY_REQUIRED: &str = "spec.repositoryName is required";

/// Returns all that is wrong with a package revision that shall be created, but for a missing `spec.repository`.
#[must_use]
pub fn create(input: &RevisionInput) -> Vec<Violation> {
    let object = &input.object;
    let mut wrong = Vec::new();
    let labels = object.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(LATEST_LABEL)) {
        let why = "label is managed by porch and cannot be set by users";
        wrong.push(Violation::forbidden(latest_field(), why));
    }
    let parts = check_parts(object);
    let has_name = parts.is_empty();
    wrong.extend(parts);
    let lifecycle = input.lifecycle_text();
    if input.lifecycle() != Some(Lifecycle::Draft) {
        let why = "value can be only created as Draft";
        wrong.push(Violation::invalid(LIFECYCLE, lifecycle, why));
    }
    wrong.extend(check_tasks(object));
    wrong.extend(check_gates(&object.spec.readiness_gates));
    let name = key(object).name();
    if has_name {
        wrong.extend(check_name(object, &name));
    }
    wrong.extend(metadata::check(&object.metadata, &name));
    wrong
}

/// Returns what a new package's Kptfile must say because the revision's spec does.
#[must_use]
pub fn creation_changes(input: &RevisionInput) -> Vec<Change> {
    let spec = &input.object.spec;
    let metadata = spec.package_metadata.clone().map(Change::Merge);
    let gates = (!spec.readiness_gates.is_empty())
        .then(|| Change::ReadinessGates(spec.readiness_gates.clone()));
    metadata.into_iter().chain(gates).collect()
}

fn key(object: &PackageRevision) -> RevisionKey {
    let spec = &object.spec;
    RevisionKey {
        package: PackageKey {
            repository: spec.repository.clone(),
            package: spec.package_name.clone(),
        },
        workspace: spec.workspace_name.clone(),
    }
}

/// Returns what is wrong with the parts of which the name is composed.
fn check_parts(object: &PackageRevision) -> Vec<Violation> {
    let spec = &object.spec;
    let (package, workspace) = (&spec.package_name, &spec.workspace_name);
    let checked = [
        ("spec.packageName", package, syntax::package_name(package)),
        ("spec.workspaceName", workspace, syntax::label(workspace)),
    ];
    let wrong = checked.into_iter().filter_map(|(field, value, checked)| {
        Some(Violation::invalid(field, value.as_str(), checked.err()?))
    });
    wrong.collect()
}

fn check_tasks(object: &PackageRevision) -> Vec<Violation> {
    let tasks = &object.spec.tasks;
    if tasks.len() > 1 {
        let why = "task list must not contain more than one task";
        return vec![Violation::invalid(TASKS, tasks.len(), why)];
    }
    tasks.first().map(task::check).unwrap_or_default()
}

/// Returns what is wrong with the name: it follows from the spec, so the client may say that one or none.
fn check_name(object: &PackageRevision, name: &str) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if let Err(why) = key(object).check() {
        let why = format!("the name follows from the spec: {why}");
        wrong.push(Violation::invalid("metadata.name", name, why));
    }
    let given = object.metadata.name.as_deref().unwrap_or_default();
    if !given.is_empty() && given != name {
        let why = format!("must be empty or {name:?}, the name that follows from the spec");
        wrong.push(Violation::invalid("metadata.name", given, why));
    }
    let generated = object.metadata.generate_name.as_deref();
    if generated.is_some_and(|prefix| !prefix.is_empty()) {
        let why = format!("the name follows from the spec: {name:?}");
        wrong.push(Violation::forbidden("metadata.generateName", why));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body() -> Value {
        json!({
            "metadata": {"namespace": "ns"},
            "spec": {"packageName": "net/upf", "repository": "r", "workspaceName": "w1"},
        })
    }

    /// Returns what is wrong with a good body after a change, as `field: kind: detail`.
    fn wrong(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut body = body();
        change(&mut body);
        let input = RevisionInput::from_json(body).unwrap();
        let told = create(&input).into_iter();
        told.map(|one| format!("{}: {:?}: {}", one.field, one.kind, one.detail))
            .collect()
    }

    fn only(path: &'static str, value: &Value) -> String {
        let all = wrong(|body| {
            let (parent, member) = path.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[member] = value.clone();
        });
        assert!(all.len() <= 1, "{path} {value}: {all:?}");
        all.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn what_is_good_is_let_through() {
        for (path, value) in [
            ("/metadata/name", json!("")),
            ("/metadata/name", json!("r.net.upf.w1")),
            ("/metadata/generateName", json!("")),
            ("/metadata/labels", json!({"a.b/c": "d", "e": ""})),
            (
                "/metadata/annotations",
                json!({"A.b/C": "anything\nat all"}),
            ),
            ("/metadata/finalizers", json!(["example.com/f", "orphan"])),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true}]),
            ),
            ("/spec/lifecycle", json!("")),
            ("/spec/lifecycle", json!("Draft")),
            ("/spec/revision", json!(7)),
            (
                "/spec/readinessGates",
                json!([{"conditionType": "a"}, {"conditionType": "b"}]),
            ),
            ("/spec/tasks", json!([])),
            (
                "/spec/tasks",
                json!([{"type": "init", "init": {"description": "d"}}]),
            ),
        ] {
            assert_eq!(only(path, &value), "", "{path}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn each_wrong_field_is_told_in_upstreams_words() {
        for (path, value, told) in [
            (
                "/metadata/labels",
                json!({"kpt.dev/latest-revision": "false"}),
                "metadata.labels.kpt.dev/latest-revision: Forbidden: label is managed by porch and cannot be set by users",
            ),
            (
                "/spec/packageName",
                json!(""),
                "spec.packageName: Invalid(String(\"\")): a lowercase RFC 1123 label",
            ),
            (
                "/spec/packageName",
                json!("a//b"),
                "spec.packageName: Invalid(String(\"a//b\")): consecutive '/' characters are not allowed",
            ),
            (
                "/spec/packageName",
                json!("a-/b"),
                "spec.packageName: Invalid(String(\"a-/b\")): a lowercase RFC 1123 label",
            ),
            (
                "/spec/packageName",
                json!("/a"),
                "spec.packageName: Invalid(String(\"/a\")): must not start or end with '/'",
            ),
            (
                "/spec/workspaceName",
                json!(""),
                "spec.workspaceName: Invalid(String(\"\")): a lowercase RFC 1123 label",
            ),
            (
                "/spec/workspaceName",
                json!("v1.2"),
                "spec.workspaceName: Invalid(String(\"v1.2\")): a lowercase RFC 1123 label",
            ),
            (
                "/spec/workspaceName",
                json!("x".repeat(64)),
                "spec.workspaceName: Invalid(",
            ),
            (
                "/spec/lifecycle",
                json!("Proposed"),
                "spec.lifecycle: Invalid(String(\"Proposed\")): value can be only created as Draft",
            ),
            (
                "/spec/lifecycle",
                json!("Final"),
                "spec.lifecycle: Invalid(String(\"Final\")): value can be only created as Draft",
            ),
            (
                "/spec/repository",
                json!("no_label"),
                "metadata.name: Invalid(String(\"no_label.net.upf.w1\"))",
            ),
            (
                "/metadata/name",
                json!("other"),
                "metadata.name: Invalid(String(\"other\")): must be empty or \"r.net.upf.w1\"",
            ),
            (
                "/metadata/generateName",
                json!("r-"),
                "metadata.generateName: Forbidden: ",
            ),
            (
                "/metadata/labels",
                json!({"-": "x"}),
                "metadata.labels: Invalid(String(\"-\")): name part must consist",
            ),
            (
                "/metadata/labels",
                json!({"x": "a b"}),
                "metadata.labels: Invalid(String(\"a b\")): a valid label must",
            ),
            (
                "/metadata/labels",
                json!({"x": "y".repeat(64)}),
                "metadata.labels: Invalid(",
            ),
            (
                "/metadata/annotations",
                json!({"a/b/c": ""}),
                "metadata.annotations: Invalid(String(\"a/b/c\"))",
            ),
            (
                "/metadata/annotations",
                json!({"a": "x".repeat(262_144)}),
                "metadata.annotations: TooLong(262144)",
            ),
            (
                "/metadata/finalizers",
                json!(["ok", ""]),
                "metadata.finalizers[1]: Invalid(String(\"\")): name part must be non-empty",
            ),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "K", "name": "n", "uid": ""}]),
                "metadata.ownerReferences[0].uid: Invalid(String(\"\")): must not be empty",
            ),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "", "kind": "K", "name": "n", "uid": "u"}]),
                "metadata.ownerReferences[0].apiVersion: Invalid(String(\"\")): version must not be empty",
            ),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision", "name": "r.net.upf.w1", "uid": "u"}]),
                "metadata.ownerReferences[0]: Invalid(",
            ),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "Event", "name": "n", "uid": "u"}]),
                "metadata.ownerReferences[0]: Invalid(",
            ),
            (
                "/metadata/ownerReferences",
                json!([
                {"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true},
                {"apiVersion": "v1", "kind": "K", "name": "m", "uid": "v", "controller": true}]),
                "metadata.ownerReferences: Invalid(",
            ),
            (
                "/spec/readinessGates",
                json!([{"conditionType": ""}]),
                "spec.readinessGates[0].conditionType: Required",
            ),
            (
                "/spec/readinessGates",
                json!([{"conditionType": "a"}, {"conditionType": "a"}]),
                "spec.readinessGates[1].conditionType: Duplicate(",
            ),
            (
                "/spec/tasks",
                json!([{"type": "init", "init": {}}, {"type": "edit"}]),
                "spec.tasks: Invalid(Number(2)): task list must not contain more than one task",
            ),
        ] {
            let got = only(path, &value);
            assert!(got.starts_with(told), "{path}: {got}");
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let all = wrong(|body| {
            body["spec"] = json!({"packageName": "A", "workspaceName": "B", "lifecycle": "C", "tasks": [{"type": "d"}]});
            body["metadata"]["labels"] = json!({"kpt.dev/latest-revision": "true", "-": ""});
        });
        assert_eq!(all.len(), 6, "{all:#?}");
    }

    #[test]
    fn the_spec_tells_what_the_kptfile_must_say() {
        let mut body = body();
        assert_eq!(
            creation_changes(&RevisionInput::from_json(body.clone()).unwrap()),
            []
        );
        body["spec"]["packageMetadata"] = json!({"labels": {"a": "b"}});
        body["spec"]["readinessGates"] = json!([{"conditionType": "x"}]);
        let changes = creation_changes(&RevisionInput::from_json(body).unwrap());
        assert!(matches!(
            changes.as_slice(),
            [Change::Merge(_), Change::ReadinessGates(_)]
        ));
    }
}
