//! Comments of a package that clients lose when they write its files anew, put back.
//!
//! Only what lost a comment is touched, and only by that comment: all else keeps the bytes that the client sent. So nobody can take
//! away a comment from a resource that stays, as upstream has it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Files, MOST_BYTES_OF_FILE, files::is_resource};
use crate::yaml;

/// A resource as it is known: API version, kind, namespace, name. What is no resource is known by its file.
type Identity = [String; 4];

/// The documents that were there, with their paths.
type Known<'a> = BTreeMap<Identity, Vec<(&'a str, String)>>;

/// Returns the new files of a package, with the comments that its current files have and they lost: in documents of the same
/// API version, kind, namespace and name. Documents of ytt, whose comments are code, stay as they are.
#[must_use]
pub fn heal(new: Files, current: &Files) -> Files {
    let is_changed =
        |path: &str, content: &[u8]| current.get(path).is_none_or(|old| old != content);
    let changed = new
        .iter()
        .filter(|(path, content)| is_changed(path, content));
    if !changed.clone().any(|(path, _)| is_resource(path)) {
        return new;
    }
    let known = known(current);
    let healed = new.into_iter().map(|(path, content)| {
        let is_concerned = is_resource(&path) && is_changed(&path, &content);
        let healed = is_concerned
            .then(|| healed_file(&path, &content, &known))
            .flatten();
        (path, healed.unwrap_or(content))
    });
    healed.collect()
}

/// Returns the documents with comments; those of files that nobody could send are not looked at.
fn known(files: &Files) -> Known<'_> {
    let mut known = Known::new();
    let is_known =
        |path: &str, content: &[u8]| is_resource(path) && content.len() <= MOST_BYTES_OF_FILE;
    for (path, content) in files
        .iter()
        .filter(|(path, content)| is_known(path, content))
    {
        let Ok(text) = std::str::from_utf8(content) else {
            continue;
        };
        // What stands before the mark of a document is about that document.
        let mut before = String::new();
        for piece in yaml::pieces(text) {
            let Some(identity) = identity(path, piece) else {
                before.push_str(piece);
                continue;
            };
            let document = std::mem::take(&mut before) + piece;
            if document.contains('#') && !is_template(&document) {
                known.entry(identity).or_default().push((path, document));
            }
        }
    }
    known
}

/// Returns a file with the comments that it lost; nothing if it is no text.
fn healed_file(path: &str, content: &[u8], known: &Known) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let pieces = yaml::pieces(text).into_iter();
    let healed: String = pieces
        .map(|piece| healed_piece(path, piece, known).unwrap_or_else(|| piece.into()))
        .collect();
    // What says something else as a whole is not what the client meant.
    let meant = yaml::documents(text).ok()?;
    let is_meant = yaml::documents(&healed).is_ok_and(|read| read == meant);
    is_meant.then(|| healed.into_bytes())
}

fn healed_piece(path: &str, piece: &str, known: &Known) -> Option<String> {
    if known.is_empty() || is_template(piece) {
        return None;
    }
    let same = known.get(&identity(path, piece)?)?;
    let here = same.iter().find(|(other, _)| *other == path);
    let (_, old) = here.or_else(|| same.first())?;
    Some(yaml::with_comments(piece, old))
}

/// Returns by what a document is known; nothing if it is no map.
fn identity(path: &str, piece: &str) -> Option<Identity> {
    let documents = yaml::documents(piece).ok()?;
    let [document @ Value::Object(_)] = documents.as_slice() else {
        return None;
    };
    let text = |pointer: &str| {
        let text = document.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    if version.is_empty() || kind.is_empty() {
        return Some([path.into(), String::new(), String::new(), String::new()]);
    }
    Some([
        version,
        kind,
        text("/metadata/namespace"),
        text("/metadata/name"),
    ])
}

/// Returns whether a text's comments may be code of ytt.
fn is_template(text: &str) -> bool {
    text.contains("#@") || text.contains("#!")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        let all = all.iter();
        all.map(|(path, text)| ((*path).into(), text.as_bytes().to_vec()))
            .collect()
    }

    const OLD: &str =
        "# about it\napiVersion: v1\nkind: K\nmetadata:\n  name: n # kpt-set: ${n}\nspec: 1\n";
    const BARE: &str = "apiVersion: v1\nkind: K\nmetadata:\n  name: n\nspec: 2\n";
    const HEALED: &str =
        "# about it\napiVersion: v1\nkind: K\nmetadata:\n  name: n # kpt-set: ${n}\nspec: 2\n";

    #[test]
    fn resources_get_back_their_comments_wherever_they_are() {
        let other = BARE.replace("name: n", "name: other");
        for (current, new, want) in [
            (
                vec![("a.yaml", OLD)],
                vec![("a.yaml", BARE)],
                vec![("a.yaml", HEALED)],
            ),
            (
                vec![("a.yaml", OLD)],
                vec![("d/b.yml", BARE)],
                vec![("d/b.yml", HEALED)],
            ),
            (
                vec![("a.yaml", OLD)],
                vec![("a.yaml", OLD)],
                vec![("a.yaml", OLD)],
            ),
            (
                vec![("a.yaml", OLD)],
                vec![("a.yaml", &other)],
                vec![("a.yaml", &other)],
            ),
            (
                vec![("a.yaml", OLD)],
                vec![("a.txt", BARE)],
                vec![("a.txt", BARE)],
            ),
            (
                vec![("a.yaml", "a: 1 # x\n"), ("b.yaml", "a: 1 # y\n")],
                vec![("b.yaml", "a: 1\n"), ("c.yaml", "a: 1\n")],
                vec![("b.yaml", "a: 1 # y\n"), ("c.yaml", "a: 1\n")],
            ),
            (
                vec![("a.yaml", "#@ load(x)\na: 1 # x\n")],
                vec![("a.yaml", "a: 1\n")],
                vec![("a.yaml", "a: 1\n")],
            ),
            (
                vec![("a.yaml", "a: 1 # x\n")],
                vec![("a.yaml", "a: 1\nb: [")],
                vec![("a.yaml", "a: 1\nb: [")],
            ),
        ] {
            assert_eq!(heal(files(&new), &files(&current)), files(&want));
        }
        let binary: Files = [("a.yaml".to_owned(), b"\xff".to_vec())].into();
        assert_eq!(heal(binary.clone(), &files(&[("a.yaml", OLD)])), binary);
    }

    #[test]
    fn each_document_of_a_file_is_healed_for_itself() {
        let other = "apiVersion: v1\nkind: K\nmetadata:\n  name: other # o\n";
        let old = format!("# licence\n---\n{OLD}---\n{other}");
        let new = format!("{other}---\n\n{BARE}");
        let want = format!("{other}---\n\n# licence\n{HEALED}");
        assert_eq!(
            heal(files(&[("a.yaml", &new)]), &files(&[("a.yaml", &old)])),
            files(&[("a.yaml", &want)])
        );
    }
}
