//! What holds for every request of a kind, whatever it says. `PROPTEST_CASES` says how many are tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
    sample::select,
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use crate::{
    client::{Answered, Client},
    toy::Widgets,
};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

/// Tries a law on as many inputs as are wished, or on these many.
pub fn hold<S: Strategy, F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    inputs: &S,
    law: impl Fn(S::Value) -> F,
) {
    let wished = std::env::var("PROPTEST_CASES").ok();
    let cases = wished.and_then(|text| text.parse().ok()).unwrap_or(cases);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    // A clock that runs as fast as nothing happens: who waits for what never comes costs nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runner
        .run(inputs, |input| runtime.block_on(law(input)))
        .unwrap();
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.map(name).collect()
}

/// A requirement of a label selector.
#[derive(Clone, Debug)]
enum Requirement {
    Exists(&'static str),
    Missing(&'static str),
    In(&'static str, BTreeSet<&'static str>),
    NotIn(&'static str, BTreeSet<&'static str>),
    Equals(&'static str, &'static str, &'static str),
    Differs(&'static str, &'static str),
    Above(&'static str, i64),
    Below(&'static str, i64),
}

type Labels = BTreeMap<&'static str, &'static str>;

impl Requirement {
    /// Returns the requirement as it is written, with `gap` wherever there may be spaces.
    fn text(&self, gap: &str) -> String {
        let set = |values: &BTreeSet<&str>| {
            let values: Vec<&str> = values.iter().copied().collect();
            format!("({gap}{}{gap})", values.join(&format!("{gap},{gap}")))
        };
        match self {
            Self::Exists(key) => format!("{gap}{key}{gap}"),
            Self::Missing(key) => format!("{gap}!{gap}{key}{gap}"),
            Self::In(key, values) => format!("{key} in {}{gap}", set(values)),
            Self::NotIn(key, values) => format!("{key} notin {}{gap}", set(values)),
            Self::Equals(key, sign, value) => format!("{key}{gap}{sign}{gap}{value}{gap}"),
            Self::Differs(key, value) => format!("{key}{gap}!={gap}{value}"),
            Self::Above(key, bound) => format!("{key}{gap}>{gap}{bound}"),
            Self::Below(key, bound) => format!("{key}{gap}<{gap}{bound}"),
        }
    }

    fn chooses(&self, labels: &Labels) -> bool {
        let number = |key: &str| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists(key) => labels.contains_key(key),
            Self::Missing(key) => !labels.contains_key(key),
            Self::In(key, values) => labels.get(key).is_some_and(|it| values.contains(it)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|it| !values.contains(it)),
            Self::Equals(key, _, value) => labels.get(key) == Some(value),
            Self::Differs(key, value) => labels.get(key) != Some(value),
            Self::Above(key, bound) => number(key).is_some_and(|it| it > *bound),
            Self::Below(key, bound) => number(key).is_some_and(|it| it < *bound),
        }
    }
}

const KEYS: [&str; 5] = ["a", "b", "in", "notin", "x.io/d"];
const VALUES: [&str; 6] = ["", "1", "7", "in", "v-1", "V.2"];

fn requirements() -> impl Strategy<Value = Requirement> {
    let (key, value) = (|| select(&KEYS[..]), || select(&VALUES[..]));
    let values = || btree_set(value(), 1..4);
    let sign = select(&["=", "=="][..]);
    prop_oneof![
        key().prop_map(Requirement::Exists),
        key().prop_map(Requirement::Missing),
        (key(), values()).prop_map(|(key, values)| Requirement::In(key, values)),
        (key(), values()).prop_map(|(key, values)| Requirement::NotIn(key, values)),
        (key(), sign, value()).prop_map(|(key, sign, it)| Requirement::Equals(key, sign, it)),
        (key(), value()).prop_map(|(key, value)| Requirement::Differs(key, value)),
        (key(), 0..9_i64).prop_map(|(key, bound)| Requirement::Above(key, bound)),
        (key(), 0..9_i64).prop_map(|(key, bound)| Requirement::Below(key, bound)),
    ]
}

#[test]
fn selectors_choose_what_they_say_however_they_are_written() {
    let labels = btree_map(select(&KEYS[..]), select(&VALUES[..]), 0..5);
    let gap = select(&["", " ", "  "][..]);
    let inputs = (vec(labels, 1..12), vec(requirements(), 0..5), gap);
    hold(300, &inputs, async |(all, wanted, gap)| {
        let widgets = Widgets::new();
        for (index, labels) in all.iter().enumerate() {
            widgets.put("n", &format!("w{index:02}"), &json!(labels), "red");
        }
        let texts: Vec<String> = wanted.iter().map(|it| it.text(gap)).collect();
        let text = texts.join(",");
        let uri = format!("{HERE}?labelSelector={}", encoded(&text));
        let told = Client::of(widgets.server()).get(&uri).await;
        prop_assert_eq!(told.code, 200, "{:?}: {}", text, told.text());
        let chosen = all.iter().enumerate();
        let chosen = chosen.filter(|(_, labels)| wanted.iter().all(|it| it.chooses(labels)));
        let chosen: Vec<String> = chosen.map(|(index, _)| format!("w{index:02}")).collect();
        prop_assert_eq!(names(&told.json()), chosen, "{:?}", text);
        Ok(())
    });
}

#[test]
fn whatever_a_selector_says_it_is_answered() {
    let letters = "[a-z0-9=!(),<> \\\\./_\\-\u{e9}\u{0}]{0,24}";
    let inputs = (select(&["labelSelector", "fieldSelector"][..]), letters);
    let widgets = Widgets::new();
    widgets.put("n", "a", &json!({ "a": "b" }), "red");
    let client = Client::of(widgets.server());
    hold(600, &inputs, async |(name, text)| {
        let uri = format!("{HERE}?{name}={}", encoded(&text));
        let told = client.get(&uri).await;
        prop_assert!(matches!(told.code, 200 | 400), "{text:?}: {}", told.text());
        if told.code == 400 {
            prop_assert_eq!(&told.json()["reason"], "BadRequest");
        }
        Ok(())
    });
}

#[test]
fn pages_join_to_the_list_and_no_token_makes_the_server_fall() {
    let change = (any::<bool>(), 0..20_usize);
    let forged = (any::<i64>(), ".{0,12}", any::<usize>(), any::<u8>());
    let inputs = (1..15_usize, 1..6_usize, vec(change, 0..12), forged);
    hold(200, &inputs, async |(count, limit, changes, forged)| {
        let widgets = Widgets::new();
        for index in 0..count {
            widgets.put("n", &format!("w{index:02}"), &json!({}), "red");
        }
        let client = Client::of(widgets.server());
        let whole = client.get(HERE).await.json();
        let (mut found, mut changes) = (Vec::new(), changes.into_iter());
        let mut uri = format!("{HERE}?limit={limit}");
        loop {
            let page = client.get(&uri).await.json();
            found.extend(names(&page));
            prop_assert_eq!(
                &page["metadata"]["resourceVersion"],
                &whole["metadata"]["resourceVersion"]
            );
            let Some(token) = page["metadata"]["continue"].as_str() else {
                break;
            };
            for token in forgeries(token, &forged) {
                let uri = format!("{HERE}?limit={limit}&continue={}", encoded(&token));
                let told = client.get(&uri).await;
                prop_assert!(
                    matches!(told.code, 200 | 400 | 410 | 504),
                    "{token}: {}",
                    told.text()
                );
            }
            uri = format!("{HERE}?limit={limit}&continue={token}");
            if let Some((adds, index)) = changes.next() {
                let name = format!("w{index:02}");
                if adds {
                    widgets.put("n", &name, &json!({}), "blue");
                } else {
                    widgets.remove("n", &name);
                }
            }
        }
        prop_assert_eq!(found, names(&whole));
        Ok(())
    });
}

/// Returns tokens that are not the server's: with another version, another name, another byte.
fn forgeries(token: &str, (version, name, place, byte): &(i64, String, usize, u8)) -> [String; 4] {
    let decoded = URL_SAFE_NO_PAD.decode(token).unwrap();
    let honest: Value = serde_json::from_slice(&decoded).unwrap();
    let with = |member: &str, value: Value| {
        let mut forged = honest.clone();
        forged[member] = value;
        URL_SAFE_NO_PAD.encode(forged.to_string())
    };
    let mut bent = decoded.clone();
    let place = place % bent.len();
    bent[place] = *byte;
    [
        with("rv", json!(version)),
        with("start", json!(name)),
        URL_SAFE_NO_PAD.encode(bent),
        format!("{}{}", &token[..place], char::from(*byte)),
    ]
}

fn documents() -> impl Strategy<Value = Value> {
    let names = || select(&["a", "b", "c", "d~/e", ""][..]);
    let scalars = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\u{e9}\"\\\\]{0,4}".prop_map(Value::from),
    ];
    scalars.prop_recursive(4, 30, 4, move |inner| {
        let members = btree_map(names(), inner.clone(), 0..4);
        let object = members.prop_map(|members| json!(members));
        prop_oneof![vec(inner, 0..3).prop_map(Value::from), object]
    })
}

async fn send(client: &Client, media: &str, query: &str, body: &Value) -> Answered {
    let headers = [("content-type", media), ("user-agent", "editor/1.0")];
    let uri = format!("{HERE}/a?{query}");
    client
        .send(Method::PATCH, &uri, &headers, body.to_string())
        .await
}

#[test]
fn a_merge_patch_makes_what_its_standard_says_and_nothing_the_second_time() {
    let inputs = (documents(), vec(documents(), 1..4));
    hold(200, &inputs, async |(begin, patches)| {
        let widgets = Widgets::new();
        widgets.put("n", "a", &json!({}), "red");
        let client = Client::of(widgets.server());
        let mut expected = json!({});
        for patch in [vec![begin], patches].concat() {
            // A scalar would be no object of the schema.
            let patch = json!({ "in": patch });
            json_patch::merge(&mut expected, &patch);
            let patch = json!({ "spec": { "extra": patch } });
            let made = send(&client, MERGE, "", &patch).await;
            prop_assert_eq!(made.code, 200, "{}", made.text());
            let made = made.json();
            prop_assert_eq!(&made["spec"]["extra"], &expected);
            let again = send(&client, MERGE, "", &patch).await.json();
            prop_assert_eq!(made, again);
        }
        Ok(())
    });
}

/// What three who apply and one who updates do to a map of notes.
#[derive(Clone, Debug)]
enum Deed {
    Apply {
        who: usize,
        notes: BTreeMap<&'static str, &'static str>,
        force: bool,
    },
    Update(BTreeMap<&'static str, Option<&'static str>>),
}

fn deeds() -> impl Strategy<Value = Deed> {
    let (key, value) = (
        || select(&["k0", "k1", "k2", "k3"][..]),
        || select(&["x", "y"][..]),
    );
    let notes = btree_map(key(), value(), 0..4);
    let applied = (0..3_usize, notes, any::<bool>());
    let changes = btree_map(key(), proptest::option::of(value()), 1..3);
    prop_oneof![
        3 => applied.prop_map(|(who, notes, force)| Deed::Apply { who, notes, force }),
        1 => changes.prop_map(Deed::Update),
    ]
}

/// The rules of server-side apply, for a map.
#[derive(Default)]
struct Model {
    notes: BTreeMap<&'static str, (&'static str, BTreeSet<String>)>,
}

impl Model {
    /// Returns whether the deed is done; there it is refused for a conflict.
    fn does(&mut self, deed: &Deed) -> bool {
        match deed {
            Deed::Apply { who, notes, force } => {
                let who = format!("m{who}/Apply");
                let conflicts = notes.iter().any(|(key, value)| {
                    let known = self.notes.get(key);
                    known.is_some_and(|(now, owners)| {
                        now != value && owners.iter().any(|owner| *owner != who)
                    })
                });
                if conflicts && !force {
                    return false;
                }
                self.notes.retain(|key, (_, owners)| {
                    let drops = !notes.contains_key(key) && owners.remove(&who);
                    !(drops && owners.is_empty())
                });
                for (key, value) in notes {
                    let entry = self.notes.entry(key).or_default();
                    if entry.0 != *value {
                        *entry = (value, BTreeSet::new());
                    }
                    entry.1.insert(who.clone());
                }
            }
            Deed::Update(changes) => {
                for (key, value) in changes {
                    let now = self.notes.get(key).map(|(now, _)| *now);
                    match value {
                        None => {
                            self.notes.remove(key);
                        }
                        Some(value) if now != Some(value) => {
                            let owner = BTreeSet::from(["editor/Update".to_owned()]);
                            self.notes.insert(key, (value, owner));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        true
    }
}

/// Returns the notes of an object with who owns each.
fn owned(object: &Value) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let notes = object["spec"]["notes"].as_object().into_iter().flatten();
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = notes
        .map(|(key, value)| {
            (
                key.clone(),
                (value.as_str().unwrap().into(), <_>::default()),
            )
        })
        .collect();
    let entries = object["metadata"]["managedFields"].as_array();
    for entry in entries.into_iter().flatten() {
        let who = format!(
            "{}/{}",
            entry["manager"].as_str().unwrap(),
            entry["operation"].as_str().unwrap()
        );
        let fields = entry["fieldsV1"]["f:spec"]["f:notes"].as_object();
        for field in fields.into_iter().flatten().map(|(field, _)| field) {
            if let Some(key) = field.strip_prefix("f:") {
                let note = found.get_mut(key).expect("what is owned is there");
                note.1.insert(who.clone());
            }
        }
    }
    found
}

#[test]
fn fields_are_owned_by_those_who_said_them_last_or_the_same() {
    hold(200, &vec(deeds(), 1..12), async |deeds| {
        let mut widgets = Widgets::with_history(100);
        widgets.owned = true;
        let client = Client::of(Arc::new(widgets).server());
        let body = |notes: Value| {
            let spec = json!({ "color": "red", "notes": notes });
            json!({ "apiVersion": "toys.example/v1", "kind": "Widget", "metadata": { "name": "a" }, "spec": spec })
        };
        let base = "fieldManager=base";
        let base = send(&client, APPLY, base, &body(json!({}))).await;
        prop_assert_eq!(base.code, 201, "{}", base.text());
        let mut model = Model::default();
        for deed in deeds {
            let sent = async || match &deed {
                Deed::Apply { who, notes, force } => {
                    let query = format!("fieldManager=m{who}&force={force}");
                    send(&client, APPLY, &query, &body(json!(notes))).await
                }
                Deed::Update(changes) => {
                    let patch = json!({ "spec": { "notes": changes } });
                    send(&client, MERGE, "", &patch).await
                }
            };
            let told = sent().await;
            let code = if model.does(&deed) { 200 } else { 409 };
            prop_assert_eq!(told.code, code, "{:?}: {}", &deed, told.text());
            let now = client.get(&format!("{HERE}/a")).await.json();
            let expected = model.notes.iter().map(|(key, (value, owners))| {
                ((*key).to_owned(), ((*value).to_owned(), owners.clone()))
            });
            prop_assert_eq!(owned(&now), expected.collect(), "{:?}", &deed);
            if code == 200 {
                let again = sent().await.json();
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                prop_assert_eq!(version(&again), version(&now), "twice is once: {:?}", &deed);
            }
        }
        Ok(())
    });
}

#[test]
fn whatever_is_accepted_wherever_the_path_leads_there_is_an_answer() {
    let known = [
        "application/json",
        "application/yaml",
        "*/*",
        "as=Table",
        "as=PartialObjectMetadata",
        "as=PartialObjectMetadataList",
        "g=meta.k8s.io",
        "g=apidiscovery.k8s.io",
        "v=v1",
        "v=v2",
        "q=0.5",
        "q=nan",
        "stream=watch",
        ";",
        ",",
        "=",
        "\"",
    ];
    let accept = vec(select(known.to_vec()), 0..8).prop_map(|words| words.join(";"));
    let step = prop_oneof![
        select(vec![
            "apis",
            "api",
            "v1",
            "toys.example",
            "namespaces",
            "n",
            "widgets",
            "a",
            "approval",
            "openapi",
            "v2",
            "v3",
            "%2e%2e",
            "..",
            ".",
            "%2F",
            "%00",
            "%ff",
            "%",
            "a%20b",
            "",
            "livez",
            "readyz",
            "metrics",
            "version",
            "%c3%a9",
            "..%2f..",
            "healthz",
        ])
        .prop_map(String::from),
        "[a-z.%0-9]{0,6}",
    ];
    let path = vec(step, 0..8).prop_map(|steps| format!("/{}", steps.join("/")));
    let widgets = Widgets::new();
    widgets.put("n", "a", &json!({}), "red");
    let client = Client::of(widgets.server());
    hold(600, &(path, accept), async |(path, accept)| {
        let known = [HERE.to_owned(), format!("{HERE}/a"), path];
        for uri in known {
            let Ok(uri) = uri.parse::<http::Uri>() else {
                continue;
            };
            let told = client.accept(&uri.to_string(), &accept).await;
            prop_assert!(told.code < 500, "{uri} {accept}: {}", told.text());
            prop_assert!(!told.bytes.is_empty() || told.code == 304, "{uri} {accept}");
        }
        Ok(())
    });
}
