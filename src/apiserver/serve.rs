//! The socket: TLS, HTTP/1.1 and HTTP/2, limits of time, and an end that cuts nobody off.
//!
//! In comes a listener and what proves who this server is; out goes nothing until it is told to stop. It knows no paths.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::ResolvesServerCert,
    sign::CertifiedKey,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::{Server, opening::Opening, peer};

/// How long a peer may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a peer may take to send the head of a request.
const HEADERS: Duration = Duration::from_secs(32);
/// How often a silent HTTP/2 peer is asked whether it lives.
const PING: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PONG: Duration = Duration::from_secs(15);
/// How many requests one connection may have under way: the aggregator sends everybody's over a few.
const STREAMS: u32 = 1000;
/// How many bytes one request or connection may have on the way before they are read.
const WINDOW: u32 = 256 * 1024;
/// How long requests may still take when the server stops.
const GRACE: Duration = Duration::from_mins(1);
/// How many connections there may be; beyond it new ones wait.
const CONNECTIONS: usize = 10_000;
/// How long the listener rests when it can't accept, so that it does not spin while the system has no file to give.
const REST: Duration = Duration::from_millis(100);

/// What proves who this server is; may be replaced while it serves.
pub struct Certificate(ArcSwap<CertifiedKey>);

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the serving certificate can't be used: {0}")]
pub struct Unusable(rustls::Error);

impl Certificate {
    /// Returns the certificate `chain` (its own first) with its private key.
    ///
    /// # Errors
    /// [`Unusable`] if they don't belong together, or the key is of an unknown kind.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<Self>, Unusable> {
        Ok(Arc::new(Self(ArcSwap::from(certified(chain, key)?))))
    }

    /// Replaces the certificate: connections that begin from now on see the new one.
    ///
    /// # Errors
    /// As [`Certificate::new`]; then the old one stays.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), Unusable> {
        self.0.store(certified(chain, key)?);
        Ok(())
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, Unusable> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = CertifiedKey::from_der(chain, key, &provider).map_err(Unusable)?;
    Ok(Arc::new(certified))
}

/// Serves on `listener` until the server's stop is cancelled; then waits for what is under way, but not forever.
///
/// # Errors
/// If TLS can't be set up at all.
pub async fn serve(
    listener: TcpListener,
    certificate: Arc<Certificate>,
    server: Server,
) -> io::Result<()> {
    let acceptor = acceptor(certificate)?;
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let stop = server.stop().clone();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        let (stream, peer, seat) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let (acceptor, server) = (acceptor.clone(), server.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _seat = seat;
            let Some(stream) = shake_hands(&acceptor, stream, peer).await else {
                return;
            };
            let shown = peer::shown(&stream);
            let service = TowerToHyperService::new(peer::telling(server, shown));
            let builder = builder();
            let stream = TokioIo::new(Opening::within(HEADERS, stream));
            let connection = builder.serve_connection(stream, service);
            if let Err(error) = watcher.watch(connection.into_owned()).await {
                tracing::debug!(%peer, error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still under way when the server stopped");
    }
    Ok(())
}

type Seat = tokio::sync::OwnedSemaphorePermit;

async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, Seat)> {
    let seat = seats.clone().acquire_owned().await;
    let seat = seat.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, seat))
}

async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS could not be agreed on");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS took too long");
            None
        }
    }
}

fn acceptor(certificate: Arc<Certificate>) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(peer::AnyClient::new())
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}
