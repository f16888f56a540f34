//! What both commands that serve are made of: the runtime, the signals, and everything between the cluster's records and
//! the registry. In come flags and a client; out go parts that fit together. Nothing is decided here.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use futures::FutureExt;
use kube::Client;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    api::REPOSITORY_CONFLICT,
    apiserver::{
        Denial, Health, Hear, Judge, Message, Metrics, Proposal, Registry,
        resources::{PackageRevisionResources, PackageRevisions, Packages},
    },
    cache::Catalog,
    config,
    controllers::{self, Admission, Pushed, Repositories, Wanted, Webhooks},
    engine::{self, Engine, Renderer},
    render::{
        self, Functions,
        elsewhere::{Confines, Executables, Runner, RunnerLimits},
    },
    sync::{self, Contents, Failpoints, Feed, Lanes, Mirrors, Processes, Tally},
};

/// How many changes are kept for those who follow: a reader may fall behind by as many. An entry shares its objects with
/// the cache, so this costs little while they are new.
const HISTORY: usize = 16_384;

/// How old records may be that are served while the cluster can't be followed. Longer than an API server takes to start anew
/// or a control plane to be upgraded; short enough that a replica which alone is cut off does not tell old news all day.
const OLDEST: Duration = Duration::from_mins(10);

/// How long nothing may be heard before that is worth a remark: while all is well the marker is touched twice as often.
const QUIET: Duration = Duration::from_mins(1);

/// How long threads may take to end after all else has: what they do to a mirror then, the next process finds as after a
/// kill.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// What is read and written: the records of a cluster, and the files behind them.
pub struct Reading {
    /// Feeds the cache.
    pub feed: Feed,
    /// The mirrors on this machine's disk.
    pub mirrors: Mirrors,
    /// What became of the looks at repositories, for `/metrics`.
    pub tally: Tally,
    /// What is counted of functions, for `/metrics`.
    rendering: render::Tally,
    /// This process, and others that write.
    pub processes: Processes,
    engine: Engine,
    contents: Contents,
    /// The task that feeds; ended when this is dropped.
    feeding: JoinHandle<()>,
}

impl Reading {
    /// Starts to read. The marker is in `namespace`; `allow_file` says whether `file://` addresses are allowed.
    #[must_use]
    pub fn start(
        (client, processes, renderer): (&Client, Processes, Renderer),
        namespace: &str,
        mirrors: Mirrors,
        allow_file: bool,
    ) -> Self {
        let feed = Feed::new(client.clone(), Catalog::new(HISTORY), namespace);
        let contents = Contents::new(client.clone(), mirrors.clone(), allow_file);
        let (tally, rendering) = (Tally::default(), renderer.tally().clone());
        let means = sync::Means {
            client: client.clone(),
            catalog: feed.catalog().clone(),
            mirrors: mirrors.clone(),
            tally: tally.clone(),
            processes: processes.clone(),
            failpoints: Failpoints::default(),
            clock: Arc::new(jiff::Timestamp::now),
        };
        let engine = Engine::new(engine::Means {
            feed: feed.clone(),
            contents: contents.clone(),
            lanes: Lanes::new(client.clone(), mirrors.clone()),
            sync: means,
            renderer,
            allow_file,
        });
        let feeding = tokio::spawn({
            let feed = feed.clone();
            async move { feed.run().await }
        });
        Self {
            feed,
            mirrors,
            tally,
            rendering,
            processes,
            engine,
            contents,
            feeding,
        }
    }

    /// Adds the kinds of `porch.kpt.dev` to what is served.
    #[must_use]
    pub fn register(&self, registry: Registry) -> Registry {
        let (feed, contents) = (self.feed.clone(), self.contents.clone());
        let engine = || self.engine.clone();
        let revisions = Arc::new(PackageRevisions::new(feed.clone(), engine()));
        let files = PackageRevisionResources::new(feed.clone(), contents, engine());
        let (files, packages) = (Arc::new(files), Arc::new(Packages::new(feed, engine())));
        registry
            .serve_with_keeper(revisions.clone(), revisions)
            .serve_with_keeper(files.clone(), files)
            .serve_with_keeper(packages.clone(), packages)
    }

    /// Returns health that fails until the records were read, and again when they could not be followed for long. All
    /// replicas lose a cluster's API server together, and none could send its readers elsewhere: so in a short outage they
    /// serve on, and the age of what is served is told.
    #[must_use]
    pub fn health(&self) -> Health {
        let (feed, catalog) = (self.feed.clone(), self.feed.catalog().clone());
        Health::new().remarking("informer-sync", move || {
            let silence = catalog.ready().then(|| catalog.silence()).flatten();
            judge(silence, feed.problem())
        })
    }

    /// Tells the age of what is served, and what became of the looks at repositories, among the metrics.
    pub fn measure(&self, metrics: &Metrics) {
        let age = Age(self.feed.catalog().clone());
        metrics.register(|registry| {
            self.tally.register(registry);
            self.rendering.register(registry);
            registry.register_collector(Box::new(age));
        });
    }
}

/// Returns who hears messages of Git servers.
#[must_use]
pub fn webhooks(
    flags: &config::Webhooks,
    repositories: &Arc<Repositories>,
    bells: &controllers::Bells,
) -> Option<Hear> {
    let shared = flags.webhook_secret_file.clone();
    flags.are_heard().then(|| {
        let webhooks = Webhooks::of(repositories.clone(), shared, bells.clone());
        let hear = move |message: Message| {
            let webhooks = webhooks.clone();
            let message = Pushed {
                repository: message.repository,
                headers: message.headers,
                body: message.body,
            };
            async move { webhooks.hear(message).await }.boxed()
        };
        Arc::new(hear) as Hear
    })
}

/// Returns who judges, for kube-apiserver, what users want of Repositories.
#[must_use]
pub fn admission(repositories: &Arc<Repositories>) -> Judge {
    let admission = Arc::new(Admission::among(repositories.clone()));
    Arc::new(move |proposal: Proposal| {
        let admission = admission.clone();
        let wanted = Wanted {
            object: proposal.object,
            before: proposal.before,
        };
        let denial = |rival| Denial {
            reason: REPOSITORY_CONFLICT,
            message: format!("Repository conflict with existing repository: {rival}"),
        };
        async move {
            let rival = admission.rival(wanted).await;
            rival
                .map(|rival| rival.map(denial))
                .map_err(|error| error.to_string())
        }
        .boxed()
    })
}

/// Returns who renders as the flags want it; executables work in directories below `scratch`. To be called within a runtime.
///
/// # Errors
/// A directory that is not there, and an address that is none.
pub fn renderer(flags: &config::Functions, scratch: &Path) -> anyhow::Result<Renderer> {
    let executables = flags.functions.as_deref().map(|directory| {
        std::fs::create_dir_all(scratch)?;
        let confines = Confines {
            time: flags.function_timeout,
            ..Confines::default()
        };
        let known = Executables::new(directory, scratch, confines);
        known.with_context(|| format!("--functions {}", directory.display()))
    });
    let runner = flags.function_runner.as_deref().map(|address| {
        let limits = RunnerLimits {
            time: flags.function_timeout,
            ..RunnerLimits::default()
        };
        Runner::new(address, limits).context("--function-runner")
    });
    let handle = tokio::runtime::Handle::current();
    let functions = Functions::new(
        &flags.default_image_prefix,
        executables.transpose()?,
        runner.transpose()?,
        handle,
    );
    let at_once = usize::try_from(flags.max_renders)?;
    let prefix = &flags.default_image_prefix;
    Ok(Renderer::new(functions, prefix, at_once).within(flags.function_timeout))
}

/// Returns whether records are served that are fresh enough, and what is to be remarked. They were heard of so long ago; if
/// they were read at all.
fn judge(silence: Option<Duration>, problem: Option<String>) -> Result<String, String> {
    match (silence, problem) {
        (None, problem) => Err(problem.unwrap_or_else(|| "the records were not read yet".into())),
        (Some(age), None) if age > QUIET => Ok(format!("what is served is {}s old", age.as_secs())),
        (Some(_), None) => Ok(String::new()),
        (Some(age), Some(problem)) => {
            let told = format!("{problem}; what is served is {}s old", age.as_secs());
            if age > OLDEST { Err(told) } else { Ok(told) }
        }
    }
}

/// The age of what is served, as it is when somebody asks.
struct Age(Catalog);

impl std::fmt::Debug for Age {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Age")
    }
}

impl Collector for Age {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Some(age) = self.0.silence() else {
            return Ok(());
        };
        let gauge = ConstGauge::new(age.as_secs_f64());
        let encoder = encoder.encode_descriptor(
            "porch_cache_age_seconds",
            "Time since anything was heard of the records that are served",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(encoder)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.feeding.abort();
    }
}

/// Runs `main` to its end, with threads and cryptography for it.
///
/// # Errors
/// What `main` fails with, or if there can be no threads.
pub fn run(main: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    share_memory();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // Only a second call can fail, and then what is wanted is there.
    let _ = provider.install_default();
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(main);
    // A thread that waits for a Git server that hangs can't be stopped, and nothing is lost with it.
    runtime.shutdown_timeout(LAST_GRACE);
    ended
}

/// Has all threads take memory from one place. By itself glibc gives each thread one of its own, and what is freed in one
/// is of no use in another: a first sync is read by one thread, written by a second and kept by a third.
fn share_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it sets a plain number of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Lets this process have as many files and connections as it may: what it begins with is often 1,024, which so many idle
/// connections would use up.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, ?current, "there can be no more open files than there may be");
    }
}

/// Cancels `stop` on SIGTERM and Ctrl-C; the second of them ends the process at once.
///
/// # Errors
/// If signals can't be heard.
pub fn end_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(1);
            }
            tracing::info!("ending");
            stop.cancel();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_on_through_a_short_outage_and_end_after_a_long_one() {
        let (problem, seconds) = (|| Some("no answer".to_owned()), Duration::from_secs);
        let old = |age: u64| format!("no answer; what is served is {age}s old");
        for (silence, problem, told) in [
            (None, None, Err("the records were not read yet".to_owned())),
            (None, problem(), Err("no answer".into())),
            (Some(seconds(3)), None, Ok(String::new())),
            (Some(seconds(60)), None, Ok(String::new())),
            (
                Some(seconds(3000)),
                None,
                Ok("what is served is 3000s old".into()),
            ),
            (Some(seconds(60)), problem(), Ok(old(60))),
            (Some(seconds(600)), problem(), Ok(old(600))),
            (Some(seconds(601)), problem(), Err(old(601))),
        ] {
            assert_eq!(judge(silence, problem), told);
        }
    }
}
