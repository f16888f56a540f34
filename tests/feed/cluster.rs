//! A control plane in this process, and a client of it that can be cut off, misled and counted.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

pub use crate::record::record;
use axum::body::Body;
use futures::{StreamExt, future::BoxFuture};
use http::{Method, Request, Response};
use kube::{Api, Client, CustomResourceExt, api::PostParams};
use porch::{
    api::PackageRev,
    apiserver::{Identity, Registry, Server, Settings},
    standalone::{ControlPlane, Definition, Error, Persistence},
};
use tokio_util::sync::CancellationToken;

/// Between two tries to open a directory that is in use.
const BREATH: std::time::Duration = std::time::Duration::from_millis(50);

/// The namespace of the server under test.
pub const HOME: &str = "porch-system";

/// A control plane that keeps records.
#[derive(Clone)]
pub struct Cluster {
    server: Server,
}

impl Cluster {
    pub async fn start(namespaces: &[&str]) -> Self {
        Self::start_on(Persistence::Memory, namespaces).await
    }

    pub async fn start_on(persistence: Persistence, namespaces: &[&str]) -> Self {
        let plane = Self::plane(persistence, namespaces).await;
        let registry = plane.register(Registry::new());
        Self {
            server: Server::new(registry, Settings::default()),
        }
    }

    /// Starts a control plane; waits for the life before to let go of its directory, which it ends without closing.
    async fn plane(persistence: Persistence, namespaces: &[&str]) -> ControlPlane {
        for _ in 0..200 {
            let kinds = vec![Definition::custom(&PackageRev::crd()).unwrap()];
            match ControlPlane::start(persistence.clone(), kinds, namespaces).await {
                Err(Error::InUse(_)) => tokio::time::sleep(BREATH).await,
                started => return started.unwrap(),
            }
        }
        panic!("the directory stays in use");
    }

    /// Returns a client that nothing befalls.
    pub fn client(&self) -> Client {
        self.client_with(&Arc::default())
    }

    /// Returns a client that suffers what `fate` says.
    pub fn client_with(&self, fate: &Arc<Fate>) -> Client {
        let way = Way {
            server: self.server.clone(),
            fate: fate.clone(),
        };
        Client::new(way, "default")
    }

    /// Creates a record in the namespace `default`.
    pub async fn create(&self, record: &PackageRev) -> PackageRev {
        let (records, parameters) = (self.records(), PostParams::default());
        records.create(&parameters, record).await.unwrap()
    }

    /// Returns the records of the namespace `default`.
    pub fn records(&self) -> Api<PackageRev> {
        Api::namespaced(self.client(), "default")
    }
}

/// What befalls a client's requests.
#[derive(Default)]
pub struct Fate {
    /// Answers instead of the server, for requests that it is for.
    pub misfortune: Mutex<Option<Misfortune>>,
    /// Ends the streams that are open.
    streams: Mutex<CancellationToken>,
    /// How many patches were sent.
    pub patches: AtomicUsize,
}

/// What is answered instead of the server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfortune {
    /// Nothing works.
    Outage,
    /// Nothing can be watched.
    Blindness,
    /// Patches and creations are forbidden.
    ReadOnly,
    /// Streaming lists are refused, as by servers that know but do not offer them.
    NoStreamingLists,
    /// Streaming lists are watches like others, as by servers that do not know them.
    DeafToStreamingLists,
    /// A watch from a version is told that this is too old; it comes to an end when a list was begun.
    Forgetful,
}

impl Fate {
    pub fn set(&self, misfortune: Option<Misfortune>) {
        *self.misfortune.lock().unwrap() = misfortune;
    }

    /// Ends the streams that are open now.
    pub fn cut(&self) {
        std::mem::take(&mut *self.streams.lock().unwrap()).cancel();
    }

    pub fn patches(&self) -> usize {
        self.patches.load(Ordering::Relaxed)
    }
}

/// The way from a client to the server.
#[derive(Clone)]
struct Way {
    server: Server,
    fate: Arc<Fate>,
}

impl tower::Service<Request<kube::client::Body>> for Way {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let way = self.clone();
        Box::pin(async move { Ok(way.go(request).await) })
    }
}

impl Way {
    async fn go(&self, mut request: Request<kube::client::Body>) -> Response<Body> {
        if request.method() == Method::PATCH {
            self.fate.patches.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(answer) = self.suffer(&mut request) {
            return answer;
        }
        let user = Identity::master("system:test");
        request.extensions_mut().insert(user);
        let answer = self.server.answer(request).await;
        let cut = self.fate.streams.lock().unwrap().clone();
        answer.map(|body| {
            let until = async move { cut.cancelled().await };
            Body::from_stream(body.into_data_stream().take_until(Box::pin(until)))
        })
    }

    fn suffer(&self, request: &mut Request<kube::client::Body>) -> Option<Response<Body>> {
        let mut misfortune = self.fate.misfortune.lock().unwrap();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let streaming = query.contains("sendInitialEvents=true");
        match (*misfortune)? {
            Misfortune::Outage => Some(refusal(503, "ServiceUnavailable")),
            Misfortune::Blindness if query.contains("watch=true") => {
                Some(refusal(503, "ServiceUnavailable"))
            }
            Misfortune::ReadOnly if request.method() != Method::GET => {
                Some(refusal(403, "Forbidden"))
            }
            Misfortune::NoStreamingLists if streaming => Some(refusal(422, "Invalid")),
            Misfortune::DeafToStreamingLists if streaming => {
                let path = request.uri().path();
                let plain = format!("{path}?watch=true&resourceVersion=0");
                *request.uri_mut() = plain.parse().unwrap();
                None
            }
            Misfortune::Forgetful if query.contains("watch=true") && !streaming => {
                *misfortune = None;
                let event = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;
                Some(Response::new(Body::from(format!("{event}\n"))))
            }
            _ => None,
        }
    }
}

fn refusal(code: u16, reason: &str) -> Response<Body> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "misfortune", "reason": reason, "code": code
    });
    let answer = Response::builder()
        .status(code)
        .header("content-type", "application/json");
    answer.body(Body::from(status.to_string())).unwrap()
}
