//! Who owns which field of an object: its `managedFields`.
//!
//! In come the entries of an object and what somebody did to it; out come the entries after it. Pure. It must not change
//! an entry's time unless its fields changed: an apply that changes nothing is no write.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::fields::Fields;
use crate::apiserver::{Cause, Failure};

/// How many entries of plain updates are kept apart (kube-apiserver's limit).
const MOST_UPDATES: usize = 10;
/// The owner of what the oldest of too many updates set.
const ANCIENT: &str = "ancient-changes";

/// One who owns fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The field manager.
    pub manager: String,
    /// Whether it applies, or merely updates.
    pub applies: bool,
    /// Where it writes: empty, or `status`.
    pub subresource: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    owner: Owner,
    api_version: String,
    time: Value,
    fields: Fields,
}

/// Who owns which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    entries: Vec<Entry>,
}

impl Owners {
    /// Returns what `managedFields` says.
    #[must_use]
    pub fn parse(value: &Value) -> Self {
        let entries = value.as_array().into_iter().flatten();
        Self {
            entries: entries.filter_map(entry).collect(),
        }
    }

    /// Returns `managedFields`: those who apply first, then by time and name.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut entries: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| !entry.fields.is_empty())
            .collect();
        entries.sort_by(|one, other| order(one, other));
        entries.into_iter().map(Entry::to_json).collect()
    }

    /// Says in an object's metadata who owns what.
    pub fn write(&self, metadata: &mut Map<String, Value>) {
        match self.to_json() {
            Value::Array(entries) if entries.is_empty() => metadata.shift_remove("managedFields"),
            entries => metadata.insert("managedFields".into(), entries),
        };
    }

    /// Returns whether nobody owns anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns what an owner owns.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> Fields {
        let found = self.entries.iter().find(|entry| entry.owner == *owner);
        found.map(|entry| entry.fields.clone()).unwrap_or_default()
    }

    /// Returns what everybody else owns.
    #[must_use]
    pub fn of_others(&self, owner: &Owner) -> Fields {
        let mut all = Fields::default();
        for entry in self.entries.iter().filter(|entry| entry.owner != *owner) {
            all.add(&entry.fields);
        }
        all
    }

    /// Gives everything that is there to one who updated it.
    pub fn begin(&mut self, manager: &str, (fields, api_version): (Fields, &str), now: &Value) {
        let owner = Owner {
            manager: manager.into(),
            applies: false,
            subresource: String::new(),
        };
        self.put(owner, fields, api_version, now);
    }

    /// Takes fields away from everybody but `owner`.
    pub fn take(&mut self, fields: &Fields, owner: &Owner, now: &Value) {
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.owner != *owner)
        {
            entry.lose(fields, now);
        }
    }

    /// Takes fields away from everybody: they are gone.
    pub fn drop_all(&mut self, fields: &Fields, now: &Value) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.lose(fields, now));
    }

    /// Adds to what an owner owns; an oldest owner among too many becomes one of the past.
    pub fn add(&mut self, owner: Owner, fields: &Fields, api_version: &str, now: &Value) {
        let mut all = self.of(&owner);
        all.add(fields);
        self.put(owner, all, api_version, now);
        self.limit();
    }

    /// Says what an owner owns from now on.
    pub fn put(&mut self, owner: Owner, fields: Fields, api_version: &str, now: &Value) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.owner == owner) {
            if entry.fields != fields {
                entry.fields = fields;
                entry.time = now.clone();
                api_version.clone_into(&mut entry.api_version);
            }
            return;
        }
        self.entries.push(Entry {
            owner,
            api_version: api_version.into(),
            time: now.clone(),
            fields,
        });
    }

    fn limit(&mut self) {
        self.entries.retain(|entry| !entry.fields.is_empty());
        while self
            .entries
            .iter()
            .filter(|entry| !entry.owner.applies)
            .count()
            > MOST_UPDATES
        {
            let updates = self
                .entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| !entry.owner.applies && entry.owner.manager != ANCIENT);
            let Some(oldest) = updates
                .min_by(|one, other| order(one.1, other.1))
                .map(|found| found.0)
            else {
                return;
            };
            let mut old = self.entries.remove(oldest);
            old.owner.manager = ANCIENT.into();
            let mut fields = self.of(&old.owner);
            fields.add(&old.fields);
            self.put(old.owner, fields, &old.api_version, &old.time);
        }
    }

    /// Returns the failure of an apply that would change fields of others; nothing if it changes none.
    #[must_use]
    pub fn conflict(&self, owner: &Owner, changed: &Fields) -> Option<Failure> {
        let others = self.entries.iter().filter(|entry| entry.owner != *owner);
        let met: Vec<(String, Vec<String>)> = others
            .map(|entry| (entry.described(), entry.fields.common(changed).paths()))
            .filter(|(_, paths)| !paths.is_empty())
            .collect();
        let causes: Vec<Cause> = met
            .iter()
            .flat_map(|(who, paths)| paths.iter().map(move |path| cause(who, path)))
            .collect();
        if causes.is_empty() {
            return None;
        }
        let message = match met.as_slice() {
            [(who, paths)] if paths.len() == 1 => format!(
                "Apply failed with 1 conflict: conflict with {who}: {}",
                paths[0]
            ),
            several => {
                let parts: Vec<String> = several
                    .iter()
                    .map(|(who, paths)| format!("conflicts with {who}:\n- {}", paths.join("\n- ")))
                    .collect();
                format!(
                    "Apply failed with {} conflicts: {}",
                    causes.len(),
                    parts.join("\n")
                )
            }
        };
        Some(Failure::ApplyConflict { message, causes })
    }
}

fn cause(who: &str, path: &str) -> Cause {
    Cause {
        reason: "FieldManagerConflict".into(),
        message: format!("conflict with {who}"),
        field: path.into(),
    }
}

impl Entry {
    fn lose(&mut self, fields: &Fields, now: &Value) {
        let before = self.fields.clone();
        self.fields.subtract(fields);
        if self.fields != before {
            self.time = now.clone();
        }
    }

    fn described(&self) -> String {
        let mut text = format!("{:?}", self.owner.manager);
        if !self.owner.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.owner.subresource);
        }
        if self.owner.applies {
            return text;
        }
        format!("{text} using {}", self.api_version)
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.owner.manager, "operation": if self.owner.applies { "Apply" } else { "Update" },
            "apiVersion": self.api_version, "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.owner.subresource.is_empty() {
            entry["subresource"] = self.owner.subresource.as_str().into();
        }
        entry
    }
}

fn entry(value: &Value) -> Option<Entry> {
    let text = |key: &str| value[key].as_str().unwrap_or("").to_owned();
    let fields = value.get("fieldsV1")?;
    let owner = Owner {
        manager: text("manager"),
        applies: value["operation"] == "Apply",
        subresource: text("subresource"),
    };
    Some(Entry {
        owner,
        api_version: text("apiVersion"),
        time: value["time"].clone(),
        fields: Fields::parse(fields),
    })
}

fn order(one: &Entry, other: &Entry) -> Ordering {
    let key = |entry: &Entry| {
        let time = entry.time.as_str().unwrap_or("").to_owned();
        (
            !entry.owner.applies,
            time,
            entry.owner.manager.clone(),
            entry.api_version.clone(),
            entry.owner.subresource.clone(),
        )
    };
    key(one).cmp(&key(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_oldest_of_too_many_updates_set_becomes_ancient() {
        let owner = |manager: String, applies: bool| Owner {
            manager,
            applies,
            subresource: String::new(),
        };
        let mut owners = Owners::default();
        let field = |name: &str| Fields::parse(&json!({ format!("f:{name}"): {} }));
        owners.put(
            owner("applier".into(), true),
            field("mine"),
            "v1",
            &"".into(),
        );
        for number in 0..12 {
            let time = format!("2030-01-01T00:00:{number:02}Z").into();
            let manager = owner(format!("m{number}"), false);
            owners.add(manager, &field(&number.to_string()), "v1", &time);
        }
        let told = owners.to_json();
        let managers = told.as_array().unwrap().iter();
        let managers: Vec<&str> = managers.filter_map(|it| it["manager"].as_str()).collect();
        let newest = ["m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11"];
        assert_eq!(managers[..2], ["applier", ANCIENT]);
        assert_eq!(managers[2..], newest);
        assert_eq!(
            told[1]["fieldsV1"],
            json!({ "f:0": {}, "f:1": {}, "f:2": {} })
        );
    }
}
