//! What a creation task must be: one type, and its member alone.

use crate::{
    api::{CloneTask, EditTask, GitPackage, InitTask, Task, UpgradeTask},
    package::Violation,
};

/// The field of the tasks.
pub(super) const TASKS: &str = "spec.tasks";
/// The field of the one task.
pub(super) const TASK: &str = "spec.tasks[0]";
/// The ways to upgrade; the first one is meant when none is named.
const STRATEGIES: &[&str] = &[
    "resource-merge",
    "fast-forward",
    "force-delete-replace",
    "copy-merge",
];

/// Returns all that is wrong with a task.
pub(super) fn check(task: &Task) -> Vec<Violation> {
    let members = [
        ("init", task.init.is_some()),
        ("clone", task.clone.is_some()),
        ("edit", task.edit.is_some()),
        ("upgrade", task.upgrade.is_some()),
    ];
    let type_ = task.type_.as_str();
    if !members.iter().any(|(member, _)| *member == type_) {
        let why = format!("task of type {type_:?} not supported");
        return vec![Violation::invalid(format!("{TASK}.type"), type_, why)];
    }
    let mut wrong = Vec::new();
    for (member, is_set) in members {
        let field = format!("{TASK}.{member}");
        if member == type_ && !is_set {
            wrong.push(Violation::required(field, not_set(type_)));
        } else if member != type_ && is_set {
            let why = format!("may not be set in a task of type {type_:?}");
            wrong.push(Violation::forbidden(field, why));
        }
    }
    wrong.extend(check_member(task));
    wrong
}

fn not_set(type_: &str) -> String {
    let member = if type_ == "upgrade" {
        "upgrade field"
    } else {
        type_
    };
    format!("{member} not set for task of type {type_:?}")
}

/// Returns what is wrong with the member that the type names.
fn check_member(task: &Task) -> Vec<Violation> {
    match (task.type_.as_str(), task) {
        (
            "init",
            Task {
                init: Some(init), ..
            },
        ) => check_init(init),
        (
            "clone",
            Task {
                clone: Some(clone), ..
            },
        ) => check_clone(clone),
        (
            "edit",
            Task {
                edit: Some(edit), ..
            },
        ) => check_edit(edit),
        (
            "upgrade",
            Task {
                upgrade: Some(upgrade),
                ..
            },
        ) => check_upgrade(upgrade),
        _ => Vec::new(),
    }
}

/// Upstream fails on every subpackage, later and in other words.
fn check_init(init: &InitTask) -> Vec<Violation> {
    let why = "initialising a subpackage is not supported: create it with the package's files";
    let wrong = (!init.subpackage.is_empty())
        .then(|| Violation::forbidden(format!("{TASK}.init.subpackage"), why));
    wrong.into_iter().collect()
}

fn check_clone(clone: &CloneTask) -> Vec<Violation> {
    let field = format!("{TASK}.clone.upstreamRef");
    let source = &clone.upstream_ref;
    let all = [
        source.upstream_ref.is_some(),
        source.git.is_some(),
        source.oci.is_some(),
    ];
    match all.iter().filter(|is_set| **is_set).count() {
        0 => {
            let why = "invalid clone source (neither of git, oci, nor upstream were specified)";
            return vec![Violation::required(field, why)];
        }
        1 => {}
        _ => {
            let why = "only one of upstreamRef, git and oci may be set";
            return vec![Violation::forbidden(field, why)];
        }
    }
    if source.oci.is_some() {
        let why = "clone from OCI is not implemented";
        return vec![Violation::forbidden(format!("{field}.oci"), why)];
    }
    if let Some(git) = &source.git {
        return check_git(&format!("{field}.git"), git);
    }
    let name = source
        .upstream_ref
        .as_ref()
        .map_or("", |one| one.name.as_str());
    let why = "upstreamRef.name is required";
    required(&format!("{field}.upstreamRef.name"), name, why)
}

fn check_git(field: &str, git: &GitPackage) -> Vec<Violation> {
    let mut wrong = required(&format!("{field}.repo"), &git.repo, "");
    wrong.extend(required(&format!("{field}.ref"), &git.ref_, ""));
    let directory = git.directory.as_str();
    if directory.split('/').any(|part| part == "..") || directory.contains(['\\', '\0']) {
        let why = "must be a directory of the repository";
        wrong.push(Violation::invalid(
            format!("{field}.directory"),
            directory,
            why,
        ));
    }
    wrong
}

fn check_edit(edit: &EditTask) -> Vec<Violation> {
    let name = edit.source_ref.as_ref().map_or("", |one| one.name.as_str());
    let why = "sourceRef.name is required";
    required(&format!("{TASK}.edit.sourceRef.name"), name, why)
}

fn check_upgrade(upgrade: &UpgradeTask) -> Vec<Violation> {
    let references = [
        ("oldUpstreamRef", &upgrade.old_upstream_ref),
        ("newUpstreamRef", &upgrade.new_upstream_ref),
        (
            "localPackageRevisionRef",
            &upgrade.local_package_revision_ref,
        ),
    ];
    let missing = references.iter().flat_map(|(member, reference)| {
        let why = format!("{member}.name is required");
        required(
            &format!("{TASK}.upgrade.{member}.name"),
            &reference.name,
            &why,
        )
    });
    let mut wrong: Vec<_> = missing.collect();
    let strategy = upgrade.strategy.as_str();
    if !strategy.is_empty() && !STRATEGIES.contains(&strategy) {
        let field = format!("{TASK}.upgrade.strategy");
        wrong.push(Violation::not_supported(field, strategy, STRATEGIES));
    }
    wrong
}

fn required(field: &str, value: &str, why: &str) -> Vec<Violation> {
    let wrong = value.is_empty().then(|| Violation::required(field, why));
    wrong.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::package::ViolationKind;

    fn told(task: &Value) -> Vec<Violation> {
        check(&serde_json::from_value(task.clone()).unwrap())
    }

    #[test]
    fn whole_tasks_are_let_through() {
        for task in [
            json!({"type": "init", "init": {}}),
            json!({"type": "clone", "clone": {"upstreamRef": {"upstreamRef": {"name": "n"}}}}),
            json!({"type": "clone", "clone": {"upstreamRef": {"type": "oci", "git": {"repo": "r", "ref": "main", "directory": "/a"}}}}),
            json!({"type": "edit", "edit": {"sourceRef": {"name": "n"}}}),
            json!({"type": "upgrade", "upgrade": {"oldUpstreamRef": {"name": "a"}, "newUpstreamRef": {"name": "b"},
                "localPackageRevisionRef": {"name": "c"}, "strategy": "copy-merge"}}),
        ] {
            assert_eq!(told(&task), [], "{task}");
        }
    }

    #[test]
    fn each_wrong_part_is_told_by_its_field() {
        let source = |source: Value| json!({"type": "clone", "clone": {"upstreamRef": source}});
        for (task, field, detail) in [
            (
                json!({"type": "eval"}),
                "type",
                "task of type \"eval\" not supported",
            ),
            (json!({}), "type", "task of type \"\" not supported"),
            (
                json!({"type": "init"}),
                "init",
                "init not set for task of type \"init\"",
            ),
            (
                json!({"type": "clone"}),
                "clone",
                "clone not set for task of type \"clone\"",
            ),
            (
                json!({"type": "edit"}),
                "edit",
                "edit not set for task of type \"edit\"",
            ),
            (
                json!({"type": "upgrade"}),
                "upgrade",
                "upgrade field not set for task of type \"upgrade\"",
            ),
            (
                json!({"type": "init", "init": {}, "edit": {}}),
                "edit",
                "may not be set in a task of type \"init\"",
            ),
            (
                json!({"type": "init", "init": {"subpackage": "s"}}),
                "init.subpackage",
                "initialising a subpackage",
            ),
            (
                source(json!({})),
                "clone.upstreamRef",
                "invalid clone source (neither of git, oci, nor upstream were specified)",
            ),
            (
                source(json!({"git": {}, "upstreamRef": {"name": "n"}})),
                "clone.upstreamRef",
                "only one of",
            ),
            (
                source(json!({"oci": {"image": "i"}})),
                "clone.upstreamRef.oci",
                "clone from OCI is not implemented",
            ),
            (
                source(json!({"upstreamRef": {}})),
                "clone.upstreamRef.upstreamRef.name",
                "upstreamRef.name is required",
            ),
            (
                source(json!({"git": {"ref": "x"}})),
                "clone.upstreamRef.git.repo",
                "",
            ),
            (
                source(json!({"git": {"repo": "x"}})),
                "clone.upstreamRef.git.ref",
                "",
            ),
            (
                source(json!({"git": {"repo": "x", "ref": "y", "directory": "a/../b"}})),
                "clone.upstreamRef.git.directory",
                "must be",
            ),
            (
                json!({"type": "edit", "edit": {}}),
                "edit.sourceRef.name",
                "sourceRef.name is required",
            ),
            (
                json!({"type": "edit", "edit": {"sourceRef": {}}}),
                "edit.sourceRef.name",
                "sourceRef.name is required",
            ),
            (
                json!({"type": "upgrade", "upgrade": {"oldUpstreamRef": {"name": "a"}, "newUpstreamRef": {"name": "b"}}}),
                "upgrade.localPackageRevisionRef.name",
                "localPackageRevisionRef.name is required",
            ),
        ] {
            let wrong = told(&task);
            assert_eq!(wrong.len(), 1, "{task}: {wrong:?}");
            assert_eq!(wrong[0].field, format!("spec.tasks[0].{field}"), "{task}");
            assert!(wrong[0].detail.starts_with(detail), "{task}: {wrong:?}");
        }
        let all = told(&json!({"type": "upgrade", "upgrade": {"strategy": "x"}}));
        assert_eq!(all.len(), 4);
        assert!(matches!(all[3].kind, ViolationKind::NotSupported { .. }));
    }
}
