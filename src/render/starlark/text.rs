//! The methods of texts. Places in a text count its characters. What could be longer than its text is measured before it is made.

use std::{collections::HashSet, rc::Rc};

use super::{
    machine::Arguments,
    method::mismatch,
    operate::text_of,
    tree::Trouble,
    value::{Heap, Value, size},
};

/// All methods of texts.
pub(super) const METHODS: &[&str] = &[
    "capitalize",
    "count",
    "elems",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "islower",
    "isspace",
    "isupper",
    "join",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
];

impl Heap {
    /// Returns what a method of a text returns.
    ///
    /// # Errors
    /// If it has no such method, or not with such arguments.
    pub(super) fn text_method(
        &mut self,
        text: &Rc<str>,
        name: &str,
        given: &Arguments,
    ) -> Result<Value, Trouble> {
        let places = &given.places[..];
        let others = places.iter().map(|value| match value {
            Value::Text(other) => other.len(),
            _ => 0,
        });
        self.meter.look(text.len() + others.sum::<usize>())?;
        match name {
            "format" => self.braces(text, given),
            "join" => self.join(text, places),
            "replace" => self.replace(text, places),
            "split" | "rsplit" => self.split(text, places, name == "rsplit"),
            "splitlines" => self.lines(text, places),
            "partition" | "rpartition" => self.partition(text, places, name == "rpartition"),
            "elems" => {
                self.meter.take(size(text.len()))?;
                let chars = text
                    .chars()
                    .map(|c| Value::text(c.encode_utf8(&mut [0; 4])));
                let chars: Vec<_> = chars.collect();
                self.meter.take(chars.len() * 32)?;
                self.list(chars)
            }
            "count" | "find" | "rfind" | "index" | "rindex" => found(text, name, places),
            "startswith" | "endswith" => self.has_end(text, name == "startswith", places),
            "strip" | "lstrip" | "rstrip" | "removeprefix" | "removesuffix" => {
                // Each character is looked up among those that go.
                self.meter.step(text.len() / 4)?;
                let stripped = stripped(text, name, places)?.to_string();
                self.text(&stripped)
            }
            "capitalize" | "lower" | "title" | "upper" if places.is_empty() => {
                self.meter.take(text.len().saturating_mul(3))?;
                let changed = changed(text, name);
                self.text(&changed)
            }
            _ if places.is_empty() => Ok(Value::Bool(is(text, name))),
            _ => mismatch(places),
        }
    }

    fn join(&mut self, separator: &str, given: &[Value]) -> Result<Value, Trouble> {
        let [over] = given else {
            return mismatch(given);
        };
        let (mut text, mut place) = (String::new(), 0);
        while let Some(part) = self.next(over, &mut place)? {
            let part = text_of(&part)?;
            self.meter.take(part.len() + separator.len())?;
            text.push_str(if text.is_empty() && place == 1 {
                ""
            } else {
                separator
            });
            text.push_str(&part);
        }
        self.text(&text)
    }

    fn replace(&mut self, text: &str, given: &[Value]) -> Result<Value, Trouble> {
        let (from, to, most) = match given {
            [Value::Text(from), Value::Text(to)] => (from, to, -1),
            [Value::Text(from), Value::Text(to), Value::Int(most)] => (from, to, *most),
            _ => return mismatch(given),
        };
        let count = text.matches(&**from).count();
        let most = usize::try_from(most).unwrap_or(count).min(count);
        self.meter
            .take(to.len().saturating_mul(most).saturating_add(text.len()))?;
        let replaced = text.replacen(&**from, to, most);
        self.text(&replaced)
    }

    fn split(&mut self, text: &str, given: &[Value], is_from_end: bool) -> Result<Value, Trouble> {
        let (separator, most) = match given {
            [] | [Value::None] => (None, -1),
            [Value::Text(separator)] => (Some(separator), -1),
            [Value::Text(separator), Value::Int(most)] => (Some(separator), *most),
            [Value::None, Value::Int(most)] => (None, *most),
            _ => return mismatch(given),
        };
        let most = usize::try_from(most).map_or(usize::MAX, |most| most.saturating_add(1));
        let count = match separator {
            Some(separator) if separator.is_empty() => return Err("empty separator".into()),
            Some(separator) => text.matches(&**separator).count() + 1,
            None => text.split_whitespace().count(),
        };
        self.meter
            .take(size(count).saturating_add(text.len() + count.saturating_mul(32)))?;
        let parts: Vec<&str> = match (separator, is_from_end) {
            (Some(separator), false) => text.splitn(most, &**separator).collect(),
            (Some(separator), true) => {
                let mut parts: Vec<_> = text.rsplitn(most, &**separator).collect();
                parts.reverse();
                parts
            }
            (None, false) if most < count => words(text, most),
            (None, _) => text.split_whitespace().collect(),
        };
        self.list(parts.into_iter().map(Value::text).collect())
    }

    fn lines(&mut self, text: &str, given: &[Value]) -> Result<Value, Trouble> {
        let keeps = match given {
            [] => false,
            [Value::Bool(keeps)] => *keeps,
            _ => return mismatch(given),
        };
        let count = text.matches('\n').count() + 1;
        self.meter
            .take(size(count).saturating_add(text.len() + count.saturating_mul(32)))?;
        let lines = text.split_inclusive('\n');
        let shown = |line: &str| {
            Value::text(if keeps {
                line
            } else {
                line.trim_end_matches('\n')
            })
        };
        self.list(lines.map(shown).collect())
    }

    fn partition(
        &mut self,
        text: &str,
        given: &[Value],
        is_from_end: bool,
    ) -> Result<Value, Trouble> {
        let [Value::Text(separator)] = given else {
            return mismatch(given);
        };
        let halves = if is_from_end {
            text.rsplit_once(&**separator)
        } else {
            text.split_once(&**separator)
        };
        let parts = match halves {
            Some((before, after)) => [before, separator, after],
            None if is_from_end => ["", "", text],
            None => [text, "", ""],
        };
        self.meter.take(text.len() + 96)?;
        self.tuple(parts.map(Value::text).into())
    }

    fn has_end(&mut self, text: &str, is_begin: bool, given: &[Value]) -> Result<Value, Trouble> {
        let wanted = match given {
            [tuple @ Value::Tuple(_)] => self.parts(tuple)?,
            [value] => vec![value.clone()],
            _ => return mismatch(given),
        };
        for value in &wanted {
            let end = text_of(value)?;
            self.meter.look(end.len())?;
            let has = if is_begin {
                text.starts_with(&*end)
            } else {
                text.ends_with(&*end)
            };
            if has {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }
}

/// Returns words, of which the last is all that is left.
fn words(text: &str, most: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text.trim_start());
    while parts.len() + 1 < most && !rest.is_empty() {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        parts.push(word);
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn found(text: &str, name: &str, given: &[Value]) -> Result<Value, Trouble> {
    let (wanted, from, to) = match given {
        [Value::Text(wanted)] => (wanted, 0, None),
        [Value::Text(wanted), Value::Int(from)] => (wanted, *from, None),
        [Value::Text(wanted), Value::Int(from), Value::Int(to)] => (wanted, *from, Some(*to)),
        _ => return mismatch(given),
    };
    let count = text.chars().count() as i128;
    let place = |at: i128| if at < 0 { at.saturating_add(count) } else { at }.clamp(0, count);
    let (from, to) = (place(from), place(to.unwrap_or(count)));
    let bytes = |at: i128| {
        let at = usize::try_from(at).unwrap_or_default();
        text.char_indices()
            .nth(at)
            .map_or(text.len(), |(byte, _)| byte)
    };
    let part = text.get(bytes(from)..bytes(to)).unwrap_or_default();
    let at = match name {
        "count" => return Ok(Value::Int(part.matches(&**wanted).count() as i128)),
        "find" | "index" => part.find(&**wanted),
        _ => part.rfind(&**wanted),
    };
    match at {
        Some(at) => Ok(Value::Int(from + part[..at].chars().count() as i128)),
        None if name.ends_with("index") => Err("substring not found".into()),
        None => Ok(Value::Int(-1)),
    }
}

fn stripped<'text>(text: &'text str, name: &str, given: &[Value]) -> Result<&'text str, Trouble> {
    if let ("removeprefix" | "removesuffix", [Value::Text(end)]) = (name, given) {
        let rest = if name == "removeprefix" {
            text.strip_prefix(&**end)
        } else {
            text.strip_suffix(&**end)
        };
        return Ok(rest.unwrap_or(text));
    }
    let signs = match given {
        [] | [Value::None] => None,
        [Value::Text(signs)] => Some(signs),
        _ => return mismatch(given),
    };
    let signs: Option<HashSet<char>> = signs.map(|signs| signs.chars().collect());
    let goes = |c: char| {
        signs
            .as_ref()
            .map_or(c.is_whitespace(), |signs| signs.contains(&c))
    };
    Ok(match name {
        "strip" => text.trim_matches(goes),
        "lstrip" => text.trim_start_matches(goes),
        "rstrip" => text.trim_end_matches(goes),
        _ => return mismatch(given),
    })
}

fn changed(text: &str, name: &str) -> String {
    let mut is_first = true;
    match name {
        "lower" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        _ => {
            let mut changed = String::new();
            for c in text.chars() {
                if is_first {
                    changed.extend(c.to_uppercase());
                } else {
                    changed.extend(c.to_lowercase());
                }
                is_first = name == "title" && !c.is_alphabetic();
            }
            changed
        }
    }
}

/// Returns whether a text is of a kind.
fn is(text: &str, name: &str) -> bool {
    let all = |wanted: fn(char) -> bool| !text.is_empty() && text.chars().all(wanted);
    match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isdigit" => all(|c| c.is_ascii_digit()),
        "isspace" => all(char::is_whitespace),
        "islower" => text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        "isupper" => text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        _ => false,
    }
}
