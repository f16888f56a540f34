//! Resources as a script sees them, and as it leaves them: their places are annotations while it runs.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::{Item, List, Place};

const PATHS: [&str; 2] = [
    "internal.config.kubernetes.io/path",
    "config.kubernetes.io/path",
];
const INDEXES: [&str; 2] = [
    "internal.config.kubernetes.io/index",
    "config.kubernetes.io/index",
];
/// By which a resource that comes back is known; the number of its item, from 1.
const ID: &str = "internal.config.kubernetes.io/id";

/// Returns a list as the script gets it.
pub(super) fn given(list: &List) -> Value {
    let mut given = json!({"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList"});
    let numbered = list.items.iter().enumerate();
    let shown = numbered.filter(|(_, item)| item.object.is_object());
    let items = shown.map(|(number, item)| placed(number + 1, item));
    given["items"] = Value::Array(items.collect());
    if let Some(config) = &list.config {
        given["functionConfig"] = config.clone();
    }
    given
}

fn placed(id: usize, item: &Item) -> Value {
    let mut object = item.object.clone();
    if let Some(annotations) = annotations(&mut object) {
        for key in PATHS {
            annotations.insert(key.into(), item.place.path.clone().into());
        }
        for key in INDEXES {
            annotations.insert(key.into(), item.place.index.to_string().into());
        }
        annotations.insert(ID.into(), id.to_string().into());
    }
    object
}

/// Returns the annotations of a resource, which are made if there are none.
fn annotations(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = child(object.as_object_mut()?, "metadata")?;
    child(metadata, "annotations")
}

fn child<'map>(
    map: &'map mut Map<String, Value>,
    key: &str,
) -> Option<&'map mut Map<String, Value>> {
    let child = map.entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child.as_object_mut()
}

/// Returns the items that a script left in its list. One that was there before keeps its text, and its keys their order; one that is
/// no map was not shown to the script, and stays.
///
/// # Errors
/// One sentence when what it left is no list of resources, or a place is none.
pub(super) fn left(before: &List, after: Value) -> Result<Vec<Item>, String> {
    let items = match after {
        Value::Object(mut map) => map.remove("items"),
        _ => return Err("ctx.resource_list must stay a dict".into()),
    };
    let Some(Value::Array(objects)) = items else {
        return Err("the items of ctx.resource_list must be a list".into());
    };
    let hidden = before.items.iter().filter(|item| !item.object.is_object());
    let mut items: Vec<Item> = hidden.cloned().collect();
    let mut seen = HashSet::new();
    for object in objects {
        if !object.is_object() {
            return Err("every item of ctx.resource_list must be a dict".into());
        }
        items.push(item(before, object, &mut seen)?);
    }
    Ok(items)
}

fn item(before: &List, mut object: Value, seen: &mut HashSet<usize>) -> Result<Item, String> {
    let told = take_notes(&mut object);
    let id = told.get(ID).and_then(|id| id.parse::<usize>().ok());
    let source = id.and_then(|id| before.items.get(id.checked_sub(1)?));
    let Some(source) = source else {
        let place = place(&Place::default(), &told)?;
        forget_empty(&mut object, &Value::Null);
        let text = "".into();
        return Ok(Item {
            object,
            place,
            text,
        });
    };
    let place = place(&source.place, &told)?;
    // A copy of a resource is a new one, in the package of the first.
    let is_first = id.is_some_and(|id| seen.insert(id));
    let text = if is_first {
        source.text.clone()
    } else {
        "".into()
    };
    give_back(&mut object, &source.object);
    forget_empty(&mut object, &source.object);
    let object = ordered(object, &source.object);
    Ok(Item {
        object,
        place,
        text,
    })
}

/// Takes our annotations out of a resource, and returns them.
fn take_notes(object: &mut Value) -> BTreeMap<&'static str, String> {
    let annotations = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"));
    let Some(annotations) = annotations.and_then(Value::as_object_mut) else {
        return BTreeMap::new();
    };
    let keys = PATHS.into_iter().chain(INDEXES).chain([ID]);
    let taken = keys.filter_map(|key| {
        let text = match annotations.shift_remove(key)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((key, text))
    });
    taken.collect()
}

/// Gives a resource back what it had of its own under the names of our annotations.
fn give_back(object: &mut Value, source: &Value) {
    let own = |key: &&str| {
        Some(
            source
                .get("metadata")?
                .get("annotations")?
                .get(key)?
                .clone(),
        )
    };
    let keys = PATHS.into_iter().chain(INDEXES).chain([ID]);
    for (key, value) in keys.filter_map(|key| Some((key, own(&key)?))) {
        if let Some(annotations) = annotations(object) {
            annotations.insert(key.into(), value);
        }
    }
}

/// Takes away what is empty only because our annotations were in it, and was not there before.
fn forget_empty(object: &mut Value, source: &Value) {
    let had = source
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let is_empty =
        |value: Option<&Value>| value.and_then(Value::as_object).is_some_and(Map::is_empty);
    if is_empty(metadata.get("annotations")) {
        match had {
            Some(Value::Null) => metadata.insert("annotations".into(), Value::Null),
            Some(_) => None,
            None => metadata.shift_remove("annotations"),
        };
    }
    if is_empty(map.get("metadata")) {
        match source.get("metadata") {
            Some(Value::Null) => map.insert("metadata".into(), Value::Null),
            Some(_) => None,
            None => map.shift_remove("metadata"),
        };
    }
}

/// Returns where a resource is kept now: the one of two annotations that the script changed counts.
fn place(before: &Place, told: &BTreeMap<&'static str, String>) -> Result<Place, String> {
    let path = changed(&before.path, PATHS.map(|key| told.get(key)))?;
    let index = changed(&before.index.to_string(), INDEXES.map(|key| told.get(key)))?;
    let index = index
        .parse()
        .map_err(|_| format!("{index:?} is no index of a resource"))?;
    Ok(Place {
        package: before.package.clone(),
        path,
        index,
    })
}

fn changed(before: &str, told: [Option<&String>; 2]) -> Result<String, String> {
    let mut changes = told.into_iter().flatten().filter(|now| *now != before);
    let Some(first) = changes.next() else {
        return Ok(before.into());
    };
    if changes.any(|other| other != first) {
        return Err("a resource has mismatched legacy and internal path annotations".into());
    }
    Ok(first.clone())
}

/// Returns a value with its keys in the order that another has them in; new ones come last.
fn ordered(value: Value, like: &Value) -> Value {
    match (value, like) {
        (Value::Object(mut map), Value::Object(like)) => {
            let mut sorted = Map::new();
            for (key, like) in like {
                if let Some(value) = map.shift_remove(key) {
                    sorted.insert(key.clone(), ordered(value, like));
                }
            }
            sorted.extend(map);
            Value::Object(sorted)
        }
        (Value::Array(items), Value::Array(like)) => {
            let mut like = like.iter();
            let sorted = items
                .into_iter()
                .map(|item| ordered(item, like.next().unwrap_or(&Value::Null)));
            Value::Array(sorted.collect())
        }
        (value, _) => value,
    }
}
