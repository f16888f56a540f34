//! The values of a script, and the heap that they live in until it ends. A heap frees all at once: values that hold each other in a
//! circle, or that are nested deeper than any stack, end with it.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use super::{
    meter::Meter,
    tree::{Definition, Name, Trouble},
};

/// Most levels of lists and dicts within each other that are compared, printed or given back.
pub(super) const MOST_NESTED: usize = 200;
/// What a dict takes when it is empty.
const DICT: usize = 320;
/// What an entry of a dict takes, without its key's text.
const ENTRY: usize = 160;
/// What a frame takes when it is empty.
const FRAME: usize = 160;

/// A value; a number tells which of the heap's.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    List(usize),
    Tuple(usize),
    Dict(usize),
    Set(usize),
    Range(usize),
    Function(usize),
    /// A function of this program.
    Builtin(&'static str),
    /// A method with what it is a method of.
    Method(usize),
    /// Named values that can't be changed.
    Record(usize),
}

impl Value {
    /// Returns what `type` returns.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Set(_) => "set",
            Self::Range(_) => "range",
            Self::Function(_) => "function",
            Self::Builtin(_) | Self::Method(_) => "builtin_function_or_method",
            Self::Record(_) => "struct",
        }
    }

    /// Returns a text.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A value as a key of a dict: equal ones are equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    None,
    Bool(bool),
    Int(i128),
    Float(u64),
    Text(Rc<str>),
    Tuple(Vec<Key>),
}

#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    /// How many loops go over it: while one does, it is not changed.
    pub(super) busy: usize,
}

/// Entries in the order in which their keys came; a set has only keys.
#[derive(Debug, Default)]
pub(super) struct Dict {
    places: HashMap<Key, usize>,
    /// Those that were taken out are empty until half of them are.
    entries: Vec<Option<(Value, Value)>>,
    pub(super) busy: usize,
}

impl Dict {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        let place = *self.places.get(key)?;
        Some(&self.entries.get(place)?.as_ref()?.1)
    }

    pub(super) fn insert(&mut self, key: Key, entry: (Value, Value)) {
        if let Some(place) = self.places.get(&key) {
            if let Some(Some(there)) = self.entries.get_mut(*place) {
                there.1 = entry.1;
            }
            return;
        }
        self.places.insert(key, self.entries.len());
        self.entries.push(Some(entry));
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let place = self.places.remove(key)?;
        let taken = self.entries.get_mut(place)?.take()?;
        if self.entries.len() > 16 && self.places.len() < self.entries.len() / 2 {
            self.close_up();
        }
        Some(taken.1)
    }

    fn close_up(&mut self) {
        let mut now = 0;
        let mut moved = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            moved.push(now);
            now += usize::from(entry.is_some());
        }
        self.entries.retain(Option::is_some);
        for place in self.places.values_mut() {
            *place = moved[*place];
        }
    }

    pub(super) fn clear(&mut self) {
        // Emptied in place, they would keep their room, and each further emptying would go through all of it.
        self.places = HashMap::new();
        self.entries = Vec::new();
    }

    fn from(&self, place: usize) -> Option<(usize, &(Value, Value))> {
        let rest = self.entries.iter().enumerate().skip(place);
        let mut there = rest.filter_map(|(at, entry)| Some((at + 1, entry.as_ref()?)));
        there.next()
    }
}

/// Numbers that are counted out when they are needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) start: i128,
    pub(super) step: i128,
    pub(super) len: usize,
}

impl Range {
    pub(super) fn get(&self, place: usize) -> Option<Value> {
        let place = (place < self.len).then_some(i128::try_from(place).ok()?)?;
        Some(Value::Int(self.start + self.step * place))
    }
}

/// The variables of a call, of a comprehension, or of the whole script.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) locals: Rc<HashSet<Name>>,
    pub(super) values: HashMap<Name, Value>,
    pub(super) parent: Option<usize>,
    /// Whether a function was made in it, which may need it when the call is over.
    pub(super) kept: bool,
}

/// A function with where it was made.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) definition: Rc<Definition>,
    pub(super) defaults: Vec<Option<Value>>,
    pub(super) frame: usize,
}

/// All values of a run, and what it may still use.
pub(super) struct Heap {
    pub(super) meter: Meter,
    pub(super) lists: Vec<List>,
    pub(super) tuples: Vec<Rc<[Value]>>,
    pub(super) dicts: Vec<Dict>,
    pub(super) ranges: Vec<Range>,
    pub(super) functions: Vec<Rc<Function>>,
    pub(super) methods: Vec<(Value, Name)>,
    pub(super) records: Vec<Vec<(&'static str, Value)>>,
    pub(super) frames: Vec<Frame>,
}

impl Heap {
    pub(super) fn new(meter: Meter) -> Self {
        Self {
            meter,
            lists: Vec::new(),
            tuples: Vec::new(),
            dicts: Vec::new(),
            ranges: Vec::new(),
            functions: Vec::new(),
            methods: Vec::new(),
            records: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Returns a text as a value, which is paid for.
    pub(super) fn text(&mut self, text: &str) -> Result<Value, Trouble> {
        self.meter.take(text.len() + 32)?;
        Ok(Value::text(text))
    }

    pub(super) fn list(&mut self, items: Vec<Value>) -> Result<Value, Trouble> {
        self.meter.take(size(items.len()))?;
        self.lists.push(List { items, busy: 0 });
        Ok(Value::List(self.lists.len() - 1))
    }

    pub(super) fn tuple(&mut self, items: Vec<Value>) -> Result<Value, Trouble> {
        self.meter.take(size(items.len()))?;
        self.tuples.push(items.into());
        Ok(Value::Tuple(self.tuples.len() - 1))
    }

    pub(super) fn record(&mut self, fields: Vec<(&'static str, Value)>) -> Result<Value, Trouble> {
        self.meter.take(2 * size(fields.len()))?;
        self.records.push(fields);
        Ok(Value::Record(self.records.len() - 1))
    }

    /// Returns the number of a new, empty dict.
    pub(super) fn empty(&mut self) -> Result<usize, Trouble> {
        self.meter.take(DICT)?;
        self.dicts.push(Dict::default());
        Ok(self.dicts.len() - 1)
    }

    /// Puts an entry into a dict, or a key into a set.
    ///
    /// # Errors
    /// If the key can't be one, or a loop goes over the dict.
    pub(super) fn insert(&mut self, dict: usize, key: Value, value: Value) -> Result<(), Trouble> {
        let hashed = self.key(&key)?;
        self.meter.take(ENTRY)?;
        let dict = &mut self.dicts[dict];
        if dict.busy > 0 && dict.get(&hashed).is_none() {
            return Err("can't insert into a dict during iteration".into());
        }
        dict.insert(hashed, (key, value));
        Ok(())
    }

    /// Returns a value as a key.
    ///
    /// # Errors
    /// If it is not hashable.
    pub(super) fn key(&mut self, value: &Value) -> Result<Key, Trouble> {
        self.key_at(value, 0)
    }

    fn key_at(&mut self, value: &Value, depth: usize) -> Result<Key, Trouble> {
        self.meter.step(1)?;
        Ok(match value {
            Value::None => Key::None,
            Value::Bool(bool) => Key::Bool(*bool),
            Value::Int(int) => Key::Int(*int),
            Value::Float(float) => float_key(*float),
            Value::Text(text) => {
                self.meter.look(text.len())?;
                Key::Text(text.clone())
            }
            Value::Tuple(tuple) if depth < MOST_NESTED => {
                let items = self.tuples[*tuple].clone();
                self.meter.take(size(items.len()))?;
                let keys = items.iter().map(|item| self.key_at(item, depth + 1));
                Key::Tuple(keys.collect::<Result<_, _>>()?)
            }
            _ => return Err(format!("unhashable: {}", value.kind()).into()),
        })
    }

    /// Returns the first entry of a dict at a place or after it, with the place after that; nothing at the end.
    ///
    /// # Errors
    /// If there are no steps left: places that are empty cost some.
    pub(super) fn entry(
        &mut self,
        dict: usize,
        place: usize,
    ) -> Result<Option<(usize, Value, Value)>, Trouble> {
        let found = self.dicts[dict].from(place);
        let found = found.map(|(next, (key, value))| (next, key.clone(), value.clone()));
        let next = found.as_ref().map_or(place, |(next, ..)| *next);
        self.meter.step(next - place + 1)?;
        Ok(found)
    }

    /// Returns the number of a new frame within another.
    ///
    /// # Errors
    /// If there is no memory left.
    pub(super) fn frame(
        &mut self,
        locals: &Rc<HashSet<Name>>,
        parent: usize,
    ) -> Result<usize, Trouble> {
        self.meter.take(frame_size(locals))?;
        self.frames.push(Frame {
            locals: locals.clone(),
            parent: Some(parent),
            ..Frame::default()
        });
        Ok(self.frames.len() - 1)
    }

    /// Frees a frame that nobody can need any more.
    pub(super) fn free(&mut self, frame: usize) {
        if frame + 1 == self.frames.len() && !self.frames[frame].kept {
            let freed = self.frames.pop();
            self.meter
                .give(freed.map_or(0, |frame| frame_size(&frame.locals)));
        }
    }

    /// Returns whether a value counts as true.
    pub(super) fn truth(&self, value: &Value) -> bool {
        match value {
            Value::None => false,
            Value::Bool(bool) => *bool,
            Value::Int(int) => *int != 0,
            Value::Float(float) => *float != 0.0,
            _ => self.len(value) != Some(0),
        }
    }

    /// Returns how many parts a value has; nothing for one without parts.
    pub(super) fn len(&self, value: &Value) -> Option<usize> {
        match value {
            Value::Text(text) => Some(text.len()),
            Value::List(list) => Some(self.lists[*list].items.len()),
            Value::Tuple(tuple) => Some(self.tuples[*tuple].len()),
            Value::Dict(dict) | Value::Set(dict) => Some(self.dicts[*dict].len()),
            Value::Range(range) => Some(self.ranges[*range].len),
            _ => None,
        }
    }

    /// Returns the part after a place, and moves the place on; nothing at the end.
    ///
    /// # Errors
    /// If the value has no parts, or there are no steps left.
    pub(super) fn next(&mut self, of: &Value, place: &mut usize) -> Result<Option<Value>, Trouble> {
        self.meter.step(1)?;
        let at = *place;
        *place += 1;
        Ok(match of {
            Value::List(list) => self.lists[*list].items.get(at).cloned(),
            Value::Tuple(tuple) => self.tuples[*tuple].get(at).cloned(),
            Value::Range(range) => self.ranges[*range].get(at),
            Value::Dict(dict) | Value::Set(dict) => self.entry(*dict, at)?.map(|(next, key, _)| {
                *place = next;
                key
            }),
            _ => return Err(format!("{} value is not iterable", of.kind()).into()),
        })
    }

    /// Returns all parts of a value.
    ///
    /// # Errors
    /// If the value has no parts, or there is not so much memory left.
    pub(super) fn parts(&mut self, of: &Value) -> Result<Vec<Value>, Trouble> {
        if let (Some(len), false) = (self.len(of), matches!(of, Value::Text(_))) {
            self.meter.take(size(len))?;
        }
        let (mut parts, mut place) = (Vec::new(), 0);
        while let Some(part) = self.next(of, &mut place)? {
            parts.push(part);
        }
        Ok(parts)
    }

    /// Holds a list or dict as it is for a loop, or lets it go again.
    pub(super) fn hold(&mut self, value: &Value, by: isize) {
        let busy = match value {
            Value::List(list) => &mut self.lists[*list].busy,
            Value::Dict(dict) | Value::Set(dict) => &mut self.dicts[*dict].busy,
            _ => return,
        };
        *busy = busy.saturating_add_signed(by);
    }
}

/// Returns how many bytes so many values take.
pub(super) fn size(count: usize) -> usize {
    count.saturating_mul(size_of::<Value>()).saturating_add(64)
}

fn frame_size(locals: &HashSet<Name>) -> usize {
    FRAME + 96 * locals.len()
}

fn float_key(float: f64) -> Key {
    whole(float).map_or_else(|| Key::Float(float.to_bits()), Key::Int)
}

/// Returns a float that is a whole number as one.
pub(super) fn whole(float: f64) -> Option<i128> {
    let is_whole = float.fract().abs() <= 0.0 && float.abs() < 1e30;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    is_whole.then_some(float as i128)
}
