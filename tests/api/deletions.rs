//! DELETE of one widget and of many.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Answered, Client},
    toy::Widgets,
};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";

struct Shop {
    widgets: Arc<Widgets>,
    client: Client,
}

impl Shop {
    async fn with(names: &[&str]) -> Self {
        let widgets = Widgets::new();
        let client = Client::of(widgets.server());
        let shop = Self { widgets, client };
        for name in names {
            shop.create(&json!({ "metadata": { "name": name } })).await;
        }
        shop
    }

    async fn create(&self, object: &Value) {
        let made = self
            .client
            .send(Method::POST, HERE, &[], object.to_string());
        assert_eq!(made.await.code, 201);
    }

    async fn delete(&self, rest: &str, options: &Value) -> Answered {
        let body = match options {
            Value::Null => String::new(),
            options => options.to_string(),
        };
        let uri = format!("{HERE}{rest}");
        self.client.send(Method::DELETE, &uri, &[], body).await
    }

    async fn merge(&self, name: &str, patch: &Value) -> Answered {
        let headers = [("content-type", "application/merge-patch+json")];
        let uri = format!("{HERE}/{name}");
        self.client
            .send(Method::PATCH, &uri, &headers, patch.to_string())
            .await
    }

    async fn names(&self) -> Vec<String> {
        names(&self.client.get(HERE).await.json())
    }
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.map(name).collect()
}

#[tokio::test]
async fn who_deletes_is_told_what_was_there_or_that_it_is_done() {
    let shop = Shop::with(&["a"]).await;
    let was = shop.client.get(&format!("{HERE}/a")).await.json();
    let gone = shop
        .delete("/a", &json!({ "gracePeriodSeconds": -5 }))
        .await;
    assert_eq!((gone.code, gone.json()), (200, was));
    let missing = shop.delete("/a", &Value::Null).await;
    assert_eq!(
        (missing.code, missing.message().as_str()),
        (404, "widgets.toys.example \"a\" not found")
    );

    let mut widgets = Widgets::with_history(10);
    widgets.terse = true;
    let widgets = Arc::new(widgets);
    let shop = Shop {
        client: Client::of(widgets.server()),
        widgets,
    };
    shop.create(&json!({ "metadata": { "name": "a" } })).await;
    let done = shop.delete("/a", &Value::Null).await;
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": { "name": "a", "group": "toys.example", "kind": "widgets", "uid": "uid-of-a" },
    });
    assert_eq!((done.code, done.json()), (200, status));
}

#[tokio::test]
async fn an_object_goes_when_the_last_who_holds_it_lets_go() {
    let shop = Shop::with(&[]).await;
    let held = json!({ "metadata": { "name": "a", "finalizers": ["f/x"] } });
    shop.create(&held).await;
    let mut events = shop
        .client
        .watch(&format!("{HERE}?watch=1&resourceVersion=2"), "")
        .await;
    let told = shop.delete("/a", &Value::Null).await.json();
    assert_eq!(told["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(told["metadata"]["generation"], 2);
    assert!(told["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(shop.delete("/a", &Value::Null).await.json(), told);
    assert_eq!(shop.client.get(&format!("{HERE}/a")).await.json(), told);
    let more = shop
        .merge(
            "a",
            &json!({ "metadata": { "finalizers": ["f/x", "f/y"] } }),
        )
        .await;
    let message = "Widget.toys.example \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"f/y\"}";
    assert_eq!((more.code, more.message().as_str()), (422, message));
    let undone = shop
        .merge("a", &json!({ "metadata": { "deletionTimestamp": null } }))
        .await;
    assert_eq!((undone.code, undone.json()), (200, told));
    let freed = shop
        .merge("a", &json!({ "metadata": { "finalizers": null } }))
        .await;
    assert_eq!(freed.code, 200);
    assert_eq!(shop.names().await, Vec::<String>::new());
    assert_eq!(events.take(2).await, ["MODIFIED a", "DELETED a"]);
}

#[tokio::test]
async fn preconditions_must_hold() {
    let shop = Shop::with(&["a"]).await;
    for (preconditions, message) in [
        (
            json!({ "uid": "x" }),
            "Operation cannot be fulfilled on Widget.toys.example \"a\": the UID in the precondition (x) does not match the UID in record (uid-of-a). The object might have been deleted and then recreated",
        ),
        (
            json!({ "uid": "uid-of-a", "resourceVersion": "1" }),
            "Operation cannot be fulfilled on Widget.toys.example \"a\": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (2). The object might have been modified",
        ),
    ] {
        let told = shop
            .delete("/a", &json!({ "preconditions": preconditions }))
            .await;
        assert_eq!((told.code, told.message().as_str()), (409, message));
        assert_eq!(told.json()["details"]["kind"], "Widget");
    }
    let right = json!({ "preconditions": { "uid": "uid-of-a", "resourceVersion": "2" } });
    assert_eq!(shop.delete("/a", &right).await.code, 200);
}

#[tokio::test]
async fn what_becomes_of_dependents_is_said_in_body_or_query() {
    let typed = |kind: &str, version: &str| json!({ "kind": kind, "apiVersion": version, "propagationPolicy": "Orphan" });
    for (query, options, finalizer) in [
        ("", json!(null), None),
        ("", json!({}), None),
        ("?propagationPolicy=Background", json!(null), None),
        (
            "?propagationPolicy=Foreground",
            json!(null),
            Some("foregroundDeletion"),
        ),
        (
            "?propagationPolicy=Foreground",
            json!({}),
            Some("foregroundDeletion"),
        ),
        (
            "?propagationPolicy=Foreground",
            json!({ "propagationPolicy": "Background" }),
            None,
        ),
        ("?orphanDependents=true", json!(null), Some("orphan")),
        ("?orphanDependents=false", json!(null), None),
        ("", json!({ "orphanDependents": true }), Some("orphan")),
        ("", typed("DeleteOptions", "v1"), Some("orphan")),
        ("", typed("DeleteOptions", "meta.k8s.io/v1"), Some("orphan")),
        (
            "",
            typed("DeleteOptions", "toys.example/v1"),
            Some("orphan"),
        ),
    ] {
        let shop = Shop::with(&["a"]).await;
        let told = shop.delete(&format!("/a{query}"), &options).await;
        assert_eq!(told.code, 200, "{query} {options}");
        let held = told.json()["metadata"]["finalizers"].clone();
        assert_eq!(
            held.get(0).and_then(Value::as_str),
            finalizer,
            "{query} {options}"
        );
        assert_eq!(shop.names().await.len(), usize::from(finalizer.is_some()));
    }
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_before_anything_goes() {
    let shop = Shop::with(&["a"]).await;
    let invalid = "DeleteOptions.meta.k8s.io \"\" is invalid: ";
    for (query, options, code, message) in [
        ("", json!([]), 400, "the delete options can't be understood"),
        (
            "",
            json!({ "preconditions": 1 }),
            400,
            "the delete options can't be understood",
        ),
        (
            "",
            json!({ "kind": "Widget" }),
            400,
            "decoded object cannot be converted to DeleteOptions",
        ),
        (
            "",
            json!({ "kind": "DeleteOptions", "apiVersion": "apps/v1" }),
            400,
            "decoded object cannot be converted",
        ),
        (
            "",
            json!({ "propagationPolicy": "x" }),
            422,
            "propagationPolicy: Unsupported value: \"x\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
        ),
        (
            "?propagationPolicy=x",
            json!(null),
            422,
            "propagationPolicy: Unsupported value: \"x\"",
        ),
        (
            "",
            json!({ "propagationPolicy": "Orphan", "orphanDependents": true }),
            422,
            "propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set",
        ),
        (
            "?propagationPolicy=Orphan&orphanDependents=true",
            json!({}),
            422,
            "cannot be both set",
        ),
        (
            "",
            json!({ "dryRun": ["x"] }),
            422,
            "dryRun: Unsupported value: [\"x\"]: supported values: \"All\"",
        ),
        (
            "?dryRun=x",
            json!(null),
            422,
            "dryRun: Unsupported value: [\"x\"]",
        ),
    ] {
        for place in ["/a", ""] {
            let told = shop.delete(&format!("{place}{query}"), &options).await;
            assert_eq!(told.code, code, "{query} {options} {}", told.text());
            let text = told.message();
            assert!(text.contains(message), "{text}");
            assert_eq!(text.starts_with(invalid), code == 422, "{text}");
        }
    }
    let broken = shop
        .client
        .send(Method::DELETE, &format!("{HERE}/a"), &[], "{")
        .await;
    assert_eq!(broken.code, 400);
    assert_eq!(shop.names().await, ["a"]);
}

#[tokio::test]
async fn a_dry_run_of_a_deletion_deletes_nothing_whoever_says_so() {
    let shop = Shop::with(&["a", "b"]).await;
    for (rest, options) in [
        ("/a?dryRun=All", json!(null)),
        ("/a", json!({ "dryRun": ["All"] })),
        (
            "/a?dryRun=All",
            json!({ "propagationPolicy": "Background" }),
        ),
        ("?dryRun=All", json!(null)),
        ("", json!({ "dryRun": ["All"] })),
    ] {
        assert_eq!(shop.delete(rest, &options).await.code, 200);
        assert_eq!(shop.names().await, ["a", "b"], "{rest} {options}");
    }
}

#[tokio::test]
async fn a_collection_goes_as_far_as_the_selectors_choose() {
    let shop = Shop::with(&[]).await;
    for (name, color) in [("a", "red"), ("b", "red"), ("c", "blue"), ("d", "blue")] {
        shop.widgets
            .put("n", name, &json!({ "color": color }), color);
    }
    shop.widgets.put("m", "e", &json!({}), "red");
    for bad in [
        "?labelSelector=a%20in%20(",
        "?fieldSelector=spec.none%3Dx",
        "?fieldSelector=x",
    ] {
        assert_eq!(shop.delete(bad, &Value::Null).await.code, 400, "{bad}");
    }
    let none = shop
        .delete("?labelSelector=color%3Dgreen", &Value::Null)
        .await;
    assert_eq!((none.code, &none.json()["items"]), (200, &json!([])));
    let reds = shop
        .delete("?labelSelector=color%3Dred", &Value::Null)
        .await
        .json();
    assert_eq!(
        (&reds["kind"], names(&reds)),
        (&json!("WidgetList"), vec!["a".into(), "b".into()])
    );
    assert_eq!(shop.names().await, ["c", "d"]);
    let one = shop
        .delete("?fieldSelector=metadata.name%3Dd", &Value::Null)
        .await
        .json();
    assert_eq!(names(&one), ["d"]);
    shop.widgets.put("n", "f", &json!({}), "red");
    let limited = shop
        .delete("?limit=1", &json!({ "propagationPolicy": "Background" }))
        .await
        .json();
    assert_eq!(names(&limited), ["c"]);
    let rest = shop.delete("", &Value::Null).await.json();
    assert_eq!(names(&rest), ["f"]);
    let elsewhere = shop
        .client
        .get("/apis/toys.example/v1/widgets")
        .await
        .json();
    assert_eq!(names(&elsewhere), ["e"]);
}
