//! An object brought into the form of its kind, as a typed decoder does it: what is null is as if it were not there, what
//! is not known is dropped and named, and what is of another type is refused.
//!
//! In come a shape and a value; out goes the value in form. Defaults, choices and bounds are nobody's here: they are the
//! rules of those who keep the objects.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    Shape,
    document::MOST_COMPLAINTS,
    shape::{INT_OR_STRING, join},
};

/// Brings `value` into the form of `shape`; returns the paths of what was dropped.
///
/// # Errors
/// Where something is of another type, in the words of Go's decoder; `kind` is what it calls the object.
pub(super) fn form(shape: &Shape, value: &mut Value, kind: &str) -> Result<Vec<String>, String> {
    let mut forming = Forming {
        kind,
        unknown: Vec::new(),
    };
    forming.value(shape, value, "")?;
    Ok(forming.unknown)
}

struct Forming<'a> {
    kind: &'a str,
    unknown: Vec<String>,
}

impl Forming<'_> {
    fn value(&mut self, shape: &Shape, value: &mut Value, path: &str) -> Result<(), String> {
        if value.is_null() {
            *value = zero(shape);
            return Ok(());
        }
        match (shape.type_.as_str(), &mut *value) {
            ("object", Value::Object(members)) => self.members(shape, members, path),
            ("array", Value::Array(items)) => {
                let Some(shape) = &shape.items else {
                    return Ok(());
                };
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(shape, item, &format!("{path}[{index}]"))?;
                }
                Ok(())
            }
            ("string", Value::String(text)) => formatted(&shape.format, text),
            ("", _)
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(_))
            | (INT_OR_STRING, Value::String(_)) => Ok(()),
            ("integer" | INT_OR_STRING, Value::Number(number)) if fits(shape, number) => Ok(()),
            (_, other) => Err(self.mismatch(shape, other, path)),
        }
    }

    fn members(
        &mut self,
        shape: &Shape,
        members: &mut Map<String, Value>,
        path: &str,
    ) -> Result<(), String> {
        // A type of which nothing is said is one of which everything is kept.
        if shape.properties.is_empty() && shape.additional.is_none() {
            return Ok(());
        }
        members.retain(|name, value| {
            let known = shape.properties.contains_key(name);
            if !known && shape.additional.is_none() && !shape.preserve {
                self.drop(path, name);
                return false;
            }
            !(known && value.is_null())
        });
        for (name, value) in members {
            if let Some(shape) = shape.member(name) {
                self.value(shape, value, &join(path, name))?;
            }
        }
        Ok(())
    }

    fn drop(&mut self, path: &str, name: &str) {
        if self.unknown.len() < MOST_COMPLAINTS {
            self.unknown.push(join(path, name));
        }
    }

    fn mismatch(&self, shape: &Shape, value: &Value, path: &str) -> String {
        let found = match value {
            Value::Null => "null".into(),
            Value::Bool(_) => "bool".into(),
            Value::Number(number) if shape.type_ == "integer" => format!("number {number}"),
            Value::Number(_) => "number".into(),
            Value::String(_) => "string".into(),
            Value::Array(_) => "array".into(),
            Value::Object(_) => "object".into(),
        };
        let (kind, wanted) = (self.kind, called(shape));
        if path.is_empty() {
            return format!("json: cannot unmarshal {found} into Go value of type {kind}");
        }
        format!(
            "json: cannot unmarshal {found} into Go struct field {kind}.{path} of type {wanted}"
        )
    }
}

/// Returns what Go calls the type.
fn called(shape: &Shape) -> String {
    match (shape.type_.as_str(), shape.format.as_str()) {
        ("integer", "int32") => "int32".into(),
        ("integer", _) => "int64".into(),
        ("number", _) => "float64".into(),
        ("boolean", _) => "bool".into(),
        ("array", _) => {
            let items = shape.items.as_deref().map(called);
            format!("[]{}", items.unwrap_or_else(|| "interface {}".into()))
        }
        ("object", _) if shape.properties.is_empty() => {
            let values = shape.additional.as_deref().map(called);
            format!(
                "map[string]{}",
                values.unwrap_or_else(|| "interface {}".into())
            )
        }
        (other, _) => other.into(),
    }
}

/// Returns what a typed decoder makes of null in a list or a map.
fn zero(shape: &Shape) -> Value {
    match shape.type_.as_str() {
        "object" => Value::Object(Map::new()),
        "array" => Value::Array(Vec::new()),
        "string" => "".into(),
        "boolean" => false.into(),
        "integer" | "number" => 0.into(),
        _ => Value::Null,
    }
}

fn fits(shape: &Shape, number: &serde_json::Number) -> bool {
    let small = |number: i64| shape.format != "int32" || i32::try_from(number).is_ok();
    number.as_i64().is_some_and(small)
}

fn formatted(format: &str, text: &str) -> Result<(), String> {
    match format {
        "date-time" if text.parse::<Timestamp>().is_err() => Err(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"
        )),
        "byte" if STANDARD.decode(text).is_err() => {
            Err("illegal base64 data in a field of type []byte".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        let text = json!({"type": "string"});
        let count = json!({"type": "integer", "format": "int32"});
        Shape::parse(&json!({"type": "object", "properties": {
            "text": text, "count": count, "big": {"type": "integer"}, "on": {"type": "boolean"},
            "time": {"type": "string", "format": "date-time"},
            "names": {"type": "array", "items": text},
            "labels": {"type": "object", "additionalProperties": text},
            "parts": {"type": "array", "items": {"type": "object", "properties": {"count": count}}},
            "free": {"type": "object"},
            "open": {"type": "object", "properties": {"count": count}, "x-kubernetes-preserve-unknown-fields": true},
        }}))
        .unwrap()
    }

    #[test]
    fn what_is_null_counts_as_absent_and_what_is_not_known_is_dropped() {
        let mut value = json!({
            "text": null, "names": ["a", null], "labels": {"a": null}, "parts": [null, {"count": 1, "x": 1}],
            "free": {"a": {"b": null}}, "open": {"y": null, "count": null}, "Text": "case counts", "labels2": {},
        });
        let unknown = form(&shape(), &mut value, "Toy").unwrap();
        let formed = json!({
            "names": ["a", ""], "labels": {"a": ""}, "parts": [{}, {"count": 1}],
            "free": {"a": {"b": null}}, "open": {"y": null},
        });
        assert_eq!(value, formed);
        assert_eq!(unknown, ["Text", "labels2", "parts[1].x"]);
    }

    #[test]
    fn another_type_is_refused_with_its_path() {
        for (value, told) in [
            (
                json!(1),
                "cannot unmarshal number into Go value of type Toy",
            ),
            (
                json!({"text": 1}),
                "number into Go struct field Toy.text of type string",
            ),
            (
                json!({"count": "1"}),
                "string into Go struct field Toy.count of type int32",
            ),
            (
                json!({"count": 1.0}),
                "number 1.0 into Go struct field Toy.count of type int32",
            ),
            (
                json!({"count": 2_147_483_648_i64}),
                "number 2147483648 into",
            ),
            (
                json!({"big": 1e30}),
                "number 1e+30 into Go struct field Toy.big of type int64",
            ),
            (json!({"big": u64::MAX}), "number 18446744073709551615 into"),
            (
                json!({"on": "true"}),
                "string into Go struct field Toy.on of type bool",
            ),
            (json!({"names": "a"}), "Toy.names of type []string"),
            (
                json!({"names": [1]}),
                "number into Go struct field Toy.names[0] of type string",
            ),
            (
                json!({"labels": {"a": {}}}),
                "object into Go struct field Toy.labels.a of type string",
            ),
            (
                json!({"parts": [{"count": []}]}),
                "array into Go struct field Toy.parts[0].count of type int32",
            ),
            (
                json!({"free": []}),
                "array into Go struct field Toy.free of type map[string]interface {}",
            ),
            (json!({"time": "yesterday"}), "parsing time \"yesterday\""),
            (json!({"time": ""}), "parsing time \"\""),
        ] {
            let mut formed = value.clone();
            let why = form(&shape(), &mut formed, "Toy").expect_err("it is of another type");
            assert!(why.contains(told), "{value}: {why}");
        }
    }
}
