//! `set-namespace`: the namespace of all resources that live in one, and of what names it elsewhere.
//!
//! A config that is wrong is reported, and nothing is changed; it is no failure, as it is none in the catalogue's function.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::{
    super::{Audience, Failure, Item, List},
    config,
    depends_on::{self, Reference},
    field::{Field, found},
    report, resource, scope,
};
use crate::{api::ResultItem, package::kptfile::UPSTREAM_IDENTIFIER};

const OWN: &str = "SetNamespace";
/// The name of the `ConfigMap` that says what a package is called.
const CONTEXT: &str = "kptfile.kpt.dev";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Fields that name the namespace of a service.
const SERVICES: &[Field] = &[
    found(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "spec/conversion/webhook/clientConfig/service/namespace",
    ),
    found(
        "apiregistration.k8s.io",
        "APIService",
        "spec/service/namespace",
    ),
];

/// What is wanted.
struct Wish {
    namespace: String,
    /// If there is one, only this namespace is replaced.
    only: Option<String>,
}

/// Sets the namespace that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let found = wish(list.config.as_ref()).and_then(|wish| {
        is_clear(&wish, &list.items)?;
        Ok(wish)
    });
    match found {
        Ok(wish) => Ok(set(&wish, &mut list.items, &list.audience)?),
        Err(why) => Ok(vec![report::wrong_config(list, why)]),
    }
}

fn wish(config: Option<&Value>) -> Result<Wish, String> {
    let config = config.ok_or_else(|| config::missing(OWN))?;
    let (map, key, told) = if config::is_own(config, OWN) {
        (config, "namespace", "namespace")
    } else if !config::is_config_map(config) {
        return Err(config::unknown(config, OWN));
    } else if resource::name(config) == CONTEXT {
        (&config["data"], "name", "data.name")
    } else {
        (&config["data"], "namespace", "data.namespace")
    };
    let namespace = config::text_at(map, key);
    if namespace.is_empty() {
        return Err(format!("`{told}` should not be empty"));
    }
    let only = Some(config::text_at(map, "namespaceMatcher"));
    Ok(Wish {
        namespace,
        only: only.filter(|only| !only.is_empty()),
    })
}

/// Returns why it can't be said what is to be replaced: the resources come from several namespaces.
fn is_clear(wish: &Wish, items: &[Item]) -> Result<(), String> {
    let objects = items.iter().map(|item| &item.object);
    let ours =
        objects.filter(|object| !resource::is_local(object) && scope::namespace(object).is_some());
    let from: BTreeSet<&str> = ours.filter_map(origin).map(|origin| origin[2]).collect();
    if wish.only.is_some() || from.len() < 2 {
        return Ok(());
    }
    let from: Vec<&str> = from.into_iter().collect();
    Err(format!(
        "unable to use origin `namespace` to match. expect a single upstream namespace, found [{}]. please switch to use `namespaceMatcher` to specify the namespace value you want to change",
        from.join(" ")
    ))
}

/// Returns group, kind, namespace and name that a resource had in its upstream.
fn origin(object: &Value) -> Option<[&str; 4]> {
    let identifier = resource::annotation(object, UPSTREAM_IDENTIFIER);
    let parts: Vec<&str> = identifier.split('|').collect();
    parts.try_into().ok()
}

fn set(wish: &Wish, items: &mut [Item], audience: &Audience) -> Result<Vec<ResultItem>, String> {
    let mut reports = Vec::new();
    let (mut changes, mut moved) = (Changes::default(), HashSet::new());
    for item in items.iter_mut() {
        audience.check()?;
        if resource::is_local(&item.object) {
            continue;
        }
        if origin(&item.object).is_none() {
            reports.push(report::about(
                item,
                report::warning(no_origin(&item.object)),
            ));
        }
        if scope::namespace(&item.object).is_some() {
            moved.extend(wish.set_own(&mut item.object, &mut changes));
        } else {
            wish.set_elsewhere(&mut item.object, &mut changes);
        }
    }
    reports.push(report::info(changes.told(wish, "")));
    let mut depending = Changes::default();
    for item in items.iter_mut() {
        audience.check()?;
        if !resource::is_local(&item.object) {
            follow(wish, &mut item.object, &moved, &mut depending);
        }
    }
    reports.push(report::info(
        depending.told(wish, "`depends-on` annotation "),
    ));
    Ok(reports)
}

fn no_origin(object: &Value) -> String {
    format!(
        "Resource(apiVersion={}, kind={}, namespace={}, name={}) does not have upstream origin.",
        resource::api_version(object),
        resource::kind(object),
        resource::namespace(object),
        resource::name(object)
    )
}

impl Wish {
    fn is_for(&self, namespace: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == namespace)
    }

    /// Sets the namespace of a resource that lives in one; returns what it was called by before, if it changed.
    fn set_own(&self, object: &mut Value, changes: &mut Changes) -> Option<Reference> {
        let named = scope::namespace(object)?.to_owned();
        let is_asked = self.is_for(&named) || origin(object).is_some_and(|of| self.is_for(of[2]));
        if resource::namespace(object) == self.namespace || !is_asked {
            return None;
        }
        let before = Reference::to(object, &named);
        self.set_subjects(object, "RoleBinding", Some(&named), changes);
        let metadata = resource::map_at(object, "metadata")?;
        metadata.insert("namespace".into(), self.namespace.as_str().into());
        changes.note(&named);
        Some(before)
    }

    /// Sets the namespace in a resource that belongs to the whole cluster.
    fn set_elsewhere(&self, object: &mut Value, changes: &mut Changes) {
        if resource::is(object, "v1", "Namespace") {
            let was = origin(object).is_some_and(|of| self.is_for(of[3]));
            if let Some(name) = object.pointer_mut("/metadata/name") {
                self.replace(name, was, changes);
            }
        }
        for field in SERVICES {
            let mut change = |value: &mut Value| {
                self.replace(value, false, changes);
                Ok(())
            };
            // A field that is changed only where it is has nothing to complain of.
            let _ = field.change(object, &mut change);
        }
        self.set_subjects(object, "ClusterRoleBinding", None, changes);
    }

    /// Sets the namespace of service accounts that a binding names; with `within`, of those in that namespace only.
    fn set_subjects(
        &self,
        object: &mut Value,
        kind: &str,
        within: Option<&str>,
        changes: &mut Changes,
    ) {
        let mut change = |subject: &mut Value| {
            let is_asked = subject["kind"] == "ServiceAccount"
                && within.is_none_or(|within| subject["namespace"] == within);
            if let Some(namespace) = subject.get_mut("namespace").filter(|_| is_asked) {
                self.replace(namespace, within.is_some(), changes);
            }
            Ok(())
        };
        let _ = found(RBAC, kind, "subjects").change(object, &mut change);
    }

    /// Replaces a namespace if it is asked for, or if that is known already.
    fn replace(&self, value: &mut Value, is_asked: bool, changes: &mut Changes) {
        let was = config::text(value);
        if was != self.namespace && (is_asked || self.is_for(&was)) {
            changes.note(&was);
            *value = self.namespace.as_str().into();
        }
    }
}

/// Lets a resource depend on those that moved where they are now.
fn follow(wish: &Wish, object: &mut Value, moved: &HashSet<Reference>, changes: &mut Changes) {
    depends_on::change(object, &mut |reference: &mut Reference| {
        if moved.contains(reference) {
            changes.note(&reference.namespace);
            reference.namespace.clone_from(&wish.namespace);
        }
    });
}

/// How much changed.
#[derive(Default)]
struct Changes {
    from: BTreeSet<String>,
    count: usize,
}

impl Changes {
    fn note(&mut self, from: &str) {
        self.from.insert(from.into());
        self.count += 1;
    }

    fn told(&self, wish: &Wish, of: &str) -> String {
        let to = &wish.namespace;
        match self.count {
            0 if of.is_empty() => {
                format!("all matching namespaces are already {to:?}. no value changed")
            }
            0 => "all `depends-on` annotations are up-to-date. no `namespace` changed".into(),
            count => {
                let from: Vec<&str> = self.from.iter().map(String::as_str).collect();
                let from = from.join(" ");
                format!("{of}namespace [{from}] updated to {to:?}, {count} value(s) changed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::samples::{config_map, list, unchanged_when_repeated},
        *,
    };

    fn set_to_new(documents: &[&str]) -> List {
        let mut given = list(documents, config_map(&json!({"namespace": "new"})));
        unchanged_when_repeated(run, &mut given);
        given
    }

    #[test]
    fn one_resource_is_set_where_it_names_a_namespace() {
        for (before, pointer, after) in [
            (
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
                "/metadata/namespace",
                "new",
            ),
            (
                "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: old}\n",
                "/metadata/namespace",
                "new",
            ),
            (
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: old}\n",
                "/metadata/name",
                "new",
            ),
            (
                "apiVersion: my.io/v1\nkind: Own\nmetadata: {name: o, namespace: ''}\n",
                "/metadata/namespace",
                "new",
            ),
            (
                "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nspec: {service: {namespace: old}}\n",
                "/spec/service/namespace",
                "new",
            ),
            (
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {conversion: {webhook: {clientConfig: {service: {namespace: old}}}}}\n",
                "/spec/conversion/webhook/clientConfig/service/namespace",
                "new",
            ),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nsubjects: [{kind: User}, {kind: ServiceAccount, namespace: old}]\n",
                "/subjects/1/namespace",
                "new",
            ),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {namespace: old}\nsubjects: [{kind: ServiceAccount, namespace: old}]\n",
                "/subjects/0/namespace",
                "new",
            ),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {namespace: old}\nsubjects: [{kind: ServiceAccount, namespace: other}]\n",
                "/subjects/0/namespace",
                "other",
            ),
        ] {
            let given = set_to_new(&[before]);
            assert_eq!(
                given.items[0].object.pointer(pointer),
                Some(&json!(after)),
                "{before}"
            );
        }
        for unchanged in [
            "apiVersion: my.io/v1\nkind: Own\nmetadata: {name: o}\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: o, namespace: old, annotations: {config.kubernetes.io/local-config: 'true'}}\n",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: o}\n",
            "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nspec: {service: {name: x}}\n",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nsubjects: [{kind: ServiceAccount, name: x}]\n",
        ] {
            let given = set_to_new(&[unchanged]);
            assert_eq!(
                given,
                list(&[unchanged], config_map(&json!({"namespace": "new"})))
            );
        }
    }

    const FROM_A: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: b, annotations: {internal.kpt.dev/upstream-identifier: '|Pod|a|p'}}\n";
    const FROM_C: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: q, namespace: c, annotations: {internal.kpt.dev/upstream-identifier: '|Pod|c|q'}}\n";

    #[test]
    fn only_what_matches_is_set_if_a_matcher_says_so() {
        for (only, want) in [
            ("a", ["new", "c"]),
            ("b", ["new", "c"]),
            ("c", ["b", "new"]),
            ("x", ["b", "c"]),
        ] {
            let own = json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "SetNamespace", "namespace": "new", "namespaceMatcher": only});
            let mut given = list(&[FROM_A, FROM_C], own);
            unchanged_when_repeated(run, &mut given);
            let got = [0, 1].map(|at| resource::namespace(&given.items[at].object));
            assert_eq!(got, want, "{only}");
        }
    }

    #[test]
    fn a_wrong_wish_is_reported_and_changes_nothing() {
        let own = |namespace: &str| json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "SetNamespace", "namespace": namespace});
        let context = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kptfile.kpt.dev"}, "data": {"namespace": "x"}});
        for (config, why) in [
            (
                Value::Null,
                "FunctionConfig is missing. Expect `ConfigMap.v1` or `SetNamespace.v1alpha1.fn.kpt.dev`",
            ),
            (
                config_map(&json!({})),
                "`data.namespace` should not be empty",
            ),
            (own(""), "`namespace` should not be empty"),
            (context, "`data.name` should not be empty"),
            (
                json!({"kind": "Other", "apiVersion": "v2"}),
                "unknown functionConfig Kind=Other ApiVersion=v2, expect ",
            ),
            (
                own("new"),
                "expect a single upstream namespace, found [a c].",
            ),
        ] {
            let mut given = list(&[FROM_A, FROM_C], config.clone());
            let told = run(&mut given).unwrap();
            assert_eq!((told.len(), told[0].severity.as_str()), (1, "error"));
            assert!(told[0].message.contains(why), "{}", told[0].message);
            assert_eq!(given, list(&[FROM_A, FROM_C], config));
        }
    }

    #[test]
    fn what_happened_is_reported() {
        let context = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kptfile.kpt.dev"}, "data": {"name": "new"}});
        let depending = "apiVersion: v1\nkind: Pod\nmetadata: {name: r, namespace: b, annotations: {config.kubernetes.io/depends-on: '/namespaces/b/Pod/p, /namespaces/b/Pod/x', internal.kpt.dev/upstream-identifier: '|Pod|a|r'}}\n";
        let mut given = list(
            &[
                FROM_A,
                depending,
                "apiVersion: v1\nkind: Node\nmetadata: {name: n}\n",
            ],
            context,
        );
        let told = run(&mut given).unwrap();
        let messages: Vec<&str> = told.iter().map(|told| told.message.as_str()).collect();
        let want = [
            "Resource(apiVersion=v1, kind=Node, namespace=, name=n) does not have upstream origin.",
            "namespace [b] updated to \"new\", 2 value(s) changed",
            "`depends-on` annotation namespace [b] updated to \"new\", 1 value(s) changed",
        ];
        assert_eq!(messages, want);
        assert_eq!(told[0].file.as_ref().unwrap().path, "file2.yaml");
        let annotations = &given.items[1].object["metadata"]["annotations"];
        assert_eq!(
            annotations["config.kubernetes.io/depends-on"],
            "/namespaces/new/Pod/p, /namespaces/b/Pod/x"
        );
        let told = run(&mut given).unwrap();
        assert_eq!(
            told[1].message,
            "all matching namespaces are already \"new\". no value changed"
        );
        assert_eq!(
            told[2].message,
            "all `depends-on` annotations are up-to-date. no `namespace` changed"
        );
    }
}
