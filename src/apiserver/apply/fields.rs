//! Sets of fields, as `managedFields` has them, and what server-side apply does with values by their schema.
//!
//! In come values and schemas; out go the fields that a value sets, the fields in which two values differ, a value with
//! another's fields merged in, a value without some of its fields. Pure. It must not know who owns what.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::apiserver::{List, Shape};

/// A set of fields: a tree of path elements as `fieldsV1` writes them (`f:name`, `k:{"type":"Ready"}`, `v:"a"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Whether the field itself is a member, not only what is below it.
    own: bool,
    below: BTreeMap<String, Fields>,
}

impl Fields {
    /// Returns the set that `fieldsV1` says.
    #[must_use]
    pub fn parse(value: &Value) -> Self {
        let members = value.as_object();
        let below: BTreeMap<_, _> = members
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != ".")
            .map(|(key, value)| (key.clone(), Self::parse(value)))
            .collect();
        let own = below.is_empty() || value.get(".").is_some();
        Self { own, below }
    }

    /// Returns the set as `fieldsV1`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let own = (self.own && !self.below.is_empty())
            .then(|| (".".to_owned(), Value::Object(Map::new())));
        let below = self
            .below
            .iter()
            .map(|(key, fields)| (key.clone(), fields.to_json()));
        Value::Object(own.into_iter().chain(below).collect())
    }

    /// Returns whether there is no field in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    /// Returns the fields at and below one element of the set.
    #[must_use]
    pub fn at(&self, element: &str) -> Option<&Self> {
        self.below.get(element)
    }

    /// Puts fields at one element of the set.
    pub fn put(&mut self, element: &str, fields: Self) {
        if !fields.is_empty() {
            self.below.insert(element.to_owned(), fields);
        }
    }

    /// Adds another set's fields.
    pub fn add(&mut self, other: &Self) {
        self.own |= other.own;
        for (key, fields) in &other.below {
            self.below.entry(key.clone()).or_default().add(fields);
        }
    }

    /// Takes another set's fields away.
    pub fn subtract(&mut self, other: &Self) {
        self.own &= !other.own;
        for (key, fields) in &other.below {
            if let Some(mine) = self.below.get_mut(key) {
                mine.subtract(fields);
                if mine.is_empty() {
                    self.below.remove(key);
                }
            }
        }
    }

    /// Returns the fields that are in both sets.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let both = self.below.iter().filter_map(|(key, mine)| {
            let common = mine.common(other.below.get(key)?);
            (!common.is_empty()).then(|| (key.clone(), common))
        });
        Self {
            own: self.own && other.own,
            below: both.collect(),
        }
    }

    /// Takes away what is at an element, and nothing below it.
    pub fn disown(&mut self, element: &str) {
        if let Some(below) = self.below.get_mut(element) {
            below.own = false;
            if below.is_empty() {
                self.below.remove(element);
            }
        }
    }

    /// Takes away what is at and below a path.
    pub fn forget(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::default();
            return;
        };
        if let Some(below) = self.below.get_mut(*first) {
            below.forget(rest);
            if below.is_empty() {
                self.below.remove(*first);
            }
        }
    }

    /// Returns every field of the set as people read it: `.spec.git.repo`, `.items[name="a"].value`.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk("", &mut paths);
        paths
    }

    fn walk(&self, path: &str, paths: &mut Vec<String>) {
        if self.own && !path.is_empty() {
            paths.push(path.to_owned());
        }
        for (key, fields) in &self.below {
            fields.walk(&format!("{path}{}", readable(key)), paths);
        }
    }

    fn leaf() -> Self {
        Self {
            own: true,
            below: BTreeMap::new(),
        }
    }
}

fn readable(element: &str) -> String {
    let (kind, rest) = element.split_at_checked(2).unwrap_or(("", element));
    match (kind, serde_json::from_str::<Value>(rest)) {
        ("k:", Ok(Value::Object(keys))) => {
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        ("v:", Ok(value)) => format!("[={value}]"),
        _ => format!(".{rest}"),
    }
}

/// A value's parts that have owners of their own, each by its path element. Nothing if the value is one.
fn parts<'a>(value: &'a Value, schema: Option<&Shape>) -> Option<Vec<(String, &'a Value)>> {
    match value {
        Value::Object(members) if schema.is_none_or(|schema| !schema.atomic) => Some(
            members
                .iter()
                .map(|(name, value)| (format!("f:{name}"), value))
                .collect(),
        ),
        Value::Array(items) => items
            .iter()
            .map(|item| Some((item_element(item, schema?)?, item)))
            .collect(),
        _ => None,
    }
}

/// Returns the path element of a list's item; nothing if the list is one value.
fn item_element(item: &Value, list: &Shape) -> Option<String> {
    match &list.list {
        List::Atomic => None,
        List::Set => Some(format!("v:{item}")),
        List::Map(keys) => {
            let keys: BTreeMap<&String, &Value> = keys
                .iter()
                .map(|key| Some((key, item.get(key)?)))
                .collect::<Option<_>>()?;
            serde_json::to_string(&keys)
                .ok()
                .map(|keys| format!("k:{keys}"))
        }
    }
}

/// Returns the schema of a part.
fn below<'a>(schema: Option<&'a Shape>, element: &str) -> Option<&'a Shape> {
    match element.strip_prefix("f:") {
        Some(name) => schema?.member(name),
        None => schema?.items.as_deref(),
    }
}

/// Returns whether a part is a member that the schema names.
fn is_named(element: &str, schema: Option<&Shape>) -> bool {
    let name = element.strip_prefix("f:").unwrap_or_default();
    schema.is_some_and(|schema| schema.properties.contains_key(name))
}

/// Returns the fields that a value sets. What only holds others is no field of its own, unless it is an item of a list or a
/// member that the schema does not name, or it holds nothing.
#[must_use]
pub fn set_by(value: &Value, schema: Option<&Shape>) -> Fields {
    let Some(parts) = parts(value, schema) else {
        return Fields::leaf();
    };
    if parts.is_empty() && value.is_object() {
        return Fields::leaf();
    }
    let item = value.is_array();
    let named = |element: &str| is_named(element, schema);
    let below = parts.into_iter().map(|(element, part)| {
        let mut fields = set_by(part, below(schema, &element));
        let empty = part.as_array().is_some_and(Vec::is_empty);
        fields.own |= item || !named(&element) && !empty;
        (element, fields)
    });
    Fields {
        own: false,
        below: below.filter(|(_, fields)| !fields.is_empty()).collect(),
    }
}

/// Returns everything that a value is made of: its fields, and all that only holds others.
#[must_use]
pub fn made_of(value: &Value, schema: Option<&Shape>) -> Fields {
    let parts = parts(value, schema).unwrap_or_default();
    let below = parts.into_iter().map(|(element, part)| {
        let fields = made_of(part, below(schema, &element));
        (element, fields)
    });
    Fields {
        own: true,
        below: below.collect(),
    }
}

/// Returns the fields that are new or other in `new`, and all that is new and only holds others.
#[must_use]
pub fn changed(old: &Value, new: &Value, schema: Option<&Shape>) -> Fields {
    if old == new {
        return Fields::default();
    }
    let (Some(before), Some(after)) = (parts(old, schema), parts(new, schema)) else {
        return made_of(new, schema);
    };
    let before: BTreeMap<String, &Value> = before.into_iter().collect();
    let below = after.into_iter().filter_map(|(element, value)| {
        let schema = below(schema, &element);
        let fields = match before.get(&element) {
            Some(was) => changed(was, value, schema),
            None => made_of(value, schema),
        };
        (!fields.is_empty()).then_some((element, fields))
    });
    Fields {
        own: false,
        below: below.collect(),
    }
}

/// Merges what `patch` sets into `value`.
pub fn merge(value: &mut Value, patch: &Value, schema: Option<&Shape>) {
    match (&mut *value, patch) {
        (Value::Object(members), Value::Object(changes))
            if schema.is_none_or(|schema| !schema.atomic) =>
        {
            for (name, change) in changes {
                match members.get_mut(name) {
                    Some(member) => merge(
                        member,
                        change,
                        schema.and_then(|schema| schema.member(name)),
                    ),
                    None => drop(members.insert(name.clone(), change.clone())),
                }
            }
        }
        (Value::Array(items), Value::Array(changes)) => match schema {
            Some(list)
                if changes
                    .iter()
                    .all(|item| item_element(item, list).is_some())
                    && list.list != List::Atomic =>
            {
                merge_items(items, changes, list);
            }
            _ => *value = patch.clone(),
        },
        _ => *value = patch.clone(),
    }
}

/// Merges items by what tells them apart. The order of those that are in both is that of `changes`; the others keep their
/// places among them, as far as that goes (the order of structured-merge-diff).
fn merge_items(items: &mut Vec<Value>, changes: &[Value], list: &Shape) {
    let element = |item: &Value| item_element(item, list);
    let old: Vec<(Option<String>, Value)> =
        items.drain(..).map(|item| (element(&item), item)).collect();
    let new: Vec<Option<String>> = changes.iter().map(element).collect();
    let mut places = HashMap::new();
    for (place, (element, _)) in old.iter().enumerate() {
        places.entry(element).or_insert(place);
    }
    let known = |element: &Option<String>| places.get(element).copied();
    let named: HashSet<&Option<String>> = new.iter().collect();
    let mut shared = new
        .iter()
        .filter(|element| known(element).is_some())
        .peekable();
    let (mut left, mut right) = (0, 0);
    while left < old.len() || right < new.len() {
        if let Some((element, item)) = old.get(left) {
            if !named.contains(element) {
                items.push(item.clone());
                left += 1;
                continue;
            }
            let next = shared.peek().is_some_and(|next| *next == element);
            if !next || right >= new.len() {
                // It comes where the other order has it.
                left += 1;
                continue;
            }
            left += usize::from(new.get(right) == Some(element));
        }
        let Some(element) = new.get(right) else {
            continue;
        };
        let mut item = known(element).map_or(Value::Null, |place| old[place].1.clone());
        merge(&mut item, &changes[right], list.items.as_deref());
        items.push(item);
        if shared.peek().is_some_and(|next| *next == element) {
            shared.next();
        }
        right += 1;
    }
}

/// Returns what is wrong with the lists in a value whose items must be told apart, in the words of structured-merge-diff.
#[must_use]
pub fn faults(value: &Value, schema: Option<&Shape>) -> Vec<String> {
    let mut found = Vec::new();
    find_faults(value, schema, "", &mut found);
    found
}

fn find_faults(value: &Value, schema: Option<&Shape>, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let schema = schema.and_then(|schema| schema.member(name));
                find_faults(member, schema, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            let Some(list) = schema.filter(|list| list.list != List::Atomic) else {
                return;
            };
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let Some(element) = item_element(item, list) else {
                    let keys = match &list.list {
                        List::Map(keys) => keys.join("\", \""),
                        _ => String::new(),
                    };
                    let why = format!(
                        "associative list with keys has an element that omits all key fields [\"{keys}\"] (and doesn't have default values for any key fields)"
                    );
                    found.push(format!("{path}: element {index}: {why}"));
                    continue;
                };
                let readable = readable(&element);
                find_faults(
                    item,
                    list.items.as_deref(),
                    &format!("{path}{readable}"),
                    found,
                );
                if !seen.insert(element) {
                    found.push(format!("{path}: duplicate entries for key {readable}"));
                }
            }
        }
        _ => {}
    }
}

/// Takes from `value` what is in `gone` and in nothing that is `kept`; returns whether the value itself is to go.
pub fn prune(value: &mut Value, gone: &Fields, kept: &Fields, schema: Option<&Shape>) -> bool {
    if gone.own && kept.is_empty() {
        return true;
    }
    let nothing = Fields::default();
    let part = |element: &str, part: &mut Value, schema: Option<&Shape>| {
        let kept = kept.at(element).unwrap_or(&nothing);
        let gone = gone.at(element);
        // An entry goes with all that is in it; only members that the schema names are there by themselves.
        let entry = gone.is_some_and(|gone| gone.own && !kept.own) && !is_named(element, schema);
        entry || gone.is_some_and(|gone| prune(part, gone, kept, below(schema, element)))
    };
    let before = length(value);
    match value {
        Value::Object(members) => {
            members.retain(|name, member| !part(&format!("f:{name}"), member, schema));
        }
        Value::Array(items) => {
            let element = |item: &Value| schema.and_then(|list| item_element(item, list));
            items.retain_mut(|item| {
                element(item).is_none_or(|element| !part(&element, item, schema))
            });
        }
        _ => {}
    }
    before > 0 && length(value) == 0 && kept.is_empty()
}

fn length(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Shape {
        Shape::parse(&json!({
            "type": "object",
            "properties": {
                "spec": {"type": "object", "properties": {"a": {"type": "string"}, "list": {"type": "array", "items": {"type": "integer"}}}},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "keyed": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                    "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
                },
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_fields_that_a_value_sets_are_written_as_kubernetes_does() {
        let value = json!({
            "spec": {"a": "x", "list": [1, 2]}, "set": ["p"], "keyed": [{"type": "R", "status": "T"}], "map": {"k/b": "v"},
        });
        let fields = set_by(&value, Some(&schema()));
        let written = json!({
            "f:spec": {"f:a": {}, "f:list": {}}, "f:set": {"v:\"p\"": {}},
            "f:keyed": {"k:{\"type\":\"R\"}": {".": {}, "f:status": {}, "f:type": {}}}, "f:map": {"f:k/b": {}},
        });
        assert_eq!(fields.to_json(), written);
        assert_eq!(Fields::parse(&written), fields);
        assert_eq!(
            fields.paths()[..2],
            [".keyed[type=\"R\"]", ".keyed[type=\"R\"].status"]
        );
    }

    #[test]
    fn elements_that_are_none_are_readable_all_the_same() {
        for (element, path) in [
            ("a\u{e9}", ".a\u{e9}"),
            ("x", ".x"),
            ("k:{", ".{"),
            ("f:\u{e9}", ".\u{e9}"),
        ] {
            let fields = Fields::parse(&json!({ element: {} }));
            assert_eq!(fields.paths(), [path]);
        }
    }

    #[test]
    fn only_what_is_new_or_other_has_changed() {
        let schema = schema();
        for (old, new, paths) in [
            (
                json!({"spec": {"a": "x"}}),
                json!({"spec": {"a": "x"}}),
                vec![],
            ),
            (
                json!({"spec": {"a": "x"}}),
                json!({"spec": {"a": "y"}}),
                vec![".spec.a"],
            ),
            (
                json!({"spec": {"list": [1]}}),
                json!({"spec": {"list": [2]}}),
                vec![".spec.list"],
            ),
            (
                json!({"set": ["p"]}),
                json!({"set": ["p", "q"]}),
                vec![".set[=\"q\"]"],
            ),
            (
                json!({"keyed": [{"type": "A", "status": "T"}]}),
                json!({"keyed": [{"type": "A", "status": "F"}]}),
                vec![".keyed[type=\"A\"].status"],
            ),
            (
                json!({"map": {"a": "1", "b": "2"}}),
                json!({"map": {"a": "1"}}),
                vec![],
            ),
        ] {
            assert_eq!(changed(&old, &new, Some(&schema)).paths(), paths, "{new}");
        }
    }

    #[test]
    fn a_merge_keeps_what_the_patch_does_not_say() {
        let mut value = json!({"spec": {"a": "x", "list": [1]}, "set": ["p"], "keyed": [{"type": "A", "status": "T"}, {"type": "B"}]});
        let patch = json!({"spec": {"list": [2]}, "set": ["q"], "keyed": [{"type": "A", "status": "F"}, {"type": "C"}]});
        merge(&mut value, &patch, Some(&schema()));
        assert_eq!(
            value,
            json!({
                "spec": {"a": "x", "list": [2]}, "set": ["p", "q"],
                "keyed": [{"type": "A", "status": "F"}, {"type": "B"}, {"type": "C"}],
            })
        );
    }

    #[test]
    fn items_are_merged_in_an_order_that_both_sides_know() {
        let schema = Shape::parse(&json!({"type": "array", "x-kubernetes-list-type": "set"}));
        let schema = schema.unwrap();
        for (old, new, merged) in [
            ("ab", "c", "abc"),
            ("ab", "ca", "cab"),
            ("ba", "ab", "ab"),
            ("abcd", "db", "acdb"),
            ("abc", "", "abc"),
            ("", "ab", "ab"),
            ("axb", "bya", "xbya"),
        ] {
            let letters = |text: &str| -> Value { text.chars().map(String::from).collect() };
            let mut value = letters(old);
            merge(&mut value, &letters(new), Some(&schema));
            let found: String = value
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(found, merged, "{old} and {new}");
        }
    }

    #[test]
    fn items_that_cannot_be_told_apart_are_named() {
        for (value, told) in [
            (json!({"set": ["a", "b"]}), ""),
            (
                json!({"set": ["a", "a"]}),
                ".set: duplicate entries for key [=\"a\"]",
            ),
            (
                json!({"keyed": [{"type": "A"}, {"type": "A"}]}),
                ".keyed: duplicate entries for key [type=\"A\"]",
            ),
            (
                json!({"keyed": [{"status": "T"}]}),
                ".keyed: element 0: associative list with keys has an element that omits all key fields [\"type\"] (and doesn't have default values for any key fields)",
            ),
        ] {
            assert_eq!(faults(&value, Some(&schema())).join(""), told, "{value}");
        }
    }

    #[test]
    fn what_nobody_keeps_is_pruned_with_the_parents_that_only_held_it() {
        let schema = schema();
        let fields = |value: Value| set_by(&value, Some(&schema));
        let mut value = json!({"spec": {"a": "x"}, "map": {"a": "1", "b": "2"}, "keyed": [{"type": "A"}, {"type": "B"}], "set": ["p", "q"]});
        let gone = fields(
            json!({"spec": {"a": "x"}, "map": {"a": "1", "b": "2"}, "keyed": [{"type": "A"}], "set": ["p"]}),
        );
        let kept = fields(json!({"map": {"b": "2"}}));
        assert!(!prune(&mut value, &gone, &kept, Some(&schema)));
        assert_eq!(
            value,
            json!({"map": {"b": "2"}, "keyed": [{"type": "B"}], "set": ["q"]})
        );
    }

    #[test]
    fn an_item_goes_whole_with_the_last_who_wants_it_to_be_there() {
        let schema = schema();
        let gone = set_by(&json!({"keyed": [{"type": "A"}]}), Some(&schema));
        for (kept, left) in [
            (json!({"f:status": {}}), json!({"keyed": []})),
            (
                json!({".": {}, "f:status": {}, "f:type": {}}),
                json!({"keyed": [{"type": "A", "status": "T"}]}),
            ),
        ] {
            let mut value = json!({"keyed": [{"type": "A", "status": "T"}]});
            let kept = Fields::parse(&json!({"f:keyed": {"k:{\"type\":\"A\"}": kept}}));
            prune(&mut value, &gone, &kept, Some(&schema));
            assert_eq!(value, left);
        }
    }
}
