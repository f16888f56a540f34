//! What a resource says about itself. In come objects, out come the texts in them; what is not there is empty.

use serde_json::{Map, Value, json};

use super::super::Item;

/// Marks what is only for tools on the package, never for a cluster.
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

/// Returns the text that a pointer names.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = at(object, pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Returns the value that a pointer names, whose keys have no signs that pointers write otherwise; these cost much to look for.
fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut keys = pointer.split('/').skip(1);
    keys.try_fold(object, |value, key| value.get(key))
}

/// Returns the version of the API with its group.
pub(super) fn api_version(object: &Value) -> &str {
    text(object, "/apiVersion")
}

/// Returns the kind.
pub(super) fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

/// Returns the name.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Returns the namespace.
pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// Returns group and version; the core group is empty.
pub(super) fn group_version(object: &Value) -> (&str, &str) {
    let both = api_version(object);
    both.split_once('/').unwrap_or(("", both))
}

/// Returns whether a resource is of a version and kind.
pub(super) fn is(object: &Value, version: &str, of: &str) -> bool {
    api_version(object) == version && kind(object) == of
}

/// Returns the value of an annotation.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    let annotations = at(object, "/metadata/annotations");
    let value = annotations.and_then(|all| all.get(key));
    value.and_then(Value::as_str).unwrap_or_default()
}

/// Returns whether a resource is for tools only.
pub(super) fn is_local(object: &Value) -> bool {
    !matches!(annotation(object, LOCAL_CONFIG), "" | "false")
}

/// Takes the mark of what is for tools only from a resource, and the annotations with it if there are no others.
pub(super) fn publish(object: &mut Value) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else {
        return;
    };
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else {
        return;
    };
    annotations.shift_remove(LOCAL_CONFIG);
    if annotations.is_empty() {
        metadata.shift_remove("annotations");
    }
}

/// Returns a member that is a map, made if it is missing; nothing if it is something else.
pub(super) fn map_at<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let member = object.as_object_mut()?.entry(key).or_insert(Value::Null);
    if member.is_null() {
        *member = json!({});
    }
    member.as_object_mut()
}

/// Returns kind and name for a sentence.
pub(super) fn told(item: &Item) -> String {
    format!("{} {:?}", kind(&item.object), name(&item.object))
}
