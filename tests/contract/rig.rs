//! A server to examine, with a handle to make trouble: its connections can be cut, its cache can begin anew, and it can be
//! started anew over the same records.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::{Client, Config, CustomResourceExt};
use porch::{
    api::{PackageRev, Repository},
    apiserver::{Authenticator, Certificate, Identity, Registry, Server, Settings, Token, serve},
    cache::Catalog,
    standalone::{ControlPlane, Definition, Persistence},
    sync::{Feed, Mirrors},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{engine, subject::Subject};

/// So short a history that followers fall off its end.
const HISTORY: usize = 200;
const TOKEN: &str = "a token";

/// One life of the server.
struct Life {
    server: Server,
    catalog: Catalog,
    feeding: JoinHandle<()>,
    stop: CancellationToken,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.stop.cancel();
        self.feeding.abort();
    }
}

/// The control plane, and the server over it.
pub struct Rig {
    plane: ControlPlane,
    life: Arc<ArcSwap<Life>>,
    /// Moves when all connections are to be cut.
    cuts: watch::Sender<()>,
    sockets: Sockets,
}

/// The sockets that were opened.
type Sockets = Arc<Mutex<Vec<Socket>>>;

/// A socket that outlives the server behind it.
struct Socket {
    address: SocketAddr,
    certificate: Arc<Certificate>,
    serving: JoinHandle<()>,
}

impl Socket {
    /// Serves on an address; the port may be chosen by the system.
    async fn open(address: SocketAddr, certificate: Arc<Certificate>, server: Server) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let proof = certificate.clone();
        let serving = async move { serve(listener, proof, server).await.unwrap() };
        Self {
            address,
            certificate,
            serving: tokio::spawn(serving),
        }
    }
}

/// What a client must know to come through a socket.
pub struct Opened {
    pub address: SocketAddr,
    /// The certificate that is to be believed.
    pub root: Vec<u8>,
    pub token: &'static str,
}

/// What can go wrong, for tests to make it so.
pub struct Trouble {
    plane: ControlPlane,
    life: Arc<ArcSwap<Life>>,
    cuts: watch::Sender<()>,
    sockets: Sockets,
}

impl Trouble {
    /// Cuts every connection that has a body under way.
    pub fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// Has the cache begin anew, so that history is lost.
    pub fn relist(&self) {
        let catalog = &self.life.load().catalog;
        catalog
            .revisions()
            .replace(catalog.revisions().snapshot().objects, catalog.seen());
    }

    /// Starts the server anew: nothing is left but the records.
    pub async fn restart(&self) {
        let next = Life::begin(&self.plane, CancellationToken::new()).await;
        let server = next.server.clone();
        let last = self.life.swap(Arc::new(next));
        last.stop.cancel();
        let sockets = std::mem::take(&mut *self.sockets.lock().unwrap());
        for socket in sockets {
            socket.serving.await.unwrap();
            let again = Socket::open(socket.address, socket.certificate, server.clone()).await;
            self.sockets.lock().unwrap().push(again);
        }
    }
}

impl Life {
    async fn begin(plane: &ControlPlane, stop: CancellationToken) -> Self {
        let client = plane.client();
        let catalog = Catalog::new(HISTORY);
        let feed = Feed::new(client.clone(), catalog.clone(), "default");
        let mirrors = Mirrors::new(std::env::temp_dir().join("porch-no-mirrors"));
        let registry = plane.register(Registry::new());
        let registry = engine::serve(registry, &client, &feed, &mirrors);
        let feeding = tokio::spawn(async move { feed.run().await });
        catalog.until_ready().await;
        let authenticator =
            Authenticator::new().with_token(Token::new(TOKEN), Identity::master("admin"));
        let settings = Settings {
            authenticator,
            stop: stop.clone(),
            ..Settings::default()
        };
        Self {
            server: Server::new(registry, settings),
            catalog,
            feeding,
            stop,
        }
    }
}

impl Rig {
    pub async fn start() -> Self {
        let definitions = [Repository::crd(), PackageRev::crd()];
        let definitions = definitions
            .iter()
            .map(|crd| Definition::custom(crd).unwrap());
        let plane = ControlPlane::start(Persistence::Memory, definitions.collect(), &[]).await;
        let plane = plane.unwrap();
        let life = Life::begin(&plane, CancellationToken::new()).await;
        Self {
            plane,
            life: Arc::new(ArcSwap::from_pointee(life)),
            cuts: watch::Sender::new(()),
            sockets: Sockets::default(),
        }
    }

    pub fn trouble(&self) -> Trouble {
        Trouble {
            plane: self.plane.clone(),
            life: self.life.clone(),
            cuts: self.cuts.clone(),
            sockets: self.sockets.clone(),
        }
    }

    /// Returns the server as those in the same process see it.
    pub fn subject(&self) -> Subject {
        let (life, cuts) = (self.life.clone(), self.cuts.subscribe());
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (server, cuts) = (life.load().server.clone(), cuts.clone());
            async move {
                let mut request = request;
                request.extensions_mut().insert(Identity::master("test"));
                let answered = server.answer(request).await;
                Ok::<_, std::convert::Infallible>(cutting(answered, cuts))
            }
        });
        self.examine(Client::new(service, "default"))
    }

    /// Opens a socket, and returns the server as those see it who come through that.
    pub async fn listen(&self) -> Subject {
        let opened = self.open().await;
        self.examine(connect(opened.address, opened.root))
    }

    /// Opens a socket.
    pub async fn open(&self) -> Opened {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        let root = made.cert.der().to_vec();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let certificate = Certificate::new(vec![made.cert.der().clone()], key).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let server = self.life.load().server.clone();
        let socket = Socket::open(any, certificate, server).await;
        let address = socket.address;
        self.sockets.lock().unwrap().push(socket);
        Opened {
            address,
            root,
            token: TOKEN,
        }
    }

    /// Ends all sockets, and waits until they have ended.
    pub async fn stop(&self) {
        self.life.load().stop.cancel();
        let sockets = std::mem::take(&mut *self.sockets.lock().unwrap());
        for socket in sockets {
            socket.serving.await.unwrap();
        }
    }

    fn examine(&self, client: Client) -> Subject {
        Subject {
            client,
            records: self.plane.client(),
            namespace: "default".into(),
        }
    }
}

fn connect(address: SocketAddr, root: Vec<u8>) -> Client {
    // Some other test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut config = Config::new(format!("https://{address}").parse().unwrap());
    config.root_cert = Some(vec![root]);
    config.auth_info.token = Some(TOKEN.to_owned().into());
    Client::try_from(config).unwrap()
}

/// Returns the response with a body that fails when connections are cut.
fn cutting(response: Response<Body>, mut cuts: watch::Receiver<()>) -> Response<Body> {
    cuts.mark_unchanged();
    let (parts, body) = response.into_parts();
    let state = (body, cuts);
    let stream = futures::stream::unfold(Some(state), |state| async move {
        let (mut body, mut cuts) = state?;
        tokio::select! {
            biased;
            _ = cuts.changed() => {
                let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                Some((Err(axum::Error::new(cut)), None))
            }
            frame = body.frame() => {
                let data = frame?.map(|frame| frame.into_data().unwrap_or_default());
                Some((data, Some((body, cuts))))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(stream))
}
