//! The socket itself: peers that say nothing or half of it, and callers who are answered before they have said all.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use porch::{
    apiserver::{Authenticator, Certificate, Identity, Settings, Token, serve},
    certificate,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_rustls::TlsConnector;

use crate::toy::Widgets;

const HERE: &str = "/apis/toys.example/v1/namespaces/here/widgets";
/// In how many pieces a body is sent that nobody wants.
const PIECES: usize = 8;
/// How long a silent peer waits before it says that nobody hangs up. Only a test that fails takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a server and returns where it is and whom to believe.
async fn start() -> (SocketAddr, CertificateDer<'static>) {
    start_with(&Widgets::new()).await
}

/// Starts a server of these and returns where it is and whom to believe.
async fn start_with(widgets: &Arc<Widgets>) -> (SocketAddr, CertificateDer<'static>) {
    let known = Authenticator::new().with_token(Token::new("admin"), Identity::master("tester"));
    let settings = Settings {
        authenticator: known,
        body_limit: 1000,
        ..Settings::default()
    };
    let names = ["127.0.0.1".into()];
    let made =
        certificate::self_signed(&names, jiff::Timestamp::now(), Duration::from_hours(1)).unwrap();
    let chain = certificate::pem_chain(made.chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let root = chain[0].clone();
    let proof = Certificate::new(chain, key).unwrap();
    tokio::spawn(serve(listener, proof, widgets.server_with(settings)));
    (address, root)
}

fn config(root: CertificateDer<'static>, protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

/// Returns whether the other end hangs up on somebody who says no more.
fn is_hung_up(mut stream: impl Read) -> bool {
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

/// Says `words` over TLS, or nothing at all without a protocol; tells when that is done, then whether it is hung up on.
fn stall(
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    words: &str,
    said: oneshot::Sender<()>,
) -> bool {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let Some(tls) = tls else {
        said.send(()).unwrap();
        return is_hung_up(socket);
    };
    let name = "127.0.0.1".try_into().unwrap();
    let mut connection = ClientConnection::new(tls, name).unwrap();
    connection.complete_io(&mut socket).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    stream.write_all(words.as_bytes()).unwrap();
    stream.flush().unwrap();
    // Whoever reads the clock next must not be faster than what was sent.
    thread::sleep(Duration::from_millis(300));
    said.send(()).unwrap();
    is_hung_up(stream)
}

#[tokio::test]
async fn nobody_holds_a_connection_by_saying_nothing() {
    let cases = [
        (None, ""),
        (Some("http/1.1"), ""),
        (Some("http/1.1"), "GET /livez HTTP/1.1\r\nhost: x"),
        (Some("http/1.1"), "PRI * HTT"),
        (Some("h2"), ""),
        (Some("h2"), "PRI * HTTP/2.0\r\n"),
        (Some("h2"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ];
    let (address, root) = start().await;
    for (protocol, words) in cases {
        let tls = protocol.map(|protocol| config(root.clone(), protocol));
        let ((said, heard), (tell, told)) = (oneshot::channel(), oneshot::channel());
        let peer = thread::spawn(move || tell.send(stall(address, tls, words, said)));
        heard.await.unwrap();
        // From here on the clock runs as fast as nothing happens.
        tokio::time::pause();
        let hung_up = told.await.unwrap();
        tokio::time::resume();
        assert!(hung_up, "{protocol:?} {words:?}");
        peer.join().unwrap().unwrap();
    }
}

/// Opens a connection for HTTP/2.
async fn connect(
    address: SocketAddr,
    root: CertificateDer<'static>,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    let connector = TlsConnector::from(config(root, "h2"));
    connector.connect(name, socket).await.unwrap()
}

/// How kube-apiserver comes: one connection, watched by PINGs, for everybody behind it.
#[tokio::test]
async fn one_connection_carries_many_watches_and_its_pings_are_answered() {
    const WATCHES: usize = 150;
    let widgets = Widgets::new();
    let (address, root) = start_with(&widgets).await;
    let stream = TokioIo::new(connect(address, root).await);
    let shaken = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_millis(20))
        .keep_alive_timeout(PATIENCE)
        .keep_alive_while_idle(true)
        .handshake(stream);
    let (mut client, connection) = shaken.await.unwrap();
    tokio::spawn(connection);
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        let request = Request::get(format!("https://{address}{HERE}?watch=1"))
            .header("authorization", "Bearer admin")
            .body(Body::empty())
            .unwrap();
        client.ready().await.unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        watches.push(response.into_body());
    }
    widgets.put("here", "a", &serde_json::json!({}), "red");
    for mut watch in watches {
        let frame = watch.frame().await.unwrap().unwrap();
        let heard = frame.into_data().unwrap();
        assert!(heard.starts_with(b"{\"type\":\"ADDED\""), "{heard:?}");
    }
    // A PING without an answer would have ended the connection.
    client.ready().await.unwrap();
}

#[tokio::test]
async fn an_answer_over_http2_arrives_though_the_body_was_not_wanted() {
    let (address, root) = start().await;
    let stream = connect(address, root).await;
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    // More than a window holds, so that it can't all be on its way when the answer comes.
    let said = Arc::new(AtomicUsize::new(0));
    let pieces = || {
        let said = said.clone();
        said.store(0, Ordering::SeqCst);
        stream::iter(0..PIECES).map(move |_| {
            said.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65_536]))
        })
    };
    for (token, uri, code) in [
        ("admin", HERE, 413),
        ("wrong", HERE, 401),
        ("admin", "/apis/nowhere/v1/widgets", 404),
        ("admin", "/livez", 405),
    ] {
        let request = Request::post(format!("https://{address}{uri}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from_stream(pieces()))
            .unwrap();
        client.ready().await.unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status().as_u16(), code, "{token} {uri}");
        let told = response.into_body().collect().await.unwrap().to_bytes();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["code"], code, "{told}");
        // Clients that are cut off while they speak never look at the answer.
        assert_eq!(said.load(Ordering::SeqCst), PIECES, "{token} {uri}");
    }
}
