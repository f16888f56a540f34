//! JSON as a strict reader reads it: every value, and every name that is there twice.
//!
//! In come bytes; out goes a value, whose later members win, and the paths of the earlier ones. How deep it may be is
//! `serde_json`'s limit, and numbers that are none are refused there.

use std::fmt::{self, Write};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// How many complaints are kept: more, nobody reads.
pub(super) const MOST_COMPLAINTS: usize = 100;

/// A value that was read.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) value: Value,
    /// What a strict reader has against it, such as `duplicate field "spec.color"`.
    pub(super) complaints: Vec<String>,
}

/// Returns the only value in `body`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<Document, serde_json::Error> {
    serde_json::from_slice(body)
}

/// Where the reader is.
#[derive(Default)]
struct Walk {
    path: Vec<Step>,
    complaints: Vec<String>,
}

enum Step {
    Member(String),
    Item(usize),
}

impl Walk {
    fn complain(&mut self, name: &str) {
        if self.complaints.len() >= MOST_COMPLAINTS {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            let told = match step {
                Step::Member(name) if path.is_empty() => write!(path, "{name}"),
                Step::Member(name) => write!(path, ".{name}"),
                Step::Item(index) => write!(path, "[{index}]"),
            };
            told.expect("a string takes all");
        }
        let path = super::shape::join(&path, name);
        self.complaints.push(format!("duplicate field {path:?}"));
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let mut walk = Walk::default();
        let value = Seed(&mut walk).deserialize(reader)?;
        Ok(Self {
            value,
            complaints: walk.complaints,
        })
    }
}

struct Seed<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut reader: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            self.0.path.push(Step::Item(items.len()));
            let item = reader.next_element_seed(Seed(self.0))?;
            self.0.path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut reader: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = reader.next_key::<String>()? {
            self.0.path.push(Step::Member(name.clone()));
            let value = reader.next_value_seed(Seed(self.0))?;
            self.0.path.pop();
            if members.contains_key(&name) {
                self.0.complain(&name);
            }
            members.insert(name, value);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_of_two_members_wins_and_the_first_is_named() {
        let body = br#"{"a": 1, "b": [{}, {"c": 1, "c": {"d": 2, "d": 3}}], "a": 2}"#;
        let read = parse(body).unwrap();
        assert_eq!(read.value, json!({"a": 2, "b": [{}, {"c": {"d": 3}}]}));
        let found = [
            "duplicate field \"b[1].c.d\"",
            "duplicate field \"b[1].c\"",
            "duplicate field \"a\"",
        ];
        assert_eq!(read.complaints, found);
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        let deep = "[".repeat(100_000);
        for body in ["", "{", "{} x", "NaN", "1e999", "[1,]", "\"\u{1}\"", &deep] {
            assert!(parse(body.as_bytes()).is_err(), "{body:.20}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn nobody_is_told_more_than_can_be_read() {
        let twice: Vec<String> = (0..1000)
            .map(|at| format!("\"{at}\":1,\"{at}\":2"))
            .collect();
        let read = parse(format!("{{{}}}", twice.join(",")).as_bytes()).unwrap();
        assert_eq!(read.complaints.len(), MOST_COMPLAINTS);
    }
}
