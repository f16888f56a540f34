//! Logs and traces: where they go and in what form. Set up once, by `main`.
//!
//! In come flags; out go lines on stderr and, if a collector is named, the spans of requests over OTLP (HTTP, protobuf).
//! A collector that is away costs nothing but its spans.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::{Log, LogFormat};

/// How long a collector may take to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be ended when the program ends, so that the last spans are sent.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Sends logs to stderr, and spans to a collector, as the flags say.
///
/// # Errors
/// If the filter or the collector's address can't be read.
pub fn start(log: &Log) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(log.filter())
        .map_err(|error| anyhow::anyhow!("--log {:?}: {error}", log.log))?;
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let spans = log.collector().map(|url| provider(url, log)).transpose()?;
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(spans.as_ref().map(layer));
    match log.log_format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    Ok(Telemetry(spans))
}

impl Telemetry {
    /// Sends what was not sent yet.
    pub fn end(self) {
        // A collector that is away was told of before.
        let _ = self.0.map(|spans| spans.shutdown());
    }
}

fn provider(url: String, log: &Log) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new())
        .with_endpoint(url)
        .build()?;
    let resource = Resource::builder().with_service_name(log.otel_service_name.clone());
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

/// Returns what makes spans of ours the collector's. What is logged within a span is not sent along: logs have their own
/// way, and may name what a collector need not know.
fn layer<S>(spans: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(spans.tracer("porch"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(is_span))
}

fn is_span(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_span()
}

/// The way to the collector. It blocks; only the thread that sends spans walks it.
#[derive(Debug)]
struct Collector(ureq::Agent);

impl Collector {
    fn new() -> Self {
        let found = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = found
            .iter()
            .map(|it| Certificate::from_der(it).to_owned())
            .collect();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(provider));
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false);
        Self(config.build().new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = response.into_parts();
        let body = body.read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}
