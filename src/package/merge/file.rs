//! The merge of one file: whole where only one side changed it, resource by resource where both did.

use std::collections::BTreeMap;

use super::{
    Versions,
    document::{self, Document, Identity},
    fields,
    lists::Lists,
};
use crate::{
    package::{files::is_yaml, tasks::merge_key, upgrade::UpgradeError},
    yaml,
};

type Known<'a> = BTreeMap<Identity, &'a Document<'a>>;

/// Returns what becomes of a file; nothing if it goes. Files that are no YAML by their name are merged as a whole: what was changed here
/// stays as it is.
///
/// # Errors
/// [`UpgradeError::Unreadable`]: both sides changed it, and it is no YAML; [`UpgradeError::Duplicate`].
pub(in crate::package) fn merge_file(
    path: &str,
    three: Versions<&[u8]>,
) -> Result<Option<Vec<u8>>, UpgradeError> {
    if !is_yaml(path) {
        return Ok(merge_whole(three));
    }
    if let Ok(settled) = three.settled() {
        return Ok(settled.map(<[u8]>::to_vec));
    }
    if is_as_cloned(three) {
        return Ok(three.updated.map(<[u8]>::to_vec));
    }
    // One that is not there says nothing.
    let read = |content: Option<&_>| Document::all(path, content.copied().unwrap_or_default());
    let (origin, updated) = (read(three.origin.as_ref())?, read(three.updated.as_ref())?);
    let local = read(three.local.as_ref())?;
    let known = Versions {
        origin: Some(document::known(&origin, (path, "original"))?),
        updated: Some(document::known(&updated, (path, "updated"))?),
        local: Some(document::known(&local, (path, "dest"))?),
    };
    let merged = merge_documents(&local, &updated, &known);
    Ok(merged.map(String::into_bytes))
}

/// Returns what becomes of a file that nobody looks into; nothing if it goes. What was changed here stays as it is.
pub(in crate::package) fn merge_whole(three: Versions<&[u8]>) -> Option<Vec<u8>> {
    let made = match three.settled() {
        Ok(settled) => settled,
        Err(three) if is_as_cloned(three) => three.updated,
        Err(three) => three.local.or(three.updated),
    };
    made.map(<[u8]>::to_vec)
}

/// Returns whether a file is what a clone makes of its origin.
fn is_as_cloned(three: Versions<&[u8]>) -> bool {
    let may_be = |local: &&[u8]| std::str::from_utf8(local).is_ok_and(merge_key::may_be_marked);
    let Some(local) = three.local.filter(may_be) else {
        // What has no marks is not what a clone makes: else it would be the origin itself.
        return false;
    };
    let marked = three.origin.and_then(merge_key::marked_file);
    marked.as_deref() == Some(local)
}

/// Returns the local documents with what upstream changed, then those that are new upstream.
fn merge_documents(
    local: &[Document],
    updated: &[Document],
    known: &Versions<Known>,
) -> Option<String> {
    let mut made = Text::default();
    let mut left = 0;
    for (document, identity) in local.iter().zip(document::identities(local)) {
        let Some(identity) = identity else {
            made.add(document.text, document.text);
            continue;
        };
        if let Some(text) = merge_document(document, pair(&identity, known)) {
            made.add(document.text, &text);
            left += 1;
        }
    }
    for (document, identity) in updated.iter().zip(document::identities(updated)) {
        if identity.is_some_and(|identity| is_new(&identity, known)) {
            made.add("---\n", document.text);
            left += 1;
        }
    }
    // A file goes with the last of its resources.
    (left > 0).then_some(made.0)
}

/// Returns a resource as it was and as upstream has it now.
fn pair<'a>(
    identity: &Identity,
    known: &Versions<Known<'a>>,
) -> (Option<&'a Document<'a>>, Option<&'a Document<'a>>) {
    let find = |known: &Option<Known<'a>>| known.as_ref()?.get(identity).copied();
    (find(&known.origin), find(&known.updated))
}

/// Returns whether a resource was not there before; one that was taken away here stays away.
fn is_new(identity: &Identity, known: &Versions<Known>) -> bool {
    let has = |known: &Option<Known>| {
        let known = known.as_ref();
        known.is_some_and(|known| known.contains_key(identity))
    };
    !has(&known.origin) && !has(&known.local)
}

/// Returns the text of a local document with what upstream changed in it; nothing if it goes.
fn merge_document(
    local: &Document,
    (origin, updated): (Option<&Document>, Option<&Document>),
) -> Option<String> {
    let kept = Some(local.text.to_owned());
    match (origin, updated) {
        (None, None) => kept,
        (Some(origin), None) => {
            let is_untouched = document::is_same_document(origin, local);
            kept.filter(|_| !is_untouched)
        }
        (origin, Some(updated)) => Some(merge_present(local, origin, updated)),
    }
}

fn merge_present(local: &Document, origin: Option<&Document>, updated: &Document) -> String {
    let was = origin.map(Document::body);
    if was == Some(updated.body()) {
        return local.text.into();
    }
    let is_untouched = origin.is_some_and(|origin| {
        let may_be = merge_key::may_be_marked(local.text);
        let marked = may_be.then(|| merge_key::marked_piece(origin.text));
        let marked = marked.flatten();
        let marked = marked.as_deref().map(document::body);
        [was, marked].contains(&Some(local.body()))
    });
    if is_untouched {
        return updated.text.into();
    }
    let merged = merge_values(local, origin, updated);
    let was = origin.map_or("", |origin| origin.text);
    yaml::with_new_comments(&merged, was, updated.text)
}

fn merge_values(local: &Document, origin: Option<&Document>, updated: &Document) -> String {
    let bare = |document: &Document| document.value.as_ref().map(document::without_books);
    let (mine, books) = bare(local).unwrap_or_default();
    let origin = origin.and_then(bare).map(|(value, _)| value);
    let updated = bare(updated).map(|(value, _)| value);
    let three = Versions {
        origin: origin.as_ref(),
        updated: updated.as_ref(),
        local: Some(&mine),
    };
    let kind = mine.get("kind").and_then(serde_json::Value::as_str);
    let lists = Lists::Resource {
        group: document::group(&mine),
        kind: kind.unwrap_or_default(),
    };
    let mut merged = fields::merge(three, lists).unwrap_or_default();
    document::put_books(&mut merged, books);
    yaml::rewrite(local.text, std::slice::from_ref(&merged)).unwrap_or_else(|_| {
        // Of a form that can't be changed in place, such as one with aliases: written anew.
        yaml::with_comments(&yaml::emit(&merged), local.text)
    })
}

/// A file that is put together.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Adds a document in the place of one that stood there; only what is not first needs a line that begins it.
    fn add(&mut self, place: &str, document: &str) {
        let is_begun = |text: &str| text.starts_with("---");
        if !self.0.is_empty() && !self.0.ends_with('\n') {
            self.0.push('\n');
        }
        let needs_line = !self.0.is_empty() || is_begun(place);
        match (needs_line, is_begun(document)) {
            (true, false) => self.0.extend(["---\n", document]),
            // Only a line with nothing else on it can go.
            (false, true) => self
                .0
                .push_str(document.strip_prefix("---\n").unwrap_or(document)),
            _ => self.0.push_str(document),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const A: &str = "apiVersion: v1\nkind: K\nmetadata:\n  name: a\nspec: 1\n";
    const MARKED: &str = "apiVersion: v1\nkind: K\nmetadata: # kpt-merge: /a\n  name: a\n  annotations:\n    internal.kpt.dev/upstream-identifier: '|K|default|a'\nspec: 1\n";

    fn merged(path: &str, origin: &str, updated: &str, local: &str) -> String {
        // Nothing stands for what is missing.
        let there = |text| (!str::is_empty(text)).then_some(str::as_bytes(text));
        let three = Versions {
            origin: there(origin),
            updated: there(updated),
            local: there(local),
        };
        let merged = merge_file(path, three).unwrap();
        String::from_utf8(merged.unwrap_or_default()).unwrap()
    }

    #[test]
    fn resources_come_stay_and_go_as_both_sides_want() {
        let a2 = A.replace("spec: 1", "spec: 2");
        let a3 = A.replace("spec: 1", "spec: 3");
        let marked2 = MARKED.replace("spec: 1", "spec: 2");
        let marked3 = MARKED.replace("spec: 1", "spec: 3");
        let renamed = MARKED.replace("name: a", "name: mine");
        let renamed2 = renamed.replace("spec: 1", "spec: 2");
        let noted = format!("# mine\n{MARKED}");
        let formatted = MARKED.replace("kind: K", "kind:  \"K\"");
        for (origin, updated, local, want) in [
            // Only one side has it, or changed it.
            ("", "", A, A),
            ("", A, "", A),
            (A, A, "", ""),
            (A, &a2, "", ""),
            (A, "", "", ""),
            (A, "", A, ""),
            (A, "", MARKED, ""),
            (A, "", &formatted, ""),
            (A, "", &marked2, &marked2),
            (A, "", &noted, &noted),
            (A, A, &marked2, &marked2),
            (A, &a2, A, &a2),
            (A, &a2, MARKED, &a2),
            // Both did.
            (A, &a2, &formatted, &formatted.replace("spec: 1", "spec: 2")),
            (A, &a2, &marked3, &marked2),
            (A, &a2, &noted, &format!("# mine\n{marked2}")),
            (A, &a2, &renamed, &renamed2),
            ("", &a2, &a3, &a2),
            ("", &a2, &marked3, &marked2),
        ] {
            assert_eq!(
                merged("d/x.yaml", origin, updated, local),
                want,
                "{origin}|{updated}|{local}"
            );
        }
    }

    #[test]
    fn each_document_of_a_file_is_merged_for_itself() {
        let one = |name: &str, spec: u8| {
            A.replace(": a", &format!(": {name}"))
                .replace(": 1", &format!(": {spec}"))
        };
        let origin = format!("{}---\n{}---\n{}", one("a", 1), one("b", 1), one("c", 1));
        let updated = format!(
            "---\n{}---\n{}---\n{}",
            one("a", 2),
            one("c", 1),
            one("new", 1)
        );
        let local = format!(
            "# licence\n---\n{}---\n{}---\n{}---\n{}",
            one("c", 7),
            one("b", 1),
            one("mine", 1),
            one("a", 1)
        );
        let want = format!(
            "# licence\n---\n{}---\n{}---\n{}---\n{}",
            one("c", 7),
            one("mine", 1),
            one("a", 2),
            one("new", 1)
        );
        assert_eq!(merged("x.yaml", &origin, &updated, &local), want);
    }

    #[test]
    fn a_local_text_keeps_its_form_and_takes_new_comments() {
        let origin = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: n\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - name: a\n        image: a:1 # kpt-set: ${a}\n";
        let updated = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: n\nspec:\n  replicas: 2 # kpt-set: ${n}\n  template:\n    spec:\n      containers:\n      - name: a\n        image: a:2 # kpt-set: ${a}\n      - name: b\n        image: b:1 # kpt-set: ${b}\n";
        let local = "# ours\napiVersion: apps/v1\nkind: Deployment\nmetadata: # kpt-merge: /n\n  name: 'mine'\n  namespace: x # here\nspec:\n  template:\n    spec:\n      containers:\n        # sidecar\n        - name: side\n          image: \"side\"\n        - name: a\n          image: 'a:1'\n          args: [x,  y] # why\n  replicas: 1\n";
        let want = "# ours\napiVersion: apps/v1\nkind: Deployment\nmetadata: # kpt-merge: /n\n  name: 'mine'\n  namespace: x # here\nspec:\n  template:\n    spec:\n      containers:\n        # sidecar\n        - name: side\n          image: \"side\"\n        - name: a\n          image: 'a:2'\n          args: [x,  y] # why\n        - name: b\n          image: b:1 # kpt-set: ${b}\n  replicas: 2 # kpt-set: ${n}\n";
        assert_eq!(merged("x.yaml", origin, updated, local), want);
    }

    #[test]
    fn what_cannot_be_changed_in_place_is_written_anew() {
        let origin = "kind: K\na: 1\nb: 1\n";
        let local = "kind: K # k\na: &x {y: 1}\nc: *x\nb: 1 # b\n";
        let got = merged("x.yaml", origin, &origin.replace("b: 1", "b: 2"), local);
        let want = serde_json::json!({"kind": "K", "a": {"y": 1}, "c": {"y": 1}, "b": 2});
        assert_eq!(yaml::documents(&got).unwrap(), [want]);
        assert!(got.contains("# k") && got.contains("# b"), "{got}");
    }

    #[test]
    fn other_files_are_merged_as_a_whole() {
        for path in ["x.txt", "x.json", "yaml"] {
            for (origin, updated, local, want) in [
                ("1", "2", "1", "2"),
                ("1", "2", "3", "3"),
                ("1", "", "1", ""),
                ("1", "", "3", "3"),
                ("1", "1", "", ""),
                ("1", "2", "", "2"),
                ("", "2", "", "2"),
                ("", "2", "3", "3"),
            ] {
                assert_eq!(merged(path, origin, updated, local), want);
            }
        }
    }

    #[test]
    fn only_what_must_be_read_must_be_yaml() {
        let bad = "{{ if }}\n";
        assert_eq!(merged("x.yaml", bad, bad, A), A);
        assert_eq!(merged("x.yaml", A, bad, A), bad);
        let three = Versions {
            origin: Some(A.as_bytes()),
            updated: Some(b"b: 1\n"),
            local: Some(bad.as_bytes()),
        };
        let error = merge_file("d/x.yaml", three).unwrap_err();
        assert!(matches!(error, UpgradeError::Unreadable { .. }), "{error}");
        let twice = format!("{A}---\n{MARKED}");
        let three = Versions {
            updated: Some(twice.as_bytes()),
            ..three
        };
        let error = merge_file(
            "d/x.yaml",
            Versions {
                local: None,
                ..three
            },
        )
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("duplicate \"updated\" resources in file \"d/x.yaml\""),
            "{error}"
        );
    }

    /// A container: its name, the version of its image, and whether it has arguments.
    type Container = (char, u8, bool);

    fn containers() -> impl Strategy<Value = Vec<Container>> {
        let names = prop::sample::subsequence(vec!['a', 'b', 'c', 'd'], 1..5).prop_shuffle();
        let rest = prop::collection::vec((0..3_u8, any::<bool>()), 4);
        (names, rest).prop_map(|(names, rest)| {
            let all = names.into_iter().zip(rest);
            all.map(|(name, (version, has))| (name, version, has))
                .collect()
        })
    }

    /// Returns a pod; with comments on all that is in it.
    fn pod(containers: &[Container], are_commented: bool) -> String {
        let mut text = String::from(
            "apiVersion: v1\nkind: Pod\nmetadata: # kpt-merge: /n\n  name: n\nspec:\n  containers:\n",
        );
        for (name, version, has_arguments) in containers {
            let about = |what: &str| {
                let comment = are_commented.then(|| format!(" # {what} of {name}"));
                comment.unwrap_or_default()
            };
            if are_commented {
                writeln!(text, "  # above {name}").unwrap();
            }
            let image = about("image");
            writeln!(
                text,
                "  - image: i:{version}{image}\n    name: {name}{}",
                about("name")
            )
            .unwrap();
            if *has_arguments {
                writeln!(text, "    args: [x,  y]{}", about("args")).unwrap();
            }
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_text_that_changed_alone_is_what_comes_out(
            base in containers(), other in containers(), is_commented in any::<bool>(),
        ) {
            let (base, other) = (pod(&base, false), pod(&other, is_commented));
            prop_assert_eq!(&merged("x.yaml", &base, &base, &other), &other);
            prop_assert_eq!(&merged("x.yaml", &base, &other, &base), &other);
            prop_assert_eq!(&merged("x.yaml", &base, &other, &other), &other);
        }

        #[test]
        fn what_stays_keeps_its_comments(
            base in containers(), updated in containers(), local in containers(),
        ) {
            let text = merged("x.yaml", &pod(&base, false), &pod(&updated, false), &pod(&local, true));
            let made = yaml::documents(&text).unwrap().remove(0);
            let made = made["spec"]["containers"].as_array().unwrap();
            for (name, ..) in &local {
                let found = made.iter().find(|one| one["name"] == name.to_string());
                let Some(found) = found else {
                    continue;
                };
                for member in ["name", "image", "args"] {
                    let had = member != "args" || local.iter().any(|one| one.0 == *name && one.2);
                    let comment = format!(" # {member} of {name}\n");
                    let is_kept = text.contains(&comment);
                    prop_assert!(is_kept || !had || found.get(member).is_none(), "{}", text);
                }
                let above = format!("  # above {name}\n");
                prop_assert!(text.contains(&above), "{}", text);
            }
        }
    }
}
