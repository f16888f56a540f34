//! The flags of `porch serve`: those that every Kubernetes API server has, those of upstream's Porch that mean something
//! here, and the rest of upstream's, which are taken and said to do nothing.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{Functions, Idle, Proxies, Webhooks, duration};

/// Flags of `porch serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// How to reach the cluster [default: as a pod of it].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of this server: of its marker, its Leases, its Service and its certificates.
    #[arg(long, env = "POD_NAMESPACE", default_value = "porch-system")]
    pub namespace: String,
    /// The name of this process among its replicas, from the environment.
    #[arg(long, env = "POD_NAME", hide = true, default_value = "porch-server")]
    pub pod_name: String,
    /// Where to listen, and how to prove who this server is.
    #[command(flatten)]
    pub serving: Serving,
    /// Who is known, and who may do what.
    #[command(flatten)]
    pub callers: Callers,
    /// How Repositories are synchronised.
    #[command(flatten)]
    pub repositories: Repositories,
    /// Through which proxies Git servers are reached.
    #[command(flatten)]
    pub proxies: Proxies,
    /// Whether messages of Git servers are heard.
    #[command(flatten)]
    pub webhooks: Webhooks,
    /// Where functions run.
    #[command(flatten)]
    pub functions: Functions,
    /// How much is done at once, and how it ends.
    #[command(flatten)]
    pub operation: Operation,
    /// What does nothing here.
    #[command(flatten)]
    pub idle: Idle,
}

/// Where to listen, and how to prove who this server is.
#[derive(Clone, Debug, Args)]
pub struct Serving {
    /// The address to listen on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind_address: IpAddr,
    /// The port to serve HTTPS on; 0 picks a free one.
    #[arg(long, value_name = "PORT", default_value_t = 4443)]
    pub secure_port: u16,
    /// The serving certificate and those that lead to its authority, PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The key of the serving certificate, PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Where `apiserver.crt` and `apiserver.key` are, made there if they are missing: a certificate that stands for itself
    /// [default: certificates in the cache directory].
    #[arg(long, value_name = "DIR", conflicts_with = "tls_cert_file")]
    pub cert_dir: Option<PathBuf>,
    /// Make an authority and a certificate, keep them in a Secret that all replicas share, replace them in time, and write
    /// the authority into this server's APIService as its `caBundle`.
    #[arg(long, conflicts_with_all = ["tls_cert_file", "cert_dir"])]
    pub manage_apiservice: bool,
    /// The name of the Service that the APIService points to.
    #[arg(long, value_name = "NAME", default_value = "api")]
    pub service_name: String,
    /// The largest body of a request, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 6 * 1024 * 1024)]
    pub max_request_body_size: usize,
}

/// Who is known, and who may do what.
#[derive(Clone, Debug, Args)]
pub struct Callers {
    /// How to reach the cluster that says whose a token is [default: as --kubeconfig].
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// How to reach the cluster that says who may do what [default: as --kubeconfig].
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Do not ask the cluster who may vouch for callers; then only the flags say it.
    #[arg(long)]
    pub authentication_skip_lookup: bool,
    /// The authority of users' certificates, PEM [default: as the cluster publishes it].
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The authority of the front proxy's certificates, PEM [default: as the cluster publishes it].
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that a front proxy's certificate may have [default: any].
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers with the name of the user for whom a front proxy speaks.
    #[arg(
        long,
        value_name = "HEADER",
        value_delimiter = ',',
        default_value = "X-Remote-User"
    )]
    pub requestheader_username_headers: Vec<String>,
    /// Headers with the user's UID.
    #[arg(
        long,
        value_name = "HEADER",
        value_delimiter = ',',
        default_value = "X-Remote-Uid"
    )]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers with the user's groups.
    #[arg(
        long,
        value_name = "HEADER",
        value_delimiter = ',',
        default_value = "X-Remote-Group"
    )]
    pub requestheader_group_headers: Vec<String>,
    /// What the headers with everything else begin with.
    #[arg(
        long,
        value_name = "PREFIX",
        value_delimiter = ',',
        default_value = "X-Remote-Extra-"
    )]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// How long the cluster's word on a token is good.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// How long the cluster's yes is good.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long the cluster's no is good.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}

/// How Repositories are synchronised.
#[derive(Clone, Debug, Args)]
pub struct Repositories {
    /// Where Git mirrors are kept; they can be made anew [default: porch in the user's cache directory].
    #[arg(long, value_name = "DIR")]
    pub cache_directory: Option<PathBuf>,
    /// The user's cache directory, from the environment.
    #[arg(long, env = "XDG_CACHE_HOME", hide = true, value_name = "DIR")]
    pub cache_home: Option<PathBuf>,
    /// The user's home, from the environment.
    #[arg(long, env = "HOME", hide = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// How often to look for changes in repositories that have no schedule of their own.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sync_interval: Duration,
    /// Into how many parts the Repositories are divided; each part has a Lease, and may be another replica's work. All
    /// replicas must have the same number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub shards: u32,
    /// Serve, but never take a Lease: other replicas settle what Git says.
    #[arg(long)]
    pub no_sync: bool,
    /// Judge for kube-apiserver, at `/validate-repository`, whether another Repository is in the way of a new one.
    #[arg(long)]
    pub validate_repositories: bool,
    /// Allow `file://` addresses: for tests, since whoever registers Repositories then reads this machine's disk.
    #[arg(long, hide = true)]
    pub allow_file_repositories: bool,
}

/// How much is done at once, and how it ends.
#[derive(Clone, Debug, Args)]
pub struct Operation {
    /// How many requests that read may be under way; 0: any number.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_requests_inflight: usize,
    /// How many requests that write may be under way; 0: any number.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    /// How many watches may be open; 0: any number.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub max_watches: usize,
    /// How long a request may take that is no watch.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub request_timeout: Duration,
    /// How long everything is still served after the signal to end, while `/readyz` already fails.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = super::any_duration)]
    pub shutdown_delay_duration: Duration,
}

impl Repositories {
    /// Returns the cache directory: the flag's, else `porch` in the user's cache directory, else in the directory of
    /// temporary files.
    ///
    /// # Errors
    /// If the working directory is gone.
    pub fn directory(&self) -> anyhow::Result<PathBuf> {
        if let Some(directory) = &self.cache_directory {
            return Ok(std::path::absolute(directory)?);
        }
        let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
        let home = absolute(&self.home).filter(|home| home.parent().is_some());
        let cache = absolute(&self.cache_home).or_else(|| home.map(|home| home.join(".cache")));
        Ok(cache.unwrap_or_else(std::env::temp_dir).join("porch"))
    }
}
