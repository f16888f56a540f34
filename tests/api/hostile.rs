//! Callers who mean no good, through a real socket: they get what is theirs, and hold up nobody else.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::callers::{ALICE, LIST, Rig};

/// How long tests wait for what must happen some time.
const PATIENCE: Duration = Duration::from_mins(2);

/// Returns a connection to the server, agreed upon, on which nothing was said yet.
async fn connect(rig: &Rig) -> TlsStream<TcpStream> {
    connect_by(rig, rustls::DEFAULT_VERSIONS, &[]).await
}

/// Returns such a connection, by some version of TLS and with these protocols offered.
async fn connect_by(
    rig: &Rig,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(rig.root.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(versions);
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    connector.connect(name, stream).await.unwrap()
}

/// Says something, and returns the first line of what is answered; nothing if the connection was closed.
async fn say(rig: &Rig, words: &[u8]) -> Option<String> {
    let mut stream = connect(rig).await;
    // Who is hung up on while it still talks sees no answer.
    let _ = stream.write_all(words).await;
    let mut answer = [0; 64];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await;
    let read = read.expect("an answer or an end").unwrap_or(0);
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    text.lines().next().map(String::from)
}

/// Checks that an honest caller is served.
async fn others_are_served(rig: &Rig) {
    let (code, text) = rig.ask(&rig.proxy(), ALICE, LIST).await;
    assert_eq!(code, 200, "{text}");
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_spoken() {
    let rig = Rig::start().await;
    for (version, name) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (offered, agreed) in [
            (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
            (&[b"http/1.1"], Some(b"http/1.1")),
            (&[], None),
        ] {
            let stream = connect_by(&rig, &[version], offered).await;
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(name));
            assert_eq!(session.alpn_protocol(), agreed);
        }
    }
}

#[tokio::test]
async fn what_is_said_twice_counts_once() {
    let rig = Rig::start().await;
    let bare = json!({});
    let named = |code: u16, text: &str, user: &str| {
        assert_eq!(code, 403, "{text}");
        assert!(text.contains(&format!("User \\\"{user}\\\"")), "{text}");
    };
    let twice = [
        ("x-remote-user", "bob"),
        ("x-remote-user", "alice"),
        ("x-remote-group", "people"),
    ];
    let (code, text) = rig.ask(&rig.proxy(), &twice, LIST).await;
    named(code, &text, "bob");
    // Nobody's token, though a master's follows; and alice's, whatever follows.
    let forged = [
        ("authorization", "Bearer forged"),
        ("authorization", "Bearer root's"),
    ];
    assert_eq!(rig.ask(&bare, &forged, LIST).await.0, 401);
    let real = [
        ("authorization", "Bearer alice's"),
        ("authorization", "Bearer root's"),
    ];
    let (code, text) = rig.ask(&bare, &real, "/metrics").await;
    named(code, &text, "alice");
    // Nobody becomes a master by a header that is not a group's.
    let odd = [
        ("x-remote-user", "bob"),
        ("x-remote-extra-groups", "system:masters"),
        ("x-remote-uid", "system:masters"),
    ];
    let (code, text) = rig.ask(&rig.proxy(), &odd, LIST).await;
    named(code, &text, "bob");
}

#[tokio::test]
async fn requests_that_are_too_large_or_lie_about_their_length_are_refused() {
    let rig = Rig::start().await;
    let head = "GET /livez HTTP/1.1\r\nhost: porch\r\n";
    assert_eq!(
        say(&rig, format!("{head}\r\n").as_bytes()).await.as_deref(),
        Some("HTTP/1.1 200 OK")
    );
    let one = format!("{head}x: {}\r\n\r\n", "a".repeat(2 << 20));
    let many = format!("{head}{}\r\n", "x: y\r\n".repeat(5000));
    let path = format!(
        "GET /{} HTTP/1.1\r\nhost: porch\r\n\r\n",
        "a".repeat(2 << 20)
    );
    let lengths =
        "POST /livez HTTP/1.1\r\nhost: porch\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
    let nonsense = "\u{1}\u{2}\u{3}\r\n\r\n";
    for (what, words) in [
        ("one header of 2 MiB", &*one),
        ("5,000 headers", &many),
        ("a path of 2 MiB", &path),
        ("two lengths", lengths),
        ("nonsense", nonsense),
    ] {
        let answer = say(&rig, words.as_bytes()).await;
        let refused = answer
            .as_deref()
            .is_none_or(|line| line.starts_with("HTTP/1.1 4"));
        assert!(refused, "{what}: {answer:?}");
        others_are_served(&rig).await;
    }
}

/// Reads until the server closes the connection; whatever it says before counts for nothing.
async fn until_closed(mut stream: impl AsyncReadExt + Unpin) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn who_says_nothing_or_almost_nothing_is_hung_up_on_and_holds_up_nobody() {
    let rig = Rig::start().await;
    let mut ends: Vec<futures::future::BoxFuture<'_, &str>> = Vec::new();
    for _ in 0..20 {
        let silent = TcpStream::connect(rig.address).await.unwrap();
        ends.push(Box::pin(async {
            until_closed(silent).await;
            "who does not even begin TLS"
        }));
        let mute = connect(&rig).await;
        ends.push(Box::pin(async {
            until_closed(mute).await;
            "who says nothing"
        }));
        let mut begun = connect(&rig).await;
        begun
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        ends.push(Box::pin(async {
            until_closed(begun).await;
            "who says nothing after the preface of HTTP/2"
        }));
        let (reading, mut writing) = tokio::io::split(connect(&rig).await);
        ends.push(Box::pin(async move {
            let trickle = async {
                for byte in "GET /livez HTTP/1.1\r\nx: "
                    .bytes()
                    .chain(std::iter::repeat(b'y'))
                {
                    if writing.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    let _ = writing.flush().await;
                    sleep(Duration::from_millis(500)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = trickle => {}
                () = until_closed(reading) => {}
            }
            "who trickles"
        }));
    }
    others_are_served(&rig).await;
    let ended = timeout(PATIENCE, join_all(ends)).await;
    assert_eq!(ended.expect("all of them are hung up on").len(), 80);
    others_are_served(&rig).await;
}

#[tokio::test]
async fn a_thousand_idle_connections_hold_up_nobody() {
    porch::wiring::allow_many_files();
    let rig = Rig::start().await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(connect(&rig).await);
    }
    others_are_served(&rig).await;
    // They are as good as any other, when they have something to say.
    let last = idle.last_mut().unwrap();
    last.write_all(b"GET /livez HTTP/1.1\r\nhost: porch\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 15];
    last.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn watchers_who_never_read_hold_up_nobody() {
    let rig = Rig::start().await;
    let words = format!(
        "GET {LIST}?watch=1 HTTP/1.1\r\nhost: porch\r\nauthorization: Bearer root's\r\n\r\n"
    );
    let mut never = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&rig).await;
        stream.write_all(words.as_bytes()).await.unwrap();
        never.push(stream);
    }
    let mut reads = connect(&rig).await;
    reads.write_all(words.as_bytes()).await.unwrap();
    let all = tokio::spawn(until_told(reads, b"\"name\":\"last\""));
    let filling = "z".repeat(10_000);
    for number in 0..1000 {
        let label = json!({ "number": number.to_string(), "filling": filling });
        rig.widgets.put("a", "one", &label, "red");
        sleep(Duration::from_millis(1)).await;
        if number % 100 == 0 {
            others_are_served(&rig).await;
        }
    }
    rig.widgets.put("a", "last", &json!({}), "red");
    let told = timeout(PATIENCE, all).await;
    told.expect("who reads is told all").unwrap();
}

/// Reads until some words were read.
async fn until_told(mut stream: impl AsyncReadExt + Unpin, words: &[u8]) {
    let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the stream ended");
        text.extend_from_slice(&buffer[..read]);
        if text.windows(words.len()).any(|it| it == words) {
            return;
        }
        text.drain(..text.len().saturating_sub(words.len()));
    }
}
