//! Paths to fields as kustomize writes them: `spec.containers.[name=a].image`. In come paths and objects, out come the fields found.

use serde_json::{Value, json};

use super::super::config;

/// A path to fields.
pub(super) struct FieldPath<'a> {
    text: &'a str,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
enum Part {
    /// A key of a map; of a list a number, `*` for all items, or `-` for a new one.
    Key(String),
    /// Items of a list by what a key of theirs says; by what they say themselves, if the key is empty.
    Where(String, String),
}

impl<'a> FieldPath<'a> {
    /// Returns a path taken apart.
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            parts: split(text).iter().map(|part| Part::of(part)).collect(),
        }
    }

    /// Returns the path as it was written.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the first field that it leads to.
    pub(super) fn first<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        // A way is looked for, nothing is made: the copy is the price of one walk for both.
        let found = self.all(&mut object.clone(), false);
        found.first().and_then(|pointer| object.pointer(pointer))
    }

    /// Returns the pointers of all fields that it leads to, made if they are missing and shall be.
    pub(super) fn all(&self, object: &mut Value, create: bool) -> Vec<String> {
        let mut walk = Walk {
            create,
            found: Vec::new(),
        };
        walk.on(object, &self.parts, String::new());
        walk.found
    }
}

/// Returns the parts of a path: a `.` behind a backslash or between brackets belongs to its part.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut is_escaped, mut is_inside) = (false, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => part.push(c),
            '\\' => {}
            '.' if !is_inside => parts.push(std::mem::take(&mut part)),
            '[' if !is_inside && !part.is_empty() => {
                parts.push(std::mem::replace(&mut part, "[".into()));
            }
            _ => part.push(c),
        }
        is_inside = !is_escaped && (c == '[' || is_inside && c != ']');
        is_escaped = c == '\\' && !is_escaped;
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

impl Part {
    fn of(part: &str) -> Self {
        let inner = part.strip_prefix('[');
        let Some(inner) = inner.and_then(|inner| inner.strip_suffix(']')) else {
            return Self::Key(part.into());
        };
        match inner.split_once('=') {
            Some((key, value)) => Self::Where(key.into(), value.into()),
            None => Self::Key(inner.into()),
        }
    }
}

struct Walk {
    create: bool,
    found: Vec<String>,
}

impl Walk {
    fn on(&mut self, value: &mut Value, parts: &[Part], at: String) {
        let Some((part, rest)) = parts.split_first() else {
            self.found.push(at);
            return;
        };
        if value.is_null() && self.create {
            *value = match part {
                Part::Key(key) if key != "-" => json!({}),
                _ => json!([]),
            };
        }
        match value {
            Value::Object(_) => self.on_map(value, part, rest, &at),
            Value::Array(items) => {
                for index in self.chosen(items, part) {
                    self.on(&mut items[index], rest, format!("{at}/{index}"));
                }
            }
            _ => {}
        }
    }

    fn on_map(&mut self, value: &mut Value, part: &Part, rest: &[Part], at: &str) {
        let (Value::Object(map), Part::Key(key)) = (value, part) else {
            return;
        };
        let pointer = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        if key == "*" && !map.contains_key(key) {
            for (key, inner) in map {
                self.on(inner, rest, pointer(key));
            }
            return;
        }
        if self.create {
            map.entry(key.as_str()).or_insert(Value::Null);
        }
        if let Some(inner) = map.get_mut(key) {
            self.on(inner, rest, pointer(key));
        }
    }

    /// Returns the items of a list that a part names; one that is missing is made if it shall be.
    fn chosen(&self, items: &mut Vec<Value>, part: &Part) -> Vec<usize> {
        let all = 0..items.len();
        let new = match part {
            Part::Key(key) if key == "*" => return all.collect(),
            Part::Key(key) if key == "-" => Value::Null,
            Part::Key(key) => {
                let index = key.parse().ok();
                return index
                    .filter(|index| all.contains(index))
                    .into_iter()
                    .collect();
            }
            Part::Where(key, value) => {
                let found = all.filter(|at| says(&items[*at], key, value));
                let found: Vec<usize> = found.collect();
                if !found.is_empty() {
                    return found;
                }
                match key.as_str() {
                    "" => value.as_str().into(),
                    key => json!({key: value}),
                }
            }
        };
        if !self.create {
            return Vec::new();
        }
        items.push(new);
        vec![items.len() - 1]
    }
}

fn says(item: &Value, key: &str, value: &str) -> bool {
    let said = if key.is_empty() {
        Some(item)
    } else {
        item.get(key)
    };
    said.is_some_and(|said| config::text(said) == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (text, want) in [
            ("a.b", vec!["a", "b"]),
            ("a\\.b.c", vec!["a.b", "c"]),
            ("a.[n=x.y].c", vec!["a", "[n=x.y]", "c"]),
            ("a[n=x].c", vec!["a", "[n=x]", "c"]),
            ("a.[b.c/d]", vec!["a", "[b.c/d]"]),
            ("a\\\\b", vec!["a\\b"]),
            ("", vec![]),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
        assert_eq!(Part::of("[=x]"), Part::Where(String::new(), "x".into()));
    }

    #[test]
    fn fields_are_found_and_made() {
        let object = json!({"a": {"l": ["x", {"n": 1}], "m": {"p": 1, "q": 2}}});
        for (path, create, want) in [
            ("a.l.[=x]", false, vec!["/a/l/0"]),
            ("a.l.[n=1].n", false, vec!["/a/l/1/n"]),
            ("a.m.*", false, vec!["/a/m/p", "/a/m/q"]),
            ("a.l.5", true, vec![]),
            ("a.l.-", false, vec![]),
            ("a.l.-.k", true, vec!["/a/l/2/k"]),
            ("a.l.[n=2].v", true, vec!["/a/l/2/v"]),
            ("b.-", true, vec!["/b/0"]),
            ("b.c", false, vec![]),
            ("a.l.0.x", true, vec![]),
        ] {
            let mut changed = object.clone();
            let found = FieldPath::of(path).all(&mut changed, create);
            assert_eq!(found, want, "{path}");
            for pointer in found {
                assert!(changed.pointer(&pointer).is_some(), "{path}");
            }
        }
    }
}
