//! What is done with the metadata of every object: what the server gives, nobody else does; where it is, the URL says; and
//! what it was, it stays, but for what a caller may change.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{kind_subject, subject};
use crate::apiserver::{Failure, FieldError, Kind, Naming, Write, check_metadata};

/// What the server gives, and a creator can't.
const GIVEN: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "generation",
    OWNERS,
];
/// Where it is said who owns what.
pub(super) const OWNERS: &str = "managedFields";
/// What stays as it is, whatever the caller says.
const KEPT: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
];
/// What has rules, and is only looked at where it changes: nobody is to be blamed for what was there.
const RULED: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

/// Returns the string at a member of the object's metadata; empty if there is none.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"][name].as_str().unwrap_or_default()
}

/// Returns a member of an object that is an object itself, made if it is not there.
pub(super) fn member<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !object[name].is_object() {
        object[name] = Value::Object(Map::new());
    }
    object[name]
        .as_object_mut()
        .expect("it was just made an object if it was none")
}

/// Takes away what says no more than if it were not there, as a typed encoder does.
pub(super) fn tidy(metadata: &mut Map<String, Value>) {
    metadata.retain(|name, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        // Who sets no owners wants them forgotten.
        Value::Array(items) => !items.is_empty() || name == OWNERS,
        Value::Object(members) => !members.is_empty(),
        _ => true,
    });
}

/// Brings the metadata of a new object into order; returns sentences for the caller.
pub(super) fn begin(
    kind: &Kind,
    object: &mut Value,
    namespace: &str,
) -> Result<Vec<String>, Failure> {
    if !text(object, "resourceVersion").is_empty() {
        return Err(Failure::BadRequest(
            "resourceVersion should not be set on objects to be created".into(),
        ));
    }
    place(kind, object, namespace)?;
    member(object, "metadata").retain(|name, _| !GIVEN.contains(&name.as_str()));
    let warnings = own_once(object);
    let mut errors = check_metadata(&object["metadata"], Naming::Subdomain);
    // Whether a name is needed, and how one is made, the keeper knows.
    let named = !text(object, "name").is_empty();
    errors.retain(|error| named || error.field != "metadata.name");
    unless(kind, errors, text(object, "name"))?;
    Ok(warnings)
}

/// Gives the object the namespace of the request; one of another is refused.
fn place(kind: &Kind, object: &mut Value, namespace: &str) -> Result<(), Failure> {
    let own = text(object, "namespace");
    if kind.namespaced && !own.is_empty() && own != namespace {
        return Err(Failure::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .into(),
        ));
    }
    let metadata = member(object, "metadata");
    if kind.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    } else {
        metadata.shift_remove("namespace");
    }
    Ok(())
}

/// Refuses an object that is not the one that the request names; gives it its namespace.
pub(super) fn identify(kind: &Kind, object: &mut Value, write: &Write) -> Result<(), Failure> {
    place(kind, object, &write.namespace)?;
    let asked = &write.name;
    match text(object, "name") {
        "" => Err(Failure::BadRequest(format!(
            "the name of the object ({asked} based on URL) was undeterminable: name must be provided"
        ))),
        name if name != asked => Err(Failure::BadRequest(format!(
            "the name of the object ({name}) does not match the name on the URL ({asked})"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a change that is meant for another object of the name: a whole one was another's, and a patch may not make it
/// another.
pub(super) fn check_uid(
    kind: &Kind,
    live: &Value,
    object: &Value,
    whole: bool,
) -> Result<(), Failure> {
    let name = text(live, "name");
    let (asked, own) = (text(object, "uid"), text(live, "uid"));
    if asked.is_empty() || asked == own {
        return Ok(());
    }
    if whole {
        return Err(Failure::Conflict {
            subject: subject(kind, name),
            why: format!(
                "Precondition failed: UID in precondition: {asked}, UID in object meta: {own}"
            ),
        });
    }
    let error = FieldError::invalid("metadata.uid", &asked.into(), "field is immutable");
    unless(kind, vec![error], name)
}

/// Refuses a change that is meant for another version of the object, or for any.
pub(super) fn check_version(kind: &Kind, live: &Value, object: &Value) -> Result<(), Failure> {
    let name = text(live, "name");
    let asked = text(object, "resourceVersion");
    if asked.is_empty() {
        return Err(Failure::Invalid {
            subject: subject(kind, name),
            errors: vec![FieldError::unversioned()],
        });
    }
    if asked != text(live, "resourceVersion") {
        return Err(Failure::modified(subject(kind, name)));
    }
    Ok(())
}

/// Keeps what is not the caller's to change, and refuses what may not be changed so; returns sentences for the caller.
pub(super) fn go_on(kind: &Kind, live: &Value, object: &mut Value) -> Result<Vec<String>, Failure> {
    let before = &live["metadata"];
    let metadata = member(object, "metadata");
    for name in KEPT {
        match before.get(name) {
            Some(kept) => metadata.insert((*name).into(), kept.clone()),
            None => metadata.shift_remove(*name),
        };
    }
    let warnings = own_once(object);
    let after = &object["metadata"];
    let mut errors = check_metadata(after, Naming::Subdomain);
    errors.retain(|error| {
        let mut ruled = RULED.iter();
        let field = error.field.trim_start_matches("metadata.");
        ruled.any(|name| field.starts_with(name) && before.get(name) != after.get(name))
    });
    errors.extend(new_finalizers(before, after));
    unless(kind, errors, text(live, "name"))?;
    Ok(warnings)
}

/// Returns what is wrong if somebody wants to hold an object that goes already.
fn new_finalizers(before: &Value, after: &Value) -> Option<FieldError> {
    fn names(metadata: &Value) -> impl Iterator<Item = &str> {
        let names = metadata["finalizers"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str)
    }
    before["deletionTimestamp"].as_str()?;
    let old: BTreeSet<&str> = names(before).collect();
    let new: Vec<String> = names(after)
        .filter(|name| !old.contains(name))
        .map(|name| format!("{name:?}"))
        .collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        new.join(", ")
    );
    (!new.is_empty()).then(|| FieldError::forbidden("metadata.finalizers", &detail))
}

/// Leaves one owner of each uid, the first; says so if there were more.
fn own_once(object: &mut Value) -> Vec<String> {
    let owners = object["metadata"]
        .get_mut("ownerReferences")
        .and_then(Value::as_array_mut);
    let Some(owners) = owners else {
        return Vec::new();
    };
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    owners.retain(|owner| {
        let uid = owner["uid"].as_str().unwrap_or_default();
        if uid.is_empty() || seen.insert(uid.to_owned()) {
            return true;
        }
        twice.insert(uid.to_owned());
        false
    });
    if twice.is_empty() {
        return Vec::new();
    }
    let uids: Vec<String> = twice.into_iter().collect();
    vec![format!(
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        uids.join(", ")
    )]
}

fn unless(kind: &Kind, errors: Vec<FieldError>, name: &str) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    let subject = kind_subject(kind, name);
    Err(Failure::Invalid { subject, errors })
}
