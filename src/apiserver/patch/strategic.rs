//! Strategic merge patches: like RFC 7396, but some lists are merged item by item, and members that begin with `$` say
//! what is to be done.

use std::collections::{HashMap, HashSet};

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

/// A part of a patch that is an object, and where it is.
#[derive(Clone, Copy)]
struct Part<'a> {
    named: &'a Map<String, Value>,
    path: &'a str,
}

impl Part<'_> {
    fn below(&self, name: &str) -> String {
        match self.path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
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
        let part = Part { named, path };
        for key in named.keys() {
            if key.starts_with('$') {
                self.direct(members, part, key)?;
            } else {
                self.member(members, part, key)?;
            }
        }
        Ok(())
    }

    fn member(
        &self,
        members: &mut Map<String, Value>,
        part: Part<'_>,
        key: &str,
    ) -> Result<(), Failure> {
        let change = &part.named[key];
        if change.is_null() || directive(change)? == Some("delete") {
            members.shift_remove(key);
            return Ok(());
        }
        let path = part.below(key);
        let member = members.entry(key).or_insert(Value::Null);
        let Value::Array(changes) = change else {
            return self.value(member, change, &path);
        };
        let Some(apart) = self.lists.apart(&path) else {
            *member = change.clone();
            return Ok(());
        };
        let order = part.named.get(&format!("{ORDER}{key}"));
        *member = self.merged(member, changes, (apart, order), &path)?;
        Ok(())
    }

    /// Returns a list with the changes, in the order that is wished, or else with what the patch names before the rest.
    fn merged(
        &self,
        value: &Value,
        changes: &[Value],
        (apart, order): (Apart<'_>, Option<&Value>),
        path: &str,
    ) -> Result<Value, Failure> {
        let directives: Vec<Option<&str>> =
            changes.iter().map(directive).collect::<Result<_, _>>()?;
        if directives.contains(&Some("replace")) {
            let kept = changes
                .iter()
                .filter(|change| change.get(DIRECTIVE).is_none());
            return Ok(kept.cloned().collect());
        }
        let before = apart.items(value.as_array().into_iter().flatten())?;
        let mut items = before.clone();
        let (mut gone, mut said) = (HashSet::new(), Vec::new());
        for (change, directive) in changes.iter().zip(directives) {
            let id = apart.id(change)?;
            match directive {
                Some("delete") => {
                    gone.insert(id);
                    continue;
                }
                Some(other) => return Err(unknown(other)),
                None => said.push(id.clone()),
            }
            match items.get_mut(&id) {
                Some(item) => self.value(item, change, path)?,
                None => drop(items.insert(id, change.clone())),
            }
        }
        items.retain(|id, _| !gone.contains(id));
        if let Some(order) = order {
            let wished = apart.ids(list_of(ORDER, order)?)?;
            follows(&said, &wished)?;
            said = wished;
        }
        Ok(arranged(items, &said, &before))
    }

    /// Does what a member that begins with `$` says.
    fn direct(
        &self,
        members: &mut Map<String, Value>,
        part: Part<'_>,
        key: &str,
    ) -> Result<(), Failure> {
        let change = &part.named[key];
        if let Some(list) = key.strip_prefix(DELETE_FROM) {
            let gone: HashSet<String> =
                list_of(key, change)?.iter().map(Value::to_string).collect();
            if let Some(Value::Array(items)) = members.get_mut(list) {
                items.retain(|item| !gone.contains(&item.to_string()));
            }
        } else if let Some(list) = key.strip_prefix(ORDER) {
            let order = list_of(key, change)?;
            // With the list itself, it is put in order where that is merged.
            let alone = !part.named.contains_key(list);
            let apart = self.lists.apart(&part.below(list));
            if let (true, Some(apart), Some(Value::Array(items))) =
                (alone, apart, members.get_mut(list))
            {
                let before = apart.items(items.iter())?;
                let said = apart.ids(order)?;
                members.insert(list.into(), arranged(before.clone(), &said, &before));
            }
        } else if key == RETAIN {
            retain(members, part, change)?;
        } else if key != DIRECTIVE {
            self.member(members, part, key)?;
        }
        Ok(())
    }
}

/// How the items of a list that is merged are told apart.
#[derive(Clone, Copy)]
enum Apart<'a> {
    /// By a member.
    By(&'a str),
    /// By themselves.
    Whole,
}

impl Apart<'_> {
    /// Returns what stands for an item.
    fn id(self, item: &Value) -> Result<String, Failure> {
        match self {
            Self::By(key) => {
                let value = item.get(key).ok_or(Failure::Unprocessable)?;
                Ok(value.to_string())
            }
            Self::Whole => Ok(item.to_string()),
        }
    }

    fn ids(self, items: &[Value]) -> Result<Vec<String>, Failure> {
        items.iter().map(|item| self.id(item)).collect()
    }

    /// Returns items by what stands for them, in their order; of several that are alike the first.
    fn items<'v>(
        self,
        items: impl Iterator<Item = &'v Value>,
    ) -> Result<Map<String, Value>, Failure> {
        let mut found = Map::new();
        for item in items {
            found.entry(self.id(item)?).or_insert_with(|| item.clone());
        }
        Ok(found)
    }
}

impl Lists {
    fn apart(&self, path: &str) -> Option<Apart<'static>> {
        let mut keyed = self.keyed.iter();
        if let Some((_, by)) = keyed.find(|(list, _)| *list == path) {
            return Some(Apart::By(by));
        }
        self.sets.contains(&path).then_some(Apart::Whole)
    }
}

/// Returns items in the order of `said`; those that it does not name keep their order, and stand before the first of the
/// named that they stood before.
fn arranged(items: Map<String, Value>, said: &[String], before: &Map<String, Value>) -> Value {
    let places: HashMap<&str, usize> = before.keys().map(String::as_str).zip(0..).collect();
    let named: HashSet<&str> = said.iter().map(String::as_str).collect();
    let (mut named, rest): (Map<_, _>, Map<_, _>) = items
        .into_iter()
        .partition(|(id, _)| named.contains(id.as_str()));
    let mut rest = rest.into_iter().peekable();
    let mut list = Vec::new();
    for id in said {
        // What is named twice is there once.
        let Some(item) = named.swap_remove(id) else {
            continue;
        };
        if let Some(place) = places.get(id.as_str()) {
            let stood_before =
                |(id, _): &(String, Value)| places.get(id.as_str()).is_some_and(|it| it < place);
            while let Some((_, earlier)) = rest.next_if(stood_before) {
                list.push(earlier);
            }
        }
        list.push(item);
    }
    list.extend(rest.map(|(_, item)| item));
    list.into()
}

/// Refuses a patch that names items in another order than the one that it wishes.
fn follows(said: &[String], wished: &[String]) -> Result<(), Failure> {
    let places: HashMap<&String, usize> = wished.iter().zip(0..).collect();
    let found: Option<Vec<usize>> = said.iter().map(|id| places.get(id).copied()).collect();
    if found.is_some_and(|found| found.is_sorted()) {
        return Ok(());
    }
    Err(Failure::BadRequest(format!(
        "The order in patch list:\n[{}]\n doesn't match $setElementOrder list:\n[{}]\n",
        said.join(" "),
        wished.join(" ")
    )))
}

/// Takes away all that is not to be kept; a patch must keep what it sets.
fn retain(members: &mut Map<String, Value>, part: Part<'_>, change: &Value) -> Result<(), Failure> {
    let wrong = || Failure::BadRequest("invalid patch format of retainKeys".into());
    let kept = change.as_array().ok_or_else(wrong)?;
    let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let mut set = part.named.keys().filter(|key| !key.starts_with('$'));
    if !set.all(|key| kept.contains(key.as_str())) {
        return Err(wrong());
    }
    members.retain(|key, _| kept.contains(key.as_str()));
    Ok(())
}

/// Returns the items that a directive lists.
fn list_of<'v>(directive: &str, value: &'v Value) -> Result<&'v [Value], Failure> {
    let items = value.as_array().map(Vec::as_slice);
    items.ok_or_else(|| {
        Failure::BadRequest(format!("The patch directive {directive:?} must be a list"))
    })
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
                json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "2"}, {"uid": "3"}, {"uid": "1", "name": "y"}], "$setElementOrder/ownerReferences": [{"uid": "3"}, {"uid": "1"}]}}),
                owned(json!([{"uid": "3"}, {"uid": "1", "name": "y"}])),
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
                json!({"metadata": {"finalizers": ["a", "b", "c", "d"]}}),
                json!({"metadata": {"$setElementOrder/finalizers": ["x", "d", "b", "d"], "finalizers": ["x", "d"]}}),
                json!({"metadata": {"finalizers": ["x", "a", "c", "d", "b"]}}),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
                json!({"metadata": {"$setElementOrder/finalizers": ["c", "a"]}}),
                json!({"metadata": {"finalizers": ["b", "c", "a"]}}),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"finalizers": ["x", "a", "x"]}}),
                json!({"metadata": {"finalizers": ["x", "a", "b"]}}),
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
            (json!({"$retainKeys": ["b"], "a": 1}), false),
            (json!({"$setElementOrder/a": 1}), false),
            (
                json!({"metadata": {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["a", "b"]}}),
                false,
            ),
            (
                json!({"metadata": {"$setElementOrder/finalizers": ["b"], "finalizers": ["a"]}}),
                false,
            ),
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
