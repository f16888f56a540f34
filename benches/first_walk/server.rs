//! What is measured of a `porch standalone` process, asked over HTTPS as any client would.

#[path = "../support/process.rs"]
mod process;

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use porch::api::{PackageRev, Repository};
use serde_json::{Value, json};

pub use process::Server;

/// How many records are written at once, as the server itself does.
const WRITERS: usize = 8;

/// Watches that are open.
pub struct Watchers {
    told: mpsc::Receiver<()>,
    count: usize,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// Returns how many revisions are listed.
    pub fn count(&self) -> usize {
        let list = self.get(
            "/apis/porch.kpt.dev/v1alpha1/packagerevisions",
            "application/json",
        );
        let list: Value = serde_json::from_str(&list).unwrap();
        list["items"].as_array().unwrap().len()
    }

    /// Returns what a GET answers.
    pub fn get(&self, path: &str, accept: &str) -> String {
        let request = http::Request::get(path)
            .header("accept", accept)
            .body(Vec::new())
            .unwrap();
        self.runtime
            .block_on(self.client.request_text(request))
            .unwrap()
    }

    /// Returns the records, ready to be written elsewhere.
    pub fn records(&self) -> Vec<PackageRev> {
        let list = self.get(
            "/apis/config.porch.kpt.dev/v1alpha1/packagerevs",
            "application/json",
        );
        let mut list: Value = serde_json::from_str(&list).unwrap();
        let records: Vec<PackageRev> = serde_json::from_value(list["items"].take()).unwrap();
        let mut records: Vec<_> = records
            .into_iter()
            .filter(|record| record.spec.observed.is_some())
            .collect();
        for record in &mut records {
            record.metadata.uid = None;
            record.metadata.resource_version = None;
            record.metadata.managed_fields = None;
        }
        records
    }

    /// Writes records, as many at once as the server does.
    pub fn write(&self, records: &[PackageRev]) {
        let api = Api::<PackageRev>::namespaced(self.client.clone(), "default");
        let parameters = PostParams::default();
        let writes = records.iter().map(|record| api.create(&parameters, record));
        let written = futures::stream::iter(writes)
            .buffer_unordered(WRITERS)
            .try_collect::<Vec<_>>();
        assert_eq!(self.runtime.block_on(written).unwrap().len(), records.len());
    }

    /// Opens watches of all revisions, from now on.
    pub fn watch(&self, count: usize) -> Watchers {
        let list = self.get(
            "/apis/porch.kpt.dev/v1alpha1/packagerevisions?limit=1",
            "application/json",
        );
        let list: Value = serde_json::from_str(&list).unwrap();
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned();
        let (tell, told) = mpsc::channel();
        let mut tasks = Vec::new();
        self.runtime.block_on(async {
            for _ in 0..count {
                let path = format!("/apis/porch.kpt.dev/v1alpha1/packagerevisions?watch=1&resourceVersion={version}");
                let request = http::Request::get(path).body(Vec::new()).unwrap();
                let mut lines = self.client.request_stream(request).await.unwrap().lines();
                let tell = tell.clone();
                tasks.push(tokio::spawn(async move {
                    while let Some(Ok(_)) = lines.next().await {
                        let _ = tell.send(());
                    }
                }));
            }
        });
        Watchers { told, count, tasks }
    }

    /// Changes one record, as its user would.
    pub fn touch_one(&self) {
        let api = Api::<PackageRev>::namespaced(self.client.clone(), "default");
        let patch = json!({"spec": {"metadata": {"labels": {"touched": uuid::Uuid::new_v4().to_string()}}}});
        let name = "many.team-00.package-0000.v1";
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        let patched = api.patch(name, &parameters, &patch);
        self.runtime.block_on(patched).unwrap();
    }

    /// Labels every revision through its own API, as a user would: who owns what is kept with each from then on.
    pub fn label_all(&self) {
        const REVISIONS: &str = "/apis/porch.kpt.dev/v1alpha1/namespaces/default/packagerevisions";
        let list: Value = serde_json::from_str(&self.get(REVISIONS, "application/json")).unwrap();
        let names = list["items"].as_array().unwrap().iter();
        let names = names.map(|item| item["metadata"]["name"].as_str().unwrap());
        let patch = json!({"metadata": {"labels": {"written": "yes"}}}).to_string();
        let writes = names.map(|name| {
            let request = http::Request::patch(format!("{REVISIONS}/{name}"))
                .header("content-type", "application/merge-patch+json")
                .body(patch.clone().into_bytes());
            self.client.request_text(request.unwrap())
        });
        let written = futures::stream::iter(writes)
            .buffer_unordered(WRITERS)
            .try_collect::<Vec<_>>();
        self.runtime.block_on(written).unwrap();
    }

    /// Has the server look at its repository so many times, and returns the median of what it says that one took.
    pub fn looks(&self, times: i64) -> Duration {
        let mut taken: Vec<_> = (0..times).map(|at| self.look(at)).collect();
        taken.sort_unstable();
        taken[taken.len() / 2]
    }

    /// Asks for a look, and returns how long it took. Each moment is acted on once, so that each must be another.
    fn look(&self, at: i64) -> Duration {
        let before = self.looked();
        let moment = jiff::Timestamp::from_second(1_000_000_000 + at).unwrap();
        let repositories = Api::<Repository>::namespaced(self.client.clone(), "default");
        let patch = json!({"spec": {"sync": {"runOnceAt": moment.to_string()}}});
        let acted = move |repository: Option<&Repository>| {
            let status = repository.and_then(|repository| repository.status.as_ref());
            let acted = status.and_then(|status| status.observed_run_once_at.as_ref());
            acted.is_some_and(|acted| acted.0 == moment)
        };
        self.runtime.block_on(async {
            let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
            let patched = repositories.patch("many", &parameters, &patch);
            patched.await.unwrap();
            let acted = kube::runtime::wait::await_condition(repositories, "many", acted);
            acted.await.unwrap();
        });
        let after = self.looked();
        assert_eq!(after.1, before.1 + 1, "one look was asked for");
        Duration::from_secs_f64(after.0 - before.0)
    }

    /// Returns how many seconds all looks took, and how many there were.
    fn looked(&self) -> (f64, u64) {
        let metrics = self.get("/metrics", "text/plain");
        let value = |name: &str| {
            let name = format!("porch_repository_sync_duration_seconds_{name}");
            let line = metrics.lines().find(|line| line.starts_with(&name));
            line.unwrap().rsplit_once(' ').unwrap().1
        };
        (
            value("sum").parse().unwrap(),
            value("count").parse().unwrap(),
        )
    }

    /// Returns the most memory that the process ever held, in kilobytes.
    pub fn peak(&self) -> usize {
        self.status("VmHWM")
    }

    /// Returns the memory that the process holds, in kilobytes.
    pub fn resident(&self) -> usize {
        self.status("VmRSS")
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Watchers {
    /// Returns how long after a deed the last watcher was told of it.
    pub fn told_of(&self, deed: impl FnOnce()) -> Duration {
        let begun = Instant::now();
        deed();
        for _ in 0..self.count {
            self.told
                .recv_timeout(Duration::from_mins(1))
                .expect("every watcher is told");
        }
        begun.elapsed()
    }
}
