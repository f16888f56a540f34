//! Whatever is sent: it is answered, never with a panic, and what is refused has no effect.

use std::sync::Arc;

use http::Method;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use serde_json::{Value, json};

use crate::{client::Client, laws, toy::Widgets};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";

/// Names that mean something, and some that mean nothing.
fn names() -> impl Strategy<Value = String> {
    let known = [
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "uid",
        "resourceVersion",
        "generateName",
        "deletionTimestamp",
        "managedFields",
        "kind",
        "apiVersion",
        "spec",
        "color",
        "size",
        "parts",
        "notes",
        "extra",
        "status",
        "$patch",
        "$retainKeys",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "preconditions",
        "propagationPolicy",
        "orphanDependents",
        "dryRun",
        "-",
        "",
    ];
    prop_oneof![
        9 => proptest::sample::select(known.to_vec()).prop_map(String::from),
        1 => any::<String>(),
    ]
}

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        names().prop_map(Value::from),
        proptest::sample::select(vec![
            "a",
            "n",
            "delete",
            "replace",
            "merge",
            "Orphan",
            "All",
            "1",
            "Widget",
            "toys.example/v1"
        ])
        .prop_map(Value::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(names(), inner, 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Objects that are widgets here and there.
fn widgets() -> impl Strategy<Value = Value> {
    let part = || btree_map(names(), values(), 0..5);
    (part(), part()).prop_map(|(metadata, spec)| {
        let mut object = json!({ "metadata": { "name": "a" }, "spec": {} });
        for (part, members) in [("metadata", metadata), ("spec", spec)] {
            for (name, value) in members {
                object[part][name] = value;
            }
        }
        object
    })
}

fn pointers() -> impl Strategy<Value = String> {
    vec(names(), 0..5).prop_map(|steps| {
        let escaped = |step: String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        steps.into_iter().map(escaped).collect()
    })
}

fn operations() -> impl Strategy<Value = Value> {
    let ops = ["add", "remove", "replace", "move", "copy", "test", "grow"];
    let operation = (
        proptest::sample::select(ops.to_vec()),
        pointers(),
        pointers(),
        values(),
    );
    let operation = operation.prop_map(
        |(op, path, from, value)| json!({ "op": op, "path": path, "from": from, "value": value }),
    );
    vec(operation, 0..8).prop_map(Value::from)
}

/// What is asked for: method, the rest of the path with a query, media type, body.
type Asked = (Method, String, &'static str, Vec<u8>);

fn queries() -> impl Strategy<Value = String> {
    let names = [
        "labelSelector",
        "fieldSelector",
        "fieldValidation",
        "dryRun",
        "limit",
        "propagationPolicy",
        "continue",
        "resourceVersion",
        "fieldManager",
    ];
    let values = prop_oneof![
        4 => "[a-z=!(),<> \\\\]{0,12}",
        2 => proptest::sample::select(vec!["Strict", "Warn", "Ignore", "All", "1", "metadata.name=a", "a in (b,c)", "Orphan"]).prop_map(String::from),
        1 => any::<String>(),
    ];
    let pair = (proptest::sample::select(names.to_vec()), values);
    vec(pair, 0..3).prop_map(|pairs| {
        let mut out = url::form_urlencoded::Serializer::new(String::from("?"));
        out.extend_pairs(pairs);
        out.finish()
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn asked() -> impl Strategy<Value = Asked> {
    let raw = || {
        prop_oneof![
            values().prop_map(|value| bytes(&value)),
            vec(any::<u8>(), 0..60),
            "[\\[\\]{}\",:0-9a-z \n&*!-]{0,40}".prop_map(String::into_bytes),
        ]
    };
    let media = ["application/json", "application/yaml", "", "text/html"];
    let media = proptest::sample::select(media.to_vec());
    let patch = [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/json-patch+json",
        "application/apply-patch+yaml",
    ];
    let patch = proptest::sample::select(patch.to_vec());
    let place = proptest::sample::select(vec!["", "/a", "/b", "/a/approval"]);
    let method = proptest::sample::select(vec![Method::POST, Method::PUT, Method::DELETE]);
    let change = prop_oneof![
        widgets().prop_map(|value| bytes(&value)),
        operations().prop_map(|value| bytes(&value)),
        raw()
    ];
    let applied = (widgets(), any::<bool>(), place.clone()).prop_map(|(mut body, force, place)| {
        let name = if place.is_empty() { "/a" } else { place };
        body["kind"] = "Widget".into();
        body["apiVersion"] = "toys.example/v1".into();
        let uri = format!("{name}?fieldManager=m{force}&force={force}");
        let media = "application/apply-patch+yaml";
        (Method::PATCH, uri, media, bytes(&body))
    });
    prop_oneof![
        applied,
        widgets().prop_map(|body| (
            Method::POST,
            String::new(),
            "application/json",
            bytes(&body)
        )),
        widgets().prop_map(|body| (Method::PUT, "/a".into(), "application/json", bytes(&body))),
        operations().prop_map(|body| (
            Method::PATCH,
            "/a".into(),
            "application/json-patch+json",
            bytes(&body)
        )),
        (patch, change, queries()).prop_map(|(media, body, query)| (
            Method::PATCH,
            format!("/a{query}"),
            media,
            body
        )),
        (method, place.clone(), queries(), media, raw()).prop_map(
            |(method, place, query, media, body)| (method, format!("{place}{query}"), media, body)
        ),
        (place, queries()).prop_map(|(place, query)| (
            Method::GET,
            format!("{place}{query}"),
            "",
            Vec::new()
        )),
    ]
}

async fn check(client: &Client, (method, rest, media, body): Asked) -> Result<(), TestCaseError> {
    let headers = [("content-type", media)];
    let before = client.get(HERE).await.json();
    let uri = format!("{HERE}{rest}");
    let told = client.send(method, &uri, &headers, body).await;
    prop_assert!(told.code < 500, "{}", told.text());
    prop_assert!(serde_json::from_slice::<Value>(&told.bytes).is_ok());
    let after = client.get(HERE).await.json();
    if told.code >= 400 {
        prop_assert_eq!(before, after);
    }
    Ok(())
}

#[test]
fn nothing_that_is_sent_makes_the_server_fall() {
    let asked = vec(asked(), 1..4);
    laws::hold(400, &asked, async |requests| {
        let mut widgets = Widgets::with_history(100);
        widgets.owned = true;
        let widgets = Arc::new(widgets);
        widgets.put("n", "a", &json!({ "x": "y" }), "red");
        let client = Client::of(widgets.server());
        for request in requests {
            check(&client, request).await?;
        }
        Ok(())
    });
}
