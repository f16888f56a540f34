//! Two replicas on one store, and one that dies and comes again.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use porch::{
    cache::{Name, Revision, Version},
    standalone::Persistence,
};
use serde_json::json;

use crate::{
    cluster::{Cluster, HOME, Misfortune, record},
    copy::{Chance, Copy, shown},
    feed::{Replica, truth},
};

/// One random change of the cluster.
async fn disturb(cluster: &Cluster, chance: &mut Chance) {
    let package = format!("p{}", chance.below(6));
    let revision = i64::try_from(chance.below(4)).unwrap();
    let record = record(&package, revision);
    let name = record.metadata.name.clone().unwrap();
    let records = cluster.records();
    match chance.below(4) {
        0 => drop(records.delete(&name, &DeleteParams::default()).await),
        1 | 2 => drop(records.create(&PostParams::default(), &record).await),
        _ => {
            let label = chance.below(1000).to_string();
            let patch = Patch::Merge(json!({"spec": {"metadata": {"labels": {"n": label}}}}));
            drop(records.patch(&name, &PatchParams::default(), &patch).await);
        }
    }
}

/// One random trouble of a replica.
fn trouble(replica: &Replica, chance: &mut Chance) {
    match chance.below(12) {
        0 => replica.fate.cut(),
        1 => {
            replica.fate.set(Some(Misfortune::Outage));
            replica.fate.cut();
        }
        2 => {
            replica.fate.set(Some(Misfortune::Forgetful));
            replica.fate.cut();
        }
        3 => replica.fate.set(Some(Misfortune::ReadOnly)),
        _ => replica.fate.set(None),
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_tell_the_same_story_whatever_befalls_them() {
    let mut relists = 0;
    for seed in 1..=4 {
        let mut chance = Chance(seed * 7919);
        let cluster = Cluster::start(&[HOME]).await;
        let replicas = [
            Replica::start(&cluster).ready().await,
            Replica::start(&cluster).ready().await,
        ];
        let mut copies: Vec<Copy<Revision>> = replicas
            .iter()
            .map(|it| Copy::of(it.catalog.revisions()))
            .collect();
        let mut packages = Copy::of(replicas[0].catalog.packages());
        let mut traveller = Copy::of(replicas[0].catalog.revisions());
        for _ in 0..300 {
            disturb(&cluster, &mut chance).await;
            let which = usize::try_from(chance.below(2)).unwrap();
            trouble(&replicas[which], &mut chance);
            tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
            copies.iter_mut().for_each(Copy::catch_up);
            packages.catch_up();
            if chance.below(20) == 0 {
                let to = &replicas[usize::try_from(chance.below(2)).unwrap()].catalog;
                traveller.move_to(to, to.revisions()).await;
            }
            traveller.catch_up();
        }
        let truth = truth(&cluster).await;
        for (replica, copy) in replicas.iter().zip(&mut copies) {
            replica.fate.set(None);
            replica
                .until("in agreement", |it| it.served() == truth)
                .await;
            copy.catch_up();
            relists += copy.begun - 1;
        }
        traveller.catch_up();
        packages.catch_up();
        assert_eq!(
            copies[0].state, copies[1].state,
            "same versions, same content"
        );
        assert_eq!(traveller.state, copies[0].state);
        let same = |replica: &Replica| {
            let objects = replica.catalog.packages().snapshot().objects;
            let pair = |(name, it): (&Name, &Arc<_>)| (name.clone(), shown(it));
            objects.iter().map(pair).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(same(&replicas[0]), packages.state);
        assert_eq!(
            same(&replicas[0]).keys().collect::<Vec<_>>(),
            same(&replicas[1]).keys().collect::<Vec<_>>()
        );
    }
    assert!(relists > 5, "only {relists} relists: the test tests little");
}

#[tokio::test(start_paused = true)]
async fn a_list_after_a_restart_is_never_older_than_what_was_told_before() {
    let cluster = Cluster::start(&[HOME]).await;
    let records = cluster.records();
    for number in 1..=5 {
        let record = record("a", number);
        cluster.create(&record).await;
    }
    let replica = Replica::start(&cluster).ready().await;
    records
        .delete("r.a.v5", &DeleteParams::default())
        .await
        .unwrap();
    let now = truth(&cluster).await;
    replica.until("told", |it| it.served() == now).await;
    let told = replica.catalog.seen();
    let newest = now.iter().map(|it| it.1).max().unwrap();
    assert!(
        told > Version(newest),
        "the newest record is older than the list"
    );
    drop(replica);

    let replica = Replica::start(&cluster);
    let seen = replica.catalog.seen();
    assert_eq!(seen, Version(0), "it tells nothing before it is ready");
    let replica = replica.ready().await;
    assert!(replica.catalog.seen() > told);
    assert_eq!(replica.served(), now);
}

/// One life of a whole process: it creates or deletes, tells a version, and ends without a word.
fn live(directory: &Path, life: i64) -> (Version, Version) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let disk = Persistence::Disk(directory.into());
        let cluster = Cluster::start_on(disk, &[HOME]).await;
        let replica = Replica::start(&cluster).ready().await;
        let first = replica.catalog.seen();
        if life % 2 == 0 {
            cluster.create(&record("a", life)).await;
        } else {
            let name = record("a", life - 1).metadata.name.unwrap();
            let records = cluster.records();
            records
                .delete(&name, &DeleteParams::default())
                .await
                .unwrap();
        }
        let now = truth(&cluster).await;
        replica.until("told", |it| it.served() == now).await;
        (first, replica.catalog.seen())
    })
}

#[test]
fn a_process_that_loses_its_newest_record_and_its_life_does_not_go_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = Version(0);
    for life in 0..4 {
        let (first, last) = live(directory.path(), life);
        assert!(
            first > told,
            "life {life} began at {first}, after {told} was told"
        );
        told = last;
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_replica_told_the_other_can_be_asked_for() {
    let cluster = Cluster::start(&[HOME]).await;
    let one = Replica::start(&cluster).ready().await;
    let other = Replica::start(&cluster).ready().await;
    for number in 1..=20 {
        let record = record("a", number);
        let made = cluster.create(&record).await;
        let version = crate::feed::pair(&made).1;
        let within = Duration::from_secs(3);
        for replica in [&one, &other] {
            let waited = replica.catalog.wait_for(Version(version), within).await;
            assert_eq!(waited, Ok(()));
            let name = Name::new("default", record.metadata.name.clone().unwrap());
            assert!(replica.catalog.revisions().get(&name).is_some());
        }
    }
}
