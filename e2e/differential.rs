//! The same random writes to a package revision and to an object of a CRD of the same shape, on one kube-apiserver: what is
//! answered, what becomes of the object, and who then owns what must be the same, but for what is a package's own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    desk::{Answer, Desk, Examined, JSON, MERGE, STEPS, merge},
    plane,
    server::Server,
};

pub const APPLY: &str = "application/apply-patch+yaml";
pub const GROUP: &str = "mirror.example.com";
/// How many writes are made in the run that is always made.
const WRITES: usize = 80;
/// The maps of names to texts that are written, with the path of their fields.
const MAPS: [&str; 4] = [
    "/metadata/labels",
    "/metadata/annotations",
    "/spec/packageMetadata/labels",
    "/spec/packageMetadata/annotations",
];
/// The lists by key that are written, with their key.
const LISTS: [(&str, &str); 2] = [
    ("/spec/readinessGates", "conditionType"),
    ("/status/conditions", "type"),
];

/// Numbers that look random and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn value(&mut self) -> String {
        format!("v{}", self.below(3))
    }
}

/// Puts a value where a pointer says, with what is missing above it.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for step in pointer.trim_start_matches('/').split('/') {
        at = &mut at[step];
    }
    *at = value;
}

fn item((list, key): (&str, &str), name: &str, chance: &mut Chance) -> Value {
    let mut item = json!({ key: name });
    if list == "/status/conditions" {
        item["status"] =
            ["True", "False", "Unknown"][usize::try_from(chance.below(3)).unwrap()].into();
        if chance.one_in(2) {
            item["reason"] = chance.value().into();
        }
    }
    item
}

/// Returns an object with some of everything, and always with what is never taken away.
fn some(chance: &mut Chance, base: bool) -> Value {
    let mut object = json!({});
    for map in MAPS {
        let mut members = serde_json::Map::new();
        if base {
            members.insert("base".into(), "0".into());
        }
        for index in 0..4 {
            if chance.one_in(3) {
                members.insert(format!("k{index}"), chance.value().into());
            }
        }
        if !members.is_empty() {
            put(&mut object, map, members.into());
        }
    }
    for list in LISTS {
        let mut items: Vec<Value> = Vec::new();
        if base {
            items.push(item(list, "base", &mut Chance(0)));
        }
        for index in 0..3 {
            if chance.one_in(3) {
                items.push(item(list, &format!("i{index}"), chance));
            }
        }
        if !items.is_empty() {
            put(&mut object, list.0, items.into());
        }
    }
    object
}

/// A write that both objects are asked for.
#[derive(Clone, Debug)]
enum Write {
    Apply { query: String, wanted: Value },
    Merge { query: String, patch: Value },
    Steps { query: String, steps: Value },
    Replace { query: String, wanted: Value },
}

fn write(chance: &mut Chance) -> Write {
    let who = chance.below(3);
    match chance.below(6) {
        0..=2 => {
            let force = if chance.one_in(3) { "&force=true" } else { "" };
            Write::Apply {
                query: format!("fieldManager=apply-{who}{force}"),
                wanted: some(chance, false),
            }
        }
        3 => {
            let mut patch = some(chance, false);
            for map in MAPS {
                if chance.one_in(3) {
                    let pointer = format!("{map}/k{}", chance.below(4));
                    put(&mut patch, &pointer, Value::Null);
                }
            }
            for (list, _) in LISTS {
                // A merge patch replaces lists whole.
                if let Some(Value::Array(items)) = patch.pointer_mut(list) {
                    let key = LISTS.iter().find(|known| known.0 == list).unwrap();
                    items.insert(0, item(*key, "base", &mut Chance(0)));
                }
            }
            Write::Merge {
                query: format!("fieldManager=merge-{who}"),
                patch,
            }
        }
        4 => {
            let steps = (0..=chance.below(3)).map(|_| step(chance));
            Write::Steps {
                query: format!("fieldManager=steps-{who}"),
                steps: steps.collect(),
            }
        }
        _ => Write::Replace {
            query: format!("fieldManager=put-{who}"),
            wanted: some(chance, true),
        },
    }
}

fn step(chance: &mut Chance) -> Value {
    let map = MAPS[usize::try_from(chance.below(4)).unwrap()];
    let path = format!("{map}/k{}", chance.below(4));
    match chance.below(4) {
        0 => json!({ "op": "add", "path": path, "value": chance.value() }),
        1 => json!({ "op": "replace", "path": path, "value": chance.value() }),
        2 => json!({ "op": "remove", "path": path }),
        _ => json!({ "op": "test", "path": path, "value": chance.value() }),
    }
}

/// One of the two objects.
struct Side<'a> {
    examined: &'a Examined,
    uri: String,
    head: Value,
}

impl Side<'_> {
    async fn send(&self, method: &str, query: &str, (kind, body): (&str, &Value)) -> Answer {
        let uri = format!("{}?{query}", self.uri);
        let body = (kind, body.to_string().into_bytes());
        self.examined.send(method, &uri, body).await
    }

    async fn now(&self) -> Value {
        let body = (JSON, Vec::new());
        self.examined.send("GET", &self.uri, body).await.is(200)
    }

    async fn write(&self, write: &Write) -> Answer {
        match write {
            Write::Apply { query, wanted } => {
                let mut object = self.head.clone();
                merge(&mut object, wanted.clone());
                self.send("PATCH", query, (APPLY, &object)).await
            }
            Write::Merge { query, patch } => self.send("PATCH", query, (MERGE, patch)).await,
            Write::Steps { query, steps } => self.send("PATCH", query, (STEPS, steps)).await,
            Write::Replace { query, wanted } => {
                let mut object = self.now().await;
                for pointer in MAPS.into_iter().chain(LISTS.map(|list| list.0)) {
                    put(
                        &mut object,
                        pointer,
                        wanted.pointer(pointer).unwrap().clone(),
                    );
                }
                self.send("PUT", query, (JSON, &object)).await
            }
        }
    }
}

/// Returns what is compared of an object: what is written, and who owns which of it.
fn compared(object: &Value) -> Value {
    let mut out = json!({});
    for map in MAPS {
        let members = object.pointer(map).and_then(Value::as_object);
        let known = members.into_iter().flatten();
        let known =
            known.filter(|(name, _)| *name == "base" || name.starts_with('k') && name.len() == 2);
        let known: BTreeMap<_, _> = known.collect();
        put(&mut out, map, json!(known));
    }
    for (list, key) in LISTS {
        // Their order is the Kptfile's.
        let items = object.pointer(list).and_then(Value::as_array);
        let items = items.into_iter().flatten();
        let items: BTreeMap<_, _> = items.map(|item| (item[key].as_str(), item)).collect();
        put(&mut out, list, json!(items.values().collect::<Vec<_>>()));
    }
    let entries = object["metadata"]["managedFields"].as_array();
    let owners: BTreeMap<String, BTreeSet<String>> = entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let who = format!("{} {}", entry["manager"], entry["operation"]);
            let mut fields = BTreeSet::new();
            leaves(&entry["fieldsV1"], "", &mut fields);
            (who, fields)
        })
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    out["owners"] = json!(owners);
    out
}

/// Collects the fields that are compared: those of the maps and lists that are written.
fn leaves(fields: &Value, path: &str, found: &mut BTreeSet<String>) {
    let members = fields.as_object().into_iter().flatten();
    for (name, below) in members {
        if name == "." {
            continue;
        }
        let path = format!("{path}/{}", name.strip_prefix("f:").unwrap_or(name));
        let is_leaf = below.as_object().is_none_or(serde_json::Map::is_empty);
        let all = MAPS.into_iter().chain(LISTS.map(|list| list.0));
        let mut all = all.filter(|known| path.starts_with(&format!("{known}/")));
        if is_leaf && all.next().is_some() {
            found.insert(path.clone());
        }
        leaves(below, &path, found);
    }
}

/// Returns what is compared of an answer: its code and, of a refusal, why.
fn told(answer: &Answer) -> Value {
    if answer.code < 300 {
        return json!({ "code": answer.code });
    }
    if answer.code == 422 {
        // The same is wrong, in other words.
        return json!({ "code": answer.code, "reason": answer.body["reason"] });
    }
    // Managers come in no order.
    let causes = answer.body["details"]["causes"].as_array();
    let causes = causes.into_iter().flatten().map(|cause| {
        let text = cause.to_string();
        text.replace(&format!("{GROUP}/v1alpha1"), "porch.kpt.dev/v1alpha1")
    });
    let causes: BTreeSet<String> = causes.collect();
    json!({ "code": answer.code, "reason": answer.body["reason"], "causes": causes })
}

pub async fn define(server: &Server) {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let text = json!({ "type": "string" });
    let list = |keys: [&str; 2], members: Value| {
        json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [keys[0]],
            "items": { "type": "object", "required": BTreeSet::from(keys), "properties": members },
        })
    };
    let status = json!({ "type": "string", "enum": ["True", "False", "Unknown"] });
    let schema = json!({ "type": "object", "properties": {
        "spec": { "type": "object", "properties": {
            "packageName": text, "repository": text, "workspaceName": text,
            "packageMetadata": { "type": "object", "properties": { "labels": texts, "annotations": texts } },
            "readinessGates": list(["conditionType"; 2], json!({ "conditionType": text })),
        } },
        "status": { "type": "object", "properties": {
            "conditions": list(["type", "status"], json!({ "type": text, "status": status, "reason": text, "message": text })),
        } },
    } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("mirrors.{GROUP}") },
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": { "kind": "Mirror", "plural": "mirrors", "singular": "mirror" },
            "versions": [{ "name": "v1alpha1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    });
    let admin = admin(server);
    let uri = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let made = admin
        .send("POST", uri, (JSON, definition.to_string().into_bytes()))
        .await;
    assert!(matches!(made.code, 201 | 409), "{}", made.body);
    let uri = format!("/apis/{GROUP}/v1alpha1/mirrors");
    plane::eventually("mirrors", async || {
        let listed = admin.send("GET", &uri, (JSON, Vec::new())).await;
        (listed.code == 200).then_some(())
    })
    .await;
}

pub fn admin(server: &Server) -> Examined {
    Examined {
        client: server.plane().client(),
        user: "admin".into(),
        prefix: String::new(),
    }
}

async fn compare(seed: u64, writes: usize) {
    let server = Server::start("mirrored").await;
    define(&server).await;
    let desk = Desk::open(&server.examined, "mirrored").await;
    let admin = admin(&server);
    let side = |examined, api: &str, plural: &str, kind: &str| Side {
        examined,
        uri: format!("/apis/{api}/namespaces/{}/{plural}/r.p.w1", desk.namespace),
        head: json!({
            "apiVersion": api, "kind": kind, "metadata": { "name": "r.p.w1" },
        }),
    };
    let ours = side(
        &admin,
        "porch.kpt.dev/v1alpha1",
        "packagerevisions",
        "PackageRevision",
    );
    let mirror = side(&admin, &format!("{GROUP}/v1alpha1"), "mirrors", "Mirror");
    let begin = json!({ "spec": { "repository": "r", "packageName": "p", "workspaceName": "w1" } });
    for wanted in [begin, base()] {
        let write = Write::Apply {
            query: "fieldManager=base".into(),
            wanted,
        };
        let (one, other) = (ours.write(&write).await, mirror.write(&write).await);
        assert_eq!(told(&one), told(&other), "{} {}", one.body, other.body);
    }
    let mut chance = Chance(seed);
    for number in 0..writes {
        let before = (ours.now().await, mirror.now().await);
        let write = write(&mut chance);
        let (one, other) = (ours.write(&write).await, mirror.write(&write).await);
        let context = || {
            format!(
                "seed {seed}, write {number}: {write:#?}\nbefore: {}\nours: {:#}\nmirror: {:#}",
                before.0, one.body, other.body
            )
        };
        assert_eq!(told(&one), told(&other), "{}", context());
        let (one, other) = (compared(&ours.now().await), compared(&mirror.now().await));
        assert_eq!(one, other, "{}", context());
    }
    println!("seed {seed}: {writes} writes agree");
    server.end().await;
}

/// Returns what is never taken away.
fn base() -> Value {
    let mut object =
        json!({ "spec": { "repository": "r", "packageName": "p", "workspaceName": "w1" } });
    for map in MAPS {
        put(&mut object, map, json!({ "base": "0" }));
    }
    for list in LISTS {
        put(
            &mut object,
            list.0,
            json!([item(list, "base", &mut Chance(0))]),
        );
    }
    object
}

fn seed() -> u64 {
    let seed = std::env::var("PORCH_E2E_SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_revision_is_written_like_an_object_of_a_crd() {
    compare(seed(), WRITES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than two minutes"]
async fn thousands_of_writes_are_as_those_to_an_object_of_a_crd() {
    for seed in seed()..seed() + 4 {
        compare(seed, 1000).await;
    }
}
