//! How a record looks to users: the API objects that it alone makes. Pure: a record in, an object out.
//!
//! Nothing shown is computed from another record; so the version of a record is the version of all that is shown of it.

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use serde::Serialize;

use crate::{
    api::{
        self, CompactJson, Condition, GitLock, KptfileObserved, LATEST_LABEL, Locator, Observed,
        PackageMetadata, PackageRev, PackageRevision, PackageRevisionSpec, PackageRevisionStatus,
        PorchPackage, PorchPackageSpec, PorchPackageStatus,
    },
    package::{PackageKey, package_uid, revision_uid},
};

/// The condition that tells of a Kptfile that can't be understood; it is in no Kptfile.
const KPTFILE_READABLE: &str = "porch.kpt.dev/KptfileReadable";

/// The value of the label of the newest published revision.
const LATEST: &str = "true";

/// Returns what Git says of a record; nothing while Git was not read for it, or if that can't be understood.
#[must_use]
pub fn observed(record: &PackageRev) -> Option<&Observed> {
    let observed = record.spec.observed.as_ref()?;
    let named = !observed.package.is_empty() && !observed.workspace.is_empty();
    named.then_some(observed)
}

/// Returns the `PackageRevision` that a record shows; nothing while Git was not read for it.
#[must_use]
pub fn package_revision(record: &PackageRev) -> Option<PackageRevision> {
    let observed = observed(record)?;
    Some(PackageRevision {
        api_version: api_version(),
        kind: "PackageRevision".into(),
        metadata: metadata(record, observed),
        spec: spec(record, observed),
        status: status(observed),
    })
}

/// Returns the metadata of the `PackageRevisionResources` of a record: who and when, and of the user's who owns which file.
#[must_use]
pub fn resources_metadata(record: &PackageRev) -> ObjectMeta {
    ObjectMeta {
        managed_fields: managed_fields(record.spec.metadata.files_managed_fields.as_ref()),
        ..own_metadata(record)
    }
}

/// Returns what every object of a record has in its metadata.
fn own_metadata(record: &PackageRev) -> ObjectMeta {
    let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
    let name = record.metadata.name.as_deref().unwrap_or_default();
    ObjectMeta {
        name: record.metadata.name.clone(),
        namespace: record.metadata.namespace.clone(),
        uid: Some(revision_uid(namespace, name)),
        resource_version: record.metadata.resource_version.clone(),
        creation_timestamp: record.metadata.creation_timestamp.clone(),
        ..ObjectMeta::default()
    }
}

/// Returns the `PorchPackage` whose content comes from this record, without its version; nothing while Git was not read
/// for the record.
#[must_use]
pub fn package(record: &PackageRev) -> Option<PorchPackage> {
    let observed = observed(record)?;
    let key = package_key(record, observed);
    let namespace = record.metadata.namespace.clone().unwrap_or_default();
    let name = key.name();
    let revision = observed.revision;
    let published = observed.lifecycle.is_published() && revision >= 1;
    Some(PorchPackage {
        api_version: api_version(),
        kind: "PorchPackage".into(),
        metadata: ObjectMeta {
            uid: Some(package_uid(&namespace, &name)),
            name: Some(name),
            namespace: Some(namespace),
            creation_timestamp: record.metadata.creation_timestamp.clone(),
            ..ObjectMeta::default()
        },
        spec: PorchPackageSpec {
            package_name: key.package,
            repository: key.repository,
        },
        status: PorchPackageStatus {
            latest_revision: if published { revision } else { 0 },
        },
    })
}

/// Returns the key of the package that a record belongs to.
#[must_use]
pub fn package_key(record: &PackageRev, observed: &Observed) -> PackageKey {
    PackageKey {
        repository: repository(record).into(),
        package: observed.package.clone(),
    }
}

/// Returns the name of the Repository that a record belongs to; of one that was not read yet, its label's.
#[must_use]
pub fn repository(record: &PackageRev) -> &str {
    let name = record.spec.repository.name.as_str();
    if !name.is_empty() {
        return name;
    }
    let labels = record.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(api::REPOSITORY_LABEL))
        .map_or("", String::as_str)
}

/// An object as JSON: all of it, and its `metadata`, which shares the memory.
pub(super) struct Encoded {
    pub body: Bytes,
    pub metadata: Bytes,
}

/// Returns an object as one line of JSON, with `metadata` as a part of it.
pub(super) fn encode(
    kind: &str,
    metadata: &ObjectMeta,
    spec: &impl Serialize,
    status: &impl Serialize,
) -> Encoded {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"apiVersion\":\"");
    out.extend_from_slice(api_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    let from = out.len();
    write(&mut out, metadata);
    let to = out.len();
    out.extend_from_slice(b",\"spec\":");
    write(&mut out, spec);
    out.extend_from_slice(b",\"status\":");
    write(&mut out, status);
    out.push(b'}');
    // A boxed slice has no room to spare, and these are kept by the ten thousand.
    let body = Bytes::from(out.into_boxed_slice());
    let metadata = body.slice(from..to);
    Encoded { body, metadata }
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("wire types have string keys, and memory takes all");
}

fn api_version() -> String {
    format!("{}/{}", api::GROUP, api::VERSION)
}

fn metadata(record: &PackageRev, observed: &Observed) -> ObjectMeta {
    let user = &record.spec.metadata;
    let mut labels = user.labels.clone();
    labels.remove(LATEST_LABEL);
    if observed.latest {
        labels.insert(LATEST_LABEL.into(), LATEST.into());
    }
    ObjectMeta {
        labels: (!labels.is_empty()).then_some(labels),
        annotations: (!user.annotations.is_empty()).then(|| user.annotations.clone()),
        finalizers: (!user.finalizers.is_empty()).then(|| user.finalizers.clone()),
        owner_references: (!user.owner_references.is_empty())
            .then(|| user.owner_references.clone()),
        deletion_timestamp: user.deletion_timestamp.clone(),
        deletion_grace_period_seconds: user.deletion_timestamp.as_ref().map(|_| 0),
        managed_fields: managed_fields(user.managed_fields.as_ref()),
        ..own_metadata(record)
    }
}

/// Returns who owns which field, as it is kept; what can't be understood is not shown.
fn managed_fields(kept: Option<&CompactJson>) -> Option<Vec<ManagedFieldsEntry>> {
    kept?.parse()
}

/// Returns the value of a label that users see.
pub(super) fn label<'a>(record: &'a PackageRev, observed: &Observed, key: &str) -> Option<&'a str> {
    if key == LATEST_LABEL {
        return observed.latest.then_some(LATEST);
    }
    record.spec.metadata.labels.get(key).map(String::as_str)
}

fn spec(record: &PackageRev, observed: &Observed) -> PackageRevisionSpec {
    PackageRevisionSpec {
        package_name: observed.package.clone(),
        repository: repository(record).into(),
        workspace_name: observed.workspace.clone(),
        revision: observed.revision,
        parent: None,
        lifecycle: Some(observed.lifecycle),
        tasks: observed.tasks.clone(),
        readiness_gates: observed.kptfile.readiness_gates.clone(),
        package_metadata: Some(PackageMetadata {
            labels: observed.kptfile.labels.to_map(),
            annotations: observed.kptfile.annotations.to_map(),
        }),
    }
}

fn status(observed: &Observed) -> PackageRevisionStatus {
    let published = observed.lifecycle.is_published();
    let (by, at): (&str, Option<Time>) = if published {
        (&observed.published_by, observed.published_at.clone())
    } else {
        ("", None)
    };
    PackageRevisionStatus {
        upstream_lock: observed.kptfile.upstream_lock.clone(),
        self_lock: self_lock(observed),
        published_by: by.into(),
        publish_timestamp: at,
        deployment: observed.deployment,
        conditions: conditions(&observed.kptfile),
    }
}

/// Returns the conditions of a Kptfile; of one that can't be read, why.
fn conditions(kptfile: &KptfileObserved) -> Vec<Condition> {
    let unreadable = (!kptfile.problem.is_empty()).then(|| Condition {
        type_: KPTFILE_READABLE.into(),
        status: "False".into(),
        reason: "Unreadable".into(),
        message: kptfile.problem.clone(),
    });
    kptfile
        .conditions
        .iter()
        .cloned()
        .chain(unreadable)
        .collect()
}

fn self_lock(observed: &Observed) -> Locator {
    Locator {
        type_: "git".into(),
        git: Some(GitLock {
            repo: observed.git.repo.clone(),
            directory: observed.package.clone(),
            ref_: short(&observed.git.ref_).into(),
            commit: observed.git.commit.clone(),
        }),
    }
}

/// Returns a ref as users write it: `refs/tags/basens/v1` is `basens/v1`.
fn short(reference: &str) -> &str {
    ["refs/heads/", "refs/tags/", "refs/"]
        .iter()
        .find_map(|prefix| reference.strip_prefix(prefix))
        .unwrap_or(reference)
}
