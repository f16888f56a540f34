//! A world for tests: a control plane in memory, the feed of a catalog, the reconcilers, and real bare repositories made
//! with the git command line. Time is paused: it moves when nothing else does.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use porch::{
    api::{PackageRev, Repository},
    cache::Catalog,
    controllers::{self, Settings},
    git::Timeouts,
    standalone::{ControlPlane, Definition, Persistence},
    sync::{Clock, Contents, Feed, Mirrors},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::git_server::GitServer;

/// Longer than anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_hours(1);

/// How long a Git server may take, and how often each is asked.
type Patience = (Timeouts, Duration);

pub struct World {
    pub client: Client,
    pub catalog: Catalog,
    pub contents: Contents,
    pub directory: tempfile::TempDir,
    /// How long a nap is.
    pub pace: Duration,
    /// How long it may last on a real clock: what waits for what never comes must fail, with words.
    pub limit: Duration,
    begun: std::time::Instant,
    clock: Clock,
    patience: Patience,
    /// What runs until the world ends.
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(Timeouts {
            connect: Duration::from_secs(2),
            idle: Duration::from_secs(2),
            whole: Duration::from_secs(5),
        })
        .await
    }

    /// A world that has so much patience with Git servers.
    pub async fn start_with(timeouts: Timeouts) -> Self {
        Self::start_asking((timeouts, Duration::from_mins(5))).await
    }

    pub async fn start_asking(patience: Patience) -> Self {
        let definitions = [Repository::crd(), PackageRev::crd()];
        let definitions = definitions
            .iter()
            .map(|crd| Definition::custom(crd).unwrap())
            .collect();
        let plane = ControlPlane::start(Persistence::Memory, definitions, &["porch-system"])
            .await
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self::over(plane.client(), directory, patience)
    }

    /// Ends the process; the cluster goes on.
    pub async fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }

    /// Another process over the same cluster, with the same disk.
    pub fn restart(mut self) -> Self {
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        let (client, patience) = (self.client.clone(), self.patience);
        drop(self);
        Self::over(client, directory, patience)
    }

    fn over(client: Client, directory: tempfile::TempDir, patience: Patience) -> Self {
        let (timeouts, interval) = patience;
        let catalog = Catalog::new(1000);
        let mirrors = Mirrors::new(directory.path().join("cache")).with_timeouts(timeouts);
        let feed = Feed::new(client.clone(), catalog.clone(), "porch-system");
        let mut settings = Settings::new(mirrors.clone(), true, interval);
        let (begun, at) = (
            Instant::now(),
            "2030-01-01T00:00:00Z".parse::<Timestamp>().unwrap(),
        );
        let clock: Clock = Arc::new(move || at + begun.elapsed());
        settings.clock = clock.clone();
        settings.zone = TimeZone::UTC;
        let contents = Contents::new(client.clone(), mirrors, true);
        let running = controllers::run(
            client.clone(),
            catalog.clone(),
            settings,
            std::future::pending(),
        );
        let tasks = vec![
            tokio::spawn(async move { feed.run().await }),
            tokio::spawn(running),
        ];
        Self {
            client,
            catalog,
            contents,
            directory,
            pace: Duration::from_secs(1),
            limit: Duration::from_mins(5),
            begun: std::time::Instant::now(),
            clock,
            patience,
            tasks,
        }
    }

    /// Returns the time, as the reconcilers see it.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub fn repositories(&self) -> Api<Repository> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn records(&self) -> Api<PackageRev> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn register(&self, name: &str, spec: Value) {
        let repository = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec,
        });
        let repository = serde_json::from_value(repository).unwrap();
        self.repositories()
            .create(&PostParams::default(), &repository)
            .await
            .unwrap();
    }

    pub async fn register_git(&self, name: &str, git: &Git) {
        self.register(name, json!({"type": "git", "git": {"repo": git.url()}}))
            .await;
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        let patch = Patch::Merge(patch);
        self.repositories()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub async fn repository(&self, name: &str) -> Repository {
        self.repositories().get(name).await.unwrap()
    }

    /// Waits until the `Ready` condition is as wanted, and returns the Repository.
    pub async fn until_ready(&self, name: &str, wanted: impl Fn(&Condition) -> bool) -> Repository {
        let repository = || async { self.repository(name).await };
        let mut last = None;
        let done = async {
            loop {
                let repository = repository().await;
                if condition(&repository, "Ready").is_some_and(&wanted) {
                    return repository;
                }
                last = Some(repository);
                self.nap().await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, done).await;
        done.unwrap_or_else(|_| {
            panic!(
                "{name} never came to be as wanted: {:?}",
                last.map(|it| it.status)
            )
        })
    }

    pub async fn until_reason(&self, name: &str, reason: &str) -> Repository {
        self.until_ready(name, |ready| ready.reason == reason).await
    }

    /// Waits until exactly these revisions are served; `*` marks the latest.
    pub async fn until_served(&self, expected: &[&str]) {
        let done = async {
            while self.served() != expected {
                self.nap().await;
            }
        };
        if tokio::time::timeout(PATIENCE, done).await.is_err() {
            assert_eq!(self.served(), expected);
        }
    }

    pub fn served(&self) -> Vec<String> {
        let all = self.catalog.revisions().snapshot();
        let shown = |record: &PackageRev| {
            let latest = record.spec.observed.as_ref().is_some_and(|it| it.latest);
            format!("{}{}", record.name_any(), if latest { "*" } else { "" })
        };
        all.objects
            .values()
            .map(|revision| shown(revision.record()))
            .collect()
    }

    /// Lets some time go by, a second on the paused clock, and real work go on.
    pub async fn nap(&self) {
        let lasted = self.begun.elapsed();
        assert!(
            lasted < self.limit,
            "what is waited for did not come in {lasted:.0?}"
        );
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(2)))
            .await
            .unwrap();
        sleep(self.pace).await;
    }

    pub async fn wait(&self, seconds: u64) {
        for _ in 0..seconds {
            self.nap().await;
        }
    }
}

pub fn condition<'a>(repository: &'a Repository, type_: &str) -> Option<&'a Condition> {
    let conditions = &repository.status.as_ref()?.conditions;
    conditions.iter().find(|it| it.type_ == type_)
}

/// Serves the repositories of a world over HTTP; begun elsewhere, since it has a runtime of its own.
pub fn serve(world: &World) -> GitServer {
    let root = world.directory.path().to_owned();
    std::thread::spawn(move || GitServer::http(&root))
        .join()
        .unwrap()
}

/// Serves them over TLS, with an authority of its own.
pub fn serve_tls(world: &World) -> GitServer {
    let root = world.directory.path().to_owned();
    std::thread::spawn(move || GitServer::https(&root))
        .join()
        .unwrap()
}

/// A bare repository, and a work tree from which strangers push to it.
pub struct Git {
    pub bare: PathBuf,
    work: PathBuf,
}

impl Git {
    /// A repository with a commit on its branch.
    pub fn new(world: &World, name: &str) -> Self {
        let git = Self::empty(world, name);
        git.git(&["commit", "-q", "--allow-empty", "-m", "begin"]);
        git.git(&["push", "-q", "origin", "main"]);
        git
    }

    /// A repository without a commit.
    pub fn empty(world: &World, name: &str) -> Self {
        let bare = world.directory.path().join(format!("{name}.git"));
        let work = world.directory.path().join(name);
        let git = Self { bare, work };
        for path in [&git.bare, &git.work] {
            std::fs::create_dir(path).unwrap();
        }
        let bare = git.bare.to_str().unwrap().to_owned();
        run(&git.bare, &["init", "-q", "--bare", "-b", "main", "."]);
        run(
            &git.bare,
            &["config", "receive.denyDeleteCurrent", "ignore"],
        );
        run(&git.work, &["init", "-q", "-b", "main", "."]);
        git.git(&["remote", "add", "origin", &bare]);
        git
    }

    /// Returns the commit that a branch of the bare repository is at; nothing if there is none.
    pub fn head(&self, branch: &str) -> String {
        let name = format!("refs/heads/{branch}");
        run(
            &self.bare,
            &["for-each-ref", "--format=%(objectname)", &name],
        )
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.bare.display())
    }

    pub fn git(&self, words: &[&str]) -> String {
        run(&self.work, words)
    }

    /// Commits a package with these words in its file.
    pub fn package(&self, path: &str, words: &str) {
        let directory = self.work.join(path);
        std::fs::create_dir_all(&directory).unwrap();
        let name = path.rsplit('/').next().unwrap();
        let kptfile = format!("apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: {name}\n");
        std::fs::write(directory.join("Kptfile"), kptfile).unwrap();
        std::fs::write(directory.join("README.md"), words).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", words]);
    }

    pub fn push(&self, refs: &[&str]) {
        let words: Vec<&str> = ["push", "-q", "--force", "origin"]
            .iter()
            .chain(refs)
            .copied()
            .collect();
        self.git(&words);
    }
}

fn run(directory: &std::path::Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(directory)
        .args(words)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ann")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ann@example.com")))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}
