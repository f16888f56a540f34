//! What a resource is, and what is none.

use serde_json::Value;

/// The names of files that Kustomize reads: what is in them needs no name.
const KUSTOMIZATIONS: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Returns why a document of a file is no resource; nothing if it is one, or Kustomize's.
pub(super) fn problem(path: &str, object: &Value) -> Option<&'static str> {
    // Every resource is asked after every function: a pointer would be taken apart each time.
    if is_kustomization(path, text(object, "apiVersion"), text(object, "kind")) {
        return None;
    }
    let metadata = object
        .get("metadata")
        .filter(|metadata| metadata.is_object());
    let Some(metadata) = metadata else {
        return Some("resource must have `apiVersion`, `kind`, and `name`");
    };
    [
        (
            text(object, "apiVersion"),
            "resource must have `apiVersion`",
        ),
        (text(object, "kind"), "resource must have `kind`"),
        (text(metadata, "name"), "resource must have `metadata.name`"),
    ]
    .into_iter()
    .find_map(|(text, why)| text.is_empty().then_some(why))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    let text = value.get(key).and_then(Value::as_str);
    text.unwrap_or_default()
}

fn is_kustomization(path: &str, version: &str, kind: &str) -> bool {
    KUSTOMIZATIONS.contains(&name_of(path))
        || version.starts_with("kustomize.config.k8s.io")
        || (version.is_empty() && kind == "Kustomization")
}

/// Returns the last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Returns whether a file holds resources, by its name.
pub(super) fn is_resource(path: &str) -> bool {
    let name = name_of(path);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    name == crate::package::KPTFILE || matches!(ending, Some("yaml" | "yml" | "json"))
}

/// Returns a path from the root, of a path from a directory.
pub(super) fn joined(directory: &str, path: &str) -> String {
    if directory.is_empty() {
        return path.into();
    }
    format!("{directory}/{path}")
}

/// Returns whether a directory is another one, or in it.
pub(super) fn is_inside(directory: &str, outer: &str) -> bool {
    let rest = directory.strip_prefix(outer);
    outer.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns a path without `.` and without ways back; nothing if it leads out of where it begins, or begins at a root.
pub(super) fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_has_a_version_a_kind_and_a_name() {
        let name = json!({"name": "n"});
        for (path, object, want) in [
            (
                "a.yaml",
                json!({"apiVersion": "v1", "kind": "K", "metadata": name}),
                None,
            ),
            (
                "a.yaml",
                json!({"kind": "K", "metadata": name}),
                Some("`apiVersion`"),
            ),
            (
                "a.yaml",
                json!({"apiVersion": "", "kind": "K", "metadata": name}),
                Some("`apiVersion`"),
            ),
            (
                "a.yaml",
                json!({"apiVersion": "v1", "metadata": name}),
                Some("`kind`"),
            ),
            (
                "a.yaml",
                json!({"apiVersion": "v1", "kind": "K", "metadata": {}}),
                Some("`metadata.name`"),
            ),
            (
                "a.yaml",
                json!({"apiVersion": "v1", "kind": "K"}),
                Some("and `name`"),
            ),
            ("a.yaml", json!([1]), Some("and `name`")),
            ("a.yaml", json!("x"), Some("and `name`")),
            ("kustomization.yaml", json!({}), None),
            ("d/Kustomization", json!({"resources": []}), None),
            (
                "a.yaml",
                json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Component"}),
                None,
            ),
            ("a.yaml", json!({"kind": "Kustomization"}), None),
            (
                "a.yaml",
                json!({"apiVersion": "v1", "kind": "Kustomization"}),
                Some("and `name`"),
            ),
        ] {
            let got = problem(path, &object);
            match want {
                None => assert_eq!(got, None, "{path} {object}"),
                Some(word) => assert!(
                    got.unwrap_or_default().contains(word),
                    "{path} {object}: {got:?}"
                ),
            }
        }
    }

    #[test]
    fn a_clean_path_stays_inside() {
        for (path, want) in [
            ("a.yaml", Some("a.yaml")),
            ("./a//b/../c", Some("a/c")),
            ("a/..", Some("")),
            ("../a", None),
            ("a/../../b", None),
            ("/a", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), want, "{path}");
        }
        assert!(
            is_inside("a/b", "a") && is_inside("a", "a") && is_inside("", "") && is_inside("a", "")
        );
        assert!(!is_inside("ab", "a") && !is_inside("", "a") && !is_inside("a", "a/b"));
    }
}
