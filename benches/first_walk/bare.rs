//! The bare thing beside a LIST: the same bytes from memory over the same TLS, and nothing else.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use porch::certificate::{pem_chain, self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_rustls::TlsAcceptor;

/// Something that answers every request with the same bytes.
pub struct Bare {
    runtime: Runtime,
    client: Client,
}

impl Bare {
    /// Starts to serve these bytes.
    pub fn start(bytes: String) -> Self {
        let names = ["127.0.0.1".into()];
        let made = self_signed(&names, jiff::Timestamp::now(), Duration::from_hours(1)).unwrap();
        let chain = pem_chain(made.chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
        let root = chain[0].to_vec();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        runtime.spawn(serve(listener, acceptor, bytes.into()));
        let client = runtime.block_on(async { client(address, root) });
        Self { runtime, client }
    }

    /// Returns the bytes, as they come over the wire.
    pub fn get(&self) -> String {
        let request = Request::get("/").body(Vec::new()).unwrap();
        self.runtime
            .block_on(self.client.request_text(request))
            .unwrap()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, bytes: Bytes) {
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, bytes) = (acceptor.clone(), bytes.clone());
        tokio::spawn(async move {
            socket.set_nodelay(true).unwrap();
            let stream = acceptor.accept(socket).await.unwrap();
            let answer = service_fn(move |_: Request<Incoming>| {
                let body = Full::new(bytes.clone());
                async move { Ok::<_, Infallible>(Response::new(body)) }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn client(address: SocketAddr, root: Vec<u8>) -> Client {
    let mut config = Config::new(format!("https://{address}").parse().unwrap());
    config.root_cert = Some(vec![root]);
    Client::try_from(config).unwrap()
}
