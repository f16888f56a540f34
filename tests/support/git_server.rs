//! A real Git server for tests: smart HTTP by `git http-backend`, on loopback, with or without TLS and credentials.
//!
//! What it serves are the bare repositories below a directory. It can count, refuse, delay and speak the old protocol
//! only, so that clients meet what they meet in the world.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::TryStreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// How a server behaves; can be changed while it runs.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The `Authorization` header that opens it; nothing opens it to all.
    pub authorization: Option<String>,
    /// Whether protocol 2 is refused: only the original one is spoken.
    pub old_protocol: bool,
    /// Every request is answered with this status.
    pub status: Option<u16>,
    /// The `Retry-After` header of answers with `status`.
    pub retry_after: Option<String>,
    /// Answers to what asks for a pack are these bytes.
    pub pack: Option<Vec<u8>>,
    /// Answers to what asks for refs are these bytes.
    pub refs: Option<Vec<u8>>,
    /// After so many bytes, answers to `git-upload-pack` say nothing more and do not end.
    pub hang_after: Option<usize>,
    /// Answers to `git-upload-pack` are sent byte for byte, with this pause between.
    pub trickle: Option<Duration>,
    /// Done in this directory by git, once, before a pack that was asked for is made.
    pub before_pack: Option<(PathBuf, Vec<String>)>,
    /// Every answer waits this long.
    pub delay: Option<Duration>,
    /// Answers to `git-upload-pack` end after so many bytes.
    pub cut_after: Option<usize>,
    /// Every `info/refs` is redirected to this prefix (scheme, host and repository path).
    pub redirect: Option<String>,
    /// Every request is answered with these bytes and status 200.
    pub garbage: Option<Vec<u8>>,
    /// Every push is answered with this status and these bytes, and not done.
    pub push: Option<(u16, Vec<u8>)>,
    /// Whoever may read may not write: all that concerns pushes is answered with 403.
    pub read_only: bool,
    /// Pushes are done, then the connection ends before the answer.
    pub push_lost: bool,
    /// Pushes are done, then their answers wait this long.
    pub push_late: Option<Duration>,
    /// Pushes are answered with 504 at once, and done so much later, as behind a proxy that gave up.
    pub push_held: Option<Duration>,
}

/// A running server; it ends when dropped.
pub struct GitServer {
    address: SocketAddr,
    ca: Option<String>,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Connections>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// How many connections there were, and are.
#[derive(Default)]
struct Connections {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

#[derive(Clone)]
struct Served {
    root: Arc<PathBuf>,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    /// Serves the repositories below `root` over plain HTTP.
    pub fn http(root: &Path) -> Self {
        Self::start(root, false)
    }

    /// Serves the repositories below `root` over TLS, with a certificate of its own authority: see [`Self::ca`].
    pub fn https(root: &Path) -> Self {
        Self::start(root, true)
    }

    /// Returns the URL of a repository.
    pub fn url(&self, repository: &str) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}/{repository}", self.address.port())
    }

    /// Returns the authority's certificate (PEM).
    pub fn ca(&self) -> Option<Vec<u8>> {
        self.ca.clone().map(String::into_bytes)
    }

    /// Changes how the server behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// Returns what was asked since the last call: method, path and query, one line each.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// Returns how many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.opened.load(Ordering::SeqCst)
    }

    /// Returns how many connections are open.
    pub fn open_connections(&self) -> usize {
        let closed = self.connections.closed.load(Ordering::SeqCst);
        self.connections() - closed
    }

    fn start(root: &Path, tls: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (behaviour, requests) = <(Arc<Mutex<Behaviour>>, Arc<Mutex<Vec<String>>>)>::default();
        let served = Served {
            root: Arc::new(root.canonicalize().unwrap()),
            behaviour: behaviour.clone(),
            requests: requests.clone(),
        };
        let router = Router::new().fallback(answer).with_state(served);
        let (acceptor, ca) = if tls { identity() } else { (None, None) };
        let connections = Arc::<Connections>::default();
        runtime.spawn(accept(listener, router, acceptor, connections.clone()));
        Self {
            address,
            ca,
            behaviour,
            requests,
            connections,
            runtime: Some(runtime),
        }
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Identity = (Option<tokio_rustls::TlsAcceptor>, Option<String>);

/// Makes an authority and a certificate for `localhost`.
fn identity() -> Identity {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    (Some(acceptor), Some(authority_certificate.pem()))
}

async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    connections: Arc<Connections>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        connections.opened.fetch_add(1, Ordering::SeqCst);
        let (router, acceptor) = (router.clone(), acceptor.clone());
        let connections = connections.clone();
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, router).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, router).await;
                    }
                }
            }
            connections.closed.fetch_add(1, Ordering::SeqCst);
        });
    }
}

async fn serve<S>(stream: S, router: Router)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper_util::service::TowerToHyperService::new(router);
    let stream = hyper_util::rt::TokioIo::new(stream);
    let _ = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new())
        .serve_connection(stream, service)
        .await;
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    served.requests.lock().unwrap().push(line);
    let behaviour = served.behaviour.lock().unwrap().clone();
    if let Some(delay) = behaviour.delay {
        tokio::time::sleep(delay).await;
    }
    if let Some(status) = behaviour.status {
        let mut response = (StatusCode::from_u16(status).unwrap(), "no").into_response();
        if let Some(after) = &behaviour.retry_after {
            let headers = response.headers_mut();
            headers.insert("retry-after", after.parse().unwrap());
        }
        return response;
    }
    let is_push = request.method() == "POST" && request.uri().path().ends_with("/git-receive-pack");
    if let Some(bytes) = behaviour
        .garbage
        .clone()
        .filter(|_| !is_push || behaviour.push.is_none())
    {
        return bytes.into_response();
    }
    if let Some(prefix) = &behaviour.redirect
        && let Some(rest) = request.uri().to_string().split_once("/info/refs")
        && !prefix.ends_with(rest.0)
    {
        let location = format!("{prefix}/info/refs{}", rest.1);
        return (StatusCode::MOVED_PERMANENTLY, [("location", location)]).into_response();
    }
    if behaviour
        .authorization
        .as_deref()
        .is_some_and(|wanted| header(request.headers(), "authorization") != wanted)
    {
        let challenge = [("www-authenticate", "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "who are you?").into_response();
    }
    if behaviour.read_only && request.uri().to_string().contains("git-receive-pack") {
        return (StatusCode::FORBIDDEN, "not you").into_response();
    }
    match behaviour.push.clone().filter(|_| is_push) {
        Some((status, bytes)) => (StatusCode::from_u16(status).unwrap(), bytes).into_response(),
        // A push goes on when its caller is gone, as in the world.
        None if is_push => {
            let root = served.root.clone();
            let done = tokio::spawn(async move { pushed(&root, &behaviour, request).await });
            done.await.unwrap()
        }
        None => read(&served, &behaviour, request).await,
    }
}

/// Answers what reads, as the behaviour wants it for what is asked.
async fn read(served: &Served, behaviour: &Behaviour, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let is_packed = header(&parts.headers, "content-encoding") == "gzip";
    let asked = if is_packed {
        let mut asked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&bytes[..]);
        std::io::Read::read_to_end(&mut decoder, &mut asked).unwrap();
        asked
    } else {
        bytes.to_vec()
    };
    let asks = |words: &[u8]| asked.windows(words.len()).any(|it| it == words);
    if asks(b"command=ls-refs")
        && let Some(refs) = &behaviour.refs
    {
        return refs.clone().into_response();
    }
    if asks(b"want ") {
        let before = served.behaviour.lock().unwrap().before_pack.take();
        if let Some((directory, arguments)) = before {
            // It may take long, and others are served meanwhile.
            let deed = move || {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                git(&directory, &arguments);
            };
            tokio::task::spawn_blocking(deed).await.unwrap();
        }
        if let Some(pack) = &behaviour.pack {
            return pack.clone().into_response();
        }
    }
    let is_post = parts.method == "POST";
    let response = backend(
        &served.root,
        behaviour,
        Request::from_parts(parts, Body::from(bytes)),
    )
    .await;
    if is_post {
        slowed(behaviour, response).await
    } else {
        response
    }
}

/// Sends an answer slower than it is there.
async fn slowed(behaviour: &Behaviour, response: Response) -> Response {
    if behaviour.hang_after.is_none() && behaviour.trickle.is_none() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let (sent, pause) = (behaviour.hang_after, behaviour.trickle);
    let pieces: Vec<Vec<u8>> = match sent {
        Some(sent) => vec![bytes[..sent.min(bytes.len())].to_vec()],
        None => bytes.iter().map(|byte| vec![*byte]).collect(),
    };
    let stream = futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let Some(piece) = pieces.next() else {
            if sent.is_some() {
                std::future::pending::<()>().await;
            }
            return None;
        };
        tokio::time::sleep(pause.unwrap_or_default()).await;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    Response::from_parts(parts, Body::from_stream(stream))
}

/// Lets a push be done, and gives or loses the answer.
async fn pushed(root: &Path, behaviour: &Behaviour, request: Request) -> Response {
    if let Some(held) = behaviour.push_held {
        return hold(root, behaviour, request, held).await;
    }
    let response = backend(root, behaviour, request).await;
    if behaviour.push_lost || behaviour.push_late.is_some() {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        tokio::time::sleep(behaviour.push_late.unwrap_or_default()).await;
        if behaviour.push_lost {
            let lost = futures::stream::iter([Err::<Vec<u8>, _>("the line is dead")]);
            return Response::from_parts(parts, Body::from_stream(lost));
        }
        return Response::from_parts(parts, Body::from(bytes));
    }
    response
}

/// Takes a push and lets it be done later.
async fn hold(root: &Path, behaviour: &Behaviour, request: Request, held: Duration) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let (root, behaviour) = (root.to_path_buf(), behaviour.clone());
    tokio::spawn(async move {
        tokio::time::sleep(held).await;
        let request = Request::from_parts(parts, Body::from(bytes));
        let response = backend(&root, &behaviour, request).await;
        let _ = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    });
    (StatusCode::GATEWAY_TIMEOUT, "no answer").into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Runs `git http-backend` for one request.
async fn backend(root: &Path, behaviour: &Behaviour, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("CONTENT_TYPE", header(&parts.headers, "content-type"))
        .env(
            "HTTP_CONTENT_ENCODING",
            header(&parts.headers, "content-encoding"),
        )
        .env("REMOTE_USER", "user")
        .env("REMOTE_ADDR", "127.0.0.1")
        .envs(configuration(&[
            ("http.receivepack", "true"),
            ("safe.directory", "*"),
        ]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if !behaviour.old_protocol {
        command.env("GIT_PROTOCOL", header(&parts.headers, "git-protocol"));
    }
    let length = header(&parts.headers, "content-length");
    if !length.is_empty() {
        command.env("CONTENT_LENGTH", length);
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move {
        let mut body = body.into_data_stream();
        while let Ok(Some(bytes)) = body.try_next().await {
            if stdin.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    let stdout = BufReader::with_capacity(1 << 16, child.stdout.take().unwrap());
    let cut = behaviour.cut_after.filter(|_| parts.method == "POST");
    respond(stdout, child, cut).await
}

/// Returns settings for `git` as environment variables.
fn configuration(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = vec![("GIT_CONFIG_COUNT".to_string(), settings.len().to_string())];
    for (number, (key, value)) in settings.iter().enumerate() {
        all.push((format!("GIT_CONFIG_KEY_{number}"), (*key).to_string()));
        all.push((format!("GIT_CONFIG_VALUE_{number}"), (*value).to_string()));
    }
    all
}

/// Turns what the program says into a response, as CGI asks.
async fn respond(
    mut stdout: BufReader<tokio::process::ChildStdout>,
    child: tokio::process::Child,
    cut: Option<usize>,
) -> Response {
    let mut response = Response::builder();
    let mut status = 200;
    let mut line = String::new();
    while stdout.read_line(&mut line).await.unwrap_or(0) > 0 {
        let Some((key, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        if key.eq_ignore_ascii_case("status") {
            status = value[..3].parse().unwrap();
        } else {
            response = response.header(key, value);
        }
        line.clear();
    }
    let limit = cut.map_or(u64::MAX, |bytes| bytes as u64);
    // The child lives as long as its output is read.
    let bytes = futures::stream::unfold((stdout.take(limit), child), |(mut stdout, child)| async {
        let mut piece = Vec::with_capacity(1 << 16);
        match stdout.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece), (stdout, child))),
            Err(error) => Some((Err(error), (stdout, child))),
        }
    });
    response
        .status(status)
        .body(Body::from_stream(bytes))
        .unwrap()
}

/// Runs git on the command line, deaf to the machine's own configuration, and returns what it prints.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = git_command(directory).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs git in a directory on what it reads from its standard input.
pub fn git_fed(directory: &Path, arguments: &[&str], input: &str) {
    let mut child = git_command(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "git {arguments:?}");
}

/// Returns a git command with a fixed author and no configuration but its own.
pub fn git_command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "A U Thor")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_COMMITTER_NAME", "C O Mitter")
        .env("GIT_COMMITTER_EMAIL", "committer@example.com")
        .envs(configuration(&[
            ("init.defaultBranch", "main"),
            ("safe.directory", "*"),
            ("protocol.file.allow", "always"),
            ("gc.auto", "0"),
        ]));
    command
}
