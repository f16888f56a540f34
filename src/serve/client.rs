//! The client of the cluster. kube's own says nothing of who it is, and lets the end of a request wait until the network has
//! acknowledged its beginning (Nagle's algorithm), which costs up to 40 ms a write. This one is put together of the same
//! parts, without either. In comes where the cluster is, out goes its client.

use http::{HeaderName, HeaderValue, header::USER_AGENT};
use hyper_timeout::TimeoutConnector;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ConfigExt, retry::RetryPolicy},
};
use rustls::crypto::aws_lc_rs;
use tower::{BoxError, ServiceBuilder, retry::RetryLayer};

/// Who asks; kube-apiserver shows it in its audit log, and as who manages the fields that we write.
const AGENT: &str = concat!("porch/", env!("CARGO_PKG_VERSION"));

/// Returns a client of the cluster that a configuration names.
///
/// # Errors
/// If what it says of certificates or tokens can't be used.
pub fn of(mut config: Config) -> anyhow::Result<Client> {
    // Whoever was first has chosen what all use.
    let _ = aws_lc_rs::default_provider().install_default();
    if !config.headers.iter().any(|(name, _)| name == USER_AGENT) {
        let agent: (HeaderName, HeaderValue) = (USER_AGENT, HeaderValue::from_static(AGENT));
        config.headers.push(agent);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let retries = || RetryLayer::new(RetryPolicy::server_retry());
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(retries))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client.build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace))
}
