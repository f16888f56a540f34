//! A control plane in memory, one bare repository behind a real Git server, and replicas of the server over both: each has
//! a catalog, a feed, mirrors, lanes and threads of its own, so that it can be killed and started anew.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::Request;
use jiff::{Timestamp, tz::TimeZone};
use kube::{Api, Client, CustomResourceExt, api::PostParams};
use porch::{
    api::{PackageRev, Repository},
    apiserver::{
        Identity, Registry, Server,
        resources::{PackageRevisionResources, PackageRevisions, Packages},
    },
    cache::Catalog,
    controllers::{self, Settings},
    engine::{self, Engine},
    standalone::{ControlPlane, Definition, Persistence},
    sync::{self, Contents, Failpoints, Feed, Lanes, Mirrors, Processes, Tally, lease::Terms},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{
    git_server::{GitServer, git},
    witness::Witness,
};

/// The namespace of the server's own objects.
const HOME: &str = "porch-system";
/// What precedes the names of objects.
pub const BASE: &str = "/apis/porch.kpt.dev/v1alpha1/namespaces/default";
/// Longer than anything may take on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at whether something came to be.
const NAP: Duration = Duration::from_millis(10);

/// How a replica comes to Git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Smart HTTP.
    Http,
    /// The directory.
    File,
}

/// The cluster and the repository.
pub struct World {
    runtime: Runtime,
    pub plane: ControlPlane,
    pub server: GitServer,
    root: tempfile::TempDir,
    way: Way,
}

impl World {
    /// Starts one with a repository that has a branch and no packages, registered as `r`.
    pub fn start(way: Way) -> Self {
        let root = tempfile::tempdir().unwrap();
        let served = root.path().join("served");
        std::fs::create_dir(&served).unwrap();
        make_repository(&served.join("r.git"));
        let git_server = GitServer::http(&served);
        let runtime = Runtime::new().unwrap();
        let definitions = [Repository::crd(), PackageRev::crd()];
        let definitions = definitions
            .iter()
            .map(|crd| Definition::custom(crd).unwrap())
            .collect();
        let plane = ControlPlane::start(Persistence::Memory, definitions, &[HOME]);
        let plane = runtime.block_on(plane).unwrap();
        let world = Self {
            runtime,
            plane,
            server: git_server,
            root,
            way,
        };
        world.run(world.register("r"));
        world
    }

    /// Runs a story to its end.
    pub fn run<F: Future>(&self, story: F) -> F::Output {
        self.runtime.block_on(story)
    }

    /// Returns the bare repository.
    pub fn bare(&self) -> PathBuf {
        self.root.path().join("served/r.git")
    }

    /// Runs git in the bare repository.
    pub fn git(&self, words: &[&str]) -> String {
        git(&self.bare(), words).trim_end().to_owned()
    }

    /// Returns what a ref points at.
    pub fn head(&self, name: &str) -> Option<String> {
        let format = "--format=%(refname) %(objectname)";
        let all = self.git(&["for-each-ref", format, name]);
        let mut lines = all.lines().filter_map(|line| line.split_once(' '));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, id)| id.to_owned())
    }

    /// Returns how many pushes were sent since the last call.
    pub fn pushes(&self) -> usize {
        let requests = self.server.requests();
        let pushes = requests
            .iter()
            .filter(|line| line.starts_with("POST") && line.ends_with("/git-receive-pack"));
        pushes.count()
    }

    /// Returns the records.
    pub fn records(&self) -> Api<PackageRev> {
        Api::namespaced(self.plane.client(), "default")
    }

    async fn register(&self, name: &str) {
        let url = match self.way {
            Way::Http => self.server.url(&format!("{name}.git")),
            Way::File => format!("file://{}", self.bare().display()),
        };
        let repository = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "git", "git": {"repo": url}},
        });
        let repository: Repository = serde_json::from_value(repository).unwrap();
        let api = Api::namespaced(self.plane.client(), "default");
        api.create(&PostParams::default(), &repository)
            .await
            .unwrap();
    }

    fn mirrors(&self, name: &str) -> PathBuf {
        self.root.path().join("mirrors").join(name)
    }
}

/// Makes the bare repository; what is pushed to it is noted in `pushed.log`, and a ref named in `decline` is refused.
fn make_repository(bare: &std::path::Path) {
    std::fs::create_dir(bare).unwrap();
    git(bare, &["init", "-q", "--bare", "-b", "main", "."]);
    for (key, value) in [
        ("receive.autogc", "false"),
        ("gc.auto", "0"),
        ("core.fsync", "none"),
    ] {
        git(bare, &["config", key, value]);
    }
    let tree = git(bare, &["mktree"]);
    let commit = git(bare, &["commit-tree", "-m", "begin", tree.trim()]);
    git(bare, &["update-ref", "refs/heads/main", commit.trim()]);
    hook(bare, "post-receive", "exec cat >> pushed.log");
}

/// Gives a repository a hook.
pub fn hook(bare: &std::path::Path, name: &str, words: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = bare.join("hooks").join(name);
    std::fs::create_dir_all(bare.join("hooks")).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{words}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a replica is.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Its name; the mirrors of one name are on one disk.
    pub name: &'static str,
    /// Whether it looks at the repository by itself, and how often.
    pub leads: Option<Duration>,
    /// How long a Lease lasts by which it knows others; nothing if all others are dead.
    pub terms: Option<Terms>,
}

impl Role {
    /// Returns the role of one that is alone, and looks often.
    pub fn leader(name: &'static str) -> Self {
        let leads = Some(Duration::from_millis(500));
        Self {
            name,
            leads,
            terms: None,
        }
    }

    /// Returns the role of one that never looks at the repository by itself.
    pub fn follower(name: &'static str) -> Self {
        Self {
            name,
            leads: None,
            terms: None,
        }
    }

    /// Returns the same among others.
    pub fn among(self, terms: Terms) -> Self {
        Self {
            terms: Some(terms),
            ..self
        }
    }
}

/// Leases so short that a test can wait for their end, and so long that a slow machine keeps them.
pub const SHORT: Terms = Terms {
    lasting: Duration::from_secs(2),
    renewed_within: Duration::from_millis(1500),
    every: Duration::from_millis(200),
};

/// A server.
pub struct Replica {
    pub role: Role,
    pub catalog: Catalog,
    pub failpoints: Failpoints,
    pub witness: Witness,
    client: Client,
    /// Ends the stream of records.
    feeding: tokio::task::AbortHandle,
    /// Nothing once it was killed.
    runtime: Mutex<Option<Runtime>>,
}

/// What a caller is told who does not get what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status code; zero if there was no answer.
    pub code: u16,
    pub message: String,
}

pub type Answer = Result<Value, Told>;

impl Replica {
    /// Starts one, and waits until it serves.
    pub async fn start(world: &World, role: Role) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (plane, mirrors) = (world.plane.clone(), Mirrors::new(world.mirrors(role.name)));
        let started = runtime.spawn(begin(plane, mirrors, role)).await;
        let (means, client, witness, feeding) = started.unwrap();
        Self {
            role,
            catalog: means.catalog.clone(),
            failpoints: means.failpoints.clone(),
            witness,
            client,
            feeding,
            runtime: Mutex::new(Some(runtime)),
        }
    }

    /// Ends it without a word.
    pub fn kill(&self) {
        if let Some(runtime) = self.runtime.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }

    /// Returns whether it was not killed yet.
    pub fn is_alive(&self) -> bool {
        self.runtime.lock().unwrap().is_some()
    }

    fn handle(&self) -> Option<tokio::runtime::Handle> {
        let runtime = self.runtime.lock().unwrap();
        runtime.as_ref().map(|runtime| runtime.handle().clone())
    }

    /// Has it hear nothing more of the records: its cache is stale from now on.
    pub fn blind(&self) {
        self.feeding.abort();
    }

    /// Starts another process in its place.
    pub async fn restart(&mut self, world: &World) {
        self.kill();
        let history = self.witness.clone();
        *self = Self::start(world, self.role).await;
        self.witness.inherit(&history);
    }

    /// Asks for something, and returns what is answered.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let client = self.client.clone();
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE}/{path}"))
            .header("content-type", kind)
            .body(body.map_or_else(Vec::new, |body| serde_json::to_vec(&body).unwrap()))
            .unwrap();
        let Some(runtime) = self.handle() else {
            return Err(dead("it was killed before"));
        };
        let asked = runtime.spawn(async move { client.request::<Value>(request).await });
        match asked.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => Err(Told {
                code: status.code,
                message: status.message.clone(),
            }),
            Ok(Err(other)) => Err(dead(&other.to_string())),
            Err(gone) => Err(dead(&gone.to_string())),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, None).await
    }

    /// Makes a draft of a new package.
    pub async fn init(&self, package: &str, workspace: &str) -> Answer {
        self.post("packagerevisions", draft(package, workspace, &json!([])))
            .await
    }

    /// Brings a revision to a stage of its life.
    pub async fn lifecycle(&self, name: &str, to: &str) -> Answer {
        let way = if to == "Published" { "/approval" } else { "" };
        let path = format!("packagerevisions/{name}{way}");
        self.patch(&path, json!({"spec": {"lifecycle": to}})).await
    }

    /// Makes a revision and publishes it.
    pub async fn publish(&self, package: &str, workspace: &str) {
        let name = format!("r.{package}.{workspace}");
        self.init(package, workspace).await.unwrap();
        self.lifecycle(&name, "Proposed").await.unwrap();
        self.lifecycle(&name, "Published").await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the object of a draft that is to be made.
pub fn draft(package: &str, workspace: &str, tasks: &Value) -> Value {
    json!({
        "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
        "metadata": {"namespace": "default"},
        "spec": {"repository": "r", "packageName": package, "workspaceName": workspace, "tasks": tasks},
    })
}

/// Returns that there was no answer.
pub fn dead(why: &str) -> Told {
    Told {
        code: 0,
        message: why.into(),
    }
}

/// What a process is made of.
type Begun = (sync::Means, Client, Witness, tokio::task::AbortHandle);

async fn begin(plane: ControlPlane, mirrors: Mirrors, role: Role) -> Begun {
    let client = plane.client();
    let processes = match role.terms {
        Some(terms) => Processes::among(client.clone(), HOME, terms),
        None => Processes::alone(),
    };
    let living = processes
        .clone()
        .live(client.clone(), HOME.into(), CancellationToken::new());
    tokio::spawn(living);
    let catalog = Catalog::new(100_000);
    let feed = Feed::new(client.clone(), catalog.clone(), HOME);
    let means = sync::Means {
        client: client.clone(),
        catalog: catalog.clone(),
        mirrors: mirrors.clone(),
        tally: Tally::default(),
        processes: processes.clone(),
        failpoints: Failpoints::default(),
        clock: Arc::new(Timestamp::now),
    };
    let server = serve(&plane, &feed, &means);
    let feeding = tokio::spawn(async move { feed.run().await }).abort_handle();
    catalog.until_ready().await;
    let witness = Witness::of(&catalog);
    if let Some(interval) = role.leads {
        let mut settings = Settings::new(mirrors, true, interval);
        settings.processes = processes;
        settings.zone = TimeZone::UTC;
        tokio::spawn(controllers::run(
            client,
            catalog,
            settings,
            std::future::pending(),
        ));
    }
    (means, server, witness, feeding)
}

/// Returns a client of the kinds of `porch.kpt.dev` over a feed.
fn serve(plane: &ControlPlane, feed: &Feed, means: &sync::Means) -> Client {
    let contents = Contents::new(means.client.clone(), means.mirrors.clone(), true);
    let engine = Engine::new(engine::Means {
        feed: feed.clone(),
        contents: contents.clone(),
        lanes: Lanes::new(means.client.clone(), means.mirrors.clone()),
        sync: means.clone(),
        renderer: engine::Renderer::new(
            porch::render::Functions::new("", None, None, tokio::runtime::Handle::current()),
            porch::render::DEFAULT_IMAGE_PREFIX,
            2,
        ),
        allow_file: true,
    });
    let revisions = Arc::new(PackageRevisions::new(feed.clone(), engine.clone()));
    let files = PackageRevisionResources::new(feed.clone(), contents, engine.clone());
    let (files, packages) = (
        Arc::new(files),
        Arc::new(Packages::new(feed.clone(), engine)),
    );
    let registry = plane
        .register(Registry::new())
        .serve_with_keeper(revisions.clone(), revisions)
        .serve_with_keeper(files.clone(), files)
        .serve_with_keeper(packages.clone(), packages);
    let settings = porch::apiserver::Settings {
        quiet: true,
        ..porch::apiserver::Settings::default()
    };
    let server = Server::new(registry, settings);
    let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
        let server = server.clone();
        async move {
            request.extensions_mut().insert(Identity::master("alice"));
            Ok::<_, Infallible>(server.answer(request).await)
        }
    });
    Client::new(service, "default")
}

/// Waits until there is nothing that `problem` can name.
pub async fn until_none(what: &str, mut problem: impl AsyncFnMut() -> Option<String>) {
    let begun = Instant::now();
    loop {
        let Some(known) = problem().await else { return };
        assert!(begun.elapsed() < PATIENCE, "{what}: {known}");
        tokio::time::sleep(NAP).await;
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    until_none(what, async || (!is()).then(String::new)).await;
}
