//! Marks by which a later upgrade knows which resource of the upstream a resource was: a comment and an annotation.
//!
//! They are put in place; all else keeps its bytes. What can't be read or marked so, or is larger than
//! anybody could send, is left as it is: marks are worth less than files.

use serde_json::{Map, Value, json};

use crate::{
    package::{Files, MOST_BYTES_OF_FILE, files::is_resource, kptfile::UPSTREAM_IDENTIFIER},
    yaml,
};

const MARK: &str = "kpt-merge:";
const METADATA: &str = "metadata:";

/// Returns the files with marks on all their resources.
pub(super) fn mark(files: Files) -> Files {
    let marked = files.into_iter().map(|(path, content)| {
        let is_marked = is_resource(&path) && content.len() <= MOST_BYTES_OF_FILE;
        let marked = is_marked.then(|| marked_file(&content)).flatten();
        (path, marked.unwrap_or(content))
    });
    marked.collect()
}

/// Returns a file with marks; nothing if it can't be read.
pub(in crate::package) fn marked_file(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let pieces = yaml::pieces(text).into_iter();
    let marked: String = pieces
        .map(|piece| marked_piece(piece).unwrap_or_else(|| piece.into()))
        .collect();
    // A file is marked as one, or not at all: a piece that reads well alone can still be part of nonsense.
    yaml::documents(text).and(yaml::documents(&marked)).ok()?;
    Some(marked.into_bytes())
}

/// Returns whether a text can have marks of a clone: no clone leaves one without.
pub(in crate::package) fn may_be_marked(text: &str) -> bool {
    text.contains(UPSTREAM_IDENTIFIER)
}

/// Returns a document with marks; nothing if it is no resource.
pub(in crate::package) fn marked_piece(piece: &str) -> Option<String> {
    let mut values = yaml::documents(piece).ok()?;
    let [Value::Object(resource)] = values.as_mut_slice() else {
        return None;
    };
    let metadata = resource.get("metadata")?.as_object()?;
    let own = (text_of(metadata, "namespace"), text_of(metadata, "name"));
    let labels = metadata.get("labels").and_then(Value::as_object);
    if own == (String::new(), String::new()) && labels.is_none_or(Map::is_empty) {
        return None;
    }
    let (commented, (namespace, name)) = with_comment(piece, &own);
    let identifier = identifier(resource, &namespace, &name);
    annotate(resource, &identifier)?;
    // The comment is one only if it says nothing.
    let read = yaml::documents(&commented).ok()?;
    let base = if read == yaml::documents(piece).ok()? {
        &commented
    } else {
        piece
    };
    yaml::rewrite(base, &values).ok()
}

fn text_of(map: &Map<String, Value>, key: &str) -> String {
    let text = map.get(key).and_then(Value::as_str);
    text.unwrap_or_default().into()
}

/// Returns `<group>|<kind>|<namespace>|<name>`.
fn identifier(resource: &Map<String, Value>, namespace: &str, name: &str) -> String {
    let (version, kind) = (text_of(resource, "apiVersion"), text_of(resource, "kind"));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let namespace = if namespace.is_empty() {
        "default"
    } else {
        namespace
    };
    format!("{group}|{kind}|{namespace}|{name}")
}

fn annotate(resource: &mut Map<String, Value>, identifier: &str) -> Option<()> {
    let metadata = resource.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = json!({});
    }
    let annotations = annotations.as_object_mut()?;
    annotations.insert(UPSTREAM_IDENTIFIER.into(), identifier.into());
    Some(())
}

/// Returns a document with the comment on its `metadata`, and the namespace and name that the comment has: those that an earlier
/// clone wrote, if it did. Another comment of that line is moved to one of its own above.
fn with_comment(piece: &str, own: &(String, String)) -> (String, (String, String)) {
    let key = METADATA;
    let starts = piece.starts_with(key).then_some(0);
    let found = starts.or_else(|| piece.find(&format!("\n{key}")).map(|at| at + 1));
    let Some(start) = found else {
        return (piece.into(), own.clone());
    };
    let after = start + key.len();
    let line = piece[after..].split('\n').next().unwrap_or_default();
    let line = line.trim_end_matches('\r');
    let comment = line.trim();
    if let Some(earlier) = marked_names(comment) {
        return (piece.into(), earlier);
    }
    let (namespace, name) = own;
    let is_open = comment.is_empty() || comment.starts_with('#');
    if !is_open
        || [namespace, name]
            .iter()
            .any(|text| text.contains(char::is_control))
    {
        return (piece.into(), own.clone());
    }
    let (head, tail) = (&piece[..start], &piece[after + line.len()..]);
    let ending = if tail.starts_with('\r') { "\r\n" } else { "\n" };
    let above = match comment {
        "" => String::new(),
        comment if comment.contains(MARK) => String::new(),
        comment => format!("{comment}{ending}"),
    };
    let commented = format!("{head}{above}{key} # {MARK} {namespace}/{name}{tail}");
    (commented, own.clone())
}

/// Returns the namespace and name that an earlier clone wrote on the `metadata` of a document.
pub(in crate::package) fn names_of(piece: &str) -> Option<(String, String)> {
    let is_metadata = |line: &&str| line.starts_with(METADATA);
    let line = piece.lines().find(is_metadata)?;
    marked_names(line[METADATA.len()..].trim())
}

/// Returns whether a comment is one that a clone writes.
pub(in crate::package) fn is_mark(comment: &str) -> bool {
    let text = comment.trim_start_matches('#').trim_start();
    text.starts_with(MARK)
}

/// Returns the namespace and name in the comment of an earlier clone.
fn marked_names(comment: &str) -> Option<(String, String)> {
    let names = comment.strip_prefix('#')?.trim().strip_prefix(MARK)?;
    let (namespace, name) = names.trim().split_once('/')?;
    Some((namespace.into(), name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str) -> String {
        let files = [("d/x.yaml".to_owned(), text.as_bytes().to_vec())].into();
        String::from_utf8(mark(files)["d/x.yaml"].clone()).unwrap()
    }

    #[test]
    fn resources_are_marked_in_place() {
        let id = UPSTREAM_IDENTIFIER;
        for (text, want) in [
            (
                "# top\napiVersion: apps/v1 # a\nkind: Deployment\nmetadata:\n    name: n # c\n    namespace: s\nspec: {a: [1,  2]}\n".to_owned(),
                format!("# top\napiVersion: apps/v1 # a\nkind: Deployment\nmetadata: # kpt-merge: s/n\n    name: n # c\n    namespace: s\n    annotations:\n      {id}: 'apps|Deployment|s|n'\nspec: {{a: [1,  2]}}\n"),
            ),
            (
                "kind: Namespace\r\napiVersion: v1\r\nmetadata:\r\n  annotations:\r\n    a: b\r\n  name: n\r\n".to_owned(),
                format!("kind: Namespace\r\napiVersion: v1\r\nmetadata: # kpt-merge: /n\r\n  annotations:\r\n    a: b\r\n    {id}: '|Namespace|default|n'\r\n  name: n\r\n"),
            ),
            (
                format!("kind: K\napiVersion: g/v1\nmetadata: # kpt-merge: old/name\n  name: n\n  annotations:\n    {id}: 'stale'\n"),
                format!("kind: K\napiVersion: g/v1\nmetadata: # kpt-merge: old/name\n  name: n\n  annotations:\n    {id}: 'g|K|old|name'\n"),
            ),
            (
                "kind: K\nmetadata: # kpt-merge: foo\n  name: n\n".to_owned(),
                format!("kind: K\nmetadata: # kpt-merge: /n\n  name: n\n  annotations:\n    {id}: '|K|default|n'\n"),
            ),
            (
                "metadata: # ours\n  labels:\n    a: b\nkind: K\n".to_owned(),
                format!("# ours\nmetadata: # kpt-merge: /\n  labels:\n    a: b\n  annotations:\n    {id}: '|K|default|'\nkind: K\n"),
            ),
            (
                "kind: K\nmetadata: {name: n}\n".to_owned(),
                format!("kind: K\nmetadata: {{name: n, annotations: {{{id}: '|K|default|n'}}}}\n"),
            ),
            (
                "---\nkind: A\nmetadata:\n  name: a\n---\n# only this\n---\n- a list\n---\nkind: B\nmetadata:\n  name: b".to_owned(),
                format!("---\nkind: A\nmetadata: # kpt-merge: /a\n  name: a\n  annotations:\n    {id}: '|A|default|a'\n---\n# only this\n---\n- a list\n---\nkind: B\nmetadata: # kpt-merge: /b\n  name: b\n  annotations:\n    {id}: '|B|default|b'"),
            ),
            (
                "kind: K\nmetadata:\n  name: |\n    n\n".to_owned(),
                format!("kind: K\nmetadata:\n  name: |\n    n\n  annotations:\n    {id}: \"|K|default|n\\n\"\n"),
            ),
        ] {
            let got = marked(&text);
            assert_eq!(got.trim_end(), want.trim_end(), "{text}");
            assert_eq!(marked(&got), got);
        }
    }

    #[test]
    fn what_is_no_resource_or_cannot_be_read_keeps_its_bytes() {
        for text in [
            "",
            "# c\n",
            "not: [yaml",
            "- metadata:\n    name: n\n",
            "metadata:\nkind: K\n",
            "metadata: text\n",
            "metadata: {}\n",
            "kind: K\n",
            "metadata:\n  generateName: a\n",
            "a: 1\na: 2\n---\nmetadata:\n  name: n\n",
            "metadata:\n  name: n\n  annotations: [a]\n",
        ] {
            assert_eq!(marked(text), text);
        }
        let odd: Files = [
            ("a.yaml".to_owned(), b"\xff".to_vec()),
            ("a.json".into(), b"{\"metadata\":{\"name\":\"n\"}}".to_vec()),
        ]
        .into();
        assert_eq!(mark(odd.clone()), odd);
    }
}
