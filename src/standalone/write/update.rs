//! An object in place of what is there.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Deed, admit::Origin};
use crate::{
    apiserver::{Failure, FieldError, Written},
    standalone::{
        Object,
        object::{metadata_mut, text},
    },
};

/// What stays as it is, whatever the caller says.
const KEPT: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
];

impl Deed<'_, '_> {
    /// Puts the object in the request's body in place of what is there.
    pub(super) fn update(&mut self) -> Result<Written, Failure> {
        let value = self.decode()?;
        let live = self.live()?;
        let unconditional = text(&value, "/metadata/resourceVersion").is_empty();
        if unconditional && self.definition.custom {
            return Err(Failure::Invalid {
                subject: self.definition.subject(&self.write.name),
                errors: vec![FieldError::unversioned()],
            });
        }
        self.replace(&live, &live.value(), value, Origin::Body)
    }

    /// Puts `value` in place of `live`, which reads `before`, as far as the request may.
    pub(super) fn replace(
        &mut self,
        live: &Arc<Object>,
        before: &Value,
        mut value: Value,
        origin: Origin,
    ) -> Result<Written, Failure> {
        self.check_identity(before, &mut value)?;
        self.keep(before, &mut value);
        self.admit(&mut value, origin)?;
        self.keep_half(before, &mut value);
        self.check_finalizers(before, &value)?;
        self.check(&value, Some(before))?;
        self.track(Some(before), &mut value);
        Ok(Written::Updated(
            self.settle(live, before, value).body().clone(),
        ))
    }

    /// Refuses an object that is not the one asked for, or not as it is now.
    fn check_identity(&self, before: &Value, value: &mut Value) -> Result<(), Failure> {
        let asked = &self.write.name;
        match text(value, "/metadata/name") {
            "" => {
                return Err(Failure::BadRequest(format!(
                    "the name of the object ({asked} based on URL) was undeterminable: name must be provided"
                )));
            }
            name if name != asked => {
                return Err(Failure::BadRequest(format!(
                    "the name of the object ({name}) does not match the name on the URL ({asked})"
                )));
            }
            _ => {}
        }
        self.place(value)?;
        self.check_precondition(before, text(value, "/metadata/uid"))?;
        let version = text(value, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(before, "/metadata/resourceVersion") {
            return Err(Failure::modified(self.definition.subject(asked)));
        }
        Ok(())
    }

    /// Refuses a deed that is meant for another object of the same name.
    pub(super) fn check_precondition(&self, before: &Value, uid: &str) -> Result<(), Failure> {
        let own = text(before, "/metadata/uid");
        if uid.is_empty() || uid == own {
            return Ok(());
        }
        Err(Failure::Conflict {
            subject: self.definition.subject(&self.write.name),
            why: format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {own}"
            ),
        })
    }

    /// Keeps what the server gave; and who owns what, if the caller says nothing of it.
    fn keep(&self, before: &Value, value: &mut Value) {
        let metadata = metadata_mut(value);
        for name in KEPT {
            match before["metadata"].get(name) {
                Some(kept) => metadata.insert((*name).into(), kept.clone()),
                None => metadata.shift_remove(*name),
            };
        }
        let owners = &before["metadata"]["managedFields"];
        let silent = metadata.get("managedFields").is_none_or(Value::is_null);
        if (silent || !self.write.subresource.is_empty()) && !owners.is_null() {
            metadata.insert("managedFields".into(), owners.clone());
        }
    }

    /// Keeps the half that the request is not about: the status, or everything else.
    fn keep_half(&self, before: &Value, value: &mut Value) {
        if !self.definition.status {
            return;
        }
        let members = value.as_object_mut().expect("an object was decoded");
        if self.write.subresource.is_empty() {
            restore(members, before, "status");
            return;
        }
        let status = members.remove("status");
        let owners = metadata_mut(value).remove("managedFields");
        *value = before.clone();
        let members = value.as_object_mut().expect("it was an object before");
        match status {
            Some(status) => members.insert("status".into(), status),
            None => members.shift_remove("status"),
        };
        if let Some(owners) = owners {
            metadata_mut(value).insert("managedFields".into(), owners);
        }
    }

    fn check_finalizers(&self, before: &Value, value: &Value) -> Result<(), Failure> {
        if text(before, "/metadata/deletionTimestamp").is_empty() {
            return Ok(());
        }
        let old = finalizers(before);
        let new: Vec<&str> = finalizers(value)
            .into_iter()
            .filter(|name| !old.contains(name))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let listed: Vec<String> = new.iter().map(|name| format!("{name:?}")).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            listed.join(", ")
        );
        self.unless(
            vec![FieldError::forbidden("metadata.finalizers", &detail)],
            value,
        )
    }

    /// Makes the change real: nothing if there is none, the end if only a finalizer held the object.
    fn settle(&mut self, live: &Arc<Object>, before: &Value, mut value: Value) -> Arc<Object> {
        if *before == value {
            return live.clone();
        }
        if self.definition.custom && self.spec_changed(before, &value) {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            metadata_mut(&mut value).insert("generation".into(), generation.into());
        }
        let going = !text(&value, "/metadata/deletionTimestamp").is_empty();
        let gone = going.then(|| self.finish(&value)).flatten();
        gone.unwrap_or_else(|| self.put(value))
    }

    fn spec_changed(&self, before: &Value, value: &Value) -> bool {
        let members = |value: &Value| -> Map<String, Value> {
            let members = value.as_object().into_iter().flatten();
            let apart =
                |name: &str| name == "metadata" || (name == "status" && self.definition.status);
            members
                .filter(|(name, _)| !apart(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        members(before) != members(value)
    }
}

fn restore(members: &mut Map<String, Value>, before: &Value, name: &str) {
    match before.get(name) {
        Some(kept) => members.insert(name.into(), kept.clone()),
        None => members.shift_remove(name),
    };
}

/// Returns the names of those who hold the object.
pub(super) fn finalizers(value: &Value) -> Vec<&str> {
    let names = value["metadata"]["finalizers"].as_array();
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
