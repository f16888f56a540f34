//! Creation, PUT and PATCH: what every kind has in common, asked of widgets.

use std::{fmt::Write, sync::Arc};

use http::Method;
use porch::apiserver::Settings;
use serde_json::{Value, json};

use crate::{
    client::{Answered, Client, TABLE},
    toy::Widgets,
};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";
const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
/// What is told to those whose patch can't be applied.
const REJECTED: &str = "the server rejected our request due to an error in our request";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

struct Shop {
    widgets: Arc<Widgets>,
    client: Client,
}

impl Shop {
    fn new() -> Self {
        let widgets = Widgets::new();
        let client = Client::of(widgets.server());
        Self { widgets, client }
    }

    async fn with(name: &str) -> Self {
        let shop = Self::new();
        let spec = json!({ "color": "red", "size": 1 });
        let widget = json!({ "metadata": { "name": name }, "spec": spec });
        assert_eq!(shop.create("", &widget).await.code, 201);
        shop
    }

    async fn create(&self, query: &str, object: &Value) -> Answered {
        let uri = format!("{HERE}{query}");
        self.client
            .send(Method::POST, &uri, &[], object.to_string())
            .await
    }

    async fn put(&self, rest: &str, object: &Value) -> Answered {
        let uri = format!("{HERE}/{rest}");
        self.client
            .send(Method::PUT, &uri, &[], object.to_string())
            .await
    }

    async fn patch(&self, rest: &str, media: &str, patch: &Value) -> Answered {
        let (uri, headers) = (format!("{HERE}/{rest}"), [("content-type", media)]);
        let body = patch.to_string();
        self.client.send(Method::PATCH, &uri, &headers, body).await
    }

    /// Asserts that a patch of `a` is refused and changes nothing.
    async fn is_unimpressed(&self, media: &str, patch: &Value, code: u16, message: &str) {
        let before = self.get("a").await;
        let told = self.patch("a", media, patch).await;
        assert_eq!(told.code, code, "{patch} {}", told.text());
        let text = told.message();
        assert!(text.contains(message), "{patch} {text}");
        assert_eq!(self.get("a").await, before, "{patch}");
    }

    async fn get(&self, name: &str) -> Value {
        let found = self.client.get(&format!("{HERE}/{name}")).await;
        assert_eq!(found.code, 200);
        found.json()
    }
}

/// Returns `object` with another value at a JSON pointer.
fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[name] = value;
    object
}

fn refused(told: &Answered, code: u16, message: &str) {
    assert_eq!((told.code, told.message().as_str()), (code, message));
}

fn warnings(told: &Answered) -> Vec<&str> {
    let all = told.headers.get_all("warning").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_new_object_has_what_the_server_gives_and_nothing_that_the_caller_invents() {
    let shop = Shop::new();
    let made = shop
        .create(
            "",
            &json!({
                "metadata": {
                    "name": "a", "uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z", "generation": 9,
                    "deletionTimestamp": "1999-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3,
                    "selfLink": "/x", "managedFields": [{"manager": "m"}], "labels": null, "annotations": {},
                },
                "spec": { "color": "red", "size": null }, "status": null,
            }),
        )
        .await;
    assert_eq!(made.code, 201);
    let expected = json!({
        "apiVersion": "toys.example/v1", "kind": "Widget",
        "metadata": {
            "name": "a", "namespace": "n", "uid": "uid-of-a", "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z", "resourceVersion": "2",
        },
        "spec": { "color": "red" },
    });
    assert_eq!(made.json(), expected);
    assert_eq!(shop.get("a").await, expected);
}

#[tokio::test]
async fn bodies_of_another_kind_place_or_name_are_refused() {
    let shop = Shop::with("a").await;
    let sound = shop.get("a").await;
    let unrecognized =
        "the object provided is unrecognized (must be of type Widget): it is no object";
    for (pointer, value, message) in [
        (
            "/kind",
            json!("Gadget"),
            "Gadget in version \"v1\" cannot be handled as a Widget: no kind \"Gadget\" is registered for version \"toys.example/v1\"",
        ),
        (
            "/kind",
            json!(7),
            "Widget in version \"v1\" cannot be handled as a Widget: json: cannot unmarshal number into Go struct field Widget.kind of type string",
        ),
        (
            "/apiVersion",
            json!("v1"),
            "the API version in the data (v1) does not match the expected API version (toys.example/v1)",
        ),
        (
            "/metadata/namespace",
            json!("m"),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "/metadata",
            json!([]),
            "Widget in version \"v1\" cannot be handled as a Widget: json: cannot unmarshal array into Go struct field Widget.metadata of type object",
        ),
        (
            "/metadata/labels",
            json!({"a": 1}),
            "Widget in version \"v1\" cannot be handled as a Widget: json: cannot unmarshal number into Go struct field Widget.metadata.labels.a of type string",
        ),
        (
            "/metadata/creationTimestamp",
            json!("now"),
            "Widget in version \"v1\" cannot be handled as a Widget: parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\"",
        ),
        (
            "/spec/size",
            json!("1"),
            "Widget in version \"v1\" cannot be handled as a Widget: json: cannot unmarshal string into Go struct field Widget.spec.size of type int64",
        ),
        (
            "/spec/parts",
            json!([{"count": 1.5}]),
            "Widget in version \"v1\" cannot be handled as a Widget: json: cannot unmarshal number 1.5 into Go struct field Widget.spec.parts[0].count of type int32",
        ),
    ] {
        let broken = with(&sound, pointer, value);
        refused(&shop.put("a", &broken).await, 400, message);
        let mut new = with(&broken, "/spec/color", json!("blue"));
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        refused(&shop.create("", &new).await, 400, message);
    }
    refused(&shop.create("", &json!([])).await, 400, unrecognized);
    refused(&shop.put("a", &json!(1)).await, 400, unrecognized);
    let message = "the name of the object (b) does not match the name on the URL (a)";
    let renamed = with(&sound, "/metadata/name", json!("b"));
    refused(&shop.put("a", &renamed).await, 400, message);
    let message =
        "the name of the object (a based on URL) was undeterminable: name must be provided";
    let nameless = with(&sound, "/metadata/name", json!(""));
    refused(&shop.put("a", &nameless).await, 400, message);
    assert_eq!(shop.get("a").await, sound);
}

#[tokio::test]
async fn a_new_object_names_no_version_and_has_a_name_that_is_one() {
    let shop = Shop::with("a").await;
    let named = |name: &str| json!({ "metadata": { "name": name } });
    let versioned = json!({ "metadata": { "name": "b", "resourceVersion": "1" } });
    let message = "resourceVersion should not be set on objects to be created";
    refused(&shop.create("", &versioned).await, 400, message);
    let message = "widgets.toys.example \"a\" already exists";
    refused(&shop.create("", &named("a")).await, 409, message);
    let message = "Widget.toys.example \"\" is invalid: metadata.name: Required value: name or generateName is required";
    refused(&shop.create("", &named("")).await, 422, message);
    for name in ["A_b", "a/b", "..", "-a", "a%2Fb", "ä", &"a".repeat(254)] {
        let told = shop.create("", &named(name)).await;
        let causes = told.json()["details"]["causes"].clone();
        assert_eq!(
            (told.code, &causes[0]["field"]),
            (422, &json!("metadata.name"))
        );
    }
    let labelled = json!({ "metadata": { "name": "b", "labels": { "-": "x", "y": "a b" }, "finalizers": [""] } });
    let told = shop.create("", &labelled).await.json();
    let fields: Vec<&str> = told["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["field"].as_str().unwrap())
        .collect();
    let expected = [
        "metadata.labels",
        "metadata.labels",
        "metadata.finalizers[0]",
    ];
    assert_eq!(fields, expected);
    assert_eq!(told["details"]["kind"], "Widget");
}

#[tokio::test]
async fn fields_that_are_unknown_or_there_twice_are_told_as_the_caller_wishes() {
    let shop = Shop::with("a").await;
    let body = r#"{"metadata": {"name": "b", "labelz": {}}, "spec": {"color": "red", "color": "blue", "parts": [{"Name": "x"}], "extra": {"any": {"thing": 1}}}}"#;
    let complaints = [
        "unknown field \"metadata.labelz\"",
        "unknown field \"spec.parts[0].Name\"",
        "duplicate field \"spec.color\"",
    ];
    let post = async |query: &str| {
        let uri = format!("{HERE}{query}");
        shop.client.send(Method::POST, &uri, &[], body).await
    };
    let message = format!(
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: {}",
        complaints.join(", ")
    );
    refused(&post("?fieldValidation=Strict").await, 400, &message);
    let made = post("?dryRun=All").await;
    let headers = complaints.map(|text| format!("299 - \"{}\"", text.replace('"', "\\\"")));
    assert_eq!(warnings(&made)[..3], headers);
    let made = post("?fieldValidation=Ignore").await;
    assert_eq!(warnings(&made).len(), 1, "only what the keeper says");
    let spec = json!({ "color": "blue", "parts": [{}], "extra": { "any": { "thing": 1 } } });
    assert_eq!(made.json()["spec"], spec);

    let yaml = "metadata:\n  name: b\n  labelz: {}\nspec:\n  color: red\n  color: blue\n  parts: [{Name: x}]\n";
    let strict = [("content-type", "application/yaml")];
    let uri = format!("{HERE}?fieldValidation=Strict");
    let strict = shop.client.send(Method::POST, &uri, &strict, yaml).await;
    refused(&strict, 400, &message);

    let unknown = with(&shop.get("a").await, "/spec/colour", json!("red"));
    let message = "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.colour\"";
    let strict = shop.put("a?fieldValidation=Strict", &unknown).await;
    refused(&strict, 400, message);
    assert_eq!(
        shop.put("a", &unknown).await.headers["warning"],
        "299 - \"unknown field \\\"spec.colour\\\"\""
    );

    let twice = r#"{"spec": {"color": "x", "color": "y", "colour": "z"}}"#;
    for (media, patch, told) in [
        (
            MERGE,
            twice,
            "duplicate field \"spec.color\", unknown field \"spec.colour\"",
        ),
        (
            STRATEGIC,
            twice,
            "duplicate field \"spec.color\", unknown field \"spec.colour\"",
        ),
        (
            JSON,
            r#"[{"op": "add", "path": "/spec/colour", "value": "z", "why": 1}]"#,
            "json patch unknown field \"[0].why\", unknown field \"spec.colour\"",
        ),
    ] {
        let headers = [("content-type", media)];
        let uri = format!("{HERE}/a?fieldValidation=Strict");
        let strict = shop.client.send(Method::PATCH, &uri, &headers, patch).await;
        let message = strict.message();
        assert_eq!(strict.code, 422, "{message}");
        assert!(
            message.starts_with(" \"\" is invalid: patch: Invalid value: "),
            "{message}"
        );
        assert!(
            message.ends_with(&format!(": strict decoding error: {told}")),
            "{message}"
        );
        let uri = format!("{HERE}/a");
        let warned = shop.client.send(Method::PATCH, &uri, &headers, patch).await;
        assert_eq!((warned.code, warnings(&warned).len()), (200, 2));
    }
}

#[tokio::test]
async fn warnings_fit_into_the_head_of_an_answer() {
    let shop = Shop::new();
    let mut object = json!({ "metadata": { "name": "a" }, "spec": {} });
    for number in 0..1000 {
        object["spec"][format!("{number}{}", "x".repeat(1000))] = 1.into();
    }
    let made = shop.create("", &object).await;
    let told = warnings(&made);
    assert_eq!(made.code, 201);
    assert!((10..=16).contains(&told.len()), "{}", told.len());
}

#[tokio::test]
async fn a_put_must_name_the_version_that_is_there() {
    let shop = Shop::with("a").await;
    let sound = shop.get("a").await;
    let unversioned = with(&sound, "/metadata/resourceVersion", json!(""));
    let told = shop.put("a", &unversioned).await;
    let message = "widgets.toys.example \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    refused(&told, 422, message);
    let changed = with(&sound, "/spec/color", json!("blue"));
    let put = shop.put("a", &changed).await;
    assert_eq!(put.code, 200);
    assert_eq!(put.json()["metadata"]["generation"], 2);
    assert_ne!(
        put.json()["metadata"]["resourceVersion"],
        sound["metadata"]["resourceVersion"]
    );
    let stale = shop.put("a", &changed).await;
    let message = "Operation cannot be fulfilled on widgets.toys.example \"a\": the object has been modified; please apply your changes to the latest version and try again";
    refused(&stale, 409, message);
    assert_eq!(stale.json()["details"]["kind"], "widgets");
    let nonsense = with(&sound, "/metadata/resourceVersion", json!("abc"));
    assert_eq!(shop.put("a", &nonsense).await.code, 422);
    let missing = with(&sound, "/metadata/name", json!("b"));
    let message = "widgets.toys.example \"b\" not found";
    refused(&shop.put("b", &missing).await, 404, message);
    let another = with(&put.json(), "/metadata/uid", json!("other"));
    let message = "Operation cannot be fulfilled on widgets.toys.example \"a\": Precondition failed: UID in precondition: other, UID in object meta: uid-of-a";
    refused(&shop.put("a", &another).await, 409, message);
}

#[tokio::test]
async fn what_the_server_gave_stays_and_what_changes_nothing_is_no_write() {
    let shop = Shop::with("a").await;
    let sound = shop.get("a").await;
    let mut forged = sound.clone();
    for (name, value) in [
        ("creationTimestamp", json!("1999-01-01T00:00:00Z")),
        ("deletionTimestamp", json!("1999-01-01T00:00:00Z")),
        ("deletionGracePeriodSeconds", json!(1)),
        ("generation", json!(9)),
        ("selfLink", json!("/x")),
        ("labels", json!({})),
        ("uid", json!(null)),
    ] {
        forged["metadata"][name] = value;
    }
    let put = shop.put("a", &forged).await;
    assert_eq!((put.code, put.json()), (200, sound.clone()));
    for (media, patch) in [
        (MERGE, json!({ "spec": { "color": "red", "notes": null } })),
        (
            MERGE,
            json!({ "metadata": { "generation": 7, "creationTimestamp": null } }),
        ),
        (STRATEGIC, json!({ "metadata": { "labels": {} } })),
        (
            JSON,
            json!([{ "op": "test", "path": "/spec/color", "value": "red" }]),
        ),
        (JSON, json!([])),
    ] {
        let patched = shop.patch("a", media, &patch).await;
        assert_eq!(
            (patched.code, patched.json()),
            (200, sound.clone()),
            "{patch}"
        );
    }
}

#[tokio::test]
async fn patches_of_every_kind_are_applied_to_what_is_there() {
    let shop = Shop::with("a").await;
    let owner = |uid: &str| json!({ "apiVersion": "v1", "kind": "K", "name": "o", "uid": uid });
    for (media, patch, pointer, value) in [
        (
            MERGE,
            json!({ "metadata": { "labels": { "x": "1", "y": "2" } } }),
            "/metadata/labels",
            json!({ "x": "1", "y": "2" }),
        ),
        (
            MERGE,
            json!({ "metadata": { "labels": { "x": null } } }),
            "/metadata/labels",
            json!({ "y": "2" }),
        ),
        (
            JSON,
            json!([{ "op": "remove", "path": "/metadata/labels/y" }, { "op": "add", "path": "/spec/parts", "value": [{ "name": "p" }] }]),
            "/spec/parts",
            json!([{ "name": "p" }]),
        ),
        (
            JSON,
            json!([{ "op": "test", "path": "/metadata/finalizers", "value": null }, { "op": "add", "path": "/metadata/finalizers", "value": ["f/a"] }]),
            "/metadata/finalizers",
            json!(["f/a"]),
        ),
        (
            JSON,
            json!([{ "op": "replace", "path": "/spec/color", "value": "red" }]),
            "/spec/color",
            json!("red"),
        ),
        (
            STRATEGIC,
            json!({ "spec": { "parts": [{ "name": "q" }] } }),
            "/spec/parts",
            json!([{ "name": "q" }]),
        ),
        (
            STRATEGIC,
            json!({ "metadata": { "finalizers": ["f/b"] } }),
            "/metadata/finalizers",
            json!(["f/b", "f/a"]),
        ),
        (
            STRATEGIC,
            json!({ "metadata": { "ownerReferences": [owner("1")] } }),
            "/metadata/ownerReferences",
            json!([owner("1")]),
        ),
        (
            STRATEGIC,
            json!({ "metadata": { "ownerReferences": [owner("2")] } }),
            "/metadata/ownerReferences",
            json!([owner("2"), owner("1")]),
        ),
        (
            STRATEGIC,
            json!({ "metadata": { "uid": "uid-of-a", "ownerReferences": [{ "$patch": "delete", "uid": "1" }] } }),
            "/metadata/ownerReferences",
            json!([owner("2")]),
        ),
        (
            MERGE,
            json!({ "metadata": { "ownerReferences": [owner("3"), owner("3")] } }),
            "/metadata/ownerReferences",
            json!([owner("3")]),
        ),
    ] {
        let patched = shop.patch("a", media, &patch).await;
        assert_eq!(patched.code, 200, "{patch} {}", patched.text());
        assert_eq!(patched.json().pointer(pointer), Some(&value), "{patch}");
    }
    let twice = json!({ "metadata": { "ownerReferences": [owner("4"), owner("4")] } });
    let told = shop.patch("a", MERGE, &twice).await;
    assert!(warnings(&told)[0].ends_with("duplicate UID(s) observed: 4\""));
}

#[tokio::test]
async fn patches_that_make_no_sense_are_refused_and_change_nothing() {
    let shop = Shop::with("a").await;
    let deep = format!("/spec/extra{}", "/a".repeat(200));
    let copies = |count: usize| {
        let doubled = json!({ "op": "copy", "from": "/spec/extra", "path": "/spec/extra/x" });
        let mut all =
            vec![json!({ "op": "add", "path": "/spec/extra", "value": { "x": 1, "y": 2 } })];
        all.extend(
            (0..count).map(|at| with(&doubled, "/path", json!(format!("/spec/extra/{at}")))),
        );
        Value::from(all)
    };
    for (media, patch, code, message) in [
        (
            JSON,
            json!([{ "op": "test", "path": "/spec/color", "value": "blue" }]),
            422,
            REJECTED,
        ),
        (
            JSON,
            json!([{ "op": "remove", "path": "/spec/none" }]),
            422,
            REJECTED,
        ),
        (
            JSON,
            json!([{ "op": "add", "path": "/spec/none/x", "value": 1 }]),
            422,
            REJECTED,
        ),
        (
            JSON,
            json!([{ "op": "add", "path": deep, "value": 1 }]),
            422,
            REJECTED,
        ),
        (
            JSON,
            json!([{ "op": "copy", "from": "/none", "path": "/spec/x" }]),
            422,
            REJECTED,
        ),
        (JSON, copies(200), 422, REJECTED),
        (
            JSON,
            json!([{ "op": "replace", "path": "", "value": 1 }]),
            422,
            "",
        ),
        (
            JSON,
            json!([{ "op": "grow", "path": "/spec" }]),
            422,
            REJECTED,
        ),
        (
            JSON,
            json!([{ "op": "add", "path": "spec", "value": 1 }]),
            422,
            REJECTED,
        ),
        (JSON, json!({ "op": "add" }), 400, "error decoding patch: "),
        (JSON, json!([1]), 400, "error decoding patch: "),
    ] {
        shop.is_unimpressed(media, &patch, code, message).await;
    }
    let many = vec![json!({ "op": "test", "path": "/spec/color", "value": "red" }); 10_001];
    let message = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    refused(&shop.patch("a", JSON, &many.into()).await, 413, message);
    let message = "widgets.toys.example \"none\" not found";
    refused(&shop.patch("none", MERGE, &json!({})).await, 404, message);
}

#[tokio::test]
async fn patches_that_make_nonsense_of_the_object_are_refused_and_change_nothing() {
    let shop = Shop::with("a").await;
    for (media, patch, code, message) in [
        (
            MERGE,
            json!([]),
            400,
            "error decoding patch: it is no object",
        ),
        (
            STRATEGIC,
            json!("x"),
            400,
            "error decoding patch: it is no object",
        ),
        (
            STRATEGIC,
            json!({ "spec": { "$patch": "shrink" } }),
            400,
            "unknown patch type: shrink",
        ),
        (
            STRATEGIC,
            json!({ "metadata": { "$setElementOrder/finalizers": 1 } }),
            400,
            "must be a list",
        ),
        (
            STRATEGIC,
            json!({ "metadata": { "ownerReferences": [{ "$patch": "delete" }] } }),
            422,
            REJECTED,
        ),
        (
            MERGE,
            json!({ "spec": { "size": "big" } }),
            422,
            " \"\" is invalid: patch: Invalid value: ",
        ),
        (
            MERGE,
            json!({ "spec": 1 }),
            422,
            " \"\" is invalid: patch: Invalid value: ",
        ),
        (MERGE, json!({ "kind": "Gadget" }), 400, "Gadget in version"),
        (
            MERGE,
            json!({ "apiVersion": "v2" }),
            400,
            "the API version in the data (v2) does not match",
        ),
        (
            MERGE,
            json!({ "metadata": { "name": "b" } }),
            400,
            "the name of the object (b) does not match",
        ),
        (
            MERGE,
            json!({ "metadata": null }),
            400,
            "the name of the object (a based on URL) was undeterminable",
        ),
        (
            MERGE,
            json!({ "metadata": { "namespace": "m" } }),
            400,
            "the namespace of the provided object",
        ),
        (
            MERGE,
            json!({ "metadata": { "uid": "x" } }),
            422,
            "Widget.toys.example \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable",
        ),
        (
            MERGE,
            json!({ "metadata": { "resourceVersion": "1" } }),
            409,
            "Operation cannot be fulfilled",
        ),
        (
            MERGE,
            json!({ "metadata": { "resourceVersion": null } }),
            422,
            "widgets.toys.example \"a\" is invalid: metadata.resourceVersion: Invalid value: 0",
        ),
        (
            MERGE,
            json!({ "metadata": { "labels": { "-": "" } } }),
            422,
            "Widget.toys.example \"a\" is invalid: metadata.labels: ",
        ),
    ] {
        shop.is_unimpressed(media, &patch, code, message).await;
    }
}

#[tokio::test]
async fn labels_that_were_bad_before_do_not_hinder_other_changes() {
    let shop = Shop::new();
    shop.widgets.put("n", "a", &json!({ "-": "bad" }), "red");
    let changed = shop
        .patch("a", MERGE, &json!({ "spec": { "color": "blue" } }))
        .await;
    assert_eq!(changed.code, 200);
    let worse = json!({ "metadata": { "labels": { "x": "also bad" } } });
    assert_eq!(shop.patch("a", MERGE, &worse).await.code, 422);
}

#[tokio::test]
async fn patches_that_name_no_version_all_succeed() {
    let shop = Arc::new(Shop::with("a").await);
    let all = (0..50).map(|number| {
        let shop = shop.clone();
        tokio::spawn(async move {
            let patch = json!({ "spec": { "notes": { format!("k{number}"): "v" } } });
            shop.patch("a", MERGE, &patch).await.code
        })
    });
    for code in futures::future::join_all(all).await {
        assert_eq!(code.unwrap(), 200);
    }
    let notes = shop.get("a").await["spec"]["notes"].clone();
    assert_eq!(notes.as_object().unwrap().len(), 50);
}

#[tokio::test]
async fn of_those_who_name_one_version_one_wins() {
    let shop = Arc::new(Shop::with("a").await);
    let version = shop.get("a").await["metadata"]["resourceVersion"].clone();
    let all = (0..20).map(|number| {
        let (shop, version) = (shop.clone(), version.clone());
        let patch = if number % 2 == 0 {
            let metadata = json!({ "resourceVersion": version });
            (
                MERGE,
                json!({ "metadata": metadata, "spec": { "size": number } }),
            )
        } else {
            let named =
                json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version });
            let sized = json!({ "op": "replace", "path": "/spec/size", "value": 10 + number });
            (JSON, json!([named, sized]))
        };
        tokio::spawn(async move { shop.patch("a", patch.0, &patch.1).await.code })
    });
    let mut codes: Vec<u16> = Vec::new();
    for code in futures::future::join_all(all).await {
        codes.push(code.unwrap());
    }
    codes.sort_unstable();
    assert_eq!((codes[0], codes[1], codes[19]), (200, 409, 409));
}

#[tokio::test]
async fn a_dry_run_is_answered_like_the_deed_and_does_nothing() {
    let shop = Shop::with("a").await;
    let sound = shop.get("a").await;
    let mut events = shop
        .client
        .watch(&format!("{HERE}?watch=1&resourceVersion=2"), "")
        .await;
    let made = shop
        .create("?dryRun=All", &json!({ "metadata": { "name": "b" } }))
        .await;
    assert_eq!(
        (made.code, &made.json()["metadata"]["uid"]),
        (201, &json!("uid-of-b"))
    );
    let blue = json!({ "spec": { "color": "blue" } });
    let patched = shop.patch("a?dryRun=All", MERGE, &blue).await.json();
    assert_eq!(patched["spec"]["color"], "blue");
    assert_eq!(
        patched["metadata"]["resourceVersion"],
        sound["metadata"]["resourceVersion"]
    );
    let changed = with(&sound, "/spec/color", json!("blue"));
    let put = shop.put("a?dryRun=All", &changed).await;
    assert_eq!(put.json(), patched);
    let refused = shop
        .patch("a?dryRun=All", MERGE, &json!({ "spec": 1 }))
        .await;
    assert_eq!(refused.code, 422);
    assert_eq!(shop.get("a").await, sound);
    events.silent().await;
}

#[tokio::test]
async fn a_subresource_is_the_object_seen_and_changed_from_another_side() {
    let shop = Shop::with("a").await;
    let uri = format!("{HERE}/a/approval");
    assert_eq!(shop.client.get(&uri).await.json(), shop.get("a").await);
    assert_eq!(shop.client.accept(&uri, TABLE).await.code, 406);
    let both = format!("{TABLE},application/json");
    let shown = shop.client.accept(&uri, &both).await.json();
    assert_eq!(shown["kind"], "Widget");
    let approved = shop
        .patch(
            "a/approval",
            MERGE,
            &json!({ "spec": { "color": "green" } }),
        )
        .await;
    assert_eq!(approved.json()["status"]["approvedBy"], "tester");
    let again = shop.put("a/approval", &shop.get("a").await).await;
    assert_eq!((again.code, again.json()), (200, approved.json()));
    assert_eq!(shop.create("/a/approval", &json!({})).await.code, 405);
}

#[tokio::test]
async fn what_is_broken_on_the_way_is_refused_and_never_a_panic() {
    let settings = Settings {
        body_limit: 4_000_000,
        ..Settings::default()
    };
    let widgets = Widgets::new();
    widgets.put("n", "a", &json!({}), "red");
    let client = Client::of(widgets.server_with(settings));
    let deep = format!(
        "{{\"spec\":{{\"extra\":{}{}}}}}",
        "{\"a\":".repeat(100_000),
        "}".repeat(100_000)
    );
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 10].join(",");
        writeln!(bomb, "a{level}: &a{level} [{inner}]").unwrap();
    }
    let labels: Vec<String> = (0..100_000)
        .map(|at| format!("\"k{at}\":\"{at}\""))
        .collect();
    let labels = format!(
        "{{\"metadata\":{{\"name\":\"x\",\"labels\":{{{}}}}}}}",
        labels.join(",")
    );
    for (media, body, codes) in [
        ("application/json", deep.clone().into_bytes(), [400, 400]),
        ("application/yaml", deep.into_bytes(), [400, 400]),
        (
            "application/json",
            b"{\"spec\":{\"size\":NaN}}".to_vec(),
            [400, 400],
        ),
        (
            "application/json",
            b"{\"spec\":{\"size\":1e999}}".to_vec(),
            [400, 400],
        ),
        (
            "application/json",
            b"{\"spec\":{\"size\":99999999999999999999}}".to_vec(),
            [400, 422],
        ),
        (
            "application/json",
            b"{\"spec\":{\"color\":\"\xff\"}}".to_vec(),
            [400, 400],
        ),
        (
            "application/yaml",
            b"spec: {size: .nan}".to_vec(),
            [400, 400],
        ),
        (
            "application/yaml",
            b"metadata: {name: x}\nmetadata: {name: y}\n".to_vec(),
            [201, 400],
        ),
        ("application/yaml", bomb.into_bytes(), [400, 400]),
        ("application/yaml", b"\xff: 1".to_vec(), [400, 400]),
        ("application/json", b"\xff".to_vec(), [400, 400]),
        (
            "application/json",
            b"{\"spec\":{}} trailing".to_vec(),
            [400, 400],
        ),
        ("application/json", labels.into_bytes(), [201, 400]),
    ] {
        let excerpt = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let headers = [("content-type", media)];
        let made = client
            .send(Method::POST, HERE, &headers, body.clone())
            .await;
        assert_eq!(made.code, codes[0], "POST {excerpt}");
        let headers = [("content-type", MERGE)];
        let uri = format!("{HERE}/a");
        let patched = client.send(Method::PATCH, &uri, &headers, body).await;
        assert_eq!(patched.code, codes[1], "PATCH {excerpt}");
    }
    assert_eq!(client.get(HERE).await.code, 200);
}
