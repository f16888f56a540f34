//! The annotations that tell a function where a resource is kept, and what they say when they come back.

use serde_json::{Map, Value, json};

use super::super::{Item, Place};

/// The directory of the package, from `/`.
const PACKAGE: &str = "internal.config.kubernetes.io/package-path";
/// How lists are indented.
const INDENT: &str = "internal.config.kubernetes.io/seqindent";
/// The path of the file in its package, as it is spelled now and as it was.
const PATH: [&str; 2] = [
    "internal.config.kubernetes.io/path",
    "config.kubernetes.io/path",
];
/// The number of the document in the file, in both spellings.
const INDEX: [&str; 2] = [
    "internal.config.kubernetes.io/index",
    "config.kubernetes.io/index",
];
/// The number of the resource in the list, in both spellings.
const ID: [&str; 2] = ["internal.config.kubernetes.io/id", "config.k8s.io/id"];

/// All of them.
const ALL: [&str; 8] = [
    PATH[0], PATH[1], INDEX[0], INDEX[1], ID[0], ID[1], PACKAGE, INDENT,
];

/// What a resource that comes back says of itself.
pub(super) struct Told {
    /// Its number in the list that was sent, from 1.
    pub(super) id: Option<usize>,
    /// Its path, if it has one.
    pub(super) path: Option<String>,
    /// The number of its document, if it has one.
    pub(super) index: Option<usize>,
    /// The directory of its package, if it names one.
    pub(super) package: Option<String>,
}

/// Returns a resource with the annotations; one that is no map as it is.
pub(super) fn annotated(item: &Item, id: usize) -> Value {
    let mut object = item.object.clone();
    let Some(annotations) = annotations_of(&mut object) else {
        return object;
    };
    let place = &item.place;
    let (index, id) = (place.index.to_string(), id.to_string());
    for (key, value) in [
        (PATH[0], place.path.as_str()),
        (PATH[1], &place.path),
        (INDEX[0], &index),
        (INDEX[1], &index),
        (ID[0], &id),
        (ID[1], &id),
        (PACKAGE, &format!("/{}", place.package)),
        (INDENT, indent(&item.text)),
    ] {
        annotations.insert(key.into(), value.into());
    }
    object
}

/// Returns the annotations of a resource, which are made if there are none; nothing where none can be.
fn annotations_of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let mut inner = object;
    for key in ["metadata", "annotations"] {
        let member = inner.as_object_mut()?.entry(key).or_insert(Value::Null);
        if member.is_null() {
            *member = json!({});
        }
        inner = member;
    }
    inner.as_object_mut()
}

/// Returns how the first list of a document is indented: `wide` if its items are deeper than its key.
fn indent(text: &str) -> &'static str {
    let width = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let lines = text.lines().filter(|line| {
        let body = line.trim_start();
        !body.is_empty() && !body.starts_with('#')
    });
    let mut before: Option<&str> = None;
    for line in lines {
        let is_item = line.trim_start().starts_with("- ");
        let key = before.filter(|key| key.trim_end().ends_with(':'));
        if let Some(key) = key.filter(|_| is_item) {
            return if width(line) == width(key) + 2 {
                "wide"
            } else {
                "compact"
            };
        }
        before = Some(line);
    }
    "compact"
}

/// Takes the annotations out of a resource that came back, and returns what they say; `sent` is what the resource was sent as. Those that
/// a resource has of its own are as they were.
///
/// # Errors
/// A sentence: they contradict each other, or are no numbers.
pub(super) fn take(object: &mut Value, sent: &[Item]) -> Result<Told, String> {
    let id = ID.iter().find_map(|key| text(object, key));
    let id = id.and_then(|id| id.parse().ok());
    let item = id.and_then(|id: usize| sent.get(id.checked_sub(1)?));
    let place = item.map(|item| &item.place);
    let path = agreed(object, PATH, place.map(|place| place.path.as_str()))?;
    let sent_index = place.map(|place| place.index.to_string());
    let index = agreed(object, INDEX, sent_index.as_deref())?;
    let index = index.map(|index| {
        let number = index.parse();
        number.map_err(|_| format!("the index {index:?} of a resource is no number"))
    });
    let package = text(object, PACKAGE).map(|package| package.trim_matches('/').to_owned());
    let told = Told {
        id,
        path: path.filter(|path| !path.is_empty()),
        index: index.transpose()?,
        package,
    };
    take_out(object, item.map(|item| &item.object));
    Ok(told)
}

/// Returns the value of an annotation.
fn text(object: &Value, key: &str) -> Option<String> {
    match object.get("metadata")?.get("annotations")?.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Returns what two spellings of an annotation say together: the one that was changed.
fn agreed(object: &Value, keys: [&str; 2], sent: Option<&str>) -> Result<Option<String>, String> {
    let [now, before] = keys.map(|key| text(object, key));
    match (now, before) {
        (Some(now), Some(before)) if now != before && sent == Some(now.as_str()) => {
            Ok(Some(before))
        }
        (Some(now), Some(before)) if now != before && sent != Some(before.as_str()) => {
            Err(format!(
                "resource has mismatched legacy and internal annotations: {} is {now:?}, {} is {before:?}",
                keys[0], keys[1]
            ))
        }
        (now, before) => Ok(now.or(before)),
    }
}

/// Takes all out, and what is empty then and was not there before.
fn take_out(object: &mut Value, sent: Option<&Value>) {
    let own = |path: &str| sent.and_then(|sent| sent.pointer(path));
    let own_annotations = own("/metadata/annotations");
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else {
        return;
    };
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        for key in ALL {
            match own_annotations.and_then(|own| own.get(key)) {
                Some(own) => annotations.insert(key.into(), own.clone()),
                None => annotations.shift_remove(key),
            };
        }
        if annotations.is_empty() {
            put_back(metadata, "annotations", own_annotations);
        }
    }
    if metadata.is_empty()
        && let Some(object) = object.as_object_mut()
    {
        put_back(object, "metadata", own("/metadata"));
    }
}

/// Makes an empty member what it was before, if that was as good as empty.
fn put_back(map: &mut Map<String, Value>, key: &str, own: Option<&Value>) {
    let is_empty = |own: &&Value| own.is_null() || own.as_object().is_some_and(Map::is_empty);
    match own.filter(is_empty) {
        Some(own) => map.insert(key.into(), own.clone()),
        None => map.shift_remove(key),
    };
}

/// Returns where a resource is kept that says so: missing numbers are not given here.
pub(super) fn place(told: &Told, sent: Option<&Item>) -> Place {
    let package = told.package.clone();
    let package = package.or_else(|| sent.map(|item| item.place.package.clone()));
    Place {
        package: package.unwrap_or_default(),
        path: told.path.clone().unwrap_or_default(),
        index: told.index.unwrap_or_default(),
    }
}
