//! The documents of a file: which resource each is, and what of it is bookkeeping that no user wrote.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::text_of;
use crate::{
    package::{kptfile::UPSTREAM_IDENTIFIER, tasks::merge_key, upgrade::UpgradeError},
    yaml,
};

/// Annotations that tools keep their books in: what they say is no change of a user.
const BOOKKEEPING: &[&str] = &[
    UPSTREAM_IDENTIFIER,
    "config.kubernetes.io/index",
    "config.kubernetes.io/path",
    "config.kubernetes.io/merge-source",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "cnrm.cloud.google.com/blueprint",
];

/// By what a resource is known within its file: group, kind, namespace and name. The latter are those that it had upstream when it
/// was cloned, if that is written on it.
pub(super) type Identity = [String; 4];

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document<'a> {
    /// Its text, with the line that begins it if it has one.
    pub(super) text: &'a str,
    /// What it says; nothing if it has comments only.
    pub(super) value: Option<Value>,
}

impl<'a> Document<'a> {
    /// Returns the documents of a file, in their order.
    ///
    /// # Errors
    /// [`UpgradeError::Unreadable`].
    pub(super) fn all(path: &str, content: &'a [u8]) -> Result<Vec<Self>, UpgradeError> {
        let text = text_of(path, content)?;
        let told = |error| UpgradeError::unreadable(path, &error);
        let pieces = yaml::pieces(text);
        if pieces.len() > 1
            && let Some(error) = yaml::problem(text)
        {
            return Err(told(error));
        }
        let read = pieces.into_iter().map(|text| {
            let mut values = yaml::documents(text).map_err(told)?;
            if values.len() > 1 {
                let why = "its documents are not separated by lines with ---";
                return Err(UpgradeError::unreadable(path, &why));
            }
            let value = values.pop().filter(|value| !value.is_null());
            Ok(Self { text, value })
        });
        read.collect()
    }

    /// Returns the text without the line that begins it and what is empty behind it.
    pub(super) fn body(&self) -> &str {
        body(self.text)
    }

    /// Returns by what it is known; one of no kind by its number among those.
    fn identity(&self, others: &mut usize) -> Option<Identity> {
        let value = self.value.as_ref()?;
        let text = |pointer: &str| {
            let text = value.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let kind = text("/kind");
        if kind.is_empty() {
            *others += 1;
            return Some([others.to_string(), kind, String::new(), String::new()]);
        }
        let own = || (text("/metadata/namespace"), text("/metadata/name"));
        let (namespace, name) = merge_key::names_of(self.text).unwrap_or_else(own);
        Some([group(value).into(), kind, namespace, name])
    }
}

/// Returns the text of a document without the line that begins it and what is empty behind it.
pub(super) fn body(text: &str) -> &str {
    let bare = text.strip_prefix("---").and_then(|rest| {
        let (line, rest) = rest.split_once('\n')?;
        line.trim().is_empty().then_some(rest)
    });
    bare.unwrap_or(text).trim_end()
}

/// Returns the documents by what they are known.
///
/// # Errors
/// [`UpgradeError::Duplicate`]: two are known by the same.
pub(super) fn known<'a>(
    documents: &'a [Document<'a>],
    (path, version): (&str, &'static str),
) -> Result<BTreeMap<Identity, &'a Document<'a>>, UpgradeError> {
    let mut known = BTreeMap::new();
    for (identity, document) in identities(documents).into_iter().zip(documents) {
        let Some(identity) = identity else {
            continue;
        };
        if known.insert(identity, document).is_some() {
            let path = path.into();
            return Err(UpgradeError::Duplicate { version, path });
        }
    }
    Ok(known)
}

/// Returns by what each document is known; nothing for those that say nothing.
pub(super) fn identities(documents: &[Document]) -> Vec<Option<Identity>> {
    let mut others = 0;
    let identities = documents
        .iter()
        .map(|document| document.identity(&mut others));
    identities.collect()
}

/// Returns the API group of a resource.
pub(super) fn group(value: &Value) -> &str {
    let version = value.get("apiVersion").and_then(Value::as_str);
    let version = version.unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// Bookkeeping annotations, and the place of each when those before it here were gone.
pub(super) type Books = Vec<(usize, String, Value)>;

/// Returns a resource without bookkeeping, and that with its places.
pub(super) fn without_books(value: &Value) -> (Value, Books) {
    let mut bare = value.clone();
    let mut books = Vec::new();
    let metadata = bare.get_mut("metadata").and_then(Value::as_object_mut);
    let Some(metadata) = metadata else {
        return (bare, books);
    };
    let annotations = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut);
    let Some(annotations) = annotations else {
        return (bare, books);
    };
    for key in BOOKKEEPING {
        if let Some(at) = annotations.keys().position(|one| one == key) {
            let book = annotations.shift_remove(*key).unwrap_or_default();
            books.push((at, (*key).to_owned(), book));
        }
    }
    if annotations.is_empty() && !books.is_empty() {
        metadata.shift_remove("annotations");
    }
    (bare, books)
}

/// Puts bookkeeping back.
pub(super) fn put_books(value: &mut Value, books: Books) {
    if books.is_empty() {
        return;
    }
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = Map::new().into();
    }
    // Last out, first in.
    for (at, key, book) in books.into_iter().rev() {
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.shift_insert(at.min(annotations.len()), key, book);
        }
    }
}

/// Returns whether a user would say that two documents are the same: in all but bookkeeping, and how they are written.
pub(super) fn is_same_document(one: &Document, other: &Document) -> bool {
    one.text == other.text || said(one) == said(other) && comments(one) == comments(other)
}

/// Returns what a user says in a document. Annotations without any are none: a clone may have written into them.
fn said(document: &Document) -> Option<Value> {
    let (mut said, _) = without_books(document.value.as_ref()?);
    let metadata = said.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        let is_empty = |value: &Value| value.as_object().map_or(value.is_null(), Map::is_empty);
        if metadata.get("annotations").is_some_and(is_empty) {
            metadata.shift_remove("annotations");
        }
    }
    Some(said)
}

/// Returns the comments of a document that people wrote, sorted.
fn comments(document: &Document) -> Vec<String> {
    let mut comments = yaml::comments(document.text);
    comments.retain(|comment| !merge_key::is_mark(comment));
    comments.sort_unstable();
    comments
}

/// Returns whether a user would say that two files of resources are the same; those that can't be read are if their bytes are.
pub(in crate::package) fn is_same(path: &str, one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let (Ok(one), Ok(other)) = (Document::all(path, one), Document::all(path, other)) else {
        return false;
    };
    // Comments alone count as long as there are any.
    let said = |document: &&Document| document.value.is_some() || !comments(document).is_empty();
    let (mut one, mut other) = (one.iter().filter(said), other.iter().filter(said));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if is_same_document(one, other) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "apiVersion: apps/v1 # v\nkind: K\nmetadata:\n  name: n\n";
    const MARKED: &str = "apiVersion: apps/v1 # v\nkind: K\nmetadata: # kpt-merge: /n\n  name: n\n  annotations:\n    internal.kpt.dev/upstream-identifier: 'apps|K|default|n'\n";

    #[test]
    fn resources_are_known_by_what_they_were_upstream() {
        for (text, want) in [
            (BARE, Some(["apps", "K", "", "n"])),
            (MARKED, Some(["apps", "K", "", "n"])),
            (
                "apiVersion: apps/v2\nkind: K\nmetadata: # kpt-merge: s/old\n  name: n\n",
                Some(["apps", "K", "s", "old"]),
            ),
            (
                "apiVersion: v1\nkind: K\nmetadata: # kpt-merge: old\n  name: n\n  namespace: s\n",
                Some(["", "K", "s", "n"]),
            ),
            ("kind: K\n", Some(["", "K", "", ""])),
            ("a: 1\n", Some(["1", "", "", ""])),
            ("- a\n", Some(["1", "", "", ""])),
            ("# a\n", None),
            ("---\n", None),
        ] {
            let documents = Document::all("x", text.as_bytes()).unwrap();
            let want = want.map(|want| want.map(str::to_owned));
            assert_eq!(identities(&documents), [want], "{text}");
        }
        let many = format!("{BARE}---\na: 1\n---\nb: 1\n---\n{MARKED}");
        let documents = Document::all("d/x.yaml", many.as_bytes()).unwrap();
        let error = known(&documents, ("d/x.yaml", "dest")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "found duplicate \"dest\" resources in file \"d/x.yaml\", please refer to \"update\" documentation for the fix"
        );
    }

    #[test]
    fn marks_and_layout_are_no_changes() {
        let comment = BARE.replace("# v", "# w");
        let number = BARE.replace("name: n", "name: m");
        for (one, other, want) in [
            (BARE, MARKED, true),
            (BARE, BARE, true),
            (BARE, &comment, false),
            (BARE, &number, false),
            ("a: [1]\n", "---\na:\n- 1\n", true),
            ("a: 1\n", "a: 1\n---\n", true),
            ("metadata: {annotations: {}}\n", "metadata: {}\n", true),
            ("metadata: {labels: {}}\n", "metadata: {}\n", false),
            ("a: 1\n", "a: 1\n---\nb: 1\n", false),
            ("a: 1\n", "a: 1\n---\n# b\n", false),
            ("not: [yaml\n", "not: [yaml\n", true),
            ("not: [yaml\n", "not: [yaml \n", false),
        ] {
            assert_eq!(
                is_same("x", one.as_bytes(), other.as_bytes()),
                want,
                "{one}{other}"
            );
        }
    }

    #[test]
    fn books_go_and_come_back() {
        for text in [
            MARKED,
            BARE,
            "a: 1\n",
            "metadata: {annotations: }\n",
            "metadata: {annotations: {}}\n",
            "metadata: {annotations: {a: b, config.kubernetes.io/path: p, c: d, internal.kpt.dev/upstream-identifier: i, e: f}}\n",
        ] {
            let value = yaml::documents(text).unwrap().remove(0);
            let (mut bare, books) = without_books(&value);
            assert!(!bare.to_string().contains("upstream-identifier"));
            put_books(&mut bare, books);
            assert_eq!(bare.to_string(), value.to_string());
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_path() {
        for text in [&b"not: [yaml"[..], b"\xff", b"a: 1\n...\nb: 1\n"] {
            let error = Document::all("d/x.yaml", text).unwrap_err();
            assert!(error.to_string().contains("\"d/x.yaml\""), "{error}");
        }
    }
}
