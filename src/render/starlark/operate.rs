//! What operators do with values. Whatever could be large is paid for before it is made.

use std::{cmp::Ordering, rc::Rc};

use super::{
    tree::Trouble,
    value::{Heap, Value, size},
};

const TOO_LARGE: &str = "the number is too large";

impl Heap {
    /// Returns what an operator of one side makes of a value.
    pub(super) fn unary(&mut self, operator: &str, inner: &Value) -> Result<Value, Trouble> {
        Ok(match (operator, inner) {
            ("not", inner) => Value::Bool(!self.truth(inner)),
            ("-", Value::Int(int)) => Value::Int(int.checked_neg().ok_or(TOO_LARGE)?),
            ("-", Value::Float(float)) => Value::Float(-float),
            ("+", Value::Int(_) | Value::Float(_)) => inner.clone(),
            ("~", Value::Int(int)) => Value::Int(!int),
            _ => return Err(format!("unknown unary op: {operator}{}", inner.kind()).into()),
        })
    }

    /// Returns what an operator of two sides makes of them.
    pub(super) fn binary(
        &mut self,
        operator: &str,
        left: &Value,
        right: &Value,
    ) -> Result<Value, Trouble> {
        match operator {
            "==" => return Ok(Value::Bool(self.equal(left, right)?)),
            "!=" => return Ok(Value::Bool(!self.equal(left, right)?)),
            "<" | ">" | "<=" | ">=" => return self.ordered(operator, left, right),
            "in" => return Ok(Value::Bool(self.contains(right, left)?)),
            "not in" => return Ok(Value::Bool(!self.contains(right, left)?)),
            _ => {}
        }
        match (operator, left, right) {
            (_, Value::Int(left), Value::Int(right)) => integers(operator, *left, *right),
            (_, Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                floats(operator, float(left), float(right))
            }
            ("+", ..) => self.joined(left, right),
            ("*", Value::Int(times), of) | ("*", of, Value::Int(times)) => {
                self.repeated(of, *times)
            }
            ("%", Value::Text(format), _) => self.percent(format, right),
            ("|" | "&" | "^" | "-", Value::Set(one), Value::Set(other)) => {
                self.sets(operator, *one, *other)
            }
            ("|", Value::Dict(one), Value::Dict(other)) => {
                let made = self.empty()?;
                self.add_all(made, *one)?;
                self.add_all(made, *other)?;
                Ok(Value::Dict(made))
            }
            _ => Err(unknown(operator, left, right)),
        }
    }

    /// Returns what `left operator= right` leaves in its target; lists and dicts are changed where they are.
    pub(super) fn augmented(
        &mut self,
        operator: &str,
        left: &Value,
        right: &Value,
    ) -> Result<Value, Trouble> {
        match (operator, left, right) {
            ("+", Value::List(list), Value::List(_) | Value::Tuple(_) | Value::Range(_)) => {
                let parts = self.parts(right)?;
                self.mutable(*list)?.extend(parts);
                Ok(left.clone())
            }
            ("|", Value::Dict(one), Value::Dict(other)) => {
                self.add_all(*one, *other)?;
                Ok(left.clone())
            }
            _ => self.binary(operator, left, right),
        }
    }

    /// Returns the items of a list that no loop goes over.
    pub(super) fn mutable(&mut self, list: usize) -> Result<&mut Vec<Value>, Trouble> {
        let list = &mut self.lists[list];
        if list.busy > 0 {
            return Err("can't change a list during iteration".into());
        }
        Ok(&mut list.items)
    }

    /// Puts all entries of a dict into another.
    pub(super) fn add_all(&mut self, into: usize, from: usize) -> Result<(), Trouble> {
        let mut place = 0;
        while let Some((next, key, value)) = self.entry(from, place)? {
            self.insert(into, key, value)?;
            place = next;
        }
        Ok(())
    }

    fn sets(&mut self, operator: &str, one: usize, other: usize) -> Result<Value, Trouble> {
        let (made, mut place) = (self.empty()?, 0);
        while let Some((next, key, _)) = self.entry(one, place)? {
            let hashed = self.key(&key)?;
            let is_in_other = self.dicts[other].get(&hashed).is_some();
            if operator == "|" || (operator == "&") == is_in_other {
                self.insert(made, key, Value::None)?;
            }
            place = next;
        }
        place = 0;
        while let Some((next, key, _)) = self.entry(other, place)? {
            let hashed = self.key(&key)?;
            let is_in_one = self.dicts[one].get(&hashed).is_some();
            if !is_in_one && matches!(operator, "|" | "^") {
                self.insert(made, key, Value::None)?;
            }
            place = next;
        }
        Ok(Value::Set(made))
    }

    fn ordered(&mut self, operator: &str, left: &Value, right: &Value) -> Result<Value, Trouble> {
        let order = self.compare(left, right)?;
        Ok(Value::Bool(match operator {
            "<" => order == Ordering::Less,
            ">" => order == Ordering::Greater,
            "<=" => order != Ordering::Greater,
            _ => order != Ordering::Less,
        }))
    }

    /// Returns whether a value has a part.
    pub(super) fn contains(&mut self, of: &Value, part: &Value) -> Result<bool, Trouble> {
        match (of, part) {
            (Value::Text(text), Value::Text(part)) => {
                self.meter.look(text.len() + part.len())?;
                Ok(text.contains(&**part))
            }
            (Value::Text(_), _) => {
                Err(format!("'in <string>' requires string, not {}", part.kind()).into())
            }
            (Value::Dict(dict) | Value::Set(dict), _) => {
                let key = self.key(part)?;
                Ok(self.dicts[*dict].get(&key).is_some())
            }
            _ => {
                let mut place = 0;
                while let Some(there) = self.next(of, &mut place)? {
                    if self.equal(&there, part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    fn joined(&mut self, left: &Value, right: &Value) -> Result<Value, Trouble> {
        match (left, right) {
            (Value::Text(one), Value::Text(other)) => {
                self.meter.take(one.len() + other.len() + 32)?;
                let mut text = String::with_capacity(one.len() + other.len());
                text.push_str(one);
                text.push_str(other);
                Ok(Value::Text(text.into()))
            }
            (Value::List(_), Value::List(_)) | (Value::Tuple(_), Value::Tuple(_)) => {
                let mut parts = self.parts(left)?;
                parts.extend(self.parts(right)?);
                self.same_kind(left, parts)
            }
            _ => Err(unknown("+", left, right)),
        }
    }

    /// Returns a list or a tuple, as another value is one.
    fn same_kind(&mut self, like: &Value, parts: Vec<Value>) -> Result<Value, Trouble> {
        if matches!(like, Value::List(_)) {
            self.list(parts)
        } else {
            self.tuple(parts)
        }
    }

    fn repeated(&mut self, of: &Value, times: i128) -> Result<Value, Trouble> {
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        match of {
            Value::Text(text) => {
                self.meter
                    .take(text.len().saturating_mul(times).saturating_add(32))?;
                Ok(Value::Text(text.repeat(times).into()))
            }
            Value::List(_) | Value::Tuple(_) => {
                let parts = self.parts(of)?;
                self.meter.take(size(parts.len().saturating_mul(times)))?;
                let count = parts.len().saturating_mul(times);
                let parts = parts.into_iter().cycle().take(count).collect();
                self.same_kind(of, parts)
            }
            _ => Err(unknown("*", of, &Value::Int(0))),
        }
    }

    /// Returns the part of a value at an index, or under a key.
    pub(super) fn index(&mut self, of: &Value, index: &Value) -> Result<Value, Trouble> {
        if let Value::Dict(dict) = of {
            let key = self.key(index)?;
            if let Some(value) = self.dicts[*dict].get(&key) {
                return Ok(value.clone());
            }
            return Err(format!("key {} not in dict", self.written(index)?).into());
        }
        if let Value::Text(text) = of {
            self.meter.look(text.len())?;
            let place = place_in(text.chars().count(), index)?;
            let c = text.chars().nth(place).map(String::from);
            return Ok(Value::Text(c.unwrap_or_default().into()));
        }
        let Some(len) = self.len(of).filter(|_| !matches!(of, Value::Set(_))) else {
            return Err(
                format!("unhandled index operation {}[{}]", of.kind(), index.kind()).into(),
            );
        };
        let mut place = place_in(len, index)?;
        Ok(self.next(of, &mut place)?.unwrap_or(Value::None))
    }

    /// Puts a value at an index, or under a key.
    pub(super) fn set_index(
        &mut self,
        of: &Value,
        index: Value,
        value: Value,
    ) -> Result<(), Trouble> {
        match of {
            Value::Dict(dict) => self.insert(*dict, index, value),
            Value::List(list) => {
                let items = self.mutable(*list)?;
                let place = place_in(items.len(), &index)?;
                items[place] = value;
                Ok(())
            }
            _ => Err(format!("{} value does not support item assignment", of.kind()).into()),
        }
    }

    /// Returns the parts of a value between two bounds.
    pub(super) fn slice(
        &mut self,
        of: &Value,
        bounds: [Option<i128>; 3],
    ) -> Result<Value, Trouble> {
        let step = bounds[2].unwrap_or(1);
        if step == 0 {
            return Err("zero is not a valid slice step".into());
        }
        if let Value::Text(text) = of {
            self.meter.take(text.len().saturating_mul(5))?;
            let chars: Vec<char> = text.chars().collect();
            let places = places(chars.len(), bounds, step);
            let text: String = places
                .into_iter()
                .filter_map(|place| chars.get(place))
                .collect();
            return Ok(Value::Text(text.into()));
        }
        if !matches!(of, Value::List(_) | Value::Tuple(_) | Value::Range(_)) {
            return Err(format!("invalid slice operand {}", of.kind()).into());
        }
        let len = self.len(of).unwrap_or_default();
        if matches!(of, Value::Range(_)) {
            self.meter.take(size(len))?;
        }
        let places = places(len, bounds, step);
        self.meter.take(size(places.len()))?;
        let mut parts = Vec::with_capacity(places.len());
        for mut place in places {
            parts.extend(self.next(of, &mut place)?);
        }
        self.same_kind(of, parts)
    }
}

fn unknown(operator: &str, left: &Value, right: &Value) -> Trouble {
    format!(
        "unknown binary op: {} {operator} {}",
        left.kind(),
        right.kind()
    )
    .into()
}

/// Returns the place that an index tells; a negative one counts from the end.
fn place_in(len: usize, index: &Value) -> Result<usize, Trouble> {
    let Value::Int(index) = index else {
        return Err(format!("an index must be an int, not {}", index.kind()).into());
    };
    let from_begin = if *index < 0 {
        index.checked_add(len as i128)
    } else {
        Some(*index)
    };
    let place = from_begin.and_then(|place| usize::try_from(place).ok());
    let inside = place.filter(|place| *place < len);
    inside.ok_or_else(|| format!("index {index} out of range: there are {len} parts").into())
}

/// Returns the places of a slice, in its order.
fn places(len: usize, bounds: [Option<i128>; 3], step: i128) -> Vec<usize> {
    let end = len as i128;
    let (low, high) = if step > 0 { (0, end) } else { (-1, end - 1) };
    let bound = |bound: Option<i128>, otherwise: i128| {
        let from_begin = |bound: i128| {
            if bound < 0 {
                bound.saturating_add(end)
            } else {
                bound
            }
        };
        bound.map_or(otherwise, |bound| from_begin(bound).clamp(low, high))
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (mut at, until) = (bound(bounds[0], first), bound(bounds[1], last));
    let mut places = Vec::new();
    while if step > 0 { at < until } else { at > until } {
        places.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    places
}

#[expect(
    clippy::cast_precision_loss,
    reason = "as in Starlark, an int among floats is a float"
)]
fn float(value: &Value) -> f64 {
    match value {
        Value::Int(int) => *int as f64,
        Value::Float(float) => *float,
        _ => f64::NAN,
    }
}

fn integers(operator: &str, left: i128, right: i128) -> Result<Value, Trouble> {
    let small = |right: i128| u32::try_from(right).ok();
    let made = match operator {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "//" | "%" if right == 0 => return Err("integer division by zero".into()),
        "//" => left
            .checked_div_euclid(right)
            .map(|_| floor_divide(left, right)),
        "%" => left.checked_rem(right).map(|rest| {
            let differs = rest != 0 && (rest < 0) != (right < 0);
            if differs { rest + right } else { rest }
        }),
        "|" => Some(left | right),
        "&" => Some(left & right),
        "^" => Some(left ^ right),
        ">>" => small(right).map(|by| left >> by.min(127)),
        "<<" => small(right)
            .filter(|by| *by < 126)
            .and_then(|by| left.checked_mul(1 << by)),
        _ => {
            return floats(
                operator,
                float(&Value::Int(left)),
                float(&Value::Int(right)),
            );
        }
    };
    made.map(Value::Int).ok_or_else(|| TOO_LARGE.into())
}

fn floor_divide(left: i128, right: i128) -> i128 {
    let (quotient, rest) = (left / right, left % right);
    let differs = rest != 0 && (rest < 0) != (right < 0);
    if differs { quotient - 1 } else { quotient }
}

fn floats(operator: &str, left: f64, right: f64) -> Result<Value, Trouble> {
    if right == 0.0 && matches!(operator, "/" | "//" | "%") {
        return Err("floating-point division by zero".into());
    }
    let made = match operator {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" => left / right,
        "//" => (left / right).floor(),
        "%" => left - right * (left / right).floor(),
        _ => return Err(unknown(operator, &Value::Float(left), &Value::Float(right))),
    };
    Ok(Value::Float(made))
}

/// Returns the text of a value that must be one.
pub(super) fn text_of(value: &Value) -> Result<Rc<str>, Trouble> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(format!("got {}, want string", value.kind()).into()),
    }
}
