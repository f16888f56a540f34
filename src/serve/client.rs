//! The client of the cluster. kube's own says nothing of who it is, and lets the end of a request wait until the network has
//! acknowledged its beginning (Nagle's algorithm), which costs up to 40 ms a write. This one is put together of the same
//! parts, without either. In comes where the cluster is, out goes its client.

use anyhow::bail;
use http::{HeaderName, HeaderValue, header::USER_AGENT};
use hyper_timeout::TimeoutConnector;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ConfigExt, retry::RetryPolicy},
    config::Kubeconfig,
};
use rustls::crypto::aws_lc_rs;
use tower::{BoxError, ServiceBuilder, retry::RetryLayer};

/// Who asks; kube-apiserver shows it in its audit log, and as who manages the fields that we write.
const AGENT: &str = concat!("porch/", env!("CARGO_PKG_VERSION"));

/// Returns a client of the cluster that a configuration names.
///
/// # Errors
/// If what it says of certificates or tokens can't be used, or names a proxy.
pub fn of(mut config: Config) -> anyhow::Result<Client> {
    if config.proxy_url.is_some() {
        bail!(
            "the kubeconfig names a proxy (proxy-url), and there is no way through one to a cluster"
        );
    }
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

/// Returns the configuration without a proxy that it has from the environment alone: those are for Git servers.
pub fn without_proxy_of_environment(kubeconfig: &Kubeconfig, mut config: Config) -> Config {
    let context = kubeconfig.current_context.as_ref();
    let context = kubeconfig
        .contexts
        .iter()
        .find(|it| Some(&it.name) == context);
    let cluster = context.and_then(|it| Some(&it.context.as_ref()?.cluster));
    let mut clusters = kubeconfig.clusters.iter();
    let names_one = clusters.any(|it| {
        let proxy = it.cluster.as_ref().and_then(|it| it.proxy_url.as_ref());
        Some(&it.name) == cluster && proxy.is_some_and(|it| !it.is_empty())
    });
    if !names_one {
        config.proxy_url = None;
    }
    config
}

#[cfg(test)]
mod tests {
    use kube::config::KubeConfigOptions;

    use super::*;

    async fn reached(proxy: &str) -> anyhow::Result<Client> {
        let text = format!(
            r#"{{"current-context": "x", "contexts": [{{"name": "x", "context": {{"cluster": "c", "user": "u"}}}}],
            "clusters": [{{"name": "c", "cluster": {{"server": "https://localhost:1"{proxy}}}}}], "users": [{{"name": "u", "user": {{}}}}]}}"#
        );
        let kubeconfig = Kubeconfig::from_yaml(&text)?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await?;
        if proxy.is_empty() {
            // As if the environment named one.
            config.proxy_url = Some("http://proxy.example:3128".parse()?);
        }
        of(without_proxy_of_environment(&kubeconfig, config))
    }

    #[tokio::test]
    async fn a_cluster_is_reached_without_the_proxy_for_git_servers_and_not_around_its_own() {
        reached("").await.unwrap();
        let refused = reached(r#", "proxy-url": "http://proxy.example:3128""#).await;
        let why = refused.err().unwrap().to_string();
        assert!(why.contains("proxy-url"), "{why}");
    }
}
