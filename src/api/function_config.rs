//! `config.porch.kpt.dev/v1alpha1` FunctionConfig: who runs the functions of an image's name.

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_default;

/// Which images are which functions.
#[expect(
    clippy::duplicated_attributes,
    reason = "the columns of the derive macro share words"
)]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "config.porch.kpt.dev",
    version = "v1alpha1",
    kind = "FunctionConfig",
    plural = "functionconfigs",
    singular = "functionconfig",
    namespaced,
    status = "FunctionConfigStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Who runs the functions that packages name by images of one name.",
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(
        name = "Go",
        type_ = "string",
        json_path = ".spec.goExecutor.tags",
        description = "Tags that a function of the server runs"
    ),
    printcolumn(
        name = "Binary",
        type_ = "string",
        json_path = ".spec.binaryExecutor.tags",
        description = "Tags that an executable runs"
    ),
    printcolumn(
        name = "Pod",
        type_ = "string",
        json_path = ".spec.podExecutor.tags",
        description = "Tags that a function runner's pod runs",
        priority = 1
    ),
    printcolumn(
        name = "Server applied",
        type_ = "integer",
        json_path = ".status.apiServerObservedGeneration"
    ),
    printcolumn(
        name = "FnRunner applied",
        type_ = "integer",
        json_path = ".status.functionRunnerObservedGeneration",
        priority = 1
    ),
    printcolumn(
        name = "Controller applied",
        type_ = "integer",
        json_path = ".status.controllerObservedGeneration",
        priority = 1
    ),
    printcolumn(name = "Error", type_ = "string", json_path = ".status.error"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.podExecutor) || has(self.binaryExecutor) || has(self.goExecutor)", "message": "At least one configuration must be specified"}
]))]
pub struct FunctionConfigSpec {
    /// The name of the image: the last part of its path, without a tag.
    #[schemars(length(min = 1))]
    pub image: String,
    /// What stands before the name: regular expressions of the whole of it, without the last slash; an empty one is the
    /// default prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// How a function runner runs it in pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_executor: Option<PodExecutor>,
    /// The executable that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_executor: Option<BinaryExecutor>,
    /// The function of the server that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_executor: Option<GoExecutor>,
}

/// How a function runner runs a function in pods; it means nothing to this server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodExecutor {
    /// Tags of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How long a pod lives that nobody needs.
    #[serde(default = "half_an_hour", skip_serializing_if = "String::is_empty")]
    #[schemars(extend("format" = "duration"))]
    pub time_to_live: String,
    /// How many run at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_parallel_executions: i64,
    /// How many wait for a pod before there is another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub preferred_max_queue_length: i64,
    /// What the pods have otherwise than the runner's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_overrides: Option<TemplateOverrides>,
}

fn half_an_hour() -> String {
    "30m".into()
}

/// What pods have otherwise than a function runner's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateOverrides {
    /// The ServiceAccount.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// A `PodSecurityContext` of Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object")]
    pub security_context: Option<Value>,
    /// The container that prepares the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_container: Option<ContainerOverrides>,
    /// The container of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerOverrides>,
}

/// What a container has otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerOverrides {
    /// `ResourceRequirements` of Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object")]
    pub resources: Option<Value>,
    /// `EnvFromSource` of Kubernetes, each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "objects")]
    pub env_from: Vec<Value>,
    /// `EnvVar` of Kubernetes, each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "objects")]
    pub env: Vec<Value>,
}

/// Returns the schema of an object that is kept as it comes: it is for another program, which knows more versions of it.
fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Returns the schema of a list of such objects.
fn objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": object(generator) })
}

/// An executable that is a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BinaryExecutor {
    /// Tags of the image, or constraints on versions such as `~0.4`.
    #[schemars(length(min = 1))]
    pub tags: Vec<String>,
    /// Its path in the server's directory of functions.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// A function that is in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoExecutor {
    /// Tags of the image, or constraints on versions such as `~0.4`.
    #[schemars(length(min = 1))]
    pub tags: Vec<String>,
    /// Its name in the server; the name of the image if there is none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Who has acted on a FunctionConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionConfigStatus {
    /// The generation of the spec that the server goes by.
    #[serde(skip_serializing_if = "is_default")]
    pub api_server_observed_generation: i64,
    /// The generation that upstream's function runner goes by.
    #[serde(skip_serializing_if = "is_default")]
    pub function_runner_observed_generation: i64,
    /// The generation that upstream's controllers go by.
    #[serde(skip_serializing_if = "is_default")]
    pub controller_observed_generation: i64,
    /// Why nobody goes by the spec; empty while all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}
