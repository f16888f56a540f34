//! How a package revision came to be: the one task of its creation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretRef, is_default};

/// One creation task: `type` and exactly one matching member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Which member is set: `init`, `clone`, `edit` or `upgrade`.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// Starts an empty package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitTask>,
    /// Starts from a package elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<CloneTask>,
    /// Starts from a published revision of the same package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<EditTask>,
    /// Merges a newer upstream into a downstream revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeTask>,
}

/// Starts an empty package.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InitTask {
    /// Directory to initialise; the package's root when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpackage: String,
    /// A short description of the package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words by which the package is found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Link to a page about the package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub site: String,
}

/// Starts from a package elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CloneTask {
    /// Where the package comes from.
    pub upstream_ref: UpstreamPackage,
}

/// Where a package comes from: exactly one of the members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamPackage {
    /// `git` or `oci`; informational.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// A package in a Git repository that need not be registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPackage>,
    /// A package in an OCI registry; not implemented, as upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciPackage>,
    /// A registered package revision of the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ref: Option<PackageRevisionRef>,
}

/// A package in a Git repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GitPackage {
    /// Address of the repository.
    pub repo: String,
    /// Branch, tag or commit.
    #[serde(rename = "ref")]
    pub ref_: String,
    /// Directory of the package.
    pub directory: String,
    /// Secret with the credentials, in the same namespace.
    pub secret_ref: SecretRef,
}

/// A package in an OCI registry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OciPackage {
    /// Image that holds the package.
    pub image: String,
}

/// The name of a package revision in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PackageRevisionRef {
    /// Object name.
    pub name: String,
}

/// Starts from a published revision of the same package.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EditTask {
    /// The published revision to copy.
    #[serde(skip_serializing_if = "is_default")]
    pub source_ref: Option<PackageRevisionRef>,
}

/// Merges a newer upstream into a downstream revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeTask {
    /// The upstream revision that the local one was made from.
    pub old_upstream_ref: PackageRevisionRef,
    /// The upstream revision to move to.
    pub new_upstream_ref: PackageRevisionRef,
    /// The local revision to upgrade.
    pub local_package_revision_ref: PackageRevisionRef,
    /// `resource-merge` (the default), `fast-forward`, `force-delete-replace` or `copy-merge`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub strategy: String,
}
