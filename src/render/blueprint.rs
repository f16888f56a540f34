//! The mark of resources of Config Connector that functions made or changed: Google asks for it to know where they come from.

use serde_json::{Value, json};

/// The annotation.
const BLUEPRINT: &str = "cnrm.cloud.google.com/blueprint";
/// What is said in it of kpt, in its order.
const DEEDS: [&str; 3] = ["pkg", "fn", "live"];

/// Returns whether a resource is one of Config Connector.
pub(super) fn is_marked(object: &Value) -> bool {
    let version = object.get("apiVersion").and_then(Value::as_str);
    version.is_some_and(|version| version.contains(".cnrm."))
}

/// Marks a resource, if it is one of Config Connector.
pub(super) fn mark(object: &mut Value) {
    if !is_marked(object) {
        return;
    }
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let Some(metadata) = metadata else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = json!({});
    }
    if let Some(annotations) = annotations.as_object_mut() {
        let said = annotations.get(BLUEPRINT).and_then(Value::as_str);
        let said = said.unwrap_or_default();
        annotations.insert(BLUEPRINT.into(), marked(said).into());
    }
}

/// Returns a mark that says that functions were run, too.
fn marked(said: &str) -> String {
    let parts: Vec<&str> = said.split(',').filter(|part| !part.is_empty()).collect();
    let at = parts.iter().position(|part| part.starts_with("krm-"));
    let Some(at) = at else {
        return [&parts[..], &["krm-fn"]].concat().join(",");
    };
    let known: Vec<&str> = parts[at].split('-').skip(1).collect();
    let is_done = |deed: &&str| *deed == "fn" || known.contains(deed);
    let deeds: Vec<&str> = DEEDS.into_iter().filter(is_done).collect();
    let ours = format!("krm-{}", deeds.join("-"));
    let parts = parts.iter().enumerate();
    let parts = parts.map(|(index, part)| if index == at { &ours } else { *part });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_of_config_connector_are_marked() {
        for (said, want) in [
            ("", "krm-fn"),
            ("cnrm/x", "cnrm/x,krm-fn"),
            ("krm-fn", "krm-fn"),
            ("krm-pkg", "krm-pkg-fn"),
            ("krm-live", "krm-fn-live"),
            ("cnrm/x,krm-live-pkg", "cnrm/x,krm-pkg-fn-live"),
        ] {
            assert_eq!(marked(said), want);
        }
        let mut object = json!({"apiVersion": "storage.cnrm.cloud.google.com/v1", "metadata": {"name": "n", "annotations": null}});
        mark(&mut object);
        assert_eq!(
            object["metadata"]["annotations"],
            json!({BLUEPRINT: "krm-fn"})
        );
        for mut other in [
            json!({"apiVersion": "v1", "metadata": {}}),
            json!({"apiVersion": "a.cnrm.b/v1"}),
            json!([]),
        ] {
            let before = other.clone();
            mark(&mut other);
            assert_eq!(other, before);
        }
    }
}
