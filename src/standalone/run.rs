//! `porch standalone`: every part of the house in one process, wired and served, until it is told to end.
//!
//! In come the flags; out goes a server on loopback that kubectl can use. It must not print anything but one line on
//! stdout, and must not begin to serve before what it lists is complete.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use kube::{Api, Client, api::PostParams};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    ControlPlane, Definition, Persistence,
    credentials::{Credentials, make_private_directory},
    demo,
};
use crate::{
    api::{GitRepository, Repository, RepositorySpec},
    apiserver::{
        self, Authenticator, Authorizer, Certificate, Hear, Identity, Metrics, Registry, Server,
        Token,
    },
    config::Standalone,
    controllers::{self, FunctionConfigs, Repositories},
    crds,
    sync::{Mirrors, Processes},
    wiring::{self, Reading, end_on_signal},
};

/// Where the marker of the records is, as in a cluster.
const NAMESPACE: &str = "porch-system";
/// Where FunctionConfigs are that count, unless a flag says otherwise.
const FUNCTION_CONFIGS: &str = "default";
/// How long the cache may take to know all records before something must be wrong.
const READY: Duration = Duration::from_mins(1);
/// How long background work may take to end.
const GRACE: Duration = Duration::from_secs(20);
/// The one user's name.
const USER: &str = "standalone";

/// What runs in the background, each until it is told to stop.
struct Parts {
    plane: ControlPlane,
    reading: Reading,
    configs: FunctionConfigs,
    reconciling: JoinHandle<()>,
    webhooks: Option<Hear>,
}

/// Runs a standalone server until a signal ends it.
///
/// # Errors
/// If it can't start: the directory is in use, the address is taken, the disk says no.
pub fn run(flags: &Standalone) -> anyhow::Result<()> {
    wiring::run(serve(flags))
}

async fn serve(flags: &Standalone) -> anyhow::Result<()> {
    let directory = flags.directory()?;
    make_private_directory(&directory)
        .with_context(|| format!("cannot make the data directory {}", directory.display()))?;
    // Everything is cancelled by one signal; a second one ends the process as it is.
    let stop = CancellationToken::new();
    end_on_signal(stop.clone())?;

    let plane = start_plane(&directory, namespace_of_configs(flags)).await?;
    let parts = Parts::start(plane, flags, &directory, &stop)?;
    if flags.demo {
        register_demo(&parts.plane.client(), &directory).await?;
    }
    let ready = tokio::time::timeout(READY, parts.until_ready());
    tokio::select! {
        ready = ready => ready.map_err(|_| parts.late())?,
        () = stop.cancelled() => return parts.end().await,
    }

    let listener = TcpListener::bind(flags.listen).await;
    let listener = listener.with_context(|| format!("cannot serve on {}", flags.listen))?;
    let address = listener.local_addr()?;
    let credentials = Credentials::open(&directory.join("credentials"), address.ip())?;
    let certificate = certificate(&credentials)?;
    let server = parts.server(&credentials, &stop);
    announce(flags, &directory, &credentials, address)?;
    apiserver::serve(listener, certificate, server).await?;
    parts.end().await
}

fn namespace_of_configs(flags: &Standalone) -> &str {
    let namespace = flags.functions.pod_namespace.as_deref();
    namespace.unwrap_or(FUNCTION_CONFIGS)
}

async fn start_plane(directory: &Path, namespace: &str) -> anyhow::Result<ControlPlane> {
    let definitions = crds::definitions();
    let definitions = definitions.iter().map(|definition| {
        let definition = Definition::custom(definition)?;
        // Nobody applies to records, so nobody asks which manager owns what of them.
        Ok(if definition.kind.kind == "PackageRev" {
            definition.untracked()
        } else {
            definition
        })
    });
    let definitions = definitions.collect::<Result<Vec<_>, super::Error>>()?;
    let persistence = Persistence::Disk(directory.to_owned());
    let namespaces = [NAMESPACE, namespace];
    Ok(ControlPlane::start(persistence, definitions, &namespaces).await?)
}

impl Parts {
    /// Starts everything that works in the background.
    fn start(
        plane: ControlPlane,
        flags: &Standalone,
        directory: &Path,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let client = plane.client();
        let renderer = wiring::renderer(&flags.functions, &directory.join("functions"))?;
        let namespace = namespace_of_configs(flags);
        let configs = FunctionConfigs::follow(&client, namespace, renderer.functions());
        // The lock on the data directory keeps others out.
        let alone = (&client, Processes::alone(), renderer);
        let mirrors = Mirrors::new(directory.join("mirrors"));
        let mirrors = mirrors.with_proxies(flags.proxies.checked()?);
        let reading = Reading::start(alone, NAMESPACE, mirrors, true);
        let catalog = reading.feed.catalog().clone();
        let mut settings =
            controllers::Settings::new(reading.mirrors.clone(), true, flags.sync_interval);
        settings.tally = reading.tally.clone();
        settings.processes = reading.processes.clone();
        let heard = flags.webhooks.are_heard();
        let repositories = heard.then(|| Repositories::follow(&client));
        let webhooks =
            repositories.and_then(|it| wiring::webhooks(&flags.webhooks, &it, &settings.bells));
        let shutdown = stop.clone().cancelled_owned();
        let reconciling = tokio::spawn(controllers::run(client, catalog, settings, shutdown));
        Ok(Self {
            plane,
            reading,
            configs,
            reconciling,
            webhooks,
        })
    }

    /// Waits until what is served is complete, and renders go by what FunctionConfigs say.
    async fn until_ready(&self) {
        self.reading.feed.catalog().until_ready().await;
        self.configs.until_read().await;
    }

    /// Returns the one server of all kinds.
    fn server(&self, credentials: &Credentials, stop: &CancellationToken) -> Server {
        let registry = self.reading.register(self.plane.register(Registry::new()));
        let authenticator =
            Authenticator::new().with_token(Token::new(&credentials.token), Identity::master(USER));
        let metrics = Metrics::new();
        self.reading.measure(&metrics);
        let settings = apiserver::Settings {
            authenticator,
            // Its one user owns it, and nobody else is known.
            authorizer: Authorizer::Masters,
            health: self.reading.health(),
            metrics,
            webhooks: self.webhooks.clone(),
            stop: stop.clone(),
            ..apiserver::Settings::default()
        };
        Server::new(registry, settings)
    }

    fn late(&self) -> anyhow::Error {
        let why = self.reading.feed.problem();
        let why = why.unwrap_or_else(|| "the records could not be read in time".into());
        anyhow::anyhow!("cannot start: {why}")
    }

    /// Ends what runs in the background, and leaves the data directory to the next process.
    async fn end(self) -> anyhow::Result<()> {
        if tokio::time::timeout(GRACE, self.reconciling).await.is_err() {
            tracing::warn!("a look at a repository was still under way");
        }
        drop((self.reading, self.configs));
        self.plane.close().await;
        Ok(())
    }
}

fn certificate(credentials: &Credentials) -> anyhow::Result<Arc<Certificate>> {
    let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes())?;
    Ok(Certificate::new(chain, key)?)
}

/// Writes the kubeconfig, and tells the one line that scripts wait for.
fn announce(
    flags: &Standalone,
    directory: &Path,
    credentials: &Credentials,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let kubeconfig = flags.kubeconfig(directory)?;
    credentials
        .write_kubeconfig(&kubeconfig, address)
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    tracing::info!(%address, "serving");
    if flags.demo {
        tracing::info!("then try: kubectl get repositories, kubectl get packagerevisions --watch");
    }
    println!("ready: export KUBECONFIG={}", kubeconfig.display());
    Ok(())
}

/// Makes the demo's repository and registers it, on the first start that asks for it.
async fn register_demo(client: &Client, directory: &Path) -> anyhow::Result<()> {
    let (git, done) = (
        directory.join("demo.git"),
        directory.join("demo.registered"),
    );
    if done.exists() {
        return Ok(());
    }
    demo::make(&git)?;
    let address = url::Url::from_file_path(&git);
    let address = address.map_err(|()| anyhow::anyhow!("{} is no path", git.display()))?;
    let spec = RepositorySpec {
        description: "The demo of porch standalone".into(),
        type_: "git".into(),
        git: Some(GitRepository {
            repo: address.into(),
            ..GitRepository::default()
        }),
        ..RepositorySpec::default()
    };
    let repositories = Api::<Repository>::namespaced(client.clone(), "default");
    let demo = Repository::new("demo", spec);
    match repositories.create(&PostParams::default(), &demo).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(error).context("cannot register the demo"),
    }
    // Last, so that a start that is killed half-way does it all again; and a user who deletes the demo keeps it deleted.
    Ok(std::fs::write(done, "")?)
}
