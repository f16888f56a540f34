//! The cluster's store or its API server gone for a minute: reads go on from what is known, its age is told, nothing seems
//! to be gone that is not, and those who watch miss nothing.

use std::time::{Duration, Instant};

use kube::Client;
use porch::package::Lifecycle;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    history::{Known, Observer, Scribe},
    plane::{self, eventually},
    rig::{Rig, Trouble},
    served::{self, Replica},
    subject::Subject,
};

const JSON: &str = "application/json";
const OUTAGE: Duration = Duration::from_mins(1);

/// Two replicas, those who watch them, and those who read.
struct World {
    rig: Rig,
    other: Replica,
    subject: Subject,
    /// The subject comes over it.
    _wire: Trouble,
    scribe: Scribe,
    observers: Vec<tokio::task::JoinHandle<Observer>>,
    tell: watch::Sender<Option<Known>>,
    /// What is read: directly from either.
    direct: [Subject; 2],
}

impl World {
    async fn start(name: &str) -> Self {
        let rig = Rig::start(name).await;
        let other = Replica::start(&rig.plane, &format!("{name}-other")).await;
        let (subject, wire) = rig.aggregated().await;
        let scribe = Scribe::start(rig.plane.client(), &subject.namespace).await;
        let direct = [rig.replica.address(), other.address()].map(|address| {
            let user = rig.plane.user("admin", "system:masters");
            let mut config = plane::config(rig.plane.kubeconfig_with(address, &user));
            // Refusals are to be seen, not to be waited out.
            config.default_retry = false;
            Subject {
                client: Client::try_from(config).unwrap(),
                records: rig.plane.client(),
                namespace: subject.namespace.clone(),
            }
        });
        let (tell, told) = watch::channel(None);
        let names = ["one", "other"].iter().zip(&direct);
        let observe = |(name, it): (&&'static str, &Subject)| {
            let observer = Observer::new(name, it.client.clone(), &it.namespace);
            tokio::spawn(observer.run(told.clone()))
        };
        let observers = names.map(observe).collect();
        for number in 1..=3 {
            subject
                .create(&format!("a.v{number}"), Lifecycle::Draft)
                .await;
        }
        Self {
            rig,
            other,
            subject,
            _wire: wire,
            scribe,
            observers,
            tell,
            direct,
        }
    }

    /// Waits until both serve what is there.
    async fn until_served(&self, count: usize) {
        for replica in &self.direct {
            eventually(&format!("{count} are served"), async || {
                let (code, list) = replica.get(&replica.path("packagerevisions"), JSON).await;
                (code == 200 && list["items"].as_array()?.len() == count).then_some(())
            })
            .await;
        }
    }

    /// Reads for a minute: from both directly, and by those too.
    async fn read_on(&self, more: &[&Subject]) {
        let begun = Instant::now();
        while begun.elapsed() < OUTAGE {
            for reader in self.direct.iter().chain(more.iter().copied()) {
                let path = reader.path("packagerevisions");
                let (code, list) = reader.get(&path, JSON).await;
                let count = list["items"].as_array().map(Vec::len);
                assert_eq!((code, count), (200, Some(3)), "{list}");
                let (code, one) = reader.get(&format!("{path}/repo.a.v1"), JSON).await;
                assert_eq!(code, 200, "{one}");
            }
            for replica in &self.direct {
                assert!(plane::is_ready(&replica.client).await);
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// What is not known is not said to be absent, and the age of what is known is told.
    async fn age_is_told(&self) {
        for replica in &self.direct {
            let missing = replica.path("packagerevisions") + "/repo.nothing.v1";
            let (code, status) = replica.get(&missing, JSON).await;
            assert_eq!(code, 503, "{status}");
            let told = page(&replica.client, "/readyz?verbose").await;
            let line = told.lines().find(|it| it.contains("informer-sync"));
            let line = line.unwrap();
            assert!(line.starts_with("[+]informer-sync ok: "), "{told}");
            assert!(line.contains("what is served is "), "{told}");
            let metrics = page(&replica.client, "/metrics").await;
            let age = metrics
                .lines()
                .find_map(|it| it.strip_prefix("porch_cache_age_seconds "));
            assert!(age.unwrap().parse::<f64>().unwrap() > 1.0, "{age:?}");
        }
    }

    /// Everything is as if nothing had happened; then all of it ends.
    async fn end(self) {
        let newest = self.subject.create("a.v4", Lifecycle::Draft).await;
        self.until_served(4).await;
        for replica in &self.direct {
            let missing = replica.path("packagerevisions") + "/repo.nothing.v1";
            assert_eq!(replica.get(&missing, JSON).await.0, 404);
            eventually("no more trouble", async || {
                let told = page(&replica.client, "/readyz?verbose").await;
                told.contains("[+]informer-sync ok\n").then_some(())
            })
            .await;
        }
        eventually("everything is written down", async || {
            let last = self.scribe.truth().0.last().map(|it| it.2);
            (last >= Some(newest)).then_some(())
        })
        .await;
        let truth = self.scribe.truth();
        let all = truth.at(u64::MAX);
        self.tell.send_replace(Some(all.clone()));
        for observer in self.observers {
            let ended = timeout(Duration::from_mins(1), observer).await;
            let observer = ended.expect("they see all").unwrap();
            let known = truth.check(&observer.history);
            assert_eq!(known, Ok(all.clone()), "{}", observer.name);
        }
        served::register(&self.rig.plane, self.rig.replica.address()).await;
        assert_eq!(self.other.terminate(), Some(0));
        self.rig.end().await;
    }
}

async fn page(client: &Client, uri: &str) -> String {
    let request = http::Request::get(uri).body(Vec::new()).unwrap();
    client.request_text(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_for_a_minute_without_kube_apiserver() {
    let world = World::start("without-apiserver").await;
    world.until_served(3).await;
    world.rig.plane.kill_apiserver();
    world.read_on(&[]).await;
    world.age_is_told().await;
    world.rig.plane.start_apiserver().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_for_a_minute_without_etcd_through_kube_apiserver_too() {
    let world = World::start("without-etcd").await;
    world.until_served(3).await;
    world.rig.plane.kill_etcd();
    world.read_on(&[&world.subject]).await;
    world.age_is_told().await;
    world.rig.plane.start_etcd();
    world.rig.plane.until_ready().await;
    world.end().await;
}
