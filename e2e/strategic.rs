//! Strategic merge patches beside those of built-in kinds on the same kube-apiserver: CRDs know none. Patches that make no
//! sense kube-apiserver takes for its own mistake (500); here they are the caller's.

use serde_json::{Value, json};

use crate::{
    desk::{Answer, Desk, JSON, MERGE},
    differential::admin,
    server::Server,
};

const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Returns a reference to an owner that is not there.
fn owner(uid: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": uid })
}

fn metadata(metadata: impl Into<Value>) -> Value {
    let metadata: Value = metadata.into();
    json!({ "metadata": metadata })
}

/// Strategic merge patches of metadata, which do the same to a package revision and to a ConfigMap.
fn strategic() -> Vec<Value> {
    vec![
        metadata(json!({ "labels": { "a": null, "c": "d" } })),
        metadata(json!({ "labels": { "$patch": "replace", "c": "d" } })),
        metadata(json!({ "labels": { "$patch": "delete" } })),
        metadata(json!({ "labels": { "$retainKeys": ["c"], "c": "d" } })),
        metadata(json!({ "labels": { "$retainKeys": ["x"], "c": "d" } })),
        metadata(json!({ "labels": { "$retainKeys": "x" } })),
        metadata(json!({ "labels": null })),
        metadata(json!({ "labels": "x" })),
        metadata(json!({ "labels": ["x"] })),
        metadata(json!({ "finalizers": ["x.io/c"] })),
        metadata(json!({ "finalizers": ["x.io/a"] })),
        metadata(json!({ "finalizers": null })),
        metadata(json!({ "finalizers": { "a": 1 } })),
        metadata(json!({ "$deleteFromPrimitiveList/finalizers": ["x.io/a"] })),
        metadata(json!({ "$deleteFromPrimitiveList/finalizers": ["none"] })),
        metadata(json!({ "$setElementOrder/finalizers": ["x.io/b", "x.io/a"] })),
        metadata(json!({ "$setElementOrder/finalizers": ["x.io/b"] })),
        metadata(
            json!({ "$setElementOrder/finalizers": ["x.io/c", "x.io/b"], "finalizers": ["x.io/c"], "$deleteFromPrimitiveList/finalizers": ["x.io/a"] }),
        ),
        metadata(json!({ "ownerReferences": [{ "uid": "OWNER", "controller": true }] })),
        metadata(json!({ "ownerReferences": [owner("new")] })),
        metadata(json!({ "ownerReferences": [owner("new"), owner("new")] })),
        metadata(json!({ "ownerReferences": [{ "$patch": "delete", "uid": "OWNER" }] })),
        metadata(json!({ "ownerReferences": [{ "$patch": "delete", "uid": "none" }] })),
        metadata(json!({ "ownerReferences": [{ "$patch": "replace" }, owner("new")] })),
        metadata(json!({ "ownerReferences": [{ "$patch": "replace" }] })),
        metadata(json!({ "ownerReferences": null })),
        metadata(
            json!({ "$setElementOrder/ownerReferences": [{ "uid": "new" }, { "uid": "OWNER" }], "ownerReferences": [owner("new")] }),
        ),
        metadata(json!({ "$bogus": 1 })),
        json!({ "metadata": null }),
        json!({ "metadata": "x" }),
        json!({ "metadata": [] }),
        json!([]),
        json!("text"),
    ]
}

/// Strategic merge patches that make no sense, which kube-apiserver takes for its own mistake.
fn senseless() -> Vec<Value> {
    vec![
        metadata(json!({ "labels": { "$patch": "merge", "c": "d" } })),
        metadata(json!({ "labels": { "$patch": "bogus" } })),
        metadata(json!({ "labels": { "$patch": 7 } })),
        metadata(json!({ "$setElementOrder/finalizers": "x.io/b" })),
        metadata(json!({ "$setElementOrder/finalizers": ["x.io/b"], "finalizers": ["x.io/c"] })),
        metadata(json!({ "ownerReferences": [{ "$patch": "delete" }] })),
        metadata(json!({ "ownerReferences": [{ "$patch": "bogus", "uid": "OWNER" }] })),
        metadata(json!({ "ownerReferences": [{ "name": "x" }] })),
        metadata(json!({ "ownerReferences": ["x"] })),
        metadata(
            json!({ "$setElementOrder/ownerReferences": [{ "name": "x" }], "ownerReferences": [owner("new")] }),
        ),
        metadata(json!({ "$patch": "bogus" })),
        json!({ "$patch": "bogus" }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strategic_patches_do_to_metadata_what_they_do_to_that_of_a_built_in_kind() {
    let server = Server::start("strategic").await;
    let desk = Desk::open(&server.examined, "strategic").await;
    desk.make("p", "w1", json!({})).await;
    let admin = admin(&server);
    let namespace = &desk.namespace;
    let here = format!("/api/v1/namespaces/{namespace}");
    let found = admin.send("GET", &here, (JSON, Vec::new())).await.is(200);
    let owner = found["metadata"]["uid"].as_str().unwrap().to_owned();
    let sides = [
        desk.path("packagerevisions/r.p.w1"),
        format!("/api/v1/namespaces/{namespace}/configmaps/c"),
    ];
    let map = json!({ "metadata": { "name": "c" } })
        .to_string()
        .into_bytes();
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    admin.send("POST", &maps, (JSON, map)).await.is(201);
    let base = json!({ "metadata": {
        "labels": { "a": "b", "z": "y" }, "finalizers": ["x.io/a", "x.io/b"],
        "ownerReferences": [{ "apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": owner }],
    } });
    for side in &sides {
        admin
            .send("PATCH", side, (MERGE, base.to_string().into_bytes()))
            .await
            .is(200);
    }
    let ask = async |patch: &Value| {
        let body = patch.to_string().replace("OWNER", &owner).into_bytes();
        let mut told = Vec::new();
        for side in &sides {
            let uri = format!("{side}?dryRun=All");
            let answer = admin.send("PATCH", &uri, (STRATEGIC, body.clone())).await;
            let found = if answer.code == 200 {
                let lists = ["labels", "finalizers", "ownerReferences"];
                json!(lists.map(|name| answer.body["metadata"][name].clone()))
            } else {
                answer.body["reason"].clone()
            };
            told.push((answer.code, found));
        }
        let [ours, theirs] = <[_; 2]>::try_from(told).unwrap();
        (ours, theirs)
    };
    for patch in strategic() {
        let (ours, theirs) = ask(&patch).await;
        assert_eq!(ours, theirs, "{patch}");
    }
    for patch in senseless() {
        let (ours, theirs) = ask(&patch).await;
        assert!(matches!(ours.0, 400 | 422), "{patch}: {ours:?}");
        assert_eq!(theirs.0, 500, "{patch}: {theirs:?}");
    }
    for side in &sides {
        let free = json!({ "metadata": { "finalizers": null } })
            .to_string()
            .into_bytes();
        admin.send("PATCH", side, (MERGE, free)).await.is(200);
    }
    server.end().await;
}

/// What is done to a list that has no key, and to its items; `ITEM` is the member by which they differ.
fn lists() -> Vec<Value> {
    let rules = |value: Value| json!({ "spec": { "LIST": value } });
    vec![
        rules(json!([{ "ITEM": "c.io" }])),
        rules(json!([])),
        rules(json!(null)),
        rules(json!([{ "ITEM": "b.io" }, { "ITEM": "a.io" }])),
        rules(json!([{ "ITEM": "a.io" }, { "$patch": "delete", "ITEM": "b.io" }])),
        rules(json!([{ "ITEM": "c.io" }, { "$patch": "replace" }])),
        rules(json!({ "ITEM": "c.io" })),
        rules(json!("c.io")),
        rules(json!([{ "ITEM": 7 }])),
        rules(json!([null])),
        rules(json!(["c.io"])),
        rules(json!([[{ "ITEM": "c.io" }]])),
        json!({ "spec": { "$deleteFromPrimitiveList/LIST": ["a.io"] } }),
        json!({ "spec": { "$bogus": 1 } }),
    ]
}

/// What is done to a map of texts.
fn maps() -> Vec<Value> {
    let data = |value: Value| json!({ "MAP": value });
    vec![
        data(json!({ "a.yaml": "x: 1\n" })),
        data(json!({ "a.yaml": null })),
        data(json!({ "none.yaml": null })),
        data(json!({ "a.yaml": null, "b.yaml": "y: 1\n" })),
        data(json!({ "$patch": "replace", "Kptfile": "KPTFILE", "b.yaml": "y: 1\n" })),
        data(json!({ "$retainKeys": ["Kptfile", "b.yaml"], "b.yaml": "y: 1\n" })),
        data(json!({ "$retainKeys": ["b.yaml"], "c.yaml": "y: 1\n" })),
        data(json!({ "$deleteFromPrimitiveList/a.yaml": ["x"] })),
        data(json!({ "$setElementOrder/a.yaml": ["x"] })),
        data(json!({ "a.yaml": 7 })),
        data(json!({ "a.yaml": ["x"] })),
        data(json!({ "a.yaml": { "$patch": "delete" } })),
        data(json!(["a.yaml"])),
        data(json!("a.yaml")),
    ]
}

/// Returns what an answer comes to: what is at a path of the object, or why there is none.
fn found(answer: &Answer, path: &str) -> Value {
    match answer.code {
        200 => answer.body.pointer(path).cloned().unwrap_or_default(),
        _ => answer.body["reason"].clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strategic_patches_do_to_lists_and_files_what_they_do_to_those_of_built_in_kinds() {
    let server = Server::start("strategic-lists").await;
    let desk = Desk::open(&server.examined, "lists").await;
    desk.make("p", "w1", json!({})).await;
    let admin = admin(&server);
    let send = async |method: &str, uri: &str, kind: &str, body: &Value| {
        let body = body.to_string().into_bytes();
        admin.send(method, uri, (kind, body)).await
    };
    let namespace = &desk.namespace;
    let ingresses = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses");
    let ingress = json!({ "metadata": { "name": "i" }, "spec": {
        "defaultBackend": { "service": { "name": "s", "port": { "number": 80 } } }, "rules": [{ "host": "a.io" }, { "host": "b.io" }] } });
    send("POST", &ingresses, JSON, &ingress).await.is(201);
    let maps_of = format!("/api/v1/namespaces/{namespace}/configmaps");
    let gates = json!({ "spec": { "readinessGates": [{ "conditionType": "a.io" }, { "conditionType": "b.io" }] } });
    let (revision, contents) = (
        desk.path("packagerevisions/r.p.w1"),
        desk.path("packagerevisionresources/r.p.w1"),
    );
    send("PATCH", &revision, MERGE, &gates).await.is(200);
    let added = json!({ "spec": { "resources": { "a.yaml": "a: 1\n" } } });
    send("PATCH", &contents, MERGE, &added).await.is(200);
    let files = desk.files("r.p.w1").await["spec"]["resources"].clone();
    let map = json!({ "metadata": { "name": "c" }, "data": files });
    send("POST", &maps_of, JSON, &map).await.is(201);
    let kptfile = file(&desk, "Kptfile").await;

    let text = |value: &Value, words: &[(&str, &str)]| -> Value {
        let mut text = value.to_string();
        for (from, to) in words {
            text = text.replace(from, to);
        }
        serde_json::from_str(&text).unwrap()
    };
    for patch in lists() {
        let ours = text(
            &patch,
            &[("LIST", "readinessGates"), ("ITEM", "conditionType")],
        );
        let theirs = text(&patch, &[("LIST", "rules"), ("ITEM", "host")]);
        let ours = send("PATCH", &format!("{revision}?dryRun=All"), STRATEGIC, &ours).await;
        let ingress = format!("{ingresses}/i?dryRun=All");
        let theirs = send("PATCH", &ingress, STRATEGIC, &theirs).await;
        let (mut a, mut b) = (
            found(&ours, "/spec/readinessGates"),
            found(&theirs, "/spec/rules"),
        );
        b = text(&b, &[("host", "conditionType")]);
        // The order of gates is the Kptfile's.
        for list in [&mut a, &mut b] {
            if let Value::Array(items) = list {
                items.sort_by_key(Value::to_string);
            }
        }
        // A gate has a type, a rule need not have a host.
        if b.as_array().is_some_and(|items| items.contains(&json!({}))) {
            assert_eq!(ours.code, 422, "{patch}: {}", ours.body);
            continue;
        }
        alike(&patch, (&ours, &a), (&theirs, &b));
    }
    for patch in maps() {
        let patch = text(&patch, &[("\"KPTFILE\"", &kptfile.to_string())]);
        let ours = json!({ "spec": { "resources": patch["MAP"] } });
        let theirs = json!({ "data": patch["MAP"] });
        let ours = send("PATCH", &format!("{contents}?dryRun=All"), STRATEGIC, &ours).await;
        let map = format!("{maps_of}/c?dryRun=All");
        let theirs = send("PATCH", &map, STRATEGIC, &theirs).await;
        let (a, b) = (found(&ours, "/spec/resources"), found(&theirs, "/data"));
        alike(&patch, (&ours, &a), (&theirs, &b));
    }
    server.end().await;
}

/// The same code, and the same result or reason; what kube-apiserver takes for its own mistake is the caller's here, or
/// has no effect.
fn alike(patch: &Value, (ours, a): (&Answer, &Value), (theirs, b): (&Answer, &Value)) {
    if theirs.code == 500 {
        assert!(
            matches!(ours.code, 200 | 400 | 422),
            "{patch}: {}",
            ours.body
        );
        return;
    }
    assert_eq!((ours.code, a), (theirs.code, b), "{patch}");
    if ours.code == 422 {
        // What is shown is the patch, not the object.
        let message = ours.body["message"].as_str().unwrap();
        assert!(!message.contains("creationTimestamp"), "{message}");
    }
}

/// Returns what a file of the package says.
async fn file(desk: &Desk, name: &str) -> Value {
    desk.files("r.p.w1").await["spec"]["resources"][name].clone()
}
