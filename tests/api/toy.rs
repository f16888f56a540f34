//! A kind to test the machinery with: widgets, kept in a store, by a keeper that does the least that a keeper can.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use porch::{
    apiserver::{
        Changed, Column, DeleteTerms, Deleted, Edit, Failure, FieldError, Identity, Keeper, Kind,
        Problem, Registry, Request, Resource, Schema, Server, Settings, Subject, Subresource,
    },
    cache::{Entry, Name, Store, Version},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub const GROUP: &str = "toys.example";

/// One widget: its object is its only truth.
pub struct Widget {
    name: Name,
    version: Version,
    labels: BTreeMap<String, String>,
    object: Value,
    body: Bytes,
    metadata: Bytes,
}

impl Widget {
    pub fn new(mut object: Value, version: Version) -> Self {
        object["kind"] = "Widget".into();
        object["apiVersion"] = format!("{GROUP}/v1").into();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        let labels = serde_json::from_value(object["metadata"]["labels"].clone());
        Self {
            name: Name::new(text("namespace"), text("name")),
            version,
            labels: labels.unwrap_or_default(),
            body: object.to_string().into(),
            metadata: object["metadata"].to_string().into(),
            object,
        }
    }
}

impl Entry for Widget {
    fn name(&self) -> &Name {
        &self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "metadata.name" => Some(self.name.name.as_str().into()),
            "metadata.namespace" => Some(self.name.namespace.as_str().into()),
            "spec.color" => self.object["spec"]["color"].as_str().map(Cow::from),
            _ => None,
        }
    }

    fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    fn at(&self, version: Version) -> Self {
        Self::new(self.object.clone(), version)
    }
}

/// All widgets, and the clock of their versions.
pub struct Widgets {
    kind: Kind,
    store: Arc<Store<Widget>>,
    clock: AtomicU64,
    /// Held while an object is compared and put in its place.
    turn: Mutex<()>,
    /// What is wrong with bodies, if anything is.
    pub broken: bool,
    /// Whether those who delete are told no more than that it is done.
    pub terse: bool,
    /// Whether it is kept who owns what.
    pub owned: bool,
    /// Where creations of widgets named `slow` say that they have come, and wait to go on: before and after they begin.
    pub arrived: Notify,
    pub gates: [Notify; 2],
}

impl Widgets {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with_history(10_000))
    }

    pub fn with_history(history: usize) -> Self {
        let store = Arc::new(Store::new(history));
        store.advance(Version(1));
        Self {
            kind: kind(),
            store,
            clock: AtomicU64::new(1),
            turn: Mutex::new(()),
            broken: false,
            terse: false,
            owned: false,
            arrived: Notify::new(),
            gates: [Notify::new(), Notify::new()],
        }
    }

    fn tick(&self) -> Version {
        Version(self.clock.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub fn put(&self, namespace: &str, name: &str, labels: &Value, color: &str) -> Version {
        let version = self.tick();
        let object = json!({
            "metadata": { "namespace": namespace, "name": name, "labels": labels },
            "spec": { "color": color },
        });
        self.store.put(Arc::new(Widget::new(object, version)));
        version
    }

    pub fn find(&self, name: &Name) -> Option<Value> {
        self.store.get(name).map(|found| found.object.clone())
    }

    pub fn remove(&self, namespace: &str, name: &str) -> Version {
        let version = self.tick();
        self.store.remove(&Name::new(namespace, name), version);
        version
    }

    pub fn server(self: &Arc<Self>) -> Server {
        self.server_with(Settings::default())
    }

    pub fn server_with(self: &Arc<Self>, settings: Settings) -> Server {
        let registry = Registry::new().serve_with_keeper(self.clone(), self.clone());
        Server::new(registry, settings)
    }
}

fn kind() -> Kind {
    let text = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    Kind {
        group: GROUP.into(),
        version: "v1".into(),
        kind: "Widget".into(),
        list_kind: "WidgetList".into(),
        plural: "widgets".into(),
        singular: "widget".into(),
        short_names: text(&["wd"]),
        categories: Vec::new(),
        namespaced: true,
        verbs: text(&[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ]),
        subresources: vec![Subresource {
            name: "approval".into(),
            verbs: text(&["get", "patch", "update"]),
            plain: true,
        }],
        selectable: text(&["metadata.name", "metadata.namespace", "spec.color"]),
        columns: vec![
            Column {
                name: "Name".into(),
                type_: "string".into(),
                format: "name".into(),
                ..Column::default()
            },
            Column {
                name: "Color".into(),
                type_: "string".into(),
                priority: 1,
                ..Column::default()
            },
        ],
        refusals: Vec::new(),
        schema: Schema::inline("example.toys.v1.Widget", schema()),
    }
}

fn schema() -> Value {
    let part = json!({ "type": "object", "properties": {
        "name": { "type": "string" },
        "count": { "type": "integer", "format": "int32" },
    } });
    json!({ "type": "object", "description": "Widget is a thing.", "properties": {
        "spec": { "type": "object", "properties": {
            "color": { "type": "string", "description": "Color is how it looks." },
            "size": { "type": "integer", "format": "int64" },
            "parts": { "type": "array", "items": part },
            "tags": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
            "rows": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": part,
            },
            "notes": { "type": "object", "additionalProperties": { "type": "string" } },
            "extra": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        } },
        "status": { "type": "object", "properties": { "approvedBy": { "type": "string" } } },
    } })
}

impl Resource for Widgets {
    type Object = Widget;

    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn store(&self) -> &Arc<Store<Widget>> {
        &self.store
    }

    async fn body(&self, object: &Arc<Widget>) -> Result<Bytes, Problem> {
        if self.broken {
            return Err(Problem::Unavailable("the shop is closed".into()));
        }
        Ok(object.body.clone())
    }

    async fn cells(&self, object: &Arc<Widget>) -> Result<Vec<Value>, Problem> {
        let color = object.object["spec"]["color"].clone();
        Ok(vec![object.name.name.clone().into(), color])
    }
}

const MOMENT: &str = "2026-01-02T03:04:05Z";

fn subject(name: &str) -> Subject {
    Subject::new(GROUP, "widgets", name)
}

impl Widgets {
    /// Puts `object` where there is `was`, or takes that away; nothing if somebody else was faster.
    fn settle(&self, was: Option<&Widget>, object: Option<Value>, dry: bool) -> Option<Bytes> {
        let _turn = self.turn.lock().unwrap();
        let name = match (was, &object) {
            (Some(was), _) => was.name.clone(),
            (None, object) => Widget::new(object.clone()?, Version(0)).name,
        };
        let found = self.store.get(&name).map(|found| found.version);
        if found != was.map(|was| was.version) {
            return None;
        }
        let version = if dry {
            found.unwrap_or_default()
        } else {
            self.tick()
        };
        let Some(object) = object else {
            if !dry {
                self.store.remove(&name, version);
            }
            return Some(was?.body.clone());
        };
        let widget = Arc::new(Widget::new(object, version));
        if !dry {
            self.store.put(widget.clone());
        }
        Some(widget.body.clone())
    }
}

impl Keeper for Widgets {
    fn keeps_owners(&self) -> bool {
        self.owned
    }

    async fn create(&self, mut object: Value, request: &Request) -> Result<Changed, Failure> {
        assert_eq!(request.user, Identity::master("tester"));
        let metadata = object["metadata"].as_object_mut().unwrap();
        let name = metadata.get("name").cloned().unwrap_or_default();
        let name = name.as_str().unwrap_or_default();
        assert_ne!(name, "panic", "a keeper's invariant does not hold");
        if name.is_empty() {
            let detail = "name or generateName is required";
            return Err(Failure::Invalid {
                subject: Subject::new(GROUP, "Widget", ""),
                errors: vec![FieldError::required("metadata.name", detail)],
            });
        }
        metadata.insert("uid".into(), format!("uid-of-{name}").into());
        metadata.insert("creationTimestamp".into(), MOMENT.into());
        metadata.insert("generation".into(), 1.into());
        let name = name.to_owned();
        if name == "slow" {
            self.arrived.notify_one();
            let gate = async {
                self.gates[0].notified().await;
                Ok(())
            };
            request.caller.stays_for(gate).await?;
        }
        request.caller.begin()?;
        if name == "slow" {
            self.arrived.notify_one();
            self.gates[1].notified().await;
        }
        let made = self.settle(None, Some(object), request.dry_run);
        Ok(Changed {
            object: made.ok_or_else(|| Failure::AlreadyExists(subject(&name)))?,
            warnings: vec!["say \"please\"".into()],
        })
    }

    async fn update(&self, name: &Name, edit: Edit, request: &Request) -> Result<Changed, Failure> {
        loop {
            let found = self.store.get(name);
            let live = found.ok_or_else(|| Failure::NotFound(subject(&name.name)))?;
            let mut object = edit.apply(&live.object)?;
            if request.subresource == "approval" {
                object["status"]["approvedBy"] = request.user.user.as_str().into();
            }
            if object == live.object {
                return Ok(live.body.clone().into());
            }
            // Lets others in between.
            tokio::task::yield_now().await;
            if object["spec"] != live.object["spec"] {
                let generation = live.object["metadata"]["generation"].as_i64();
                object["metadata"]["generation"] = (generation.unwrap_or(0) + 1).into();
            }
            let going = object["metadata"]["deletionTimestamp"].is_string();
            let gone = going && object["metadata"]["finalizers"].is_null();
            let settled = self.settle(Some(&live), (!gone).then_some(object), request.dry_run);
            if let Some(body) = settled {
                return Ok(body.into());
            }
        }
    }

    async fn delete(
        &self,
        name: &Name,
        terms: DeleteTerms,
        request: &Request,
    ) -> Result<Deleted, Failure> {
        let found = self.store.get(name);
        let live = found.ok_or_else(|| Failure::NotFound(subject(&name.name)))?;
        terms.check(&live.object, Subject::new(GROUP, "Widget", &*name.name))?;
        let held = terms.held(&live.object, MOMENT);
        if held.as_ref() == Some(&live.object) {
            return Ok(Deleted::Held(live.body.clone()));
        }
        let is_held = held.is_some();
        let settled = self.settle(Some(&live), held, request.dry_run);
        let body = settled.ok_or_else(|| Failure::modified(subject(&name.name)))?;
        let uid = live.object["metadata"]["uid"].as_str().unwrap_or_default();
        Ok(match (is_held, self.terse) {
            (true, _) => Deleted::Held(body),
            (false, false) => Deleted::Gone(body),
            (false, true) => Deleted::Done { uid: uid.into() },
        })
    }
}
