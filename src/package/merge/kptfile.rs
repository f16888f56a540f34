//! The merge of Kptfiles: who a package is stays, what it says of itself and its pipeline are merged.

use serde_json::{Map, Value};

use super::{Versions, document, fields, lists, lists::Lists, text_of};
use crate::{
    package::{kptfile::set_member, tasks::merge_key, upgrade::UpgradeError},
    yaml,
};

/// What is merged, by its path. Name, namespace and what is not known here are those of the local one.
const MERGED: &[&[&str]] = &[
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["info"],
    &["pipeline"],
    &["inventory"],
    &["status"],
];

/// Where a package came from.
const ORIGIN: &[&[&str]] = &[&["upstream"], &["upstreamLock"]];

/// What makes it a Kptfile.
const NATURE: &[&[&str]] = &[&["apiVersion"], &["kind"]];

/// The condition that a render writes.
const RENDERED: &str = "Rendered";

/// Returns the local Kptfile with what upstream changed, in place; with `take_upstream` also with upstream's own upstream, if that
/// changed. Where there is none, upstream's is taken as it is.
///
/// # Errors
/// [`UpgradeError::Unreadable`].
pub(in crate::package) fn merge_kptfile(
    path: &str,
    three: Versions<&[u8]>,
    take_upstream: bool,
) -> Result<Option<Vec<u8>>, UpgradeError> {
    let Some(local) = three.local else {
        return Ok(three.updated.map(<[u8]>::to_vec));
    };
    if three.origin == three.updated {
        return Ok(Some(local.to_vec()));
    }
    let read = |content: Option<&[u8]>| match content {
        Some(content) => read(path, content),
        None => Ok(Map::new().into()),
    };
    let (origin, updated) = (read(three.origin)?, read(three.updated)?);
    let mine = read(three.local)?;
    let mut merged = mine.clone();
    merge_members(&mut merged, (&origin, &updated, &mine));
    let upstream = updated.get("upstream");
    if take_upstream && upstream.is_some() && upstream != origin.get("upstream") {
        for path in ORIGIN {
            set_member(&mut merged, path, updated.pointer(&pointer(path)).cloned());
        }
    }
    let made = written(path, local, &merged)?;
    Ok(Some(with_new_comments(made, three)))
}

/// Returns a Kptfile with the comments that are new upstream.
fn with_new_comments(made: Vec<u8>, three: Versions<&[u8]>) -> Vec<u8> {
    let three = three.map(|content| std::str::from_utf8(content).ok());
    let (Ok(text), Some(updated)) = (std::str::from_utf8(&made), three.updated) else {
        return made;
    };
    // The mark of another package is none of this one.
    if merge_key::names_of(text).is_none() && merge_key::names_of(updated).is_some() {
        return made;
    }
    yaml::with_new_comments(text, three.origin.unwrap_or_default(), updated).into_bytes()
}

/// Returns a Kptfile's one document.
fn read(path: &str, content: &[u8]) -> Result<Value, UpgradeError> {
    let text = text_of(path, content)?;
    let values = yaml::documents(text).map_err(|error| UpgradeError::unreadable(path, &error))?;
    match <[Value; 1]>::try_from(values) {
        Ok([value @ Value::Object(_)]) => Ok(value),
        _ => Err(UpgradeError::unreadable(path, &"it is not one map")),
    }
}

/// Returns the text with what a Kptfile shall say.
fn written(path: &str, text: &[u8], wanted: &Value) -> Result<Vec<u8>, UpgradeError> {
    let text = text_of(path, text)?;
    let made = yaml::rewrite(text, std::slice::from_ref(wanted));
    let anew = |_| yaml::with_comments(&yaml::emit(wanted), text);
    Ok(made.unwrap_or_else(anew).into_bytes())
}

fn merge_members(merged: &mut Value, (origin, updated, local): (&Value, &Value, &Value)) {
    let three = Versions {
        origin: Some(origin),
        updated: Some(updated),
        local: Some(local),
    };
    let unnamed = lists::are_unnamed(three.present().copied());
    for path in MERGED {
        let pointer = pointer(path);
        let bare = three.map(|value| {
            let (bare, _) = document::without_books(value);
            bare.pointer(&pointer).cloned()
        });
        let lists = Lists::Kptfile { unnamed };
        set_member(merged, path, fields::merge_at(path, bare.as_ref(), lists));
    }
    let (_, books) = document::without_books(local);
    document::put_books(merged, books);
}

fn pointer(path: &[&str]) -> String {
    let steps = path.iter().map(|step| format!("/{step}"));
    steps.collect()
}

/// Returns whether a user would say that two Kptfiles are the same: whatever upstream and marks of a render they have. One
/// that is not there is the same as one that says nothing.
pub(in crate::package) fn is_same_kptfile(
    one: Option<&[u8]>,
    other: Option<&[u8]>,
    may_be_renamed: bool,
) -> bool {
    let said = |content: Option<&[u8]>| match content {
        None => Some(Map::new().into()),
        Some(content) => {
            let kptfile = read("", content).ok();
            kptfile.map(|kptfile| said(&kptfile, may_be_renamed))
        }
    };
    one == other || said(one).is_some_and(|one: Value| said(other) == Some(one))
}

/// Returns what a user says in a Kptfile.
fn said(kptfile: &Value, may_be_renamed: bool) -> Value {
    let (mut said, _) = document::without_books(kptfile);
    take_render(&mut said);
    let name: &[&[&str]] = if may_be_renamed {
        &[&["metadata", "name"]]
    } else {
        &[]
    };
    for path in NATURE.iter().chain(ORIGIN).chain(name) {
        set_member(&mut said, path, None);
    }
    pruned(said).unwrap_or_else(|| Map::new().into())
}

/// Returns a value without what is empty in it; nothing if all is.
fn pruned(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => (!items.is_empty()).then_some(Value::Array(items)),
        Value::Object(map) => {
            let pairs = map.into_iter();
            let left: Map<_, _> = pairs
                .filter_map(|(key, value)| Some((key, pruned(value)?)))
                .collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        value => Some(value),
    }
}

/// Returns a Kptfile without what a render wrote in it.
///
/// # Errors
/// [`UpgradeError::Unreadable`].
pub(in crate::package) fn without_render(
    path: &str,
    content: &[u8],
) -> Result<Vec<u8>, UpgradeError> {
    let mut kptfile = read(path, content)?;
    take_render(&mut kptfile);
    written(path, content, &kptfile)
}

fn take_render(kptfile: &mut Value) {
    let Some(status) = kptfile.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let mut is_changed = status.shift_remove("renderStatus").is_some();
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    if let Some(conditions) = conditions {
        let before = conditions.len();
        conditions.retain(|condition| condition.get("type") != Some(&RENDERED.into()));
        is_changed |= conditions.len() < before;
        if conditions.is_empty() && is_changed {
            status.shift_remove("conditions");
        }
    }
    if status.is_empty() && is_changed {
        set_member(kptfile, &["status"], None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: blueprint\n";

    fn merged(origin: &str, updated: &str, local: &str, take_upstream: bool) -> String {
        let three = Versions {
            origin: Some(origin.as_bytes()),
            updated: Some(updated.as_bytes()),
            local: Some(local.as_bytes()),
        };
        let merged = merge_kptfile("Kptfile", three, take_upstream).unwrap();
        String::from_utf8(merged.unwrap()).unwrap()
    }

    const LOCAL: &str = "# ours\napiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: # kpt-merge: /mine\n  name: mine # me\n  annotations:\n    internal.kpt.dev/upstream-identifier: 'kpt.dev|Kptfile|default|mine'\nupstream:\n  type: git\n  git: {repo: a, directory: b, ref: v1}\nunheard: of # really\n";

    #[test]
    fn who_a_package_is_stays_and_what_it_says_is_merged() {
        let updated = format!("{HEAD}  labels:\n    l: new # label\n  annotations:\n    new: new\nupstream:\n  type: git\n  git: {{repo: other}}\ninfo:\n  description: d\n").replace("blueprint", "renamed");
        let want = "# ours\napiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: # kpt-merge: /mine\n  name: mine # me\n  labels:\n    l: new # label\n  annotations:\n    internal.kpt.dev/upstream-identifier: 'kpt.dev|Kptfile|default|mine'\n    new: new\nupstream:\n  type: git\n  git: {repo: a, directory: b, ref: v1}\ninfo:\n  description: d\nunheard: of # really\n";
        let place = |text: &str| yaml::documents(text).unwrap();
        let got = merged(HEAD, &updated, LOCAL, false);
        assert_eq!(place(&got), place(want), "{got}");
        assert_eq!(got, want);
        let taken = merged(HEAD, &updated, LOCAL, true);
        assert!(
            taken.contains("repo: other") && !taken.contains("ref: v1"),
            "{taken}"
        );
        assert_eq!(merged(HEAD, HEAD, LOCAL, false), LOCAL);
        assert_eq!(merged(HEAD, HEAD, LOCAL, true), LOCAL);
    }

    fn pipeline(functions: &str) -> String {
        format!("{HEAD}pipeline:\n  mutators:\n{functions}")
    }

    #[test]
    fn functions_are_merged_by_image_or_name() {
        for (origin, updated, local, want) in [
            // Tags and settings come; local ones stay before new ones.
            (
                "  - image: h/set:v1\n    configMap: {a: 1}\n",
                "  - image: h/set:v2\n    configMap: {a: 1, b: 2}\n  - image: h/new:v1\n",
                "  - image: h/mine:v1 # mine\n  - image: h/set:v1 # set\n    configMap: {a: 9}\n",
                "  - image: h/mine:v1 # mine\n  - image: h/set:v2 # set\n    configMap: {a: 9, b: 2}\n  - image: h/new:v1\n",
            ),
            // Taken away upstream.
            (
                "  - image: a:v1\n  - image: b:v1\n",
                "  - image: b:v1\n",
                "  - image: a:v1\n  - image: b:v1\n  - image: c:v1\n",
                "  - image: b:v1\n  - image: c:v1\n",
            ),
            // Named: the same image twice is no problem.
            (
                "  - name: x\n    image: a:v1\n  - name: y\n    image: a:v1\n",
                "  - name: x\n    image: a:v2\n  - name: y\n    image: a:v1\n",
                "  - name: x\n    image: a:v1\n  - name: y\n    image: a:v3\n",
                "  - name: x\n    image: a:v2\n  - name: y\n    image: a:v3\n",
            ),
            // Twice without names: as a whole.
            (
                "  - image: a:v1\n  - image: a:v1\n",
                "  - image: a:v2\n  - image: a:v1\n",
                "  - image: a:v1\n  - image: a:v1\n  - image: c:v1\n",
                "  - image: a:v2\n  - image: a:v1\n",
            ),
        ] {
            let got = merged(
                &pipeline(origin),
                &pipeline(updated),
                &pipeline(local),
                false,
            );
            assert_eq!(got, pipeline(want));
        }
        // A pipeline that upstream dropped goes, with what was put in.
        let (one, two) = (
            pipeline("  - image: a\n"),
            pipeline("  - image: a\n  - image: b\n"),
        );
        assert_eq!(merged(&one, HEAD, &two, false), HEAD);
    }

    #[test]
    fn gates_and_conditions_of_both_sides_stay() {
        let gates = |all: &[&str]| {
            let all = all
                .iter()
                .map(|gate| format!("  - conditionType: {gate}\n"));
            format!(
                "{HEAD}info:\n  readinessGates:\n{}",
                all.collect::<String>()
            )
        };
        let got = merged(
            &gates(&["a"]),
            &gates(&["a", "b"]),
            &gates(&["mine", "a"]),
            false,
        );
        assert_eq!(got, gates(&["mine", "a", "b"]));
    }

    #[test]
    fn what_a_render_or_a_clone_writes_is_no_change() {
        let status = "status:\n  conditions:\n  - type: Rendered\n    status: \"True\"\n  renderStatus:\n    errorSummary: x\n";
        let rendered = format!("{LOCAL}{status}");
        let bare = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: old\nunheard: of\n";
        let same = |one: &str, other: &str, may| {
            is_same_kptfile(Some(one.as_bytes()), Some(other.as_bytes()), may)
        };
        assert!(same(&rendered, bare, true));
        assert!(!same(&rendered, bare, false));
        assert!(!same(&rendered, HEAD, true));
        let other = rendered.replace("Rendered", "Other");
        assert!(!same(&other, bare, true));
        assert!(is_same_kptfile(Some(HEAD.as_bytes()), None, true));
        assert!(!is_same_kptfile(Some(bare.as_bytes()), None, true));
        for (text, want) in [(&rendered, LOCAL), (&LOCAL.to_owned(), LOCAL)] {
            let got = without_render("Kptfile", text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), want);
        }
        let two = other.replace(
            "  renderStatus",
            "  - type: Rendered\n    status: \"False\"\n  renderStatus",
        );
        let got = without_render("Kptfile", two.as_bytes()).unwrap();
        let want = other.replace("  renderStatus:\n    errorSummary: x\n", "");
        assert_eq!(String::from_utf8(got).unwrap(), want);
    }

    #[test]
    fn what_is_no_kptfile_is_told_with_its_path() {
        for text in ["not: [yaml", "- a\n", "", "a: 1\n---\nb: 1\n"] {
            let three = Versions {
                origin: None,
                updated: Some(text.as_bytes()),
                local: Some(HEAD.as_bytes()),
            };
            let error = merge_kptfile("sub/Kptfile", three, false).unwrap_err();
            assert!(error.to_string().contains("\"sub/Kptfile\""), "{error}");
        }
    }
}
