//! Kubernetes' protobuf, as far as `kubectl create` speaks it: `kubectl create namespace`, `secret` and `configmap` send
//! nothing else.
//!
//! In comes a body with its envelope; out goes the same object as JSON. Field numbers are those of k8s.io/api's
//! `generated.proto`. A field that is not known is refused: what a caller says must not get lost.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How a field's value is written.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Bytes,
    Number,
    Flag,
    Moment,
    Message(&'static [Field]),
    List(&'static Self),
    Map(&'static Self),
    /// Known, and of no use: the server says it.
    Ignored,
}

/// Number, name in JSON, shape.
type Field = (u64, &'static str, Shape);

const OWNER: &[Field] = &[
    (1, "kind", Shape::Text),
    (3, "name", Shape::Text),
    (4, "uid", Shape::Text),
    (5, "apiVersion", Shape::Text),
    (6, "controller", Shape::Flag),
    (7, "blockOwnerDeletion", Shape::Flag),
];
const METADATA: &[Field] = &[
    (1, "name", Shape::Text),
    (2, "generateName", Shape::Text),
    (3, "namespace", Shape::Text),
    (4, "selfLink", Shape::Ignored),
    (5, "uid", Shape::Text),
    (6, "resourceVersion", Shape::Text),
    (7, "generation", Shape::Number),
    (8, "creationTimestamp", Shape::Moment),
    (9, "deletionTimestamp", Shape::Moment),
    (10, "deletionGracePeriodSeconds", Shape::Number),
    (11, "labels", Shape::Map(&Shape::Text)),
    (12, "annotations", Shape::Map(&Shape::Text)),
    (13, "ownerReferences", Shape::List(&Shape::Message(OWNER))),
    (14, "finalizers", Shape::List(&Shape::Text)),
    (17, "managedFields", Shape::Ignored),
];
const SECRET: &[Field] = &[
    (1, "metadata", Shape::Message(METADATA)),
    (2, "data", Shape::Map(&Shape::Bytes)),
    (3, "type", Shape::Text),
    (4, "stringData", Shape::Map(&Shape::Text)),
    (5, "immutable", Shape::Flag),
];
const CONFIG_MAP: &[Field] = &[
    (1, "metadata", Shape::Message(METADATA)),
    (2, "data", Shape::Map(&Shape::Text)),
    (3, "binaryData", Shape::Map(&Shape::Bytes)),
    (4, "immutable", Shape::Flag),
];
const NAMESPACE: &[Field] = &[
    (1, "metadata", Shape::Message(METADATA)),
    (2, "spec", Shape::Ignored),
    (3, "status", Shape::Ignored),
];
const TYPE: &[Field] = &[(1, "apiVersion", Shape::Text), (2, "kind", Shape::Text)];
const ENVELOPE: &[Field] = &[
    (1, "type", Shape::Message(TYPE)),
    (2, "raw", Shape::Bytes),
    (3, "contentEncoding", Shape::Text),
    (4, "contentType", Shape::Text),
];

/// Returns whether objects of this kind are understood.
#[must_use]
pub fn knows(kind: &str) -> bool {
    message_of(kind).is_some()
}

fn message_of(kind: &str) -> Option<&'static [Field]> {
    match kind {
        "Secret" => Some(SECRET),
        "ConfigMap" => Some(CONFIG_MAP),
        "Namespace" => Some(NAMESPACE),
        _ => None,
    }
}

/// Returns the object in `body` as JSON.
///
/// # Errors
/// What is wrong with the body, as a sentence.
pub fn to_json(body: &[u8]) -> Result<Value, String> {
    let envelope = body
        .strip_prefix(MAGIC)
        .ok_or("it does not begin as Kubernetes' protobuf does")?;
    let envelope = message(envelope, ENVELOPE)?;
    let kind = envelope["type"]["kind"].as_str().unwrap_or("").to_owned();
    let fields = message_of(&kind)
        .ok_or_else(|| format!("{kind:?} is not understood in protobuf: send JSON"))?;
    let raw = envelope["raw"].as_str().unwrap_or("");
    let raw = BASE64_STANDARD
        .decode(raw)
        .map_err(|error| error.to_string())?;
    let mut object = message(&raw, fields)?;
    object["kind"] = kind.into();
    object["apiVersion"] = envelope["type"]["apiVersion"].clone();
    Ok(object)
}

fn message(mut bytes: &[u8], fields: &[Field]) -> Result<Value, String> {
    let mut members = Map::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let wire = wire(key & 7, &mut bytes)?;
        let field = fields.iter().find(|field| field.0 == key >> 3);
        let (_, name, shape) = field.ok_or_else(|| format!("field {} is not known", key >> 3))?;
        put(&mut members, name, *shape, wire)?;
    }
    Ok(Value::Object(members))
}

/// A value on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn wire<'a>(kind: u64, bytes: &mut &'a [u8]) -> Result<Wire<'a>, String> {
    match kind {
        0 => number(bytes).map(Wire::Number),
        2 => {
            let length = usize::try_from(number(bytes)?).map_err(|error| error.to_string())?;
            let (value, rest) = bytes.split_at_checked(length).ok_or("it ends early")?;
            *bytes = rest;
            Ok(Wire::Bytes(value))
        }
        other => Err(format!("wire type {other} is not known")),
    }
}

fn number(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or("it ends early")?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long".into())
}

fn put(
    members: &mut Map<String, Value>,
    name: &str,
    shape: Shape,
    wire: Wire<'_>,
) -> Result<(), String> {
    match shape {
        Shape::Ignored => {}
        Shape::List(item) => {
            let item = value(*item, wire)?;
            if let Some(items) = members
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()))
                .as_array_mut()
            {
                items.push(item);
            }
        }
        Shape::Map(item) => {
            let (key, item) = entry(*item, wire)?;
            members
                .entry(name)
                .or_insert_with(|| Value::Object(Map::new()))[key] = item;
        }
        plain => {
            let value = value(plain, wire)?;
            // What is empty was left out: the wire has no other way to say so.
            if value != "" && !value.is_null() {
                members.insert(name.into(), value);
            }
        }
    }
    Ok(())
}

fn value(shape: Shape, wire: Wire<'_>) -> Result<Value, String> {
    Ok(match (shape, wire) {
        (Shape::Text, Wire::Bytes(bytes)) => std::str::from_utf8(bytes)
            .map_err(|error| error.to_string())?
            .into(),
        (Shape::Bytes, Wire::Bytes(bytes)) => BASE64_STANDARD.encode(bytes).into(),
        (Shape::Number, Wire::Number(number)) => number.cast_signed().into(),
        (Shape::Flag, Wire::Number(number)) => (number != 0).into(),
        (Shape::Message(fields), Wire::Bytes(bytes)) => message(bytes, fields)?,
        (Shape::Moment, Wire::Bytes(bytes)) => moment(bytes)?,
        _ => return Err("a field is of another type".into()),
    })
}

fn moment(bytes: &[u8]) -> Result<Value, String> {
    let parts = message(
        bytes,
        &[(1, "seconds", Shape::Number), (2, "nanos", Shape::Number)],
    )?;
    match parts["seconds"].as_i64() {
        None => Ok(Value::Null),
        Some(seconds) => {
            let moment = Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
            Ok(moment.to_string().into())
        }
    }
}

fn entry(item: Shape, wire: Wire<'_>) -> Result<(String, Value), String> {
    let Wire::Bytes(mut bytes) = wire else {
        return Err("a map's entry is a number".into());
    };
    let (mut key, mut held) = (String::new(), Value::from(""));
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        let part = self::wire(tag & 7, &mut bytes)?;
        match tag >> 3 {
            1 => value(Shape::Text, part)?
                .as_str()
                .unwrap_or("")
                .clone_into(&mut key),
            2 => held = value(item, part)?,
            other => return Err(format!("a map's entry has no field {other}")),
        }
    }
    Ok((key, held))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 0x80);
        [&[number << 3 | 2, length], content].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_ = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [
            MAGIC.to_vec(),
            field(1, &type_),
            field(2, raw),
            field(3, b""),
            field(4, b""),
        ]
        .concat()
    }

    #[test]
    fn a_secret_is_read_as_kubectl_writes_it() {
        let label = [field(1, b"a"), field(2, b"b")].concat();
        let metadata = [
            field(1, b"s"),
            field(2, b""),
            field(8, b""),
            field(11, &label),
            field(14, b"p/f"),
            vec![7 << 3, 0],
        ]
        .concat();
        let data = [field(1, b"k"), field(2, b"v")].concat();
        let raw = [
            field(1, &metadata),
            field(2, &data),
            field(3, b"Opaque"),
            vec![5 << 3, 1],
        ]
        .concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true, "data": {"k": "dg=="},
            "metadata": {"name": "s", "labels": {"a": "b"}, "finalizers": ["p/f"], "generation": 0},
        });
        assert_eq!(to_json(&body("Secret", &raw)).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let long = [&[1 << 3][..], &[0xff; 11]].concat();
        for (bytes, why) in [
            (b"json".to_vec(), "does not begin"),
            (body("Pod", b""), "\"Pod\" is not understood"),
            (body("Secret", &field(15, b"x")), "field 15 is not known"),
            (body("Secret", &[1 << 3 | 2, 9, 0]), "ends early"),
            (body("Secret", &[1 << 3, 1]), "another type"),
            (body("Secret", &[1 << 3 | 5, 1]), "wire type 5"),
            (body("Secret", &long), "too long"),
            (body("Secret", &field(3, &[0xff])), "utf-8"),
        ] {
            let refused = to_json(&bytes).unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
        }
    }
}
