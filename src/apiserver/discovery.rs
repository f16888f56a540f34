//! What is served, told to those who want to know: kubectl, controllers, the aggregator.
//!
//! In comes the registry; out go documents that are made once and answered from memory, the old ones one for each group
//! and version, and the aggregated one (KEP-3352).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use super::{Kind, Registry, Subresource, pages::Page};

/// The media type of the aggregated document: by it, and by nothing else, clients know it.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The documents.
pub(super) struct Discovery {
    /// By the path without its leading slash.
    legacy: BTreeMap<String, Bytes>,
    /// Of the named groups.
    apis: Page,
    /// Of the core group, if it is served.
    api: Option<Page>,
}

impl Discovery {
    /// Returns the documents of what is in `registry`.
    pub(super) fn of(registry: &Registry) -> Self {
        let groups = registry.groups();
        let named: Vec<&str> = groups.keys().copied().filter(|it| !it.is_empty()).collect();
        let mut legacy = BTreeMap::new();
        let mut put = |path: String, document: &Value| {
            legacy.insert(path, Bytes::from(document.to_string()));
        };
        let list: Vec<Value> = named.iter().map(|it| group(it, &groups[it])).collect();
        put(
            "apis".into(),
            &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": list }),
        );
        if let Some(versions) = groups.get("") {
            put(
                "api".into(),
                &json!({ "kind": "APIVersions", "versions": versions }),
            );
        }
        for (name, versions) in &groups {
            if !name.is_empty() {
                let mut document = json!({ "kind": "APIGroup", "apiVersion": "v1" });
                merge(&mut document, group(name, versions));
                put(format!("apis/{name}"), &document);
            }
            for version in versions {
                let document = resources(registry, name, version);
                put(root(name, version), &document);
            }
        }
        Self {
            legacy,
            apis: aggregated(registry, &named),
            api: groups.contains_key("").then(|| aggregated(registry, &[""])),
        }
    }

    /// Returns the old document at a path.
    pub(super) fn legacy(&self, segments: &[&str]) -> Option<Bytes> {
        self.legacy.get(&segments.join("/")).cloned()
    }

    /// Returns the aggregated document, of the core group or of all others.
    pub(super) fn aggregated(&self, core: bool) -> Option<&Page> {
        if core {
            self.api.as_ref()
        } else {
            Some(&self.apis)
        }
    }

    /// Returns the paths of all documents.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.legacy.keys().map(|path| format!("/{path}"))
    }
}

/// Returns the path below which the kinds of a version are, without its leading slash.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        return format!("api/{version}");
    }
    format!("apis/{group}/{version}")
}

/// Returns a page whose tag is the digest of its content.
pub(super) fn page(document: &Value, media: Option<&'static str>) -> Page {
    let body = document.to_string();
    let digest = digest(body.as_bytes());
    let etag = HeaderValue::try_from(format!("\"{digest}\""));
    Page {
        body: body.into(),
        etag: etag.expect("hexadecimal digits and quotation marks may stand in a header"),
        media,
    }
}

/// Returns the SHA-512 of `bytes` in upper-case hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("{:X}", Sha512::digest(bytes))
}

fn group(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{name}/{version}"), "version": version }))
        .collect();
    json!({ "name": name, "versions": versions, "preferredVersion": versions[0] })
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn of_version<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Kind> {
    let here = move |kind: &&Kind| kind.group == group && kind.version == version;
    registry.kinds().filter(here)
}

fn resources(registry: &Registry, group: &str, version: &str) -> Value {
    let mut all = Vec::new();
    for kind in of_version(registry, group, version) {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs,
        });
        names(&mut resource, kind);
        all.push(resource);
        for below in &kind.subresources {
            all.push(json!({
                "name": format!("{}/{}", kind.plural, below.name), "singularName": "",
                "namespaced": kind.namespaced, "kind": kind.kind, "verbs": below.verbs,
            }));
        }
    }
    let version = root(group, version);
    let version = version
        .trim_start_matches("apis/")
        .trim_start_matches("api/");
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all })
}

fn names(resource: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
}

fn aggregated(registry: &Registry, groups: &[&str]) -> Page {
    let versions = registry.groups();
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> = versions[group]
                .iter()
                .map(|version| {
                    let resources: Vec<Value> =
                        of_version(registry, group, version).map(resource).collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                })
                .collect();
            let mut metadata = Map::new();
            if !group.is_empty() {
                metadata.insert("name".into(), (*group).into());
            }
            metadata.insert("creationTimestamp".into(), Value::Null);
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items,
    });
    page(&document, Some(AGGREGATED))
}

fn resource(kind: &Kind) -> Value {
    let response = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
    let below = |below: &Subresource| json!({ "subresource": below.name, "responseKind": response, "verbs": below.verbs });
    let scope = if kind.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut resource = json!({
        "resource": kind.plural, "responseKind": response, "scope": scope,
        "singularResource": kind.singular, "verbs": kind.verbs,
    });
    names(&mut resource, kind);
    if !kind.subresources.is_empty() {
        resource["subresources"] = kind.subresources.iter().map(below).collect();
    }
    resource
}
