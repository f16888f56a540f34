//! The functions that every script has.

use std::cmp::Ordering;

use super::{
    machine::{Arguments, Machine},
    operate::text_of,
    tree::Trouble,
    value::{Heap, Range, Value, size, whole},
};

const FUNCTIONS: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "dict",
    "enumerate",
    "fail",
    "float",
    "getattr",
    "hasattr",
    "int",
    "len",
    "list",
    "max",
    "min",
    "print",
    "range",
    "repr",
    "reversed",
    "set",
    "sorted",
    "str",
    "tuple",
    "type",
    "zip",
];
/// Returns what a name stands for in every script.
pub(super) fn find(name: &str) -> Option<Value> {
    match name {
        "None" => Some(Value::None),
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        _ => {
            let known = FUNCTIONS.iter().find(|known| **known == name);
            known.map(|known| Value::Builtin(known))
        }
    }
}

impl Machine {
    /// Returns what a function of this program returns.
    pub(super) fn call_builtin(
        &mut self,
        name: &'static str,
        mut given: Arguments,
    ) -> Result<Value, Trouble> {
        match name {
            "print" => self.print(&given),
            "sorted" => self.sorted(&given),
            "max" | "min" => self.extreme(name, &given),
            "dict" => {
                let dict = self.heap.empty()?;
                self.heap.update(dict, &given)?;
                Ok(Value::Dict(dict))
            }
            "int" => {
                let base = take_name(&mut given, "base");
                given.places.extend(base);
                self.heap.int(&given.places)
            }
            "enumerate" => {
                let start = take_name(&mut given, "start");
                given.places.extend(start);
                self.heap.enumerate(&given.places)
            }
            _ if !given.names.is_empty() => {
                Err(format!("{name}: unexpected keyword argument {}", given.names[0].0).into())
            }
            _ => {
                let value = self.heap.builtin(name, &given.places);
                value.map_err(|trouble| Trouble {
                    message: if name == "fail" {
                        trouble.message
                    } else {
                        format!("{name}: {}", trouble.message)
                    },
                    ..trouble
                })
            }
        }
    }

    fn print(&mut self, given: &Arguments) -> Result<Value, Trouble> {
        let separator = given.names.iter().find(|(name, _)| &**name == "sep");
        let separator = separator.map_or_else(|| Ok(" ".into()), |(_, value)| text_of(value))?;
        let most = self.heap.meter.printable();
        for (number, value) in given.places.iter().enumerate() {
            let text = self.heap.shown(value)?;
            push_some(
                &mut self.printed,
                if number > 0 { &separator } else { "" },
                most,
            );
            push_some(&mut self.printed, &text, most);
        }
        push_some(&mut self.printed, "\n", most);
        Ok(Value::None)
    }

    fn sorted(&mut self, given: &Arguments) -> Result<Value, Trouble> {
        let [over] = &given.places[..] else {
            return Err("sorted: wants one positional argument".into());
        };
        let named = |wanted: &str| given.names.iter().find(|(name, _)| &**name == wanted);
        let is_reverse = named("reverse").is_some_and(|(_, value)| self.heap.truth(value));
        let parts = self.heap.parts(over)?;
        self.heap.meter.take(size(parts.len() * 4))?;
        let mut keyed = Vec::with_capacity(parts.len());
        for part in parts {
            let key = match named("key") {
                Some((_, function)) => self.call(function, one(part.clone()))?,
                None => part.clone(),
            };
            keyed.push((key, part));
        }
        let sorted = self.heap.sort(keyed, is_reverse)?;
        self.heap
            .list(sorted.into_iter().map(|(_, part)| part).collect())
    }

    fn extreme(&mut self, name: &'static str, given: &Arguments) -> Result<Value, Trouble> {
        let key = given
            .names
            .iter()
            .find(|(name, _)| &**name == "key")
            .map(|(_, function)| function.clone());
        let parts = match &given.places[..] {
            [over] => self.heap.parts(over)?,
            several => several.to_vec(),
        };
        let mut best: Option<(Value, Value)> = None;
        let wanted = if name == "max" {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        for part in parts {
            let rank = match &key {
                Some(function) => self.call(function, one(part.clone()))?,
                None => part.clone(),
            };
            let is_better = match &best {
                Some((top, _)) => self.heap.compare(&rank, top)? == wanted,
                None => true,
            };
            if is_better {
                best = Some((rank, part));
            }
        }
        best.map(|(_, part)| part)
            .ok_or_else(|| format!("{name}: argument is an empty sequence").into())
    }
}

impl Heap {
    fn builtin(&mut self, name: &str, given: &[Value]) -> Result<Value, Trouble> {
        match (name, given) {
            ("abs", [Value::Int(int)]) => Ok(Value::Int(int.saturating_abs())),
            ("abs", [Value::Float(float)]) => Ok(Value::Float(float.abs())),
            ("all" | "any", [over]) => self.quantified(name == "any", over),
            ("bool", []) => Ok(Value::Bool(false)),
            ("bool", [value]) => Ok(Value::Bool(self.truth(value))),
            ("fail", _) => Err(self.failure(given)?),
            ("float", [value]) => to_float(value),
            ("hasattr", [of, Value::Text(name)]) => {
                Ok(Value::Bool(super::method::exists(of, name)))
            }
            ("getattr", [_, _, default]) => Ok(default.clone()),
            ("len", [Value::Text(text)]) => {
                self.meter.look(text.len())?;
                Ok(Value::Int(text.chars().count() as i128))
            }
            ("len", [of]) => {
                let len = self
                    .len(of)
                    .ok_or_else(|| format!("value of type {} has no len", of.kind()))?;
                Ok(Value::Int(len as i128))
            }
            ("list" | "tuple" | "set", []) => self.collected(name, Vec::new()),
            ("list" | "tuple" | "set", [over]) => {
                let parts = self.parts(over)?;
                self.collected(name, parts)
            }
            ("range", given) => self.range(given),
            ("repr", [value]) => self.written(value).map(|text| Value::Text(text.into())),
            ("reversed", [over]) => {
                let mut parts = self.parts(over)?;
                parts.reverse();
                self.list(parts)
            }
            ("str", [value]) => self.shown(value).map(|text| Value::Text(text.into())),
            ("type", [value]) => Ok(Value::text(value.kind())),
            ("zip", lists) => self.zip(lists),
            ("json.encode", [value]) => self.encode(value),
            ("json.decode", [Value::Text(text)]) => self.decode(text),
            ("yaml.dumps", [value]) => self.encode_yaml(value),
            ("yaml.loads", [Value::Text(text)]) => self.decode_yaml(text),
            ("krmfn.match_gvk", [of, Value::Text(version), Value::Text(kind)]) => {
                let is_version = self.reads(of, &["apiVersion"], version)?;
                Ok(Value::Bool(is_version && self.reads(of, &["kind"], kind)?))
            }
            ("krmfn.match_name", [of, Value::Text(name)]) => {
                self.reads(of, &["metadata", "name"], name).map(Value::Bool)
            }
            ("krmfn.match_namespace", [of, Value::Text(name)]) => self
                .reads(of, &["metadata", "namespace"], name)
                .map(Value::Bool),
            _ => {
                let kinds: Vec<_> = given.iter().take(9).map(Value::kind).collect();
                Err(format!("can't be called with ({})", kinds.join(", ")).into())
            }
        }
    }

    fn collected(&mut self, name: &str, parts: Vec<Value>) -> Result<Value, Trouble> {
        match name {
            "list" => self.list(parts),
            "tuple" => self.tuple(parts),
            _ => {
                let set = self.empty()?;
                for part in parts {
                    self.insert(set, part, Value::None)?;
                }
                Ok(Value::Set(set))
            }
        }
    }

    fn failure(&mut self, given: &[Value]) -> Result<Trouble, Trouble> {
        let mut message = String::from("fail:");
        for value in given {
            message.push(' ');
            message.push_str(&self.shown(value)?);
        }
        Ok(message.into())
    }

    fn quantified(&mut self, is_any: bool, over: &Value) -> Result<Value, Trouble> {
        let mut place = 0;
        while let Some(part) = self.next(over, &mut place)? {
            if self.truth(&part) == is_any {
                return Ok(Value::Bool(is_any));
            }
        }
        Ok(Value::Bool(!is_any))
    }

    fn range(&mut self, given: &[Value]) -> Result<Value, Trouble> {
        let (start, end, by) = match given {
            [Value::Int(end)] => (0, *end, 1),
            [Value::Int(start), Value::Int(end)] => (*start, *end, 1),
            [Value::Int(start), Value::Int(end), Value::Int(by)] => (*start, *end, *by),
            _ => return Err("wants one, two or three ints".into()),
        };
        let is_small = |int: i128| i64::try_from(int).is_ok();
        if by == 0 || !is_small(start) || !is_small(end) || !is_small(by) {
            return Err("the step must not be zero, and no number too large".into());
        }
        let span = if by > 0 { end - start } else { start - end };
        let len = (span.max(0) + by.abs() - 1) / by.abs();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.meter.take(size_of::<Range>())?;
        self.ranges.push(Range {
            start,
            step: by,
            len,
        });
        Ok(Value::Range(self.ranges.len() - 1))
    }

    fn zip(&mut self, lists: &[Value]) -> Result<Value, Trouble> {
        let (mut rows, mut places) = (Vec::new(), vec![0; lists.len()]);
        loop {
            let mut row = Vec::new();
            for (list, place) in lists.iter().zip(&mut places) {
                row.extend(self.next(list, place)?);
            }
            if row.len() < lists.len() || lists.is_empty() {
                return self.list(rows);
            }
            rows.push(self.tuple(row)?);
        }
    }

    fn enumerate(&mut self, given: &[Value]) -> Result<Value, Trouble> {
        let (over, mut number) = match given {
            [over] => (over, 0),
            [over, Value::Int(start)] => (over, *start),
            _ => return Err("enumerate: wants a list, and a number to start from".into()),
        };
        let (mut rows, mut place) = (Vec::new(), 0);
        while let Some(part) = self.next(over, &mut place)? {
            rows.push(self.tuple(vec![Value::Int(number), part])?);
            number = number.saturating_add(1);
        }
        self.list(rows)
    }

    fn int(&mut self, given: &[Value]) -> Result<Value, Trouble> {
        let (value, base) = match given {
            [value] => (value, 10),
            [value, Value::Int(base)] => (value, u32::try_from(*base).unwrap_or(99)),
            _ => return Err("int: wants a value, and perhaps a base".into()),
        };
        let made = match value {
            Value::Int(int) => Some(*int),
            Value::Bool(bool) => Some(i128::from(*bool)),
            Value::Float(float) => whole(float.trunc()),
            Value::Text(text) if (2..=36).contains(&base) => {
                self.meter.look(text.len())?;
                i128::from_str_radix(text.trim(), base).ok()
            }
            _ => None,
        };
        let told = self.written(value)?;
        let told = || format!("int: {told} can't be read as an int");
        Ok(Value::Int(made.ok_or_else(told)?))
    }

    /// Sorts by keys; those of equal keys keep their order.
    fn sort(
        &mut self,
        pairs: Vec<(Value, Value)>,
        is_reverse: bool,
    ) -> Result<Vec<(Value, Value)>, Trouble> {
        if pairs.len() < 2 {
            return Ok(pairs);
        }
        self.meter.step(pairs.len())?;
        let mut left = pairs;
        let right = left.split_off(left.len() / 2);
        let mut left = self.sort(left, is_reverse)?.into_iter().peekable();
        let mut right = self.sort(right, is_reverse)?.into_iter().peekable();
        let mut merged = Vec::with_capacity(left.len() + right.len());
        let late = if is_reverse {
            Ordering::Less
        } else {
            Ordering::Greater
        };
        while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
            let is_right = self.compare(&one.0, &other.0)? == late;
            merged.extend(if is_right { right.next() } else { left.next() });
        }
        merged.extend(left.chain(right));
        Ok(merged)
    }
}

fn one(value: Value) -> Arguments {
    Arguments {
        places: vec![value],
        names: Vec::new(),
    }
}

fn take_name(given: &mut Arguments, wanted: &str) -> Option<Value> {
    let place = given.names.iter().position(|(name, _)| &**name == wanted)?;
    Some(given.names.remove(place).1)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "that is what a conversion to a float is"
)]
fn to_float(value: &Value) -> Result<Value, Trouble> {
    let made = match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    let told = || format!("{} can't be read as a float", value.kind());
    Ok(Value::Float(made.ok_or_else(told)?))
}

/// Appends as much of a text as there is room for.
fn push_some(into: &mut String, text: &str, most: usize) {
    let room = most.saturating_sub(into.len());
    into.push_str(&text[..text.floor_char_boundary(room)]);
}
