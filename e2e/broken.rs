//! A hundred Repositories, twenty of them broken, each in its own way: what a push to one of the others takes until those
//! who watch hear of it, without the broken ones and beside them. The times are printed; what is asserted is counted.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use porch::api::Repository;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    git_server::{GitServer, git},
    plane::{self, Alone, eventually},
    repositories::{Origin, origin},
    served::{self, Replica},
    trouble::{faults, strange_pack},
};

const HEALTHY: usize = 80;
/// How many pushes are timed, without the broken ones and beside them.
const PUSHES: usize = 40;
/// What the server believes messages of Git servers by.
const KEY: &str = "open sesame";
/// Of what can be wrong with a server, these; three more are none of a server that answers.
const FAULTS: [&str; 17] = [
    "401",
    "403",
    "404",
    "429",
    "500",
    "503 with a time",
    "elsewhere",
    "a page",
    "an error in words",
    "silence",
    "silence in the list",
    "a list that is cut",
    "a list for ever",
    "no pack",
    "a garbled pack",
    "a cut pack",
    "another's objects",
];

/// One that is broken.
struct Broken {
    name: String,
    url: String,
    /// What its condition says; nothing while its server is waited for.
    told: Option<&'static str>,
    /// What is to be waited for, if it is there at all.
    server: Option<GitServer>,
}

struct Town {
    plane: Alone,
    replica: Replica,
    client: Client,
    namespace: String,
    roots: PathBuf,
    /// Where strangers push from.
    work: Origin,
    git: GitServer,
    /// Names of revisions, each when it is heard of.
    heard: mpsc::UnboundedReceiver<(String, Instant)>,
    pushed: usize,
}

impl Town {
    async fn start() -> Self {
        let plane = plane::alone().await;
        served::grant(&plane).await;
        let directory = plane.directory("broken");
        let key = directory.join("key");
        std::fs::write(&key, KEY).unwrap();
        // Nobody looks by the clock meanwhile, so what is asked of the servers can be counted.
        let flags = [
            format!("--webhook-secret-file={}", key.display()),
            "--sync-interval=1h".to_owned(),
        ];
        let replica = Replica::start_proven(&plane, "broken-server", &flags).await;
        served::register(&plane, replica.address()).await;
        let namespace = plane.namespace("broken").await;
        let roots = directory.join("git");
        let work = origin(&directory, "r0");
        for number in 1..HEALTHY {
            git(
                &roots,
                &["clone", "-q", "--bare", "r0", &format!("r{number}")],
            );
        }
        let git = tokio::task::block_in_place(|| GitServer::http(&roots));
        let heard = follow(&plane.client(), &namespace).await;
        Self {
            client: replica.client(&plane),
            plane,
            replica,
            namespace,
            roots,
            work,
            git,
            heard,
            pushed: 1,
        }
    }

    fn repositories(&self) -> Api<Repository> {
        Api::namespaced(self.plane.client(), &self.namespace)
    }

    async fn register(&self, name: &str, url: &str) {
        let repository = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": { "name": name }, "spec": { "type": "git", "git": { "repo": url } },
        });
        let made = plane::apply(&self.repositories(), name, &repository).await;
        made.unwrap();
    }

    /// Pushes to the others one after the other. Returns how long each push took to be heard of, and how many requests
    /// all of them were to their server.
    async fn push(&mut self) -> (Vec<Duration>, usize) {
        self.git.requests();
        let mut taken = Vec::new();
        for number in 0..PUSHES {
            self.pushed += 1;
            let (name, version) = (format!("r{}", number % HEALTHY), self.pushed);
            self.work.package("a", &format!("change {version}"));
            let bare = self.roots.join(&name);
            let tag = format!("main:refs/tags/a/v{version}");
            self.work.push_to(bare.to_str().unwrap(), &["main", &tag]);
            let begun = Instant::now();
            let message = json!({ "url": self.git.url(&name) }).to_string();
            let request = http::Request::post("/webhooks/git").header("x-gitlab-token", KEY);
            let request = request.body(message.into_bytes()).unwrap();
            self.client.request_text(request).await.unwrap();
            let wanted = format!("{name}.a.v{version}");
            taken.push(self.hear(&wanted).await.duration_since(begun));
        }
        (taken, self.git.requests().len())
    }

    /// Returns when a revision was heard of.
    async fn hear(&mut self, wanted: &str) -> Instant {
        let hearing = async {
            while let Some((name, at)) = self.heard.recv().await {
                if name == wanted {
                    return Some(at);
                }
            }
            None
        };
        let heard = tokio::time::timeout(Duration::from_mins(1), hearing).await;
        heard
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("nobody heard of {wanted}"))
    }

    /// Waits until the look at each that is broken has failed, or waits for its server.
    async fn until_broken(&self, broken: &[Broken]) {
        for Broken {
            name, told, server, ..
        } in broken
        {
            let Some(told) = told else {
                let server = server.as_ref().unwrap();
                let mut asked = Vec::new();
                eventually(&format!("{name} is asked"), async || {
                    asked.extend(server.requests());
                    (!asked.is_empty()).then_some(())
                })
                .await;
                continue;
            };
            eventually(&format!("{name}: {told}"), async || {
                let said = said(&self.repositories().get(name).await.unwrap());
                said.contains(told).then_some(())
            })
            .await;
        }
    }

    /// Ends the Repositories, those too whose servers are waited for.
    async fn end(self) {
        let (params, all) = (DeleteParams::default(), ListParams::default());
        let api = self.repositories();
        api.delete_collection(&params, &all).await.unwrap();
        eventually("no Repositories", async || {
            api.list(&all).await.unwrap().items.is_empty().then_some(())
        })
        .await;
        served::unregister(&self.plane).await;
        assert_eq!(self.replica.terminate(), Some(0));
    }
}

/// Returns the message of the condition `Ready`.
fn said(repository: &Repository) -> String {
    let status = repository.status.as_ref();
    let mut conditions = status.iter().flat_map(|it| &it.conditions);
    let ready = conditions.find(|it| it.type_ == "Ready");
    ready.map(|it| it.message.clone()).unwrap_or_default()
}

/// Watches the package revisions of a namespace through kube-apiserver, and tells of each that is new.
async fn follow(client: &Client, namespace: &str) -> mpsc::UnboundedReceiver<(String, Instant)> {
    let uri =
        format!("/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/packagerevisions?watch=1");
    let request = http::Request::get(uri).body(Vec::new()).unwrap();
    let mut lines = client.request_stream(request).await.unwrap().lines();
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.try_next().await {
            let at = Instant::now();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["type"] == "ADDED" {
                let name = event["object"]["metadata"]["name"].as_str().unwrap();
                let _ = tell.send((name.to_owned(), at));
            }
        }
    });
    heard
}

/// Makes twenty that are broken, each in its own way, and each on a server of its own.
fn broken(town: &Town) -> Vec<Broken> {
    let strange = strange_pack(&town.roots.join("strange"));
    let mut all = Vec::new();
    for fault in faults(&strange) {
        if !FAULTS.contains(&fault.name) {
            continue;
        }
        let server = tokio::task::block_in_place(|| GitServer::http(&town.roots));
        server.behave(|it| {
            (fault.change)(it);
            // Slower than anybody's patience, and that is a minute.
            it.trickle = it.trickle.map(|_| Duration::from_secs(20));
        });
        all.push((
            server.url("r0"),
            (fault.kind != "TimedOut").then_some(fault.told),
            Some(server),
        ));
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/r0", listener.local_addr().unwrap());
    drop(listener);
    all.push((nobody, Some("connection refused"), None));
    let nowhere = "http://nowhere.invalid/r0".to_owned();
    all.push((nowhere, Some("failed to lookup address"), None));
    let stranger = tokio::task::block_in_place(|| GitServer::https(&town.roots));
    all.push((stranger.url("r0"), Some("certificate"), Some(stranger)));
    assert_eq!(all.len(), 20);
    let named = all.into_iter().enumerate();
    let named = named.map(|(number, (url, told, server))| Broken {
        name: format!("broken-{number:02}"),
        url,
        told,
        server,
    });
    named.collect()
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort_unstable();
    taken[taken.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eighty_repositories_are_as_fresh_beside_twenty_broken_ones_as_without_them() {
    let mut town = Town::start().await;
    for number in 0..HEALTHY {
        let name = format!("r{number}");
        town.register(&name, &town.git.url(&name)).await;
    }
    let mut missing: BTreeSet<String> = (0..HEALTHY).map(|it| format!("r{it}.a.w2")).collect();
    while let Some(name) = missing.first().cloned() {
        // They come in any order.
        while missing.contains(&name) {
            let (name, _) = town.heard.recv().await.unwrap();
            missing.remove(&name);
        }
    }
    let (without, asked_without) = town.push().await;

    let broken = broken(&town);
    for it in &broken {
        town.register(&it.name, &it.url).await;
    }
    town.until_broken(&broken).await;
    let (beside, asked_beside) = town.push().await;

    println!(
        "{PUSHES} pushes to {HEALTHY} Repositories, until they were heard of (median, worst): {:?}, {:?} \
         without the {} broken ones, {:?}, {:?} beside them; {asked_without} and {asked_beside} requests",
        median(without.clone()),
        without.iter().max().unwrap(),
        broken.len(),
        median(beside.clone()),
        beside.iter().max().unwrap(),
    );
    // One fetch for a push, whoever else is broken: two requests for the list, one for the pack; and the list once more,
    // since records were made. One may be heard of during a look, and another look follow.
    for asked in [asked_without, asked_beside] {
        assert!(asked <= 6 * PUSHES, "{asked} requests");
    }
    let waiting = broken.iter().filter(|it| it.told.is_none()).count();
    assert_eq!(waiting, 3);
    for repository in town
        .repositories()
        .list(&ListParams::default())
        .await
        .unwrap()
    {
        let name = repository.name_any();
        let known = broken.iter().find(|it| it.name == name);
        let said = said(&repository);
        match known {
            None => assert_eq!(said, "Repository Ready", "{name}"),
            Some(it) => assert!(
                said.contains(it.told.unwrap_or_default()) && said != "Repository Ready",
                "{name}: {said}"
            ),
        }
    }
    // Who is broken is left alone for a while: nobody asks without end.
    for it in &broken {
        let asked = it
            .server
            .as_ref()
            .map_or(0, |server| server.requests().len());
        assert!(asked <= 12, "{}: {asked} requests", it.name);
    }
    town.end().await;
}
