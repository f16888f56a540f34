//! Kubernetes' own types, in Kubernetes' own words: their schemas come with the crate that has the types.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, ObjectMeta, Status};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::apiserver::schema::{META, tidy};

/// Returns the components that every document may refer to.
pub(super) fn components() -> BTreeMap<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    generator.subschema_for::<ObjectMeta>();
    generator.subschema_for::<ListMeta>();
    generator.subschema_for::<Status>();
    generator.subschema_for::<DeleteOptions>();
    let mut components = BTreeMap::new();
    for (name, mut schema) in generator.take_definitions(true) {
        tidy(&mut schema, "");
        components.insert(name, schema);
    }
    let patch =
        "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.";
    components.insert(
        format!("{META}Patch"),
        json!({ "type": "object", "description": patch }),
    );
    if let Some(schema) = components.get_mut(&format!("{META}ObjectMeta")) {
        tag_lists(&mut schema["properties"]);
    }
    for name in ["Status", "DeleteOptions"] {
        if let Some(schema) = components.get_mut(&format!("{META}{name}")) {
            schema["x-kubernetes-group-version-kind"] =
                json!([{ "group": "", "kind": name, "version": "v1" }]);
        }
    }
    components
}

/// Says how the lists in `metadata` are merged, as Kubernetes' own documents say it: kubectl makes its patches by it.
fn tag_lists(properties: &mut Value) {
    let tags = [
        (
            "finalizers",
            json!({ "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge" }),
        ),
        (
            "managedFields",
            json!({ "x-kubernetes-list-type": "atomic" }),
        ),
        (
            "ownerReferences",
            json!({
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["uid"],
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "uid",
            }),
        ),
    ];
    for (name, tags) in tags {
        if let (Some(Value::Object(list)), Value::Object(tags)) = (properties.get_mut(name), tags) {
            list.extend(tags);
        }
    }
}
