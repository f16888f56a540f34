//! The files of a package as its functions left its resources.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Audience, Item, blueprint, krm, tree::Tree};
use crate::package::{Files, KPTFILE, check_files};

/// Returns the files with the resources in them: what did not change keeps its bytes. With `prune`, files of which all resources are gone
/// are gone; without, they stay.
///
/// # Errors
/// A sentence: the functions made what can't be stored, or nobody waits for it.
pub(super) fn write(
    (files, tree): (&Files, &Tree),
    items: &[Item],
    prune: bool,
    audience: &Audience,
) -> Result<Files, String> {
    let marked: Vec<Cow<Item>> = items.iter().map(|item| marked(item, tree)).collect();
    let mut by_file: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
    for item in &marked {
        let path = krm::joined(&item.place.package, &item.place.path);
        by_file.entry(path).or_default().push(item);
    }
    let mut written = files.clone();
    for (path, layout) in &tree.layouts {
        let is_gone = !layout.documents.is_empty() && !by_file.contains_key(*path);
        if is_gone && prune {
            written.remove(*path);
        }
    }
    for (path, mut items) in by_file {
        audience.check()?;
        items.sort_by_key(|item| item.place.index);
        let text = match tree.layouts.get(path.as_str()) {
            Some(layout) => layout.with(&path, &items),
            None => super::layout::Layout::default().with(&path, &items),
        };
        if let Some(text) = text {
            written.insert(path, text.into_bytes());
        }
    }
    check(files, &written)?;
    Ok(written)
}

/// Returns a resource with the mark of Config Connector, if a function made or changed it.
fn marked<'a>(item: &'a Item, tree: &Tree) -> Cow<'a, Item> {
    if !blueprint::is_marked(&item.object) {
        return Cow::Borrowed(item);
    }
    let place = &item.place;
    let path = krm::joined(&place.package, &place.path);
    let layout = tree.layouts.get(path.as_str());
    let before = layout.and_then(|layout| layout.documents.get(place.index));
    if before.is_some_and(|before| before.value == item.object) {
        return Cow::Borrowed(item);
    }
    let mut item = item.clone();
    blueprint::mark(&mut item.object);
    Cow::Owned(item)
}

/// Returns nothing when all that is new can be stored: it has names that every system takes, and no more bytes than may be.
fn check(before: &Files, after: &Files) -> Result<(), String> {
    // What did not change was not made by a function, and is not judged again.
    let judged = |files: &Files, others: &Files| -> Files {
        let is_same =
            |path: &str, content: &Vec<u8>| path != KPTFILE && others.get(path) == Some(content);
        let content = |path: &String, content: &Vec<u8>| {
            let content = if is_same(path, content) {
                Vec::new()
            } else {
                content.clone()
            };
            (path.clone(), content)
        };
        files
            .iter()
            .map(|(path, text)| content(path, text))
            .collect()
    };
    if before == after {
        return Ok(());
    }
    let wrong = check_files(&judged(after, before));
    if wrong.is_empty() {
        return Ok(());
    }
    let known = check_files(&judged(before, after));
    let wrong = wrong.into_iter();
    let told: Vec<String> = wrong
        .filter(|wrong| !known.contains(wrong))
        .map(|wrong| format!("{}: {}", wrong.field, wrong.detail))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the functions made a package that can't be stored: {}",
        told.join("; ")
    ))
}
