//! The merge of values, field by field: maps by their keys, lists that are known by the keys of their items, all else as a whole.
//!
//! Nothing fails: what is of different forms in the three versions is merged as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Versions,
    lists::{Key, Lists},
};

type Three<'a> = Versions<&'a Value>;

/// Returns the local value with what upstream changed; nothing if it goes. Where both changed the same, upstream wins.
///
/// What upstream did not change is as it is locally, what is locally as it was is as upstream has it: byte for byte, in the
/// order that it has there.
pub(super) fn merge(three: Three, lists: Lists) -> Option<Value> {
    merge_at(&[], three, lists)
}

/// Returns the merge of what stands at a path of a document, see [`merge`].
pub(super) fn merge_at(path: &[&str], three: Three, lists: Lists) -> Option<Value> {
    let path = path.iter().map(|key| (*key).to_owned()).collect();
    Walk { lists, path }.value(three)
}

/// A way through three values.
struct Walk<'a> {
    lists: Lists<'a>,
    /// The keys of the maps above.
    path: Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, three: Three) -> Option<Value> {
        if let Ok(settled) = three.settled() {
            return settled.cloned();
        }
        // An origin that said nothing here had nothing to lose.
        let origin = three.origin.filter(|value| !value.is_null());
        let three = Versions { origin, ..three };
        if three.present().all(|value| value.is_object()) {
            return self.map(three.map(Value::as_object)).map(Value::Object);
        }
        if three.present().all(|value| value.is_array()) {
            return self.list(three.map(Value::as_array));
        }
        three.updated.cloned()
    }

    fn map(&mut self, three: Versions<&Map<String, Value>>) -> Option<Map<String, Value>> {
        let nothing = Map::new();
        let (local, updated) = (
            three.local.unwrap_or(&nothing),
            three.updated.unwrap_or(&nothing),
        );
        let mut new = self.new_members(three, updated);
        let mut made = Map::new();
        for key in local.keys() {
            if let Some(value) = self.member(three, key) {
                made.insert(key.clone(), value);
            }
            made.extend(new.remove(&Some(key)).unwrap_or_default());
        }
        made.extend(new.remove(&None).unwrap_or_default());
        let stays = three.updated.is_some() && three.local.is_some();
        (stays || !made.is_empty()).then_some(made)
    }

    /// Returns the members that are not there locally, by the local member behind which upstream has them.
    fn new_members<'a>(
        &mut self,
        three: Versions<&'a Map<String, Value>>,
        updated: &'a Map<String, Value>,
    ) -> BTreeMap<Option<&'a String>, Vec<(String, Value)>> {
        let mut new: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut before = None;
        for key in updated.keys() {
            if three.local.is_some_and(|local| local.contains_key(key)) {
                before = Some(key);
            } else if let Some(value) = self.member(three, key) {
                new.entry(before).or_default().push((key.clone(), value));
            }
        }
        new
    }

    fn member(&mut self, three: Versions<&Map<String, Value>>, key: &str) -> Option<Value> {
        self.path.push(key.into());
        let merged = self.value(three.map(|map| map.get(key)));
        self.path.pop();
        merged
    }

    fn list(&mut self, three: Versions<&Vec<Value>>) -> Option<Value> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let keyed = self.lists.key(&path).and_then(|key| Keyed::of(three, key));
        match (keyed, three.updated) {
            (Some(keyed), Some(_)) => self.items(&keyed),
            // A list that upstream dropped goes as a whole, and so does one whose items nobody knows.
            _ => three.updated.map(|list| Value::Array(list.clone())),
        }
    }

    fn items(&mut self, keyed: &Keyed) -> Option<Value> {
        let mut made = Vec::new();
        for name in &keyed.names {
            let item = keyed.item(name);
            let merged = self.value(item);
            made.extend(merged.map(|merged| with_key(merged, item, keyed.key)));
        }
        (!made.is_empty() || keyed.three.local.is_some()).then_some(Value::Array(made))
    }
}

/// Returns an item with what it is known by: something else in it was kept.
fn with_key(mut item: Value, three: Three, key: Key) -> Value {
    let Some(map) = item.as_object_mut() else {
        return item;
    };
    let source = three.local.or(three.updated).and_then(Value::as_object);
    let is_key = |pair: &(&String, &Value)| key.members().contains(&pair.0.as_str());
    for (name, value) in source.into_iter().flatten().filter(is_key) {
        if !map.contains_key(name) && !has_other_program(map, name) {
            map.insert(name.clone(), value.clone());
        }
    }
    item
}

/// Returns whether a function is known by something else already.
fn has_other_program(map: &Map<String, Value>, name: &str) -> bool {
    match name {
        "image" => map.contains_key("exec"),
        "exec" => map.contains_key("image"),
        _ => false,
    }
}

/// Three lists whose items are known.
struct Keyed<'a> {
    three: Versions<&'a Vec<Value>>,
    /// Where the items are, by what they are known by.
    places: Versions<BTreeMap<String, usize>>,
    /// The local items in their order, then those that only upstream has.
    names: Vec<String>,
    key: Key,
}

impl<'a> Keyed<'a> {
    /// Returns them; nothing if an item in one of them is not known.
    fn of(three: Versions<&'a Vec<Value>>, key: Key) -> Option<Self> {
        let names = three.map(|list| key.identities(list));
        if three.present().count() != names.present().count() {
            return None;
        }
        let places = Versions {
            origin: names.origin.as_deref().map(places),
            updated: names.updated.as_deref().map(places),
            local: names.local.as_deref().map(places),
        };
        let is_local = |name: &String| {
            let local = places.local.as_ref();
            local.is_some_and(|places| places.contains_key(name))
        };
        let updated = names.updated.into_iter().flatten();
        let new: Vec<_> = updated.filter(|name| !is_local(name)).collect();
        let names = names.local.into_iter().flatten().chain(new).collect();
        Some(Self {
            three,
            places,
            names,
            key,
        })
    }

    fn item(&self, name: &str) -> Three<'a> {
        let find = |list: Option<&'a Vec<Value>>, places: &Option<BTreeMap<String, usize>>| {
            list?.get(*places.as_ref()?.get(name)?)
        };
        Versions {
            origin: find(self.three.origin, &self.places.origin),
            updated: find(self.three.updated, &self.places.updated),
            local: find(self.three.local, &self.places.local),
        }
    }
}

/// Returns where each name is.
fn places(names: &[String]) -> BTreeMap<String, usize> {
    let numbered = names.iter().enumerate();
    numbered.map(|(at, name)| (name.clone(), at)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const DEPLOYMENT: Lists = Lists::Resource {
        group: "apps",
        kind: "Deployment",
    };

    fn three<'a>(origin: &'a Value, updated: &'a Value, local: &'a Value) -> Three<'a> {
        // Nothing stands for what is missing.
        let there = |value: &'a Value| (value != "-").then_some(value);
        Versions {
            origin: there(origin),
            updated: there(updated),
            local: there(local),
        }
    }

    /// Every row: origin, updated, local, what becomes of them; `-` is nothing.
    fn check(lists: Lists, rows: &Value) {
        for row in rows.as_array().unwrap() {
            let merged = merge(three(&row[0], &row[1], &row[2]), lists);
            assert_eq!(merged.unwrap_or("-".into()), row[3], "{row}");
        }
    }

    #[test]
    fn scalars_and_lists_without_keys_are_merged_as_a_whole() {
        for lists in [
            Lists::Resource {
                group: "x",
                kind: "y",
            },
            DEPLOYMENT,
        ] {
            check(
                lists,
                &json!([
                    [1, 1, 2, 2],
                    [1, 2, 1, 2],
                    [1, 2, 3, 2],
                    [1, "-", 2, "-"],
                    ["-", 2, 3, 2],
                    ["-", "-", 3, 3],
                    ["-", 2, "-", 2],
                    [1, 1, "-", "-"],
                    [1, 2, "-", 2],
                    [1, null, 2, null],
                    [null, null, {"a": 1}, {"a": 1}],
                    [[1], [1], [2], [2]],
                    [[1], [2], [3], [2]],
                    [[1], "-", [1, 2], "-"],
                    [["a"], ["a", "b"], ["a", "c"], ["a", "b"]],
                    [[{"name": "a"}], [{"name": "a"}, {"name": "b"}], [{"name": "c"}], [{"name": "a"}, {"name": "b"}]],
                ]),
            );
        }
    }

    #[test]
    fn maps_are_merged_by_their_keys() {
        check(
            DEPLOYMENT,
            &json!([
                [{"a": 1}, {"a": 2}, {"a": 1, "b": 3}, {"a": 2, "b": 3}],
                [{"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "c": 1}],
                [{"a": 1}, "-", {"a": 1}, "-"],
                [{"a": 1}, "-", {"a": 2, "b": 3}, {"b": 3}],
                [{"a": 1}, "-", {"a": 2}, "-"],
                [{"a": 1, "b": 1}, {"a": 1, "b": 2}, "-", {"b": 2}],
                [{"a": 1}, {"a": 1}, "-", "-"],
                [{"a": 1}, {}, {"a": 2}, {}],
                ["-", {"a": 1}, {"b": 2}, {"a": 1, "b": 2}],
                [null, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}],
                [{"m": {"a": 1}}, {"m": {"a": 2}}, {"m": {"a": 1, "b": {}}}, {"m": {"a": 2, "b": {}}}],
                [{"a": 1}, {"a": [1]}, {"a": {"b": 1}}, {"a": [1]}],
                [{"a": [1]}, {"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}],
            ]),
        );
    }

    #[test]
    fn a_new_key_goes_where_upstream_has_it() {
        let (origin, updated) = (
            json!({"a": 1, "z": 1}),
            json!({"a": 1, "n": 1, "m": 1, "z": 2}),
        );
        let local = json!({"z": 1, "a": 1, "l": 1});
        let merged = merge(three(&origin, &updated, &local), DEPLOYMENT).unwrap();
        let keys: Vec<_> = merged.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["z", "a", "n", "m", "l"]);
    }

    fn containers(containers: &Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn items_are_merged_by_what_they_are_known_by() {
        for (origin, updated, local, want) in [
            (
                json!([{"name": "a", "image": "a:1"}]),
                json!([{"name": "a", "image": "a:2"}, {"name": "b"}]),
                json!([{"name": "mine"}, {"name": "a", "image": "a:1", "args": ["x"]}]),
                json!([{"name": "mine"}, {"name": "a", "image": "a:2", "args": ["x"]}, {"name": "b"}]),
            ),
            // Taken away upstream: goes, unless something of its own was put in.
            (
                json!([{"name": "a", "image": "i"}, {"name": "b"}, {"name": "c"}]),
                json!([{"name": "c"}]),
                json!([{"name": "a", "image": "j"}, {"name": "b", "args": ["x"]}, {"name": "c"}]),
                json!([{"args": ["x"], "name": "b"}, {"name": "c"}]),
            ),
            // Taken away here: stays away, unless upstream changed it.
            (
                json!([{"name": "a", "image": "i", "command": ["1"]}, {"name": "b", "image": "i"}]),
                json!([{"name": "a", "image": "i", "command": ["2"]}, {"name": "b", "image": "i"}, {"name": "c"}]),
                json!([]),
                json!([{"command": ["2"], "name": "a"}, {"name": "c"}]),
            ),
            (
                json!([{"name": "a", "ports": [{"containerPort": 1}]}]),
                json!([{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 2}]}]),
                json!([{"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP"}]}]),
                json!([{"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP"}, {"containerPort": 2}]}]),
            ),
            // One that nobody knows: all as a whole.
            (
                json!([{"name": "a"}]),
                json!([{"name": "a"}, {"name": "b"}]),
                json!([{"name": "a"}, {"image": "x"}]),
                json!([{"name": "a"}, {"name": "b"}]),
            ),
        ] {
            let all = [&origin, &updated, &local].map(containers);
            let merged = merge(three(&all[0], &all[1], &all[2]), DEPLOYMENT);
            assert_eq!(merged, Some(containers(&want)));
        }
        check(
            DEPLOYMENT,
            &json!([[
                {"metadata": {"finalizers": ["a", "b"]}},
                {"metadata": {"finalizers": ["a", "c"]}},
                {"metadata": {"finalizers": ["mine", "b", "a"]}},
                {"metadata": {"finalizers": ["mine", "a", "c"]}},
            ]]),
        );
    }

    /// Values with the words that lists are known by in them.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (0..3).prop_map(Value::from),
            "[ab]".prop_map(Value::from),
        ];
        let key = prop::sample::select(vec!["name", "spec", "containers", "env", "a", "b"]);
        leaf.prop_recursive(4, 24, 3, move |inner| {
            let pairs = prop::collection::vec((key.clone(), inner.clone()), 0..4);
            let map = pairs.prop_map(|pairs| {
                let pairs = pairs.into_iter();
                Value::Object(pairs.map(|(key, value)| (key.to_owned(), value)).collect())
            });
            prop_oneof![
                map,
                prop::collection::vec(inner, 0..3).prop_map(Value::Array)
            ]
        })
    }

    proptest! {
        #[test]
        fn one_that_changed_alone_is_what_comes_out(base in values(), other in values()) {
            for lists in [
                Lists::Resource { group: "", kind: "Pod" },
                Lists::Kptfile { unnamed: true },
            ] {
                let of = |origin, updated, local| merge(three(origin, updated, local), lists);
                prop_assert_eq!(of(&base, &base, &other), Some(other.clone()));
                prop_assert_eq!(of(&base, &other, &base), Some(other.clone()));
                prop_assert_eq!(of(&base, &other, &other), Some(other.clone()));
            }
        }

        #[test]
        fn changes_of_different_keys_both_come_through(
            base in values(), ours in values(), theirs in values(), shared in values(),
        ) {
            let all = |ours: &Value, theirs: &Value| json!({"ours": ours, "theirs": theirs, "shared": shared});
            let (origin, updated, local) = (all(&base, &base), all(&base, &theirs), all(&ours, &base));
            let merged = merge(three(&origin, &updated, &local), DEPLOYMENT);
            prop_assert_eq!(merged, Some(all(&ours, &theirs)));
        }

        #[test]
        fn whatever_comes_in_a_second_merge_changes_nothing(
            base in values(), ours in values(), theirs in values(),
        ) {
            let pod = Lists::Resource { group: "", kind: "Pod" };
            if let Some(merged) = merge(three(&base, &theirs, &ours), pod) {
                // What upstream did is the new origin.
                let again = merge(three(&theirs, &theirs, &merged), pod);
                prop_assert_eq!(again, Some(merged));
            }
        }
    }
}
