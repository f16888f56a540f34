//! A collector of spans: takes them over OTLP as HTTP or as gRPC, and says what it was sent.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::net::TcpListener;

/// One span, as far as tests look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub service: String,
    pub name: String,
    /// Hexadecimal digits, as all ids.
    pub trace: String,
    pub id: String,
    /// Empty if it has none.
    pub parent: String,
    /// Attributes as `key=value`.
    pub attributes: Vec<String>,
}

/// The collector; it listens until its runtime ends.
pub struct Collector {
    pub address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let taken = spans.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = taken.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(request, taken.clone()));
                    let builder = Builder::new(TokioExecutor::new());
                    let served = builder.serve_connection(TokioIo::new(stream), service);
                    let _ = served.await;
                });
            }
        });
        Self { address, spans }
    }

    /// Returns all spans that came until now.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

type Answer =
    Response<StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>>;

async fn take(
    request: Request<Incoming>,
    taken: Arc<Mutex<Vec<Span>>>,
) -> Result<Answer, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let grpc = parts.headers["content-type"] == "application/grpc";
    // A message of gRPC has five bytes before it: not compressed, and its length.
    let message = if grpc { body.slice(5..) } else { body };
    let sent = ExportTraceServiceRequest::decode(message).unwrap();
    taken.lock().unwrap().extend(read(sent));
    let (kind, frames) = if grpc {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let nothing = Frame::data(Bytes::from_static(&[0; 5]));
        (
            "application/grpc",
            vec![Ok(nothing), Ok(Frame::trailers(trailers))],
        )
    } else {
        ("application/x-protobuf", Vec::new())
    };
    let answer = Response::builder().header("content-type", kind);
    Ok(answer.body(StreamBody::new(stream::iter(frames))).unwrap())
}

fn read(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for resource in sent.resource_spans {
        let known = resource.resource.unwrap_or_default().attributes;
        let known: Vec<String> = known.iter().map(pair).collect();
        let service = known.iter().find_map(|it| it.strip_prefix("service.name="));
        let service = service.unwrap_or_default().to_owned();
        let spans = resource.scope_spans.into_iter().flat_map(|it| it.spans);
        all.extend(spans.map(|span| Span {
            service: service.clone(),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            attributes: span.attributes.iter().map(pair).collect(),
        }));
    }
    all
}

fn pair(attribute: &opentelemetry_proto::tonic::common::v1::KeyValue) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
    let value = match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    format!("{}={value}", attribute.key)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
