//! Where the serving certificate comes from, and its replacement while it is served: files of the operator's, files of our
//! own, or the authority that all replicas share. What can't be read leaves the last good one; how long that lasts is told
//! in metrics and by `/readyz`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use jiff::Timestamp;
use kube::Client;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use tokio::{sync::watch, time::sleep};

use crate::{
    apiserver::{Certificate, Health, Metrics},
    certificate::{self, Pair, details, pem_chain},
    config::Serve,
    controllers::authority,
};

/// How often files are looked at: as often as the kubelet needs to bring them, at least.
const EVERY: Duration = Duration::from_secs(10);
/// How long a certificate of our own that stands for itself lasts; it is replaced when a third of that is left.
const LASTING: Duration = Duration::from_hours(24 * 365);
/// The APIService that kube-apiserver knows this server by.
const API_SERVICE: &str = "v1alpha1.porch.kpt.dev";
/// The `ValidatingWebhookConfiguration` by which kube-apiserver asks this server, if there is one.
const VALIDATING_WEBHOOKS: &str = "porch-server";
/// The Secret with this server's own authority.
const SECRET: &str = "porch-server-certificate";

/// Where the certificate comes from.
pub enum Source {
    /// Files that somebody else keeps.
    Files {
        /// The certificate.
        chain: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// Files that are made here.
    Own {
        /// Where.
        directory: PathBuf,
        /// Names that the certificate proves.
        names: Vec<String>,
    },
    /// The authority that all replicas share.
    Authority(Client, authority::Settings),
}

/// The certificate that is served, and until when it is good.
#[derive(Clone)]
pub struct Serving {
    certificate: Arc<Certificate>,
    /// When it ends, in seconds of Unix time; told among the metrics.
    until: Gauge,
}

impl Source {
    /// Returns where the flags say that the certificate comes from.
    ///
    /// # Errors
    /// If the cache directory can't be named.
    pub fn of(flags: &Serve, client: &Client) -> anyhow::Result<Self> {
        let serving = &flags.serving;
        if let (Some(chain), Some(key)) = (&serving.tls_cert_file, &serving.tls_private_key_file) {
            let (chain, key) = (chain.clone(), key.clone());
            return Ok(Self::Files { chain, key });
        }
        let names = names(flags);
        if serving.manage_apiservice {
            let settings = authority::Settings {
                namespace: flags.namespace.clone(),
                secret: SECRET.into(),
                api_service: API_SERVICE.into(),
                webhooks: VALIDATING_WEBHOOKS.into(),
                names,
            };
            return Ok(Self::Authority(client.clone(), settings));
        }
        let directory = match &serving.cert_dir {
            Some(directory) => directory.clone(),
            None => flags.repositories.directory()?.join("certificates"),
        };
        Ok(Self::Own { directory, names })
    }

    /// Returns the certificate when there is one; it is replaced from then on whenever there is a new one.
    ///
    /// # Errors
    /// If the files are unusable at the start.
    pub async fn start(self, metrics: &Metrics) -> anyhow::Result<Serving> {
        match self {
            Self::Authority(client, settings) => {
                let (sender, mut made) = watch::channel(None);
                tokio::spawn(authority::run(client, settings, sender));
                let first = made.wait_for(Option::is_some).await?.clone();
                let first = first.context("there is a certificate")?;
                let serving = Serving::new(&first, metrics)?;
                tokio::spawn(serving.clone().follow(made));
                Ok(serving)
            }
            files => {
                let first = files.read()?;
                let serving = Serving::new(&first, metrics)?;
                tokio::spawn(serving.clone().poll(files, first));
                Ok(serving)
            }
        }
    }

    /// Returns what the files hold; files of our own are made first where they are missing or about to end.
    fn read(&self) -> anyhow::Result<Pair> {
        match self {
            Self::Files { chain, key } => read(chain, key),
            Self::Own { directory, names } => own(directory, names),
            Self::Authority(..) => anyhow::bail!("an authority is in no file"),
        }
    }
}

fn names(flags: &Serve) -> Vec<String> {
    let (service, namespace) = (&flags.serving.service_name, &flags.namespace);
    let in_cluster = format!("{service}.{namespace}.svc");
    vec![
        in_cluster.clone(),
        format!("{in_cluster}.cluster.local"),
        format!("{service}.{namespace}"),
        "localhost".into(),
        "127.0.0.1".into(),
        "::1".into(),
    ]
}

fn read(chain: &Path, key: &Path) -> anyhow::Result<Pair> {
    let text = |file: &Path| {
        let text = std::fs::read_to_string(file);
        text.with_context(|| format!("cannot read {}", file.display()))
    };
    Ok(Pair {
        chain: text(chain)?,
        key: text(key)?,
    })
}

fn own(directory: &Path, names: &[String]) -> anyhow::Result<Pair> {
    let (chain, key) = (
        directory.join("apiserver.crt"),
        directory.join("apiserver.key"),
    );
    let now = Timestamp::now();
    if chain.exists() && key.exists() {
        let pair = read(&chain, &key)?;
        let details = details(&pem_chain(pair.chain.as_bytes())?[0])?;
        // One that another authority signed is somebody else's: it is served as it is.
        let ours = details.issuer == details.common_name;
        let left = Duration::try_from(details.not_after.duration_since(now)).unwrap_or_default();
        if !ours || left > LASTING / 3 {
            return Ok(pair);
        }
    }
    let pair = certificate::self_signed(names, now, LASTING)?;
    let made = || format!("cannot keep a certificate in {}", directory.display());
    std::fs::create_dir_all(directory).with_context(made)?;
    write_private(&key, &pair.key).with_context(made)?;
    write_private(&chain, &pair.chain).with_context(made)?;
    Ok(pair)
}

/// Writes a file that only its owner may read, as a whole.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let beside = file.with_extension(format!("new.{}", std::process::id()));
    let mut open = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    open.write_all(text.as_bytes())?;
    std::fs::rename(&beside, file)
}

impl Serving {
    fn new(pair: &Pair, metrics: &Metrics) -> anyhow::Result<Self> {
        let gauge: Gauge = Gauge::default();
        metrics.register(|registry| {
            registry.register(
                "porch_serving_certificate_expiration_seconds",
                "When the serving certificate ends, in seconds of Unix time",
                gauge.clone(),
            );
        });
        let chain = pem_chain(pair.chain.as_bytes())?;
        let until = details(&chain[0])?.not_after.as_second();
        gauge.set(until);
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
        let key = key.context("the key of the serving certificate can't be read")?;
        Ok(Self {
            certificate: Certificate::new(chain, key)?,
            until: gauge,
        })
    }

    /// Returns what TLS serves.
    #[must_use]
    pub fn resolver(&self) -> Arc<Certificate> {
        self.certificate.clone()
    }

    /// Adds a check that fails when the certificate has ended.
    #[must_use]
    pub fn health(&self, health: Health) -> Health {
        let until = self.until.clone();
        health.ready("serving-certificate", move || {
            let until = until.get();
            if Timestamp::now().as_second() <= until {
                return Ok(());
            }
            let until = Timestamp::from_second(until).unwrap_or_default();
            Err(format!("the serving certificate ended at {until}"))
        })
    }

    async fn follow(self, mut made: watch::Receiver<Option<Pair>>) {
        while made.changed().await.is_ok() {
            let pair = made.borrow_and_update().clone();
            if let Some(pair) = pair {
                self.replace(&pair);
            }
        }
    }

    async fn poll(self, files: Source, mut last: Pair) {
        loop {
            sleep(EVERY).await;
            match files.read() {
                Ok(pair) if pair == last => {}
                Ok(pair) => {
                    // Both files change, one after the other: what does not fit together now will soon.
                    if self.replace(&pair) {
                        last = pair;
                    }
                }
                Err(error) => tracing::warn!(%error, "the serving certificate can't be read again"),
            }
        }
    }

    fn replace(&self, pair: &Pair) -> bool {
        match self.try_replace(pair) {
            Ok(until) => {
                tracing::info!(%until, "a new certificate is served");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the new certificate can't be served; the old one stays");
                false
            }
        }
    }

    fn try_replace(&self, pair: &Pair) -> anyhow::Result<Timestamp> {
        let chain = pem_chain(pair.chain.as_bytes())?;
        let until = details(&chain[0])?.not_after;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
        self.certificate.replace(chain, key)?;
        self.until.set(until.as_second());
        Ok(until)
    }
}
