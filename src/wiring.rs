//! What both commands that serve are made of: the runtime, the signals, and everything between the cluster's records and
//! the registry. In come flags and a client; out go parts that fit together. Nothing is decided here.

use std::{path::PathBuf, sync::Arc, time::Duration};

use kube::Client;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    apiserver::{
        Health, Registry,
        resources::{PackageRevisionResources, PackageRevisions, Packages},
    },
    cache::Catalog,
    engine::{self, Engine},
    sync::{self, Contents, Failpoints, Feed, Lanes, Mirrors, Processes, Tally},
};

/// How many changes are kept for those who follow: a reader may fall behind by as many. An entry shares its objects with
/// the cache, so this costs little while they are new.
const HISTORY: usize = 16_384;

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
        (client, processes): (&Client, Processes),
        namespace: &str,
        mirrors: PathBuf,
        allow_file: bool,
    ) -> Self {
        let feed = Feed::new(client.clone(), Catalog::new(HISTORY), namespace);
        let mirrors = Mirrors::new(mirrors);
        let contents = Contents::new(client.clone(), mirrors.clone(), allow_file);
        let tally = Tally::default();
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

    /// Returns health that fails while the records can't be followed.
    #[must_use]
    pub fn health(&self) -> Health {
        let (feed, catalog) = (self.feed.clone(), self.feed.catalog().clone());
        Health::new().ready("informer-sync", move || match feed.problem() {
            Some(problem) => Err(match catalog.silence() {
                Some(age) => format!("{problem}; what is served is {}s old", age.as_secs()),
                None => problem,
            }),
            None if catalog.ready() => Ok(()),
            None => Err("the records were not read yet".into()),
        })
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
