//! What no honest client sends: documents that no reader should take, lists of a hundred thousand, owners that are
//! nonsense, tokens of other lists. It is answered in time, and what is refused has no effect.

use std::sync::Arc;

use http::Method;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use crate::{
    client::{Answered, Client},
    toy::Widgets,
};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const OPERATIONS: &str = "application/json-patch+json";

fn shop() -> Client {
    let mut widgets = Widgets::with_history(100);
    widgets.owned = true;
    let widgets = Arc::new(widgets);
    widgets.put("n", "a", &json!({}), "red");
    Client::of(widgets.server())
}

async fn send(client: &Client, way: Way, body: impl Into<Vec<u8>>) -> Answered {
    let uri = format!("{HERE}{}", way.1);
    let headers = [("content-type", way.2)];
    client.send(way.0, &uri, &headers, body.into()).await
}

/// Method, the rest of the path, and media type.
type Way = (Method, &'static str, &'static str);

/// Every way in which a body gets in.
fn ways() -> [Way; 8] {
    [
        (Method::POST, "", JSON),
        (Method::POST, "", YAML),
        (Method::PUT, "/a", JSON),
        (Method::PATCH, "/a", MERGE),
        (Method::PATCH, "/a", STRATEGIC),
        (Method::PATCH, "/a", OPERATIONS),
        (Method::PATCH, "/a?fieldManager=m", APPLY),
        (Method::DELETE, "/a", JSON),
    ]
}

#[tokio::test]
async fn what_no_reader_should_take_is_refused_by_every_way_in() {
    let client = shop();
    let deep = |open: &str, close: &str| [open.repeat(100_000), close.repeat(100_000)].concat();
    let inside = |value: &[u8]| {
        let start = b"{\"metadata\":{\"name\":\"b\"},\"spec\":{\"extra\":".as_slice();
        [start, value, b"}}"].concat()
    };
    let bombs = (1..30).map(|at| format!("x{at}: &x{at} [*x{0}, *x{0}, *x{0}]", at - 1));
    let bomb: Vec<String> = ["x0: &x0 [y, y]".to_owned()]
        .into_iter()
        .chain(bombs)
        .collect();
    let before = client.get(HERE).await.json();
    for (what, body) in [
        ("lists in lists", deep("[", "]").into_bytes()),
        ("objects in objects", deep("{\"a\":", "}").into_bytes()),
        ("depth inside", inside(deep("[", "]").as_bytes())),
        ("no number", inside(b"NaN}")),
        ("no end", inside(b"\"")),
        ("bytes that are no text", inside(b"\"\xff\xfe\"")),
        ("half a letter", inside(b"\"\xe2\x82\"")),
        ("references that grow", bomb.join("\n").into_bytes()),
        ("a reference to itself", b"a: &a [*a]".to_vec()),
        ("a reference to nothing", b"a: *b".to_vec()),
        ("a list as a name", b"? [a, b]\n: c".to_vec()),
    ] {
        for way in ways() {
            let title = format!("{what}: {} {}", way.0, way.2);
            let told = send(&client, way, body.clone()).await;
            assert!(matches!(told.code, 400 | 413), "{title}: {}", told.text());
            assert_eq!(told.json()["kind"], "Status", "{title}");
        }
    }
    assert_eq!(client.get(HERE).await.json(), before);
}

#[tokio::test]
async fn numbers_that_fit_nowhere_are_refused_and_never_become_others() {
    let client = shop();
    let huge = "9".repeat(400);
    for number in [
        "1e999",
        "-1e999",
        &huge,
        "9223372036854775808",
        "1e3",
        "1.5",
        "-0.5",
    ] {
        for (method, rest, media) in [
            (Method::POST, "", JSON),
            (Method::POST, "", YAML),
            (Method::PATCH, "/a", MERGE),
            (Method::PATCH, "/a?fieldManager=m", APPLY),
        ] {
            let name = if rest.is_empty() { "b" } else { "a" };
            let body = format!(
                "{{\"apiVersion\":\"toys.example/v1\",\"kind\":\"Widget\",\"metadata\":{{\"name\":\"{name}\"}},\"spec\":{{\"size\":{number}}}}}"
            );
            let told = send(&client, (method, rest, media), body).await;
            let title = format!("{media} {number:.30}");
            assert!(matches!(told.code, 400 | 422), "{title}: {}", told.text());
        }
    }
    let list = client.get(HERE).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["spec"], json!({ "color": "red" }));
}

#[tokio::test]
async fn names_are_read_in_one_way() {
    let client = shop();
    let applied = json!({ "apiVersion": "toys.example/v1", "kind": "Widget" }).to_string();
    for (rest, code) in [
        ("/..", 404),
        ("/%2e%2e", 404),
        ("/%2E", 404),
        ("/..%2fa", 404),
        ("/a%2f%2f", 404),
        ("/a%2Fnothing", 404),
        ("/%ff", 404),
        ("/b%00", 422),
        ("/b%0a", 422),
        ("/b%20b", 422),
        ("/b%252f", 422),
        ("/B", 422),
        ("/b%3Fc", 422),
        ("/-b", 422),
    ] {
        let uri = format!("{HERE}{rest}?fieldManager=m");
        let headers = [("content-type", APPLY)];
        let told = client
            .send(Method::PATCH, &uri, &headers, applied.clone())
            .await;
        assert_eq!(told.code, code, "{rest}: {}", told.text());
        for method in [Method::GET, Method::DELETE] {
            let told = client.send(method, &format!("{HERE}{rest}"), &[], "").await;
            assert_eq!(told.code, 404, "{rest}: {}", told.text());
        }
    }
    let list = client.get(HERE).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn as_many_labels_as_fit_into_a_body_are_told_in_an_answer_of_moderate_size() {
    let client = shop();
    let labels = |count: usize| {
        let labels: Vec<String> = (0..count).map(|at| format!("\"!{at}\":\"\"")).collect();
        format!(
            "{{\"metadata\":{{\"name\":\"b\",\"labels\":{{{}}}}}}}",
            labels.join(",")
        )
    };
    let told = send(&client, (Method::POST, "", JSON), labels(1_000_000)).await;
    assert_eq!(told.code, 413);
    for way in [(Method::POST, "", JSON), (Method::PATCH, "/a", STRATEGIC)] {
        let body =
            labels(100_000).replace("\"b\"", if way.1.is_empty() { "\"b\"" } else { "\"a\"" });
        let told = send(&client, way, body).await;
        assert_eq!(told.code, 422);
        assert!(told.bytes.len() < 100_000, "{} bytes", told.bytes.len());
        assert!(
            told.message()
                .contains("metadata.labels: Invalid value: \"!0\"")
        );
    }
}

#[tokio::test]
async fn lists_of_a_hundred_thousand_are_merged_item_by_item() {
    let client = shop();
    let tags: Vec<String> = (0..100_000).map(|at| at.to_string()).collect();
    let body = json!({ "apiVersion": "toys.example/v1", "kind": "Widget", "metadata": { "name": "a" }, "spec": { "tags": tags } });
    for query in ["/a?fieldManager=m", "/a?fieldManager=o"] {
        let told = send(&client, (Method::PATCH, query, APPLY), body.to_string()).await;
        assert_eq!(told.code, 200, "{}", told.text());
        assert_eq!(told.json()["spec"]["tags"], json!(tags));
    }
}

#[tokio::test]
async fn a_patch_that_moves_the_same_over_and_over_is_given_up() {
    let client = shop();
    let before = client.get(HERE).await.json();
    let many = json!({ "op": "add", "path": "/spec/extra", "value": vec![0; 400_000] });
    let (here, there) = ("/spec/extra", "/spec/other");
    let moved = |from: &str, path: &str| json!({ "op": "move", "from": from, "path": path });
    for steps in [
        vec![json!({ "op": "add", "path": "/spec/extra/0", "value": 1 })],
        vec![json!({ "op": "remove", "path": "/spec/extra/0" })],
        vec![moved(here, there), moved(there, here)],
        vec![moved("/spec/extra/0", "/spec/other")],
        vec![moved("/spec/extra/0", "/spec/extra/1")],
    ] {
        let again = steps.iter().cycle().take(9_999);
        let patch: Vec<&Value> = std::iter::once(&many).chain(again).collect();
        let patch = json!(patch).to_string();
        let told = send(&client, (Method::PATCH, "/a", OPERATIONS), patch).await;
        assert_eq!(told.code, 422, "{steps:?}: {}", told.text());
    }
    assert_eq!(client.get(HERE).await.json(), before);
}

#[tokio::test]
async fn a_token_of_another_list_shows_nothing_that_the_list_has_not() {
    let widgets = Widgets::new();
    for (namespace, color) in [("m", "red"), ("n", "blue"), ("o", "red")] {
        for name in ["a", "b", "c"] {
            widgets.put(namespace, name, &json!({ "in": namespace }), color);
        }
    }
    let client = Client::of(widgets.server());
    let lists = [
        ("/apis/toys.example/v1/widgets?limit=1", None),
        (
            "/apis/toys.example/v1/namespaces/m/widgets?limit=1",
            Some("m"),
        ),
        (
            "/apis/toys.example/v1/namespaces/n/widgets?limit=1",
            Some("n"),
        ),
        (
            "/apis/toys.example/v1/widgets?limit=1&labelSelector=in%3Do",
            Some("o"),
        ),
        (
            "/apis/toys.example/v1/widgets?limit=1&fieldSelector=spec.color%3Dblue",
            Some("n"),
        ),
    ];
    for (from, _) in lists {
        let page = client.get(from).await.json();
        let token = page["metadata"]["continue"].as_str().unwrap();
        for (to, only) in lists {
            let to = to.replace("limit=1", &format!("continue={token}"));
            let told = client.get(&to).await;
            assert_eq!(told.code, 200, "{from} {to}: {}", told.text());
            for item in told.json()["items"].as_array().unwrap() {
                let place = item["metadata"]["namespace"].as_str();
                assert!(only.is_none() || place == only, "{from} {to}: {item}");
            }
        }
    }
}

/// Sets of fields, most of them such as nobody would write.
fn fields() -> impl Strategy<Value = Value> {
    let element = prop_oneof![
        4 => proptest::sample::select(vec!["f:spec", "f:metadata", "f:tags", "f:rows", "f:color", "f:labels", "v:\"x\"", "k:{\"name\":\"a\"}", ".", "f:", "k:", "v:", "", "k:{", "v:\u{e9}", "a\u{e9}"]).prop_map(String::from),
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        4 => Just(json!({})),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!(["f:spec"])),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        btree_map(element.clone(), inner, 0..5).prop_map(|all| all.into_iter().collect())
    })
}

/// Entries of `managedFields`, and what is none.
fn entries() -> impl Strategy<Value = Value> {
    let word = |words: &[&'static str]| {
        let words: Vec<Value> = words.iter().map(|it| json!(it)).collect();
        prop_oneof![8 => proptest::sample::select(words), 1 => Just(json!(7)), 1 => Just(Value::Null)]
    };
    let entry = (
        word(&["m", "o", "", "editor", "before-first-apply"]),
        word(&["Apply", "Update", "Bogus"]),
        word(&["toys.example/v1", "toys.example/v9", ""]),
        word(&["", "approval", "status"]),
        word(&["2030-01-01T00:00:00Z", "yesterday"]),
        fields(),
    );
    entry.prop_map(|(manager, operation, version, below, time, fields)| {
        json!({
            "manager": manager, "operation": operation, "apiVersion": version, "subresource": below, "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    })
}

/// Whatever is said of owners: a PUT with it, and an apply after that, are answered; the apply twice is the apply once.
async fn check_owners(owners: Vec<Value>) -> Result<(), TestCaseError> {
    let client = shop();
    let mut object = client.get(&format!("{HERE}/a")).await.json();
    object["metadata"]["managedFields"] = owners.into();
    object["spec"] = json!({ "color": "blue", "tags": ["x"], "rows": [{ "name": "a" }] });
    let put = send(&client, (Method::PUT, "/a", JSON), object.to_string()).await;
    prop_assert!(put.code < 500, "{}", put.text());
    let spec = json!({ "color": "green", "tags": ["y"], "rows": [{ "name": "a", "count": 1 }] });
    let applied = json!({ "apiVersion": "toys.example/v1", "kind": "Widget", "metadata": { "name": "a" }, "spec": spec });
    let apply = |rest| send(&client, (Method::PATCH, rest, APPLY), applied.to_string());
    let told = apply("/a?fieldManager=m").await;
    prop_assert!(matches!(told.code, 200 | 409), "{}", told.text());
    let forced = apply("/a?fieldManager=m&force=true").await;
    prop_assert_eq!(forced.code, 200, "{}", forced.text());
    let forced = forced.json();
    prop_assert_eq!(&forced["spec"]["color"], "green");
    let again = apply("/a?fieldManager=m").await;
    prop_assert_eq!((again.code, again.json()), (200, forced));
    Ok(())
}

#[test]
fn owners_that_are_nonsense_hinder_nobody() {
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.and_then(|it| it.parse().ok()).unwrap_or(60);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = runner.run(&vec(entries(), 0..5), |owners| {
        runtime.block_on(check_owners(owners))
    });
    run.unwrap();
}
