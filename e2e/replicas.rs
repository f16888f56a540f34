//! Two replicas behind a balancer, one of them killed now and then: whoever lists and watches through both is told one
//! story. Versions never go back, nothing is lost, doubled or out of order, and a list plus its watch is the final state.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, future::join_all};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams},
};
use porch::package::Lifecycle;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    copy::Chance,
    plane::{self, Balancer, eventually},
    rig::Rig,
    served::{self, Replica},
    subject::Subject,
};

/// Versions of what a client knows, by name.
type Known = BTreeMap<String, u64>;

/// A client that writes down what it is told, and complains at once when it contradicts itself.
struct Observer {
    name: String,
    api: Api<DynamicObject>,
    known: Known,
    /// The newest version that it was told.
    newest: u64,
    /// How often it had to begin anew with a list.
    lists: usize,
    events: usize,
}

impl Observer {
    fn new(name: &str, client: Client, namespace: &str) -> Self {
        Self {
            name: name.into(),
            api: revisions(client, namespace),
            known: Known::new(),
            newest: 0,
            lists: 0,
            events: 0,
        }
    }

    /// Observes until what is known is what is told to be there.
    async fn run(mut self, told: watch::Receiver<Option<Known>>) -> Self {
        let mut listed = false;
        loop {
            if !listed {
                listed = self.list().await;
            }
            if listed {
                listed = self.watch(&told).await;
            }
            if told.borrow().as_ref() == Some(&self.known) {
                return self;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Begins anew with a list that is not older than what was told; returns whether it came.
    async fn list(&mut self) -> bool {
        let params = ListParams {
            resource_version: Some(self.newest.to_string()).filter(|it| it != "0"),
            ..ListParams::default()
        };
        let Ok(list) = self.api.list(&params).await else {
            return false;
        };
        let version = number(list.metadata.resource_version.as_deref());
        let name = &self.name;
        assert!(
            version >= self.newest,
            "{name}: a list at {version} after {}",
            self.newest
        );
        self.known = list
            .items
            .iter()
            .map(|it| (it.name_any(), version_of(it)))
            .collect();
        let newest = self.known.values().copied().max().unwrap_or_default();
        assert!(
            newest <= version,
            "{name}: a list at {version} with an object at {newest}"
        );
        self.newest = version;
        self.lists += 1;
        true
    }

    /// Goes on from the newest version known; returns whether it may go on so.
    async fn watch(&mut self, told: &watch::Receiver<Option<Known>>) -> bool {
        let params = WatchParams::default().timeout(20);
        let began = self.api.watch(&params, &self.newest.to_string()).await;
        let Ok(stream) = began else {
            return !began.is_err_and(|error| is_expired(&error));
        };
        let mut stream = stream.boxed();
        loop {
            if told.borrow().as_ref() == Some(&self.known) {
                return true;
            }
            match timeout(Duration::from_millis(300), stream.try_next()).await {
                Err(_) => {}
                Ok(Ok(Some(event))) => {
                    if !self.take(event) {
                        return false;
                    }
                }
                Ok(Ok(None) | Err(_)) => return true,
            }
        }
    }

    /// Takes an event; returns whether the watch may be resumed after it.
    fn take(&mut self, event: WatchEvent<DynamicObject>) -> bool {
        let name = self.name.clone();
        match event {
            WatchEvent::Added(object) => {
                let before = self.known.get(&object.name_any()).copied();
                assert_eq!(
                    before,
                    None,
                    "{name}: {} was added twice",
                    object.name_any()
                );
                self.step(&object);
            }
            WatchEvent::Modified(object) => {
                let before = self.known.contains_key(&object.name_any());
                assert!(
                    before,
                    "{name}: {} was changed before it was added",
                    object.name_any()
                );
                self.step(&object);
            }
            WatchEvent::Deleted(object) => {
                self.step(&object);
                self.known.remove(&object.name_any());
            }
            WatchEvent::Bookmark(mark) => {
                let version = number(Some(&mark.metadata.resource_version));
                assert!(
                    version >= self.newest,
                    "{name}: a bookmark at {version} after {}",
                    self.newest
                );
                self.newest = version;
            }
            WatchEvent::Error(status) => return status.code != 410,
        }
        true
    }

    fn step(&mut self, object: &DynamicObject) {
        let version = version_of(object);
        assert!(
            version > self.newest,
            "{}: {version} after {}",
            self.name,
            self.newest
        );
        self.newest = version;
        self.known.insert(object.name_any(), version);
        self.events += 1;
    }
}

fn revisions(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource {
        group: "porch.kpt.dev".into(),
        version: "v1alpha1".into(),
        api_version: "porch.kpt.dev/v1alpha1".into(),
        kind: "PackageRevision".into(),
        plural: "packagerevisions".into(),
    };
    Api::namespaced_with(client, namespace, &kind)
}

fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

fn number(version: Option<&str>) -> u64 {
    version.unwrap_or_default().parse().unwrap()
}

fn version_of(object: &DynamicObject) -> u64 {
    number(object.resource_version().as_deref())
}

/// Changes records at random.
async fn change(subject: &Subject, changes: usize, seed: u64) {
    let mut chance = Chance(7919 * seed);
    let mut there = Known::new();
    for _ in 0..changes {
        let name = format!("p{seed}x{}.v{}", chance.below(6), chance.below(4));
        if !there.contains_key(&name) {
            let lifecycle = Lifecycle::ALL[usize::try_from(chance.below(4)).unwrap()];
            there.insert(name.clone(), subject.create(&name, lifecycle).await);
        } else if chance.below(4) == 0 {
            subject.delete(&name).await;
            there.remove(&name);
        } else {
            subject.label(&name, &chance.below(9).to_string()).await;
        }
        // So that replicas come and go while something happens.
        sleep(Duration::from_millis(chance.below(8))).await;
    }
}

/// Returns what the cluster has.
async fn truth(subject: &Subject) -> Known {
    let list = subject
        .records()
        .list(&ListParams::default())
        .await
        .unwrap();
    let pair =
        |it: &porch::api::PackageRev| (it.name_any(), number(it.resource_version().as_deref()));
    list.items.iter().map(pair).collect()
}

/// Reads without pause; a reader is never refused while one replica is ready. Returns how often it read.
async fn read(client: Client, uri: String, stop: watch::Receiver<Option<Known>>) -> usize {
    let mut reads = 0;
    while stop.borrow().is_none() {
        let request = http::Request::get(&uri).body(Vec::new()).unwrap();
        let list: Value = client.request(request).await.unwrap();
        assert_eq!(list["kind"], "PackageRevisionList");
        reads += 1;
        sleep(Duration::from_millis(20)).await;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_behind_a_balancer_tell_one_story_while_one_at_a_time_is_killed() {
    history(800, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn two_replicas_tell_one_story_for_long() {
    history(12_000, 40).await;
}

async fn history(changes: usize, kills: usize) {
    let rig = Rig::start("history").await;
    let other = Replica::start(&rig.plane, "history-other").await;
    let replicas = [&*rig.replica, &other];
    let servers = replicas.map(|it| (it.address(), it.client(&rig.plane)));
    let balancer = Balancer::before(servers.into()).await;
    served::register(&rig.plane, balancer.address).await;
    let (subject, _wire) = rig.aggregated().await;
    let namespace = subject.namespace.clone();
    let (tell, told) = watch::channel(None);
    let direct = |address| {
        let user = rig.plane.user("admin", "system:masters");
        Client::try_from(plane::config(rig.plane.kubeconfig_with(address, &user))).unwrap()
    };
    let clients = [
        ("aggregated", rig.plane.client()),
        ("aggregated too", rig.plane.client()),
        ("balanced", direct(balancer.address)),
        ("balanced too", direct(balancer.address)),
        ("one", direct(rig.replica.address())),
        ("other", direct(other.address())),
    ];
    let observers: Vec<_> = clients
        .into_iter()
        .map(|(name, client)| {
            tokio::spawn(Observer::new(name, client, &namespace).run(told.clone()))
        })
        .collect();
    let killed = AtomicUsize::new(0);
    let killing = async {
        for number in 0..kills {
            sleep(Duration::from_millis(1500)).await;
            let replica = replicas[number % 2];
            replica.kill();
            sleep(Duration::from_millis(500)).await;
            replica.begin(&rig.plane).await;
            killed.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(
        killing,
        change(&subject, changes / 2, 1),
        change(&subject, changes / 2, 2)
    );
    tell.send_replace(Some(truth(&subject).await));
    let patience = Duration::from_mins(1);
    let ended = timeout(patience, join_all(observers)).await;
    let ended = ended.expect("every observer ends up with what there is");
    let ended: Vec<Observer> = ended.into_iter().map(Result::unwrap).collect();
    for observer in &ended {
        println!(
            "{}: {} events, {} lists",
            observer.name, observer.events, observer.lists
        );
        assert!(observer.events > 100, "{} saw too little", observer.name);
    }
    assert_eq!(killed.load(Ordering::Relaxed), kills);
    drop(balancer);
    served::register(&rig.plane, rig.replica.address()).await;
    assert_eq!(other.terminate(), Some(0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_read() {
    let rig = Rig::start("rolling").await;
    let other = Replica::start(&rig.plane, "rolling-other").await;
    let replicas = [&*rig.replica, &other];
    let servers = replicas.map(|it| (it.address(), it.client(&rig.plane)));
    let balancer = Balancer::before(servers.into()).await;
    served::register(&rig.plane, balancer.address).await;
    let (subject, _wire) = rig.aggregated().await;
    subject.create("net.upf.v1", Lifecycle::Published).await;
    let (tell, told) = watch::channel(None);
    let uri = subject.path("packagerevisions");
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(read(rig.plane.client(), uri.clone(), told.clone())))
        .collect();
    for replica in [0, 1, 0, 1] {
        let (replica, plane) = (replicas[replica], rig.plane.clone());
        sleep(Duration::from_millis(500)).await;
        assert_eq!(tokio::task::block_in_place(|| replica.terminate()), Some(0));
        replica.begin(&plane).await;
        // As long as a cluster takes to see that it is ready.
        sleep(Duration::from_millis(500)).await;
    }
    tell.send_replace(Some(Known::new()));
    for reader in readers {
        assert!(reader.await.unwrap() > 20, "too few reads");
    }
    drop(balancer);
    served::register(&rig.plane, rig.replica.address()).await;
    assert_eq!(other.terminate(), Some(0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_takes_over_the_repositories_of_one_that_was_killed() {
    let rig = Rig::start("takeover").await;
    let other = Arc::new(Replica::start(&rig.plane, "takeover-other").await);
    let holder = async || holder(&rig.plane).await;
    let first = eventually("somebody holds the Lease", holder).await;
    let (dead, alive) = if first.contains("other") {
        (other.clone(), rig.replica.clone())
    } else {
        (rig.replica.clone(), other.clone())
    };
    dead.kill();
    eventually("another holds the Lease", async || {
        holder().await.filter(|now| *now != first)
    })
    .await;
    served::register(&rig.plane, alive.address()).await;
    dead.begin(&rig.plane).await;
    assert_eq!(other.terminate(), Some(0));
    served::register(&rig.plane, rig.replica.address()).await;
    rig.end().await;
}

/// Returns who works on the Repositories.
async fn holder(plane: &plane::Plane) -> Option<String> {
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(plane.client(), plane::HOME);
    let leases = leases.list(&ListParams::default()).await.unwrap();
    let held = leases
        .items
        .into_iter()
        .find_map(|it| it.spec?.holder_identity);
    held.filter(|it| !it.is_empty())
}
