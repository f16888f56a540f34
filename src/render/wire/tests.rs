//! What goes to a function comes back as it was; what a function changed, and nothing else, is changed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{Item, List, Place},
    *,
};
use crate::yaml;

fn item(path: &str, index: usize, text: &str) -> Item {
    let object = yaml::documents(text).unwrap().remove(0);
    let (package, path) = path.rsplit_once('/').unwrap_or(("", path));
    Item {
        object,
        place: Place {
            package: package.into(),
            path: path.into(),
            index,
        },
        text: text.into(),
    }
}

const FIRST: &str = "# licence\n\napiVersion: v1 # version\nkind: ConfigMap\nmetadata: # about\n  name: a\n# the data\ndata:\n  b: \"1\" # kpt-set: ${b}\n  # of text\n  text: |\n    # no comment\n\n    - x\n";
const SECOND: &str = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n  annotations:\n    config.kubernetes.io/path: own\nspec:\n  replicas: 1.0\n  list:\n    - a # first\n    - b: [1, 2] # flow\n  odd: null\n";

fn list() -> List {
    List {
        items: vec![
            item("a.yaml", 0, FIRST),
            item("sub/d.yaml", 1, SECOND),
            item(
                "x.json",
                0,
                "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"s\"}}",
            ),
            item("no.yaml", 0, "kind: Kustomization # bare\nmetadata: {}\n"),
        ],
        config: Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "on"}})),
        ..List::default()
    }
}

#[test]
fn what_comes_back_unchanged_is_what_was_sent() {
    let list = list();
    let sent = encode(&list);
    let (items, results) = decode(&sent, &list).unwrap();
    assert_eq!(items, list.items, "{sent}");
    assert_eq!(results, []);
    // Functions write anew what they were sent: without comments, in their own order and form.
    let read = &yaml::documents(&sent).unwrap()[0];
    for bare in [yaml::emit(read), serde_json::to_string(read).unwrap()] {
        let (items, _) = decode(&bare, &list).unwrap();
        assert_eq!(items, list.items, "{bare}");
    }
    let (items, _) = decode(&sent.replace("replicas: 1.0", "replicas: 1"), &list).unwrap();
    assert_eq!(items, list.items);
}

#[test]
fn a_function_is_told_places_comments_and_its_config() {
    let sent = encode(&list());
    for part in [
        "items:\n# licence\n\n- apiVersion: v1 # version\n  kind: ConfigMap\n  metadata: # about\n    name: a\n    annotations:\n      internal.config.kubernetes.io/path: a.yaml\n      config.kubernetes.io/path: a.yaml\n",
        "    b: \"1\" # kpt-set: ${b}\n    # of text\n    text: |\n      # no comment\n\n      - x\n- apiVersion: apps/v1\n",
        "internal.config.kubernetes.io/package-path: /sub\n",
        "internal.config.kubernetes.io/seqindent: wide\n",
        "config.k8s.io/id: \"2\"\n",
        "\nfunctionConfig:\n  apiVersion: v1\n  kind: ConfigMap\n  data:\n    k: \"on\"\n",
    ] {
        assert!(sent.contains(part), "{part}\nis not in\n{sent}");
    }
    assert_eq!(
        encode(&List::default()),
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n"
    );
    // What can't be put in a list as it is written is written anew.
    let odd = List {
        items: vec![item("a.yaml", 0, "%YAML 1.2\n---\na: &x 1 # c\nb: *x\n")],
        ..List::default()
    };
    assert_eq!(decode(&encode(&odd), &odd).unwrap().0, odd.items);
}

#[test]
fn what_a_function_changes_is_changed_and_keeps_what_it_had() {
    let list = list();
    let sent = encode(&list);
    let changed = sent.replace("b: \"1\" # kpt-set: ${b}", "c: new # why\n    b: \"2\"");
    let (items, _) = decode(&changed, &list).unwrap();
    assert_eq!(items[1..], list.items[1..]);
    let first = &items[0];
    assert_eq!(first.object["data"]["b"], "2");
    let keys: Vec<_> = first.object["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["b", "text", "c"]);
    let want = FIRST
        .replace("b: \"1\"", "b: \"2\"")
        .replace("    - x\n", "    - x\n  c: new # why\n");
    assert_eq!(*first.text, *want);
}

#[test]
fn places_follow_the_spelling_that_was_changed() {
    let list = List {
        items: vec![item("sub/a.yaml", 1, "kind: K\n")],
        ..List::default()
    };
    let sent = encode(&list);
    let now = "      internal.config.kubernetes.io/path: a.yaml\n";
    let before = "      config.kubernetes.io/path: a.yaml\n";
    let package = "      internal.config.kubernetes.io/package-path: /sub\n";
    let index = "      config.kubernetes.io/index: \"1\"\n";
    for (from, to, want) in [
        (now, now.replace("a.", "b."), ("sub", "b.yaml", 1)),
        (before, before.replace("a.", "b."), ("sub", "b.yaml", 1)),
        (now, String::new(), ("sub", "a.yaml", 1)),
        (package, String::new(), ("sub", "a.yaml", 1)),
        (package, package.replace("sub", ""), ("", "a.yaml", 1)),
        (index, index.replace("\"1\"", "4"), ("sub", "a.yaml", 4)),
    ] {
        let answer = sent.replace(from, &to);
        assert_ne!(answer, sent);
        let (items, _) = decode(&answer, &list).unwrap();
        let place = &items[0].place;
        assert_eq!(
            (&*place.package, &*place.path, place.index),
            want,
            "{answer}"
        );
        assert_eq!(items[0].object, json!({"kind": "K"}));
    }
    let both = sent
        .replace("/path: a.yaml", "/path: b.yaml")
        .replacen("b.yaml", "c.yaml", 1);
    let told = decode(&both, &list).unwrap_err();
    assert!(told.contains("mismatched legacy and internal"), "{told}");
    let odd = sent.replace("index: \"1\"", "index: one");
    assert!(decode(&odd, &list).unwrap_err().contains("is no number"));
}

#[test]
fn new_resources_have_the_text_that_the_function_wrote() {
    let text = "kind: ResourceList\nitems:\n  # above\n  -   kind: A # a\n      metadata:\n        annotations:\n          config.kubernetes.io/path: new.yaml\n  - kind: B\n    metadata:\n      annotations:\n        config.kubernetes.io/path: new.yaml\n        config.kubernetes.io/index: '3'\n  -\n    kind: C\n    metadata: {name: c}\n";
    let (items, _) = decode(text, &List::default()).unwrap();
    let got: Vec<_> = items
        .iter()
        .map(|item| (item.place.path.as_str(), item.place.index))
        .collect();
    assert_eq!(got, [("new.yaml", 4), ("new.yaml", 3), ("", 0)]);
    assert!(
        items[0].text.starts_with("# above\nkind: A # a\n"),
        "{}",
        items[0].text
    );
    assert_eq!(items[0].object, json!({"kind": "A"}));
    assert_eq!(
        items[2].object,
        json!({"kind": "C", "metadata": {"name": "c"}})
    );
}

#[test]
fn reports_are_read_in_both_forms() {
    let flat = "kind: ResourceList\nresults:\n- message: m\n  severity: error\n  resourceRef: {apiVersion: v1, kind: K, name: n, namespace: s}\n  field: {path: a.b, currentValue: 1, proposedValue: {c: d}}\n  file: {path: f.yaml, index: 2}\n  tags: {t: 1}\n- odd\n";
    let old = "kind: ResourceList\nitems: []\nresults:\n  name: f\n  items:\n  - message: m\n    severity: error\n    resourceRef:\n      apiVersion: v1\n      kind: K\n      metadata: {name: n, namespace: s}\n    field: {path: a.b, currentValue: 1, suggestedValue: {c: d}}\n    file: {path: f.yaml, index: 2}\n    tags: {t: '1'}\n";
    let want = json!({
        "message": "m", "severity": "error",
        "resourceRef": {"apiVersion": "v1", "kind": "K", "name": "n", "namespace": "s"},
        "field": {"path": "a.b", "currentValue": "1", "proposedValue": "{\"c\":\"d\"}"},
        "file": {"path": "f.yaml", "index": 2}, "tags": {"t": "1"},
    });
    for text in [flat, old] {
        let (items, results) = decode(text, &List::default()).unwrap();
        assert!(items.is_empty() && results.len() == 1, "{text}");
        assert_eq!(serde_json::to_value(&results[0]).unwrap(), want);
    }
}

#[test]
fn what_is_no_list_of_resources_is_refused() {
    for text in [
        "",
        "\n",
        "not: [yaml",
        "kind: List\nitems: []\n",
        "[]",
        "null",
        "kind: ResourceList\nitems: x\n",
        "kind: ResourceList\nitems:\n  a: b\n",
        "kind: ResourceList\nitems:\n- x\n",
        "kind: ResourceList\nitems:\n- [\n",
        "kind: ResourceList\nitems:\n- a: *x\n",
        "kind: ResourceList\nkind: ResourceList\nitems: []\n",
        "{\"kind\": \"ResourceList\", \"items\": [1]}",
    ] {
        let got = decode(text, &List::default());
        assert!(got.is_err_and(|why| !why.is_empty()), "{text:?}");
    }
    let large = " ".repeat(MOST_BYTES_OF_ANSWER + 1);
    assert!(
        decode(&large, &List::default())
            .unwrap_err()
            .contains("more than")
    );
}

/// Texts that are easily taken for something else.
fn nasty() -> impl Strategy<Value = Value> {
    let texts = proptest::sample::select(vec![
        "", "x", "- a", "a: b", "a\nb\n", "\n", " lead", "trail ", "# no", "it's", "\"q\"", "on",
        "1.10", "null", "---", "\u{e9}\t",
    ]);
    let leaf = prop_oneof![
        texts.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(0.5)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let keys =
            proptest::sample::select(vec!["a", "b c", "kind", "on", "1", "x: y", "name", "#"]);
        let map = proptest::collection::btree_map(keys, inner.clone(), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            map.prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_sent_comes_back(values in proptest::collection::vec(nasty(), 0..4), config in nasty()) {
        let numbered = values.into_iter().enumerate();
        let items = numbered.map(|(at, spec)| {
            let object = json!({"kind": "K", "metadata": {"name": at.to_string()}, "spec": spec});
            item("a.yaml", at, &format!("# above\n{}# below\n", yaml::emit(&object)))
        });
        let list = List { items: items.collect(), config: Some(json!({"data": config})), ..List::default() };
        let sent = encode(&list);
        let (items, _) = decode(&sent, &list).unwrap();
        prop_assert_eq!(&items, &list.items, "{}", sent);
        let read = yaml::documents(&sent).unwrap().remove(0);
        prop_assert_eq!(&read["functionConfig"], list.config.as_ref().unwrap());
        let (items, _) = decode(&yaml::emit(&read), &list).unwrap();
        prop_assert_eq!(&items, &list.items);
    }
}
