//! The feed over a real kube-apiserver: what is served is what is there, whatever befalls the stream, the server and its
//! store; versions never go back; two replicas tell the same story.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use porch::{
    api::PackageRev,
    cache::{Catalog, Entry, Name, Version, version_of},
    sync::Feed,
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    copy::{Chance, Copy, shown},
    plane::{self, HOME, Plane, Wire, eventually},
    record::record,
};

/// Writers of records; each has packages of its own, so that none waits for another.
const WRITERS: u64 = 4;

/// A feed that runs over a wire of its own.
struct Replica {
    catalog: Catalog,
    feed: Feed,
    wire: Wire,
    running: JoinHandle<()>,
}

impl Replica {
    async fn start(plane: &Plane) -> Self {
        let wire = Wire::to(plane.address()).await;
        let mut config = plane.config();
        config.cluster_url = format!("https://{}", wire.address).parse().unwrap();
        let catalog = Catalog::new(10_000);
        let feed = Feed::new(Client::try_from(config).unwrap(), catalog.clone(), HOME);
        let runs = feed.clone();
        let replica = Self {
            catalog,
            feed,
            wire,
            running: tokio::spawn(async move { runs.run().await }),
        };
        let begun = tokio::time::timeout(Duration::from_secs(30), replica.catalog.until_ready());
        begun
            .await
            .unwrap_or_else(|_| panic!("never ready: {:?}", replica.feed.problem()));
        replica
    }

    /// Returns the revisions of a namespace, with their versions.
    fn served(&self, namespace: &str) -> BTreeMap<String, u64> {
        let objects = self.catalog.revisions().snapshot().objects;
        let here = objects
            .iter()
            .filter(|(name, _)| name.namespace == namespace);
        here.map(|(name, it)| (name.name.clone(), Entry::version(&**it).0))
            .collect()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn records(plane: &Plane, namespace: &str) -> Api<PackageRev> {
    Api::namespaced(plane.client(), namespace)
}

/// What the cluster has, as [`Replica::served`] shows it.
async fn truth(plane: &Plane, namespace: &str) -> BTreeMap<String, u64> {
    let list = records(plane, namespace).list(&ListParams::default()).await;
    let pair = |it: &PackageRev| (it.name_any(), version(it).0);
    list.unwrap().items.iter().map(pair).collect()
}

fn version(record: &PackageRev) -> Version {
    version_of(record).unwrap()
}

/// Takes away what a test left.
async fn end(plane: &Plane, namespace: &str) {
    let (params, all) = (DeleteParams::default(), ListParams::default());
    let api = records(plane, namespace);
    api.delete_collection(&params, &all).await.unwrap();
}

/// Makes random changes; those that fail were not made, or were.
async fn write(api: Api<PackageRev>, writer: u64, changes: usize) {
    let mut chance = Chance(7919 * (writer + 1));
    for _ in 0..changes {
        let package = format!("p{writer}-{}", chance.below(6));
        let record = record(&package, i64::try_from(chance.below(4)).unwrap());
        let name = record.name_any();
        let done = match chance.below(5) {
            0 => api.delete(&name, &DeleteParams::default()).await.map(drop),
            1 | 2 => api.create(&PostParams::default(), &record).await.map(drop),
            _ => {
                let label = chance.below(1000).to_string();
                let patch = Patch::Merge(json!({"spec": {"metadata": {"labels": {"n": label}}}}));
                api.patch(&name, &PatchParams::default(), &patch)
                    .await
                    .map(drop)
            }
        };
        if !matches!(done, Ok(()) | Err(kube::Error::Api(_))) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Makes trouble, of another kind every time.
async fn trouble(plane: &Plane, replica: &Replica, kind: usize) {
    let pause = |milliseconds| tokio::time::sleep(Duration::from_millis(milliseconds));
    match kind {
        0 => replica.wire.cut(),
        1 => {
            replica.wire.sever();
            pause(700).await;
            replica.wire.mend();
        }
        2 => {
            replica.wire.sever();
            pause(500).await;
            plane.compact().await;
            replica.wire.mend();
        }
        3 => {
            plane.kill_apiserver();
            plane.start_apiserver().await;
        }
        4 => {
            replica.wire.sever();
            pause(500).await;
            plane.compact().await;
            plane.kill_apiserver();
            plane.start_apiserver().await;
            replica.wire.mend();
        }
        _ => {
            plane.kill_etcd();
            pause(300).await;
            plane.start_etcd();
        }
    }
}

async fn follow_through_trouble(changes: usize) {
    let plane = plane::alone().await;
    let namespace = plane.namespace("feed").await;
    let replicas = [Replica::start(&plane).await, Replica::start(&plane).await];
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(records(&plane, &namespace), writer, changes)))
        .collect();
    let mut copies = replicas
        .each_ref()
        .map(|it| Copy::of(it.catalog.revisions()));
    let mut packages = replicas
        .each_ref()
        .map(|it| Copy::of(it.catalog.packages()));
    let mut traveller = Copy::of(replicas[0].catalog.revisions());
    let mut step = 0;
    while !writers.iter().all(JoinHandle::is_finished) {
        step += 1;
        if step % 50 == 0 {
            trouble(&plane, &replicas[step / 50 % 2], step / 50 % 6).await;
        }
        if step % 20 == 0 {
            let catalog = &replicas[step / 20 % 2].catalog;
            traveller.move_to(catalog, catalog.revisions()).await;
        }
        copies.iter_mut().for_each(Copy::catch_up);
        packages.iter_mut().for_each(Copy::catch_up);
        traveller.catch_up();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(step > 300, "only {step} steps: not every trouble was met");
    let truth = truth(&plane, &namespace).await;
    for (replica, copy) in replicas.iter().zip(&mut copies) {
        eventually("what the cluster has", async || {
            (replica.served(&namespace) == truth).then_some(())
        })
        .await;
        copy.catch_up();
    }
    packages.iter_mut().for_each(Copy::catch_up);
    traveller.catch_up();
    assert_eq!(
        copies[0].state, copies[1].state,
        "same versions, same content"
    );
    assert_eq!(traveller.state, copies[0].state);
    assert_eq!(
        packages[0].state.keys().collect::<Vec<_>>(),
        packages[1].state.keys().collect::<Vec<_>>()
    );
    for (replica, packages) in replicas.iter().zip(&packages) {
        let objects = replica.catalog.packages().snapshot().objects;
        let pair = |(name, it): (&Name, &Arc<_>)| (name.clone(), shown(it));
        assert_eq!(
            objects.iter().map(pair).collect::<BTreeMap<_, _>>(),
            packages.state
        );
    }
    let anew: usize = copies.iter().map(|it| it.begun - 1).sum();
    assert!(anew > 0, "no relist: the test tests little");
    end(&plane, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_follow_thousands_of_changes_through_lost_servers_and_forgotten_history() {
    follow_through_trouble(1500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn replicas_follow_tens_of_thousands_of_changes() {
    follow_through_trouble(6_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_after_everything_was_restarted_is_never_older_than_what_was_told_before() {
    let plane = plane::alone().await;
    let namespace = plane.namespace("restart").await;
    let api = records(&plane, &namespace);
    for revision in 1..=5 {
        api.create(&PostParams::default(), &record("a", revision))
            .await
            .unwrap();
    }
    let replica = Replica::start(&plane).await;
    api.delete("r.a.v5", &DeleteParams::default())
        .await
        .unwrap();
    let left = truth(&plane, &namespace).await;
    eventually("the deletion", async || {
        (replica.served(&namespace) == left).then_some(())
    })
    .await;
    let told = replica.catalog.seen();
    assert!(
        told.0 > left.values().copied().max().unwrap(),
        "the newest that is left is older"
    );
    drop(replica);

    plane.compact().await;
    plane.kill_apiserver();
    plane.kill_etcd();
    plane.start_etcd();
    plane.start_apiserver().await;
    let replica = Replica::start(&plane).await;
    assert!(replica.catalog.seen() > told);
    assert_eq!(replica.served(&namespace), left);
    end(&plane, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_can_be_asked_for_at_every_replica() {
    let plane = plane::alone().await;
    let namespace = plane.namespace("wait").await;
    let api = records(&plane, &namespace);
    let replicas = [Replica::start(&plane).await, Replica::start(&plane).await];
    for revision in 1..=20 {
        let made = api
            .create(&PostParams::default(), &record("a", revision))
            .await;
        let made = made.unwrap();
        for replica in &replicas {
            let waited = replica
                .catalog
                .wait_for(version(&made), Duration::from_secs(3))
                .await;
            assert_eq!(waited, Ok(()));
            assert!(replica.served(&namespace).contains_key(&made.name_any()));
        }
    }
    // A version that no record has: the marker is touched for whoever asks.
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(plane.client());
    let other = namespaces
        .get(&plane.namespace("other").await)
        .await
        .unwrap();
    let newer = Version(other.resource_version().unwrap().parse().unwrap());
    for replica in &replicas {
        let waited = replica
            .catalog
            .wait_for(newer, Duration::from_secs(3))
            .await;
        assert_eq!(waited, Ok(()));
    }
    end(&plane, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn an_outage_of_a_minute_hides_nothing_and_is_told() {
    let plane = plane::alone().await;
    let namespace = plane.namespace("outage").await;
    let api = records(&plane, &namespace);
    for revision in 1..=3 {
        api.create(&PostParams::default(), &record("a", revision))
            .await
            .unwrap();
    }
    let replica = Replica::start(&plane).await;
    let before = truth(&plane, &namespace).await;
    plane.kill_apiserver();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(replica.served(&namespace), before);
        assert!(replica.catalog.ready());
    }
    assert!(replica.feed.problem().is_some());
    plane.start_apiserver().await;
    api.create(&PostParams::default(), &record("a", 4))
        .await
        .unwrap();
    let now = truth(&plane, &namespace).await;
    eventually("the end of the outage", async || {
        (replica.served(&namespace) == now && replica.feed.problem().is_none()).then_some(())
    })
    .await;
    end(&plane, &namespace).await;
}
