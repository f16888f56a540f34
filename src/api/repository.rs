//! `config.porch.kpt.dev/v1alpha1` Repository: a Git repository that users register.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// The reason of the condition `Ready` of a Repository that another one is in the way of.
pub const REPOSITORY_CONFLICT: &str = "RepositoryConflict";

/// A repository of packages.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "config.porch.kpt.dev",
    version = "v1alpha1",
    kind = "Repository",
    plural = "repositories",
    singular = "repository",
    shortname = "repo",
    namespaced,
    status = "RepositoryStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A Git repository whose packages are served as PackageRevisions.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Deployment", type_ = "boolean", json_path = ".spec.deployment"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.git.repo"),
    printcolumn(name = "Branch", type_ = "string", json_path = ".spec.git.branch"),
    printcolumn(name = "Packages", type_ = "integer", json_path = ".status.packageCount", description = "Number of package revisions"),
    printcolumn(name = "Content", type_ = "string", json_path = ".spec.content", priority = 1),
    printcolumn(name = "Sync schedule", type_ = "string", json_path = ".spec.sync.schedule", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must conform to the RFC1123 DNS label standard"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name must be no more than 63 characters"),
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(oldSelf.type) || (has(self.type) && self.type == oldSelf.type)", "message": "spec.type is immutable", "fieldPath": ".type"},
    {"rule": "!has(self.content) || self.content == '' || self.content == 'Package'", "message": "spec.content must be 'Package'", "fieldPath": ".content"},
    {"rule": "!has(oldSelf.git) || (has(self.git) && self.git.repo == oldSelf.git.repo)", "message": "spec.git.repo is immutable"},
    {"rule": "!has(oldSelf.git) || !has(oldSelf.git.branch) || (has(self.git) && has(self.git.branch) && self.git.branch == oldSelf.git.branch)", "message": "spec.git.branch is immutable"},
    {"rule": "!has(oldSelf.git) || !has(oldSelf.git.directory) || (has(self.git) && has(self.git.directory) && self.git.directory == oldSelf.git.directory)", "message": "spec.git.directory is immutable"},
    {"rule": "!has(oldSelf.oci) || (has(self.oci) && self.oci.registry == oldSelf.oci.registry)", "message": "spec.oci.registry is immutable"}
]))]
pub struct RepositorySpec {
    /// What the repository is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether the packages are deployed from here: their context is made when they are cloned.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub deployment: bool,
    /// `git`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// Deprecated: always `Package`.
    #[serde(default = "content", skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// When to look for changes that others made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,
    /// The Git repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitRepository>,
    /// The OCI registry; not implemented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciRepository>,
}

fn content() -> String {
    "Package".into()
}

/// When to look for changes that others made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sync {
    /// Cron expression of five fields, `@hourly` and the like, or `@every 5m`; local time unless `CRON_TZ=` precedes it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schedule: String,
    /// A moment at which to look once more; each new value is acted on once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_once_at: Option<Time>,
}

/// A Git repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepository {
    /// Address: `https://…`, `http://…`, `ssh://user@host/path` or `user@host:path`, without a password.
    pub repo: String,
    /// Branch that published packages are on.
    #[serde(default = "branch")]
    #[schemars(length(min = 1))]
    pub branch: String,
    /// Whether to make the branch if the repository lacks it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_branch: bool,
    /// Directory that holds the packages; the root when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Secret with the credentials: `kubernetes.io/basic-auth`, `Opaque` with `bearerToken`, or `kubernetes.io/ssh-auth` with
    /// `known_hosts`; `ca.crt` is trusted too, and `proxy` leads to the server.
    #[serde(default, skip_serializing_if = "is_default")]
    pub secret_ref: SecretRef,
    /// Author of commits, instead of the user.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// E-mail of the author of commits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
}

fn branch() -> String {
    "main".into()
}

impl Default for GitRepository {
    fn default() -> Self {
        Self {
            repo: String::new(),
            branch: branch(),
            create_branch: false,
            directory: None,
            secret_ref: SecretRef::default(),
            author: String::new(),
            email: String::new(),
        }
    }
}

/// An OCI registry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepository {
    /// Address of the registry.
    pub registry: String,
    /// Secret with the credentials.
    #[serde(default, skip_serializing_if = "is_default")]
    pub secret_ref: SecretRef,
}

/// The name of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretRef {
    /// Object name; empty means none.
    pub name: String,
}

/// What is known of a repository.
// Before the first word on it no generation was observed: whoever waits as kstatus does is not told that all is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct RepositoryStatus {
    /// `Ready`: whether the last look at the repository went well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that the status is about.
    #[serde(skip_serializing_if = "is_default")]
    pub observed_generation: i64,
    /// When the repository was last read to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_full_sync_time: Option<Time>,
    /// When it will be read next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_full_sync_time: Option<Time>,
    /// The value of `spec.sync.runOnceAt` that was acted on last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_run_once_at: Option<Time>,
    /// Number of package revisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_count: Option<i64>,
    /// Commit at the head of the branch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit_hash: String,
}
