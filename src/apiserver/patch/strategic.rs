//! Strategic merge patches: like RFC 7396, but some lists are merged item by item, and members that begin with `$` say
//! what is to be done.

use serde_json::{Map, Value};

use crate::apiserver::Failure;

/// Lists that are merged and not replaced, by their paths.
#[derive(Clone, Copy, Debug)]
pub struct Lists {
    /// Those whose items are told apart by a member, and that member.
    pub keyed: &'static [(&'static str, &'static str)],
    /// Those whose items stand for themselves.
    pub sets: &'static [&'static str],
}

impl Lists {
    /// Those that every kind has: what the tags of `ObjectMeta` say.
    pub const METADATA: Self = Self {
        keyed: &[("metadata.ownerReferences", "uid")],
        sets: &["metadata.finalizers"],
    };
}

const DIRECTIVE: &str = "$patch";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";
const RETAIN: &str = "$retainKeys";

/// Merges a patch into `value`.
///
/// # Errors
/// [`Failure::BadRequest`] for a directive that nobody knows or that is not of its form; [`Failure::Unprocessable`] for an
/// item of a keyed list without its key.
pub(super) fn apply(value: &mut Value, patch: &Value, lists: &Lists) -> Result<(), Failure> {
    Merge { lists }.value(value, patch, "")
}

struct Merge<'a> {
    lists: &'a Lists,
}

impl Merge<'_> {
    fn value(&self, value: &mut Value, changes: &Value, path: &str) -> Result<(), Failure> {
        let Value::Object(named) = changes else {
            *value = changes.clone();
            return Ok(());
        };
        match directive(changes)? {
            Some("delete") => {
                *value = Value::Object(Map::new());
                return Ok(());
            }
            Some("replace") => {
                let kept = named.iter().filter(|(key, _)| !key.starts_with('$'));
                let kept = kept.map(|(key, value)| (key.clone(), value.clone()));
                *value = Value::Object(kept.collect());
                return Ok(());
            }
            Some(other) => return Err(unknown(other)),
            None => {}
        }
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        let members = value
            .as_object_mut()
            .expect("it was just made an object if it was none");
        for (key, change) in named {
            self.member(members, key, change, path)?;
        }
        Ok(())
    }

    fn member(
        &self,
        members: &mut Map<String, Value>,
        key: &str,
        change: &Value,
        path: &str,
    ) -> Result<(), Failure> {
        if key == RETAIN || key.starts_with(DELETE_FROM) || key.starts_with(ORDER) {
            return direct(members, key, change);
        }
        if key == DIRECTIVE {
            return Ok(());
        }
        if change.is_null() || directive(change)? == Some("delete") {
            members.shift_remove(key);
            return Ok(());
        }
        let path = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        let member = members.entry(key).or_insert(Value::Null);
        let Value::Array(items) = change else {
            return self.value(member, change, &path);
        };
        let mut keyed = self.lists.keyed.iter();
        if let Some((_, by)) = keyed.find(|(list, _)| *list == path) {
            return self.list(member, items, by, &path);
        }
        if self.lists.sets.contains(&path.as_str()) {
            unite(member, items);
        } else {
            *member = change.clone();
        }
        Ok(())
    }

    fn list(
        &self,
        value: &mut Value,
        changes: &[Value],
        by: &str,
        path: &str,
    ) -> Result<(), Failure> {
        let directives: Vec<Option<&str>> =
            changes.iter().map(directive).collect::<Result<_, _>>()?;
        if directives.contains(&Some("replace")) {
            let kept = changes
                .iter()
                .filter(|change| change.get(DIRECTIVE).is_none());
            *value = kept.cloned().collect();
            return Ok(());
        }
        let mut items = value.as_array().cloned().unwrap_or_default();
        for (change, directive) in changes.iter().zip(directives) {
            let key = change.get(by).ok_or(Failure::Unprocessable)?;
            let place = items.iter().position(|item| item.get(by) == Some(key));
            match (directive, place) {
                (Some("delete"), Some(place)) => drop(items.remove(place)),
                (Some("delete"), None) => {}
                (Some(other), _) => return Err(unknown(other)),
                (None, Some(place)) => self.value(&mut items[place], change, path)?,
                (None, None) => items.push(change.clone()),
            }
        }
        *value = items.into();
        Ok(())
    }
}

/// Returns what a part of a patch says is to be done with it.
fn directive(patch: &Value) -> Result<Option<&str>, Failure> {
    match patch.get(DIRECTIVE) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(unknown(&other.to_string())),
    }
}

fn unknown(directive: &str) -> Failure {
    Failure::BadRequest(format!("unknown patch type: {directive}"))
}

/// Does what a member that begins with `$` says.
fn direct(members: &mut Map<String, Value>, key: &str, change: &Value) -> Result<(), Failure> {
    let Some(named) = change.as_array() else {
        return Err(Failure::BadRequest(format!(
            "The patch directive {key:?} must be a list"
        )));
    };
    if let Some(list) = key.strip_prefix(DELETE_FROM) {
        if let Some(Value::Array(items)) = members.get_mut(list) {
            items.retain(|item| !named.contains(item));
        }
    } else if key == RETAIN {
        members.retain(|key, _| named.iter().any(|kept| kept == key));
    }
    Ok(())
}

fn unite(value: &mut Value, changes: &[Value]) {
    let mut items = value.as_array().cloned().unwrap_or_default();
    for change in changes {
        if !items.contains(change) {
            items.push(change.clone());
        }
    }
    *value = items.into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_does_what_its_directives_say() {
        let owned = |owners: Value| json!({ "metadata": { "ownerReferences": owners } });
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
                owned(json!([{"uid": "1", "name": "x"}, {"uid": "2"}])),
                json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "2"}, {"uid": "1", "name": "y"}, {"uid": "3"}], "$setElementOrder/ownerReferences": []}}),
                owned(json!([{"uid": "1", "name": "y"}, {"uid": "3"}])),
            ),
            (
                owned(json!([{"uid": "1"}])),
                owned(json!([{"$patch": "replace"}, {"uid": "2"}])),
                owned(json!([{"uid": "2"}])),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b", "c"]}}),
                json!({"metadata": {"finalizers": ["b", "c"]}}),
            ),
            (
                json!({"list": [1, 2], "finalizers": ["a"]}),
                json!({"list": [3], "finalizers": ["b"]}),
                json!({"list": [3], "finalizers": ["b"]}),
            ),
        ] {
            let mut value = before;
            apply(&mut value, &patch, &Lists::METADATA).unwrap();
            assert_eq!(value, after, "{patch}");
        }
    }

    #[test]
    fn directives_that_nobody_knows_are_refused() {
        let owners = |item: Value| json!({ "metadata": { "ownerReferences": [item] } });
        for (patch, unprocessable) in [
            (json!({"$patch": "shrink"}), false),
            (json!({"a": {"$patch": 1}}), false),
            (json!({"a": {"$patch": "merge"}}), false),
            (json!({"$retainKeys": "a"}), false),
            (json!({"$setElementOrder/a": 1}), false),
            (owners(json!({"$patch": "shrink", "uid": "1"})), false),
            (owners(json!({"$patch": "delete"})), true),
            (owners(json!("1")), true),
        ] {
            let failed = apply(&mut json!({"a": {}}), &patch, &Lists::METADATA);
            let failed = failed.expect_err("the patch makes no sense");
            assert_eq!(failed == Failure::Unprocessable, unprocessable, "{patch}");
        }
    }
}
