//! Which resources are meant: by group, version, kind, name and namespace, and by labels and annotations. In come selectors and objects,
//! out come answers.

use std::fmt;

use serde_json::Value;

use super::super::resource;

/// What a resource is called, or which ones are asked for; what is empty is any.
pub(super) struct Id<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
}

impl<'a> Id<'a> {
    /// Returns what a resource is called.
    pub(super) fn of(object: &'a Value) -> Self {
        let (group, version) = resource::group_version(object);
        Self {
            group,
            version,
            kind: resource::kind(object),
            name: resource::name(object),
            namespace: resource::namespace(object),
        }
    }

    fn asked(selector: &'a Value) -> Self {
        let text = |pointer: &str| resource::text(selector, pointer);
        Self {
            group: text("/group"),
            version: text("/version"),
            kind: text("/kind"),
            name: text("/name"),
            namespace: text("/namespace"),
        }
    }

    fn selects(&self, other: &Self) -> bool {
        let pairs = [
            (self.group, other.group),
            (self.version, other.version),
            (self.kind, other.kind),
            (self.name, other.name),
            (self.namespace, or_default(other.namespace)),
        ];
        let mut pairs = pairs.iter();
        pairs.all(|(asked, has)| asked.is_empty() || asked == has)
    }
}

fn or_default(namespace: &str) -> &str {
    if namespace.is_empty() {
        "default"
    } else {
        namespace
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &'static str, value: &str| match value {
            "" => text.to_owned(),
            value => value.to_owned(),
        };
        write!(
            out,
            "{}.{}.{}/{}.{}",
            or("[noKind]", self.kind),
            or("[noVer]", self.version),
            or("[noGrp]", self.group),
            or("[noName]", self.name),
            or("[noNs]", self.namespace)
        )
    }
}

/// Which resources are asked for.
pub(super) struct Selector<'a> {
    id: Id<'a>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

impl<'a> Selector<'a> {
    /// Returns the selector that a config describes.
    pub(super) fn of(selector: &'a Value) -> Result<Self, String> {
        let requirements = |key: &str| {
            let text = resource::text(selector, &format!("/{key}"));
            requirements(text).ok_or_else(|| format!("{key} {text:?} can't be understood"))
        };
        Ok(Self {
            id: Id::asked(selector),
            labels: requirements("labelSelector")?,
            annotations: requirements("annotationSelector")?,
        })
    }

    /// Returns what the resources are called.
    pub(super) fn id(&self) -> &Id<'a> {
        &self.id
    }

    /// Returns whether a resource is one of those.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let has = |requirements: &[Requirement], pointer: &str| {
            let map = object.pointer(pointer);
            requirements.iter().all(|asked| asked.is_met(map))
        };
        self.id.selects(&Id::of(object))
            && has(&self.labels, "/metadata/labels")
            && has(&self.annotations, "/metadata/annotations")
    }
}

/// What a label or an annotation has to be.
#[derive(Debug, PartialEq)]
struct Requirement {
    key: String,
    /// One of these; if there are none, anything.
    values: Option<Vec<String>>,
    is_not: bool,
}

impl Requirement {
    fn is_met(&self, map: Option<&Value>) -> bool {
        let value = map
            .and_then(|map| map.get(&self.key))
            .and_then(Value::as_str);
        let is = value.is_some_and(|value| {
            let values = self.values.as_ref();
            values.is_none_or(|values| values.iter().any(|one| one == value))
        });
        is != self.is_not
    }
}

/// Returns the requirements of a selector as Kubernetes writes them; nothing if it is none.
fn requirements(text: &str) -> Option<Vec<Requirement>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    let parts = parts.into_iter().map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(requirement)
        .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let (key, values, is_not) = if let Some(key) = text.strip_prefix('!') {
        (key, None, true)
    } else if let Some((key, value)) = text.split_once("!=") {
        (key, Some(vec![value]), true)
    } else if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        (key, Some(vec![value]), false)
    } else if let Some((key, list)) = text.split_once(" notin ") {
        (key, Some(values(list)?), true)
    } else if let Some((key, list)) = text.split_once(" in ") {
        (key, Some(values(list)?), false)
    } else {
        (text, None, false)
    };
    let key = key.trim();
    let trimmed = |values: Vec<&str>| values.into_iter().map(|one| one.trim().into()).collect();
    let is_key = !key.is_empty() && !key.contains([' ', '(', ')']);
    is_key.then(|| Requirement {
        key: key.into(),
        values: values.map(trimmed),
        is_not,
    })
}

fn values(list: &str) -> Option<Vec<&str>> {
    let inner = list.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_asked_for_as_kubernetes_does() {
        let labels = json!({"a": "1", "b": "2"});
        for (text, want) in [
            ("", Some(true)),
            ("a", Some(true)),
            ("c", Some(false)),
            ("!c", Some(true)),
            ("!a", Some(false)),
            ("a=1,b==2", Some(true)),
            ("a=2", Some(false)),
            ("a!=2, c!=1", Some(true)),
            ("a in (1,2), b in ( 2 )", Some(true)),
            ("a notin (1,2)", Some(false)),
            ("c notin (1)", Some(true)),
            ("a in 1", None),
            ("a b", None),
            ("=1", None),
        ] {
            let asked = requirements(text);
            let met = asked.map(|asked| asked.iter().all(|one| one.is_met(Some(&labels))));
            assert_eq!(met, want, "{text}");
        }
    }
}
