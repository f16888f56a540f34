//! The whole of `porch standalone` in this process, without its disk and its socket: control plane, feed, reconcilers and
//! server, wired as the program wires them.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use kube::Client;
use porch::{
    apiserver::{self, Authorizer, Identity, Registry, Settings},
    controllers, crds,
    engine::Renderer,
    render::{DEFAULT_IMAGE_PREFIX, Functions},
    standalone::{ControlPlane, Definition, Persistence},
    sync::{Mirrors, Processes},
    wiring::Reading,
};
use tokio::task::JoinHandle;

use crate::desk::Examined;

const NAMESPACE: &str = "porch-system";
/// Who asks.
const USER: &str = "alice@example.com";

/// A running server; it ends when dropped.
pub struct Server {
    pub examined: Examined,
    _reading: Reading,
    reconciling: JoinHandle<()>,
    _mirrors: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.reconciling.abort();
    }
}

impl Server {
    /// Starts one; it needs no name.
    pub async fn start(_: &str) -> Self {
        // Some other test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let definitions = crds::definitions();
        let definitions = definitions.iter().map(|definition| {
            let definition = Definition::custom(definition).unwrap();
            match definition.kind.kind.as_str() {
                "PackageRev" => definition.untracked(),
                _ => definition,
            }
        });
        let plane =
            ControlPlane::start(Persistence::Memory, definitions.collect(), &[NAMESPACE]).await;
        let plane = plane.unwrap();
        let mirrors = tempfile::tempdir().unwrap();
        let client = plane.client();
        let functions = Functions::new("", None, None, tokio::runtime::Handle::current());
        let renderer = Renderer::new(functions, DEFAULT_IMAGE_PREFIX, 2);
        let alone = (&client, Processes::alone(), renderer);
        let reading = Reading::start(alone, NAMESPACE, Mirrors::new(mirrors.path()), true);
        let settings =
            controllers::Settings::new(reading.mirrors.clone(), true, Duration::from_hours(1));
        let catalog = reading.feed.catalog().clone();
        let running = controllers::run(client.clone(), catalog, settings, std::future::pending());
        let reconciling = tokio::spawn(running);
        reading.feed.catalog().until_ready().await;
        let registry = reading.register(plane.register(Registry::new()));
        let settings = Settings {
            authorizer: Authorizer::Masters,
            ..Settings::default()
        };
        Self {
            examined: Examined {
                client: connect(apiserver::Server::new(registry, settings)),
                user: USER.into(),
                prefix: "desk-".into(),
            },
            _reading: reading,
            reconciling,
            _mirrors: mirrors,
        }
    }
}

impl Server {
    /// Ends it.
    pub async fn end(mut self) {
        self.reconciling.abort();
        let _ = (&mut self.reconciling).await;
    }
}

/// Returns a client in the same process.
fn connect(server: apiserver::Server) -> Client {
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let server = server.clone();
        async move {
            let mut request = request;
            request.extensions_mut().insert(Identity::master(USER));
            let answered: Response<Body> = server.answer(request).await;
            Ok::<_, std::convert::Infallible>(answered)
        }
    });
    Client::new(service, "default")
}
