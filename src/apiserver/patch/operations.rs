//! JSON patches (RFC 6902), within bounds: neither deep nor large enough to hurt, however often they copy.

use json_patch::{PatchErrorKind, PatchOperation, jsonptr::Pointer};
use serde_json::{Map, Value};

use crate::apiserver::Failure;

/// How many operations a patch may have (kube-apiserver's limit).
const MOST_OPERATIONS: usize = 10_000;
/// How many bytes its copies may add, roughly: as many as a body may have.
const MOST_COPIED: usize = 6 * 1024 * 1024;
/// How many values its operations may touch or push aside: far more than an honest patch does, and done within a second.
const MOST_TOUCHED: usize = 20_000_000;
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
    let mut left = Left {
        copied: MOST_COPIED,
        touched: MOST_TOUCHED,
    };
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

/// What a patch may still do.
struct Left {
    copied: usize,
    touched: usize,
}

impl Left {
    fn touch(&mut self, count: usize) -> Result<(), Failure> {
        let rest = self.touched.checked_sub(count);
        self.touched = rest.ok_or(Failure::Unprocessable)?;
        Ok(())
    }
}

/// Returns how many items a change at `pointer` may push aside.
fn aside(document: &Value, pointer: &Pointer) -> usize {
    let parts = pointer.split_back();
    // What comes at the end pushes nothing.
    let parent = parts.filter(|(_, last)| last.encoded() != "-");
    let parent = parent.map(|(parent, _)| parent.as_str());
    let list = parent.and_then(|parent| document.pointer(parent)?.as_array());
    list.map_or(0, Vec::len)
}

/// Refuses an operation that would make the object too deep, or with which a patch does too much.
fn check(document: &Value, operation: &PatchOperation, left: &mut Left) -> Result<(), Failure> {
    left.touch(aside(document, operation.path()))?;
    let from = |pointer: &str| document.pointer(pointer).ok_or(Failure::Unprocessable);
    let added = match operation {
        PatchOperation::Add(add) => &add.value,
        PatchOperation::Replace(replace) => &replace.value,
        PatchOperation::Move(moved) => {
            left.touch(aside(document, &moved.from))?;
            from(moved.from.as_str())?
        }
        PatchOperation::Copy(copy) => {
            let copied = from(copy.from.as_str())?;
            let rest = left.copied.checked_sub(size(copied));
            left.copied = rest.ok_or(Failure::Unprocessable)?;
            copied
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    let (depth, count) = extent(added);
    left.touch(count)?;
    if operation.path().count() + depth > DEEPEST {
        return Err(Failure::Unprocessable);
    }
    Ok(())
}

/// Returns how deep a value is, and of how many values it is made.
fn extent(value: &Value) -> (usize, usize) {
    let around = |(deepest, all): (usize, usize), part: &Value| {
        let (depth, count) = extent(part);
        (deepest.max(depth + 1), all + count)
    };
    match value {
        Value::Array(items) => items.iter().fold((1, 1), around),
        Value::Object(members) => members.values().fold((1, 1), around),
        _ => (0, 1),
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
