//! JSON patches (RFC 6902), within bounds: neither deep nor large enough to hurt, however often they copy.

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::{Map, Value};

use crate::apiserver::Failure;

/// How many operations a patch may have (kube-apiserver's limit).
const MOST_OPERATIONS: usize = 10_000;
/// How many bytes its copies may add, roughly: as many as a body may have.
const MOST_COPIED: usize = 6 * 1024 * 1024;
/// How deep an object may become: as deep as one that is read.
const DEEPEST: usize = 127;
/// What an operation may have.
const KNOWN: [&str; 4] = ["op", "path", "from", "value"];

/// Returns the operations in a body, and what a strict reader has against them.
pub(super) fn parse(body: &[u8]) -> Result<(Vec<PatchOperation>, Vec<String>), Failure> {
    let bad =
        |error: serde_json::Error| Failure::BadRequest(format!("error decoding patch: {error}"));
    let raw: Vec<Value> = serde_json::from_slice(body).map_err(bad)?;
    if raw.len() > MOST_OPERATIONS {
        return Err(Failure::TooMuch(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            raw.len()
        )));
    }
    let mut complaints = Vec::new();
    for (index, operation) in raw.iter().enumerate() {
        let members = operation.as_object().into_iter().flat_map(Map::keys);
        let unknown = members.filter(|name| !KNOWN.contains(&name.as_str()));
        complaints
            .extend(unknown.map(|name| format!("json patch unknown field \"[{index}].{name}\"")));
    }
    let mut operations = Vec::with_capacity(raw.len());
    for operation in raw {
        // One that nobody knows is a list of operations all the same: it can't be applied.
        let readable = operation.is_object();
        let read = serde_json::from_value(operation);
        operations.push(read.map_err(|error| {
            if readable {
                Failure::Unprocessable
            } else {
                bad(error)
            }
        })?);
    }
    Ok((operations, complaints))
}

/// Applies the operations in their order.
pub(super) fn apply(value: &mut Value, operations: &[PatchOperation]) -> Result<(), Failure> {
    let mut left = MOST_COPIED;
    for operation in operations {
        check(value, operation, &mut left)?;
        apply_one(value, operation)?;
    }
    Ok(())
}

fn apply_one(value: &mut Value, operation: &PatchOperation) -> Result<(), Failure> {
    let absent = matches!(operation, PatchOperation::Test(test) if test.value.is_null());
    match json_patch::patch(value, std::slice::from_ref(operation)) {
        Ok(()) => Ok(()),
        // kube-apiserver's library takes what is not there for null; kube-rs' finalizers rely on it.
        Err(error) if absent && matches!(error.kind, PatchErrorKind::InvalidPointer) => Ok(()),
        // So it does where a member is to be replaced.
        Err(_) if set_member(value, operation) => Ok(()),
        Err(_) => Err(Failure::Unprocessable),
    }
}

/// Sets the member of an object that is to be replaced and is not there; returns whether it was that.
fn set_member(value: &mut Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Replace(replace) = operation else {
        return false;
    };
    let Some((parent, name)) = replace.path.split_back() else {
        return false;
    };
    let parent = value.pointer_mut(parent.as_str());
    let Some(members) = parent.and_then(Value::as_object_mut) else {
        return false;
    };
    members.insert(name.decoded().into_owned(), replace.value.clone());
    true
}

/// Refuses an operation that would make the object too deep, or copies too much.
fn check(document: &Value, operation: &PatchOperation, left: &mut usize) -> Result<(), Failure> {
    let from = |pointer: &str| document.pointer(pointer).ok_or(Failure::Unprocessable);
    let added = match operation {
        PatchOperation::Add(add) => &add.value,
        PatchOperation::Replace(replace) => &replace.value,
        PatchOperation::Move(moved) => from(moved.from.as_str())?,
        PatchOperation::Copy(copy) => {
            let copied = from(copy.from.as_str())?;
            let rest = left.checked_sub(size(copied));
            *left = rest.ok_or(Failure::Unprocessable)?;
            copied
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    if operation.path().count() + depth(added) > DEEPEST {
        return Err(Failure::Unprocessable);
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Returns about how many bytes a value takes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 8,
        Value::Array(items) => 8 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| key.len() + 8 + size(value))
            .sum(),
        _ => 8,
    }
}

/// Returns the version that the last operation on it leaves in the object.
pub(super) fn version(operations: &[PatchOperation]) -> Option<&str> {
    let mut version = None;
    for operation in operations {
        let value = match operation {
            PatchOperation::Add(add) => &add.value,
            PatchOperation::Replace(replace) => &replace.value,
            // One that must be there already is named as well.
            PatchOperation::Test(test) => &test.value,
            _ => continue,
        };
        let below = match operation.path().as_str() {
            "/metadata/resourceVersion" => value.as_str(),
            "/metadata" => value["resourceVersion"].as_str(),
            "" => value["metadata"]["resourceVersion"].as_str(),
            _ => continue,
        };
        version = below.or(version);
    }
    version
}
