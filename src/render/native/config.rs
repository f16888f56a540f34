//! What functions are told: a `ConfigMap` whose data are texts, or a kind of the function's own. In come configs, out come texts and
//! sentences about what is wrong with them.

use serde_json::Value;

use super::resource;

/// The version of the kinds that functions have for their configs.
pub(super) const OWN_VERSION: &str = "fn.kpt.dev/v1alpha1";

/// Returns whether a config is a `ConfigMap`.
pub(super) fn is_config_map(config: &Value) -> bool {
    resource::is(config, "v1", "ConfigMap")
}

/// Returns whether a config is of the kind that only one function has.
pub(super) fn is_own(config: &Value, kind: &str) -> bool {
    resource::is(config, OWN_VERSION, kind)
}

/// Returns the members of a map as texts, in their order; of what is no map, none.
pub(super) fn pairs(map: Option<&Value>) -> Vec<(String, String)> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// Returns the member of a map as text; empty if it is not there.
pub(super) fn text_at(map: &Value, key: &str) -> String {
    map.get(key).map(text).unwrap_or_default()
}

/// Returns a value as a person would have written it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the sentence about a config that is missing.
pub(super) fn missing(kind: &str) -> String {
    format!("FunctionConfig is missing. Expect `ConfigMap.v1` or `{kind}.v1alpha1.fn.kpt.dev`")
}

/// Returns the sentence about a config of a kind that the function does not know.
pub(super) fn unknown(config: &Value, kind: &str) -> String {
    format!(
        "unknown functionConfig Kind={} ApiVersion={}, expect `ConfigMap.v1` or `{kind}.v1alpha1.fn.kpt.dev`",
        resource::kind(config),
        resource::api_version(config)
    )
}

/// Returns the pairs of a `ConfigMap` for a function that takes nothing else.
pub(super) fn data(config: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let config = config.ok_or("FunctionConfig is missing. Expect `ConfigMap.v1`")?;
    if is_config_map(config) {
        return Ok(pairs(config.get("data")));
    }
    Err(format!(
        "unknown functionConfig Kind={} ApiVersion={}, expect `ConfigMap.v1`",
        resource::kind(config),
        resource::api_version(config)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_are_texts_in_their_order() {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": 1, "a": "x", "c": null, "d": true}});
        let want = [("b", "1"), ("a", "x"), ("c", ""), ("d", "true")];
        let want = want.map(|(key, value)| (key.to_string(), value.to_string()));
        assert_eq!(data(Some(&config)).unwrap(), want);
        assert!(data(None).unwrap_err().contains("is missing"));
        let other = json!({"apiVersion": "v1", "kind": "Secret"});
        let told = data(Some(&other)).unwrap_err();
        assert_eq!(
            told,
            "unknown functionConfig Kind=Secret ApiVersion=v1, expect `ConfigMap.v1`"
        );
    }
}
