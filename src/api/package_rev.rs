//! `config.porch.kpt.dev/v1alpha1` PackageRev: the record of one package revision.
//!
//! Everything that is visible of a revision is here, so that its version is the version of what is shown.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CompactJson, Condition, Locator, Pairs, ReadinessGate, Task, is_default};
use crate::package::Lifecycle;

/// The format of [`Observed`] that this build writes: an older one is computed anew, a newer one is left alone.
pub const FORMAT: u32 = 1;

/// The record of one package revision.
#[expect(
    clippy::duplicated_attributes,
    reason = "the columns of the derive macro share words"
)]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "config.porch.kpt.dev",
    version = "v1alpha1",
    kind = "PackageRev",
    plural = "packagerevs",
    singular = "packagerev",
    namespaced,
    status = "PackageRevStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "The record of one package revision. Internal: use packagerevisions of porch.kpt.dev instead.",
    printcolumn(
        name = "Repository",
        type_ = "string",
        json_path = ".spec.repository.name"
    ),
    printcolumn(
        name = "Package",
        type_ = "string",
        json_path = ".spec.observed.package"
    ),
    printcolumn(
        name = "Lifecycle",
        type_ = "string",
        json_path = ".spec.observed.lifecycle"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", default)]
// One writer writes all of it: kube-apiserver need not keep account of every field.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct PackageRevSpec {
    /// The Repository that the record belongs to.
    #[serde(skip_serializing_if = "is_default")]
    pub repository: Owner,
    /// What users own.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: UserMetadata,
    /// What Git says; absent until it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// A write under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub intent: Option<Intent>,
}

/// The Repository that a record belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Owner {
    /// Object name.
    pub name: String,
    /// UID: a new Repository of the same name inherits nothing.
    pub uid: String,
}

/// The half of a record that users own: the metadata of their PackageRevision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserMetadata {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Finalizers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// Owners, as users gave them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// When deletion was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// Who owns which field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<serde_json::Value>",
        extend("x-kubernetes-preserve-unknown-fields" = true)
    )]
    pub managed_fields: Option<CompactJson>,
    /// Who owns which file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<serde_json::Value>",
        extend("x-kubernetes-preserve-unknown-fields" = true)
    )]
    pub files_managed_fields: Option<CompactJson>,
}

/// The half of a record that Git says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Observed {
    /// The format of this half, see [`FORMAT`].
    #[schemars(with = "i64", range(min = 0))]
    pub format: u32,
    /// Name of the package, relative to the Repository's directory.
    pub package: String,
    /// Name of the workspace.
    pub workspace: String,
    /// -1 the branch, 0 unpublished, else the published number.
    pub revision: i64,
    /// Draft, Proposed, Published or DeletionProposed.
    pub lifecycle: Lifecycle,
    /// Whether this is the newest published revision of its package.
    #[serde(skip_serializing_if = "is_default")]
    pub latest: bool,
    /// Whether it is about to become the latest: nobody marks another one meanwhile.
    #[serde(skip_serializing_if = "is_default")]
    pub awaits_latest: bool,
    /// Whether the Repository holds deployments.
    #[serde(skip_serializing_if = "is_default")]
    pub deployment: bool,
    /// Where it is in Git.
    pub git: GitObserved,
    /// The task of its creation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_objects")]
    pub tasks: Vec<Task>,
    /// What its Kptfile says.
    pub kptfile: KptfileObserved,
    /// E-mail of the author of the commit that published it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub published_by: String,
    /// Time of that commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Time>,
}

/// Tasks are kept as they are: what other versions of the API wrote in them is not ours to prune.
fn any_objects(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    })
}

/// Where a revision is in Git.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GitObserved {
    /// Address of the repository.
    pub repo: String,
    /// Directory of the package from the root of the repository.
    pub directory: String,
    /// Full name of the ref, such as `refs/tags/basens/v1`.
    #[serde(rename = "ref")]
    pub ref_: String,
    /// The commit: of a tag peeled; of the branch, its head when the tree last changed.
    pub commit: String,
    /// The tree of the package's directory.
    pub tree: String,
}

/// What a Kptfile says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KptfileObserved {
    /// Object id of the file.
    pub blob: String,
    /// Why the file could not be understood; then the rest is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// Labels in its metadata.
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub labels: Pairs,
    /// Annotations in its metadata.
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub annotations: Pairs,
    /// `info.readinessGates`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness_gates: Vec<ReadinessGate>,
    /// `status.conditions`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// `upstreamLock`, if `upstream` is there too.
    #[serde(skip_serializing_if = "is_default")]
    pub upstream_lock: Locator,
}

/// A write under way: the lock between replicas, and what recovery needs to finish it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Intent {
    /// Unique id of the write: whoever settles it settles this one only.
    pub id: String,
    /// The process that writes.
    pub process: String,
    /// What it does to Git, each edit only if the ref still is as it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<IntendedEdit>,
    /// The user's half as it is once the write is done; absent if the write leaves it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<UserMetadata>,
    /// When it was found that its process is gone and Git was not changed: it holds nobody up any more, and is kept for a
    /// while in case the change comes late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<Time>,
    /// What a newer version wrote besides.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

impl Intent {
    /// Returns whether it keeps others from writing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lapsed.is_none()
    }
}

/// A change of one ref that is about to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IntendedEdit {
    /// Full name of the ref.
    #[serde(rename = "ref")]
    pub ref_: String,
    /// The commit that it must point at before; absent if it must not be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The commit that it points at then; absent if it is taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Nothing: kept because the incumbent's records have a status too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackageRevStatus {}
