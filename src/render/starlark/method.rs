//! The methods of lists, dicts and sets; those of texts are next door.

use super::{
    machine::{Arguments, Machine},
    tree::Trouble,
    value::{Heap, Value},
};

const LIST: &[&str] = &[
    "append", "clear", "extend", "index", "insert", "pop", "remove",
];
const DICT: &[&str] = &[
    "clear",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];
const SET: &[&str] = &[
    "add",
    "clear",
    "difference",
    "discard",
    "intersection",
    "remove",
    "union",
];

/// Returns whether a value has a method.
pub(super) fn exists(of: &Value, name: &str) -> bool {
    match of {
        Value::Text(_) => super::text::METHODS.contains(&name),
        Value::List(_) => LIST.contains(&name),
        Value::Dict(_) => DICT.contains(&name),
        Value::Set(_) => SET.contains(&name),
        _ => false,
    }
}

impl Machine {
    /// Returns what a method of a value returns.
    pub(super) fn call_method(
        &mut self,
        of: &Value,
        name: &str,
        given: &Arguments,
    ) -> Result<Value, Trouble> {
        if !exists(of, name) {
            return Err(format!("{} has no .{name} field or method", of.kind()).into());
        }
        let takes_names = matches!(name, "update" | "format");
        if let (Some((unknown, _)), false) = (given.names.first(), takes_names) {
            return Err(format!("{name}: unexpected keyword argument {unknown}").into());
        }
        let done = match of {
            Value::Text(text) => self.heap.text_method(text, name, given),
            Value::List(list) => self.heap.list_method(*list, name, &given.places),
            Value::Dict(dict) => self.heap.dict_method(*dict, name, given),
            Value::Set(set) => self.heap.set_method(*set, name, &given.places),
            _ => Ok(Value::None),
        };
        done.map_err(|trouble| Trouble {
            message: format!("{name}: {}", trouble.message),
            ..trouble
        })
    }
}

/// Returns that a method does not take such arguments.
pub(super) fn mismatch<T>(given: &[Value]) -> Result<T, Trouble> {
    let kinds: Vec<_> = given.iter().take(9).map(Value::kind).collect();
    Err(format!("can't be called with ({})", kinds.join(", ")).into())
}

impl Heap {
    fn list_method(&mut self, list: usize, name: &str, given: &[Value]) -> Result<Value, Trouble> {
        match (name, given) {
            ("append", [value]) => {
                self.meter.take(size_of::<Value>())?;
                self.mutable(list)?.push(value.clone());
            }
            ("clear", []) => self.mutable(list)?.clear(),
            ("extend", [over]) => {
                let parts = self.parts(over)?;
                self.mutable(list)?.extend(parts);
            }
            ("index", [value]) => return Ok(Value::Int(self.place_of(list, value)? as i128)),
            ("insert", [Value::Int(at), value]) => {
                let len = self.lists[list].items.len();
                self.meter.take(size_of::<Value>())?;
                self.meter.step(len / 8)?;
                let at = if *at < 0 {
                    at.saturating_add(len as i128)
                } else {
                    *at
                };
                let place = usize::try_from(at.max(0)).unwrap_or(len).min(len);
                self.mutable(list)?.insert(place, value.clone());
            }
            ("pop", [] | [Value::Int(_)]) => {
                let at = given.first().cloned().unwrap_or(Value::Int(-1));
                let value = self.index(&Value::List(list), &at)?;
                let len = self.lists[list].items.len();
                let Value::Int(at) = at else {
                    return mismatch(given);
                };
                let place = if at < 0 { at + len as i128 } else { at };
                self.take_out(list, usize::try_from(place).unwrap_or_default())?;
                return Ok(value);
            }
            ("remove", [value]) => {
                let place = self.place_of(list, value)?;
                self.take_out(list, place)?;
            }
            _ => return mismatch(given),
        }
        Ok(Value::None)
    }

    fn take_out(&mut self, list: usize, place: usize) -> Result<(), Trouble> {
        let moved = self.lists[list].items.len() - place;
        self.meter.step(moved / 8)?;
        self.mutable(list)?.remove(place);
        Ok(())
    }

    fn place_of(&mut self, list: usize, value: &Value) -> Result<usize, Trouble> {
        let (of, mut place) = (Value::List(list), 0);
        while let Some(there) = self.next(&of, &mut place)? {
            if self.equal(&there, value)? {
                return Ok(place - 1);
            }
        }
        Err("value not in list".into())
    }

    fn dict_method(
        &mut self,
        dict: usize,
        name: &str,
        given: &Arguments,
    ) -> Result<Value, Trouble> {
        match (name, &given.places[..]) {
            ("clear", []) => {
                self.free_dict(dict)?.clear();
                Ok(Value::None)
            }
            ("get", [key] | [key, _]) => {
                let key = self.key(key)?;
                let found = self.dicts[dict].get(&key).cloned();
                Ok(found
                    .or_else(|| given.places.get(1).cloned())
                    .unwrap_or(Value::None))
            }
            ("keys" | "values" | "items", []) => self.listed(dict, name),
            ("pop", [key] | [key, _]) => {
                let hashed = self.key(key)?;
                let taken = self.free_dict(dict)?.remove(&hashed);
                match taken.or_else(|| given.places.get(1).cloned()) {
                    Some(value) => Ok(value),
                    None => Err(format!("missing key {}", self.written(key)?).into()),
                }
            }
            ("popitem", []) => {
                let (_, key, value) = self.entry(dict, 0)?.ok_or("the dict is empty")?;
                let hashed = self.key(&key)?;
                self.free_dict(dict)?.remove(&hashed);
                self.tuple(vec![key, value])
            }
            ("setdefault", [key] | [key, _]) => {
                let hashed = self.key(key)?;
                if let Some(value) = self.dicts[dict].get(&hashed) {
                    return Ok(value.clone());
                }
                let value = given.places.get(1).cloned().unwrap_or(Value::None);
                self.insert(dict, key.clone(), value.clone())?;
                Ok(value)
            }
            ("update", _) => {
                self.update(dict, given)?;
                Ok(Value::None)
            }
            (_, places) => mismatch(places),
        }
    }

    /// Returns a dict or a set that no loop goes over.
    fn free_dict(&mut self, dict: usize) -> Result<&mut super::value::Dict, Trouble> {
        let dict = &mut self.dicts[dict];
        if dict.busy > 0 {
            return Err("can't change a dict during iteration".into());
        }
        Ok(dict)
    }

    fn listed(&mut self, dict: usize, what: &str) -> Result<Value, Trouble> {
        let (mut parts, mut place) = (Vec::new(), 0);
        while let Some((next, key, value)) = self.entry(dict, place)? {
            self.meter.take(size_of::<Value>())?;
            parts.push(match what {
                "keys" => key,
                "values" => value,
                _ => self.tuple(vec![key, value])?,
            });
            place = next;
        }
        self.list(parts)
    }

    /// Puts entries into a dict as `dict` and `update` take them: from a dict or from pairs, and by name.
    ///
    /// # Errors
    /// If they are no entries.
    pub(super) fn update(&mut self, dict: usize, given: &Arguments) -> Result<(), Trouble> {
        match &given.places[..] {
            [] => {}
            [Value::Dict(from)] => self.add_all(dict, *from)?,
            [pairs] => {
                let mut place = 0;
                while let Some(pair) = self.next(pairs, &mut place)? {
                    let pair = self.parts(&pair)?;
                    let [key, value] = &pair[..] else {
                        return Err("wants pairs of key and value".into());
                    };
                    self.insert(dict, key.clone(), value.clone())?;
                }
            }
            several => return mismatch(several),
        }
        for (name, value) in &given.names {
            self.insert(dict, Value::Text(name.clone()), value.clone())?;
        }
        Ok(())
    }

    fn set_method(&mut self, set: usize, name: &str, given: &[Value]) -> Result<Value, Trouble> {
        match (name, given) {
            ("add", [value]) => {
                self.insert(set, value.clone(), Value::None)?;
                Ok(Value::None)
            }
            ("clear", []) => {
                self.free_dict(set)?.clear();
                Ok(Value::None)
            }
            ("discard" | "remove", [value]) => {
                let key = self.key(value)?;
                let taken = self.free_dict(set)?.remove(&key);
                if taken.is_none() && name == "remove" {
                    return Err("missing key".into());
                }
                Ok(Value::None)
            }
            ("union" | "intersection" | "difference", [over]) => {
                let other = self.empty()?;
                for part in self.parts(over)? {
                    self.insert(other, part, Value::None)?;
                }
                let operator = match name {
                    "union" => "|",
                    "intersection" => "&",
                    _ => "-",
                };
                self.binary(operator, &Value::Set(set), &Value::Set(other))
            }
            _ => mismatch(given),
        }
    }
}
