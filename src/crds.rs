//! The custom resource definitions, generated from the types: `porch crds` prints them, `crds/` holds them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{
    api::{FunctionConfig, PackageRev, Repository},
    yaml,
};

/// Returns the definitions of every kind that this program keeps in the cluster.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    // A record is written whole by us: what was left out is to stay so.
    vec![
        without(&["default", "nullable"], &PackageRev::crd()),
        without(&["nullable"], &Repository::crd()),
        without(&["nullable"], &FunctionConfig::crd()),
    ]
}

/// Returns the files of `crds/`: name and content, in the order of [`definitions`].
#[must_use]
pub fn files() -> Vec<(String, String)> {
    let file = |definition: CustomResourceDefinition| {
        let name = format!(
            "{}_{}.yaml",
            definition.spec.group, definition.spec.names.plural
        );
        let text = yaml::to_string(&definition)
            .expect("a definition holds only strings, numbers, lists and maps");
        (name, text)
    };
    definitions().into_iter().map(file).collect()
}

/// Returns the definition without these words in its schemas. (`nullable` goes so that a `null` is pruned, as if the field
/// had been left out: rules then need not know of it.)
fn without(words: &[&str], definition: &CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(definition).expect("a definition is JSON");
    strip(&mut value, words);
    serde_json::from_value(value).expect("the words are optional")
}

fn strip(value: &mut Value, words: &[&str]) {
    match value {
        Value::Object(members) => {
            if members.contains_key("type") {
                members.retain(|word, _| !words.contains(&word.as_str()));
            }
            members.values_mut().for_each(|member| strip(member, words));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, words)),
        _ => {}
    }
}
