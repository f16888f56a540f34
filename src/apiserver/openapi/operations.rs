//! What may be done with a kind, path by path, in the words of OpenAPI 3.
//!
//! kubectl looks for literal paths, for the kind on each operation, and on PATCH for `fieldValidation` and for the patches
//! that are understood: what is not there is not offered.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::apiserver::{
    Kind, PatchKind,
    discovery::root,
    endpoint::Endpoint,
    schema::{COMPONENTS, META},
};

/// Paths of a document.
pub(super) type Paths = BTreeMap<String, Value>;

/// One kind whose operations are told.
struct Told<'a> {
    kind: &'a Kind,
    patches: &'a [PatchKind],
}

/// Where an operation is: on a collection, an object, or below one.
#[derive(Clone, Copy)]
enum Where<'a> {
    Everywhere,
    Collection,
    Object,
    Below(&'a str),
}

/// Adds the paths of a kind.
pub(super) fn add(endpoint: &Endpoint, paths: &mut Paths) {
    let kind = endpoint.resource.kind();
    let told = Told {
        kind,
        patches: endpoint.patches(),
    };
    let base = format!("/{}", root(&kind.group, &kind.version));
    let plural = &kind.plural;
    let here = if kind.namespaced {
        let everywhere = told.path(Where::Everywhere, &kind.verbs);
        paths.insert(format!("{base}/{plural}"), everywhere);
        format!("{base}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{base}/{plural}")
    };
    let collection = told.path(Where::Collection, &kind.verbs);
    paths.insert(here.clone(), collection);
    let object = told.path(Where::Object, &kind.verbs);
    paths.insert(format!("{here}/{{name}}"), object);
    for below in &kind.subresources {
        let path = told.path(Where::Below(&below.name), &below.verbs);
        paths.insert(format!("{here}/{{name}}/{}", below.name), path);
    }
}

impl Told<'_> {
    fn path(&self, place: Where<'_>, verbs: &[String]) -> Value {
        let methods: &[(&str, &str)] = match place {
            Where::Everywhere => &[("get", "list")],
            Where::Collection => &[
                ("get", "list"),
                ("post", "create"),
                ("delete", "deletecollection"),
            ],
            Where::Object | Where::Below(_) => &[
                ("get", "get"),
                ("put", "update"),
                ("patch", "patch"),
                ("delete", "delete"),
            ],
        };
        let mut path = Map::new();
        for (method, verb) in methods {
            if verbs.iter().any(|known| known == verb) {
                path.insert((*method).into(), self.operation(place, method, verb));
            }
        }
        path.insert("parameters".into(), self.path_parameters(place));
        Value::Object(path)
    }

    fn path_parameters(&self, place: Where<'_>) -> Value {
        let mut parameters = Vec::new();
        let mut add = |name: &str, why: &str| {
            parameters.push(json!({
                "name": name, "in": "path", "required": true, "description": why,
                "schema": { "type": "string", "uniqueItems": true },
            }));
        };
        if matches!(place, Where::Object | Where::Below(_)) {
            add("name", &format!("name of the {}", self.kind.kind));
        }
        if self.kind.namespaced && !matches!(place, Where::Everywhere) {
            let why = "object name and auth scope, such as for teams and projects";
            add("namespace", why);
        }
        parameters.into()
    }

    fn operation(&self, place: Where<'_>, method: &str, verb: &str) -> Value {
        let Kind {
            group,
            version,
            kind,
            ..
        } = self.kind;
        let action = if verb == "update" || verb == "create" {
            method
        } else {
            verb
        };
        let mut operation = json!({
            "operationId": self.id(place, action),
            "tags": [self.tag()],
            "description": describe(kind, verb),
            "parameters": parameters(verb, self.patches.contains(&PatchKind::Apply)),
            "responses": self.responses(verb),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind },
        });
        if let Some(body) = self.body(verb) {
            operation["requestBody"] = body;
        }
        operation
    }

    fn tag(&self) -> String {
        let group = if self.kind.group.is_empty() {
            "core".into()
        } else {
            self.kind.group.replace('.', "_")
        };
        format!("{group}_{}", self.kind.version)
    }

    fn id(&self, place: Where<'_>, action: &str) -> String {
        let scope = match place {
            _ if !self.kind.namespaced => "",
            Where::Everywhere => "ForAllNamespaces",
            _ => "Namespaced",
        };
        let below = match place {
            Where::Below(name) => capital(name),
            _ => String::new(),
        };
        let group: String = self.tag().split(['_', '-']).map(capital).collect();
        let kind = &self.kind.kind;
        if matches!(place, Where::Everywhere) {
            return format!("{action}{group}{kind}{scope}");
        }
        format!("{action}{group}{scope}{kind}{below}")
    }

    fn body(&self, verb: &str) -> Option<Value> {
        let mut content = Map::new();
        match verb {
            "create" | "update" => {
                content.insert("*/*".into(), json!({ "schema": self.model("") }));
            }
            "patch" => {
                for patch in self.patches {
                    let schema = reference(&format!("{META}Patch"));
                    content.insert(patch.media_type().into(), json!({ "schema": schema }));
                }
            }
            "delete" | "deletecollection" => {
                let schema = reference(&format!("{META}DeleteOptions"));
                content.insert("*/*".into(), json!({ "schema": schema }));
                return Some(json!({ "content": content }));
            }
            _ => return None,
        }
        Some(json!({ "content": content, "required": true }))
    }

    fn responses(&self, verb: &str) -> Value {
        let schema = match verb {
            "list" => self.model("List"),
            "delete" | "deletecollection" => reference(&format!("{META}Status")),
            _ => self.model(""),
        };
        let media = ["application/json", "application/yaml"];
        let content: Map<String, Value> = media
            .iter()
            .map(|media| ((*media).to_owned(), json!({ "schema": schema })))
            .collect();
        let mut responses = Map::new();
        let ok = json!({ "description": "OK", "content": content });
        // An apply makes what is not there.
        let makes = verb == "create" || verb == "patch" && self.patches.contains(&PatchKind::Apply);
        if makes {
            let created = json!({ "description": "Created", "content": content });
            responses.insert("201".into(), created);
        }
        responses.insert("200".into(), ok);
        responses.insert("401".into(), json!({ "description": "Unauthorized" }));
        responses.into()
    }

    fn model(&self, end: &str) -> Value {
        reference(&format!("{}{end}", self.kind.schema.model))
    }
}

fn reference(model: &str) -> Value {
    json!({ "$ref": format!("{COMPONENTS}{model}") })
}

fn capital(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().filter(|letter| *letter != '.').collect();
    if let Some(first) = letters.first_mut() {
        first.make_ascii_uppercase();
    }
    letters.into_iter().collect()
}

fn describe(kind: &str, verb: &str) -> String {
    match verb {
        "get" => format!("read the specified {kind}"),
        "list" => format!("list or watch objects of kind {kind}"),
        "create" => format!("create a {kind}"),
        "update" => format!("replace the specified {kind}"),
        "patch" => format!("partially update the specified {kind}"),
        "delete" => format!("delete a {kind}"),
        _ => format!("delete collection of {kind}"),
    }
}

/// The parameters in the query of each verb: name, type, and what it is for.
const PRETTY: (&str, &str, &str) = (
    "pretty",
    "string",
    "If 'true', then the output is pretty printed.",
);
const DRY_RUN: (&str, &str, &str) = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: All.",
);
const MANAGER: (&str, &str, &str) = (
    "fieldManager",
    "string",
    "A name associated with the actor or entity that is making these changes.",
);
const VALIDATION: (&str, &str, &str) = (
    "fieldValidation",
    "string",
    "What is done with unknown or duplicate fields: Ignore, Warn or Strict.",
);
const FORCE: (&str, &str, &str) = (
    "force",
    "boolean",
    "Whether an apply takes over fields that others own.",
);
const LABELS: (&str, &str, &str) = (
    "labelSelector",
    "string",
    "A selector to restrict the list of returned objects by their labels.",
);
const FIELDS: (&str, &str, &str) = (
    "fieldSelector",
    "string",
    "A selector to restrict the list of returned objects by their fields.",
);
const VERSION: (&str, &str, &str) = (
    "resourceVersion",
    "string",
    "Constrains which versions a request may be served from.",
);
const MATCH: (&str, &str, &str) = (
    "resourceVersionMatch",
    "string",
    "How resourceVersion is applied: Exact or NotOlderThan.",
);
const LIMIT: (&str, &str, &str) = (
    "limit",
    "integer",
    "The maximum number of objects in one response.",
);
const CONTINUE: (&str, &str, &str) = (
    "continue",
    "string",
    "Where to go on, as an earlier response said.",
);
const WATCH: (&str, &str, &str) = ("watch", "boolean", "Watch for changes instead of listing.");
const BOOKMARKS: (&str, &str, &str) = (
    "allowWatchBookmarks",
    "boolean",
    "Whether events of type BOOKMARK are wanted.",
);
const INITIAL: (&str, &str, &str) = (
    "sendInitialEvents",
    "boolean",
    "Whether a watch begins with what is there.",
);
const TIMEOUT: (&str, &str, &str) = (
    "timeoutSeconds",
    "integer",
    "How long a list or watch may last.",
);
const PROPAGATION: (&str, &str, &str) = (
    "propagationPolicy",
    "string",
    "What becomes of dependents: Orphan, Background or Foreground.",
);

const ORPHANS: (&str, &str, &str) = (
    "orphanDependents",
    "boolean",
    "The older word for propagationPolicy: Orphan if true, Background if false.",
);
const GRACE: (&str, &str, &str) = (
    "gracePeriodSeconds",
    "integer",
    "Understood and of no effect: these objects have no grace period.",
);

/// Returns what the query of an operation may say; `applies` says whether it may be a server-side apply.
fn parameters(verb: &str, applies: bool) -> Vec<Value> {
    let names: &[(&str, &str, &str)] = match verb {
        "list" => &[
            PRETTY, BOOKMARKS, CONTINUE, FIELDS, LABELS, LIMIT, VERSION, MATCH, INITIAL, TIMEOUT,
            WATCH,
        ],
        "patch" if applies => &[PRETTY, DRY_RUN, MANAGER, VALIDATION, FORCE],
        "create" | "update" | "patch" => &[PRETTY, DRY_RUN, MANAGER, VALIDATION],
        "delete" => &[PRETTY, DRY_RUN, GRACE, ORPHANS, PROPAGATION],
        "deletecollection" => &[
            PRETTY,
            DRY_RUN,
            FIELDS,
            GRACE,
            LABELS,
            LIMIT,
            ORPHANS,
            PROPAGATION,
        ],
        _ => &[PRETTY],
    };
    let parameter = |(name, type_, why): &(&str, &str, &str)| {
        json!({
            "name": name, "in": "query", "description": why,
            "schema": { "type": type_, "uniqueItems": true },
        })
    };
    names.iter().map(parameter).collect()
}
