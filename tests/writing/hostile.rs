//! What no honest client sends, to the kinds that are served: bodies that no reader should take, names that lead elsewhere,
//! a hundred thousand labels, applies that pretend, tokens and selectors that are forged. Each is refused as the caller's
//! mistake, in time, and nothing comes of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::desk::{Desk, Examined, JSON, MERGE, STEPS};

const YAML: &str = "application/yaml";
const APPLY: &str = "application/apply-patch+yaml";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// How long any of it may take, on a busy machine and through kube-apiserver.
const SOON: Duration = Duration::from_secs(20);

pub async fn what_nobody_should_send(examined: &Examined) {
    let desk = Desk::open(examined, "hostile").await;
    desk.make("p", "w1", json!({})).await;
    desk.make("q", "w1", json!({})).await;
    let before = state(&desk).await;
    bodies(&desk).await;
    names(&desk).await;
    crowds_of_labels(&desk).await;
    applies(&desk).await;
    lists(&desk).await;
    assert_eq!(state(&desk).await, before);
}

/// Returns all that is in Git, and the objects.
async fn state(desk: &Desk) -> (String, Vec<String>, Value, Value) {
    let revision = desk.revision("r.p.w1").await;
    let files = desk.files("r.p.w1").await;
    (
        desk.everything(),
        desk.names("packagerevisions").await,
        revision,
        files["spec"].clone(),
    )
}

/// Sends a request that must be refused as the caller's mistake, with a Status, soon.
async fn refused(desk: &Desk, (method, uri): (&str, &str), (kind, body): (&str, Vec<u8>)) -> Value {
    let begun = Instant::now();
    let answer = desk.examined.send(method, uri, (kind, body)).await;
    let title = format!(
        "{method} {uri} {kind}: {} {:.300}",
        answer.code, answer.body
    );
    assert!((400..500).contains(&answer.code), "{title}");
    assert_eq!(answer.body["kind"], "Status", "{title}");
    assert!(begun.elapsed() < SOON, "{title}: {:?}", begun.elapsed());
    let size = answer.body.to_string().len();
    assert!(size < 1 << 20, "{title}: an answer of {size} bytes");
    answer.body
}

async fn bodies(desk: &Desk) {
    let deep = |open: &str, close: &str| [open.repeat(100_000), close.repeat(100_000)].concat();
    let inside = |value: &[u8]| {
        let start = b"{\"metadata\":{\"name\":\"b\"},\"spec\":{\"packageName\":".as_slice();
        [start, value, b"}}"].concat()
    };
    let bombs = (1..30).map(|at| format!("x{at}: &x{at} [*x{0}, *x{0}, *x{0}]\n", at - 1));
    let bomb: String = ["x0: &x0 [y, y]\n".to_owned()]
        .into_iter()
        .chain(bombs)
        .collect();
    let revisions = desk.path("packagerevisions");
    let one = desk.path("packagerevisions/r.p.w1");
    let approval = desk.path("packagerevisions/r.p.w1/approval");
    let files = desk.path("packagerevisionresources/r.p.w1");
    let applied = format!("{one}?fieldManager=m");
    let ways = [
        ("POST", &revisions, JSON),
        ("POST", &revisions, YAML),
        ("PUT", &one, JSON),
        ("PUT", &approval, JSON),
        ("PUT", &files, JSON),
        ("PATCH", &one, MERGE),
        ("PATCH", &one, STRATEGIC),
        ("PATCH", &files, MERGE),
        ("PATCH", &files, STEPS),
        ("PATCH", &applied, APPLY),
        ("DELETE", &one, JSON),
    ];
    for body in [
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        inside(deep("[", "]").as_bytes()),
        inside(b"NaN}"),
        inside(b"1e999"),
        inside("9".repeat(400).as_bytes()),
        inside(b"\""),
        inside(b"\"\xff\xfe\""),
        bomb.into_bytes(),
        b"a: &a [*a]".to_vec(),
        b"? [a, b]\n: c".to_vec(),
        b"\0".to_vec(),
    ] {
        for (method, uri, kind) in ways {
            refused(desk, (method, uri), (kind, body.clone())).await;
        }
    }
}

async fn names(desk: &Desk) {
    let object = json!({ "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision" });
    for name in [
        "%2e%2e",
        "r.p.w1%2f..",
        "..%2fr.p.w1",
        "r.p.w1%00",
        "r.p.w1%0a",
        "r.p.w1%20",
        "R.p.w1",
        "r..w1",
        "r.p.w1%3Flimit",
        "%252e%252e",
        "%ff",
    ] {
        for plural in ["packagerevisions", "packagerevisionresources", "packages"] {
            let uri = desk.path(&format!("{plural}/{name}"));
            refused(desk, ("GET", &uri), (JSON, Vec::new())).await;
        }
        let uri = desk.path(&format!("packagerevisions/{name}"));
        refused(desk, ("DELETE", &uri), (JSON, Vec::new())).await;
        let uri = format!("{uri}?fieldManager=m");
        let body = object.to_string().into_bytes();
        refused(desk, ("PATCH", &uri), (APPLY, body)).await;
    }
}

async fn crowds_of_labels(desk: &Desk) {
    let one = desk.path("packagerevisions/r.p.w1");
    for kind in ["labels", "annotations"] {
        // As many as a body may hold, some of them wrong; well formed they are too many for the store.
        for (key, value) in [("k_{}", "v"), ("/{}", "v"), ("k{}", "-")] {
            let many = (0..100_000).map(|at| (key.replace("{}", &at.to_string()), json!(value)));
            let many: serde_json::Map<_, _> = many.collect();
            let patch = json!({ "metadata": { kind: many } })
                .to_string()
                .into_bytes();
            refused(desk, ("PATCH", &one), (MERGE, patch)).await;
        }
    }
}

async fn applies(desk: &Desk) {
    let one = desk.path("packagerevisions/r.p.w1");
    let object = |metadata: Value| {
        let head = json!({ "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision" });
        let mut object = head;
        object["metadata"] = metadata;
        object.to_string().into_bytes()
    };
    let labels = json!({ "name": "r.p.w1", "labels": { "a": "b" } });
    let owned =
        json!({ "name": "r.p.w1", "managedFields": [{ "manager": "m", "operation": "Apply" }] });
    let stale = json!({ "name": "r.p.w1", "resourceVersion": "1", "labels": { "a": "b" } });
    let other = json!({ "name": "r.p.w2", "labels": { "a": "b" } });
    let long = format!("?fieldManager={}", "m".repeat(129));
    for (query, metadata) in [
        ("", &labels),
        ("?fieldManager=", &labels),
        (&*long, &labels),
        ("?fieldManager=a%0ab", &labels),
        ("?fieldManager=m", &owned),
        ("?fieldManager=m", &stale),
        ("?fieldManager=m", &other),
        ("?fieldManager=m&dryRun=Some", &labels),
        ("?fieldManager=m&fieldValidation=Some", &labels),
    ] {
        let uri = format!("{one}{query}");
        refused(desk, ("PATCH", &uri), (APPLY, object(metadata.clone()))).await;
    }
    let twice = "{apiVersion: porch.kpt.dev/v1alpha1, kind: PackageRevision, metadata: {name: r.p.w1, labels: {a: b, a: c}}}";
    let uri = format!("{one}?fieldManager=m&fieldValidation=Strict");
    refused(desk, ("PATCH", &uri), (APPLY, twice.into())).await;
}

async fn lists(desk: &Desk) {
    let first = desk.get("packagerevisions?limit=1").await.is(200);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let forged = token.chars().rev().collect::<String>();
    for rest in [
        format!("packagerevisions?limit=1&continue={forged}"),
        format!("packagerevisions?limit=1&continue={token}AAAA"),
        format!(
            "packagerevisions?limit=1&resourceVersion=1&resourceVersionMatch=Exact&continue={token}"
        ),
        "packagerevisions?limit=1&continue=%00".into(),
        "packagerevisions?fieldSelector=spec.nothing=a".into(),
        "packagerevisions?fieldSelector=,,=".into(),
        "packagerevisions?labelSelector=a%20in%20(".into(),
        format!("packagerevisions?labelSelector={}", "a".repeat(300)),
        "packagerevisions?resourceVersion=abc".into(),
        "packagerevisions?resourceVersion=-1".into(),
        "packagerevisions?resourceVersionMatch=Exact".into(),
        "packagerevisions?limit=x".into(),
        "packagerevisions?watch=1&resourceVersion=x".into(),
    ] {
        refused(desk, ("GET", &desk.path(&rest)), (JSON, Vec::new())).await;
    }
    let all = "packagerevisions?fieldSelector=spec.nothing=a";
    refused(desk, ("DELETE", &desk.path(all)), (JSON, Vec::new())).await;
}
