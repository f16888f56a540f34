//! What the objects of a kind look like, in the words of OpenAPI 3.
//!
//! In comes a Rust type or the structural schema of a CRD; out go named components that `openapi` puts into its documents.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Shape, openapi};

/// Where references to other components begin.
pub(super) const COMPONENTS: &str = "#/components/schemas/";
/// The prefix of the names of Kubernetes' own types.
pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// What the objects of a kind look like.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Name of the component that is an object of the kind; empty if nothing is known of it.
    pub model: String,
    /// That component and all that it refers to, but for those of `meta/v1`.
    pub components: BTreeMap<String, Value>,
}

impl Schema {
    /// Returns the schema `structural`, that of a CRD's version, under the name `model`.
    #[must_use]
    pub fn inline(model: impl Into<String>, structural: Value) -> Self {
        let model = model.into();
        let components = BTreeMap::from([(model.clone(), with_metadata(structural))]);
        Self { model, components }
    }

    /// Returns the schema of a Rust type. Every type that it is made of becomes a component named `prefix` and its name.
    #[must_use]
    pub fn of<T: JsonSchema>(prefix: &str) -> Self {
        let mut generator = SchemaSettings::openapi3().into_generator();
        let root = generator.subschema_for::<T>();
        let mut components = BTreeMap::new();
        for (name, mut schema) in generator.take_definitions(true) {
            tidy(&mut schema, prefix);
            let name = component(&name, prefix);
            if !name.starts_with(META) {
                components.insert(name, schema);
            }
        }
        let reference = root.get("$ref").and_then(Value::as_str).unwrap_or_default();
        let model = component(reference.trim_start_matches(COMPONENTS), prefix);
        if let Some(schema) = components.get_mut(&model) {
            *schema = with_metadata(schema.take());
        }
        Self { model, components }
    }

    /// Returns the shape of an object of the kind, as far as it is a matter of names and types: what else the schema says
    /// is not asked of those who write.
    pub(super) fn shape(&self) -> Shape {
        let mut components = openapi::meta();
        components.extend(self.components.clone());
        let reference = json!({ "$ref": format!("{COMPONENTS}{}", self.model) });
        let object = if self.model.is_empty() {
            with_metadata(json!({ "x-kubernetes-preserve-unknown-fields": true }))
        } else {
            reference
        };
        let plain = plain(&object, &components, 0);
        Shape::parse(&plain).expect("only words that are understood are left")
    }
}

/// How deep a schema is followed: one that refers to itself is taken for anything further down.
const DEEPEST: usize = 32;

/// Returns a schema without references and without everything but names and types.
fn plain(schema: &Value, components: &BTreeMap<String, Value>, depth: usize) -> Value {
    let mut out = Map::new();
    if depth > DEEPEST {
        return out.into();
    }
    let below = |schema: &Value| plain(schema, components, depth + 1);
    for (word, value) in schema.as_object().into_iter().flatten() {
        let said = match word.as_str() {
            "$ref" => {
                let name = value.as_str().unwrap_or_default();
                let found = components.get(name.trim_start_matches(COMPONENTS));
                out.extend(members(found.map(below).unwrap_or_default()));
                continue;
            }
            "allOf" => {
                for part in value.as_array().into_iter().flatten() {
                    out.extend(members(below(part)));
                }
                continue;
            }
            "properties" => members(value.clone())
                .iter()
                .map(|(name, member)| (name.clone(), below(member)))
                .collect(),
            "items" => below(value),
            "additionalProperties" if value.is_object() => below(value),
            "type"
            | "format"
            | "additionalProperties"
            | "x-kubernetes-list-type"
            | "x-kubernetes-list-map-keys"
            | "x-kubernetes-map-type"
            | "x-kubernetes-preserve-unknown-fields"
            | "x-kubernetes-int-or-string" => value.clone(),
            _ => continue,
        };
        out.insert(word.clone(), said);
    }
    out.into()
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Returns the name of the component for a definition of schemars: Kubernetes' own keep theirs.
fn component(name: &str, prefix: &str) -> String {
    if name.starts_with("io.k8s.") {
        return name.into();
    }
    format!("{prefix}{name}")
}

/// Gives references the names of components, and everything the forms that Kubernetes' clients read: what may be null is
/// said by what is optional, and a choice of words is one list.
pub(super) fn tidy(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|value| tidy(value, prefix)),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                let name = component(reference.trim_start_matches(COMPONENTS), prefix);
                *reference = format!("{COMPONENTS}{name}");
            }
            if map.get("nullable") == Some(&Value::Bool(true)) {
                map.remove("nullable");
            }
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            drop_null(map);
            join_words(map);
            map.values_mut().for_each(|value| tidy(value, prefix));
            wrap(map);
        }
        _ => {}
    }
}

/// Of "this or null", this remains.
fn drop_null(map: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = map.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice.get("enum") != Some(&json!([null])));
    if choices.len() == 1
        && let Some(choice) = map.remove("anyOf")
    {
        map.insert("allOf".into(), choice);
    }
}

/// A choice between single words becomes one list of words.
fn join_words(map: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = map.get("oneOf") else {
        return;
    };
    let word = |choice: &Value| match choice.get("enum").and_then(Value::as_array) {
        Some(words) if words.len() == 1 => words.first().cloned(),
        _ => None,
    };
    let words: Option<Vec<Value>> = choices.iter().map(word).collect();
    if let Some(words) = words {
        map.remove("oneOf");
        map.insert("type".into(), "string".into());
        map.insert("enum".into(), words.into());
    }
}

/// A reference with siblings becomes `allOf`, as OpenAPI 3.0 wants it.
fn wrap(map: &mut Map<String, Value>) {
    if map.len() > 1
        && let Some(reference) = map.remove("$ref")
    {
        map.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
}

/// Gives an object its `apiVersion`, `kind` and `metadata`.
fn with_metadata(mut schema: Value) -> Value {
    let Some(map) = schema.as_object_mut() else {
        return schema;
    };
    let properties = map
        .entry("properties")
        .or_insert_with(|| json!({}))
        .as_object_mut();
    if let Some(properties) = properties {
        let version =
            "APIVersion defines the versioned schema of this representation of an object.";
        let kind = "Kind is a string value representing the REST resource this object represents.";
        properties.insert(
            "apiVersion".into(),
            json!({ "type": "string", "description": version }),
        );
        properties.insert(
            "kind".into(),
            json!({ "type": "string", "description": kind }),
        );
        properties.insert(
            "metadata".into(),
            json!({ "allOf": [{ "$ref": format!("{COMPONENTS}{META}ObjectMeta") }], "default": {},
                "description": "Standard object's metadata." }),
        );
    }
    map.insert("type".into(), "object".into());
    schema
}
