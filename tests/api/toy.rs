//! A kind to test the machinery with: widgets, kept in a store, written by a writer that does the least that a writer can.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use porch::{
    apiserver::{
        Column, Failure, Identity, Kind, Problem, Registry, Reply, Resource, Schema, Server,
        Settings, Subject, Subresource, Verb, Write, Writer, Written,
    },
    cache::{Entry, Name, Store, Version},
};
use serde_json::{Value, json};

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

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
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
    /// What is wrong with bodies, if anything is.
    pub broken: bool,
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
            broken: false,
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

    pub fn remove(&self, namespace: &str, name: &str) -> Version {
        let version = self.tick();
        self.store.remove(&Name::new(namespace, name), version);
        version
    }

    pub fn server(self: &Arc<Self>) -> Server {
        self.server_with(Settings::default())
    }

    pub fn server_with(self: &Arc<Self>, settings: Settings) -> Server {
        let registry = Registry::new().serve_with_writer(self.clone(), self.clone());
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
        verbs: text(&["create", "delete", "get", "list", "patch", "watch"]),
        subresources: vec![Subresource {
            name: "status".into(),
            verbs: text(&["get"]),
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
        schema: Schema::inline(
            "example.toys.v1.Widget",
            json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": { "color": { "type": "string" } } } } }),
        ),
    }
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

impl Writer for Widgets {
    async fn write(&self, write: Write) -> Result<Reply, Failure> {
        let Write {
            verb,
            namespace,
            name,
            body,
            user,
            ..
        } = write;
        assert_eq!(user, Identity::master("tester"));
        let subject = |name: &str| Subject::new(GROUP, "widgets", name);
        match verb {
            Verb::Create => {
                let object: Value = serde_json::from_slice(&body).unwrap();
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                assert_ne!(name, "panic", "a writer's invariant does not hold");
                if self.store.get(&Name::new(&*namespace, name)).is_some() {
                    return Err(Failure::AlreadyExists(subject(name)));
                }
                let color = object["spec"]["color"].as_str().unwrap_or_default();
                self.put(&namespace, name, &object["metadata"]["labels"], color);
                let made = self.store.get(&Name::new(namespace, name)).unwrap();
                Ok(Reply {
                    written: Written::Created(made.body.clone()),
                    warnings: vec!["say \"please\"".into()],
                })
            }
            Verb::Delete => {
                let key = Name::new(&*namespace, &*name);
                let Some(gone) = self.store.get(&key) else {
                    return Err(Failure::NotFound(subject(&name)));
                };
                self.remove(&namespace, &name);
                Ok(Written::Deleted(gone.body.clone()).into())
            }
            _ => Ok(Written::Updated(body).into()),
        }
    }
}
