//! The kinds that are built in: namespaces, secrets, config maps, events, leases, and how they differ from each other.
//!
//! Their schemas are those of `k8s-openapi`. What else kube-apiserver asks of them is here, as far as `kubectl`, our
//! controllers and their users come across it.

use k8s_openapi::api::{coordination, core, events};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    columns::{self, Cell, column, plain},
    definition::{Definition, Rule, verbs},
    object::text,
};
use crate::apiserver::{self, Column, FieldError, Kind, Naming, Shape};

/// Largest sum of the values of a Secret or a ConfigMap (kube-apiserver's limit).
const MOST_DATA: usize = 1024 * 1024;

/// How many events a namespace keeps (a cluster keeps those of an hour).
const MOST_EVENTS: usize = 1000;

/// Returns every built-in kind that is kept.
#[must_use]
pub fn built_in() -> Vec<Definition> {
    vec![namespaces(), secrets(), config_maps(), leases(), events()]
}

fn namespaces() -> Definition {
    let printed = vec![
        columns::name(),
        column(
            "Status",
            "string",
            plain(".status.phase"),
            "The status of the namespace.",
        ),
        columns::age(),
    ];
    let names = ("", "Namespace", "namespaces", "ns");
    let mut definition = kind::<core::v1::Namespace>(names, &["status.phase"], printed);
    definition.kind.namespaced = false;
    definition.naming = Naming::Label;
    definition.rule.prepare = Some(|namespace| {
        let name = text(namespace, "/metadata/name").to_owned();
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
        if text(namespace, "/metadata/deletionTimestamp").is_empty() {
            namespace["spec"]["finalizers"] = json!(["kubernetes"]);
            namespace["status"]["phase"] = "Active".into();
        }
    });
    definition
}

fn secrets() -> Definition {
    let printed = vec![
        columns::name(),
        column(
            "Type",
            "string",
            plain(".type"),
            "Used to facilitate programmatic handling of secret data.",
        ),
        column(
            "Data",
            "string",
            Cell::Made(|secret| count(&secret["data"], &Value::Null)),
            "Number of entries.",
        ),
        columns::age(),
    ];
    let mut definition =
        kind::<core::v1::Secret>(("", "Secret", "secrets", ""), &["type"], printed);
    definition.rule = Rule {
        prepare: Some(prepare_secret),
        check: Some(check_secret),
    };
    definition
}

fn config_maps() -> Definition {
    let data = Cell::Made(|map| count(&map["data"], &map["binaryData"]));
    let printed = vec![
        columns::name(),
        column("Data", "string", data, "Number of entries."),
        columns::age(),
    ];
    let names = ("", "ConfigMap", "configmaps", "cm");
    let mut definition = kind::<core::v1::ConfigMap>(names, &[], printed);
    definition.rule.check = Some(check_config_map);
    definition
}

fn leases() -> Definition {
    let holder = column(
        "Holder",
        "string",
        plain(".spec.holderIdentity"),
        "Who holds it.",
    );
    let names = ("coordination.k8s.io", "Lease", "leases", "");
    let printed = vec![columns::name(), holder, columns::age()];
    let mut definition = kind::<coordination::v1::Lease>(names, &[], printed);
    // Renewed all the time: who did is in it.
    definition.tracked = false;
    definition
}

/// Fields of an event that a selector may name, in the form in which events are kept.
const EVENT_FIELDS: &[&str] = &[
    "reason",
    "type",
    "reportingController",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
];

fn events() -> Definition {
    let names = ("events.k8s.io", "Event", "events", "ev");
    let mut definition = kind::<events::v1::Event>(names, EVENT_FIELDS, event_columns());
    definition.most = Some(MOST_EVENTS);
    definition.tracked = false;
    definition
}

/// Returns the events of the core group: a view of those that are kept.
#[must_use]
pub fn core_events() -> Definition {
    let selectable: Vec<String> = EVENT_FIELDS
        .iter()
        .map(|path| path.replace("regarding.", "involvedObject."))
        .collect();
    let selectable: Vec<&str> = selectable.iter().map(String::as_str).collect();
    let mut definition =
        kind::<core::v1::Event>(("", "Event", "events", "ev"), &selectable, event_columns());
    definition.tracked = false;
    definition
}

fn event_columns() -> Vec<(Column, Cell)> {
    let about = |event: &Value| {
        let about = &event["regarding"];
        format!(
            "{}/{}",
            text(about, "/kind").to_lowercase(),
            text(about, "/name")
        )
        .into()
    };
    vec![
        column(
            "Last Seen",
            "string",
            Cell::SinceMade(last_seen),
            "When it was seen last.",
        ),
        column("Type", "string", plain(".type"), "Normal or Warning."),
        column("Reason", "string", plain(".reason"), "Why, in one word."),
        column("Object", "string", Cell::Made(about), "What it is about."),
        column("Message", "string", plain(".note"), "What happened."),
        (
            Column {
                priority: 1,
                ..columns::name().0
            },
            plain(".metadata.name"),
        ),
    ]
}

fn last_seen(event: &Value) -> Value {
    let places = [
        "/series/lastObservedTime",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let found = places
        .iter()
        .find_map(|place| event.pointer(place).filter(|time| time.is_string()));
    found.cloned().unwrap_or(Value::Null)
}

fn count(some: &Value, more: &Value) -> Value {
    let length = |value: &Value| value.as_object().map_or(0, Map::len);
    (length(some) + length(more)).into()
}

/// Group, kind, plural, short name.
type Names<'a> = (&'a str, &'a str, &'a str, &'a str);

fn kind<K: JsonSchema>(
    names: Names<'_>,
    selectable: &[&str],
    printed: Vec<(Column, Cell)>,
) -> Definition {
    let (group, kind, plural, short) = names;
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let raw = settings
        .into_generator()
        .into_root_schema_for::<K>()
        .to_value();
    let (columns, cells) = printed.into_iter().unzip();
    let own = ["metadata.name", "metadata.namespace"];
    let kind = Kind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        list_kind: format!("{kind}List"),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: Some(short)
            .filter(|short| !short.is_empty())
            .map(String::from)
            .into_iter()
            .collect(),
        namespaced: true,
        verbs: verbs(),
        selectable: own
            .iter()
            .chain(selectable)
            .map(ToString::to_string)
            .collect(),
        columns,
        schema: apiserver::Schema::inline(
            format!("io.k8s.api.{}.v1.{kind}", package(group)),
            raw.clone(),
        ),
        ..Kind::default()
    };
    Definition {
        kind,
        cells,
        schema: Shape::parse(&raw).expect("the schemas of k8s-openapi are plain"),
        rules: None,
        custom: false,
        status: false,
        tracked: true,
        most: None,
        naming: Naming::Subdomain,
        rule: Rule::default(),
    }
}

/// Returns the part of a model's name that stands for its group.
fn package(group: &str) -> &str {
    match group.split('.').next() {
        None | Some("") => "core",
        Some(first) => first,
    }
}

/// Turns `stringData` into `data`, and says the type that is meant.
fn prepare_secret(secret: &mut Value) {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let members = secret.as_object_mut().expect("an object was decoded");
    if let Some(Value::Object(plain)) = members.remove("stringData") {
        for (key, value) in plain {
            let encoded = BASE64_STANDARD.encode(value.as_str().unwrap_or(""));
            members.entry("data").or_insert_with(|| json!({}))[key] = encoded.into();
        }
    }
    if text(secret, "/type").is_empty() {
        secret["type"] = "Opaque".into();
    }
}

fn check_secret(secret: &Value, before: Option<&Value>) -> Vec<FieldError> {
    let mut wrong = check_data(secret, before, &["data"]);
    let missing = |key: &str| secret["data"].get(key).is_none();
    match text(secret, "/type") {
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            wrong.push(FieldError::required("data[username]", ""));
            wrong.push(FieldError::required("data[password]", ""));
        }
        "kubernetes.io/ssh-auth" if missing("ssh-privatekey") => {
            wrong.push(FieldError::required("data[ssh-privatekey]", ""));
        }
        "kubernetes.io/tls" => {
            let keys = ["tls.crt", "tls.key"]
                .into_iter()
                .filter(|key| missing(key));
            wrong.extend(keys.map(|key| FieldError::required(format!("data[{key}]"), "")));
        }
        _ => {}
    }
    if before.is_some_and(|before| before["type"] != secret["type"]) {
        wrong.push(FieldError::invalid(
            "type",
            &secret["type"],
            "field is immutable",
        ));
    }
    wrong
}

fn check_config_map(map: &Value, before: Option<&Value>) -> Vec<FieldError> {
    check_data(map, before, &["data", "binaryData"])
}

/// Finds what is wrong with the keys, the size and the immutability of what a Secret or a ConfigMap holds.
fn check_data(object: &Value, before: Option<&Value>, members: &[&str]) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    let mut size = 0;
    for member in members {
        for (key, value) in object[*member].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            if !is_key(key) {
                let detail =
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
                wrong.push(FieldError::invalid(
                    format!("{member}[{key}]"),
                    &key.as_str().into(),
                    detail,
                ));
            }
        }
        let frozen = before.is_some_and(|before| {
            before["immutable"] == true && before[*member] != object[*member]
        });
        if frozen {
            wrong.push(FieldError::forbidden(
                *member,
                "field is immutable when `immutable` is set",
            ));
        }
    }
    if before.is_some_and(|before| before["immutable"] == true) && object["immutable"] != true {
        wrong.push(FieldError::forbidden(
            "immutable",
            "field is immutable when `immutable` is set",
        ));
    }
    if size > MOST_DATA {
        wrong.push(FieldError::too_long(members[0], MOST_DATA));
    }
    wrong
}

fn is_key(key: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (1..=253).contains(&key.len()) && key.chars().all(good) && key != "." && !key.starts_with("..")
}

/// Members of an event that the core group names differently: theirs, then how they are kept.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("reportingComponent", "reportingController"),
];

/// Returns an event of the core group in the form in which events are kept.
#[must_use]
pub fn to_kept_event(event: Value) -> Value {
    renamed(event, "events.k8s.io/v1", |name| {
        RENAMED
            .iter()
            .find(|(theirs, _)| *theirs == name)
            .map(|found| found.1)
    })
}

/// Returns an event as the core group shows it.
#[must_use]
pub fn to_core_event(event: Value) -> Value {
    renamed(event, "v1", |name| {
        RENAMED
            .iter()
            .find(|(_, kept)| *kept == name)
            .map(|found| found.0)
    })
}

/// Returns a list of events as the core group shows it.
#[must_use]
pub fn to_core_event_list(mut list: Value) -> Value {
    list["apiVersion"] = "v1".into();
    if let Some(items) = list["items"].as_array_mut() {
        for item in items {
            *item = to_core_event(item.take());
        }
    }
    list
}

fn renamed(event: Value, version: &str, new: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(members) = event else {
        return event;
    };
    let renamed = members
        .into_iter()
        .map(|(name, value)| match name.as_str() {
            "apiVersion" => (name, version.into()),
            other => (new(other).map_or_else(|| name.clone(), String::from), value),
        });
    Value::Object(renamed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_kind_has_a_schema_and_as_many_cells_as_columns() {
        for definition in built_in() {
            assert_eq!(
                definition.kind.columns.len(),
                definition.cells.len(),
                "{}",
                definition.kind.kind
            );
            assert!(
                definition.schema.properties.contains_key("metadata"),
                "{}",
                definition.kind.kind
            );
        }
    }

    #[test]
    fn an_event_of_the_core_group_survives_the_way_there_and_back() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Repository"}, "message": "m",
            "reason": "R", "count": 2, "reportingComponent": "c",
        });
        let kept = to_kept_event(core.clone());
        assert_eq!(
            (
                &kept["regarding"]["kind"],
                &kept["note"],
                &kept["apiVersion"]
            ),
            (
                &json!("Repository"),
                &json!("m"),
                &json!("events.k8s.io/v1")
            )
        );
        assert_eq!(to_core_event(kept), core);
    }

    #[test]
    fn what_a_secret_says_in_plain_text_is_kept_encoded() {
        let mut secret = json!({"stringData": {"a": "x"}, "data": {"b": "eQ=="}});
        prepare_secret(&mut secret);
        assert_eq!(
            secret,
            json!({"data": {"a": "eA==", "b": "eQ=="}, "type": "Opaque"})
        );
    }

    #[test]
    fn a_secret_that_can_t_be_what_it_says_is_refused() {
        for (secret, before, field) in [
            (
                json!({"type": "kubernetes.io/basic-auth"}),
                None,
                "data[username]",
            ),
            (
                json!({"type": "Opaque", "data": {"a b": ""}}),
                None,
                "data[a b]",
            ),
            (json!({"type": "b"}), Some(json!({"type": "a"})), "type"),
            (
                json!({"type": "a", "data": {"x": "1"}, "immutable": true}),
                Some(json!({"type": "a", "immutable": true})),
                "data",
            ),
            (
                json!({"type": "a"}),
                Some(json!({"type": "a", "immutable": true})),
                "immutable",
            ),
        ] {
            let wrong = check_secret(&secret, before.as_ref());
            assert_eq!(wrong.first().map(|wrong| wrong.field.as_str()), Some(field));
        }
    }
}
