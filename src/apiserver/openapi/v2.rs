//! OpenAPI 2, for those who still read it: the documents of version 3, said in the older words.

use serde_json::{Map, Value, json};

use crate::apiserver::schema::COMPONENTS;

const DEFINITIONS: &str = "#/definitions/";
const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Returns one document that says what `documents` say.
pub(super) fn document<'a>(documents: impl Iterator<Item = &'a Value>) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for document in documents {
        for (path, item) in object(&document["paths"]) {
            paths.insert(path.clone(), path_item(item));
        }
        for (name, schema) in object(&document["components"]["schemas"]) {
            definitions.insert(name.clone(), plain(schema));
        }
    }
    json!({
        "swagger": "2.0",
        "info": { "title": "Porch", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "definitions": definitions,
    })
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn path_item(item: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in object(item) {
        let value = if METHODS.contains(&key.as_str()) {
            operation(value)
        } else {
            parameters(value)
        };
        out.insert(key.clone(), value);
    }
    out.into()
}

fn operation(operation: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in object(operation) {
        match key.as_str() {
            "parameters" => {
                out.insert(key.clone(), parameters(value));
            }
            "responses" => {
                let responses: Map<String, Value> = object(value)
                    .map(|(code, response)| (code.clone(), self::response(response)))
                    .collect();
                out.insert(key.clone(), responses.into());
            }
            "requestBody" => {}
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    let produces = json!(["application/json", "application/yaml"]);
    out.insert("produces".into(), produces);
    out.insert("schemes".into(), json!(["https"]));
    if let Some(body) = operation.get("requestBody") {
        put_body(&mut out, body);
    }
    out.into()
}

fn put_body(operation: &mut Map<String, Value>, body: &Value) {
    let types: Vec<&String> = object(&body["content"]).map(|(media, _)| media).collect();
    operation.insert("consumes".into(), json!(types));
    let Some((_, content)) = object(&body["content"]).next() else {
        return;
    };
    let parameter = json!({
        "name": "body", "in": "body", "schema": plain(&content["schema"]),
        "required": body.get("required").cloned().unwrap_or(Value::Bool(false)),
    });
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(parameter);
    }
}

fn response(response: &Value) -> Value {
    let mut out = json!({ "description": response["description"] });
    if let Some((_, content)) = object(&response["content"]).next() {
        out["schema"] = plain(&content["schema"]);
    }
    out
}

/// In version 2 the schema of a parameter is a part of the parameter itself.
fn parameters(parameters: &Value) -> Value {
    let flat = |parameter: &Value| {
        let mut out = Map::new();
        for (key, value) in object(parameter) {
            if key == "schema" {
                out.extend(object(value).map(|(key, value)| (key.clone(), value.clone())));
            } else {
                out.insert(key.clone(), value.clone());
            }
        }
        Value::Object(out)
    };
    parameters
        .as_array()
        .into_iter()
        .flatten()
        .map(flat)
        .collect()
}

/// Returns a schema without what version 2 does not know.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                if !matches!(
                    key.as_str(),
                    "nullable" | "oneOf" | "anyOf" | "not" | "allOf"
                ) {
                    out.insert(key.clone(), plain(value));
                }
            }
            if let Some(Value::String(reference)) = out.get_mut("$ref") {
                *reference = reference.replace(COMPONENTS, DEFINITIONS);
            }
            if let Some(Value::Array(all)) = map.get("allOf")
                && let [one] = all.as_slice()
                && let Value::Object(one) = plain(one)
            {
                out.extend(one);
            }
            out.into()
        }
        other => other.clone(),
    }
}
