//! Which resources a function is given: those that its selectors match and no exclusion does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What a resource must have; what is empty says nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Selector {
    api_version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
}

impl Selector {
    fn matches(&self, object: &Value) -> bool {
        let texts = [
            (&self.api_version, "/apiVersion"),
            (&self.kind, "/kind"),
            (&self.name, "/metadata/name"),
            (&self.namespace, "/metadata/namespace"),
        ];
        let maps = [
            (&self.labels, "/metadata/labels"),
            (&self.annotations, "/metadata/annotations"),
        ];
        let is_equal = |wanted: &Option<String>, at: &str| {
            let wanted = wanted.as_deref().filter(|wanted| !wanted.is_empty());
            wanted.is_none_or(|wanted| is_text(object.pointer(at), wanted))
        };
        texts.iter().all(|(wanted, at)| is_equal(wanted, at))
            && maps.iter().all(|(wanted, at)| {
                let mut wanted = wanted.iter().flatten();
                let map = object.pointer(at);
                wanted.all(|(key, value)| {
                    let there = map.and_then(|map| map.get(key));
                    is_text(there, value.as_deref().unwrap_or_default())
                })
            })
    }

    fn is_empty(&self) -> bool {
        let texts = [&self.api_version, &self.kind, &self.name, &self.namespace];
        let maps = [&self.labels, &self.annotations];
        texts
            .iter()
            .all(|text| text.as_deref().is_none_or(str::is_empty))
            && maps
                .iter()
                .all(|map| map.as_ref().is_none_or(BTreeMap::is_empty))
    }
}

/// Returns whether a value says a text; people write labels without quotes, too.
fn is_text(value: Option<&Value>, text: &str) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(value)) => value == text,
        Some(other) => *other.to_string() == *text,
    }
}

/// Returns whether a function with these selectors and exclusions is given a resource. Without selectors it is given all; an exclusion
/// that says nothing excludes nothing.
pub(super) fn selects(selectors: &[Selector], exclude: &[Selector], object: &Value) -> bool {
    let is_selected = selectors.is_empty() || selectors.iter().any(|one| one.matches(object));
    let mut exclude = exclude.iter().filter(|one| !one.is_empty());
    is_selected && !exclude.any(|one| one.matches(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selectors(value: Value) -> Vec<Selector> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_resource_is_selected_by_all_fields_of_any_selector_and_no_exclusion() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n", "labels": {"a": "1", "b": 2}, "annotations": {"c": "x"}},
        });
        for (select, exclude, want) in [
            (json!([]), json!([]), true),
            (json!([{}]), json!([{}]), true),
            (json!([{"kind": "Deployment"}]), json!([]), true),
            (json!([{"kind": "Service"}]), json!([]), false),
            (json!([{"kind": "Service"}, {"name": "d"}]), json!([]), true),
            (
                json!([{"kind": "Deployment", "name": "e"}]),
                json!([]),
                false,
            ),
            (
                json!([{"apiVersion": "apps/v1", "namespace": "n"}]),
                json!([]),
                true,
            ),
            (json!([{"namespace": "other"}]), json!([]), false),
            (json!([{"labels": {"a": "1"}}]), json!([]), true),
            (json!([{"labels": {"a": "1", "b": "2"}}]), json!([]), true),
            (json!([{"labels": {"a": "1", "z": "2"}}]), json!([]), false),
            (json!([{"labels": {"z": ""}}]), json!([]), false),
            (json!([{"annotations": {"c": "x"}}]), json!([]), true),
            (json!([{"annotations": {"c": "y"}}]), json!([]), false),
            (json!([]), json!([{"kind": "Deployment"}]), false),
            (json!([]), json!([{"kind": "Service"}]), true),
            (
                json!([{"name": "d"}]),
                json!([{"labels": {"a": "1"}}]),
                false,
            ),
            (json!([{"name": ""}]), json!([{"kind": ""}]), true),
        ] {
            let told = format!("{select} {exclude}");
            let got = selects(&selectors(select), &selectors(exclude), &object);
            assert_eq!(got, want, "{told}");
        }
        assert!(!selects(
            &selectors(json!([{"name": "d"}])),
            &[],
            &json!({"kind": "K"})
        ));
        assert!(serde_json::from_value::<Selector>(json!({"nmae": "d"})).is_err());
    }
}
