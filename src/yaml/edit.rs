//! Documents changed in place: comments, order and style of what does not change survive.
//!
//! In come a text and the values that its documents shall have; out comes the text that says so, changed in as few
//! places as that takes. What was made is read back: a text that says anything else is never given out.

use std::str::FromStr;

use serde_json::{Map, Value};
use yaml_edit::{Document, Mapping, Sequence, YamlFile, YamlNode};

use super::{Error, quick, read, write};

/// Returns the text with the values `wanted` in its documents; the very same bytes when it says so already.
///
/// A key that is new goes behind the one that is before it in `wanted`. Items of a list keep their comments if they stay in order;
/// one is taken for the same that equals another, or has the same name, first member or image but for its tag. A text that was quoted stays
/// quoted in the same way.
///
/// # Errors
/// [`Error`]: not YAML, not as many documents, or of a form that can't be changed so, such as an alias.
pub fn rewrite(text: &str, wanted: &[Value]) -> Result<String, Error> {
    if let Some(changed) = quickly(text, wanted) {
        return Ok(changed);
    }
    slowly(text, &read::documents(text)?, wanted)
}

fn quickly(text: &str, wanted: &[Value]) -> Option<String> {
    let [wanted] = wanted else {
        return None;
    };
    quick::rewritten(text, wanted)
}

/// Returns the same as [`rewrite`] for a text that has been read already: it says `values`. Reading is the most that a change costs.
///
/// # Errors
/// As those of [`rewrite`].
pub fn rewrite_read(text: &str, values: &[Value], wanted: &[Value]) -> Result<String, Error> {
    if values == wanted {
        return Ok(text.into());
    }
    quickly(text, wanted).map_or_else(|| slowly(text, values, wanted), Ok)
}

/// Returns the same as [`rewrite_read`], changed by the library.
pub(super) fn slowly(text: &str, values: &[Value], wanted: &[Value]) -> Result<String, Error> {
    if values == wanted {
        return Ok(text.into());
    }
    let file = YamlFile::from_str(text).map_err(|error| Error::told(&error))?;
    let documents: Vec<_> = file.documents().collect();
    if documents.len() != values.len() || values.len() != wanted.len() {
        return Err(refused("is missing"));
    }
    for (document, (old, new)) in documents.iter().zip(values.iter().zip(wanted)) {
        if old != new {
            change_root(document, old, new)?;
        }
    }
    let changed = file.to_string();
    if read::documents(&changed).is_ok_and(|read| read == wanted) {
        return Ok(changed);
    }
    Err(refused("can't be changed in place"))
}

fn refused(why: &str) -> Error {
    Error::told(&format!("the document {why}"))
}

fn change_root(document: &Document, old: &Value, new: &Value) -> Result<(), Error> {
    match (document.as_mapping(), old, new) {
        (Some(mapping), Value::Object(old), Value::Object(new)) => change_map(&mapping, old, new),
        _ => Err(refused("is no map")),
    }
}

fn change_map(
    mapping: &Mapping,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Result<(), Error> {
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        mapping.remove(key.as_str());
    }
    let mut before: Option<&str> = None;
    for (key, value) in new {
        match old.get(key) {
            Some(present) if present == value => {}
            Some(present) => change_member(mapping, key, present, value)?,
            None => insert(mapping, before, key, value)?,
        }
        before = Some(key);
    }
    Ok(())
}

fn change_member(mapping: &Mapping, key: &str, old: &Value, new: &Value) -> Result<(), Error> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if !old.is_empty() && !new.is_empty() => {
            let inner = mapping.get_mapping(key);
            change_map(&inner.ok_or_else(|| refused("has an alias"))?, old, new)
        }
        (Value::Array(old), Value::Array(new)) if !old.is_empty() && !new.is_empty() => {
            let inner = mapping.get_sequence(key);
            change_list(&inner.ok_or_else(|| refused("has an alias"))?, old, new)
        }
        _ => {
            let written = mapping.get(key);
            mapping.set(key, node_like(written.as_ref(), new)?);
            Ok(())
        }
    }
}

fn insert(mapping: &Mapping, before: Option<&str>, key: &str, value: &Value) -> Result<(), Error> {
    let key = node(&Value::from(key))?;
    let value = node(value)?;
    match before {
        Some(before) if mapping.insert_after(before, &key, &value) => {}
        Some(_) => mapping.set(&key, &value),
        None => mapping.insert_at_index(0, &key, &value),
    }
    Ok(())
}

fn change_list(sequence: &Sequence, old: &[Value], new: &[Value]) -> Result<(), Error> {
    let kept = same_items(old, new);
    if kept.iter().all(Option::is_none) {
        return replace_items(sequence, old.len(), new);
    }
    for at in (0..old.len()).rev() {
        if !kept.contains(&Some(at)) {
            sequence.remove(at);
        }
    }
    for (at, (value, from)) in new.iter().zip(kept).enumerate() {
        match from.map(|from| &old[from]) {
            None => sequence.insert(at, node(value)?),
            Some(present) if present == value => {}
            Some(present) => change_item(sequence, at, present, value)?,
        }
    }
    Ok(())
}

/// Replaces all items. The old ones go last: an empty list has forgotten how far its items were indented.
fn replace_items(sequence: &Sequence, old: usize, new: &[Value]) -> Result<(), Error> {
    for (at, value) in new.iter().enumerate() {
        sequence.insert(at, node(value)?);
    }
    for at in (new.len()..new.len() + old).rev() {
        sequence.remove(at);
    }
    Ok(())
}

fn change_item(sequence: &Sequence, at: usize, old: &Value, new: &Value) -> Result<(), Error> {
    let item = sequence.get(at);
    let mapping = item.as_ref().and_then(YamlNode::as_mapping);
    if let (Some(mapping), Value::Object(old), Value::Object(new)) = (mapping, old, new) {
        return change_map(mapping, old, new);
    }
    sequence.set(at, node_like(item.as_ref(), new)?);
    Ok(())
}

/// Returns, for every new item, the old one that it stays in the place of; these are in order.
pub(super) fn same_items(old: &[Value], new: &[Value]) -> Vec<Option<usize>> {
    let mut next = 0;
    let find = |value: &Value| {
        let left = &old[next..];
        let same = left.iter().position(|other| other == value);
        let same = same.or_else(|| left.iter().position(|other| has_same_name(other, value)));
        let same = same.or_else(|| left.iter().position(|other| is_same(other, value)))?;
        next += same + 1;
        Some(next - 1)
    };
    new.iter().map(find).collect()
}

/// Returns whether two maps agree in their names.
fn has_same_name(old: &Value, new: &Value) -> bool {
    let name = new.get("name");
    name.is_some() && old.get("name") == name
}

/// Returns whether two maps agree in the member that comes first in the new one, such as `type`, or in their image but for its tag.
fn is_same(old: &Value, new: &Value) -> bool {
    let first = new.as_object().and_then(|map| map.iter().next());
    let image = |value: &Value| {
        let image = value.get("image")?.as_str()?;
        let name = image.rfind('/').map_or(0, |at| at + 1);
        let tag = image[name..].find([':', '@']).map(|at| name + at);
        Some(image[..tag.unwrap_or(image.len())].to_owned())
    };
    first.is_some_and(|(key, value)| old.get(key) == Some(value))
        || image(new).is_some_and(|new| image(old) == Some(new))
}

/// Returns a value as a piece of a tree; a text is quoted as the one that it replaces.
fn node_like(written: Option<&YamlNode>, value: &Value) -> Result<YamlNode, Error> {
    let written = written
        .and_then(YamlNode::as_scalar)
        .map(ToString::to_string);
    let quote = written.and_then(|text| text.trim_start().chars().next());
    let quoted = match (quote, value.as_str()) {
        (Some('\''), Some(text)) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        (Some('"'), Some(_)) => value.to_string(),
        _ => return node(value),
    };
    // One that can't be quoted so is written as it needs to be.
    let made = Document::from_str(&quoted).ok();
    let made = made.and_then(|made| made.as_scalar().map(YamlNode::Scalar));
    made.map_or_else(|| node(value), Ok)
}

/// Returns a value as a piece of a tree, quoted as it needs to be.
fn node(value: &Value) -> Result<YamlNode, Error> {
    let made = Document::from_str(&write::emit(value)).map_err(|error| Error::told(&error))?;
    let root = made.as_mapping().map(YamlNode::Mapping);
    let root = root.or_else(|| made.as_sequence().map(YamlNode::Sequence));
    let root = root.or_else(|| made.as_scalar().map(YamlNode::Scalar));
    root.ok_or_else(|| refused("can't hold the value"))
}

/// Returns a text cut before every line that begins a document; together the pieces are the text. No value can hold such a line.
#[must_use]
pub fn pieces(text: &str) -> Vec<&str> {
    let is_marker = |line: &str| {
        let rest = line.strip_prefix("---");
        rest.is_some_and(|rest| {
            rest.trim_end_matches(['\r', '\n']).is_empty() || rest.starts_with([' ', '\t'])
        })
    };
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if is_marker(line) && at > start {
            pieces.push(&text[start..at]);
            start = at;
        }
        at += line.len();
    }
    pieces.extend((start < text.len()).then(|| &text[start..]));
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "# head\napiVersion: kpt.dev/v1 # v\nmetadata: # kpt-merge: /x\n  name: 'x' # c\n\n  # about labels\n  labels:\n    a: b\n\n# about info\ninfo: # i\n  gates:\n  # gate a\n  - type: a # tail\n  # gate b\n  - type: b\n    status: \"True\" # yes\n# end\n";

    fn changed(text: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut wanted = read::documents(text).unwrap();
        change(&mut wanted[0]);
        rewrite(text, &wanted).unwrap()
    }

    #[test]
    fn only_what_changes_is_changed() {
        let got = changed(TEXT, |wanted| {
            wanted["metadata"]["name"] = json!("on");
            wanted["metadata"]["labels"]["new"] = json!("y");
            let at = 2;
            let lock = json!({"type": "git", "git": {"ref": "v1", "list": ["1", {"b": 2}]}});
            wanted
                .as_object_mut()
                .unwrap()
                .shift_insert(at, "lock".into(), lock);
            wanted["info"]["gates"] = json!([{"type": "b", "status": "False"}, {"type": "c"}]);
        });
        assert_eq!(
            got,
            "# head\napiVersion: kpt.dev/v1 # v\nmetadata: # kpt-merge: /x\n  name: 'on' # c\n\n  # about labels\n  labels:\n    a: b\n    new: \"y\"\nlock:\n  type: git\n  git:\n    ref: v1\n    list:\n    - \"1\"\n    - b: 2\n\n# about info\ninfo: # i\n  gates:\n  # gate a\n  # gate b\n  - type: b\n    status: \"False\" # yes\n  - type: c\n# end\n"
        );
    }

    #[test]
    fn items_and_quotes_stay_where_they_are() {
        for (text, new, want) in [
            (
                "a:\n- image: h:5/i:1 # i\n  name: n # n\n",
                json!([{"image": "h:5/i:2", "name": "n"}]),
                "a:\n- image: h:5/i:2 # i\n  name: n # n\n",
            ),
            (
                "a:\n- image: h:5/i:1\n  map: {a:  1} # m\n",
                json!([{"image": "h:5/i@sha256:2", "map": {"a": 1}}]),
                "a:\n- image: h:5/i@sha256:2\n  map: {a:  1} # m\n",
            ),
            (
                "a:\n- image: i # a\n  name: a\n- image: i # b\n  name: b\n",
                json!([{"image": "i", "name": "b", "c": 1}]),
                "a:\n- image: i # b\n  name: b\n  c: 1\n",
            ),
            ("a: 'x'\n", json!("it's: y"), "a: 'it''s: y'\n"),
            ("a: \"x\"\n", json!("y\n"), "a: \"y\\n\"\n"),
            ("a: 'x' # c\n", json!(1), "a: 1 # c\n"),
            ("a: ['x', \"y\"]\n", json!(["x", "z"]), "a: ['x', z]\n"),
            ("a: x\n", json!("on"), "a: \"on\"\n"),
        ] {
            assert_eq!(changed(text, |wanted| wanted["a"] = new), want, "{text}");
        }
    }

    #[test]
    fn a_list_of_other_items_is_indented_as_before() {
        for (text, want) in [
            ("a: # c\n- x\n- y\nb: 1\n", "a: # c\n- z\n- v\n- w\nb: 1\n"),
            (
                "a: # c\n  - x\nb: 1\n",
                "a: # c\n  - z\n  - v\n  - w\nb: 1\n",
            ),
            ("a: [x, y] # c\nb: 1\n", "a: [z, v, w] # c\nb: 1\n"),
        ] {
            let got = changed(text, |wanted| wanted["a"] = json!(["z", "v", "w"]));
            assert_eq!(got, want);
        }
    }

    #[test]
    fn what_stays_as_it_is_keeps_its_bytes() {
        for text in [
            TEXT,
            "",
            "a: 1.10\n",
            "{a: [1, 2], }",
            "a: 1\r\nb: 2\r\n",
            "# x\n---\n",
        ] {
            let values = read::documents(text).unwrap();
            assert_eq!(rewrite(text, &values).unwrap(), text);
        }
    }

    #[test]
    fn every_form_takes_a_change() {
        for (text, want) in [
            ("a: {x: y}\n", "a: {x: y, new: \"1\"}\n"),
            ("a: {}\nb: c\n", "a:\n  new: \"1\"\nb: c\n"),
            ("a:\nb: c\n", "a:\n  new: \"1\"\nb: c\n"),
            ("b: c\r\n", "b: c\r\na:\r\n  new: \"1\"\r\n"),
            ("{\"b\": 1}", "{\"b\": 1, \"a\": {\"new\": \"1\"}}"),
            ("a: |\n  text\nb: c\n", "a:\n  new: \"1\"\nb: c\n"),
            ("a: &x {new: 2}\n", "a: &x {new: \"1\"}\n"),
            (
                "---\na: {x: y}\n---\nb: 1\n",
                "---\na: {x: y, new: \"1\"}\n---\nb: 1\n",
            ),
        ] {
            let got = changed(text, |wanted| {
                let member = wanted.as_object_mut().unwrap().entry("a");
                let member = member.or_insert_with(|| json!({}));
                if !member.is_object() {
                    *member = json!({});
                }
                member["new"] = json!("1");
            });
            let (got, want) = (got.as_str(), want);
            if want.starts_with("{\"b\"") {
                // How the keys of a flow map are quoted is the library's choice.
                assert_eq!(got.replace('"', ""), want.replace('"', ""));
            } else {
                assert_eq!(got, want, "{text}");
            }
        }
    }

    #[test]
    fn what_would_say_something_else_is_refused() {
        for (text, wanted) in [
            (
                "a: &x {b: c}\nd: *x\n",
                json!({"a": {"b": "n"}, "d": {"b": "c"}}),
            ),
            (
                "a: &x {b: c}\nd: *x\n",
                json!({"a": {"b": "c"}, "d": {"b": "n"}}),
            ),
            (
                "a: &x {b: c}\nd: {<<: *x}\n",
                json!({"a": {"b": "c"}, "d": {}}),
            ),
            ("- a\n", json!({"a": 1})),
            ("a", json!({"a": 1})),
            ("not: [yaml", json!({"a": 1})),
        ] {
            let got = rewrite(text, std::slice::from_ref(&wanted));
            // Either it is refused, or it is true.
            if let Ok(got) = got {
                assert_eq!(read::documents(&got).unwrap(), [wanted], "{text}");
            }
        }
        assert!(rewrite("a: 1\n", &[json!({}), json!({})]).is_err());
        assert!(rewrite("- a\n", &[json!({"a": 1})]).is_err());
        assert!(rewrite("not: [yaml", &[json!({"a": 1})]).is_err());
    }

    #[test]
    fn pieces_begin_where_documents_do() {
        for (text, pieces_of) in [
            ("", vec![]),
            ("a: 1\n", vec!["a: 1\n"]),
            ("a: 1\n---\nb: 2", vec!["a: 1\n", "---\nb: 2"]),
            (
                "--- # x\r\na: |\r\n  ---\r\n---\r\n",
                vec!["--- # x\r\na: |\r\n  ---\r\n", "---\r\n"],
            ),
            ("---a\n----\n --- \n", vec!["---a\n----\n --- \n"]),
            ("# c\n---", vec!["# c\n", "---"]),
        ] {
            assert_eq!(pieces(text), pieces_of, "{text:?}");
        }
    }
}
