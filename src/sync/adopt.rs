//! The records of the incumbent: upstream keeps the user's metadata as the record's own. Read once, when the revision is
//! first scanned, so that users lose nothing. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::api::{
    GROUP, LATEST_LABEL, PackageRev, RECORD_FINALIZER, REPOSITORY_LABEL, UserMetadata,
};

/// Returns whether upstream made this record and it was not adopted yet.
#[must_use]
pub fn is_incumbents(record: &PackageRev) -> bool {
    record.spec.observed.is_none()
        && record.spec.intent.is_none()
        && record.spec.repository.uid.is_empty()
}

/// Moves the user's metadata to its place in the record.
pub fn adopt(record: &mut PackageRev) {
    let metadata = std::mem::take(&mut record.metadata);
    record.spec.metadata = UserMetadata {
        labels: without(metadata.labels.as_ref(), &[REPOSITORY_LABEL, LATEST_LABEL]),
        annotations: without(metadata.annotations.as_ref(), &[]),
        finalizers: users_finalizers(&metadata),
        owner_references: users_owners(&metadata),
        // A revision that is held Terminating by the user's finalizers stays so.
        deletion_timestamp: metadata.deletion_timestamp.clone(),
        managed_fields: None,
        files_managed_fields: None,
    };
    let held = metadata
        .finalizers
        .as_ref()
        .is_some_and(|held| held.iter().any(|it| it == RECORD_FINALIZER));
    record.metadata = ObjectMeta {
        labels: None,
        annotations: None,
        finalizers: held.then(|| vec![RECORD_FINALIZER.into()]),
        owner_references: None,
        managed_fields: None,
        ..metadata
    };
}

fn without(map: Option<&BTreeMap<String, String>>, internal: &[&str]) -> BTreeMap<String, String> {
    let all = map.into_iter().flatten();
    let kept = all.filter(|(key, _)| !internal.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn users_finalizers(metadata: &ObjectMeta) -> Vec<String> {
    let all = metadata.finalizers.iter().flatten();
    all.filter(|held| *held != RECORD_FINALIZER)
        .cloned()
        .collect()
}

fn users_owners(metadata: &ObjectMeta) -> Vec<OwnerReference> {
    let all = metadata.owner_references.iter().flatten();
    let own = |owner: &OwnerReference| {
        owner.kind == "PackageRevision"
            && owner.api_version.starts_with(GROUP)
            && Some(&owner.name) == metadata.name.as_ref()
    };
    all.filter(|owner| !own(owner)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_users_half_of_an_incumbents_record_is_kept_and_the_rest_is_not() {
        let owner = |kind: &str, name: &str| json!({"apiVersion": "porch.kpt.dev/v1alpha1", "kind": kind, "name": name, "uid": "u"});
        let mut record: PackageRev = serde_json::from_value(json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "PackageRev",
            "metadata": {
                "name": "r.a.w", "namespace": "default", "resourceVersion": "7",
                "labels": {REPOSITORY_LABEL: "r", LATEST_LABEL: "true", "mine": "1"},
                "annotations": {"note": "2"},
                "finalizers": [RECORD_FINALIZER, "mine/held"],
                "ownerReferences": [owner("PackageRevision", "r.a.w"), owner("PackageRevision", "r.other.w")],
            },
            "spec": {}, "status": {},
        }))
        .unwrap();
        assert!(is_incumbents(&record));
        adopt(&mut record);
        let user = &record.spec.metadata;
        assert_eq!(user.labels, BTreeMap::from([("mine".into(), "1".into())]));
        assert_eq!(
            user.annotations,
            BTreeMap::from([("note".into(), "2".into())])
        );
        assert_eq!(user.finalizers, ["mine/held"]);
        assert_eq!(user.owner_references.len(), 1);
        assert_eq!(user.owner_references[0].name, "r.other.w");
        assert_eq!(record.metadata.labels, None);
        assert_eq!(
            record.metadata.finalizers,
            Some(vec![RECORD_FINALIZER.into()])
        );
        assert_eq!(record.metadata.resource_version.as_deref(), Some("7"));
    }
}
