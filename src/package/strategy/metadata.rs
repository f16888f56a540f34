//! The rules of an object's own metadata, as Kubernetes has them (k8s.io/apimachinery `api/validation`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use crate::{
    api::GROUP,
    package::{Violation, revision_uid, syntax},
};

/// Largest sum of an object's annotations, in bytes.
const MOST_ANNOTATIONS: usize = 256 * 1024;

/// Largest sum of an object's labels, in bytes. Kubernetes bounds only the whole object; a record must have room for more.
const MOST_LABELS: usize = 128 * 1024;
/// Most finalizers, and most owners: far more than anybody has.
const MOST_NAMES: usize = 256;

/// Returns what is wrong with labels, annotations, finalizers and owners; `name` is that of the object.
pub(super) fn check(metadata: &ObjectMeta, name: &str) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if let Some(labels) = &metadata.labels {
        wrong.extend(check_labels("metadata.labels", labels));
    }
    if let Some(annotations) = &metadata.annotations {
        wrong.extend(check_annotations("metadata.annotations", annotations));
    }
    let owners = metadata.owner_references.as_ref().map_or(0, Vec::len);
    let held = metadata.finalizers.as_ref().map_or(0, Vec::len);
    for (field, number) in [
        ("metadata.finalizers", held),
        ("metadata.ownerReferences", owners),
    ] {
        wrong.extend((number > MOST_NAMES).then(|| Violation::too_many(field, MOST_NAMES)));
    }
    let finalizers = metadata.finalizers.iter().flatten().enumerate();
    wrong.extend(finalizers.filter_map(|(at, finalizer)| {
        let why = syntax::qualified(finalizer).err()?;
        let field = format!("metadata.finalizers[{at}]");
        Some(Violation::invalid(field, finalizer.as_str(), why))
    }));
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let own = revision_uid(namespace, name);
    wrong.extend(check_owners(
        metadata.owner_references.as_deref().unwrap_or_default(),
        name,
        &own,
    ));
    wrong
}

fn check_labels(field: &str, labels: &BTreeMap<String, String>) -> Vec<Violation> {
    let keys = labels.keys().map(|key| (key, syntax::qualified(key)));
    let values = labels
        .values()
        .map(|value| (value, syntax::label_value(value)));
    let wrong = keys.chain(values).filter_map(|(text, checked)| {
        let why = checked.err()?;
        Some(Violation::invalid(field, text.as_str(), why))
    });
    let size: usize = labels
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > MOST_LABELS {
        return vec![Violation::too_long(field, MOST_LABELS)];
    }
    wrong.collect()
}

fn check_annotations(field: &str, annotations: &BTreeMap<String, String>) -> Vec<Violation> {
    let wrong = annotations.keys().filter_map(|key| {
        let why = syntax::qualified(&key.to_lowercase()).err()?;
        Some(Violation::invalid(field, key.as_str(), why))
    });
    let mut wrong: Vec<_> = wrong.collect();
    let pairs = annotations.iter();
    let size: usize = pairs.map(|(key, value)| key.len() + value.len()).sum();
    if size > MOST_ANNOTATIONS {
        wrong.push(Violation::too_long(field, MOST_ANNOTATIONS));
    }
    wrong
}

fn check_owners(owners: &[OwnerReference], name: &str, own: &str) -> Vec<Violation> {
    let field = "metadata.ownerReferences";
    let each = owners.iter().enumerate();
    let mut wrong: Vec<_> = each
        .flat_map(|(at, owner)| check_owner(&format!("{field}[{at}]"), owner, (name, own)))
        .collect();
    let controllers = owners.iter().filter(|owner| owner.controller == Some(true));
    if controllers.count() > 1 {
        let why = "Only one reference can have Controller set to true";
        wrong.push(Violation::invalid(field, json!(owners), why));
    }
    wrong
}

fn check_owner(field: &str, owner: &OwnerReference, (name, own): (&str, &str)) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for (member, value, why) in [
        (
            "apiVersion",
            &owner.api_version,
            "version must not be empty",
        ),
        ("kind", &owner.kind, "must not be empty"),
        ("name", &owner.name, "must not be empty"),
        ("uid", &owner.uid, "must not be empty"),
    ] {
        if value.is_empty() {
            wrong.push(Violation::invalid(
                format!("{field}.{member}"),
                value.as_str(),
                why,
            ));
        }
    }
    if owner.api_version == "v1" && owner.kind == "Event" {
        let why = "v1, Kind=Event is disallowed from being an owner";
        wrong.push(Violation::invalid(field, json!(owner), why));
    }
    let group = owner.api_version.split('/').next();
    let is_revision = owner.kind == "PackageRevision" && group == Some(GROUP);
    if owner.uid == own || is_revision && owner.name == name {
        let why = "a package revision must not own itself";
        wrong.push(Violation::invalid(field, json!(owner), why));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_record_holds_is_refused_by_its_field() {
        let labels = (0..4000).map(|at| (format!("label-number-{at}"), "x".repeat(40)));
        let many = ObjectMeta {
            labels: Some(labels.collect()),
            finalizers: Some((0..300).map(|at| format!("a/f{at}")).collect()),
            ..ObjectMeta::default()
        };
        let fields: Vec<String> = check(&many, "n").into_iter().map(|it| it.field).collect();
        assert_eq!(fields, ["metadata.labels", "metadata.finalizers"]);
    }
}
