//! The same requests about a package revision and about an object of a CRD of the same shape, on one kube-apiserver: code,
//! headers and body must be the same, but for the names of the two kinds and what is told beside a request as its own.

use std::collections::{BTreeMap, BTreeSet};

use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};

use crate::{
    desk::{Desk, JSON, MERGE, STEPS},
    differential::{APPLY, GROUP, admin, define},
    plane,
    server::Server,
};

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// The object that is there.
const NAME: &str = "r.p.w1";
/// What the test itself is called as one who writes.
const MANAGER: &str = "fieldManager=twins";

/// The headers that are compared.
const HEADERS: [&str; 5] = [
    "allow",
    "cache-control",
    "content-type",
    "retry-after",
    "warning",
];

/// A request, and what of its answer is a package revision's own, with the reason.
struct Ask {
    method: &'static str,
    /// What follows the plural in the path.
    rest: String,
    accept: &'static str,
    kind: &'static str,
    body: String,
    alike: Alike,
}

/// How much of two answers is the same.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Alike {
    /// All.
    Whole,
    /// Code, headers and reason; the message is another, and this is why.
    ButForWords(&'static str),
    /// Not even that, and this is why.
    Not(&'static str),
}

/// Why messages differ.
const PARSER: &str = "another parser words what it found in its own way";
const NO_PROTOBUF: &str = "protobuf is not offered";
const INDEX: &str = "the place in the list is named";
const ONCE: &str = "the same cause is told once";
const NAMED: &str = "the plural is named, not the kind";
/// Why answers differ.
const FAULT: &str = "the caller's mistake is no 500";
const TYPED: &str = "bodies are read as those of built-in kinds";
const SELECTOR: &str = "upstream's words for a field that selects nothing";
const METHOD: &str = "a method that leads nowhere is 405 with those that do";
const YAML: &str = "application/yaml";

impl Ask {
    fn new(method: &'static str, rest: impl Into<String>) -> Self {
        Self {
            method,
            rest: rest.into(),
            accept: JSON,
            kind: JSON,
            body: String::new(),
            alike: Alike::Whole,
        }
    }

    fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    fn of(mut self, kind: &'static str, body: impl Into<Value>) -> Self {
        self.kind = kind;
        // A text is a body as it is sent.
        self.body = match body.into() {
            Value::String(text) => text,
            object => object.to_string(),
        };
        self
    }

    fn words(mut self, reason: &'static str) -> Self {
        self.alike = Alike::ButForWords(reason);
        self
    }

    fn own(mut self, reason: &'static str) -> Self {
        self.alike = Alike::Not(reason);
        self
    }

    fn title(&self) -> String {
        let body: String = self.body.chars().take(160).collect();
        format!(
            "{} …{} accept {} {} {body}",
            self.method, self.rest, self.accept, self.kind
        )
    }
}

fn get(rest: &str) -> Ask {
    Ask::new("GET", rest)
}

fn object(more: impl Into<Value>) -> Value {
    let mut object = json!({
        "apiVersion": "API", "kind": "KIND", "metadata": { "name": NAME },
        "spec": { "repository": "r", "packageName": "p", "workspaceName": "w1" },
    });
    json_patch::merge(&mut object, &more.into());
    object
}

fn reads() -> Vec<Ask> {
    let queries = [
        "?limit=0",
        "?limit=1",
        "?limit=-1",
        "?limit=x",
        "?resourceVersion=abc",
        "?resourceVersion=-1",
        "?resourceVersionMatch=Exact",
        "?resourceVersionMatch=bogus&resourceVersion=1",
        "?resourceVersionMatch=Exact&resourceVersion=0",
        "?sendInitialEvents=true",
        "?fieldSelector=metadata.name%3Dnone",
        "?fieldSelector=metadata.name%3Dr.p.w1&labelSelector=a%3Db",
        "?fieldSelector=x",
        "?fieldSelector=metadata.name%3D%5Cx",
        "?labelSelector=a%20in%20(",
        "?labelSelector=a%20in%20()",
        "?labelSelector=a%20in%20(,)",
        "?labelSelector=a%20in%20(,b)",
        "?labelSelector=a%20in%20(b,)",
        "?labelSelector=a%3D",
        "?labelSelector=a%3D,b",
        "?labelSelector=a!%3D",
        "?labelSelector=a%3E-1",
        "?labelSelector=a%3Ex",
        "?labelSelector=,a",
        "?labelSelector=a,",
        "?labelSelector=,",
        "?labelSelector=a%20b",
        "?labelSelector=!a%3Db",
        "?labelSelector=in%20in%20(in)",
        "?labelSelector=a%3D%3D%3Db",
        "?labelSelector=a%3D-",
        "?labelSelector=a%20gt%20b",
        "?labelSelector=!a,b!%3Dc,d%20notin%20(e)",
        "?pretty=true",
        "?unknown=parameter",
        "?watch=1&sendInitialEvents=true",
        "?watch=1&resourceVersionMatch=NotOlderThan",
        "?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
        "?watch=1&labelSelector=a%20in%20(",
        "?timeoutSeconds=x",
        "?timeout=x",
    ];
    let mut all: Vec<_> = queries.into_iter().map(get).collect();
    all.extend([
        get(""),
        get("/r.p.w1"),
        get("/none"),
        get("?continue=x").words(PARSER),
        get("?continue=x&resourceVersion=5").words("two mistakes, and another is told"),
        get("?fieldSelector=spec.unknown%3Dx").words(SELECTOR),
        get("?watch=1&fieldSelector=spec.unknown%3Dx").words(SELECTOR),
        get("?labelSelector=_%3Db").words("the field is not <nil>"),
        get("?watch=1&resourceVersion=abc").own(FAULT),
        get("/none?resourceVersion=abc").own(FAULT),
        get("/r.p.w1?resourceVersion=0"),
        get("/r.p.w1/nothing").words("the resource is missing, not the object"),
        get("/r.p.w1/nothing/more").words("the resource is missing, not the object"),
        get("/R.P"),
        get("/%2E%2E").own("a path with dots leads nowhere"),
        get("").accept(PARTIAL_LIST),
        get("").accept(PARTIAL).words("what is accepted is told"),
        get("/r.p.w1").accept(PARTIAL),
        get("/r.p.w1").accept(PARTIAL_LIST).own(FAULT),
        get("/none").accept(PARTIAL),
        get("/none").accept(TABLE),
        get("?includeObject=bogus").accept(TABLE),
        get("").accept(PROTOBUF).own(NO_PROTOBUF),
        get("/none").accept(PROTOBUF).own(NO_PROTOBUF),
        get("").accept("text/plain").words(NO_PROTOBUF),
        get("")
            .accept("application/json;as=Bogus;v=v1;g=meta.k8s.io")
            .words(NO_PROTOBUF),
        get("")
            .accept("application/json;as=Table;v=v7;g=meta.k8s.io")
            .words(NO_PROTOBUF),
        get("/r.p.w1").accept("*/*"),
        get("/r.p.w1").accept("application/*"),
        get("/none").accept(YAML),
        Ask::new("HEAD", "").own(METHOD),
        Ask::new("HEAD", "/none").own(METHOD),
        Ask::new("POST", "/r.p.w1")
            .of(JSON, object(json!({})))
            .own(METHOD),
        Ask::new("PUT", "").of(JSON, object(json!({}))).own(METHOD),
        Ask::new("PATCH", "").of(MERGE, "{}").own(METHOD),
        Ask::new("OPTIONS", "").own(METHOD),
    ]);
    all
}

fn creations() -> Vec<Ask> {
    let post = |query: &str| Ask::new("POST", format!("?{query}"));
    let other = |more: Value| {
        let mut new = object(more);
        new["spec"]["workspaceName"] = "w9".into();
        if new["metadata"]["name"] == NAME {
            new["metadata"]["name"] = "r.p.w9".into();
        }
        new
    };
    vec![
        post("").of(JSON, "").words(PARSER),
        post("").of(JSON, "{").words(PARSER),
        post("").of(JSON, "[]").words(PARSER),
        post("").of(JSON, "null").words(PARSER),
        post("").of(JSON, "{} {}").words(PARSER),
        post("").of(JSON, "{}").words(TYPED),
        post("").of(JSON, json!({ "kind": "KIND" })).words(TYPED),
        post("").of(JSON, json!({ "apiVersion": "API" })).words(TYPED),
        post("").of(JSON, other(json!({ "kind": "Other" }))).own(TYPED),
        post("").of(JSON, other(json!({ "apiVersion": "other/v1" }))),
        post("").of(JSON, other(json!({ "metadata": { "namespace": "other" } }))),
        post("").of("text/plain", other(json!({}))).words(NO_PROTOBUF),
        post("").of(YAML, "a: b: c").words(PARSER),
        post("").of(YAML, "- a").words(PARSER),
        post("fieldValidation=bogus").of(JSON, other(json!({}))),
        post("dryRun=bogus").of(JSON, other(json!({}))),
        post("dryRun=All&dryRun=All").of(JSON, "{").words(PARSER),
        post("fieldManager=%01").of(JSON, other(json!({}))).words("control characters are quoted otherwise"),
        post(&format!("fieldManager={}", "m".repeat(129))).of(JSON, other(json!({}))),
        post("").of(JSON, object(json!({}))),
        post("").of(JSON, other(json!({ "metadata": { "resourceVersion": "1" } }))).own(FAULT),
        post("dryRun=All&fieldValidation=Strict").of(JSON, other(json!({ "spec": { "bogus": 1 } }))),
        post("dryRun=All&fieldValidation=Strict").of(JSON, other(json!({ "metadata": { "bogus": 1 } }))),
        post("dryRun=All&fieldValidation=Strict")
            .of(JSON, r#"{"apiVersion":"API","kind":"KIND","kind":"KIND","metadata":{"name":"r.p.w9"},"spec":{"repository":"r","packageName":"p","workspaceName":"w9"}}"#),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "labels": { "-": "x" } } }))),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "labels": { "a": "-" } } }))),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "labels": { "a": 1 } } }))).words("the whole path is named"),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "annotations": { "a b": "x" } } }))),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "finalizers": ["a b"] } }))).words(INDEX),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "", "name": "", "uid": "" }] } }))).words(INDEX),
        post("dryRun=All").of(JSON, other(json!({ "metadata": { "annotations": { "a": "x".repeat(262_145) } } }))),
        post("dryRun=All").of(JSON, other(json!({ "spec": { "packageName": 7 } }))).own(TYPED),
    ]
}

fn updates() -> Vec<Ask> {
    let put = |more: Value| Ask::new("PUT", "/r.p.w1").of(JSON, object(more));
    vec![
        put(json!({ "metadata": { "resourceVersion": "1" } })),
        put(json!({ "metadata": { "name": "r.p.w2", "resourceVersion": "1" } })),
        put(json!({ "metadata": { "namespace": "other", "resourceVersion": "1" } })),
        put(json!({ "metadata": { "uid": "other", "resourceVersion": "1" } }))
            .words("nothing is told of the storage"),
        put(json!({ "metadata": { "resourceVersion": "abc" } })).own(FAULT),
        put(json!({})),
        put(json!({ "kind": "Other", "metadata": { "resourceVersion": "1" } })).own(TYPED),
        Ask::new("PUT", "/none").of(
            JSON,
            object(json!({ "metadata": { "name": "none", "resourceVersion": "1" } })),
        ),
        Ask::new("PUT", "/r.p.w1").of(JSON, "").words(PARSER),
        Ask::new("PUT", "/r.p.w1?dryRun=bogus").of(JSON, object(json!({}))),
    ]
}

fn patches() -> Vec<Ask> {
    let patch = |kind, body: Value| Ask::new("PATCH", "/r.p.w1?dryRun=All").of(kind, body);
    let steps = |steps: Value| patch(STEPS, steps);
    let mut all = vec![
        patch(MERGE, json!({ "metadata": { "resourceVersion": "1" } })),
        patch(MERGE, json!({ "metadata": { "uid": "other" } })).words(ONCE),
        patch(MERGE, json!({ "metadata": { "name": "other" } })),
        patch(MERGE, json!({ "metadata": { "namespace": "other" } })),
        patch(MERGE, json!([])).words(PARSER),
        patch(MERGE, json!("\"text\"")).words(PARSER),
        patch(MERGE, json!({ "kind": "Other" })).own(TYPED),
        patch(MERGE, json!({ "metadata": { "labels": 7 } }))
            .words("the object that the patch made is another"),
        patch(MERGE, json!({ "metadata": { "labels": { "a": "-" } } })).words(ONCE),
        Ask::new("PATCH", "/r.p.w1").of(MERGE, "{").words(PARSER),
        Ask::new("PATCH", "/r.p.w1").of(MERGE, "").words(PARSER),
        Ask::new("PATCH", "/r.p.w1")
            .of(JSON, "{}")
            .words("strategic merge patches are taken too"),
        Ask::new("PATCH", "/r.p.w1")
            .of("text/plain", "{}")
            .words("strategic merge patches are taken too"),
        patch(STRATEGIC, json!({})).own("a CRD knows no strategic merge"),
        Ask::new("PATCH", "/none").of(MERGE, "{}"),
        Ask::new("PATCH", "/none").of(STEPS, "[]"),
        Ask::new("PATCH", "/r.p.w1?force=true").of(MERGE, "{}"),
        Ask::new("PATCH", "/r.p.w1?dryRun=bogus").of(MERGE, "{}"),
        steps(json!([{ "op": "test", "path": "/metadata/name", "value": "x" }])),
        steps(json!([{ "op": "replace", "path": "/metadata/none/x", "value": "x" }])),
        steps(json!([{ "op": "remove", "path": "/metadata/none" }])),
        steps(json!([{ "op": "bogus", "path": "/metadata/none" }])),
        steps(json!({})).words(PARSER),
        Ask::new("PATCH", "/r.p.w1").of(STEPS, "[").words(PARSER),
    ];
    let apply = |query: &str, body: Value| {
        Ask::new("PATCH", format!("/r.p.w1?dryRun=All&{query}")).of(APPLY, body)
    };
    all.extend([
        apply("", object(json!({}))),
        apply("fieldManager=", object(json!({}))),
        apply(MANAGER, object(json!({ "metadata": { "managedFields": [] } }))),
        apply(MANAGER, object(json!({ "metadata": { "managedFields": [{ "manager": "a" }] } }))),
        apply(MANAGER, object(json!({ "metadata": { "name": "other" } }))),
        apply(MANAGER, object(json!({ "metadata": { "namespace": "other" } }))),
        apply(MANAGER, object(json!({ "metadata": { "uid": "other" } }))).words(ONCE),
        apply(MANAGER, object(json!({ "metadata": { "resourceVersion": "1" } }))),
        apply(MANAGER, object(json!({ "kind": "Other" }))).words(TYPED),
        apply(MANAGER, object(json!({ "apiVersion": "other/v1" }))).words(TYPED),
        apply(MANAGER, json!({})),
        apply(MANAGER, json!([])).words(PARSER),
        apply(MANAGER, object(json!({ "spec": { "bogus": 1 } }))).own(FAULT),
        apply(MANAGER, object(json!({ "metadata": { "labels": { "a": "other" } } }))),
        apply(MANAGER, object(json!({ "spec": { "readinessGates": [{ "conditionType": "a" }, { "conditionType": "a" }] } }))).own(FAULT),
        apply(MANAGER, object(json!({ "spec": { "readinessGates": [{}] } }))).own(FAULT),
        Ask::new("PATCH", format!("/r.p.w1?{MANAGER}")).of(APPLY, "a: b: c").words(PARSER),
        Ask::new("PATCH", format!("/r.p.w1?{MANAGER}")).of(APPLY, ""),
        Ask::new("PATCH", format!("/r.p.w1?dryRun=All&{MANAGER}"))
            .of(APPLY, "apiVersion: API\nkind: KIND\nkind: KIND\nmetadata: {name: r.p.w1}\n").own("the field is named, not the line"),
    ]);
    all
}

fn deletions() -> Vec<Ask> {
    let delete = |body: Value| Ask::new("DELETE", "/r.p.w1?dryRun=All").of(JSON, body);
    let query = |query: &str| Ask::new("DELETE", format!("/r.p.w1?dryRun=All&{query}"));
    vec![
        delete(json!({ "preconditions": { "uid": "other" } })).words(NAMED),
        delete(json!({ "preconditions": { "resourceVersion": "1" } })).words(NAMED),
        delete(json!({ "propagationPolicy": "bogus" })),
        delete(json!({ "propagationPolicy": "Orphan", "orphanDependents": true })),
        delete(json!({ "kind": "Other", "apiVersion": "v1" })).words(PARSER),
        delete(json!({ "kind": "DeleteOptions", "apiVersion": "other/v1" })).own(TYPED),
        delete(json!({ "gracePeriodSeconds": "x" })).words(PARSER),
        delete(json!([])).words(PARSER),
        Ask::new("DELETE", "/r.p.w1").of(JSON, "{").words(PARSER),
        Ask::new("DELETE", "/r.p.w1")
            .of("text/plain", "{}")
            .words(NO_PROTOBUF),
        query("propagationPolicy=bogus"),
        query("gracePeriodSeconds=x"),
        query("orphanDependents=true&propagationPolicy=Orphan"),
        Ask::new("DELETE", "/r.p.w1?dryRun=bogus"),
        Ask::new("DELETE", "/none"),
        Ask::new("DELETE", "/none?dryRun=All"),
        Ask::new("DELETE", "?dryRun=All&labelSelector=a%20in%20("),
        Ask::new("DELETE", "?dryRun=All&fieldSelector=spec.unknown%3Dx").words(SELECTOR),
        Ask::new("DELETE", "?dryRun=bogus"),
        Ask::new("DELETE", "?dryRun=All&labelSelector=nobody%3Dhas"),
    ]
}

/// What was answered.
#[derive(Debug, PartialEq)]
struct Told {
    code: u16,
    headers: BTreeMap<&'static str, BTreeSet<String>>,
    body: Value,
}

impl Told {
    /// Returns how much of two answers is the same.
    fn alike(&self, other: &Self) -> Alike {
        if self == other {
            return Alike::Whole;
        }
        let parts = |told: &Self| (told.code, told.headers.clone(), told.body["reason"].clone());
        let refused = self.body["kind"] == "Status";
        if refused && parts(self) == parts(other) {
            return Alike::ButForWords("");
        }
        Alike::Not("")
    }

    /// Returns what of this is not in another.
    fn beside(&self, other: &Self) -> String {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .filter(|(name, value)| other.headers.get(**name) != Some(value))
            .collect();
        let body = if self.body == other.body {
            "the same".into()
        } else {
            self.body.to_string()
        };
        format!("{} {headers:?} {body}", self.code)
    }
}

/// One of the two kinds.
struct Twin {
    api: String,
    plural: &'static str,
    kind: &'static str,
    namespace: String,
    client: Client,
}

impl Twin {
    async fn ask(&self, ask: &Ask) -> Told {
        let (api, namespace, plural) = (&self.api, &self.namespace, self.plural);
        let uri = format!("/apis/{api}/namespaces/{namespace}/{plural}{}", ask.rest);
        let body = ask.body.replace("API", api).replace("KIND", self.kind);
        let request = Request::builder().method(ask.method).uri(uri);
        let request = request.header("accept", ask.accept);
        let request = request.header("content-type", ask.kind);
        let answer = self
            .client
            .send(request.body(body.into_bytes().into()).unwrap());
        let (parts, body) = answer.await.unwrap().into_parts();
        let headers = HEADERS.into_iter().map(|name| {
            let values = parts.headers.get_all(name).iter();
            let texts = values.map(|value| self.common(value.to_str().unwrap()));
            (name, texts.collect())
        });
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = self.common(&String::from_utf8_lossy(&bytes));
        let mut body = if parts.headers["content-type"] == YAML {
            porch::yaml::from_str(&text).unwrap()
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        blank(&mut body);
        Told {
            code: parts.status.as_u16(),
            headers: headers.collect(),
            body,
        }
    }

    /// Names the two kinds alike.
    fn common(&self, text: &str) -> String {
        let group = self.api.split('/').next().unwrap();
        let (kind, singular) = (self.kind, self.kind.to_lowercase());
        text.replace(group, "group")
            .replace(self.plural, "plural")
            .replace(kind, "Kind")
            .replace(&singular, "kind")
            .replace(&self.namespace, "namespace")
    }
}

/// Takes away what is each object's own: of an object its `spec` and `status`, and whatever a clock or a counter gave.
fn blank(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(members) => {
            let is_object = members.contains_key("metadata") && members["kind"] == "Kind";
            if is_object {
                members.remove("spec");
                members.remove("status");
            }
            for own in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "managedFields",
                "generation",
                "time",
                "labels",
                "annotations",
            ] {
                members.remove(own);
            }
            // The list of a CRD says that nothing is to come, ours says nothing.
            members.retain(|name, value| name != "continue" || value != "");
            members.values_mut().for_each(blank);
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_as_for_an_object_of_a_crd() {
    let server = Server::start("twins").await;
    define(&server).await;
    let desk = Desk::bare(&server.examined, "twins").await;
    desk.seed();
    desk.git.git(&["tag", "-d", "known/v1"]);
    desk.git.git(&["rm", "-rq", "known"]);
    desk.git.commit("Empty");
    desk.git.push();
    desk.register("r", json!({})).await;
    desk.until_ready("r").await;
    let client = admin(&server).client;
    let twin = |api: String, plural, kind| Twin {
        api,
        plural,
        kind,
        namespace: desk.namespace.clone(),
        client: client.clone(),
    };
    let ours = twin(
        "porch.kpt.dev/v1alpha1".into(),
        "packagerevisions",
        "PackageRevision",
    );
    let theirs = twin(format!("{GROUP}/v1alpha1"), "mirrors", "Mirror");
    let base = object(json!({ "metadata": { "labels": { "a": "b" } } }));
    let make = Ask::new("POST", "?fieldManager=first").of(JSON, base);
    for side in [&ours, &theirs] {
        assert_eq!(side.ask(&make).await.code, 201);
    }
    let all = [reads(), creations(), updates(), patches(), deletions()];
    let (mut wrong, mut count) = (Vec::new(), 0);
    for ask in all.iter().flatten() {
        let (one, other) = (ours.ask(ask).await, theirs.ask(ask).await);
        count += 1;
        let found = one.alike(&other);
        if std::mem::discriminant(&found) != std::mem::discriminant(&ask.alike) {
            let [one_side, other_side] = [one.beside(&other), other.beside(&one)];
            wrong.push(format!(
                "{}: {found:?}, not {:?}\n  ours:   {one_side}\n  theirs: {other_side}",
                ask.title(),
                ask.alike
            ));
        }
    }
    println!("{count} requests compared");
    let text = wrong.join("\n");
    assert!(wrong.is_empty(), "{} of {count}:\n{text}", wrong.len());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubernetes_own_definitions_are_the_clusters() {
    let server = Server::start("definitions").await;
    let client = admin(&server).client;
    let merged = plane::eventually("the merged document", async || {
        let request = Request::get("/openapi/v2").header("accept", JSON);
        let request = request.body(Vec::new()).unwrap();
        let document: Value = client.request(request).await.unwrap();
        let kinds = document["definitions"].as_object()?.keys();
        let has = kinds.clone().any(|name| name.ends_with(".PackageRevision"));
        has.then_some(document)
    })
    .await;
    let definitions = merged["definitions"].as_object().unwrap();
    // What two servers define differently, kube-apiserver keeps under two names.
    let twice: Vec<_> = definitions
        .keys()
        .filter(|name| name.ends_with("_v2"))
        .collect();
    // Of those, one has a member in some versions of Kubernetes that others do not have.
    let own: Vec<_> = twice
        .iter()
        .filter(|name| !name.ends_with(".ListMeta_v2"))
        .collect();
    assert!(own.is_empty(), "{own:?}");
    server.end().await;
}
