//! What may become of a package revision: by plain update, and by approval.
//!
//! Upstream drops what may not be changed without a word; here it is refused, when it says something else than what is there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{
    LIFECYCLE, RevisionInput, check_conditions, check_gates,
    input::{ANNOTATIONS, CONDITIONS, GATES, LABELS},
    latest_field, metadata,
};
use crate::{
    api::{Condition, LATEST_LABEL, PackageMetadata, PackageRevision, ReadinessGate},
    package::{Lifecycle, Violation, kptfile::Change},
};

/// Returns all that is wrong with an update of the main resource.
#[must_use]
pub fn update(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    let mut wrong = check_metadata(old, new);
    wrong.extend(check_lifecycle(old, new));
    if is_published(old) {
        wrong.extend(check_published(old, new));
        wrong.extend(check_content(old, new, &[CONDITIONS]));
    } else {
        wrong.extend(check_fixed(old, new));
        wrong.extend(check_content(
            old,
            new,
            &[LABELS, ANNOTATIONS, GATES, CONDITIONS],
        ));
    }
    wrong
}

/// Returns all that is wrong with an update of the approval subresource.
#[must_use]
pub fn approve(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    let mut wrong = check_metadata(old, new);
    wrong.extend(check_approval(old, new));
    wrong.extend(check_fixed(old, new));
    let changed = differences(old, new).into_iter();
    let why = "may not be changed by an approval";
    wrong.extend(changed.map(|(member, _)| Violation::forbidden(field(member), why)));
    wrong
}

/// Returns what is wrong if an update does not name the version that it changes.
#[must_use]
pub fn check_version(new: &ObjectMeta) -> Option<Violation> {
    let version = new.resource_version.as_deref().unwrap_or_default();
    let why = "resourceVersion must be specified for an update";
    version
        .is_empty()
        .then(|| Violation::required("metadata.resourceVersion", why))
}

/// Returns what must be otherwise in the Kptfile of a draft; nothing if the client sent what is there, or did not send it.
#[must_use]
pub fn content_changes(old: &PackageRevision, new: &RevisionInput) -> Vec<Change> {
    let changes = differences(old, new).into_iter();
    changes.map(|(_, change)| change).collect()
}

/// Returns the members that differ, with the change of the Kptfile that they ask for.
fn differences(old: &PackageRevision, new: &RevisionInput) -> Vec<(&'static str, Change)> {
    let none = PackageMetadata::default();
    let had = old.spec.package_metadata.as_ref().unwrap_or(&none);
    let has = new.object.spec.package_metadata.as_ref().unwrap_or(&none);
    let (had_gates, gates) = (&old.spec.readiness_gates, &new.object.spec.readiness_gates);
    let (had_conditions, conditions) = (&old.status.conditions, &new.object.status.conditions);
    let all = [
        (
            LABELS,
            had.labels == has.labels,
            Change::Labels(has.labels.clone()),
        ),
        (
            ANNOTATIONS,
            had.annotations == has.annotations,
            Change::Annotations(has.annotations.clone()),
        ),
        (
            GATES,
            same_gates(had_gates, gates),
            Change::ReadinessGates(gates.clone()),
        ),
        (
            CONDITIONS,
            same_conditions(had_conditions, conditions),
            Change::Conditions(conditions.clone()),
        ),
    ];
    let differing = all
        .into_iter()
        .filter(|(member, same, _)| !same && new.sends(member));
    differing
        .map(|(member, _, change)| (member, change))
        .collect()
}

/// Returns whether two lists say the same: items are told apart by their types, and the Kptfile keeps an order of its own.
fn same_gates(one: &[ReadinessGate], other: &[ReadinessGate]) -> bool {
    let sorted = |gates: &[ReadinessGate]| {
        let mut types: Vec<_> = gates.iter().map(|it| it.condition_type.clone()).collect();
        types.sort();
        types
    };
    sorted(one) == sorted(other)
}

fn same_conditions(one: &[Condition], other: &[Condition]) -> bool {
    let sorted = |conditions: &[Condition]| {
        let mut conditions = conditions.to_vec();
        conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
        conditions
    };
    sorted(one) == sorted(other)
}

/// Returns the path of a field from its JSON pointer.
fn field(member: &str) -> String {
    member.trim_start_matches('/').replace('/', ".")
}

fn lifecycle(object: &PackageRevision) -> Lifecycle {
    object.spec.lifecycle.unwrap_or_default()
}

fn is_published(object: &PackageRevision) -> bool {
    lifecycle(object).is_published()
}

/// Returns what is wrong with the object's own metadata, whatever it is an update of.
fn check_metadata(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    let (had, has) = (&old.metadata, &new.object.metadata);
    let mut wrong = Vec::new();
    let latest = |metadata: &ObjectMeta| {
        let labels = metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(LATEST_LABEL)).cloned()
    };
    if latest(had) != latest(has) {
        let why = "label is managed by porch and cannot be modified by users";
        wrong.push(Violation::forbidden(latest_field(), why));
    }
    wrong.extend(metadata::check(
        has,
        had.name.as_deref().unwrap_or_default(),
    ));
    if had.deletion_timestamp.is_some() {
        wrong.extend(check_leaving(old, new));
    }
    wrong
}

/// Returns what is wrong with an update of what is being deleted.
fn check_leaving(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    let held = old.metadata.finalizers.as_deref().unwrap_or_default();
    let asked = new.object.metadata.finalizers.iter().flatten();
    let added: Vec<&String> = asked.filter(|one| !held.contains(one)).collect();
    let mut wrong = Vec::new();
    if !added.is_empty() {
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
        );
        wrong.push(Violation::forbidden("metadata.finalizers", why));
    }
    if !new.lifecycle_text().is_empty() && new.lifecycle() != Some(lifecycle(old)) {
        let why = "may not be changed while the package revision is being deleted";
        wrong.push(Violation::forbidden(LIFECYCLE, why));
    }
    wrong
}

/// Returns what is wrong with the lifecycle that an update wants.
fn check_lifecycle(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if new.lifecycle().is_none() {
        let why = "value can be only updated to Draft,Proposed,Published,DeletionProposed";
        wrong.push(Violation::invalid(LIFECYCLE, new.lifecycle_text(), why));
    }
    let is_open = new.lifecycle().is_some_and(|wanted| !wanted.is_published());
    if !is_published(old) && !is_open {
        let why = "value can be only updated to Draft,Proposed";
        wrong.push(Violation::invalid(LIFECYCLE, lifecycle(old).as_str(), why));
    }
    wrong
}

/// Returns that the spec of a published revision is another one than it is, if it is.
fn check_published(old: &PackageRevision, new: &RevisionInput) -> Option<Violation> {
    let stays = new.lifecycle().is_some_and(Lifecycle::is_published);
    let mut spec = new.object.spec.clone();
    spec.lifecycle = old.spec.lifecycle;
    let changed = differences(old, new);
    let same_metadata = !changed
        .iter()
        .any(|(member, _)| matches!(*member, LABELS | ANNOTATIONS));
    if same_metadata {
        spec.package_metadata.clone_from(&old.spec.package_metadata);
    }
    if same_gates(&spec.readiness_gates, &old.spec.readiness_gates) {
        spec.readiness_gates.clone_from(&old.spec.readiness_gates);
    }
    if stays && spec == old.spec {
        return None;
    }
    let why = "spec can only update package with lifecycle value one of Draft,Proposed";
    let mut shown = json!(new.object.spec);
    if !new.lifecycle_text().is_empty() {
        shown["lifecycle"] = new.lifecycle_text().into();
    }
    Some(Violation::invalid("spec", shown, why))
}

/// Returns the fields that are fixed at creation and say something else than what is there.
fn check_fixed(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    let (had, has) = (&old.spec, &new.object.spec);
    let fixed: [(&str, Value, Value, bool); 5] = [
        (
            "packageName",
            json!(had.package_name),
            json!(has.package_name),
            has.package_name.is_empty(),
        ),
        (
            "repository",
            json!(had.repository),
            json!(has.repository),
            has.repository.is_empty(),
        ),
        (
            "workspaceName",
            json!(had.workspace_name),
            json!(has.workspace_name),
            has.workspace_name.is_empty(),
        ),
        (
            "revision",
            json!(had.revision),
            json!(has.revision),
            has.revision == 0,
        ),
        (
            "tasks",
            json!(had.tasks),
            json!(has.tasks),
            has.tasks.is_empty(),
        ),
    ];
    let wrong = fixed
        .into_iter()
        .filter(|(_, had, has, absent)| !absent && had != has);
    wrong
        .map(|(field, _, has, _)| {
            Violation::invalid(format!("spec.{field}"), has, "field is immutable")
        })
        .collect()
}

/// Returns what is wrong with the content of the Kptfile that an update wants.
fn check_content(old: &PackageRevision, new: &RevisionInput, members: &[&str]) -> Vec<Violation> {
    if lifecycle(old) != Lifecycle::Draft {
        return check_fixed_content(old, new, members);
    }
    let mut wrong = Vec::new();
    for (member, _) in differences(old, new) {
        match member {
            GATES => wrong.extend(check_gates(&new.object.spec.readiness_gates)),
            CONDITIONS => wrong.extend(check_conditions(&new.object.status.conditions)),
            _ => {}
        }
    }
    wrong
}

/// Returns the members that differ though they may only be changed in a draft.
fn check_fixed_content(
    old: &PackageRevision,
    new: &RevisionInput,
    members: &[&str],
) -> Vec<Violation> {
    let why = format!(
        "may only be changed while the lifecycle is Draft, not {}",
        lifecycle(old)
    );
    let differing = differences(old, new).into_iter();
    let wrong = differing.filter(|(member, _)| members.contains(member));
    wrong
        .map(|(member, _)| Violation::forbidden(field(member), why.as_str()))
        .collect()
}

/// Returns what is wrong with the lifecycle that an approval wants (upstream's table, with its sentences).
fn check_approval(old: &PackageRevision, new: &RevisionInput) -> Vec<Violation> {
    use Lifecycle::{DeletionProposed, Draft, Proposed, Published};
    let (from, text) = (lifecycle(old), new.lifecycle_text());
    // Here a lifecycle that was not sent is none; it is no Draft.
    let to = new.lifecycle().filter(|_| !text.is_empty());
    let refused = match (from, to) {
        (Proposed, _)
        | (Published, Some(DeletionProposed))
        | (DeletionProposed, Some(Published)) => None,
        (Draft, _) => Some(format!(
            "cannot approve package with {from} lifecycle value; only Proposed packages can be approved"
        )),
        (Published, _) => Some(
            "package with Published lifecycle value can only be updated to 'ProposeDeletion'"
                .into(),
        ),
        (DeletionProposed, _) => Some(
            "package with DeletionProposed lifecycle value can only be updated to 'Published'"
                .into(),
        ),
    };
    let wanted = match (from, to) {
        (_, Some(Draft | Published)) | (Published, Some(DeletionProposed)) => None,
        (_, Some(DeletionProposed)) => Some(
            "cannot update lifecycle DeletionProposed; only Published packages require approval for deletion",
        ),
        (_, Some(Proposed) | None) => Some("value for approval can be only one of Draft,Published"),
    };
    let refused = refused.map(|why| Violation::invalid(LIFECYCLE, from.as_str(), why));
    let wanted = wanted.map(|why| Violation::invalid(LIFECYCLE, text, why));
    refused.into_iter().chain(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(lifecycle: &str) -> Value {
        json!({
            "metadata": {"namespace": "ns", "name": "r.p.w", "resourceVersion": "7",
                "labels": {"kpt.dev/latest-revision": "true", "a": "b"}, "finalizers": ["x.io/f"]},
            "spec": {"packageName": "p", "repository": "r", "workspaceName": "w", "revision": 3, "lifecycle": lifecycle,
                "tasks": [{"type": "init", "init": {"description": "d"}}],
                "readinessGates": [{"conditionType": "g"}],
                "packageMetadata": {"labels": {"l": "1"}, "annotations": {"n": "1"}}},
            "status": {"conditions": [{"type": "g", "status": "True"}]},
        })
    }

    type Rule = fn(&PackageRevision, &RevisionInput) -> Vec<Violation>;

    fn told(rule: Rule, lifecycle: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
        told_of(rule, object(lifecycle), change)
    }

    fn told_of(rule: Rule, old: Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut new = old.clone();
        change(&mut new);
        let old = serde_json::from_value(old).unwrap();
        let wrong = rule(&old, &RevisionInput::from_json(new).unwrap());
        let shown = wrong.into_iter().map(|one| {
            let value = match one.kind {
                crate::package::ViolationKind::Invalid(Value::String(text)) => text,
                other => format!("{other:?}"),
            };
            format!("{} {value}: {}", one.field, one.detail)
        });
        shown.collect()
    }

    const LIFECYCLES: [&str; 6] = [
        "Draft",
        "Proposed",
        "Published",
        "DeletionProposed",
        "",
        "Final",
    ];

    #[test]
    fn plain_updates_follow_upstreams_table() {
        let closed = |from: &str| {
            format!("spec.lifecycle {from}: value can be only updated to Draft,Proposed")
        };
        let unknown = "spec.lifecycle Final: value can be only updated to Draft,Proposed,Published,DeletionProposed";
        for from in &LIFECYCLES[..4] {
            for to in LIFECYCLES {
                let got = told(update, from, |new| new["spec"]["lifecycle"] = json!(to));
                let mut want = Vec::new();
                if to == "Final" {
                    want.push(unknown.to_owned());
                }
                let open = matches!(to, "Draft" | "Proposed" | "");
                match *from {
                    "Draft" | "Proposed" if !open => want.push(closed(from)),
                    "Published" | "DeletionProposed" if open || to == "Final" => {
                        want.push("spec Invalid(".into());
                    }
                    _ => {}
                }
                assert_eq!(got.len(), want.len(), "{from} -> {to}: {got:?}");
                for (got, want) in got.iter().zip(want) {
                    assert!(got.starts_with(&want), "{from} -> {to}: {got}");
                }
            }
        }
        let got = told(update, "Published", |new| {
            new["spec"]["lifecycle"] = json!("Draft");
        });
        assert!(
            got[0].ends_with(
                "spec can only update package with lifecycle value one of Draft,Proposed"
            ),
            "{got:?}"
        );
        assert!(
            got[0].contains("\"lifecycle\": String(\"Draft\")"),
            "{got:?}"
        );
    }

    #[test]
    #[expect(
        clippy::many_single_char_names,
        reason = "the names of the table's texts"
    )]
    fn approvals_follow_upstreams_table() {
        let a = |from: &str| {
            format!(
                "spec.lifecycle {from}: cannot approve package with {from} lifecycle value; only Proposed packages can be approved"
            )
        };
        let b = || {
            "spec.lifecycle Published: package with Published lifecycle value can only be updated to 'ProposeDeletion'".to_owned()
        };
        let c = || {
            "spec.lifecycle DeletionProposed: package with DeletionProposed lifecycle value can only be updated to 'Published'".to_owned()
        };
        let d = |to: &str| {
            format!("spec.lifecycle {to}: value for approval can be only one of Draft,Published")
        };
        let e = || {
            "spec.lifecycle DeletionProposed: cannot update lifecycle DeletionProposed; only Published packages require approval for deletion".to_owned()
        };
        for (from, to, want) in [
            ("Draft", "Draft", vec![a("Draft")]),
            ("Draft", "Proposed", vec![a("Draft"), d("Proposed")]),
            ("Draft", "Published", vec![a("Draft")]),
            ("Draft", "DeletionProposed", vec![a("Draft"), e()]),
            ("Draft", "", vec![a("Draft"), d("")]),
            ("Draft", "Final", vec![a("Draft"), d("Final")]),
            ("Proposed", "Draft", vec![]),
            ("Proposed", "Proposed", vec![d("Proposed")]),
            ("Proposed", "Published", vec![]),
            ("Proposed", "DeletionProposed", vec![e()]),
            ("Proposed", "", vec![d("")]),
            ("Proposed", "Final", vec![d("Final")]),
            ("Published", "Draft", vec![b()]),
            ("Published", "Proposed", vec![b(), d("Proposed")]),
            ("Published", "Published", vec![b()]),
            ("Published", "DeletionProposed", vec![]),
            ("Published", "", vec![b(), d("")]),
            ("Published", "Final", vec![b(), d("Final")]),
            ("DeletionProposed", "Draft", vec![c()]),
            ("DeletionProposed", "Proposed", vec![c(), d("Proposed")]),
            ("DeletionProposed", "Published", vec![]),
            ("DeletionProposed", "DeletionProposed", vec![c(), e()]),
            ("DeletionProposed", "", vec![c(), d("")]),
            ("DeletionProposed", "Final", vec![c(), d("Final")]),
        ] {
            let got = told(approve, from, |new| new["spec"]["lifecycle"] = json!(to));
            assert_eq!(got, want, "{from} -> {to}");
        }
    }

    #[test]
    fn what_is_fixed_at_creation_is_refused_by_its_field_when_it_is_sent() {
        for (pointer, value) in [
            ("packageName", json!("q")),
            ("repository", json!("q")),
            ("workspaceName", json!("q")),
            ("revision", json!(4)),
            (
                "tasks",
                json!([{"type": "edit", "edit": {"sourceRef": {"name": "n"}}}]),
            ),
        ] {
            for (rule, from, to) in [
                (update as Rule, "Draft", "Draft"),
                (update, "Proposed", "Proposed"),
                (approve, "Proposed", "Published"),
                (approve, "Published", "DeletionProposed"),
            ] {
                let change = |new: &mut Value, value: &Value| {
                    new["spec"]["lifecycle"] = json!(to);
                    new["spec"][pointer] = value.clone();
                };
                let got = told(rule, from, |new| change(new, &value));
                assert!(
                    got.len() == 1 && got[0].starts_with(&format!("spec.{pointer} ")),
                    "{from} {got:?}"
                );
                assert!(got[0].ends_with(": field is immutable"), "{got:?}");
                assert_eq!(
                    told(rule, from, |new| change(new, &Value::Null)),
                    [""; 0],
                    "{from} {pointer}"
                );
            }
        }
    }

    #[test]
    fn content_is_changed_in_drafts_only() {
        for (pointer, value, change) in [
            (
                "/spec/packageMetadata/labels",
                json!({"l": "2"}),
                Change::Labels([("l".into(), "2".into())].into()),
            ),
            (
                "/spec/packageMetadata/annotations",
                json!({}),
                Change::Annotations([].into()),
            ),
            (
                "/spec/readinessGates",
                json!([]),
                Change::ReadinessGates(vec![]),
            ),
            ("/status/conditions", json!([]), Change::Conditions(vec![])),
        ] {
            let set = |new: &mut Value| *new.pointer_mut(pointer).unwrap() = value.clone();
            assert_eq!(told(update, "Draft", set), [""; 0]);
            let field = pointer[1..].replace('/', ".");
            for (rule, why) in [
                (
                    update as Rule,
                    "may only be changed while the lifecycle is Draft, not Proposed",
                ),
                (approve, "may not be changed by an approval"),
            ] {
                let got = told(rule, "Proposed", |new| {
                    set(new);
                    new["spec"]["lifecycle"] = json!("Draft");
                });
                assert_eq!(got, [format!("{field} Forbidden: {why}")]);
            }
            let got = told(update, "Published", set);
            let field = if field == "status.conditions" {
                "status.conditions "
            } else {
                "spec "
            };
            assert!(
                got.len() == 1 && got[0].starts_with(field),
                "{pointer}: {got:?}"
            );
            let old: PackageRevision = serde_json::from_value(object("Draft")).unwrap();
            let mut new = object("Draft");
            set(&mut new);
            assert_eq!(
                content_changes(&old, &RevisionInput::from_json(new).unwrap()),
                [change]
            );
            // What was not sent is what is there.
            let mut new = object("Draft");
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            new.pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(member);
            assert_eq!(
                content_changes(&old, &RevisionInput::from_json(new).unwrap()),
                []
            );
        }
        let without = |new: &mut Value| new["spec"]["packageMetadata"] = Value::Null;
        assert_eq!(told(update, "Published", without), [""; 0]);
    }

    #[test]
    fn gates_and_conditions_are_named_once_and_have_a_status() {
        for (pointer, value, field) in [
            (
                "/status/conditions",
                json!([{"type": "a", "status": "Maybe"}]),
                "status.conditions[0].status NotSupported",
            ),
            (
                "/status/conditions",
                json!([{"status": "True"}]),
                "status.conditions[0].type Required",
            ),
            (
                "/status/conditions",
                json!([{"type": "a", "status": "True"}, {"type": "a", "status": "True"}]),
                "status.conditions[1].type Duplicate",
            ),
            (
                "/spec/readinessGates",
                json!([{"conditionType": "a"}, {"conditionType": "a"}]),
                "spec.readinessGates[1].conditionType Duplicate",
            ),
        ] {
            let got = told(update, "Draft", |new| {
                *new.pointer_mut(pointer).unwrap() = value;
            });
            assert!(got.len() == 1 && got[0].starts_with(field), "{got:?}");
        }
    }

    #[test]
    fn metadata_is_guarded_on_every_path() {
        for (member, value, want) in [
            (
                "labels",
                json!({"a": "b"}),
                "metadata.labels.kpt.dev/latest-revision Forbidden: label is managed by porch and cannot be modified by users",
            ),
            (
                "labels",
                json!({"kpt.dev/latest-revision": "false"}),
                "metadata.labels.kpt.dev/latest-revision Forbidden",
            ),
            (
                "labels",
                json!({"kpt.dev/latest-revision": "true", "-": ""}),
                "metadata.labels -",
            ),
            ("finalizers", json!([""]), "metadata.finalizers[0] "),
            (
                "ownerReferences",
                json!([{"apiVersion": "v1", "kind": "K", "name": "", "uid": "u"}]),
                "metadata.ownerReferences[0].name ",
            ),
            (
                "ownerReferences",
                json!([{"apiVersion": "v1", "kind": "K", "name": "n", "uid": crate::package::revision_uid("ns", "r.p.w")}]),
                "metadata.ownerReferences[0] ",
            ),
        ] {
            for (rule, from, to) in [
                (update as Rule, "Draft", "Draft"),
                (update, "Published", "Published"),
                (approve, "Proposed", "Published"),
            ] {
                let got = told(rule, from, |new| {
                    new["spec"]["lifecycle"] = json!(to);
                    new["metadata"][member] = value.clone();
                });
                assert!(
                    got.len() == 1 && got[0].starts_with(want),
                    "{member} {value}: {got:?}"
                );
            }
        }
        let free = json!({"kpt.dev/latest-revision": "true", "new": "label"});
        assert_eq!(
            told(update, "Published", |new| new["metadata"]["labels"] = free),
            [""; 0]
        );
    }

    #[test]
    fn what_is_being_deleted_takes_no_new_finalizers_and_keeps_its_lifecycle() {
        let leaving = |lifecycle: &str| {
            let mut old = object(lifecycle);
            old["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            old
        };
        for rule in [update as Rule, approve] {
            let got = told_of(rule, leaving("Proposed"), |new| {
                new["spec"]["lifecycle"] = json!("Draft");
                new["metadata"]["finalizers"] = json!(["x.io/f", "x.io/g"]);
            });
            assert_eq!(
                got,
                [
                    "metadata.finalizers Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers [\"x.io/g\"]",
                    "spec.lifecycle Forbidden: may not be changed while the package revision is being deleted",
                ]
            );
        }
        assert_eq!(
            told_of(
                update,
                leaving("Draft"),
                |new| new["metadata"]["finalizers"] = json!([])
            ),
            [""; 0]
        );
    }

    #[test]
    fn an_update_names_the_version_that_it_changes() {
        let named = |version: Option<&str>| ObjectMeta {
            resource_version: version.map(str::to_owned),
            ..ObjectMeta::default()
        };
        for none in [None, Some("")] {
            let wrong = check_version(&named(none)).unwrap();
            assert_eq!(wrong.field, "metadata.resourceVersion");
            assert_eq!(
                wrong.detail,
                "resourceVersion must be specified for an update"
            );
        }
        assert_eq!(check_version(&named(Some("1"))), None);
    }
}
