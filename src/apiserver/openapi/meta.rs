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
    for name in ["Status", "DeleteOptions"] {
        if let Some(schema) = components.get_mut(&format!("{META}{name}")) {
            schema["x-kubernetes-group-version-kind"] =
                json!([{ "group": "", "kind": name, "version": "v1" }]);
        }
    }
    components
}
