//! The outline of a text, found by the library: in comes a text, out come its things and comments. The other way is `quick`.

use std::{ops::Range, str::FromStr};

use yaml_edit::{Mapping, Sequence, YamlFile, YamlNode};

use super::outline::{Comment, Mark, Place, STEP, Thing, line_of, line_starts};

/// Returns the things of a text in its order, and its comments; nothing if it is not one map.
pub(super) fn outlined(text: &str, mark: Mark) -> Option<(Vec<Thing>, Vec<Comment>)> {
    let file = YamlFile::from_str(text).ok()?;
    let documents: Vec<_> = file.documents().collect();
    let [document] = documents.as_slice() else {
        return None;
    };
    let mut walk = Walk::new(text, mark);
    let comments = file.comments().map(|comment| {
        let start = comment.byte_range().start as usize;
        let line = walk.line(start);
        let before = &text[walk.starts[line]..start];
        let place = if before.trim().is_empty() {
            Place::Above
        } else {
            Place::Behind
        };
        let text = comment.text().trim_end().to_owned();
        Comment { line, text, place }
    });
    let comments = comments.collect();
    walk.map(&document.as_mapping()?, "");
    Some((walk.things, comments))
}

/// A way through a document, in the order of its text.
struct Walk<'a> {
    text: &'a str,
    /// Where the lines start.
    starts: Vec<usize>,
    things: Vec<Thing>,
    mark: Mark,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str, mark: Mark) -> Self {
        let starts = line_starts(text);
        let things = Vec::new();
        Self {
            text,
            starts,
            things,
            mark,
        }
    }

    /// Returns the line of a byte.
    fn line(&self, at: usize) -> usize {
        line_of(&self.starts, at)
    }

    fn map(&mut self, map: &Mapping, path: &str) {
        if map.is_flow_style() {
            return;
        }
        for entry in map.entries() {
            let Some(key) = entry.key_node() else {
                continue;
            };
            let name = key
                .as_scalar()
                .map(yaml_edit::Scalar::as_string)
                .unwrap_or_default();
            let path = format!("{path}{STEP}{name}");
            let first = self.line(key.byte_range().start as usize);
            self.thing(&path, first, entry.value_node().as_ref());
        }
    }

    fn list(&mut self, list: &Sequence, path: &str) {
        if list.is_flow_style() {
            return;
        }
        for (at, item) in list.values().enumerate() {
            let mark = match self.mark {
                Mark::Name => name(&item, at),
                Mark::Place => at.to_string(),
            };
            let path = format!("{path}{STEP}{mark}");
            let first = self.line(start(&item));
            self.thing(&path, first, Some(&item));
        }
    }

    /// Puts down a thing, and what is in it.
    fn thing(&mut self, path: &str, first: usize, value: Option<&YamlNode>) {
        let map = value.and_then(YamlNode::as_mapping);
        let map = map.filter(|map| !map.is_flow_style() && !map.is_empty());
        let items = value.and_then(YamlNode::as_sequence);
        let items = items.filter(|items| !items.is_flow_style() && !items.is_empty());
        let is_block = map.is_some() || items.is_some();
        let end = value.filter(|_| !is_block);
        let last = end.map_or(first, |value| self.end(value, first));
        self.things.push(Thing {
            path: path.into(),
            first,
            last,
            value: end.map(|value| self.written(value)),
        });
        if let Some(map) = map {
            self.map(map, path);
        } else if let Some(items) = items {
            self.list(items, path);
        }
    }

    /// Returns the line behind which the comment of a value stands.
    fn end(&self, value: &YamlNode, first: usize) -> usize {
        let range = self.written(value);
        if range.is_empty() {
            return first;
        }
        if self.text[range.clone()].starts_with(['|', '>']) {
            return self.line(range.start);
        }
        self.line(range.end - 1)
    }

    /// Returns the bytes of a value, without the space behind it.
    fn written(&self, value: &YamlNode) -> Range<usize> {
        let range = value.byte_range();
        let (start, end) = (range.start as usize, range.end as usize);
        start..start + self.text[start..end].trim_end().len()
    }
}

/// Returns by what an item is known: its name, its text, or its place.
fn name(item: &YamlNode, at: usize) -> String {
    if let Some(scalar) = item.as_scalar() {
        return format!("={}", scalar.as_string());
    }
    let named = item.as_mapping().and_then(|map| map.get("name"));
    let name = named.as_ref().and_then(YamlNode::as_scalar);
    name.map_or_else(|| format!("#{at}"), |name| format!("@{}", name.as_string()))
}

/// Returns where a value begins.
fn start(value: &YamlNode) -> usize {
    if let Some(key) = value.as_mapping().and_then(|map| map.keys().next()) {
        return key.byte_range().start as usize;
    }
    if let Some(item) = value.as_sequence().and_then(Sequence::first) {
        return start(&item);
    }
    value.byte_range().start as usize
}
