//! What is asked of a server that follows many repositories, and of the kernel about it.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use porch::api::{GitRepository, PackageRev, Repository, RepositorySpec};
use serde_json::{Value, json};

use crate::{git_server::GitServer, process::Server};

/// What webhooks show.
pub const SECRET: &str = "open sesame";
/// How many ticks of processor time the kernel counts in a second (`getconf CLK_TCK`).
const TICKS: u64 = 100;
const REVISIONS: &str = "/apis/porch.kpt.dev/v1alpha1/packagerevisions";

pub struct World {
    server: Server,
    git: GitServer,
}

/// Names of revisions that came, and when.
pub struct Events(mpsc::Receiver<(String, Instant)>);

impl World {
    pub fn new(server: Server, git: GitServer) -> Self {
        Self { server, git }
    }

    /// Returns the address of a repository.
    pub fn url(&self, name: &str) -> String {
        self.git.url(&format!("{name}.git"))
    }

    /// Registers repositories by their names.
    pub fn register(&self, names: impl Iterator<Item = String>) {
        let api = self.repositories();
        let parameters = PostParams::default();
        let all: Vec<Repository> = names
            .map(|name| {
                let git = GitRepository {
                    repo: self.url(&name),
                    ..GitRepository::default()
                };
                let spec = RepositorySpec {
                    type_: "git".into(),
                    git: Some(git),
                    ..RepositorySpec::default()
                };
                Repository::new(&name, spec)
            })
            .collect();
        let made = futures::stream::iter(all.iter().map(|it| api.create(&parameters, it)))
            .buffer_unordered(8)
            .try_collect::<Vec<_>>();
        self.server.runtime.block_on(made).unwrap();
    }

    /// Waits until so many repositories are ready.
    pub fn until_ready(&self, count: usize) {
        let api = self.repositories();
        let is_ready = |repository: &Repository| {
            let status = repository.status.as_ref();
            status.is_some_and(|status| {
                let mut conditions = status.conditions.iter();
                conditions.any(|it| it.type_ == "Ready" && it.status == "True")
            })
        };
        loop {
            let parameters = ListParams::default();
            let listed = api.list(&parameters);
            let listed = self.server.runtime.block_on(listed).unwrap();
            if listed.items.iter().filter(|it| is_ready(it)).count() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Returns how many revisions are listed.
    pub fn count(&self) -> usize {
        let list: Value = serde_json::from_str(&self.get(REVISIONS)).unwrap();
        list["items"].as_array().unwrap().len()
    }

    /// Returns how many looks there were.
    pub fn looks(&self) -> u64 {
        let metrics = self.get("/metrics");
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("porch_repository_sync_duration_seconds_count"));
        let counts = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
        counts.sum()
    }

    /// Returns the processor time that the server used so far.
    pub fn processor(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server.child.id()));
        let stat = stat.unwrap();
        // The name before the last parenthesis may hold anything; user and system time are the 14th and 15th field.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }

    /// Returns one of the kernel's figures of the server's memory, in megabytes.
    pub fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.child.id()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes / 1000
    }

    /// Tells the server that a repository was pushed to.
    pub fn tell(&self, name: &str) {
        let message = json!({"project": {"git_http_url": self.url(name)}});
        let request = http::Request::post("/webhooks/git")
            .header("content-type", "application/json")
            .header("x-gitlab-event", "Push Hook")
            .header("x-gitlab-token", SECRET)
            .body(message.to_string().into_bytes())
            .unwrap();
        let told = self.server.client.request_text(request);
        self.server.runtime.block_on(told).unwrap();
    }

    /// Writes one record, as a look does for what moved.
    pub fn write(&self, name: &str) {
        let api = Api::<PackageRev>::namespaced(self.server.client.clone(), "default");
        let patch = json!({"spec": {"metadata": {"labels": {"touched": uuid::Uuid::new_v4().to_string()}}}});
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        let patched = api.patch(name, &parameters, &patch);
        self.server.runtime.block_on(patched).unwrap();
    }

    /// Opens a watch of all revisions, from now on.
    pub fn watch(&self) -> Events {
        let list: Value = serde_json::from_str(&self.get(&format!("{REVISIONS}?limit=1"))).unwrap();
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{REVISIONS}?watch=1&resourceVersion={version}");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let (tell, told) = mpsc::channel();
        self.server.runtime.block_on(async {
            let mut lines = self
                .server
                .client
                .request_stream(request)
                .await
                .unwrap()
                .lines();
            tokio::spawn(async move {
                while let Some(Ok(line)) = lines.next().await {
                    let at = Instant::now();
                    let event: Value = serde_json::from_str(&line).unwrap();
                    if event["type"] == "ADDED" {
                        let name = event["object"]["metadata"]["name"].as_str().unwrap();
                        let _ = tell.send((name.to_owned(), at));
                    }
                }
            });
        });
        Events(told)
    }

    fn repositories(&self) -> Api<Repository> {
        Api::namespaced(self.server.client.clone(), "default")
    }

    fn get(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let got = self.server.client.request_text(request);
        self.server.runtime.block_on(got).unwrap()
    }
}

impl Events {
    /// Waits until this revision has come, and returns when it did.
    pub fn until(&self, name: &str) -> Instant {
        loop {
            let next = self.0.recv_timeout(Duration::from_mins(1));
            let (found, at) = next.unwrap_or_else(|_| panic!("{name} never came"));
            if found == name {
                return at;
            }
        }
    }
}
