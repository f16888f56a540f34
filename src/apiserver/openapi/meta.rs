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
    for (name, list, tags) in lists() {
        let schema = components.get_mut(&format!("{META}{name}"));
        let member = schema.and_then(|schema| schema["properties"].get_mut(list));
        if let (Some(Value::Object(member)), Value::Object(tags)) = (member, tags) {
            member.extend(tags);
        }
    }
    if let Some(schema) = components.get_mut(&format!("{META}OwnerReference")) {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    // The generator has it that what is always sent must be there.
    if let Some(Value::Object(schema)) = components.get_mut(&format!("{META}Status")) {
        schema.shift_remove("required");
    }
    for name in ["Status", "DeleteOptions"] {
        if let Some(schema) = components.get_mut(&format!("{META}{name}")) {
            schema["x-kubernetes-group-version-kind"] =
                json!([{ "group": "", "kind": name, "version": "v1" }]);
        }
    }
    components
}

/// Returns how lists are merged, with the type and the member that each is, as Kubernetes' own documents say it: kubectl
/// makes its patches by it, and kube-apiserver keeps under two names what two servers define differently.
fn lists() -> [(&'static str, &'static str, Value); 5] {
    let atomic = json!({ "x-kubernetes-list-type": "atomic" });
    let set = json!({ "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge" });
    let owners = json!({
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["uid"],
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "uid",
    });
    [
        ("ObjectMeta", "finalizers", set),
        ("ObjectMeta", "managedFields", atomic.clone()),
        ("ObjectMeta", "ownerReferences", owners),
        ("DeleteOptions", "dryRun", atomic.clone()),
        ("StatusDetails", "causes", atomic),
    ]
}
