//! The annotation by which a resource says on which others it depends: `<group>/namespaces/<namespace>/<kind>/<name>` each, or
//! `<group>/<kind>/<name>`, with commas between them. In come objects, out come the objects with other references.

use serde_json::Value;

use super::resource;

const DEPENDS_ON: &str = "config.kubernetes.io/depends-on";

/// How a resource is called by one that depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    group: String,
    /// Empty for what belongs to the whole cluster.
    pub(super) namespace: String,
    kind: String,
    /// The name of the resource.
    pub(super) name: String,
}

impl Reference {
    /// Returns how a resource in a namespace is called.
    pub(super) fn to(object: &Value, namespace: &str) -> Self {
        let (group, _) = resource::group_version(object);
        Self {
            group: group.into(),
            namespace: namespace.into(),
            kind: resource::kind(object).into(),
            name: resource::name(object).into(),
        }
    }

    /// Returns whether it is how a resource is called, seen from a namespace.
    pub(super) fn is(&self, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        let is_seen = self.namespace.is_empty() || self.namespace == namespace;
        is_seen && self.group == group && self.kind == kind && self.name == name
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let (group, namespace, kind, name) = match parts.as_slice() {
            [group, "namespaces", namespace, kind, name] => (group, *namespace, kind, name),
            [group, kind, name] => (group, "", kind, name),
            _ => return None,
        };
        Some(Self {
            group: (*group).into(),
            namespace: namespace.into(),
            kind: (*kind).into(),
            name: (*name).into(),
        })
    }

    fn written(&self) -> String {
        let Self {
            group, kind, name, ..
        } = self;
        match self.namespace.as_str() {
            "" => format!("{group}/{kind}/{name}"),
            namespace => format!("{group}/namespaces/{namespace}/{kind}/{name}"),
        }
    }
}

/// Changes what a resource depends on. What is no reference stays as it is.
pub(super) fn change(object: &mut Value, change: &mut dyn FnMut(&mut Reference)) {
    let annotations = object.pointer_mut("/metadata/annotations");
    let Some(Value::String(text)) = annotations.and_then(|all| all.get_mut(DEPENDS_ON)) else {
        return;
    };
    let parts = text.split(',').map(|part| {
        let bare = part.trim();
        let Some(mut reference) = Reference::read(bare) else {
            return part.to_owned();
        };
        change(&mut reference);
        let space = &part[..part.len() - part.trim_start().len()];
        let behind = &part[part.trim_end().len()..];
        format!("{space}{}{behind}", reference.written())
    });
    let changed: Vec<String> = parts.collect();
    *text = changed.join(",");
}
