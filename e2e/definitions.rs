//! The custom resource definitions, as kube-apiserver takes them, and the rules in them, as it judges them.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use porch::{
    api::Repository,
    crds,
    standalone::{ControlPlane, Definition, Persistence},
};
use serde_json::{Value, json};

use crate::plane::{self, eventually};

/// Applies the files of `crds/`, and returns when the kinds are served.
pub async fn apply(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (file, _) in crds::files() {
        let text = std::fs::read_to_string(plane::root().join("crds").join(file)).unwrap();
        let definition: Value = serde_saphyr::from_str(&text).unwrap();
        let name = definition["metadata"]["name"].as_str().unwrap();
        plane::apply(&api, name, &definition).await.unwrap();
        eventually("established", async || {
            let now = api.get(name).await.unwrap();
            holds(&now, "Established").then_some(())
        })
        .await;
    }
}

fn holds(definition: &CustomResourceDefinition, condition: &str) -> bool {
    let conditions = definition.status.iter().flat_map(|it| &it.conditions);
    conditions
        .flatten()
        .any(|it| it.type_ == condition && it.status == "True")
}

#[tokio::test]
async fn the_definitions_are_sound() {
    let plane = plane::shared().await;
    let api: Api<CustomResourceDefinition> = Api::all(plane.client());
    for definition in crds::definitions() {
        let kept = api.get(&definition.name_any()).await.unwrap();
        assert!(holds(&kept, "NamesAccepted"), "{:?}", kept.status);
        assert!(!holds(&kept, "NonStructuralSchema"), "{:?}", kept.status);
        assert_eq!(kept.spec.versions.len(), 1);
    }
}

/// What is tried with a Repository, one after the other; every one is judged by both servers.
enum Deed {
    /// A merge patch.
    Patch(Value),
    /// A merge patch of the status.
    Status(Value),
    /// An update to this spec.
    Update(Value),
}

#[tokio::test]
async fn rules_are_judged_in_standalone_as_in_a_cluster() {
    let plane = plane::shared().await;
    let namespace = plane.namespace("rules").await;
    let definitions = crds::definitions();
    let definitions = definitions
        .iter()
        .map(|definition| Definition::custom(definition).unwrap());
    let (definitions, namespaces) = (definitions.collect(), [&*namespace]);
    let own = ControlPlane::start(Persistence::Memory, definitions, &namespaces).await;
    let own = own.unwrap();
    let cluster: Api<Repository> = Api::namespaced(plane.client(), &namespace);
    let standalone: Api<Repository> = Api::namespaced(own.client(), &namespace);
    let mut differences = Vec::new();
    let mut compare = |what: &str, one: Value, other: Value| {
        if one != other {
            differences.push(format!(
                "{what}\n  cluster:    {one}\n  standalone: {other}"
            ));
        }
    };
    for (name, spec) in creations() {
        let wanted = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": { "name": name }, "spec": spec,
        });
        let what = format!("create {wanted}");
        let path = format!("{namespace}/repositories");
        let one = create(&plane.client(), &path, &wanted).await;
        let other = create(&own.client(), &path, &wanted).await;
        compare(&what, one, other);
    }
    for (name, deeds) in deeds() {
        for deed in deeds {
            let (one, what) = carry_out(&cluster, name, &deed).await;
            let (other, _) = carry_out(&standalone, name, &deed).await;
            compare(&format!("{name}: {what}"), one, other);
        }
    }
    // Whoever reconciles Repositories next has nothing to do with these.
    let (params, all) = (DeleteParams::default(), ListParams::default());
    cluster.delete_collection(&params, &all).await.unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn function_configs_are_judged_in_standalone_as_in_a_cluster() {
    let plane = plane::shared().await;
    let namespace = plane.namespace("function-rules").await;
    let definitions = crds::definitions();
    let definitions = definitions.iter().map(|it| Definition::custom(it).unwrap());
    let (definitions, namespaces) = (definitions.collect(), [&*namespace]);
    let own = ControlPlane::start(Persistence::Memory, definitions, &namespaces).await;
    let own = own.unwrap();
    let path = format!("{namespace}/functionconfigs");
    let mut differences = Vec::new();
    for (index, spec) in function_configs().into_iter().enumerate() {
        let wanted = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "FunctionConfig",
            "metadata": { "name": format!("f{index}") }, "spec": spec,
        });
        let one = create(&plane.client(), &path, &wanted).await;
        let other = create(&own.client(), &path, &wanted).await;
        if one != other {
            differences.push(format!(
                "{wanted}\n  cluster:    {one}\n  standalone: {other}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn function_configs() -> Vec<Value> {
    let go = json!({ "tags": ["v1"] });
    vec![
        json!({ "image": "f", "goExecutor": go }),
        json!({ "image": "f", "prefixes": ["", "ghcr.io/a"], "goExecutor": { "id": "starlark", "tags": ["v1"] },
            "binaryExecutor": { "path": "f", "tags": ["v1", "v2"] },
            "podExecutor": { "tags": ["v1"], "timeToLive": "1h30m", "maxParallelExecutions": 3,
                "preferredMaxQueueLength": 2, "templateOverrides": {
                    "serviceAccountName": "a", "securityContext": { "runAsUser": 7, "more": { "b": [1] } },
                    "initContainer": { "env": [{ "name": "A", "value": "b" }] },
                    "container": { "envFrom": [{ "secretRef": { "name": "s" } }],
                        "resources": { "limits": { "cpu": 1, "memory": "1Gi" } } } } } }),
        json!({ "image": "f", "podExecutor": {} }),
        json!({ "image": "f" }),
        json!({ "image": "", "goExecutor": go }),
        json!({ "goExecutor": go }),
        json!({ "image": "f", "goExecutor": {} }),
        json!({ "image": "f", "goExecutor": { "tags": [] } }),
        json!({ "image": "f", "goExecutor": { "tags": ["v1"], "id": null } }),
        json!({ "image": "f", "goExecutor": { "tags": [1] } }),
        json!({ "image": "f", "binaryExecutor": { "tags": ["v1"] } }),
        json!({ "image": "f", "binaryExecutor": { "tags": ["v1"], "path": "" } }),
        json!({ "image": "f", "podExecutor": { "templateOverrides": { "container": { "env": "A" } } } }),
        json!({ "image": "f", "goExecutor": go, "unknown": true }),
        json!({ "image": "f", "goExecutor": null, "prefixes": null }),
    ]
}

fn creations() -> Vec<(&'static str, Value)> {
    let git = json!({ "repo": "https://example.com/r.git" });
    vec![
        ("plain", json!({ "type": "git", "git": git })),
        (
            "whole",
            json!({ "type": "git", "deployment": true, "content": "Package", "description": "d",
                "git": { "repo": "https://example.com/r.git", "branch": "trunk", "directory": "/a",
                    "createBranch": true, "author": "a", "email": "e", "secretRef": { "name": "s" } },
                "sync": { "schedule": "@every 5m", "runOnceAt": "2030-01-01T00:00:00Z" } }),
        ),
        (
            "oci",
            json!({ "type": "oci", "oci": { "registry": "gcr.io/x" } }),
        ),
        ("empty", json!({})),
        ("nothing", Value::Null),
        (
            "functions",
            json!({ "type": "git", "content": "Function", "git": git }),
        ),
        (
            "no-content",
            json!({ "type": "git", "content": "", "git": git }),
        ),
        (
            "no-address",
            json!({ "type": "git", "git": { "branch": "main" } }),
        ),
        (
            "no-branch",
            json!({ "type": "git", "git": { "repo": "https://x/r", "branch": "" } }),
        ),
        (
            "null-branch",
            json!({ "type": "git", "git": { "repo": "https://x/r", "branch": null } }),
        ),
        ("number", json!({ "type": 7, "git": git })),
        (
            "text",
            json!({ "type": "git", "deployment": "yes", "git": git }),
        ),
        (
            "moment",
            json!({ "type": "git", "git": git, "sync": { "runOnceAt": "soon" } }),
        ),
        (
            "unknown",
            json!({ "type": "git", "git": git, "colour": "red" }),
        ),
        ("with.dots", json!({ "type": "git", "git": git })),
        ("Upper", json!({ "type": "git", "git": git })),
        (
            "a-name-that-is-longer-than-the-sixty-three-letters-of-a-dns-label",
            json!({ "git": git }),
        ),
        ("plain", json!({ "type": "git", "git": git })),
    ]
}

fn deeds() -> Vec<(&'static str, Vec<Deed>)> {
    use Deed::{Patch, Status, Update};
    let spec = |spec: Value| json!({ "spec": spec });
    vec![
        (
            "plain",
            vec![
                Patch(spec(json!({ "description": "new" }))),
                Patch(spec(json!({ "type": "oci" }))),
                Patch(spec(json!({ "type": null }))),
                Patch(spec(json!({ "content": "Function" }))),
                Patch(spec(json!({ "git": { "repo": "https://elsewhere" } }))),
                Patch(spec(json!({ "git": { "branch": "other" } }))),
                Patch(spec(json!({ "git": { "branch": null } }))),
                Patch(spec(json!({ "git": { "directory": "d" } }))),
                Patch(spec(json!({ "git": { "directory": "e" } }))),
                Patch(spec(json!({ "git": null }))),
                Patch(spec(json!({ "git": { "secretRef": { "name": "s" } } }))),
                Patch(spec(json!({ "git": { "secretRef": {} } }))),
                Patch(spec(
                    json!({ "type": "oci", "git": { "repo": "x", "branch": "y" } }),
                )),
                Patch(spec(json!({ "sync": { "runOnceAt": 7 } }))),
                Patch(spec(json!({ "sync": { "schedule": "nonsense" } }))),
                Patch(json!({ "spec": null })),
                Patch(json!({ "metadata": { "labels": { "a": "b" } } })),
                Patch(json!({ "metadata": { "labels": { "a b": "c" } } })),
                Update(json!({ "type": "git", "git": { "repo": "https://example.com/r.git" } })),
                Status(json!({ "status": { "packageCount": 3 } })),
                Status(json!({ "status": { "packageCount": "three" } })),
                Status(json!({ "status": { "conditions": [{ "type": "Ready" }] } })),
                Status(json!({ "spec": { "type": "oci" }, "status": { "packageCount": 4 } })),
            ],
        ),
        (
            "whole",
            vec![
                Patch(spec(json!({ "git": { "directory": null } }))),
                Patch(spec(json!({ "git": { "directory": "b" } }))),
                Patch(spec(json!({ "deployment": false }))),
                Patch(spec(json!({ "sync": null }))),
            ],
        ),
        (
            "oci",
            vec![
                Patch(spec(json!({ "oci": { "registry": "y" } }))),
                Patch(spec(json!({ "oci": null }))),
                Patch(spec(json!({ "git": { "repo": "x" } }))),
            ],
        ),
        ("absent", vec![Patch(spec(json!({ "description": "new" })))]),
    ]
}

/// Creates an object below a path of namespace and resource.
async fn create(client: &Client, path: &str, wanted: &Value) -> Value {
    let uri = format!("/apis/config.porch.kpt.dev/v1alpha1/namespaces/{path}");
    let request = http::Request::post(uri).header("content-type", "application/json");
    let request = request.body(wanted.to_string().into_bytes()).unwrap();
    told(client.request::<Value>(request).await)
}

async fn carry_out(api: &Api<Repository>, name: &str, deed: &Deed) -> (Value, String) {
    let params = PatchParams::default();
    let untyped = |done: kube::Result<Repository>| told(done.map(|it| json!(it)));
    match deed {
        Deed::Patch(patch) => {
            let done = api.patch(name, &params, &Patch::Merge(patch)).await;
            (untyped(done), format!("patch {patch}"))
        }
        Deed::Status(patch) => {
            let done = api.patch_status(name, &params, &Patch::Merge(patch)).await;
            (untyped(done), format!("patch status {patch}"))
        }
        Deed::Update(spec) => {
            let mut object = api.get(name).await.unwrap();
            object.spec = serde_json::from_value(spec.clone()).unwrap();
            let done = api.replace(name, &PostParams::default(), &object).await;
            (untyped(done), format!("update {spec}"))
        }
    }
}

/// Returns what a server answered, without what differs by nature.
fn told(answer: kube::Result<Value>) -> Value {
    match answer {
        Ok(mut object) => {
            let metadata = object["metadata"].as_object_mut().unwrap();
            for volatile in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "managedFields",
            ] {
                metadata.shift_remove(volatile);
            }
            sorted(object)
        }
        Err(kube::Error::Api(status)) => {
            let causes = status.details.map(|it| it.causes).unwrap_or_default();
            let causes: BTreeSet<_> = causes
                .into_iter()
                .filter(|it| {
                    !it.message
                        .contains("some validation rules were not checked")
                })
                // kube-apiserver names what is in a status without saying so.
                .map(|it| (it.field, it.reason, it.message.replace("status.", "")))
                .collect();
            json!({ "code": status.code, "reason": status.reason, "causes": causes })
        }
        Err(error) => panic!("{error}"),
    }
}

/// Returns a value with its members in their order, since comparison minds it in maps that keep an order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            let members = members.into_iter().map(|(key, it)| (key, sorted(it)));
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain => plain,
    }
}
