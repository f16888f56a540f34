//! Reconcilers: what users ask for in objects, made so, and told in their status.
//!
//! In come Repository objects through a Kubernetes client, and what Git servers say of pushes; out go sync managers that are
//! started, ordered and stopped, and conditions, events and finalizers. In come FunctionConfigs; out go tables of functions.
//! In comes what users want of Repositories; out goes what is in the way of it. Git is not touched here.

mod admission;
pub mod authority;
mod bells;
mod conflict;
mod functions;
mod known;
mod repository;
mod shard;
mod status;
mod sweep;
mod webhook;

pub use admission::{Admission, Wanted};
pub use bells::Bells;
pub use functions::FunctionConfigs;
pub use known::Repositories;
pub use shard::Shard;
pub use webhook::{Pushed, Webhooks};

use std::{future::Future, sync::Arc, time::Duration};

use futures::StreamExt;
use jiff::{Timestamp, tz::TimeZone};
use kube::{Api, Client, ResourceExt};
use kube_runtime::{
    Controller,
    controller::{self, Action},
    watcher,
};

use crate::{
    api::Repository,
    cache::Catalog,
    sync::{self, Clock, Failpoints, Means, Mirrors, Processes, Tally},
};

/// How many Repositories are reconciled at once. A reconciliation never waits for Git, only for the cluster.
const AT_ONCE: u16 = 64;
/// How long after a failure a Repository is reconciled again.
const RETRY: Duration = Duration::from_secs(5);

/// What a reconciliation could not do; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not take or give what was asked.
    #[error("{0}")]
    Cluster(#[from] kube::Error),
    /// Records or mirrors could not be taken away.
    #[error("{0}")]
    Sync(#[from] sync::Error),
    /// The finalizer could not be set or taken away, or what it guards failed.
    #[error("{0}")]
    Finalizer(String),
}

/// How Repositories are synchronised.
#[derive(Clone)]
pub struct Settings {
    /// The mirrors; share them with [`sync::Contents`].
    pub mirrors: Mirrors,
    /// Where looks are counted.
    pub tally: Tally,
    /// This process and others that write.
    pub processes: Processes,
    /// Whether `file://` addresses are allowed.
    pub allow_file: bool,
    /// How often to look at a Repository that has no schedule.
    pub interval: Duration,
    /// The time zone of schedules that name none.
    pub zone: TimeZone,
    /// Tells the time.
    pub clock: Clock,
    /// Which Repositories: all, unless others do the rest.
    pub shard: Shard,
    /// Where those who look can be told to look at once.
    pub bells: Bells,
}

impl Settings {
    /// Returns the settings of a process on this machine's time.
    #[must_use]
    pub fn new(mirrors: Mirrors, allow_file: bool, interval: Duration) -> Self {
        Self {
            mirrors,
            tally: Tally::default(),
            processes: Processes::alone(),
            allow_file,
            interval,
            zone: TimeZone::system(),
            clock: Arc::new(Timestamp::now),
            shard: Shard::default(),
            bells: Bells::default(),
        }
    }
}

/// Reconciles Repositories until `shutdown` comes. The catalog must be fed meanwhile.
pub async fn run(
    client: Client,
    catalog: Catalog,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let repositories: Api<Repository> = Api::all(client.clone());
    let means = Means {
        client,
        catalog,
        mirrors: settings.mirrors.clone(),
        tally: settings.tally.clone(),
        processes: settings.processes.clone(),
        failpoints: Failpoints::default(),
        clock: settings.clock.clone(),
    };
    let (context, moved) = repository::Context::new(means, settings);
    let context = Arc::new(context);
    let controller = Controller::new(repositories, watcher::Config::default())
        .with_config(controller::Config::default().concurrency(AT_ONCE))
        .reconcile_on(moved)
        .graceful_shutdown_on(shutdown);
    context.know(controller.store());
    let sweeping = sweep::run(context.clone(), controller.store());
    let reconciling = controller
        .run(repository::reconcile, again, context.clone())
        .for_each(|done| async {
            if let Err(error) = done {
                tracing::debug!(%error, "a reconciliation did not end well");
            }
        });
    tokio::select! {
        () = reconciling => {}
        () = sweeping => {}
    }
    context.stop().await;
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the controller hands it over so"
)]
fn again(repository: Arc<Repository>, error: &Error, _: Arc<repository::Context>) -> Action {
    let (namespace, name) = (repository.namespace(), repository.name_any());
    tracing::warn!(namespace, name, %error, "a Repository could not be reconciled");
    Action::requeue(RETRY)
}
