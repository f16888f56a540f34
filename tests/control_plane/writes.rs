//! What the control plane does with writes, asked as the API server asks it.

use std::sync::Arc;

use serde_json::{Value, json};

use porch::{
    apiserver::{
        Caller, Failure, FieldValidation, Identity, PatchKind, Reply, Resource, Verb, Write,
        WriteOptions, Writer, Written,
    },
    cache::{Name, Version},
    standalone::{ControlPlane, Persistence, Served},
};

use crate::start;

struct Plane(ControlPlane);

fn write(verb: Verb, name: &str, body: &Value) -> Write {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Write {
        verb,
        namespace: "default".into(),
        name: name.into(),
        subresource: String::new(),
        body: body.into(),
        complaints: Vec::new(),
        options: WriteOptions {
            field_manager: "test".into(),
            ..WriteOptions::default()
        },
        user: Identity::new("test", []),
        caller: Caller::default(),
        may_not_create: None,
    }
}

impl Plane {
    async fn new() -> Self {
        Self(start(Persistence::Memory).await)
    }

    fn kind(&self, plural: &str) -> Served {
        let mut all = self.0.all().into_iter();
        all.find(|served| served.plural() == plural).unwrap()
    }

    async fn reply(&self, plural: &str, mut write: Write) -> Result<Reply, Failure> {
        if plural == "namespaces" {
            write.namespace = String::new();
        }
        self.kind(plural).write(write).await
    }

    async fn write(&self, plural: &str, write: Write) -> Result<Value, Failure> {
        Ok(value(&self.reply(plural, write).await?.written))
    }

    async fn create(&self, plural: &str, body: Value) -> Result<Value, Failure> {
        self.write(plural, write(Verb::Create, "", &body)).await
    }

    async fn patch(&self, plural: &str, kind: PatchKind, body: Value) -> Result<Value, Failure> {
        self.write(plural, write(Verb::Patch(kind), "a", &body))
            .await
    }

    async fn status(&self, plural: &str, kind: PatchKind, body: Value) -> Result<Value, Failure> {
        let mut write = write(Verb::Patch(kind), "a", &body);
        write.subresource = "status".into();
        self.write(plural, write).await
    }

    async fn apply(&self, manager: &str, force: bool, body: Value) -> Result<Value, Failure> {
        let mut write = write(Verb::Patch(PatchKind::Apply), "a", &body);
        write.options.field_manager = manager.into();
        write.options.force = force;
        self.write("repositories", write).await
    }

    async fn delete(&self, plural: &str, name: &str) -> Result<Value, Failure> {
        self.write(plural, write(Verb::Delete, name, &Value::Null))
            .await
    }

    fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let namespace = if plural == "namespaces" {
            ""
        } else {
            "default"
        };
        let found = self.kind(plural).store().get(&Name::new(namespace, name));
        found.map(|object| object.value())
    }
}

fn value(written: &Written) -> Value {
    let (Written::Created(body) | Written::Updated(body) | Written::Deleted(body)) = written;
    serde_json::from_slice(body).unwrap()
}

fn repository() -> Value {
    json!({
        "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository", "metadata": {"name": "a"},
        "spec": {"git": {"repo": "https://example.com/r.git"}},
    })
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "v"}})
}

/// The words of a failure that a caller sees: its kind, and the fields that it names.
fn told(failure: &Failure) -> (&'static str, Vec<String>) {
    match failure {
        Failure::Invalid { errors, .. } => {
            let texts = errors
                .iter()
                .map(|error| format!("{}: {}", error.field, error.message));
            ("Invalid", texts.collect())
        }
        Failure::BadRequest(text) => ("BadRequest", vec![text.clone()]),
        Failure::Conflict { why, .. } => ("Conflict", vec![why.clone()]),
        Failure::ApplyConflict { message, .. } => ("ApplyConflict", vec![message.clone()]),
        Failure::Forbidden { why, .. } => ("Forbidden", vec![why.clone()]),
        Failure::AlreadyExists(_) => ("AlreadyExists", vec![]),
        Failure::NotFound(subject) => ("NotFound", vec![subject.resource.clone()]),
        Failure::Unprocessable => ("Unprocessable", vec![]),
        Failure::UnsupportedMediaType(_) => ("UnsupportedMediaType", vec![]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_object_gets_what_the_server_gives_and_what_the_schema_says() {
    let plane = Plane::new().await;
    let mut body = repository();
    body["metadata"]["uid"] = "mine".into();
    body["metadata"]["creationTimestamp"] = Value::Null;
    body["status"] = json!({"packageCount": 3});
    let made = plane.create("repositories", body).await.unwrap();
    assert_eq!(made["spec"]["git"]["branch"], "main");
    assert_eq!(made["spec"]["content"], "Package");
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_ne!(made["metadata"]["uid"], "mine");
    assert!(
        made["metadata"]["creationTimestamp"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    assert_eq!(
        made["status"],
        json!({ "observedGeneration": -1 }),
        "what the caller claims is not kept"
    );
    assert_eq!(plane.get("repositories", "a").unwrap(), made);
}

#[tokio::test]
async fn a_create_that_can_t_be_is_refused_by_name_and_changes_nothing() {
    let plane = Plane::new().await;
    let with = |pointer: &str, value: Value| {
        let mut body = repository();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = value;
        body
    };
    for (body, kind, text) in [
        (
            with("/metadata/name", json!("A")),
            "Invalid",
            "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
        ),
        (
            with("/metadata/name", json!("a.b")),
            "Invalid",
            "metadata.name must conform to the RFC1123 DNS label standard",
        ),
        (
            with("/metadata/name", Value::Null),
            "Invalid",
            "metadata.name: Required value: name or generateName is required",
        ),
        (
            with("/metadata/namespace", json!("other")),
            "BadRequest",
            "the namespace of the provided object does not match",
        ),
        (
            with("/metadata/resourceVersion", json!("7")),
            "BadRequest",
            "resourceVersion should not be set",
        ),
        (
            with("/metadata/labels", json!({"a": 1})),
            "BadRequest",
            "metadata",
        ),
        (
            with("/kind", json!("Secret")),
            "BadRequest",
            "cannot be handled as a Repository",
        ),
        (
            with("/apiVersion", json!("v1")),
            "BadRequest",
            "the API version in the data (v1) does not match the expected API version",
        ),
        (
            with("/spec/deployment", json!("x")),
            "Invalid",
            "spec.deployment: Invalid value: \"string\": spec.deployment in body must be of type boolean: \"string\"",
        ),
        (
            with("/spec/git", json!({})),
            "Invalid",
            "spec.git.repo: Required value",
        ),
        (
            with("/spec/git/branch", json!("")),
            "Invalid",
            "spec.git.branch in body should be at least 1 chars long",
        ),
        (
            with("/spec/sync", json!({"runOnceAt": "soon"})),
            "Invalid",
            "spec.sync.runOnceAt in body must be of type date-time",
        ),
        (
            with("/spec/content", json!("Function")),
            "Invalid",
            "spec.content must be 'Package'",
        ),
    ] {
        let failure = plane
            .create("repositories", body.clone())
            .await
            .unwrap_err();
        let (told, texts) = told(&failure);
        assert_eq!(told, kind, "{body}");
        assert!(
            texts.iter().any(|told| told.contains(text)),
            "{text}: {texts:?}"
        );
    }
    assert_eq!(
        plane.kind("repositories").store().snapshot().objects.len(),
        0
    );
}

#[tokio::test]
async fn a_list_that_is_too_short_is_told_by_its_length() {
    let plane = Plane::new().await;
    let config = json!({
        "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "FunctionConfig", "metadata": {"name": "a"},
        "spec": {"image": "a", "goExecutor": {"tags": []}},
    });
    let refused = plane.create("functionconfigs", config).await.unwrap_err();
    let wanted = "spec.goExecutor.tags: Invalid value: 0: spec.goExecutor.tags in body should have at least 1 items";
    assert_eq!(told(&refused), ("Invalid", vec![wanted.to_owned()]));
}

#[tokio::test]
async fn a_second_object_of_the_name_and_a_missing_namespace_are_told_apart() {
    let plane = Plane::new().await;
    plane.create("secrets", secret()).await.unwrap();
    let failure = plane.create("secrets", secret()).await.unwrap_err();
    assert_eq!(told(&failure).0, "AlreadyExists");
    let mut write = write(Verb::Create, "", &secret());
    write.namespace = "nowhere".into();
    let failure = plane.write("secrets", write).await.unwrap_err();
    assert_eq!(told(&failure), ("NotFound", vec!["namespaces".into()]));
}

#[tokio::test]
async fn a_built_in_object_of_other_types_is_refused_and_harms_nobody() {
    let plane = Plane::new().await;
    for (plural, body) in [
        (
            "namespaces",
            json!({"metadata": {"name": "a"}, "spec": "x"}),
        ),
        (
            "namespaces",
            json!({"metadata": {"name": "a"}, "status": []}),
        ),
        (
            "secrets",
            json!({"metadata": {"name": "a"}, "data": 1, "stringData": {"a": "b"}}),
        ),
        (
            "secrets",
            json!({"metadata": {"name": "a"}, "stringData": {"a": 1}}),
        ),
        (
            "secrets",
            json!({"metadata": {"name": "a"}, "data": {"a": "no base64"}}),
        ),
        ("secrets", json!({"metadata": "a"})),
        ("secrets", json!([])),
    ] {
        let failure = plane.create(plural, body.clone()).await.unwrap_err();
        assert_eq!(told(&failure).0, "BadRequest", "{body}");
    }
    let nulls =
        json!({"metadata": {"name": "a", "labels": null}, "data": null, "stringData": {"k": "v"}});
    let made = plane.create("secrets", nulls).await.unwrap();
    assert_eq!(made["data"], json!({"k": "dg=="}));
}

#[tokio::test]
async fn a_namespace_keeps_its_newest_events() {
    let plane = Plane::new().await;
    for number in 0..1005 {
        let event = json!({"metadata": {"name": format!("e{number}")}, "eventTime": "2026-01-01T00:00:00.000000Z"});
        plane.create("events", event).await.unwrap();
    }
    assert_eq!(plane.kind("events").store().snapshot().objects.len(), 1000);
    assert!(plane.get("events", "e4").is_none() && plane.get("events", "e5").is_some());
}

#[tokio::test]
async fn a_name_is_generated_from_its_beginning() {
    let plane = Plane::new().await;
    let mut body = secret();
    body["metadata"] = json!({"generateName": "x".repeat(80)});
    let made = plane.create("secrets", body).await.unwrap();
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!(name.len(), 63);
    assert!(name.starts_with(&"x".repeat(58)));
}

#[tokio::test]
async fn unknown_fields_are_dropped_told_or_refused_as_the_caller_wishes() {
    let plane = Plane::new().await;
    let mut body = repository();
    body["spec"]["nonsense"] = 1.into();
    body["spec"]["git"]["other"] = json!({"x": 1});
    let asked = |validation| {
        let mut write = write(Verb::Create, "", &body);
        write.options.field_validation = validation;
        write.options.dry_run = true;
        write
    };
    let reply = plane
        .reply("repositories", asked(FieldValidation::Warn))
        .await
        .unwrap();
    assert_eq!(
        reply.warnings,
        [
            "unknown field \"spec.git.other\"",
            "unknown field \"spec.nonsense\""
        ]
    );
    assert_eq!(value(&reply.written)["spec"].get("nonsense"), None);
    let reply = plane
        .reply("repositories", asked(FieldValidation::Ignore))
        .await
        .unwrap();
    assert!(reply.warnings.is_empty());
    let failure = plane
        .reply("repositories", asked(FieldValidation::Strict))
        .await
        .unwrap_err();
    let (kind, texts) = told(&failure);
    assert_eq!(kind, "BadRequest");
    assert!(texts[0].contains("strict decoding error: unknown field \"spec.git.other\", unknown field \"spec.nonsense\""), "{texts:?}");
    let mut change = write(
        Verb::Patch(PatchKind::Merge),
        "a",
        &json!({"spec": {"x": 1}}),
    );
    change.options.field_validation = FieldValidation::Strict;
    plane.create("repositories", repository()).await.unwrap();
    let failure = plane.reply("repositories", change).await.unwrap_err();
    assert_eq!(told(&failure).0, "Invalid");
}

#[tokio::test]
async fn what_may_not_change_does_not_change() {
    let plane = Plane::new().await;
    let mut body = repository();
    body["spec"]["type"] = "git".into();
    plane.create("repositories", body).await.unwrap();
    for (patch, text) in [
        (
            json!({"spec": {"git": {"repo": "https://example.com/other"}}}),
            "spec.git.repo is immutable",
        ),
        (
            json!({"spec": {"git": {"branch": "x"}}}),
            "spec.git.branch is immutable",
        ),
        (json!({"spec": {"git": null}}), "spec.git.repo is immutable"),
        (json!({"spec": {"type": "oci"}}), "spec.type is immutable"),
        (
            json!({"metadata": {"finalizers": ["bad name"]}}),
            "metadata.finalizers[0]",
        ),
    ] {
        let failure = plane
            .patch("repositories", PatchKind::Merge, patch)
            .await
            .unwrap_err();
        let (kind, texts) = told(&failure);
        assert_eq!(kind, "Invalid");
        assert!(
            texts.iter().any(|told| told.contains(text)),
            "{text}: {texts:?}"
        );
    }
    let kept = json!({"metadata": {"uid": null, "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 77}});
    let before = plane.get("repositories", "a").unwrap();
    assert_eq!(
        plane
            .patch("repositories", PatchKind::Merge, kept)
            .await
            .unwrap(),
        before
    );
}

#[tokio::test]
async fn versions_move_with_every_change_and_generations_with_those_of_the_spec() {
    let plane = Plane::new().await;
    let version = |value: &Value| {
        value["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<Version>()
            .unwrap()
    };
    let mut last = plane.create("repositories", repository()).await.unwrap();
    for (patch, status, moves, generation) in [
        (json!({"spec": {"description": "x"}}), false, true, 2),
        (json!({"spec": {"description": "x"}}), false, false, 2),
        (json!({"metadata": {"labels": {"a": "b"}}}), false, true, 2),
        (json!({"status": {"packageCount": 1}}), false, false, 2),
        (json!({"status": {"packageCount": 1}}), true, true, 2),
        (
            json!({"status": {"packageCount": 1}, "spec": {"description": "y"}}),
            true,
            false,
            2,
        ),
        (json!({"metadata": {"annotations": {}}}), false, false, 2),
        (json!({"spec": {"description": null}}), false, true, 3),
    ] {
        let is = if status {
            plane
                .status("repositories", PatchKind::Merge, patch.clone())
                .await
                .unwrap()
        } else {
            plane
                .patch("repositories", PatchKind::Merge, patch.clone())
                .await
                .unwrap()
        };
        assert_eq!(version(&is) > version(&last), moves, "{patch}");
        assert_eq!(is["metadata"]["generation"], generation, "{patch}");
        last = is;
    }
    assert_eq!(last["status"]["packageCount"], 1);
    assert_eq!(
        plane.kind("secrets").store().version(),
        version(&last),
        "all kinds move together"
    );
}

#[tokio::test]
async fn an_update_names_the_version_that_it_replaces() {
    let plane = Plane::new().await;
    let made = plane.create("repositories", repository()).await.unwrap();
    let mut newer = made.clone();
    newer["spec"]["description"] = "x".into();
    let update = |body: &Value| write(Verb::Update, "a", body);
    plane.write("repositories", update(&newer)).await.unwrap();
    let failure = plane
        .write("repositories", update(&newer))
        .await
        .unwrap_err();
    assert_eq!(
        told(&failure).1,
        [
            "the object has been modified; please apply your changes to the latest version and try again"
        ]
    );
    newer["metadata"]["resourceVersion"] = Value::Null;
    let failure = plane
        .write("repositories", update(&newer))
        .await
        .unwrap_err();
    assert_eq!(
        told(&failure).1,
        ["metadata.resourceVersion: Invalid value: 0: must be specified for an update"]
    );
    let stale = json!({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}});
    let failure = plane
        .patch("repositories", PatchKind::Merge, stale)
        .await
        .unwrap_err();
    assert_eq!(told(&failure).0, "Conflict");
    let other = json!({"metadata": {"uid": "other"}});
    let failure = plane
        .patch("repositories", PatchKind::Merge, other)
        .await
        .unwrap_err();
    assert!(told(&failure).1[0].starts_with("Precondition failed: UID in precondition: other"));
    let failure = plane
        .patch(
            "repositories",
            PatchKind::Merge,
            json!({"metadata": {"name": "b"}}),
        )
        .await
        .unwrap_err();
    assert_eq!(told(&failure).0, "BadRequest");
}

#[tokio::test]
async fn json_patches_do_what_finalizers_of_kube_rs_send() {
    let plane = Plane::new().await;
    plane.create("repositories", repository()).await.unwrap();
    let json = |operations: Value| plane.patch("repositories", PatchKind::Json, operations);
    let add = json!([{"op": "test", "path": "/metadata/finalizers", "value": null}, {"op": "add", "path": "/metadata/finalizers", "value": ["p/f"]}]);
    let held = json(add.clone()).await.unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!(["p/f"]));
    assert_eq!(told(&json(add).await.unwrap_err()).0, "Unprocessable");
    assert_eq!(
        told(
            &json(json!([{"op": "remove", "path": "/spec/none"}]))
                .await
                .unwrap_err()
        )
        .0,
        "Unprocessable"
    );
    assert_eq!(
        told(&json(json!({"op": "remove"})).await.unwrap_err()).0,
        "BadRequest"
    );
    let going = plane.delete("repositories", "a").await.unwrap();
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(going["metadata"]["generation"], 2);
    assert_eq!(plane.delete("repositories", "a").await.unwrap(), going);
    let more = json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "p/g"}]);
    let (kind, texts) = told(&json(more).await.unwrap_err());
    assert_eq!(kind, "Invalid");
    assert!(
        texts[0].contains("no new finalizers can be added"),
        "{texts:?}"
    );
    let last = json!([{"op": "test", "path": "/metadata/finalizers/0", "value": "p/f"}, {"op": "remove", "path": "/metadata/finalizers/0"}]);
    let gone = json(last).await.unwrap();
    assert_eq!(gone["metadata"].get("finalizers"), None);
    assert_eq!(plane.get("repositories", "a"), None);
}

#[tokio::test]
async fn a_deletion_tells_the_uid_and_heeds_its_preconditions() {
    let plane = Plane::new().await;
    let made = plane.create("secrets", secret()).await.unwrap();
    for (options, kind) in [
        (json!({"preconditions": {"uid": "other"}}), "Conflict"),
        (
            json!({"preconditions": {"resourceVersion": "1"}}),
            "Conflict",
        ),
        (json!({"propagationPolicy": "Sideways"}), "Invalid"),
        (json!({"dryRun": ["Some"]}), "Invalid"),
        (json!([]), "BadRequest"),
    ] {
        let failure = plane
            .write("secrets", write(Verb::Delete, "a", &options))
            .await
            .unwrap_err();
        assert_eq!(told(&failure).0, kind, "{options}");
    }
    let rehearsal = write(Verb::Delete, "a", &json!({"dryRun": ["All"]}));
    plane.write("secrets", rehearsal).await.unwrap();
    assert_eq!(plane.get("secrets", "a").unwrap(), made);
    let options = json!({"propagationPolicy": "Background", "preconditions": {"uid": made["metadata"]["uid"]}});
    let status = plane
        .write("secrets", write(Verb::Delete, "a", &options))
        .await
        .unwrap();
    assert_eq!(status["status"], "Success");
    assert_eq!(
        status["details"],
        json!({"name": "a", "kind": "secrets", "uid": made["metadata"]["uid"]})
    );
    assert_eq!(
        told(&plane.delete("secrets", "a").await.unwrap_err()).0,
        "NotFound"
    );
}

#[tokio::test]
async fn a_collection_is_deleted_as_its_selectors_choose() {
    let plane = Plane::new().await;
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut body = secret();
        body["metadata"] = json!({"name": name, "labels": {"l": label}});
        plane.create("secrets", body).await.unwrap();
    }
    let mut all = write(Verb::DeleteCollection, "", &Value::Null);
    all.options.field_selector = "nonsense=1".into();
    assert_eq!(
        told(&plane.write("secrets", all.clone()).await.unwrap_err()).0,
        "BadRequest"
    );
    all.options.field_selector = "metadata.name!=b".into();
    all.options.label_selector = "l=x".into();
    let list = plane.write("secrets", all).await.unwrap();
    assert_eq!(list["kind"], "SecretList");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(plane.get("secrets", "a"), None);
    assert!(plane.get("secrets", "b").is_some() && plane.get("secrets", "c").is_some());
}

#[tokio::test]
async fn a_namespace_goes_with_what_is_in_it_and_waits_for_what_is_held() {
    let plane = Plane::new().await;
    let mut held = repository();
    held["metadata"]["finalizers"] = json!(["p/f"]);
    held["metadata"]["namespace"] = "other".into();
    let into = |body: &Value| {
        let mut write = write(Verb::Create, "", body);
        write.namespace = "other".into();
        write
    };
    plane.write("repositories", into(&held)).await.unwrap();
    plane.write("secrets", into(&secret())).await.unwrap();
    let going = plane.delete("namespaces", "other").await.unwrap();
    assert_eq!(going["status"]["phase"], "Terminating");
    assert_eq!(plane.kind("secrets").store().snapshot().objects.len(), 0);
    let failure = plane.write("secrets", into(&secret())).await.unwrap_err();
    assert!(told(&failure).1[0].starts_with(
        "unable to create new content in namespace other because it is being terminated"
    ));
    let mut release = write(
        Verb::Patch(PatchKind::Merge),
        "a",
        &json!({"metadata": {"finalizers": null}}),
    );
    release.namespace = "other".into();
    plane.write("repositories", release).await.unwrap();
    assert_eq!(plane.get("namespaces", "other"), None);
    let failure = plane.delete("namespaces", "default").await.unwrap_err();
    assert_eq!(told(&failure).0, "Forbidden");
}

#[tokio::test]
async fn a_rehearsal_shows_what_would_be_and_does_nothing() {
    let plane = Plane::new().await;
    let before = plane.kind("secrets").store().version();
    let mut create = write(Verb::Create, "", &secret());
    create.options.dry_run = true;
    let shown = plane.write("secrets", create).await.unwrap();
    assert!(shown["metadata"]["uid"].is_string());
    assert_eq!(shown["metadata"].get("resourceVersion"), None);
    assert_eq!(plane.get("secrets", "a"), None);
    let made = plane.create("secrets", secret()).await.unwrap();
    let mut patch = write(
        Verb::Patch(PatchKind::Merge),
        "a",
        &json!({"data": {"k": null}}),
    );
    patch.options.dry_run = true;
    let shown = plane.write("secrets", patch).await.unwrap();
    assert_eq!(
        shown["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    assert_eq!(plane.get("secrets", "a").unwrap(), made);
    assert_eq!(
        plane.kind("secrets").store().version(),
        Version(before.0 + 1)
    );
}

#[tokio::test]
async fn core_kinds_take_strategic_patches_and_ours_do_not() {
    let plane = Plane::new().await;
    plane.create("secrets", secret()).await.unwrap();
    plane.create("repositories", repository()).await.unwrap();
    let patched = plane
        .patch(
            "secrets",
            PatchKind::Strategic,
            json!({"stringData": {"n": "m"}}),
        )
        .await
        .unwrap();
    assert_eq!(patched["data"], json!({"k": "dg==", "n": "bQ=="}));
    let failure = plane
        .patch("repositories", PatchKind::Strategic, json!({}))
        .await
        .unwrap_err();
    assert_eq!(told(&failure).0, "UnsupportedMediaType");
}

#[tokio::test]
async fn an_apply_owns_its_fields_and_gives_up_what_it_no_longer_names() {
    let plane = Plane::new().await;
    let mut body = repository();
    body["spec"]["description"] = "x".into();
    body["metadata"]["labels"] = json!({"a": "1", "b": "2"});
    let made = plane.apply("one", false, body.clone()).await.unwrap();
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["manager"], &entry["operation"]),
        (&json!("one"), &json!("Apply"))
    );
    let owned = json!({
        "f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}},
        "f:spec": {"f:description": {}, "f:git": {"f:repo": {}}},
    });
    assert_eq!(entry["fieldsV1"], owned);
    assert_eq!(
        plane.apply("one", false, body.clone()).await.unwrap(),
        made,
        "the same again is no write"
    );
    body["spec"].as_object_mut().unwrap().remove("description");
    body["metadata"]["labels"] = json!({"a": "1"});
    let less = plane.apply("one", false, body).await.unwrap();
    assert_eq!(less["spec"].get("description"), None);
    assert_eq!(less["metadata"]["labels"], json!({"a": "1"}));
    assert_eq!(
        less["spec"]["git"]["branch"], "main",
        "what nobody applied stays"
    );
}

#[tokio::test]
async fn an_apply_over_another_s_field_conflicts_unless_it_is_forced() {
    let plane = Plane::new().await;
    let mut body = repository();
    body["spec"]["description"] = "one's".into();
    plane.apply("one", false, body.clone()).await.unwrap();
    let mut other = repository();
    other["spec"]["description"] = "two's".into();
    let failure = plane.apply("two", false, other.clone()).await.unwrap_err();
    let Failure::ApplyConflict { message, causes } = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.description"
    );
    assert_eq!(causes[0].field, ".spec.description");
    let forced = plane.apply("two", true, other).await.unwrap();
    assert_eq!(forced["spec"]["description"], "two's");
    let failure = plane.apply("one", false, body).await.unwrap_err();
    assert!(told(&failure).1[0].contains("\"two\""));
    let edited = plane
        .patch(
            "repositories",
            PatchKind::Merge,
            json!({"spec": {"description": "edited"}}),
        )
        .await
        .unwrap();
    let managers: Vec<&str> = edited["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert_eq!(managers, ["one", "two", "test"]);
    assert_eq!(
        edited["metadata"]["managedFields"][2]["fieldsV1"],
        json!({"f:spec": {"f:description": {}}})
    );
}

#[tokio::test]
async fn a_status_is_applied_item_by_item_beside_the_spec() {
    let plane = Plane::new().await;
    plane.create("repositories", repository()).await.unwrap();
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let apply = |manager: &str, status: Value| {
        let body = json!({"apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository", "metadata": {"name": "a"}, "spec": {"description": "no"}, "status": status});
        let mut write = write(Verb::Patch(PatchKind::Apply), "a", &body);
        write.subresource = "status".into();
        write.options.field_manager = manager.into();
        write.options.force = true;
        write
    };
    plane
        .write(
            "repositories",
            apply(
                "one",
                json!({"packageCount": 2, "conditions": [condition("Ready", "True")]}),
            ),
        )
        .await
        .unwrap();
    let both = plane
        .write(
            "repositories",
            apply("two", json!({"conditions": [condition("Other", "True")]})),
        )
        .await
        .unwrap();
    assert_eq!(both["status"]["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(both["spec"].get("description"), None);
    assert_eq!(both["metadata"]["generation"], 1);
    let less = plane
        .write(
            "repositories",
            apply("one", json!({"conditions": [condition("Ready", "False")]})),
        )
        .await
        .unwrap();
    assert_eq!(less["status"].get("packageCount"), None);
    assert_eq!(less["status"]["conditions"][0]["status"], "False");
    assert_eq!(less["status"]["conditions"][1]["type"], "Other");
    let missing = plane.delete("repositories", "a").await.unwrap();
    assert_eq!(missing["status"], "Success");
    let failure = plane
        .write("repositories", apply("one", json!({})))
        .await
        .unwrap_err();
    assert_eq!(told(&failure).0, "NotFound");
}

#[tokio::test]
async fn events_are_kept_once_and_served_twice() {
    let plane = Plane::new().await;
    let all = plane.0.all();
    let find = |group: &str| {
        all.iter()
            .find(|served| served.plural() == "events" && served.kind().group == group)
            .unwrap()
            .clone()
    };
    let (new, core) = (find("events.k8s.io"), find(""));
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "default"}, "reason": "R", "message": "m", "type": "Normal",
        "involvedObject": {"kind": "Repository", "name": "r"}, "firstTimestamp": "2026-01-01T00:00:00Z",
    });
    let reply = core.write(write(Verb::Create, "", &event)).await.unwrap();
    let shown = value(&reply.written);
    assert_eq!(
        (&shown["apiVersion"], &shown["message"]),
        (&json!("v1"), &json!("m"))
    );
    let kept = new.store().get(&Name::new("default", "a")).unwrap();
    let body: Value = serde_json::from_slice(&new.body(&kept).await.unwrap()).unwrap();
    assert_eq!(
        (&body["note"], &body["regarding"]["name"]),
        (&json!("m"), &json!("r"))
    );
    assert_eq!(
        new.cells(&kept).await.unwrap()[1..5],
        [
            json!("Normal"),
            json!("R"),
            json!("repository/r"),
            json!("m")
        ]
    );
    let bodies = Arc::new(core.body(&kept).await.unwrap());
    assert!(String::from_utf8_lossy(&bodies).contains("involvedObject"));
    let mut all = write(Verb::DeleteCollection, "", &Value::Null);
    all.options.field_selector = "involvedObject.name=r".into();
    let list = value(&core.write(all).await.unwrap().written);
    assert_eq!(
        (&list["apiVersion"], &list["items"][0]["message"]),
        (&json!("v1"), &json!("m"))
    );
}
