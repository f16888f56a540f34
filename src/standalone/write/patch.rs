//! A change of what is there: as operations, as a merge, or as Kubernetes' own merge.

use json_patch::{Patch, PatchErrorKind, PatchOperation};
use serde_json::{Map, Value};

use super::{Deed, admit::Origin};
use crate::{
    apiserver::{Failure, FieldValidation, PatchKind, Written},
    standalone::object::text,
};

/// How many operations a JSON patch may have (kube-apiserver's limit).
const MOST_OPERATIONS: usize = 10_000;
/// Lists that a strategic patch merges by a member of their items, wherever they are (the patch tags of the built-in kinds).
const MERGED: &[(&str, &str)] = &[("ownerReferences", "uid"), ("conditions", "type")];

impl Deed<'_, '_> {
    /// Changes the object as the patch in the request's body says.
    pub(super) fn patch(&mut self, kind: PatchKind) -> Result<Written, Failure> {
        let live = self.live()?;
        let before = live.value();
        let mut value = before.clone();
        match kind {
            PatchKind::Json => self.operate(&mut value)?,
            PatchKind::Strategic if self.definition.custom => {
                let known = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                return Err(Failure::UnsupportedMediaType(format!(
                    "the body of the request was in an unknown format - accepted media types include: {known}"
                )));
            }
            PatchKind::Strategic => strategic(&mut value, &self.patch_object()?),
            PatchKind::Merge | PatchKind::Apply => {
                json_patch::merge(&mut value, &self.patch_object()?);
            }
        }
        if !value.is_object() {
            return Err(self.refused("it is no object any more", Origin::Patch));
        }
        self.check_type(&value)?;
        self.replace(&live, &before, value, Origin::Patch)
    }

    fn patch_object(&self) -> Result<Value, Failure> {
        let patch: Value = serde_json::from_slice(&self.write.body)
            .map_err(|error| Failure::BadRequest(format!("error decoding patch: {error}")))?;
        if patch.is_object() {
            return Ok(patch);
        }
        Err(Failure::BadRequest(
            "error decoding patch: it is no object".into(),
        ))
    }

    fn operate(&self, value: &mut Value) -> Result<(), Failure> {
        let bad = |error: serde_json::Error| {
            Failure::BadRequest(format!("error decoding patch: {error}"))
        };
        let operations: Vec<Value> = serde_json::from_slice(&self.write.body).map_err(bad)?;
        if operations.len() > MOST_OPERATIONS {
            let count = operations.len();
            return Err(Failure::TooMuch(format!(
                "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}"
            )));
        }
        let known = ["op", "path", "from", "value"];
        let unknown = operations
            .iter()
            .filter_map(Value::as_object)
            .flat_map(Map::keys)
            .find(|key| !known.contains(&key.as_str()));
        if let (Some(unknown), FieldValidation::Strict) =
            (unknown, self.write.options.field_validation)
        {
            return Err(Failure::BadRequest(format!(
                "json patch unknown field {unknown:?}"
            )));
        }
        for operation in operations {
            let operation: PatchOperation = serde_json::from_value(operation).map_err(bad)?;
            apply(value, operation)?;
        }
        Ok(())
    }
}

fn apply(value: &mut Value, operation: PatchOperation) -> Result<(), Failure> {
    let absent = matches!(&operation, PatchOperation::Test(test) if test.value.is_null());
    match json_patch::patch(value, &Patch(vec![operation])) {
        Ok(()) => Ok(()),
        // kube-apiserver's library takes what is not there for null; kube-rs' finalizers rely on it.
        Err(error) if absent && matches!(error.kind, PatchErrorKind::InvalidPointer) => Ok(()),
        Err(_) => Err(Failure::Unprocessable),
    }
}

/// Merges a strategic patch: like RFC 7396, but some lists are merged item by item, and members that begin with `$`
/// say what is to be done.
fn strategic(value: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *value = patch.clone();
        return;
    };
    if text(patch, "/$patch") == "replace" {
        let kept = changes.iter().filter(|(key, _)| !key.starts_with('$'));
        *value = Value::Object(
            kept.map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        );
        return;
    }
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some(members) = value.as_object_mut() else {
        return;
    };
    for (key, change) in changes {
        strategic_member(members, key, change);
    }
}

fn strategic_member(members: &mut Map<String, Value>, key: &str, change: &Value) {
    if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
        let gone = change.as_array().cloned().unwrap_or_default();
        if let Some(Value::Array(items)) = members.get_mut(list) {
            items.retain(|item| !gone.contains(item));
        }
        return;
    }
    if key == "$retainKeys" {
        let kept = change.as_array().cloned().unwrap_or_default();
        members.retain(|key, _| kept.iter().any(|kept| kept == key));
        return;
    }
    if key.starts_with('$') {
        return;
    }
    if change.is_null() || text(change, "/$patch") == "delete" {
        members.shift_remove(key);
        return;
    }
    let member = members.entry(key).or_insert(Value::Null);
    let merged = MERGED
        .iter()
        .find(|(name, _)| *name == key)
        .map(|found| found.1);
    match (change, merged) {
        (Value::Array(items), Some(by)) => strategic_list(member, items, by),
        (Value::Array(items), None) if key == "finalizers" => strategic_set(member, items),
        (Value::Array(_), _) => *member = change.clone(),
        _ => strategic(member, change),
    }
}

fn strategic_list(value: &mut Value, changes: &[Value], by: &str) {
    if changes
        .iter()
        .any(|change| text(change, "/$patch") == "replace")
    {
        *value = changes
            .iter()
            .filter(|change| change.get("$patch").is_none())
            .cloned()
            .collect();
        return;
    }
    let mut items = value.as_array().cloned().unwrap_or_default();
    for change in changes {
        let place = items.iter().position(|item| item[by] == change[by]);
        match (text(change, "/$patch"), place) {
            ("delete", Some(place)) => drop(items.remove(place)),
            ("delete", None) => {}
            (_, Some(place)) => strategic(&mut items[place], change),
            (_, None) => items.push(change.clone()),
        }
    }
    *value = items.into();
}

fn strategic_set(value: &mut Value, changes: &[Value]) {
    let mut items = value.as_array().cloned().unwrap_or_default();
    let new = changes
        .iter()
        .filter(|change| !items.contains(change))
        .cloned();
    items.extend(new.collect::<Vec<_>>());
    *value = items.into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_does_what_its_directives_say() {
        for (before, patch, after) in [
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": null, "d": 3}}),
                json!({"a": {"c": 2, "d": 3}}),
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"$patch": "replace", "c": 2}}),
                json!({"a": {"c": 2}}),
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"$patch": "delete"}}),
                json!({}),
            ),
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"$retainKeys": ["c"], "c": 3}}),
                json!({"a": {"c": 3}}),
            ),
            (
                json!({"ownerReferences": [{"uid": "1", "name": "x"}, {"uid": "2"}]}),
                json!({"ownerReferences": [{"$patch": "delete", "uid": "2"}, {"uid": "1", "name": "y"}, {"uid": "3"}], "$setElementOrder/ownerReferences": []}),
                json!({"ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "3"}]}),
            ),
            (
                json!({"finalizers": ["a", "b"]}),
                json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b", "c"]}),
                json!({"finalizers": ["b", "c"]}),
            ),
            (
                json!({"list": [1, 2]}),
                json!({"list": [3]}),
                json!({"list": [3]}),
            ),
        ] {
            let mut value = before;
            strategic(&mut value, &patch);
            assert_eq!(value, after, "{patch}");
        }
    }
}
