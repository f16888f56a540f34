//! What a function made of its list, read from its answer.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    super::{Item, List, Place},
    MOST_BYTES_OF_ANSWER, annotations, results, split,
};
use crate::{api::ResultItem, yaml};

/// Returns the resources of a function's answer, in its order, and its reports; `input` is the list that it was given.
///
/// A resource that was in the list has its comments and the order of its members from there. A new one has no path if the function
/// gave it none, and the next free number of its file if it has a path only; of the root package if it names no package.
///
/// # Errors
/// A sentence: the answer is too large, no `ResourceList`, or its annotations contradict each other.
pub fn decode(text: &str, input: &List) -> Result<(Vec<Item>, Vec<ResultItem>), String> {
    if text.len() > MOST_BYTES_OF_ANSWER {
        let most = MOST_BYTES_OF_ANSWER;
        return Err(format!(
            "the function's answer has {} bytes, more than {most}",
            text.len()
        ));
    }
    let answer = split::read(text)?;
    let items = answer.items.into_iter();
    let read: Result<Vec<_>, _> = items.map(|item| self::item(item, &input.items)).collect();
    Ok((numbered(read?), results::read(&answer.results)))
}

/// Returns a resource, and whether it says its number.
fn item((mut object, text): (Value, String), sent: &[Item]) -> Result<(Item, bool), String> {
    if !object.is_object() {
        return Err("an item of the function's answer is no object".into());
    }
    let told = annotations::take(&mut object, sent)?;
    let from = told.id.and_then(|id| sent.get(id.checked_sub(1)?));
    if let Some(from) = from {
        settle(&mut object, &from.object);
    }
    let text = match from {
        Some(from) => known_text(from, &object, &text),
        None => text.into(),
    };
    let place = annotations::place(&told, from);
    let item = Item {
        object,
        place,
        text,
    };
    Ok((item, told.index.is_some()))
}

/// Gives the next free number of its file to every resource that says a path but no number.
fn numbered(items: Vec<(Item, bool)>) -> Vec<Item> {
    let file = |place: &Place| (place.package.clone(), place.path.clone());
    let mut next: BTreeMap<_, usize> = BTreeMap::new();
    for (item, _) in items.iter().filter(|(_, says)| *says) {
        let next = next.entry(file(&item.place)).or_default();
        *next = (*next).max(item.place.index.saturating_add(1));
    }
    let number = |(mut item, says): (Item, bool)| {
        if !says && !item.place.path.is_empty() {
            let next = next.entry(file(&item.place)).or_default();
            item.place.index = *next;
            *next = next.saturating_add(1);
        }
        item
    };
    items.into_iter().map(number).collect()
}

/// Returns the document of a resource that was sent, with comments that the function wrote where there were none.
fn known_text(from: &Item, object: &Value, answered: &str) -> Arc<str> {
    let is_plain = !from.text.trim_start().starts_with('{');
    if !answered.contains('#') || !is_plain {
        return from.text.clone();
    }
    let wanted = std::slice::from_ref(object);
    let text = yaml::rewrite(&from.text, wanted);
    let text = text.unwrap_or_else(|_| yaml::with_comments(&yaml::emit(object), &from.text));
    let healed = yaml::with_comments(&text, answered);
    if *healed == *from.text {
        return from.text.clone();
    }
    healed.into()
}

/// Gives what a function wrote anew the order of before, and numbers that are the same their form.
fn settle(new: &mut Value, old: &Value) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => settle_map(new, old),
        (Value::Array(new), Value::Array(old)) => {
            for (new, old) in new.iter_mut().zip(old) {
                settle(new, old);
            }
        }
        (new @ Value::Number(_), Value::Number(_)) if new.as_f64() == old.as_f64() => {
            // Beyond what a float can tell apart they are the same only if they say the same.
            let is_exact = |value: &Value| value.is_i64() || value.is_u64();
            if !(is_exact(new) && is_exact(old)) {
                *new = old.clone();
            }
        }
        _ => {}
    }
}

fn settle_map(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    let mut ordered = Map::new();
    for (key, old) in old {
        if let Some(mut value) = new.shift_remove(key) {
            settle(&mut value, old);
            ordered.insert(key.clone(), value);
        }
    }
    ordered.append(new);
    *new = ordered;
}
