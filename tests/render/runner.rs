//! The client of a function runner against a real server: what it asks and answers, and every way in which a server can fail.

use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use porch::{
    package::Files,
    render::{
        Audience, Functions, Options, Rendered,
        elsewhere::{
            ElsewhereError, EvaluateFunctionRequest as Asked, EvaluateFunctionResponse as Answer,
            Evaluated, PATH, Runner, RunnerLimits,
        },
        render,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use crate::EMPTY;

/// A greeting in HTTP/2 and then, to the first stream, half a frame.
const HALF: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x20\x01\x04\0\0\0\x01half";

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A server that does what the image says.
#[derive(Clone, Default)]
struct Faulty {
    /// Whether it was called.
    called: Arc<AtomicBool>,
    /// Whether a call was given up.
    given_up: Arc<AtomicBool>,
}

/// Notes that it is dropped.
struct Witness(Arc<AtomicBool>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl NamedService for Faulty {
    const NAME: &'static str = "evaluator.FunctionEvaluator";
}

impl tower::Service<http::Request<Body>> for Faulty {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let me = self.clone();
        Box::pin(async move {
            assert_eq!(request.uri().path(), PATH);
            let codec = ProstCodec::<Answer, Asked>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(64 << 20);
            Ok(grpc.unary(me, request).await)
        })
    }
}

impl UnaryService<Asked> for Faulty {
    type Response = Answer;
    type Future = Later<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let asked = request.into_inner();
        let answer = |resource_list: Vec<u8>| {
            let log = b"said".to_vec();
            Ok(Response::new(Answer { resource_list, log }))
        };
        let given_up = Witness(self.given_up.clone());
        self.called.store(true, Relaxed);
        let name = asked.image.rsplit('/').next().unwrap();
        match name.split(':').next().unwrap() {
            "marks" => {
                let text = String::from_utf8(asked.resource_list).unwrap();
                let marked = text.replace(
                    "  kind: ConfigMap\n",
                    "  kind: ConfigMap\n  immutable: true\n",
                );
                Box::pin(ready(answer(marked.into_bytes())))
            }
            "hangs" => Box::pin(async move {
                let _given_up = given_up;
                pending().await
            }),
            "fails" => Box::pin(ready(Err(Status::internal("no good")))),
            "missing" => Box::pin(ready(Err(Status::not_found(
                "function \"missing\" not found",
            )))),
            "panics" => Box::pin(async { panic!("on purpose") }),
            "large" => Box::pin(ready(answer(vec![b'x'; 2 << 20]))),
            "binary" => Box::pin(ready(answer(vec![0xff]))),
            _ => Box::pin(ready(answer(asked.resource_list))),
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn serve(faulty: Faulty) -> SocketAddr {
    let (listener, address) = listen().await;
    let server = Server::builder().add_service(faulty);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

/// A server that reads a little, answers with these bytes and hangs up.
async fn wrong(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1 << 10]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

fn runner(address: SocketAddr) -> Runner {
    let limits = RunnerLimits {
        time: Duration::from_secs(1),
        message: 1 << 20,
    };
    Runner::new(&address.to_string(), limits).unwrap()
}

#[tokio::test]
async fn a_good_one_gets_the_list_and_gives_one_back() {
    let runner = runner(serve(Faulty::default()).await);
    let answer = runner.evaluate("echoes", EMPTY.into()).await.unwrap();
    let (list, log) = (EMPTY.to_string(), "said".to_string());
    assert_eq!(answer, Evaluated { list, log });
}

#[tokio::test]
async fn each_failure_is_told_for_what_it_is_and_the_next_call_works() {
    let runner = runner(serve(Faulty::default()).await);
    let head = |image: &str, code: &str| {
        format!("func eval {image:?} failed: rpc error: code = {code} desc = ")
    };
    let begun = Instant::now();
    let mut told = Vec::new();
    for image in ["fails", "missing", "hangs", "large", "binary"] {
        told.push(runner.evaluate(image, EMPTY.into()).await.unwrap_err());
        let next = runner.evaluate("echoes", EMPTY.into()).await;
        assert!(next.is_ok(), "after {image}: {next:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    let words = head("fails", "Internal") + "no good";
    assert!(
        matches!(&told[0], ElsewhereError::Failed { words: told, list: None, .. } if *told == words),
        "{:?}",
        told[0]
    );
    let words = head("missing", "NotFound") + "function \"missing\" not found";
    assert_eq!(told[1], ElsewhereError::NotFound(words));
    assert!(
        matches!(&told[2], ElsewhereError::TimedOut(words) if words.starts_with(&head("hangs", "DeadlineExceeded"))),
        "{:?}",
        told[2]
    );
    assert!(
        matches!(&told[3], ElsewhereError::TooLarge(words) if words.contains("large")),
        "{:?}",
        told[3]
    );
    assert!(
        matches!(&told[4], ElsewhereError::Failed { .. }),
        "{:?}",
        told[4]
    );
}

#[tokio::test]
async fn too_much_is_not_even_sent() {
    let runner = runner(serve(Faulty::default()).await);
    let told = runner
        .evaluate("echoes", "x".repeat(2 << 20))
        .await
        .unwrap_err();
    assert!(matches!(told, ElsewhereError::TooLarge(_)), "{told:?}");
}

#[tokio::test]
async fn the_runner_hears_that_the_caller_went_away() {
    let faulty = Faulty::default();
    let runner = runner(serve(faulty.clone()).await);
    let call = runner.evaluate("hangs", EMPTY.into());
    let given_up = tokio::time::timeout(Duration::from_millis(300), call).await;
    assert!(given_up.is_err());
    for _ in 0..100 {
        if faulty.given_up.load(Relaxed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the runner still works for nobody");
}

#[tokio::test]
async fn one_that_is_not_there_dies_or_speaks_something_else_is_unavailable() {
    let (listener, nobody) = listen().await;
    drop(listener);
    for (name, address) in [
        ("nobody", nobody),
        ("hangs up", wrong(b"").await),
        (
            "HTTP/1.1",
            wrong(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await,
        ),
        ("noise", wrong(&[0x5a; 4096]).await),
        ("half", wrong(HALF).await),
    ] {
        let begun = Instant::now();
        let told = runner(address).evaluate("f", EMPTY.into()).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
        assert!(
            matches!(&told, Err(ElsewhereError::Unavailable(words)) if words.contains("rpc error: code = ")),
            "{name}: {told:?}"
        );
    }
}

/// Returns a package with a function of this image.
fn package(image: &str) -> Files {
    let kptfile = format!(
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: p\npipeline:\n  mutators:\n  - image: example.com/x/{image}:v1\n"
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m # ours\n";
    [("Kptfile", kptfile.as_str()), ("m.yaml", map)]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into()
}

/// Renders a package with the functions of a server.
async fn rendered(address: SocketAddr, image: &str, audience: Audience) -> Rendered {
    let runner = runner(address);
    let files = package(image);
    let handle = tokio::runtime::Handle::current();
    let rendering = tokio::task::spawn_blocking(move || {
        let functions = Functions::new("", None, Some(runner), handle);
        let options = Options {
            audience,
            ..Options::default()
        };
        render(&files, &functions.current(), &options)
    });
    rendering.await.unwrap()
}

#[tokio::test]
async fn a_render_is_what_a_runner_makes_of_it_or_says_why_not() {
    let address = serve(Faulty::default()).await;
    let made = rendered(address, "marks", Audience::default()).await;
    assert_eq!(made.error, None);
    let map = String::from_utf8(made.files["m.yaml"].clone()).unwrap();
    assert!(
        map.contains("immutable: true\n") && map.contains("name: m # ours\n"),
        "{map}"
    );
    assert_eq!(made.steps[0].stderr, "said");
    let half = wrong(HALF).await;
    for (address, image, words) in [
        (
            address,
            "fails",
            "rpc error: code = Internal desc = no good",
        ),
        (address, "hangs", "rpc error: code = DeadlineExceeded"),
        (address, "large", "rpc error: code = OutOfRange"),
        (address, "binary", "the answer is not UTF-8"),
        (half, "dies", "rpc error: code = "),
    ] {
        let made = rendered(address, image, Audience::default()).await;
        let told = made.error.unwrap();
        assert!(told.contains(words), "{image}: {told}");
        let image = format!("func eval \"example.com/x/{image}:v1\" failed: ");
        assert!(told.contains(&image), "{told}");
        assert_eq!(made.files["m.yaml"], package("")["m.yaml"]);
        let status = made.status.unwrap().result;
        assert_eq!((status.exit_code, status.items[0].exit_code), (1, 1));
    }
}

#[tokio::test]
async fn a_runner_hears_that_nobody_waits_for_the_render() {
    let faulty = Faulty::default();
    let address = serve(faulty.clone()).await;
    let audience = Audience::default();
    let rendering = tokio::spawn(rendered(address, "hangs", audience.clone()));
    while !faulty.called.load(Relaxed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    audience.leave();
    let told = rendering.await.unwrap().error.unwrap();
    assert!(told.contains("cancelled"), "{told}");
    for _ in 0..100 {
        if faulty.given_up.load(Relaxed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the runner still works for nobody");
}

#[tokio::test]
async fn one_that_panics_does_not_hang_its_caller() {
    let runner = runner(serve(Faulty::default()).await);
    let told = runner.evaluate("panics", EMPTY.into()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn what_is_no_address_is_refused() {
    for address in [
        "",
        "host",
        ":1",
        "host:1/path",
        "http://host:1",
        "a b:1",
        "host:99999",
    ] {
        let told = Runner::new(address, RunnerLimits::default());
        assert!(
            matches!(told, Err(ElsewhereError::Unavailable(_))),
            "{address:?}"
        );
    }
}
