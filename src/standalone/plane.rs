//! The control plane as `main` knows it: started, served, ended.
//!
//! In come where objects are kept and which kinds there are beside the built-in ones; out go a registry for the one
//! listener, and a client for those in the same process. It must not let anybody in without an identity.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{Definition, Error, Persistence, Served, Storage, kinds};
use crate::apiserver::{
    Caller, Failure, Identity, Registry, Server, Settings, Verb, Write, WriteOptions, Writer,
};

/// Who calls from within this process.
const SYSTEM: &str = "system:porch";
/// Namespaces that are always there.
const NAMESPACES: &[&str] = &["default", "kube-system"];

/// A small control plane in this process. Cheap to clone.
#[derive(Clone)]
pub struct ControlPlane {
    storage: Arc<Storage>,
}

impl ControlPlane {
    /// Starts a control plane that keeps the built-in kinds and those of `definitions`, with the usual namespaces and
    /// those in `namespaces`.
    ///
    /// # Errors
    /// [`Error`], if the data directory can't be used.
    pub async fn start(
        persistence: Persistence,
        definitions: Vec<Definition>,
        namespaces: &[&str],
    ) -> Result<Self, Error> {
        let all: Vec<_> = kinds::built_in()
            .into_iter()
            .chain(definitions)
            .map(Arc::new)
            .collect();
        let storage = match persistence {
            // No thread but this one: tests pause its clock.
            Persistence::Memory => Storage::open(&Persistence::Memory, all)?,
            Persistence::Disk(directory) => {
                let disk = Persistence::Disk(directory.clone());
                let opened = tokio::task::spawn_blocking(move || Storage::open(&disk, all)).await;
                opened.map_err(|error| Error::Storage {
                    directory,
                    why: error.to_string(),
                })??
            }
        };
        let plane = Self {
            storage: Arc::new(storage),
        };
        for namespace in NAMESPACES.iter().chain(namespaces) {
            plane.ensure_namespace(namespace).await?;
        }
        Ok(plane)
    }

    async fn ensure_namespace(&self, name: &str) -> Result<(), Error> {
        let namespaces = self.served().find(|served| served.plural() == "namespaces");
        let namespaces = namespaces.expect("namespaces are built in");
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let write = Write {
            verb: Verb::Create,
            namespace: String::new(),
            name: String::new(),
            subresource: String::new(),
            body: Bytes::from(body.to_string()),
            complaints: Vec::new(),
            options: WriteOptions {
                field_manager: SYSTEM.into(),
                ..WriteOptions::default()
            },
            user: system(),
            caller: Caller::default(),
            may_not_create: None,
        };
        match namespaces.write(write).await {
            Ok(_) | Err(Failure::AlreadyExists(_)) => Ok(()),
            Err(failure) => Err(Error::Definition {
                kind: "Namespace".into(),
                why: format!("namespace {name:?} can't be made: {failure:?}"),
            }),
        }
    }

    fn served(&self) -> impl Iterator<Item = Served> {
        let tables = self.storage.tables().len();
        (0..tables).map(|table| Served::new(self.storage.clone(), table))
    }

    /// Returns every kind that is kept, and the core group's view of events.
    #[must_use]
    pub fn all(&self) -> Vec<Served> {
        let mut all: Vec<Served> = self.served().collect();
        let events = all.iter().position(|served| served.plural() == "events");
        let view = events.map(|events| Served::core_events(self.storage.clone(), events));
        all.extend(view);
        all
    }

    /// Adds everything that is kept here to what is served.
    #[must_use]
    pub fn register(&self, registry: Registry) -> Registry {
        let all = self.all().into_iter().map(Arc::new);
        all.fold(registry, |registry, served| {
            registry.serve_with_writer(served.clone(), served)
        })
    }

    /// Returns a client for those in this process: its requests go through the same server as anybody's, as this
    /// process's own identity.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        let settings = Settings {
            quiet: true,
            ..Settings::default()
        };
        let server = Server::new(self.register(Registry::new()), settings);
        let service = tower::util::MapRequest::new(
            server,
            |mut request: http::Request<kube::client::Body>| {
                request.extensions_mut().insert(system());
                request
            },
        );
        kube::Client::new(service, "default")
    }

    /// Ends the control plane: what was written is durable, and the data directory is free for another process.
    pub async fn close(self) {
        let storage = self.storage;
        let closed = tokio::task::spawn_blocking(move || storage.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the object store did not close");
        }
    }
}

/// Returns the identity of this process.
fn system() -> Identity {
    Identity::master(SYSTEM)
}
