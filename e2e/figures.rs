//! What reading costs, beside what kube-apiserver's own reading of the records behind it costs in the same run. Nothing is
//! asserted: machines differ. `e2e/run --bench` builds the server for release and prints the table.

use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use http::Request;
use http_body_util::BodyExt;
use kube::{Api, Client, api::PostParams};
use porch::api::PackageRev;
use serde_json::Value;
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    plane::{self, eventually},
    record::record,
    rig::Rig,
    subject::Subject,
};

const PACKAGES: usize = 1000;
const REVISIONS: i64 = 10;
const WATCHERS: usize = 1000;
/// How many records are written at once.
const WRITERS: usize = 32;

/// One way to the same objects.
struct Way {
    name: &'static str,
    client: Client,
    collection: String,
    one: String,
}

impl Way {
    fn new(name: &'static str, client: Client, collection: String) -> Self {
        let one = format!("{collection}/r.package-0500.v5");
        Self {
            name,
            client,
            collection,
            one,
        }
    }

    /// Returns how many bytes come, after they all came.
    async fn read(&self, uri: &str) -> usize {
        let request = Request::get(uri).body(kube::client::Body::empty()).unwrap();
        let (parts, mut body) = self.client.send(request).await.unwrap().into_parts();
        assert_eq!(parts.status.as_u16(), 200, "{uri}");
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().map_or(0, bytes::Bytes::len);
        }
        bytes
    }

    /// Opens watches from now on; each tells once, when it hears of this mark.
    async fn watch(&self, mark: &str, tell: &mpsc::UnboundedSender<()>) -> Vec<AbortHandle> {
        let uri = format!("{}?limit=1", self.collection);
        let request = Request::get(uri).body(Vec::new()).unwrap();
        let list: Value = self.client.request(request).await.unwrap();
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        let uri = format!("{}?watch=1&resourceVersion={version}", self.collection);
        let opened = futures::stream::iter(0..WATCHERS).map(|_| async {
            let request = Request::get(&uri).body(Vec::new()).unwrap();
            let stream = self.client.request_stream(request).await.unwrap();
            spawn_teller(stream, format!("\"mark\":\"{mark}\""), tell.clone())
        });
        opened.buffer_unordered(50).collect().await
    }
}

fn spawn_teller(
    stream: impl futures::AsyncBufRead + Send + Unpin + 'static,
    mark: String,
    tell: mpsc::UnboundedSender<()>,
) -> AbortHandle {
    let mut lines = stream.lines();
    let telling = tokio::spawn(async move {
        while let Some(Ok(line)) = lines.next().await {
            if line.contains(&mark) {
                let _ = tell.send(());
                return;
            }
        }
    });
    telling.abort_handle()
}

async fn fill(subject: &Subject) {
    let api: Api<PackageRev> = subject.records();
    let params = PostParams::default();
    let records = (0..PACKAGES).flat_map(|package| {
        let name = format!("package-{package:04}");
        (1..=REVISIONS).map(move |revision| record(&name, revision))
    });
    let writes = records.map(|record| {
        let (api, params) = (&api, &params);
        async move { api.create(params, &record).await }
    });
    let written = futures::stream::iter(writes).buffer_unordered(WRITERS);
    written.try_for_each(async |_| Ok(())).await.unwrap();
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort_unstable();
    taken[taken.len() / 2]
}

/// Returns the median time of each way, asked in turn.
async fn times(ways: &[Way], rounds: usize, uri: impl Fn(&Way) -> &str) -> Vec<(Duration, usize)> {
    let mut taken = vec![(Vec::new(), 0); ways.len()];
    for _ in 0..rounds {
        for (way, (times, bytes)) in ways.iter().zip(&mut taken) {
            let begun = Instant::now();
            *bytes = way.read(uri(way)).await;
            times.push(begun.elapsed());
        }
    }
    let taken = taken.into_iter();
    taken.map(|(times, bytes)| (median(times), bytes)).collect()
}

fn print(what: &str, ways: &[Way], times: &[(Duration, usize)]) {
    let bare = times[0].0.as_secs_f64();
    for (way, (time, bytes)) in ways.iter().zip(times) {
        println!(
            "{what:<9} {:<28} {time:>10.2?}  x {:.2}  {bytes} bytes",
            way.name,
            time.as_secs_f64() / bare
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "bench"]
async fn figures() {
    let rig = Rig::start("figures").await;
    let (subject, _wire) = rig.aggregated().await;
    fill(&subject).await;
    let namespace = &subject.namespace;
    let user = rig.plane.user("admin", "system:masters");
    let direct = rig.plane.kubeconfig_with(rig.replica.address(), &user);
    let direct = Client::try_from(plane::config(direct)).unwrap();
    let records = format!("/apis/config.porch.kpt.dev/v1alpha1/namespaces/{namespace}/packagerevs");
    let ours = subject.path("packagerevisions");
    let ways = [
        Way::new("records, of kube-apiserver", rig.plane.client(), records),
        Way::new("revisions, direct", direct, ours.clone()),
        Way::new("revisions, aggregated", rig.plane.client(), ours.clone()),
    ];
    let newest = subject
        .create("the.last", porch::package::Lifecycle::Draft)
        .await;
    eventually("everything is served", async || {
        let uri = format!("{ours}?resourceVersion={newest}&limit=1");
        (subject.get(&uri, "application/json").await.0 == 200).then_some(())
    })
    .await;
    println!("{PACKAGES} packages x {REVISIONS} revisions");
    print("LIST", &ways, &times(&ways, 9, |it| &it.collection).await);
    print("GET", &ways, &times(&ways, 99, |it| &it.one).await);
    for (number, way) in ways.iter().enumerate() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mark = number.to_string();
        let watching = way.watch(&mark, &tell).await;
        let begun = Instant::now();
        subject.label("the.last", &mark).await;
        for _ in 0..WATCHERS {
            let heard = tokio::time::timeout(Duration::from_mins(1), told.recv()).await;
            heard.expect("every watcher is told");
        }
        println!(
            "WATCH     {:<28} {:>10.2?}  {WATCHERS} watchers, one change, until the last is told",
            way.name,
            begun.elapsed()
        );
        watching.iter().for_each(AbortHandle::abort);
    }
    rig.end().await;
}
