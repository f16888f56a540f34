//! Which lists are merged item by item, and by what an item is known. Kubernetes' own kinds and Kustomization are known here;
//! lists of other kinds are merged as a whole.

use serde_json::Value;

/// By what the items of a list are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// By all of these members; the first one must be there.
    Members(&'static [&'static str]),
    /// The items are scalars, known by what they are.
    Itself,
    /// The items are functions of a pipeline, known by their program or by their image without its tag.
    Function,
}

/// Which lists of a document are merged item by item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists<'a> {
    /// Those of a resource that Kubernetes has a schema for.
    Resource {
        /// API group.
        group: &'a str,
        /// Kind.
        kind: &'a str,
    },
    /// Those of a Kptfile.
    Kptfile {
        /// No function of its pipelines has a name.
        unnamed: bool,
    },
}

/// The groups whose kinds Kubernetes has schemas for.
const GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

type Row = (&'static [&'static str], Key);

const NAME: Key = Key::Members(&["name"]);

/// Lists of all kinds of those groups, by their path.
const EVERYWHERE: &[Row] = &[
    (&["metadata", "finalizers"], Key::Itself),
    (&["metadata", "ownerReferences"], Key::Members(&["uid"])),
    (&["status", "conditions"], Key::Members(&["type"])),
];

/// Lists of a pod, from its `spec`.
const POD: &[Row] = &[
    (&["volumes"], NAME),
    (&["imagePullSecrets"], NAME),
    (&["hostAliases"], Key::Members(&["ip"])),
    (
        &["topologySpreadConstraints"],
        Key::Members(&["topologyKey", "whenUnsatisfiable"]),
    ),
];

/// The lists of containers of a pod, from its `spec`.
const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// Lists of a container.
const CONTAINER: &[Row] = &[
    (&[], NAME),
    (&["env"], NAME),
    (&["ports"], Key::Members(&["containerPort", "protocol"])),
    (&["volumeMounts"], Key::Members(&["mountPath"])),
    (&["volumeDevices"], Key::Members(&["devicePath"])),
];

/// Lists of one kind only: group, kind and row.
const OWN: &[(&str, &str, Row)] = &[
    (
        "",
        "Service",
        (&["spec", "ports"], Key::Members(&["port", "protocol"])),
    ),
    ("", "ServiceAccount", (&["secrets"], NAME)),
    ("", "Pod", (&["status", "podIPs"], Key::Members(&["ip"]))),
    (
        "",
        "Node",
        (&["status", "addresses"], Key::Members(&["type"])),
    ),
    ("", "Node", (&["spec", "podCIDRs"], Key::Itself)),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        (&["webhooks"], NAME),
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        (&["webhooks"], NAME),
    ),
    ("storage.k8s.io", "CSINode", (&["spec", "drivers"], NAME)),
    (
        "kustomize.config.k8s.io",
        "Kustomization",
        (&["configMapGenerator"], NAME),
    ),
    (
        "kustomize.config.k8s.io",
        "Kustomization",
        (&["secretGenerator"], NAME),
    ),
];

impl Lists<'_> {
    /// Returns by what the items of a list are known; nothing for one that is merged as a whole. The path has the keys of maps only.
    pub(super) fn key(self, path: &[&str]) -> Option<Key> {
        match self {
            Self::Resource { group, kind } => resource_key(group, kind, path),
            Self::Kptfile { unnamed } => Some(match path {
                ["pipeline", "mutators" | "validators"] if unnamed => Key::Function,
                ["info", "readinessGates"] => Key::Members(&["conditionType"]),
                ["status", "conditions"] => Key::Members(&["type"]),
                _ => NAME,
            }),
        }
    }
}

fn resource_key(group: &str, kind: &str, path: &[&str]) -> Option<Key> {
    let mut own = OWN.iter().filter(|row| (row.0, row.1) == (group, kind));
    if let Some((.., row)) = own.find(|(.., row)| row.0 == path) {
        return Some(row.1);
    }
    if !GROUPS.contains(&group) {
        return None;
    }
    let pod = pod(group, kind).and_then(|start| path.strip_prefix(start));
    pod.and_then(pod_key).or_else(|| find(EVERYWHERE, path))
}

/// Returns where a kind has the `spec` of a pod.
fn pod(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (group, kind) {
        ("", "Pod") => Some(&["spec"]),
        ("", "PodTemplate") => Some(&["template", "spec"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        ("", "ReplicationController")
        | ("batch", "Job")
        | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => {
            Some(&["spec", "template", "spec"])
        }
        _ => None,
    }
}

fn pod_key(path: &[&str]) -> Option<Key> {
    match path {
        [list, inner @ ..] if CONTAINERS.contains(list) => find(CONTAINER, inner),
        _ => find(POD, path),
    }
}

fn find(rows: &[Row], path: &[&str]) -> Option<Key> {
    rows.iter().find(|row| row.0 == path).map(|row| row.1)
}

impl Key {
    /// Returns by what each item is known, in their order; nothing if one can't be, or two are known by the same.
    pub(super) fn identities(self, items: &[Value]) -> Option<Vec<String>> {
        let all: Option<Vec<String>> = items.iter().map(|item| self.identity(item)).collect();
        let all = all?;
        let mut sorted: Vec<_> = all.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        (sorted.len() == all.len()).then_some(all)
    }

    fn identity(self, item: &Value) -> Option<String> {
        match self {
            Self::Itself => (!item.is_object() && !item.is_array()).then(|| item.to_string()),
            Self::Function => function(item),
            Self::Members(members) => {
                is_scalar(item.get(members[0]))?;
                let texts = members.iter().map(|member| match item.get(*member) {
                    Some(value) => value.to_string(),
                    // What Kubernetes takes a port without one for.
                    None if *member == "protocol" => "\"TCP\"".into(),
                    None => String::new(),
                });
                Some(texts.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    /// Returns the members that an item is known by and can't be without.
    pub(super) fn members(self) -> &'static [&'static str] {
        match self {
            Self::Members(members) => members,
            Self::Itself => &[],
            Self::Function => &["image", "exec"],
        }
    }
}

fn is_scalar(value: Option<&Value>) -> Option<()> {
    let value = value?;
    (!value.is_object() && !value.is_array() && !value.is_null()).then_some(())
}

fn function(item: &Value) -> Option<String> {
    let text = |member: &str| item.get(member).and_then(Value::as_str);
    if let Some(program) = text("exec") {
        return Some(program.into());
    }
    text("image").map(|image| untagged(image).into())
}

/// Returns an image without tag and digest. A colon before the last slash is that of a port.
fn untagged(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    let name = image.rfind('/').map_or(0, |at| at + 1);
    let tag = image[name..].find(':');
    tag.map_or(image, |at| &image[..name + at])
}

/// Returns whether no function of these Kptfiles has a name.
pub(super) fn are_unnamed<'a>(mut kptfiles: impl Iterator<Item = &'a Value>) -> bool {
    let has_name = |kptfile: &Value| {
        let lists = ["/pipeline/mutators", "/pipeline/validators"].iter();
        let functions = lists.filter_map(|list| kptfile.pointer(list)?.as_array());
        functions
            .flatten()
            .any(|function| function.get("name").is_some())
    };
    !kptfiles.any(has_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_known_kinds_are_known() {
        let name = Some(NAME);
        for (group, kind, path, want) in [
            ("", "Pod", "spec.containers", name),
            ("apps", "Deployment", "spec.template.spec.containers", name),
            (
                "apps",
                "Deployment",
                "spec.template.spec.initContainers.env",
                name,
            ),
            (
                "apps",
                "Deployment",
                "spec.template.spec.containers.args",
                None,
            ),
            ("apps", "Deployment", "spec.containers", None),
            ("apps", "StatefulSet", "spec.volumeClaimTemplates", None),
            ("apps", "DaemonSet", "spec.template.spec.tolerations", None),
            (
                "batch",
                "CronJob",
                "spec.jobTemplate.spec.template.spec.volumes",
                name,
            ),
            (
                "",
                "Service",
                "spec.ports",
                Some(Key::Members(&["port", "protocol"])),
            ),
            ("x", "Service", "spec.ports", None),
            ("", "ConfigMap", "metadata.finalizers", Some(Key::Itself)),
            ("example.com", "Own", "metadata.finalizers", None),
            (
                "example.com",
                "Deployment",
                "spec.template.spec.containers",
                None,
            ),
            (
                "kustomize.config.k8s.io",
                "Kustomization",
                "secretGenerator",
                name,
            ),
            ("kustomize.config.k8s.io", "Kustomization", "images", None),
            ("rbac.authorization.k8s.io", "Role", "rules", None),
        ] {
            let path: Vec<_> = path.split('.').collect();
            assert_eq!(
                Lists::Resource { group, kind }.key(&path),
                want,
                "{kind} {path:?}"
            );
        }
    }

    #[test]
    fn items_are_known_by_their_keys() {
        let ports = Key::Members(&["port", "protocol"]);
        for (key, items, want) in [
            (
                NAME,
                json!([{"name": "a"}, {"name": "b"}]),
                Some(vec!["\"a\"", "\"b\""]),
            ),
            (NAME, json!([{"name": "a"}, {"name": "a"}]), None),
            (NAME, json!([{"name": "a"}, {}]), None),
            (NAME, json!([{"name": {}}]), None),
            (NAME, json!(["a"]), None),
            (
                ports,
                json!([{"port": 1}, {"port": 1, "protocol": "UDP"}]),
                Some(vec!["1\n\"TCP\"", "1\n\"UDP\""]),
            ),
            (
                ports,
                json!([{"port": 1}, {"port": 1, "protocol": "TCP"}]),
                None,
            ),
            (Key::Itself, json!(["a", 1]), Some(vec!["\"a\"", "1"])),
            (Key::Itself, json!([[]]), None),
            (
                Key::Function,
                json!([{"image": "h:5/set:v1"}, {"image": "h:5/get@sha256:0"}, {"image": "own"}, {"exec": "a:b"}]),
                Some(vec!["h:5/set", "h:5/get", "own", "a:b"]),
            ),
            (
                Key::Function,
                json!([{"image": "a:1"}, {"image": "a:2"}]),
                None,
            ),
        ] {
            let items = items.as_array().unwrap();
            let want: Option<Vec<String>> =
                want.map(|want| want.into_iter().map(Into::into).collect());
            assert_eq!(key.identities(items), want, "{items:?}");
        }
    }
}
