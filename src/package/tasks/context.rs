//! The package's context: a ConfigMap that tells functions which package they are in, and below which parents.

use serde_json::{Value, json};

use crate::{
    package::{Files, Problem, files::is_resource},
    yaml,
};

/// The file of the context, at the root of a package.
pub const CONTEXT_FILE: &str = "package-context.yaml";
/// The name of the ConfigMap in it.
const CONTEXT_NAME: &str = "kptfile.kpt.dev";

/// Returns the text of a context; an empty path is left out.
pub(super) fn text(name: &str, path: &str) -> String {
    let mut data = json!({"name": name});
    if !path.is_empty() {
        data["package-path"] = path.into();
    }
    yaml::emit(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CONTEXT_NAME,
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "data": data,
    }))
}

/// Returns the path of a package below its parents, as its context tells it: that of the parent, from its context and its name,
/// and the package's name. `parent` has the parent's files and `spec.packageName`, if there is one.
///
/// # Errors
/// [`Problem::ManyContexts`]; [`Problem::UnreadableContext`].
pub fn package_path(parent: Option<(&Files, &str)>, package_name: &str) -> Result<String, Problem> {
    let Some((files, parent_name)) = parent else {
        return Ok(package_name.into());
    };
    let above = match contexts(files)?.as_slice() {
        [] => String::new(),
        [context] => path_of(context)?,
        _ => return Err(Problem::ManyContexts),
    };
    let parts = [above.as_str(), parent_name, package_name];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Ok(parts.join("/"))
}

fn path_of(context: &Value) -> Result<String, Problem> {
    match context.pointer("/data/package-path") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(path)) => Ok(path.trim_matches('/').into()),
        Some(_) => Err(Problem::UnreadableContext(
            "data[package-path] is no text".into(),
        )),
    }
}

/// Returns the contexts among the files; files that can't be read hold none.
fn contexts(files: &Files) -> Result<Vec<Value>, Problem> {
    let mut found = Vec::new();
    for (path, content) in files.iter().filter(|(path, _)| is_resource(path)) {
        let text = std::str::from_utf8(content).unwrap_or_default();
        match yaml::documents(text) {
            Ok(documents) => found.extend(documents.into_iter().filter(is_context)),
            // Only what calls itself the context must be one.
            Err(error) if path == CONTEXT_FILE => {
                return Err(Problem::UnreadableContext(error.to_string()));
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

fn is_context(document: &Value) -> bool {
    document["apiVersion"] == "v1"
        && document["kind"] == "ConfigMap"
        && document["metadata"]["name"] == CONTEXT_NAME
}

/// Returns the files without any context but a new one at the root.
pub(super) fn with_context(files: Files, name: &str, path: &str) -> Files {
    let kept = files.into_iter().filter_map(|(path, content)| {
        let content = if is_resource(&path) {
            without_contexts(content)?
        } else {
            content
        };
        Some((path, content))
    });
    let mut files: Files = kept.collect();
    files.insert(CONTEXT_FILE.into(), text(name, path).into_bytes());
    files
}

/// Returns a file without the contexts in it; nothing if that leaves nothing.
fn without_contexts(content: Vec<u8>) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(&content) else {
        return Some(content);
    };
    if !text.contains(CONTEXT_NAME) {
        return Some(content);
    }
    let holds_context = |piece: &&str| {
        let read = yaml::documents(piece).unwrap_or_default();
        !read.is_empty() && read.iter().all(is_context)
    };
    let pieces = yaml::pieces(text);
    let kept: Vec<&str> = pieces
        .iter()
        .copied()
        .filter(|piece| !holds_context(piece))
        .collect();
    if kept.len() == pieces.len() {
        return Some(content);
    }
    let left: String = kept.concat();
    let is_empty = yaml::documents(&left).is_ok_and(|read| read.iter().all(Value::is_null));
    (!is_empty).then(|| left.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# mine\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kptfile.kpt.dev\ndata:\n  name: old\n  package-path: a/b\n";

    fn files(all: &[(&str, &str)]) -> Files {
        let all = all.iter();
        all.map(|(path, text)| ((*path).into(), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_path_is_that_of_the_parents_and_the_name() {
        let parent = files(&[
            ("package-context.yaml", OLD),
            ("x.yaml", "a: 1\n"),
            ("y.yaml", "not: [yaml"),
        ]);
        let bare = files(&[(
            "package-context.yaml",
            &OLD.replace("  package-path: a/b\n", ""),
        )]);
        for (parent, want) in [
            (None, "net/me"),
            (Some((&parent, "c")), "a/b/c/net/me"),
            (Some((&bare, "c/d")), "c/d/net/me"),
            (Some((&Files::new(), "c")), "c/net/me"),
        ] {
            assert_eq!(package_path(parent, "net/me").unwrap(), want);
        }
    }

    #[test]
    fn contexts_that_say_nothing_clear_are_told() {
        let two = files(&[("package-context.yaml", OLD), ("sub/x.yaml", OLD)]);
        assert_eq!(
            package_path(Some((&two, "c")), "me"),
            Err(Problem::ManyContexts)
        );
        for text in ["not: [yaml", &OLD.replace("a/b", "[a]")] {
            let odd = files(&[("package-context.yaml", text)]);
            let got = package_path(Some((&odd, "c")), "me");
            assert!(
                matches!(got, Err(Problem::UnreadableContext(_))),
                "{text}: {got:?}"
            );
        }
    }

    #[test]
    fn one_context_is_left_at_the_root() {
        let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other} # kptfile.kpt.dev\n";
        let many = format!("{other}---\n{OLD}---\nlast: 1\n");
        let got = with_context(
            files(&[
                ("package-context.yaml", OLD),
                ("sub/package-context.yaml", OLD),
                ("many.yaml", &many),
                ("o.yaml", other),
                ("t.txt", OLD),
                ("bad.yaml", "kptfile.kpt.dev: ["),
            ]),
            "me",
            "a/me",
        );
        let new = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kptfile.kpt.dev\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\ndata:\n  name: me\n  package-path: a/me\n";
        let want = files(&[
            ("package-context.yaml", new),
            ("many.yaml", &format!("{other}---\nlast: 1\n")),
            ("o.yaml", other),
            ("t.txt", OLD),
            ("bad.yaml", "kptfile.kpt.dev: ["),
        ]);
        assert_eq!(got, want);
    }
}
