//! An object as it is kept: one line of JSON, and what a reader may ask of it without reading that.
//!
//! In comes a whole object with its version; out go its bytes. It never changes.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::cache::{Entry, Name, Version};

/// An object of any kind, encoded once.
#[derive(Clone, Debug)]
pub struct Object {
    name: Name,
    version: Version,
    /// A plain list: most objects have one or none, and a map would be many times as large.
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the fields that its kind lets a selector name, but for those of the name itself.
    fields: BTreeMap<String, String>,
    /// The whole object as one line of JSON.
    body: Bytes,
    /// Its `metadata`: a part of `body`, so that it costs nothing.
    metadata: Bytes,
}

impl Object {
    /// Returns `value` as it is kept under `version`, which is written into it. `selectable` are the fields of its kind
    /// that a selector may name.
    #[must_use]
    pub fn new(mut value: Value, version: Version, selectable: &[String]) -> Self {
        metadata_mut(&mut value).insert("resourceVersion".into(), version.to_string().into());
        Self::encoded(&value, version, selectable.iter().map(String::as_str))
    }

    fn encoded<'a>(
        value: &Value,
        version: Version,
        selectable: impl Iterator<Item = &'a str>,
    ) -> Self {
        let (body, metadata) = encode(value);
        Self {
            name: Name::new(
                text(value, "/metadata/namespace"),
                text(value, "/metadata/name"),
            ),
            version,
            labels: labels(value),
            fields: selectable
                .filter(|path| !path.starts_with("metadata."))
                .map(|path| (path.to_owned(), field(value, path)))
                .collect(),
            body,
            metadata,
        }
    }

    /// Returns what `bytes`, once [`Object::body`], were.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn restore(bytes: &[u8], selectable: &[String]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let version = text(&value, "/metadata/resourceVersion")
            .parse()
            .map_err(|error| format!("metadata.resourceVersion: {error}"))?;
        let selectable = selectable.iter().map(String::as_str);
        Ok(Self::encoded(&value, version, selectable))
    }

    /// Returns the whole object as one line of JSON.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the whole object, to be read or changed.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body was encoded from a value")
    }
}

impl Entry for Object {
    fn name(&self) -> &Name {
        &self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known.as_ref() == key);
        found.map(|(_, value)| value.as_ref())
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        // Events of the core group are a view of the others: the same field by another name.
        if let Some(rest) = path.strip_prefix("involvedObject.") {
            return self.field(&format!("regarding.{rest}"));
        }
        match path {
            "metadata.name" => Some(Cow::Borrowed(&self.name.name)),
            "metadata.namespace" => Some(Cow::Borrowed(&self.name.namespace)),
            other => self
                .fields
                .get(other)
                .map(|value| Cow::Borrowed(value.as_str())),
        }
    }

    fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    fn at(&self, version: Version) -> Self {
        let mut value = self.value();
        metadata_mut(&mut value).insert("resourceVersion".into(), version.to_string().into());
        Self::encoded(&value, version, self.fields.keys().map(String::as_str))
    }
}

/// Returns the object as one line, and its metadata as a part of that line.
fn encode(value: &Value) -> (Bytes, Bytes) {
    let mut line = b"{\"apiVersion\":".to_vec();
    push(&mut line, &value["apiVersion"]);
    line.extend_from_slice(b",\"kind\":");
    push(&mut line, &value["kind"]);
    line.extend_from_slice(b",\"metadata\":");
    let start = line.len();
    push(&mut line, &value["metadata"]);
    let end = line.len();
    for (key, member) in value.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            line.push(b',');
            push(&mut line, &Value::String(key.clone()));
            line.push(b':');
            push(&mut line, member);
        }
    }
    line.push(b'}');
    line.shrink_to_fit();
    let line = Bytes::from(line);
    (line.clone(), line.slice(start..end))
}

fn push(line: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(line, value).expect("a value is always JSON");
}

/// Returns the object's metadata, made if it has none.
pub(super) fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value["metadata"].is_object() {
        value["metadata"] = Value::Object(Map::new());
    }
    value["metadata"]
        .as_object_mut()
        .expect("it was just made an object")
}

/// Returns the string at a JSON pointer, or nothing's name.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn labels(value: &Value) -> Box<[(Box<str>, Box<str>)]> {
    let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
        .collect()
}

fn field(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |at, key| at.get(key));
    match found {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> Value {
        json!({
            "type": "Opaque", "metadata": {"labels": {"a": "b"}, "name": "n", "namespace": "s"},
            "kind": "Secret", "apiVersion": "v1",
        })
    }

    #[test]
    fn the_metadata_is_a_part_of_the_body_and_carries_the_version() {
        let object = Object::new(secret(), Version(7), &["type".into()]);
        let metadata: Value = serde_json::from_slice(object.metadata()).unwrap();
        assert_eq!(metadata["resourceVersion"], "7");
        assert_eq!(object.value()["metadata"], metadata);
        assert!(
            object
                .body()
                .starts_with(b"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{")
        );
        assert_eq!(object.field("type").as_deref(), Some("Opaque"));
        assert_eq!(object.field("metadata.name").as_deref(), Some("n"));
        assert_eq!(object.field("spec.other"), None);
        assert_eq!(object.label("a"), Some("b"));
    }

    #[test]
    fn an_object_comes_back_from_its_bytes_and_under_another_version() {
        let object = Object::new(secret(), Version(7), &["type".into()]);
        let again = Object::restore(object.body(), &["type".into()]).unwrap();
        assert_eq!(again.body(), object.body());
        assert_eq!(again.version(), Version(7));
        let later = again.at(Version(9));
        assert_eq!(later.version(), Version(9));
        assert_eq!(later.value()["metadata"]["resourceVersion"], "9");
        assert_eq!(later.field("type").as_deref(), Some("Opaque"));
    }
}
