//! OpenAPI 3: one document for each group and version.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{meta, operations};
use crate::apiserver::{
    Kind, Registry,
    schema::{COMPONENTS, META},
};

/// Returns the document of one group and version.
pub(super) fn document(registry: &Registry, group: &str, version: &str) -> Value {
    let mut paths = operations::Paths::new();
    let mut components = meta::components();
    for endpoint in registry.endpoints() {
        let kind = endpoint.resource.kind();
        if kind.group == group && kind.version == version && !kind.schema.model.is_empty() {
            operations::add(endpoint, &mut paths);
            add(kind, &mut components);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Porch", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": components },
    })
}

/// Adds what an object of the kind looks like, and a list of them.
fn add(kind: &Kind, components: &mut BTreeMap<String, Value>) {
    let model = &kind.schema.model;
    components.extend(kind.schema.components.clone());
    let Some(object) = components.get_mut(model) else {
        return;
    };
    object["x-kubernetes-group-version-kind"] = name(kind, &kind.kind);
    let items = json!({ "allOf": [{ "$ref": format!("{COMPONENTS}{model}") }], "default": {} });
    let list = json!({
        "type": "object",
        "description": format!("{} is a list of {}.", kind.list_kind, kind.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "allOf": [{ "$ref": format!("{COMPONENTS}{META}ListMeta") }], "default": {} },
            "items": { "type": "array", "items": items },
        },
        "x-kubernetes-group-version-kind": name(kind, &kind.list_kind),
    });
    components.insert(format!("{model}List"), list);
}

fn name(kind: &Kind, name: &str) -> Value {
    json!([{ "group": kind.group, "version": kind.version, "kind": name }])
}
