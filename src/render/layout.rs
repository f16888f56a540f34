//! A file of resources, taken apart into its documents and put together again.
//!
//! What did not change keeps its bytes: a file as a whole, else each of its documents, else, in a document, all but what changed.

use serde_json::Value;

use super::Item;
use crate::yaml;

/// A file as it was read.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    /// The documents, those that say nothing left out.
    pub(super) documents: Vec<Document<'a>>,
    /// The file.
    text: &'a str,
    /// What follows the last document: comments, and documents that say nothing.
    tail: String,
}

/// A document of a file.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// What it says.
    pub(super) value: Value,
    /// Its text, with the mark that begins it; empty if the file can't be cut at it.
    pub(super) text: &'a str,
    /// What stands before the text: comments, and documents that say nothing.
    above: String,
}

impl<'a> Layout<'a> {
    /// Returns a file taken apart.
    ///
    /// # Errors
    /// It is no YAML.
    pub(super) fn read(text: &'a str) -> Result<Self, yaml::Error> {
        let (mut documents, mut above) = (Vec::new(), String::new());
        for piece in yaml::pieces(text) {
            let mut values = yaml::documents(piece)?;
            match values.len() {
                1 if !values[0].is_null() => documents.push(Document {
                    value: values.remove(0),
                    text: piece,
                    above: std::mem::take(&mut above),
                }),
                0 | 1 => above.push_str(piece),
                _ => return Self::whole(text),
            }
        }
        Ok(Self {
            documents,
            text,
            tail: above,
        })
    }

    /// Returns a file that can't be cut, such as one with other ends of documents than marks.
    fn whole(text: &'a str) -> Result<Self, yaml::Error> {
        let values = yaml::documents(text)?.into_iter();
        let documents = values.filter(|value| !value.is_null());
        let documents = documents.map(|value| Document {
            value,
            text: "",
            above: String::new(),
        });
        Ok(Self {
            documents: documents.collect(),
            text,
            tail: String::new(),
        })
    }

    /// Returns the file with these resources, in their order; nothing when it says so already.
    pub(super) fn with(&self, path: &str, items: &[&Item]) -> Option<String> {
        let said = self.documents.iter().map(|document| &document.value);
        if said.eq(items.iter().map(|item| &item.object)) {
            return None;
        }
        if let Some(json) = json(path, items) {
            let is_open = !self.text.is_empty() && !self.text.ends_with('\n');
            return Some(if is_open { json } else { json + "\n" });
        }
        if let Some(text) = self.alone(items) {
            return Some(text);
        }
        let text = self.joined(items);
        let wanted = || items.iter().map(|item| &item.object);
        let read = yaml::documents(&text).unwrap_or_default();
        if read.iter().filter(|value| !value.is_null()).eq(wanted()) {
            return Some(text);
        }
        let written: Vec<String> = wanted().map(yaml::emit).collect();
        Some(written.join("---\n"))
    }

    /// Returns the file of the one resource that was and is all that it holds; nothing if that takes more than to change it in place.
    fn alone(&self, items: &[&Item]) -> Option<String> {
        let ([document], [item]) = (self.documents.as_slice(), items) else {
            return None;
        };
        let is_marked = |text: &str| text.starts_with("---");
        if document.text != self.text || is_marked(document.text) != is_marked(&item.text) {
            return None;
        }
        // What was changed in place was read back there.
        changed(item, Some(document)).ok()
    }

    fn joined(&self, items: &[&Item]) -> String {
        let mut left: Vec<Option<&Document>> = self.documents.iter().map(Some).collect();
        let mut out = String::new();
        for item in items {
            let from = origin(item, &left);
            let from = from.and_then(|at| left[at].take());
            let text = text(item, from);
            if out.is_empty() {
                let above = from.map_or("", |from| from.above.as_str());
                let is_marked = self.text.starts_with("---");
                out.push_str(above);
                let bare = text
                    .strip_prefix("---\n")
                    .filter(|_| !is_marked && above.is_empty());
                out.push_str(bare.unwrap_or(&text));
                continue;
            }
            end_line(&mut out);
            out.push_str(from.map_or("", |from| from.above.as_str()));
            end_line(&mut out);
            if !text.starts_with("---") {
                out.push_str("---\n");
            }
            out.push_str(&text);
        }
        if !self.tail.is_empty() {
            end_line(&mut out);
            out.push_str(&self.tail);
        }
        out
    }
}

/// Returns which of the documents that are left a resource was read from.
fn origin(item: &Item, left: &[Option<&Document>]) -> Option<usize> {
    let index = item.place.index;
    let here = left.get(index).copied().flatten();
    let is_same = |document: &Document| !document.text.is_empty() && *document.text == *item.text;
    let key = |value: &Value| ["/kind", "/metadata/name"].map(|at| value.pointer(at).cloned());
    if here.is_some_and(is_same) {
        return Some(index);
    }
    let same = left
        .iter()
        .position(|document| document.is_some_and(is_same));
    let here = here.filter(|document| key(&document.value) == key(&item.object));
    same.or(here.map(|_| index))
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Returns the document of a resource: the one that it was read from, changed in as few places as it takes.
fn text(item: &Item, from: Option<&Document>) -> String {
    changed(item, from)
        .unwrap_or_else(|_| yaml::with_comments(&yaml::emit(&item.object), &item.text))
}

/// Returns the text of a resource changed in place; that of the document that it is from has been read already.
fn changed(item: &Item, from: Option<&Document>) -> Result<String, yaml::Error> {
    let wanted = std::slice::from_ref(&item.object);
    match from.filter(|from| !from.text.is_empty() && *from.text == *item.text) {
        Some(from) => yaml::rewrite_read(&item.text, std::slice::from_ref(&from.value), wanted),
        None => yaml::rewrite(&item.text, wanted),
    }
}

/// Returns the one resource of a file that is JSON by its name.
fn json(path: &str, items: &[&Item]) -> Option<String> {
    let is_json = path
        .rsplit_once('.')
        .is_some_and(|(_, ending)| ending == "json");
    let [item] = items else {
        return None;
    };
    is_json.then(|| format!("{:#}", item.object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::Place;

    fn items(layout: &Layout) -> Vec<Item> {
        let numbered = layout.documents.iter().enumerate();
        let item = |(index, document): (usize, &Document)| Item {
            object: document.value.clone(),
            place: Place {
                index,
                ..Place::default()
            },
            text: document.text.into(),
        };
        numbered.map(item).collect()
    }

    fn changed(path: &str, text: &str, change: fn(&mut Vec<Item>)) -> Option<String> {
        let layout = Layout::read(text).unwrap();
        let mut items = items(&layout);
        change(&mut items);
        let items: Vec<&Item> = items.iter().collect();
        layout.with(path, &items)
    }

    const MANY: &str = "# head\n---\n# of a\na: 1 # a\n\n---\n---\n# empty\n--- # b\nb: {x: 1,   y: 2}\n---\n- c\n---\n# tail";

    #[test]
    fn a_file_that_says_the_same_keeps_its_bytes() {
        for text in [
            "",
            "# c\n",
            MANY,
            "a: 1\n...\n---\nb: 1.10",
            "{\"a\": 1}",
            "a: 1\r\n---\r\nb: 2\r\n",
        ] {
            assert_eq!(changed("f.yaml", text, |_| {}), None, "{text:?}");
        }
    }

    #[test]
    fn only_what_changes_is_changed() {
        for (text, change, want) in [
            (
                MANY,
                (|items| items[1].object["x"] = json!(1)) as fn(&mut Vec<Item>),
                MANY.replace("b: {x: 1,   y: 2}\n", "b: {x: 1,   y: 2}\nx: 1\n"),
            ),
            (
                MANY,
                |items| items[0].object["a"] = json!(2),
                MANY.replace("a: 1 #", "a: 2 #"),
            ),
            (
                MANY,
                |items| drop(items.remove(0)),
                "---\n---\n# empty\n--- # b\nb: {x: 1,   y: 2}\n---\n- c\n---\n# tail".into(),
            ),
            (
                "# a\na: 1\n---\nb: 1 # b\n---\nc: 1",
                |items| drop(items.remove(0)),
                "b: 1 # b\n---\nc: 1".into(),
            ),
            (
                "# a\na: 1\n---\nb: 1 # b\n---\nc: 1",
                |items| items.swap(0, 2),
                "c: 1\n---\nb: 1 # b\n---\n# a\na: 1\n".into(),
            ),
            (
                "a: 1",
                |items| {
                    let object = json!({"b": ["x"]});
                    items.push(Item {
                        object,
                        place: Place::default(),
                        text: "".into(),
                    });
                },
                "a: 1\n---\nb:\n- x\n".into(),
            ),
            (
                "a: 1 # a\n...\n---\nb: 1\n",
                |items| items[1].object["b"] = json!(2),
                "a: 1 # a\n...\n---\nb: 2\n".into(),
            ),
            (
                "a: 1 # a\n...\nb: 1\n",
                |items| items[1].object["b"] = json!(2),
                "a: 1\n---\nb: 2\n".into(),
            ),
            (
                "a: &x {k: 1} # a\nb: *x # b\n",
                |items| items[0].object["b"]["k"] = json!(2),
                "a: # a\n  k: 1\nb: # b\n  k: 2\n".into(),
            ),
        ] {
            assert_eq!(changed("f.yaml", text, change).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn json_stays_json() {
        let set = |items: &mut Vec<Item>| items[0].object["a"] = json!([]);
        for (text, want) in [
            ("{\"b\":2,\"a\":1}", "{\n  \"b\": 2,\n  \"a\": []\n}"),
            ("{\"a\":1}\n", "{\n  \"a\": []\n}\n"),
        ] {
            assert_eq!(changed("d/f.json", text, set).unwrap(), want);
        }
        assert!(Layout::read("a: [").is_err());
    }
}
