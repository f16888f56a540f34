//! The shape of a value, as a schema says it: what it fills in, what it drops, what it refuses.
//!
//! In comes a schema, once, and then objects. Out go objects with their defaults and without what the schema does not
//! know, and everything that is wrong with them. Texts are those of kube-apiserver. It must not touch `apiVersion`,
//! `kind` and `metadata` of the object itself: those have rules of their own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::FieldError;

/// How the items of a list belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum List {
    /// The list is one value.
    #[default]
    Atomic,
    /// Every item stands for itself, once.
    Set,
    /// Items are told apart by these members.
    Map(Vec<String>),
}

/// What one value may be.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`, `integer,string`; empty for anything.
    pub type_: String,
    /// Members that are known.
    pub properties: BTreeMap<String, Shape>,
    /// What other members are, for a map.
    pub additional: Option<Box<Shape>>,
    /// What items are, for a list.
    pub items: Option<Box<Shape>>,
    /// How items belong together.
    pub list: List,
    /// Whether the object or map is one value.
    pub atomic: bool,
    required: Vec<String>,
    choices: Vec<Value>,
    /// What a string or a number is, such as `date-time`.
    pub(super) format: String,
    default: Option<Value>,
    nullable: bool,
    /// Whether members that are not known are kept.
    pub(super) preserve: bool,
    bounds: Bounds,
}

#[derive(Clone, Debug, Default)]
struct Bounds {
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

/// The type of what is an integer or a string.
pub(super) const INT_OR_STRING: &str = "integer,string";
/// Words that are of no consequence for an object.
const SILENT: &[&str] = &[
    "description",
    "title",
    "example",
    "externalDocs",
    "$schema",
    "x-kubernetes-validations",
    "x-kubernetes-group-version-kind",
];

impl Shape {
    /// Returns the schema that `value` says.
    ///
    /// # Errors
    /// The first word that is not understood: a rule that is silently not kept is worse than none.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let words = value.as_object().ok_or("a schema is an object")?;
        let mut schema = Self::default();
        for (word, value) in words {
            schema.word(word, value)?;
        }
        Ok(schema)
    }

    fn word(&mut self, word: &str, value: &Value) -> Result<(), String> {
        let strings = || -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items
                .filter_map(|item| Some(item.as_str()?.to_owned()))
                .collect()
        };
        match word {
            "type" => value.as_str().unwrap_or("").clone_into(&mut self.type_),
            "format" => value.as_str().unwrap_or("").clone_into(&mut self.format),
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    self.properties.insert(name.clone(), Self::parse(member)?);
                }
            }
            "additionalProperties" => match value {
                Value::Bool(any) => self.preserve |= any,
                other => self.additional = Some(Box::new(Self::parse(other)?)),
            },
            "items" => self.items = Some(Box::new(Self::parse(value)?)),
            "required" => self.required = strings(),
            "enum" => self.choices = value.as_array().cloned().unwrap_or_default(),
            "default" => self.default = Some(value.clone()),
            "nullable" => self.nullable = value == true,
            "x-kubernetes-list-type" => self.list(value.as_str().unwrap_or("")),
            "x-kubernetes-list-map-keys" => self.list = List::Map(strings()),
            "x-kubernetes-map-type" => self.atomic = value == "atomic",
            "x-kubernetes-preserve-unknown-fields" => self.preserve = value == true,
            "x-kubernetes-int-or-string" => self.type_ = INT_OR_STRING.into(),
            "minLength" => self.bounds.min_length = value.as_u64(),
            "maxLength" => self.bounds.max_length = value.as_u64(),
            "minItems" => self.bounds.min_items = value.as_u64(),
            "maxItems" => self.bounds.max_items = value.as_u64(),
            "minimum" => self.bounds.minimum = value.as_f64(),
            "maximum" => self.bounds.maximum = value.as_f64(),
            silent if SILENT.contains(&silent) => {}
            other => {
                return Err(format!(
                    "the word {other:?} of its schema is not understood"
                ));
            }
        }
        Ok(())
    }

    fn list(&mut self, kind: &str) {
        match (kind, &self.list) {
            ("set", _) => self.list = List::Set,
            ("map", List::Atomic) => self.list = List::Map(Vec::new()),
            _ => {}
        }
    }

    /// Returns what the value of this member is, if the schema says so.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Drops what is not known and fills in defaults; returns the paths of what was dropped, sorted.
    pub fn admit(&self, object: &mut Value) -> Vec<String> {
        self.walk(object, true)
    }

    /// Drops what is not known; returns the paths of that, sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        self.walk(object, false)
    }

    fn walk(&self, object: &mut Value, fill: bool) -> Vec<String> {
        let mut walk = Walk {
            dropped: Vec::new(),
            fill,
        };
        let Some(members) = object.as_object_mut() else {
            return Vec::new();
        };
        let own = ["apiVersion", "kind", "metadata"];
        let kept: Vec<_> = own
            .iter()
            .filter_map(|key| Some((*key, members.shift_remove(*key)?)))
            .collect();
        walk.members(self, members, "");
        for (key, value) in kept {
            members.insert(key.into(), value);
        }
        walk.dropped.sort();
        walk.dropped
    }

    /// Returns everything that is wrong with the object.
    #[must_use]
    pub fn check(&self, object: &Value) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        self.check_members(object, "", &mut wrong);
        wrong
    }

    fn check_value(&self, value: &Value, path: &str, wrong: &mut Vec<FieldError>) {
        if value.is_null() && self.nullable {
            return;
        }
        if let Some((expected, found)) = self.mismatch(value) {
            let detail = format!("{path} in body must be of type {expected}: {found:?}");
            wrong.push(FieldError::type_invalid(path, &found.into(), &detail));
            return;
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let choices: Vec<&str> = self.choices.iter().filter_map(Value::as_str).collect();
            wrong.push(FieldError::not_supported(path, value, &choices));
        }
        if let Some(detail) = self.out_of_bounds(value) {
            let detail = format!("{path} in body {detail}");
            // Of a list, how long it is.
            let length = value.as_array().map(|items| items.len().into());
            wrong.push(FieldError::invalid(
                path,
                length.as_ref().unwrap_or(value),
                &detail,
            ));
        }
        self.check_members(value, path, wrong);
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(schema) = &self.items {
                schema.check_value(item, &format!("{path}[{index}]"), wrong);
            }
        }
        self.check_list(value, path, wrong);
    }

    fn check_members(&self, value: &Value, path: &str, wrong: &mut Vec<FieldError>) {
        let Some(members) = value.as_object() else {
            return;
        };
        for name in &self.required {
            if !members.contains_key(name) {
                wrong.push(FieldError::required(join(path, name), ""));
            }
        }
        for (name, value) in members {
            if let Some(schema) = self.member(name) {
                schema.check_value(value, &join(path, name), wrong);
            }
        }
    }

    /// Finds items of a set or a keyed list that are there twice.
    fn check_list(&self, value: &Value, path: &str, wrong: &mut Vec<FieldError>) {
        let Some(items) = value.as_array() else {
            return;
        };
        let identity = |item: &Value| match &self.list {
            List::Atomic => None,
            List::Set => Some(item.clone()),
            List::Map(keys) => Some(keys.iter().map(|key| item[key].clone()).collect()),
        };
        let mut seen = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(identity) = identity(item) else {
                return;
            };
            if seen.contains(&identity) {
                wrong.push(FieldError::duplicate(format!("{path}[{index}]"), &identity));
            }
            seen.push(identity);
        }
    }

    /// Returns the type or the format that the value should have and has not, and what it has instead: another type, or a
    /// text that is not of the format.
    fn mismatch<'a>(&'a self, value: &'a Value) -> Option<(&'a str, &'a str)> {
        let right = match self.type_.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            INT_OR_STRING => value.is_i64() || value.is_string(),
            _ => true,
        };
        if !right {
            let formatted = self.type_ == "string" && !self.format.is_empty();
            return Some(match type_of(value) {
                "integer" if formatted => (&self.format, "int64"),
                found => (&self.type_, found),
            });
        }
        let found = value.as_str().unwrap_or_else(|| type_of(value));
        (!formatted(&self.format, value)).then_some((&self.format, found))
    }

    fn out_of_bounds(&self, value: &Value) -> Option<String> {
        let bounds = &self.bounds;
        let below = |most: Option<u64>, is: usize| most.filter(|most| *most < is as u64);
        let above = |least: Option<u64>, is: usize| least.filter(|least| *least > is as u64);
        if let Some(text) = value.as_str() {
            let length = text.chars().count();
            return above(bounds.min_length, length)
                .map(|least| format!("should be at least {least} chars long"))
                .or_else(|| {
                    below(bounds.max_length, length)
                        .map(|most| format!("should be at most {most} chars long"))
                });
        }
        if let Some(items) = value.as_array() {
            return above(bounds.min_items, items.len())
                .map(|least| format!("should have at least {least} items"))
                .or_else(|| {
                    below(bounds.max_items, items.len())
                        .map(|most| format!("should have at most {most} items"))
                });
        }
        let number = value.as_f64()?;
        let low = bounds.minimum.filter(|least| number < *least);
        low.map(|least| format!("should be greater than or equal to {least}"))
            .or_else(|| {
                let high = bounds.maximum.filter(|most| number > *most);
                high.map(|most| format!("should be less than or equal to {most}"))
            })
    }
}

/// A walk through an object that leaves it as the schema wants it.
struct Walk {
    /// Paths of what was dropped.
    dropped: Vec<String>,
    /// Whether defaults are filled in.
    fill: bool,
}

impl Walk {
    fn value(&mut self, schema: &Shape, value: &mut Value, path: &str) {
        match (value, &schema.items) {
            (Value::Object(members), _) => self.members(schema, members, path),
            (Value::Array(items), Some(schema)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(schema, item, &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, schema: &Shape, members: &mut Map<String, Value>, path: &str) {
        members.retain(|name, value| {
            let known = schema.member(name);
            if known.is_none() && !schema.preserve {
                self.dropped.push(join(path, name));
                return false;
            }
            !value.is_null() || known.is_none_or(|schema| schema.nullable)
        });
        for (name, schema) in schema.properties.iter().filter(|_| self.fill) {
            if let Some(default) = &schema.default
                && !members.contains_key(name)
            {
                members.insert(name.clone(), default.clone());
            }
        }
        for (name, value) in members {
            if let Some(schema) = schema.member(name) {
                self.value(schema, value, &join(path, name));
            }
        }
    }
}

fn formatted(format: &str, value: &Value) -> bool {
    match (format, value) {
        ("date-time", Value::String(text)) => text.parse::<Timestamp>().is_ok(),
        ("int32", value) => value
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        ("byte", Value::String(text)) => {
            use base64::{Engine, prelude::BASE64_STANDARD};
            BASE64_STANDARD.decode(text).is_ok()
        }
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}
