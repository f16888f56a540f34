//! Which fields name other resources, as data; and resources that refer to others by their new names. In come objects and renames, out come
//! objects changed.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    depends_on::Reference,
    field::{ANY, Field, found},
    resource, scope,
};

/// A resource that has another name now.
pub(super) struct Rename {
    /// What it was called.
    pub(super) before: Reference,
    /// Its new name.
    pub(super) new: String,
}

/// Resources that have other names now, by what they were called: everything that names a resource is looked up here.
#[derive(Default)]
pub(super) struct Renames {
    all: Vec<Rename>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Renames {
    /// Adds one.
    pub(super) fn add(&mut self, rename: Rename) {
        let name = rename.before.name.clone();
        self.by_name.entry(name).or_default().push(self.all.len());
        self.all.push(rename);
    }

    /// Returns those of resources that had a name, in their order.
    pub(super) fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Rename> + use<'a> {
        let found = self.by_name.get(name).into_iter().flatten();
        found.map(|at| &self.all[*at])
    }
}

/// A field that names a resource.
struct Naming {
    /// The kind of the resource that is named.
    to: (&'static str, &'static str),
    /// Where that is.
    parent: Field<'static>,
    key: &'static str,
}

const fn naming(
    to: (&'static str, &'static str),
    (group, kind): (&'static str, &'static str),
    parent: &'static str,
    key: &'static str,
) -> Naming {
    Naming {
        to,
        parent: found(group, kind, parent),
        key,
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORK: &str = "networking.k8s.io";
const CONFIG_MAP: (&str, &str) = ("", "ConfigMap");
const SECRET: (&str, &str) = ("", "Secret");
const SERVICE: (&str, &str) = ("", "Service");
const ACCOUNT: (&str, &str) = ("", "ServiceAccount");
const CLAIM: (&str, &str) = ("", "PersistentVolumeClaim");
const STORAGE: (&str, &str) = ("storage.k8s.io", "StorageClass");
const SCALER: (&str, &str) = ("autoscaling", "HorizontalPodAutoscaler");
const INGRESS: (&str, &str) = (NETWORK, "Ingress");
const STATEFUL: (&str, &str) = ("apps", "StatefulSet");
const ROLE: (&str, &str) = (RBAC, "Role");
const CLUSTER_ROLE: (&str, &str) = (RBAC, "ClusterRole");
const BINDING: (&str, &str) = (RBAC, "RoleBinding");
const CLUSTER_BINDING: (&str, &str) = (RBAC, "ClusterRoleBinding");

/// Fields of everything but pods that name resources.
const NAMINGS: &[Naming] = &[
    naming(
        ("apps", "Deployment"),
        SCALER,
        "spec/scaleTargetRef",
        "name",
    ),
    naming(
        ("apps", "ReplicaSet"),
        SCALER,
        "spec/scaleTargetRef",
        "name",
    ),
    naming(STATEFUL, SCALER, "spec/scaleTargetRef", "name"),
    naming(
        ("", "ReplicationController"),
        SCALER,
        "spec/scaleTargetRef",
        "name",
    ),
    naming(SECRET, ACCOUNT, "secrets", "name"),
    naming(SECRET, ACCOUNT, "imagePullSecrets", "name"),
    naming(SECRET, INGRESS, "spec/tls", "secretName"),
    naming(SERVICE, STATEFUL, "spec", "serviceName"),
    naming(SERVICE, INGRESS, "spec/defaultBackend/service", "name"),
    naming(
        SERVICE,
        INGRESS,
        "spec/rules/http/paths/backend/service",
        "name",
    ),
    naming(SERVICE, INGRESS, "spec/backend", "serviceName"),
    naming(
        SERVICE,
        INGRESS,
        "spec/rules/http/paths/backend",
        "serviceName",
    ),
    naming(
        SERVICE,
        ("apiregistration.k8s.io", "APIService"),
        "spec/service",
        "name",
    ),
    naming(
        SERVICE,
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        "spec/conversion/webhook/clientConfig/service",
        "name",
    ),
    naming(
        SERVICE,
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration",
        ),
        "webhooks/clientConfig/service",
        "name",
    ),
    naming(
        SERVICE,
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
        ),
        "webhooks/clientConfig/service",
        "name",
    ),
    naming(
        (NETWORK, "IngressClass"),
        INGRESS,
        "spec",
        "ingressClassName",
    ),
    naming(ROLE, BINDING, "roleRef", "name"),
    naming(CLUSTER_ROLE, BINDING, "roleRef", "name"),
    naming(CLUSTER_ROLE, CLUSTER_BINDING, "roleRef", "name"),
    naming(ACCOUNT, BINDING, "subjects", "name"),
    naming(ACCOUNT, CLUSTER_BINDING, "subjects", "name"),
    naming(("", "PersistentVolume"), CLAIM, "spec", "volumeName"),
    naming(STORAGE, CLAIM, "spec", "storageClassName"),
    naming(
        STORAGE,
        ("", "PersistentVolume"),
        "spec",
        "storageClassName",
    ),
    naming(
        STORAGE,
        STATEFUL,
        "spec/volumeClaimTemplates/spec",
        "storageClassName",
    ),
    naming(CLAIM, ("", "PersistentVolume"), "spec/claimRef", "name"),
];

/// Where kinds have the spec of a pod.
const PODS: &[((&str, &str), &str)] = &[
    (("", "Pod"), "/spec"),
    (("", "PodTemplate"), "/template/spec"),
    (("", "ReplicationController"), "/spec/template/spec"),
    (("apps", "Deployment"), "/spec/template/spec"),
    (("apps", "ReplicaSet"), "/spec/template/spec"),
    (("apps", "DaemonSet"), "/spec/template/spec"),
    (STATEFUL, "/spec/template/spec"),
    (("batch", "Job"), "/spec/template/spec"),
    (("batch", "CronJob"), "/spec/jobTemplate/spec/template/spec"),
];

/// Of what kinds containers are in the spec of a pod.
const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// Fields of containers that name resources.
const OF_CONTAINERS: &[Naming] = &[
    naming(
        CONFIG_MAP,
        (ANY, ANY),
        "env/valueFrom/configMapKeyRef",
        "name",
    ),
    naming(CONFIG_MAP, (ANY, ANY), "envFrom/configMapRef", "name"),
    naming(SECRET, (ANY, ANY), "env/valueFrom/secretKeyRef", "name"),
    naming(SECRET, (ANY, ANY), "envFrom/secretRef", "name"),
];

/// Fields of pods that name resources.
const OF_PODS: &[Naming] = &[
    naming(CONFIG_MAP, (ANY, ANY), "volumes/configMap", "name"),
    naming(
        CONFIG_MAP,
        (ANY, ANY),
        "volumes/projected/sources/configMap",
        "name",
    ),
    naming(SECRET, (ANY, ANY), "volumes/secret", "secretName"),
    naming(
        SECRET,
        (ANY, ANY),
        "volumes/projected/sources/secret",
        "name",
    ),
    naming(SECRET, (ANY, ANY), "volumes/azureFile", "secretName"),
    naming(SECRET, (ANY, ANY), "volumes/cephfs/secretRef", "name"),
    naming(
        SECRET,
        (ANY, ANY),
        "volumes/csi/nodePublishSecretRef",
        "name",
    ),
    naming(SECRET, (ANY, ANY), "volumes/flexVolume/secretRef", "name"),
    naming(SECRET, (ANY, ANY), "volumes/iscsi/secretRef", "name"),
    naming(SECRET, (ANY, ANY), "volumes/rbd/secretRef", "name"),
    naming(SECRET, (ANY, ANY), "imagePullSecrets", "name"),
    naming(
        CLAIM,
        (ANY, ANY),
        "volumes/persistentVolumeClaim",
        "claimName",
    ),
    naming(
        STORAGE,
        (ANY, ANY),
        "volumes/ephemeral/volumeClaimTemplate/spec",
        "storageClassName",
    ),
    naming(
        ("scheduling.k8s.io", "PriorityClass"),
        (ANY, ANY),
        "",
        "priorityClassName",
    ),
    naming(
        ("node.k8s.io", "RuntimeClass"),
        (ANY, ANY),
        "",
        "runtimeClassName",
    ),
    naming(ACCOUNT, (ANY, ANY), "", "serviceAccountName"),
    naming(ACCOUNT, (ANY, ANY), "", "serviceAccount"),
];

/// What the rules of roles call the kinds that they name resources of.
const OF_RULES: &[(&str, (&str, &str))] = &[
    ("configmaps", CONFIG_MAP),
    ("secrets", SECRET),
    ("services", SERVICE),
    ("serviceaccounts", ACCOUNT),
    ("persistentvolumeclaims", CLAIM),
    ("pods", ("", "Pod")),
    ("deployments", ("apps", "Deployment")),
    ("statefulsets", STATEFUL),
    ("daemonsets", ("apps", "DaemonSet")),
];

/// Lets a resource refer to others by their new names.
pub(super) fn follow(object: &mut Value, renames: &Renames) {
    if renames.all.is_empty() {
        return;
    }
    let namespace = scope::namespace(object).unwrap_or_default().to_owned();
    let names = Names {
        renames,
        namespace: &namespace,
    };
    for naming in NAMINGS {
        names.follow(naming, object);
    }
    let (group, _) = resource::group_version(object);
    let mut pods = PODS.iter();
    let pod = pods.find(|(of, _)| *of == (group, resource::kind(object)));
    if let Some(pod) = pod.and_then(|(_, pointer)| object.pointer_mut(pointer)) {
        names.follow_in_pod(pod);
    }
    for kind in ["Role", "ClusterRole"] {
        // A field that is changed only where it is has nothing to complain of.
        let _ = found(RBAC, kind, "rules").change(object, &mut |rule| {
            names.follow_in_rule(rule);
            Ok(())
        });
    }
}

/// The new names, for a resource in a namespace.
struct Names<'a> {
    renames: &'a Renames,
    namespace: &'a str,
}

impl Names<'_> {
    fn follow(&self, naming: &Naming, object: &mut Value) {
        let _ = naming.parent.change(object, &mut |parent| {
            self.rename(naming, parent);
            Ok(())
        });
    }

    fn follow_in_pod(&self, pod: &mut Value) {
        for naming in OF_PODS {
            self.follow(naming, pod);
        }
        for containers in CONTAINERS {
            if let Some(containers) = pod.get_mut(*containers) {
                for naming in OF_CONTAINERS {
                    self.follow(naming, containers);
                }
            }
        }
    }

    /// Renames what a map names, unless it says that it is of another kind.
    fn rename(&self, naming: &Naming, parent: &mut Value) {
        let kind = parent.get("kind").and_then(Value::as_str);
        if !naming.parent.path.is_empty() && kind.is_some_and(|kind| kind != naming.to.1) {
            return;
        }
        let Some(name) = parent.get(naming.key).and_then(Value::as_str) else {
            return;
        };
        let namespace = parent.get("namespace").and_then(Value::as_str);
        let new = self.renamed(naming.to, namespace.unwrap_or(self.namespace), name);
        if let Some(new) = new {
            parent[naming.key] = new.into();
        }
    }

    fn follow_in_rule(&self, rule: &mut Value) {
        let resources = rule.get("resources").and_then(Value::as_array);
        let resources = resources.cloned().unwrap_or_default();
        let Some(Value::Array(names)) = rule.get_mut("resourceNames") else {
            return;
        };
        for name in names {
            let mut kinds = OF_RULES
                .iter()
                .filter(|(of, _)| resources.iter().any(|one| one == of));
            let new = name
                .as_str()
                .and_then(|name| kinds.find_map(|(_, to)| self.renamed(*to, self.namespace, name)));
            if let Some(new) = new {
                *name = new.into();
            }
        }
    }

    /// Returns the new name of a resource in a namespace, or of one that belongs to the whole cluster.
    fn renamed(&self, (group, kind): (&str, &str), namespace: &str, name: &str) -> Option<&str> {
        let mut renames = self.renames.of(name);
        let rename = renames.find(|rename| rename.before.is(group, kind, namespace, name))?;
        Some(&rename.new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml;

    fn rename(version: &str, kind: &str, name: &str) -> Rename {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "n"}});
        let namespace = scope::namespace(&object).unwrap_or_default();
        Rename {
            before: Reference::to(&object, namespace),
            new: format!("new-{name}"),
        }
    }

    #[test]
    fn what_names_a_resource_follows() {
        let mut renames = Renames::default();
        for rename in [
            rename("v1", "ConfigMap", "c"),
            rename("v1", "Secret", "s"),
            rename("v1", "ServiceAccount", "a"),
            rename("v1", "Service", "v"),
            rename("apps/v1", "Deployment", "d"),
            rename("rbac.authorization.k8s.io/v1", "Role", "r"),
            rename("rbac.authorization.k8s.io/v1", "ClusterRole", "r2"),
            rename("storage.k8s.io/v1", "StorageClass", "t"),
        ] {
            renames.add(rename);
        }
        for (text, pointers) in [
            (
                "apiVersion: v1\nkind: Pod\nspec: {serviceAccountName: a, imagePullSecrets: [{name: s}], containers: [{env: [{valueFrom: {configMapKeyRef: {name: c}}}], envFrom: [{secretRef: {name: s}}]}]}",
                vec![
                    "/spec/serviceAccountName",
                    "/spec/imagePullSecrets/0/name",
                    "/spec/containers/0/env/0/valueFrom/configMapKeyRef/name",
                    "/spec/containers/0/envFrom/0/secretRef/name",
                ],
            ),
            (
                "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {volumes: [{name: c}, {projected: {sources: [{configMap: {name: c}}, {secret: {name: c}}]}}, {secret: {secretName: s}}]}}}}}",
                vec![
                    "/spec/jobTemplate/spec/template/spec/volumes/1/projected/sources/0/configMap/name",
                    "/spec/jobTemplate/spec/template/spec/volumes/2/secret/secretName",
                ],
            ),
            (
                "apiVersion: apps/v1\nkind: StatefulSet\nspec: {serviceName: v, volumeClaimTemplates: [{spec: {storageClassName: t}}]}",
                vec![
                    "/spec/serviceName",
                    "/spec/volumeClaimTemplates/0/spec/storageClassName",
                ],
            ),
            (
                "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nspec: {scaleTargetRef: {kind: Deployment, name: d}}",
                vec!["/spec/scaleTargetRef/name"],
            ),
            (
                "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nspec: {scaleTargetRef: {kind: StatefulSet, name: d}}",
                vec![],
            ),
            (
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {tls: [{secretName: s}], rules: [{http: {paths: [{backend: {service: {name: v}}}]}}]}",
                vec![
                    "/spec/tls/0/secretName",
                    "/spec/rules/0/http/paths/0/backend/service/name",
                ],
            ),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nroleRef: {kind: Role, name: r}\nsubjects: [{kind: User, name: a}, {kind: ServiceAccount, name: a}, {kind: ServiceAccount, name: a, namespace: m}]",
                vec!["/roleRef/name", "/subjects/1/name"],
            ),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nroleRef: {kind: ClusterRole, name: r2}\nsubjects: [{kind: ServiceAccount, name: a, namespace: n}]",
                vec!["/roleRef/name", "/subjects/0/name"],
            ),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nrules: [{resources: [secrets], resourceNames: [s, c]}]",
                vec!["/rules/0/resourceNames/0"],
            ),
            (
                "apiVersion: v1\nkind: ServiceAccount\nsecrets: [{name: s}]",
                vec!["/secrets/0/name"],
            ),
            (
                "apiVersion: my.io/v1\nkind: Pod\nspec: {serviceAccountName: a}",
                vec![],
            ),
        ] {
            let mut object: Value = yaml::from_str(text).unwrap();
            object["metadata"] = json!({"namespace": "n"});
            let mut want = object.clone();
            for pointer in pointers {
                let value = want.pointer_mut(pointer).unwrap();
                *value = format!("new-{}", value.as_str().unwrap()).into();
            }
            follow(&mut object, &renames);
            assert_eq!(object, want, "{text}");
        }
    }
}
