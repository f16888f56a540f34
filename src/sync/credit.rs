//! Whose change it was: what a look has found changed is the sync manager's, what a write of files changes of the revision is
//! its writer's, and `managedFields` say so where they are kept. In come they and what Git said before and says now; out go
//! the same with the fields that changed given to whoever changed them. Pure. It never begins to keep what nobody kept so far.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::{Condition, GROUP, Observed, Pairs, ReadinessGate, VERSION};

/// The field manager of everything that Git says and no user wrote here.
pub const SYNC_MANAGER: &str = "porch-sync";

/// A field that changed: the path to it, and what `fieldsV1` says of it if it is still there.
type Change = (Vec<String>, Option<Value>);

/// Whose a change is.
#[derive(Clone, Copy, Debug)]
pub struct Creditor<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// When it was.
    pub now: Timestamp,
}

/// Gives what of a revision changed between two readings of Git to whoever changed it.
pub fn credit(managed: &mut Value, (old, new): (&Observed, &Observed), to: &Creditor<'_>) {
    give(managed, changes(old, new), to);
}

/// Gives files that changed to whoever changed them: each by its path, and whether it is still there.
pub fn credit_files<'a>(
    managed: &mut Value,
    files: impl Iterator<Item = (&'a str, bool)>,
    to: &Creditor<'_>,
) {
    let above = path(&["f:spec", "f:resources"]);
    let changes = files.map(|(file, stays)| {
        let own = below(&above, &format!("f:{file}"));
        (own, stays.then(|| json!({})))
    });
    give(managed, changes.collect(), to);
}

fn give(managed: &mut Value, changes: Vec<Change>, to: &Creditor<'_>) {
    let Some(entries) = managed.as_array_mut() else {
        return;
    };
    if changes.is_empty() {
        return;
    }
    let now = Timestamp::from_second(to.now.as_second()).unwrap_or(to.now);
    for entry in entries.iter_mut() {
        let before = entry["fieldsV1"].clone();
        for (path, _) in &changes {
            forget(&mut entry["fieldsV1"], path);
        }
        if entry["fieldsV1"] != before {
            entry["time"] = now.to_string().into();
        }
    }
    if changes.iter().any(|(_, made)| made.is_some()) {
        let own = own(entries, to.manager, now);
        for (path, made) in changes {
            if let Some(made) = made {
                put(&mut own["fieldsV1"], &path, made);
            }
        }
    }
    entries.retain(|entry| !is_empty(&entry["fieldsV1"]));
}

/// Returns the entry of one who updates.
fn own<'a>(entries: &'a mut Vec<Value>, manager: &str, now: Timestamp) -> &'a mut Value {
    let is_own = |entry: &Value| {
        entry["manager"] == manager
            && entry["operation"] == "Update"
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
    };
    let at = entries.iter().position(is_own);
    let at = at.unwrap_or_else(|| {
        entries.push(json!({
            "manager": manager, "operation": "Update", "apiVersion": format!("{GROUP}/{VERSION}"),
            "fieldsType": "FieldsV1", "fieldsV1": {},
        }));
        entries.len() - 1
    });
    let own = &mut entries[at];
    own["time"] = now.to_string().into();
    own
}

/// Returns the fields of a package revision that differ between two readings.
fn changes(old: &Observed, new: &Observed) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut whole = |name: &str, same: bool| {
        if !same {
            changes.push((path(&["f:spec", name]), Some(json!({}))));
        }
    };
    whole("f:lifecycle", old.lifecycle == new.lifecycle);
    whole("f:revision", old.revision == new.revision);
    whole("f:tasks", old.tasks == new.tasks);
    let (had, has) = (&old.kptfile, &new.kptfile);
    let package = ["f:spec", "f:packageMetadata"];
    changes.extend(pairs(&package, "f:labels", (&had.labels, &has.labels)));
    changes.extend(pairs(
        &package,
        "f:annotations",
        (&had.annotations, &has.annotations),
    ));
    changes.extend(items(
        &["f:spec", "f:readinessGates"],
        (gates(&had.readiness_gates), gates(&has.readiness_gates)),
    ));
    changes.extend(items(
        &["f:status", "f:conditions"],
        (conditions(&had.conditions), conditions(&has.conditions)),
    ));
    changes
}

fn pairs(above: &[&str], name: &str, (old, new): (&Pairs, &Pairs)) -> Vec<Change> {
    let (old, new) = (old.to_map(), new.to_map());
    let mut above = path(above);
    above.push(name.into());
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key));
    changed
        .map(|key| {
            (
                below(&above, &format!("f:{key}")),
                new.get(key).map(|_| json!({})),
            )
        })
        .collect()
}

/// Items of a list, each by the path element that tells it apart.
type Items = BTreeMap<String, Value>;

fn gates(gates: &[ReadinessGate]) -> Items {
    let each = gates.iter().map(|gate| {
        let key = json!({ "conditionType": gate.condition_type });
        (format!("k:{key}"), shown(gate))
    });
    each.collect()
}

fn conditions(conditions: &[Condition]) -> Items {
    let each = conditions.iter().map(|condition| {
        let key = json!({ "type": condition.type_ });
        (format!("k:{key}"), shown(condition))
    });
    each.collect()
}

fn shown(item: &impl Serialize) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

fn items(above: &[&str], (old, new): (Items, Items)) -> Vec<Change> {
    let above = path(above);
    let mut changes = Vec::new();
    for (element, was) in &old {
        if !new.contains_key(element) {
            changes.push((below(&above, element), None));
        } else if let (Some(had), Some(has)) = (was.as_object(), new[element].as_object()) {
            let own = below(&above, element);
            let members: BTreeSet<&String> = had.keys().chain(has.keys()).collect();
            let renewed = members
                .into_iter()
                .filter(|name| had.get(*name) != has.get(*name));
            changes.extend(renewed.map(|name| {
                let made = has.get(name).map(|_| json!({}));
                (below(&own, &format!("f:{name}")), made)
            }));
        }
    }
    let added = new
        .iter()
        .filter(|(element, _)| !old.contains_key(*element));
    changes.extend(added.map(|(element, item)| (below(&above, element), Some(made_of(item)))));
    changes
}

/// Returns what `fieldsV1` says of an item and all its members.
fn made_of(item: &Value) -> Value {
    let names = item.as_object().into_iter().flatten();
    let members = names.map(|(name, _)| (format!("f:{name}"), json!({})));
    let own = (".".to_owned(), json!({}));
    Value::Object(std::iter::once(own).chain(members).collect())
}

fn path(elements: &[&str]) -> Vec<String> {
    elements.iter().map(|element| (*element).into()).collect()
}

fn below(path: &[String], element: &str) -> Vec<String> {
    let mut path = path.to_vec();
    path.push(element.into());
    path
}

fn is_empty(fields: &Value) -> bool {
    fields.as_object().is_none_or(Map::is_empty)
}

/// Takes away what is at and below a path, and what is empty then above it.
fn forget(fields: &mut Value, path: &[String]) {
    let (Some(members), Some((first, rest))) = (fields.as_object_mut(), path.split_first()) else {
        return;
    };
    if rest.is_empty() {
        members.shift_remove(first);
        return;
    }
    let Some(next) = members.get_mut(first).filter(|next| !is_empty(next)) else {
        return;
    };
    forget(next, rest);
    if is_empty(next) {
        members.shift_remove(first);
    }
}

/// Puts what is said of a field in its place.
fn put(fields: &mut Value, path: &[String], made: Value) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let mut at = fields;
    for element in above {
        at = &mut at[element.as_str()];
    }
    at[last.as_str()] = made;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Lifecycle;

    fn condition(type_: &str, status: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            ..Condition::default()
        }
    }

    fn observed(
        lifecycle: Lifecycle,
        labels: &[(&str, &str)],
        conditions: &[Condition],
    ) -> Observed {
        let mut observed = Observed {
            lifecycle,
            ..Observed::default()
        };
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let labels: BTreeMap<String, String> = labels.collect();
        observed.kptfile.labels = serde_json::from_value(json!(labels)).unwrap();
        observed.kptfile.conditions = conditions.to_vec();
        observed
    }

    #[test]
    fn what_changed_in_git_changes_hands() {
        let old = observed(
            Lifecycle::Draft,
            &[("a", "1"), ("b", "1"), ("gone", "1")],
            &[condition("x", "True"), condition("y", "True")],
        );
        let new = observed(
            Lifecycle::Proposed,
            &[("a", "1"), ("b", "2"), ("new", "1")],
            &[condition("x", "False"), condition("z", "True")],
        );
        let labels = json!({ "f:a": {}, "f:b": {}, "f:gone": {} });
        let entry = |manager: &str, fields: Value| json!({ "manager": manager, "operation": "Apply", "time": "then", "fieldsV1": fields });
        let mut managed = json!([
            entry(
                "all",
                json!({ "f:spec": { "f:lifecycle": {}, "f:repository": {}, "f:packageMetadata": { "f:labels": labels } } })
            ),
            entry("life", json!({ "f:spec": { "f:lifecycle": {} } })),
            entry(
                "x",
                json!({ "f:status": { "f:conditions": { "k:{\"type\":\"x\"}": { ".": {}, "f:type": {}, "f:status": {} }, "k:{\"type\":\"y\"}": { ".": {}, "f:type": {} } } } })
            ),
            entry(
                "other",
                json!({ "f:metadata": { "f:labels": { "f:mine": {} } } })
            ),
        ]);
        let stranger = |seconds| Creditor {
            manager: SYNC_MANAGER,
            now: Timestamp::from_second(seconds).unwrap(),
        };
        credit(&mut managed, (&old, &new), &stranger(60));
        let entries = managed.as_array().unwrap();
        let told: Vec<_> = entries
            .iter()
            .map(|entry| {
                (
                    entry["manager"].as_str().unwrap(),
                    entry["time"].as_str().unwrap(),
                    &entry["fieldsV1"],
                )
            })
            .collect();
        let at = "1970-01-01T00:01:00Z";
        assert_eq!(
            told,
            [
                (
                    "all",
                    at,
                    &json!({ "f:spec": { "f:repository": {}, "f:packageMetadata": { "f:labels": { "f:a": {} } } } })
                ),
                (
                    "x",
                    at,
                    &json!({ "f:status": { "f:conditions": { "k:{\"type\":\"x\"}": { ".": {}, "f:type": {} } } } })
                ),
                (
                    "other",
                    "then",
                    &json!({ "f:metadata": { "f:labels": { "f:mine": {} } } })
                ),
                (
                    SYNC_MANAGER,
                    at,
                    &json!({
                        "f:spec": { "f:lifecycle": {}, "f:packageMetadata": { "f:labels": { "f:b": {}, "f:new": {} } } },
                        "f:status": { "f:conditions": {
                            "k:{\"type\":\"x\"}": { "f:status": {} },
                            "k:{\"type\":\"z\"}": { ".": {}, "f:type": {}, "f:status": {} },
                        } },
                    })
                ),
            ]
        );
        let before = managed.clone();
        credit(&mut managed, (&new, &new), &stranger(90));
        assert_eq!(managed, before, "what did not change is nobody's doing");
    }

    #[test]
    fn what_nobody_keeps_is_not_begun() {
        let (old, new) = (Observed::default(), observed(Lifecycle::Proposed, &[], &[]));
        let mut managed = Value::Null;
        let stranger = Creditor {
            manager: SYNC_MANAGER,
            now: Timestamp::UNIX_EPOCH,
        };
        credit(&mut managed, (&old, &new), &stranger);
        assert_eq!(managed, Value::Null);
    }
}
