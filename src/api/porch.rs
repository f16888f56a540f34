//! `porch.kpt.dev/v1alpha1`: package revisions, their files, and packages.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Task, is_default};
use crate::package::Lifecycle;

/// One revision of a package: a draft, a proposal, or a published version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageRevision {
    /// `porch.kpt.dev/v1alpha1`.
    pub api_version: String,
    /// `PackageRevision`.
    pub kind: String,
    /// Standard object metadata; the name is `<repository>.<package>.<workspace>`.
    pub metadata: ObjectMeta,
    /// What the revision is and what is wanted of it.
    pub spec: PackageRevisionSpec,
    /// What is known of it.
    pub status: PackageRevisionStatus,
}

/// What the revision is and what is wanted of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageRevisionSpec {
    /// Name of the package in its repository, with `/` between directories.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub package_name: String,
    /// Name of the Repository object, in the same namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Unique name of this revision within its package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workspace_name: String,
    /// Zero until published, then 1 and up; -1 is the package as it is on the repository's branch.
    #[serde(skip_serializing_if = "is_default")]
    pub revision: i64,
    /// Deprecated: a package revision that gives this one its context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentReference>,
    /// Draft, Proposed, Published or DeletionProposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// The task that created this revision; at most one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// Conditions that should be True before the revision is proposed or approved; mirrors the Kptfile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["conditionType"]))]
    pub readiness_gates: Vec<ReadinessGate>,
    /// Labels and annotations of the package itself; mirrors the Kptfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_metadata: Option<PackageMetadata>,
}

/// The name of another package revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ParentReference {
    /// Object name.
    pub name: String,
}

/// A condition that should be True.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// Type of the condition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition_type: String,
}

/// Labels and annotations of the package itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PackageMetadata {
    /// Labels in the Kptfile's metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations in the Kptfile's metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What is known of a revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageRevisionStatus {
    /// Where the package came from, with the exact commit; empty without an upstream.
    pub upstream_lock: Locator,
    /// Where this revision is.
    pub self_lock: Locator,
    /// Who published it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub published_by: String,
    /// When it was published; `null` until then.
    pub publish_timestamp: Option<Time>,
    /// Whether the repository holds deployments.
    #[serde(skip_serializing_if = "is_default")]
    pub deployment: bool,
    /// Conditions kept in the Kptfile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A condition kept in a Kptfile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Its name.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word for why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Where a package is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Locator {
    /// `git`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// The place in Git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitLock>,
}

/// A place in Git, down to the commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GitLock {
    /// Address of the repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo: String,
    /// Directory of the package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// Branch or tag.
    #[serde(rename = "ref", skip_serializing_if = "String::is_empty")]
    pub ref_: String,
    /// Commit, 40 hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub commit: String,
}

/// The files of a package revision; same name as the revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageRevisionResources {
    /// `porch.kpt.dev/v1alpha1`.
    pub api_version: String,
    /// `PackageRevisionResources`.
    pub kind: String,
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// The files.
    pub spec: PackageRevisionResourcesSpec,
    /// What came of rendering them.
    pub status: PackageRevisionResourcesStatus,
}

/// The files of a package revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageRevisionResourcesSpec {
    /// Name of the package in its repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub package_name: String,
    /// Unique name of this revision within its package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workspace_name: String,
    /// Zero until published, then 1 and up; -1 is the package on the repository's branch.
    #[serde(skip_serializing_if = "is_default")]
    pub revision: i64,
    /// Name of the Repository object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// File contents by path, relative to the package.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, String>,
}

/// What came of rendering the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageRevisionResourcesStatus {
    /// Results of the pipeline; meaningful in the answer to an update.
    pub render_status: RenderStatus,
}

/// Results of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RenderStatus {
    /// Results of each function.
    pub result: ResultList,
    /// Why the pipeline failed; empty when it did not.
    pub error: String,
}

/// Results of each function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResultList {
    /// `FunctionResultList`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// `kpt.dev/v1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// Zero when all functions succeeded.
    pub exit_code: i64,
    /// One entry a function.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Result>,
}

/// Results of one function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Result {
    /// Image of the function.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Executable of the function.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exec: String,
    /// What it wrote to standard error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Its exit code.
    pub exit_code: i64,
    /// What it reported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ResultItem>,
}

/// One report of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResultItem {
    /// The report.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `error`, `warning` or `info`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// The resource it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_ref: Option<ResultResource>,
    /// The field it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<ResultField>,
    /// The file it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<ResultFile>,
    /// Anything else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The resource that a report is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResultResource {
    /// Group and version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// The field that a report is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResultField {
    /// Path of the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_value: Option<serde_json::Value>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed_value: Option<serde_json::Value>,
}

/// The file that a report is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResultFile {
    /// Path relative to the package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Number of the document in the file, from zero.
    #[serde(skip_serializing_if = "is_default")]
    pub index: i64,
}

/// A package: all revisions of one name in one repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PorchPackage {
    /// `porch.kpt.dev/v1alpha1`.
    pub api_version: String,
    /// `PorchPackage`.
    pub kind: String,
    /// Standard object metadata; the name is `<repository>.<package>`.
    pub metadata: ObjectMeta,
    /// What the package is.
    pub spec: PorchPackageSpec,
    /// What is known of it.
    pub status: PorchPackageStatus,
}

/// What a package is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PorchPackageSpec {
    /// Name of the package in its repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub package_name: String,
    /// Name of the Repository object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
}

/// What is known of a package.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PorchPackageStatus {
    /// The highest published revision; zero when there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub latest_revision: i64,
}
