//! `porch serve`: the server of a cluster, wired and run until it is told to end.
//!
//! In come the flags; out goes HTTPS for kube-apiserver's aggregation layer. It serves at once and is ready when it has
//! read everything; what it settles, it settles under a Lease. It must not start with flags that leave a door open.

mod callers;
mod certificates;
mod client;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    apiserver::{self, Limits, Metrics, Registry, Server},
    config::Serve,
    controllers::{self, Bells, FunctionConfigs, Repositories, Shard},
    engine::Renderer,
    sync::{
        Mirrors, Processes,
        lease::{Lease, Terms},
    },
    wiring::{self, Reading, end_on_signal},
};

/// Where FunctionConfigs are that count, unless a flag says otherwise; upstream's name for it.
const FUNCTION_CONFIGS: &str = "porch-fn-system";
/// How long background work may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs a server of a cluster until a signal ends it.
///
/// # Errors
/// If it can't start: no cluster, the address is taken, no certificate.
pub fn run(flags: &Serve) -> anyhow::Result<()> {
    wiring::run(serve(flags))
}

fn tell_idle(flags: &Serve) {
    for (flag, why) in flags.idle.given() {
        tracing::warn!("{flag} does nothing: {why}");
    }
}

async fn serve(flags: &Serve) -> anyhow::Result<()> {
    tell_idle(flags);
    let directory = flags.repositories.directory()?;
    let renderer = wiring::renderer(&flags.functions, &directory.join("functions"))?;
    // The first signal: be asked no more, but answer. Then, after the delay, end.
    let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
    end_on_signal(leaving.clone())?;
    let delay = flags.operation.shutdown_delay_duration;
    stop_after(leaving.clone(), delay, stop.clone());

    let client = connect(flags.kubeconfig.as_deref()).await?;
    let (metrics, bells) = (Metrics::new(), Bells::default());
    let certificates = certificates::Source::of(flags, &client)?;
    let certificate = tokio::select! {
        certificate = certificates.start(&metrics) => certificate?,
        () = leaving.cancelled() => return Ok(()),
    };
    let callers = callers::Callers::start(flags, &client).await?;
    let processes = Processes::among(client.clone(), &flags.namespace, Terms::default());
    // It lives until the last request is answered: what that began is its own to finish.
    let life = CancellationToken::new();
    let living = processes
        .clone()
        .live(client.clone(), flags.namespace.clone(), life.clone());
    let configs = follow_configs(flags, &client, &renderer);
    let reading = Reading::start(
        (&client, processes, renderer),
        &flags.namespace,
        Mirrors::new(directory.join("mirrors")).with_proxies(flags.proxies.checked()?),
        flags.repositories.allow_file_repositories,
    );
    reading.measure(&metrics);
    let mut settling = settle(flags, &client, (&reading, &bells), &stop);
    settling.push(tokio::spawn(living));

    let health = reading
        .health()
        .remarking("function-configs", configs.check());
    let health = callers.health(certificate.health(health));
    let settings = apiserver::Settings {
        authenticator: callers.authenticator(),
        authorizer: callers.authorizer(),
        limits: limits(flags),
        health,
        metrics,
        body_limit: flags.serving.max_request_body_size,
        deadline: flags.operation.request_timeout,
        leaving,
        stop,
        ..hearing(flags, &client, &bells)
    };
    let server = Server::new(reading.register(Registry::new()), settings);
    let listener = listen(flags).await?;
    let ended = apiserver::serve(listener, certificate.resolver(), server).await;
    life.cancel();
    ended?;
    end(settling).await;
    Ok(())
}

/// Returns settings with those whom the flags want to hear what concerns Repositories, from others than users. They know the
/// same Repositories, which are followed only if somebody hears.
fn hearing(flags: &Serve, client: &Client, bells: &Bells) -> apiserver::Settings {
    let validates = flags.repositories.validate_repositories;
    let is_any = validates || flags.webhooks.are_heard();
    let repositories = is_any.then(|| Repositories::follow(client));
    let repositories = repositories.as_ref();
    apiserver::Settings {
        webhooks: repositories.and_then(|it| wiring::webhooks(&flags.webhooks, it, bells)),
        admission: repositories.filter(|_| validates).map(wiring::admission),
        ..apiserver::Settings::default()
    }
}

fn follow_configs(flags: &Serve, client: &Client, renderer: &Renderer) -> FunctionConfigs {
    let namespace = flags.functions.pod_namespace.as_deref();
    let namespace = namespace.unwrap_or(FUNCTION_CONFIGS);
    FunctionConfigs::follow(client, namespace, renderer.functions())
}

/// Returns a client of the cluster that a kubeconfig names, or of the one whose pod this is.
async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(file) => {
            let read = || format!("cannot use --kubeconfig {}", file.display());
            let kubeconfig = Kubeconfig::read_from(file).with_context(read)?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
            client::without_proxy_of_environment(&kubeconfig, config.with_context(read)?)
        }
        None => Config::incluster()
            .context("this is no pod of a cluster: name one with --kubeconfig")?,
    };
    client::of(config)
}

fn limits(flags: &Serve) -> Limits {
    Limits {
        reads: flags.operation.max_requests_inflight,
        writes: flags.operation.max_mutating_requests_inflight,
        watches: flags.operation.max_watches,
    }
}

async fn listen(flags: &Serve) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(flags.serving.bind_address, flags.serving.secure_port);
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot serve on {address}"))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "serving");
    Ok(listener)
}

fn stop_after(leaving: CancellationToken, delay: Duration, stop: CancellationToken) {
    tokio::spawn(async move {
        leaving.cancelled().await;
        tokio::time::sleep(delay).await;
        stop.cancel();
    });
}

/// Starts to settle what Git says, whenever and as far as this process holds the Leases of it.
fn settle(
    flags: &Serve,
    client: &Client,
    (reading, bells): (&Reading, &Bells),
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    reading.feed.keep_touching(false);
    if flags.repositories.no_sync {
        return Vec::new();
    }
    let holder = format!("{}_{}", flags.pod_name, uuid::Uuid::new_v4());
    let of = flags.repositories.shards;
    let shards = (0..of).map(|index| Shard { index, of });
    shards
        .map(|shard| {
            let name = format!("porch-sync-{}", shard.index);
            let terms = Terms::default();
            let lease = Lease::new(client.clone(), &flags.namespace, &name, &holder, terms);
            if shard.index == 0 {
                touch_while_held(&lease, reading);
            }
            let work = work(flags, client, (reading, bells), shard);
            tokio::spawn(lease.run(stop.clone(), work))
        })
        .collect()
}

/// Lets the feed touch the marker for all replicas, while this one holds a Lease.
fn touch_while_held(lease: &Lease, reading: &Reading) {
    let (feed, mut held) = (reading.feed.clone(), lease.held());
    tokio::spawn(async move {
        while held.changed().await.is_ok() {
            feed.keep_touching(*held.borrow_and_update());
        }
    });
}

/// Returns what is done under the Lease of a shard.
fn work(
    flags: &Serve,
    client: &Client,
    (reading, bells): (&Reading, &Bells),
    shard: Shard,
) -> impl Fn(CancellationToken) -> futures::future::BoxFuture<'static, ()> + Send + 'static {
    let mut settings = controllers::Settings::new(
        reading.mirrors.clone(),
        flags.repositories.allow_file_repositories,
        flags.repositories.sync_interval,
    );
    settings.tally = reading.tally.clone();
    settings.processes = reading.processes.clone();
    settings.shard = shard;
    settings.bells = bells.clone();
    let (client, catalog) = (client.clone(), reading.feed.catalog().clone());
    move |lost: CancellationToken| {
        let lost = lost.cancelled_owned();
        Box::pin(controllers::run(
            client.clone(),
            catalog.clone(),
            settings.clone(),
            lost,
        ))
    }
}

async fn end(settling: Vec<JoinHandle<()>>) {
    let all = futures::future::join_all(settling);
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("a look at a repository was still under way");
    }
}
