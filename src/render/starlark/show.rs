//! Values as text, as JSON, and compared with each other: what walks all through a value. Each level and each byte is paid for, so that
//! neither circles nor values that hold one another many times take for ever.

use std::cmp::Ordering;

use super::{
    tree::Trouble,
    value::{Heap, MOST_NESTED, Value, whole},
};

const TOO_DEEP: &str = "the value nests too deeply";

impl Heap {
    /// Returns a value as `str` does: a text as it is, anything else as it would be written in a script.
    ///
    /// # Errors
    /// If it is too deep, or too long.
    pub(super) fn shown(&mut self, value: &Value) -> Result<String, Trouble> {
        if let Value::Text(text) = value {
            self.meter.take(text.len())?;
            return Ok(text.to_string());
        }
        self.written(value)
    }

    /// Returns a value as it would be written in a script.
    ///
    /// # Errors
    /// If it is too deep, or too long.
    pub(super) fn written(&mut self, value: &Value) -> Result<String, Trouble> {
        let mut text = String::new();
        self.write(value, 0, &mut text)?;
        Ok(text)
    }

    fn write(&mut self, value: &Value, depth: usize, into: &mut String) -> Result<(), Trouble> {
        if depth > MOST_NESTED {
            return Err(TOO_DEEP.into());
        }
        self.meter.take(8)?;
        let plain = match value {
            Value::None => "None".into(),
            Value::Bool(bool) => if *bool { "True" } else { "False" }.into(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => shown_float(*float),
            Value::Text(text) => {
                // As long as it gets at most.
                let is_wild = text.chars().any(char::is_control);
                self.meter
                    .take(text.len().saturating_mul(if is_wild { 8 } else { 2 }))?;
                quoted(text)
            }
            Value::List(_) => return self.write_parts(value, depth, into, ["[", "]"]),
            Value::Tuple(_) => return self.write_parts(value, depth, into, ["(", ")"]),
            Value::Set(_) => return self.write_parts(value, depth, into, ["set([", "])"]),
            Value::Dict(dict) => return self.write_dict(*dict, depth, into),
            Value::Range(range) => {
                let range = self.ranges[*range];
                format!(
                    "range({}, {} items, {})",
                    range.start, range.len, range.step
                )
            }
            Value::Function(function) => {
                format!("<function {}>", self.functions[*function].definition.name)
            }
            Value::Builtin(name) => format!("<built-in function {name}>"),
            Value::Method(method) => format!("<built-in method {}>", self.methods[*method].1),
            Value::Record(_) => "struct(...)".into(),
        };
        self.meter.take(plain.len())?;
        into.push_str(&plain);
        Ok(())
    }

    fn write_parts(
        &mut self,
        value: &Value,
        depth: usize,
        into: &mut String,
        brackets: [&str; 2],
    ) -> Result<(), Trouble> {
        into.push_str(brackets[0]);
        let parts = self.parts(value)?;
        for (number, part) in parts.iter().enumerate() {
            into.push_str(if number > 0 { ", " } else { "" });
            self.write(part, depth + 1, into)?;
        }
        let is_single = parts.len() == 1 && matches!(value, Value::Tuple(_));
        into.push_str(if is_single { "," } else { "" });
        into.push_str(brackets[1]);
        Ok(())
    }

    fn write_dict(&mut self, dict: usize, depth: usize, into: &mut String) -> Result<(), Trouble> {
        into.push('{');
        let mut place = 0;
        while let Some((next, key, value)) = self.entry(dict, place)? {
            into.push_str(if place > 0 { ", " } else { "" });
            self.write(&key, depth + 1, into)?;
            into.push_str(": ");
            self.write(&value, depth + 1, into)?;
            place = next;
        }
        into.push('}');
        Ok(())
    }

    /// Returns whether two values are equal.
    ///
    /// # Errors
    /// If they are too deep, or take too long.
    pub(super) fn equal(&mut self, left: &Value, right: &Value) -> Result<bool, Trouble> {
        self.equal_at(left, right, 0)
    }

    fn equal_at(&mut self, left: &Value, right: &Value, depth: usize) -> Result<bool, Trouble> {
        if depth > MOST_NESTED {
            return Err(TOO_DEEP.into());
        }
        self.meter.step(1)?;
        Ok(match (left, right) {
            (Value::None, Value::None) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                compare_numbers(left, right) == Some(Ordering::Equal)
            }
            (Value::Text(left), Value::Text(right)) => {
                self.meter.look(left.len().min(right.len()))?;
                left == right
            }
            (Value::Builtin(left), Value::Builtin(right)) => left == right,
            (Value::Function(left), Value::Function(right)) => left == right,
            (Value::Dict(one), Value::Dict(other)) | (Value::Set(one), Value::Set(other)) => {
                self.equal_dicts(*one, *other, depth)?
            }
            (Value::List(_), Value::List(_))
            | (Value::Tuple(_), Value::Tuple(_))
            | (Value::Range(_), Value::Range(_)) => self.equal_parts(left, right, depth)?,
            _ => false,
        })
    }

    fn equal_parts(&mut self, left: &Value, right: &Value, depth: usize) -> Result<bool, Trouble> {
        if self.len(left) != self.len(right) {
            return Ok(false);
        }
        let (mut left_place, mut right_place) = (0, 0);
        while let Some(one) = self.next(left, &mut left_place)? {
            let other = self.next(right, &mut right_place)?;
            let is_equal = match other {
                Some(other) => self.equal_at(&one, &other, depth + 1)?,
                None => false,
            };
            if !is_equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_dicts(&mut self, left: usize, right: usize, depth: usize) -> Result<bool, Trouble> {
        if self.dicts[left].len() != self.dicts[right].len() {
            return Ok(false);
        }
        let mut place = 0;
        while let Some((next, key, value)) = self.entry(left, place)? {
            let hashed = self.key(&key)?;
            let other = self.dicts[right].get(&hashed).cloned();
            let is_equal = match other {
                Some(other) => self.equal_at(&value, &other, depth + 1)?,
                None => false,
            };
            if !is_equal {
                return Ok(false);
            }
            place = next;
        }
        Ok(true)
    }

    /// Returns which of two values comes first.
    ///
    /// # Errors
    /// If they have no order.
    pub(super) fn compare(&mut self, left: &Value, right: &Value) -> Result<Ordering, Trouble> {
        self.compare_at(left, right, 0)
    }

    fn compare_at(
        &mut self,
        left: &Value,
        right: &Value,
        depth: usize,
    ) -> Result<Ordering, Trouble> {
        if depth > MOST_NESTED {
            return Err(TOO_DEEP.into());
        }
        self.meter.step(1)?;
        let order = match (left, right) {
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            (Value::Text(left), Value::Text(right)) => {
                self.meter.look(left.len().min(right.len()))?;
                Some(left.cmp(right))
            }
            (Value::List(_), Value::List(_)) | (Value::Tuple(_), Value::Tuple(_)) => {
                return self.compare_parts(left, right, depth);
            }
            _ => compare_numbers(left, right),
        };
        let (left, right) = (left.kind(), right.kind());
        order.ok_or_else(|| format!("{left} and {right} can't be ordered").into())
    }

    fn compare_parts(
        &mut self,
        left: &Value,
        right: &Value,
        depth: usize,
    ) -> Result<Ordering, Trouble> {
        let (mut left_place, mut right_place) = (0, 0);
        loop {
            let one = self.next(left, &mut left_place)?;
            let other = self.next(right, &mut right_place)?;
            let (Some(one), Some(other)) = (one, other) else {
                return Ok(self.len(left).cmp(&self.len(right)));
            };
            if !self.equal_at(&one, &other, depth + 1)? {
                return self.compare_at(&one, &other, depth + 1);
            }
        }
    }

    /// Returns a value of JSON as one of a script.
    ///
    /// # Errors
    /// If it is too deep, or there is no memory left.
    pub(super) fn json_in(&mut self, json: &serde_json::Value) -> Result<Value, Trouble> {
        self.meter.enter()?;
        let value = match json {
            serde_json::Value::Null => Value::None,
            serde_json::Value::Bool(bool) => Value::Bool(*bool),
            serde_json::Value::Number(number) => from_number(number),
            serde_json::Value::String(text) => self.text(text)?,
            serde_json::Value::Array(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| self.json_in(item)).collect();
                self.list(items?)?
            }
            serde_json::Value::Object(map) => {
                let dict = self.empty()?;
                for (key, value) in map {
                    let (key, value) = (self.text(key)?, self.json_in(value)?);
                    self.insert(dict, key, value)?;
                }
                Value::Dict(dict)
            }
        };
        self.meter.leave();
        Ok(value)
    }

    /// Returns a value as JSON.
    ///
    /// # Errors
    /// If it is too deep or too large, or holds what JSON does not have.
    pub(super) fn json_out(&mut self, value: &Value) -> Result<serde_json::Value, Trouble> {
        self.json_out_at(value, 0)
    }

    fn json_out_at(&mut self, value: &Value, depth: usize) -> Result<serde_json::Value, Trouble> {
        if depth > MOST_NESTED {
            return Err(TOO_DEEP.into());
        }
        self.meter.take(64)?;
        Ok(match value {
            Value::None => serde_json::Value::Null,
            Value::Bool(bool) => (*bool).into(),
            Value::Int(int) => to_number(*int)?,
            Value::Float(float) => {
                let number = serde_json::Number::from_f64(*float);
                number
                    .ok_or("a float that is no number can't be given back")?
                    .into()
            }
            Value::Text(text) => {
                self.meter.take(text.len())?;
                (**text).into()
            }
            Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Range(_) => {
                let parts = self.parts(value)?;
                let parts: Result<_, _> = parts
                    .iter()
                    .map(|part| self.json_out_at(part, depth + 1))
                    .collect();
                serde_json::Value::Array(parts?)
            }
            Value::Dict(dict) => self.map_out(*dict, depth)?,
            _ => return Err(format!("a {} can't be given back", value.kind()).into()),
        })
    }

    fn map_out(&mut self, dict: usize, depth: usize) -> Result<serde_json::Value, Trouble> {
        let (mut map, mut place) = (serde_json::Map::new(), 0);
        while let Some((next, key, value)) = self.entry(dict, place)? {
            let Value::Text(key) = key else {
                return Err(
                    format!("the key {} of a dict is no string", self.written(&key)?).into(),
                );
            };
            self.meter.take(key.len() + 64)?;
            let value = self.json_out_at(&value, depth + 1)?;
            map.insert(key.to_string(), value);
            place = next;
        }
        Ok(serde_json::Value::Object(map))
    }
}

fn from_number(number: &serde_json::Number) -> Value {
    let int = number
        .as_i64()
        .map(i128::from)
        .or(number.as_u64().map(i128::from));
    int.map_or_else(
        || Value::Float(number.as_f64().unwrap_or_default()),
        Value::Int,
    )
}

fn to_number(int: i128) -> Result<serde_json::Value, Trouble> {
    let small = i64::try_from(int).map(Into::into);
    let large = || u64::try_from(int).map(Into::into);
    small
        .or_else(|_| large())
        .map_err(|_| format!("{int} is too large to be given back").into())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "as in Starlark, large numbers are compared as floats"
)]
fn compare_numbers(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Float(right)) => (*left as f64).partial_cmp(right),
        (Value::Float(left), Value::Int(right)) => left.partial_cmp(&(*right as f64)),
        _ => None,
    }
}

fn shown_float(float: f64) -> String {
    if float.is_nan() {
        return "nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+inf" } else { "-inf" }.into();
    }
    whole(float).map_or_else(|| float.to_string(), |_| format!("{float:.1}"))
}

/// Returns a text between quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
