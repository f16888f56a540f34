//! A package revision as the cache keeps it: its record, and what users are shown of it, encoded once.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Entry, Name, Version, view};
use crate::api::{MARKER_LABEL, Observed, PackageRev};

/// What precedes the key in the selectable field of a Kptfile's label, as in `spec.packageMetadata.labels[tier]`.
pub(super) const KPTFILE_LABEL: &str = "spec.packageMetadata.labels[";

/// A package revision that is served.
#[derive(Debug)]
pub struct Revision {
    name: Name,
    version: Version,
    body: Bytes,
    /// A part of `body`.
    metadata: Bytes,
    /// Has `observed`: without it there would be nothing to serve.
    record: Arc<PackageRev>,
}

impl Revision {
    /// Returns the revision that a record shows; nothing for a record that is not served: the marker, one that Git was
    /// not read for (so one whose creation is under way), or one without a version.
    #[must_use]
    pub fn of(record: &Arc<PackageRev>) -> Option<Self> {
        if is_marker(record) {
            return None;
        }
        let version = version_of(record)?;
        let shown = view::package_revision(record)?;
        let encoded = view::encode(&shown.kind, &shown.metadata, &shown.spec, &shown.status);
        Some(Self {
            name: name_of(record),
            version,
            body: encoded.body,
            metadata: encoded.metadata,
            record: record.clone(),
        })
    }

    /// Returns the whole `PackageRevision` as one line of JSON.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the record behind it.
    #[must_use]
    pub fn record(&self) -> &Arc<PackageRev> {
        &self.record
    }

    /// Returns what Git says of it.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        let observed = self.record.spec.observed.as_ref();
        observed.expect("a revision is only made of a record that Git was read for")
    }

    /// Returns the name of its Repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        view::repository(&self.record)
    }

    /// Returns the metadata of its `PackageRevisionResources`.
    #[must_use]
    pub fn resources_metadata(&self) -> ObjectMeta {
        view::resources_metadata(&self.record)
    }
}

impl Entry for Revision {
    fn name(&self) -> &Name {
        &self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    fn label(&self, key: &str) -> Option<&str> {
        view::label(&self.record, self.observed(), key)
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let observed = self.observed();
        Some(match path {
            "metadata.name" => self.name.name.as_str().into(),
            "metadata.namespace" => self.name.namespace.as_str().into(),
            "spec.revision" => observed.revision.to_string().into(),
            "spec.packageName" => observed.package.as_str().into(),
            "spec.repository" => self.repository().into(),
            "spec.workspaceName" => observed.workspace.as_str().into(),
            "spec.lifecycle" => observed.lifecycle.as_str().into(),
            _ => {
                let key = path.strip_prefix(KPTFILE_LABEL)?.strip_suffix(']')?;
                observed.kptfile.labels.get(key)?.into()
            }
        })
    }

    fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    fn at(&self, version: Version) -> Self {
        let mut record = PackageRev::clone(&self.record);
        record.metadata.resource_version = Some(version.to_string());
        Self::of(&Arc::new(record)).expect("it was served under another version")
    }
}

/// Returns the name of a record.
#[must_use]
pub fn name_of(record: &PackageRev) -> Name {
    Name {
        namespace: record.metadata.namespace.clone().unwrap_or_default(),
        name: record.metadata.name.clone().unwrap_or_default(),
    }
}

/// Returns the version of a record; nothing if it has none, or none that can be compared.
#[must_use]
pub fn version_of(record: &PackageRev) -> Option<Version> {
    record.metadata.resource_version.as_deref()?.parse().ok()
}

/// Returns whether a record is the marker, or another's: it is never served.
#[must_use]
pub fn is_marker(record: &PackageRev) -> bool {
    let labels = record.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(MARKER_LABEL))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A published record with everything that can be shown.
    fn full() -> Value {
        json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1",
            "kind": "PackageRev",
            "metadata": {
                "name": "deploy.edge.net.free5gc.v1",
                "namespace": "default",
                "uid": "the-records-own",
                "resourceVersion": "4711",
                "generation": 3,
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"internal.porch.kpt.dev/repository": "deploy"},
                "finalizers": ["internal.porch.kpt.dev/packagerevision"],
                "managedFields": [{"manager": "porch"}]
            },
            "spec": {
                "repository": {"name": "deploy", "uid": "r"},
                "metadata": {
                    "labels": {"tier": "one", "kpt.dev/latest-revision": "mine"},
                    "annotations": {"note": "kept"},
                    "finalizers": ["example.com/hold"],
                    "deletionTimestamp": "2026-02-02T00:00:00Z",
                    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]
                },
                "observed": {
                    "format": 1,
                    "package": "edge/net/free5gc",
                    "workspace": "v1",
                    "revision": 1,
                    "lifecycle": "Published",
                    "latest": true,
                    "deployment": true,
                    "git": {
                        "repo": "https://git.example/deploy.git",
                        "directory": "base/edge/net/free5gc",
                        "ref": "refs/tags/base/edge/net/free5gc/v1",
                        "commit": "0123456789012345678901234567890123456789",
                        "tree": "t"
                    },
                    "tasks": [{"type": "clone", "clone": {"upstreamRef": {"upstreamRef": {"name": "catalog.free5gc.v3"}}}}],
                    "kptfile": {
                        "blob": "b",
                        "labels": {"app": "upf"},
                        "annotations": {"config.kubernetes.io/local-config": "true"},
                        "readinessGates": [{"conditionType": "fine"}],
                        "conditions": [{"type": "fine", "status": "True"}],
                        "upstreamLock": {"type": "git", "git": {"repo": "https://up", "directory": "free5gc", "ref": "free5gc/v3", "commit": "c"}}
                    },
                    "publishedBy": "alice@example.com",
                    "publishedAt": "2026-01-02T03:09:00Z"
                }
            }
        })
    }

    fn served(record: Value) -> Option<Revision> {
        let record: PackageRev = serde_json::from_value(record).unwrap();
        Revision::of(&Arc::new(record))
    }

    fn body(revision: &Revision) -> Value {
        serde_json::from_slice(revision.body()).unwrap()
    }

    #[test]
    fn a_record_shows_all_that_its_revision_is() {
        let revision = served(full()).unwrap();
        let metadata = json!({
            "name": "deploy.edge.net.free5gc.v1",
            "namespace": "default",
            "uid": crate::package::revision_uid("default", "deploy.edge.net.free5gc.v1"),
            "resourceVersion": "4711",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "deletionTimestamp": "2026-02-02T00:00:00Z",
            "deletionGracePeriodSeconds": 0,
            "labels": {"kpt.dev/latest-revision": "true", "tier": "one"},
            "annotations": {"note": "kept"},
            "finalizers": ["example.com/hold"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]
        });
        let expected = json!({
            "kind": "PackageRevision",
            "apiVersion": "porch.kpt.dev/v1alpha1",
            "metadata": metadata,
            "spec": {
                "packageName": "edge/net/free5gc",
                "repository": "deploy",
                "workspaceName": "v1",
                "revision": 1,
                "lifecycle": "Published",
                "tasks": [{"type": "clone", "clone": {"upstreamRef": {"upstreamRef": {"name": "catalog.free5gc.v3"}}}}],
                "readinessGates": [{"conditionType": "fine"}],
                "packageMetadata": {"labels": {"app": "upf"}, "annotations": {"config.kubernetes.io/local-config": "true"}}
            },
            "status": {
                "upstreamLock": {"type": "git", "git": {"repo": "https://up", "directory": "free5gc", "ref": "free5gc/v3", "commit": "c"}},
                "selfLock": {"type": "git", "git": {
                    "repo": "https://git.example/deploy.git",
                    "directory": "edge/net/free5gc",
                    "ref": "base/edge/net/free5gc/v1",
                    "commit": "0123456789012345678901234567890123456789"
                }},
                "publishedBy": "alice@example.com",
                "publishTimestamp": "2026-01-02T03:09:00Z",
                "deployment": true,
                "conditions": [{"type": "fine", "status": "True"}]
            }
        });
        assert_eq!(body(&revision), expected);
        let part: Value = serde_json::from_slice(revision.metadata()).unwrap();
        assert_eq!(part, metadata);
        assert_eq!(revision.label("kpt.dev/latest-revision"), Some("true"));
        assert_eq!(revision.label("tier"), Some("one"));
        assert_eq!(revision.label("app"), None, "a Kptfile's labels are none");
        assert!(!revision.body().contains(&b'\n'));
    }

    #[test]
    fn a_draft_shows_no_publication_and_only_what_there_is() {
        let mut record = full();
        let observed = &mut record["spec"]["observed"];
        observed["lifecycle"] = json!("Draft");
        observed["revision"] = json!(0);
        observed["latest"] = json!(false);
        observed["deployment"] = json!(false);
        observed["kptfile"] = json!({});
        observed["tasks"] = json!([]);
        observed["git"]["ref"] = json!("refs/heads/drafts/edge/net/free5gc/v1");
        record["spec"]["metadata"] = json!({"labels": {"kpt.dev/latest-revision": "true"}});
        let body = body(&served(record).unwrap());
        assert_eq!(
            body["metadata"].get("labels"),
            None,
            "the label is computed"
        );
        assert_eq!(
            body["spec"],
            json!({
                "packageName": "edge/net/free5gc", "repository": "deploy", "workspaceName": "v1",
                "lifecycle": "Draft", "packageMetadata": {}
            })
        );
        let status = &body["status"];
        assert_eq!(status["upstreamLock"], json!({}));
        assert_eq!(status["publishTimestamp"], Value::Null);
        assert!(status.as_object().unwrap().contains_key("publishTimestamp"));
        assert_eq!(status.get("publishedBy"), None);
        assert_eq!(status.get("deployment"), None);
        assert_eq!(
            status["selfLock"]["git"]["ref"],
            "drafts/edge/net/free5gc/v1"
        );
    }

    #[test]
    fn records_that_say_nothing_are_not_served() {
        let without = |edit: fn(&mut Value)| {
            let mut record = full();
            edit(&mut record);
            served(record).is_none()
        };
        assert!(without(|it| it["spec"]["observed"] = Value::Null));
        assert!(without(|it| it["spec"]["observed"] = json!({"format": 99})));
        assert!(without(
            |it| it["metadata"]["labels"] = json!({MARKER_LABEL: "true"})
        ));
        assert!(without(|it| it["metadata"]["resourceVersion"] = json!("v1")));
        assert!(!without(
            |it| it["spec"]["intent"] = json!({"id": "i", "process": "p"})
        ));
    }

    #[test]
    fn a_gone_revision_shows_its_last_state_at_the_version_of_its_end() {
        let revision = served(full()).unwrap();
        let last = revision.at(Version(5000));
        let mut expected = body(&revision);
        expected["metadata"]["resourceVersion"] = json!("5000");
        assert_eq!(body(&last), expected);
        assert_eq!(last.version(), Version(5000));
        let metadata: Value = serde_json::from_slice(last.metadata()).unwrap();
        assert_eq!(metadata, expected["metadata"]);
    }

    #[test]
    fn the_resources_have_the_same_name_and_version_and_nothing_of_the_users() {
        let metadata = served(full()).unwrap().resources_metadata();
        let uid = crate::package::revision_uid("default", "deploy.edge.net.free5gc.v1");
        assert_eq!(
            serde_json::to_value(metadata).unwrap(),
            json!({
                "name": "deploy.edge.net.free5gc.v1", "namespace": "default", "uid": uid,
                "resourceVersion": "4711", "creationTimestamp": "2026-01-02T03:04:05Z"
            })
        );
    }

    #[test]
    fn fields_are_those_that_can_be_selected_by() {
        let revision = served(full()).unwrap();
        for (path, value) in [
            ("metadata.name", Some("deploy.edge.net.free5gc.v1")),
            ("metadata.namespace", Some("default")),
            ("spec.revision", Some("1")),
            ("spec.packageName", Some("edge/net/free5gc")),
            ("spec.repository", Some("deploy")),
            ("spec.workspaceName", Some("v1")),
            ("spec.lifecycle", Some("Published")),
            ("spec.packageMetadata.labels[app]", Some("upf")),
            ("spec.packageMetadata.labels[other]", None),
            ("status.deployment", None),
        ] {
            assert_eq!(revision.field(path).as_deref(), value, "{path}");
        }
    }

    #[test]
    fn ten_thousand_revisions_fit() {
        let revision = served(full()).unwrap();
        let record = size_of::<PackageRev>();
        let held = size_of::<Revision>() + revision.body().len() + record;
        assert!(held < 6000, "{held} bytes, of which the record {record}");
    }
}
