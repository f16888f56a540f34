//! Server-side apply, asked of widgets whose keeper keeps who owns what.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use porch::apiserver::{AccessReviews, Authenticator, Authorizer, Identity, Settings, Token};
use serde_json::{Value, json};

use crate::{
    client::{Answered, Client},
    toy::Widgets,
};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

struct Shop {
    client: Client,
}

fn widgets() -> Arc<Widgets> {
    let mut widgets = Widgets::with_history(100);
    widgets.owned = true;
    Arc::new(widgets)
}

fn widget(spec: impl Into<Value>) -> Value {
    let spec: Value = spec.into();
    json!({ "apiVersion": "toys.example/v1", "kind": "Widget", "metadata": { "name": "a" }, "spec": spec })
}

impl Shop {
    fn new() -> Self {
        let client = Client::of(widgets().server());
        Self { client }
    }

    async fn send(&self, method: Method, rest: &str, media: &str, body: &Value) -> Answered {
        let headers = [("content-type", media), ("user-agent", "editor/1.0")];
        let uri = format!("{HERE}{rest}");
        self.client
            .send(method, &uri, &headers, body.to_string())
            .await
    }

    async fn apply(&self, manager: &str, spec: Value) -> Answered {
        let rest = format!("/a?fieldManager={manager}");
        self.send(Method::PATCH, &rest, APPLY, &widget(spec)).await
    }

    async fn force(&self, manager: &str, spec: Value) -> Value {
        let rest = format!("/a?force=true&fieldManager={manager}");
        let applied = self.send(Method::PATCH, &rest, APPLY, &widget(spec)).await;
        assert_eq!(applied.code, 200, "{}", applied.text());
        applied.json()
    }

    async fn ok(&self, manager: &str, spec: Value) -> Value {
        let applied = self.apply(manager, spec).await;
        assert!(applied.code < 300, "{}", applied.text());
        applied.json()
    }

    async fn merge(&self, patch: Value) -> Value {
        let merged = self.send(Method::PATCH, "/a", MERGE, &patch).await;
        assert_eq!(merged.code, 200, "{}", merged.text());
        merged.json()
    }
}

/// Returns who owns what, without the times: `manager/Operation` and the fields below `f:spec`.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array();
    let entries = entries.into_iter().flatten();
    entries
        .map(|entry| {
            assert_eq!(entry["apiVersion"], "toys.example/v1");
            assert_eq!(entry["fieldsType"], "FieldsV1");
            assert_eq!(entry["time"].as_str().unwrap().len(), 20);
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            let mut who = format!("{}/{}", text("manager"), text("operation"));
            if entry["subresource"].is_string() {
                who = format!("{who}/{}", text("subresource"));
            }
            (who, entry["fieldsV1"]["f:spec"].clone())
        })
        .collect()
}

fn owned(expected: &[(&str, Value)]) -> Vec<(String, Value)> {
    let all = expected.iter();
    all.map(|(who, fields)| ((*who).to_owned(), fields.clone()))
        .collect()
}

#[tokio::test]
async fn who_does_not_say_who_it_is_manages_its_fields_as_unknown() {
    let shop = Shop::new();
    for (agent, manager) in [
        (None, "unknown"),
        (Some(""), "unknown"),
        (Some("/1"), "unknown"),
        (Some("editor/1.0 (linux)"), "editor"),
    ] {
        let headers = [("content-type", "application/json")];
        let agent = agent.map(|agent| ("user-agent", agent));
        let headers: Vec<_> = headers.into_iter().chain(agent).collect();
        let body = widget(json!({ "color": "red" })).to_string();
        let made = shop.client.send(Method::POST, HERE, &headers, body).await;
        assert_eq!(made.code, 201, "{}", made.text());
        let owner = &made.json()["metadata"]["managedFields"][0]["manager"];
        assert_eq!(owner, manager, "{agent:?}");
        let uri = format!("{HERE}/a");
        shop.client.send(Method::DELETE, &uri, &[], "").await;
    }
}

#[tokio::test]
async fn what_is_applied_is_made_owned_and_written_only_once() {
    let shop = Shop::new();
    let made = shop
        .apply("m", json!({ "color": "red", "size": null }))
        .await;
    assert_eq!(made.code, 201);
    let made = made.json();
    assert_eq!(made["spec"], json!({ "color": "red" }));
    assert_eq!(
        made["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"],
        Value::Null
    );
    assert_eq!(
        owners(&made),
        owned(&[("m/Apply", json!({ "f:color": {} }))])
    );
    let again = shop.apply("m", json!({ "color": "red" })).await;
    assert_eq!((again.code, again.json()), (200, made));
    let more = shop.ok("m", json!({ "size": 1 })).await;
    assert_eq!(
        more["spec"],
        json!({ "size": 1 }),
        "what is applied no more goes"
    );
    assert_eq!(
        owners(&more),
        owned(&[("m/Apply", json!({ "f:size": {} }))])
    );
}

#[tokio::test]
async fn who_changes_what_others_own_is_told_whose_it_is() {
    let shop = Shop::new();
    shop.ok("m", json!({ "color": "red", "size": 1 })).await;
    let told = shop.apply("o", json!({ "color": "blue" })).await;
    let message = "Apply failed with 1 conflict: conflict with \"m\": .spec.color";
    assert_eq!((told.code, told.message().as_str()), (409, message));
    let cause = json!({ "reason": "FieldManagerConflict", "message": "conflict with \"m\"", "field": ".spec.color" });
    assert_eq!(told.json()["details"]["causes"], json!([cause]));
    let shared = shop.ok("o", json!({ "color": "red" })).await;
    let color = json!({ "f:color": {} });
    let both = json!({ "f:color": {}, "f:size": {} });
    assert_eq!(
        owners(&shared),
        owned(&[("m/Apply", both), ("o/Apply", color.clone())])
    );
    let kept = shop.ok("m", json!({ "size": 1 })).await;
    assert_eq!(
        kept["spec"],
        json!({ "color": "red", "size": 1 }),
        "the other keeps it"
    );
    let taken = shop.force("m", json!({ "color": "blue", "size": 1 })).await;
    assert_eq!(taken["spec"]["color"], "blue");
    let both = json!({ "f:color": {}, "f:size": {} });
    assert_eq!(owners(&taken), owned(&[("m/Apply", both)]));
    let two = shop
        .apply("o", json!({ "color": "x", "size": 2 }))
        .await
        .message();
    assert_eq!(
        two,
        "Apply failed with 2 conflicts: conflicts with \"m\":\n- .spec.color\n- .spec.size"
    );
}

#[tokio::test]
async fn those_who_merely_update_own_what_they_change() {
    let shop = Shop::new();
    let made = shop
        .send(Method::POST, "", "", &widget(json!({ "color": "red" })))
        .await
        .json();
    assert_eq!(
        owners(&made),
        owned(&[("editor/Update", json!({ ".": {}, "f:color": {} }))])
    );
    shop.force("m", json!({ "color": "blue", "tags": ["x"] }))
        .await;
    let merged = shop
        .merge(json!({ "spec": { "color": "green", "size": 1 } }))
        .await;
    let expected = owned(&[
        ("m/Apply", json!({ "f:tags": { "v:\"x\"": {} } })),
        (
            "editor/Update",
            json!({ ".": {}, "f:color": {}, "f:size": {} }),
        ),
    ]);
    assert_eq!(owners(&merged), expected);
    let same = shop.merge(json!({ "spec": { "color": "green" } })).await;
    assert_eq!(same, merged, "no change is no write");
    let gone = shop
        .merge(json!({ "spec": { "color": null, "tags": null } }))
        .await;
    assert_eq!(
        owners(&gone),
        owned(&[("editor/Update", json!({ ".": {}, "f:size": {} }))])
    );
    let mut put = gone.clone();
    put["metadata"]["managedFields"] = json!([]);
    let reset = shop.send(Method::PUT, "/a", "", &put).await.json();
    assert_eq!(owners(&reset), []);
    let later = shop.merge(json!({ "spec": { "size": 2 } })).await;
    assert_eq!(owners(&later), [], "it begins with the next apply");
    let first = shop.force("m", json!({ "color": "red" })).await;
    let before = (
        "before-first-apply/Update",
        json!({ ".": {}, "f:size": {} }),
    );
    assert_eq!(
        owners(&first),
        owned(&[("m/Apply", json!({ "f:color": {} })), before])
    );
    let strip = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": [{}] }]);
    let media = "application/json-patch+json";
    let stripped = shop.send(Method::PATCH, "/a", media, &strip).await.json();
    assert_eq!(owners(&stripped), []);
}

#[tokio::test]
async fn lists_are_merged_as_the_schema_says() {
    let shop = Shop::new();
    let row = |name: &str, count: i64| json!({ "name": name, "count": count });
    shop.ok(
        "m",
        json!({ "tags": ["x"], "rows": [row("a", 1)], "parts": [row("p", 1)] }),
    )
    .await;
    let merged = shop
        .ok("o", json!({ "tags": ["y"], "rows": [row("b", 2)] }))
        .await;
    let spec =
        json!({ "tags": ["x", "y"], "rows": [row("a", 1), row("b", 2)], "parts": [row("p", 1)] });
    assert_eq!(merged["spec"], spec);
    let told = shop
        .apply("o", json!({ "rows": [row("a", 3)] }))
        .await
        .message();
    assert_eq!(
        told,
        "Apply failed with 1 conflict: conflict with \"m\": .spec.rows[name=\"a\"].count"
    );
    let told = shop
        .apply("o", json!({ "parts": [row("q", 1)] }))
        .await
        .message();
    assert_eq!(
        told,
        "Apply failed with 1 conflict: conflict with \"m\": .spec.parts"
    );
    let fewer = shop
        .ok(
            "m",
            json!({ "tags": [], "rows": [], "parts": [row("p", 1)] }),
        )
        .await;
    assert_eq!(fewer["spec"]["tags"], json!(["y"]));
    assert_eq!(fewer["spec"]["rows"], json!([row("b", 2)]));
    let fields = json!({ "k:{\"name\":\"b\"}": { ".": {}, "f:count": {}, "f:name": {} } });
    let other = owners(&fewer).into_iter().find(|(who, _)| who == "o/Apply");
    assert_eq!(other.unwrap().1["f:rows"], fields);
}

#[tokio::test]
async fn what_is_there_twice_in_yaml_is_told_as_the_caller_wishes() {
    let shop = Shop::new();
    let twice = "apiVersion: toys.example/v1\nkind: Widget\nmetadata: {name: a}\nspec:\n  color: red\n  color: blue\n";
    let apply = async |query: &str| {
        let uri = format!("{HERE}/a?fieldManager=m{query}");
        let headers = [("content-type", APPLY)];
        shop.client.send(Method::PATCH, &uri, &headers, twice).await
    };
    let strict = apply("&fieldValidation=Strict").await;
    assert_eq!(
        (strict.code, strict.message().as_str()),
        (
            400,
            "error strict decoding YAML: duplicate field \"spec.color\""
        )
    );
    let made = apply("").await;
    assert_eq!(
        (made.code, made.json()["spec"]["color"].as_str()),
        (201, Some("blue"))
    );
    assert!(made.header("warning").contains("duplicate field"));
    let same = apply("&fieldValidation=Ignore").await;
    assert_eq!((same.code, same.header("warning")), (200, ""));
}

#[tokio::test]
async fn an_apply_that_makes_no_sense_is_refused() {
    let shop = Shop::new();
    shop.ok("m", json!({ "color": "red" })).await;
    let sound = widget(json!({ "color": "red" }));
    let with = |pointer: &str, value: Value| {
        let mut object = sound.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        object
    };
    let typed = "failed to create typed patch object (n/a; toys.example/v1, Kind=Widget): ";
    for (query, object, code, message) in [
        ("", sound.clone(), 422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch".to_owned()),
        ("fieldManager=m", with("/kind", json!(null)), 400, "invalid object type".into()),
        ("fieldManager=m", with("/apiVersion", json!("v2")), 400, "the API version in the data (v2)".into()),
        ("fieldManager=m", with("/metadata/managedFields", json!([])), 400, "metadata.managedFields must be nil".into()),
        ("fieldManager=m", with("/metadata/name", json!("b")), 400, "the name of the object (b)".into()),
        ("fieldManager=m", with("/metadata/namespace", json!("m")), 400, "the namespace of the provided object".into()),
        ("fieldManager=m", with("/metadata/resourceVersion", json!("1")), 409, "the object has been modified".into()),
        ("fieldManager=m", with("/metadata/uid", json!("x")), 422, "metadata.uid: Invalid value: \"x\": field is immutable".into()),
        ("fieldManager=m", with("/spec/colour", json!("x")), 400, format!("{typed}.spec.colour: field not declared in schema")),
        ("fieldManager=m", with("/spec/size", json!("x")), 400, "cannot unmarshal string".into()),
        ("fieldManager=m", with("/spec/tags", json!(["x", "x"])), 400, format!("{typed}.spec.tags: duplicate entries for key [=\"x\"]")),
        ("fieldManager=m", with("/spec/rows", json!([{}, {}])), 400, format!("{typed}errors:\n  .spec.rows: element 0: ")),
    ] {
        let rest = format!("/a?{query}");
        let told = shop.send(Method::PATCH, &rest, APPLY, &object).await;
        assert_eq!(told.code, code, "{object} {}", told.text());
        assert!(told.message().contains(&message), "{} {message}", told.message());
    }
    let missing = with("/metadata/uid", json!("x"));
    let missing = json!({ "kind": "Widget", "apiVersion": "toys.example/v1", "metadata": { "uid": missing["metadata"]["uid"] } });
    let told = shop
        .send(Method::PATCH, "/b?fieldManager=m", APPLY, &missing)
        .await;
    let message = "Operation cannot be fulfilled on widgets.toys.example \"b\": uid mismatch: the provided object specified uid x, and no existing object was found";
    assert_eq!((told.code, told.message().as_str()), (409, message));
    let told = shop
        .send(
            Method::PATCH,
            "/b/approval?fieldManager=m",
            APPLY,
            &widget(json!({})),
        )
        .await;
    assert_eq!(told.code, 400, "it has another name");
    let forced = shop
        .send(Method::PATCH, "/a?force=true", MERGE, &json!({}))
        .await;
    let message = "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch";
    assert_eq!((forced.code, forced.message().as_str()), (422, message));
}

#[tokio::test]
async fn an_apply_of_a_subresource_owns_as_such_and_makes_nothing() {
    let shop = Shop::new();
    let rest = "/a/approval?fieldManager=m";
    let object = widget(json!({ "color": "red" }));
    assert_eq!(
        shop.send(Method::PATCH, rest, APPLY, &object).await.code,
        404
    );
    shop.ok("m", json!({ "size": 1 })).await;
    let applied = shop.send(Method::PATCH, rest, APPLY, &object).await.json();
    let expected = owned(&[
        ("m/Apply", json!({ "f:size": {} })),
        ("m/Apply/approval", json!({ "f:color": {} })),
    ]);
    assert_eq!(owners(&applied), expected);
}

#[tokio::test]
async fn labels_are_owned_one_by_one() {
    let shop = Shop::new();
    let mut object = widget(json!({}));
    object["metadata"]["labels"] = json!({ "x": "y" });
    let applied = shop
        .send(Method::PATCH, "/a?fieldManager=m", APPLY, &object)
        .await;
    let fields = &applied.json()["metadata"]["managedFields"][0]["fieldsV1"];
    let labels = json!({ "f:metadata": { "f:labels": { "f:x": {} } }, "f:spec": {} });
    assert_eq!(fields, &labels);
}

#[tokio::test]
async fn a_dry_run_of_an_apply_changes_nothing() {
    let shop = Shop::new();
    let rest = "/a?dryRun=All&fieldManager=m";
    let made = shop
        .send(Method::PATCH, rest, APPLY, &widget(json!({})))
        .await;
    assert_eq!(made.code, 201);
    assert_eq!(shop.client.get(&format!("{HERE}/a")).await.code, 404);
    let sound = shop.ok("m", json!({ "color": "red" })).await;
    let blue = shop
        .send(
            Method::PATCH,
            rest,
            APPLY,
            &widget(json!({ "color": "blue" })),
        )
        .await;
    assert_eq!(blue.json()["spec"]["color"], "blue");
    assert_eq!(shop.client.get(&format!("{HERE}/a")).await.json(), sound);
}

#[tokio::test]
async fn what_was_applied_without_the_server_goes_on_with_it() {
    let shop = Shop::new();
    let last = widget(json!({ "color": "red", "size": 1 })).to_string();
    let mut object = widget(json!({ "color": "red", "size": 1 }));
    object["metadata"]["annotations"] =
        json!({ "kubectl.kubernetes.io/last-applied-configuration": last });
    let rest = "?fieldManager=kubectl-client-side-apply";
    assert_eq!(shop.send(Method::POST, rest, "", &object).await.code, 201);
    let applied = shop
        .ok("kubectl", json!({ "color": "blue", "size": 1 }))
        .await;
    assert_eq!(applied["spec"]["color"], "blue");
    let other = shop.apply("flux", json!({ "color": "red" })).await;
    assert_eq!(other.code, 409);
}

/// A cluster that lets everybody patch and nobody do anything else.
async fn judge(request: Request<kube::client::Body>) -> Result<Response<Body>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    let allowed = review["spec"]["resourceAttributes"]["verb"] == "patch";
    review["status"] = json!({ "allowed": allowed });
    Ok(Response::new(Body::from(review.to_string())))
}

#[tokio::test]
async fn one_who_may_only_patch_makes_nothing_by_applying() {
    let widgets = widgets();
    widgets.put("n", "a", &json!({}), "red");
    let cluster = kube::Client::new(tower::service_fn(judge), "default");
    let reviews = AccessReviews::new(cluster, Duration::ZERO, Duration::ZERO);
    let guest = Identity::new("guest", []);
    let settings = Settings {
        authenticator: Authenticator::new().with_token(Token::new("t"), guest),
        authorizer: Authorizer::Cluster(Box::new(reviews)),
        ..Settings::default()
    };
    let server = widgets.server_with(settings);
    for (name, code) in [("a", 200), ("b", 403)] {
        let request = Request::patch(format!("{HERE}/{name}?fieldManager=m"))
            .header("authorization", "Bearer t")
            .header("content-type", APPLY)
            .body(Body::from("{kind: Widget, apiVersion: toys.example/v1}"))
            .unwrap();
        let told = server.answer(request).await;
        assert_eq!(told.status().as_u16(), code, "{name}");
    }
    let created = porch::cache::Name::new("n", "b");
    assert_eq!(widgets.find(&created), None);
}
