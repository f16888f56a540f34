//! One feed and its catalog.

use std::{sync::Arc, time::Duration};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use porch::{
    api::PackageRev,
    cache::{Catalog, Entry, Name, Version},
    sync::Feed,
};
use serde_json::json;

use crate::cluster::{Cluster, Fate, HOME, Misfortune, record};

/// A feed that runs, until it is dropped.
pub struct Replica {
    pub catalog: Catalog,
    pub feed: Feed,
    pub fate: Arc<Fate>,
    running: tokio::task::JoinHandle<()>,
}

impl Replica {
    pub fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, None)
    }

    pub fn start_with(cluster: &Cluster, misfortune: Option<Misfortune>) -> Self {
        let fate = Arc::<Fate>::default();
        fate.set(misfortune);
        let catalog = Catalog::new(10_000);
        let feed = Feed::new(cluster.client_with(&fate), catalog.clone(), HOME);
        let runs = feed.clone();
        Self {
            catalog,
            feed,
            fate,
            running: tokio::spawn(async move { runs.run().await }),
        }
    }

    pub async fn ready(self) -> Self {
        self.until("ready", |it| it.catalog.ready()).await;
        self
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..60_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}; the feed says {:?}", self.feed.problem());
    }

    /// Returns the revisions served, with their versions.
    pub fn served(&self) -> Vec<(String, u64)> {
        let objects = self.catalog.revisions().snapshot().objects;
        let pair = |(name, it): (&Name, &Arc<_>)| (name.name.clone(), Entry::version(&**it).0);
        objects.iter().map(pair).collect()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What the cluster has, as [`Replica::served`] shows it.
pub async fn truth(cluster: &Cluster) -> Vec<(String, u64)> {
    let records = cluster.records().list(&<_>::default()).await.unwrap();
    records.items.iter().map(pair).collect()
}

pub fn pair(record: &PackageRev) -> (String, u64) {
    let version = record.metadata.resource_version.as_deref().unwrap();
    (
        record.metadata.name.clone().unwrap(),
        version.parse().unwrap(),
    )
}

async fn create(cluster: &Cluster, package: &str, revision: i64) -> PackageRev {
    cluster.create(&record(package, revision)).await
}

async fn marker(cluster: &Cluster) -> PackageRev {
    let api: Api<PackageRev> = Api::namespaced(cluster.client(), HOME);
    api.get("marker").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_feed_serves_what_is_there_when_its_own_touch_has_come_round() {
    let cluster = Cluster::start(&[HOME]).await;
    create(&cluster, "a", 1).await;
    create(&cluster, "b", 1).await;
    let replica = Replica::start(&cluster).ready().await;
    assert_eq!(replica.served(), truth(&cluster).await);
    let touched = pair(&marker(&cluster).await).1;
    assert_eq!(replica.catalog.seen(), Version(touched));
    assert_eq!(replica.feed.problem(), None);

    let changed = Patch::Merge(json!({"spec": {"metadata": {"labels": {"tier": "one"}}}}));
    let records = cluster.records();
    records
        .patch("r.a.v1", &PatchParams::default(), &changed)
        .await
        .unwrap();
    records
        .delete("r.b.v1", &DeleteParams::default())
        .await
        .unwrap();
    create(&cluster, "c", 1).await;
    let now = truth(&cluster).await;
    replica.until("told", |it| it.served() == now).await;
    let one = replica
        .catalog
        .revisions()
        .get(&Name::new("default", "r.a.v1"));
    assert_eq!(one.unwrap().label("tier"), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_kubernetes_bookkeeping_is_kept() {
    let cluster = Cluster::start(&[HOME]).await;
    let mut owned = record("a", 1);
    let entry = json!({"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}});
    owned.metadata.managed_fields = Some(vec![serde_json::from_value(entry).unwrap()]);
    cluster.create(&owned).await;
    let replica = Replica::start(&cluster).ready().await;
    let kept = replica.catalog.record("default", "r.a.v1").unwrap();
    assert_eq!(kept.metadata.managed_fields, None);
}

#[tokio::test(start_paused = true)]
async fn servers_without_streaming_lists_are_asked_for_pages() {
    let cluster = Cluster::start(&[HOME]).await;
    for number in 0..700 {
        create(&cluster, &format!("p{number}"), 1).await;
    }
    for misfortune in [
        Misfortune::NoStreamingLists,
        Misfortune::DeafToStreamingLists,
    ] {
        let replica = Replica::start_with(&cluster, Some(misfortune))
            .ready()
            .await;
        assert_eq!(replica.served(), truth(&cluster).await, "{misfortune:?}");
        create(
            &cluster,
            "more",
            i64::from(misfortune == Misfortune::NoStreamingLists),
        )
        .await;
        let now = truth(&cluster).await;
        replica.until("told", |it| it.served() == now).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_cannot_be_touched_is_named_and_tried_again() {
    let cluster = Cluster::start(&[]).await;
    create(&cluster, "a", 1).await;
    let replica = Replica::start(&cluster);
    replica
        .until("told of the namespace", |it| it.feed.problem().is_some())
        .await;
    let problem = replica.feed.problem().unwrap();
    assert!(
        problem.contains("packagerevs/marker") && problem.contains(HOME),
        "{problem}"
    );
    assert!(!replica.catalog.ready());
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client());
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}});
    let home = serde_json::from_value(home).unwrap();
    namespaces
        .create(&PostParams::default(), &home)
        .await
        .unwrap();
    let replica = replica.ready().await;
    assert_eq!(replica.feed.problem(), None);

    replica.fate.set(Some(Misfortune::ReadOnly));
    replica
        .until("told of the refusal", |it| it.feed.problem().is_some())
        .await;
    create(&cluster, "b", 1).await;
    let now = truth(&cluster).await;
    replica.until("served on", |it| it.served() == now).await;
    replica.fate.set(None);
    replica
        .until("well", |it| it.feed.problem().is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_or_unlabelled_marker_does_no_harm() {
    let cluster = Cluster::start(&[HOME]).await;
    let replica = Replica::start(&cluster).ready().await;
    let api: Api<PackageRev> = Api::namespaced(cluster.client(), HOME);
    let bare = Patch::Merge(json!({"metadata": {"labels": null}}));
    api.patch("marker", &PatchParams::default(), &bare)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(marker(&cluster).await.metadata.labels.is_some());
    api.delete("marker", &DeleteParams::default())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    let touched = pair(&marker(&cluster).await).1;
    replica
        .until("seen", |it| it.catalog.seen() == Version(touched))
        .await;
    assert_eq!(replica.served(), []);
    assert_eq!(replica.feed.problem(), None);
}

#[tokio::test(start_paused = true)]
async fn readers_of_newer_versions_are_served_by_one_touch_a_second() {
    let cluster = Cluster::start(&[HOME]).await;
    let replica = Replica::start(&cluster).ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client());
    let other = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    let other = serde_json::from_value(other).unwrap();
    let other = namespaces
        .create(&PostParams::default(), &other)
        .await
        .unwrap();
    let version: Version = other.metadata.resource_version.unwrap().parse().unwrap();
    assert!(
        replica.catalog.seen() < version,
        "of another kind, so never seen by itself"
    );
    let within = Duration::from_secs(3);
    assert_eq!(replica.catalog.wait_for(version, within).await, Ok(()));

    let before = replica.fate.patches();
    let waiting = (0..200).map(|_| replica.catalog.wait_for(Version(1 << 60), within));
    let waited = futures::future::join_all(waiting).await;
    assert!(
        waited.iter().all(Result::is_err),
        "nobody was ever told that version"
    );
    let touches = replica.fate.patches() - before;
    assert!(
        (1..=4).contains(&touches),
        "{touches} touches in three seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_one_who_should_touches_when_nobody_asks() {
    let cluster = Cluster::start(&[HOME]).await;
    let replica = Replica::start(&cluster).ready().await;
    let count = async |seconds| {
        let before = replica.fate.patches();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        replica.fate.patches() - before
    };
    assert!((9..=11).contains(&count(300).await), "every half minute");
    replica.feed.keep_touching(false);
    assert_eq!(count(300).await, 0);
    replica.feed.keep_touching(true);
    assert!((8..=11).contains(&count(300).await));
}

#[tokio::test(start_paused = true)]
async fn an_outage_loses_nothing_and_the_old_state_serves_meanwhile() {
    let cluster = Cluster::start(&[HOME]).await;
    create(&cluster, "a", 1).await;
    create(&cluster, "b", 1).await;
    let replica = Replica::start(&cluster).ready().await;
    let before = replica.served();
    let mut follower = replica
        .catalog
        .revisions()
        .follow(replica.catalog.seen())
        .unwrap();

    // Short: the watch resumes where it was, and nobody need begin anew.
    replica.fate.set(Some(Misfortune::Outage));
    replica.fate.cut();
    cluster
        .records()
        .delete("r.b.v1", &DeleteParams::default())
        .await
        .unwrap();
    create(&cluster, "c", 1).await;
    replica
        .until("troubled", |it| it.feed.problem().is_some())
        .await;
    assert_eq!(replica.served(), before);
    replica.fate.set(None);
    let now = truth(&cluster).await;
    replica.until("told", |it| it.served() == now).await;
    let mut heard = Vec::new();
    while follower.version() < replica.catalog.seen() {
        let batch = follower.next().await.unwrap();
        heard.extend(
            batch
                .changes
                .iter()
                .map(|it| (it.version.0, it.is.is_some())),
        );
    }
    let created = now.last().unwrap().1;
    assert_eq!(heard, [(created - 1, false), (created, true)]);
    assert_eq!(replica.feed.problem(), None);

    // Long: the history is gone, so all is listed anew, and what went in the gap has no version.
    replica.fate.set(Some(Misfortune::Forgetful));
    cluster
        .records()
        .delete("r.c.v1", &DeleteParams::default())
        .await
        .unwrap();
    replica.fate.cut();
    let now = truth(&cluster).await;
    replica.until("listed", |it| it.served() == now).await;
    while let Ok(batch) = follower.next().await {
        // The deletion may have been heard before the cut.
        assert!(batch.changes.len() <= 1);
    }
    assert!(!replica.catalog.staging());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_there_is_none_unless_there_is_none() {
    let cluster = Cluster::start(&[HOME]).await;
    let replica = Replica::start(&cluster).ready().await;
    let find = async |name: &str| {
        let found = replica.feed.find(&Name::new("default", name)).await;
        found.ok().map(|it| it.is_some())
    };
    assert_eq!(find("r.a.v1").await, Some(false));

    // Not heard of yet: the replica's watch is broken when the record is made.
    replica.fate.set(Some(Misfortune::Blindness));
    replica.fate.cut();
    create(&cluster, "a", 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let cached = replica
        .catalog
        .revisions()
        .get(&Name::new("default", "r.a.v1"));
    assert!(cached.is_none());
    let (found, ()) = tokio::join!(find("r.a.v1"), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        replica.fate.set(None);
    });
    assert_eq!(found, Some(true));

    let mut unread = record("b", 1);
    unread.spec.observed = None;
    cluster.create(&unread).await;
    assert_eq!(find("r.b.v1").await, None, "Git was not read for it");

    let mut creation = record("c", 1);
    creation.spec.observed = None;
    creation.spec.intent = Some(porch::api::Intent {
        id: "i".into(),
        ..<_>::default()
    });
    cluster.create(&creation).await;
    assert_eq!(find("r.c.v1").await, Some(false), "not made yet");

    replica.fate.set(Some(Misfortune::Outage));
    assert_eq!(find("r.d.v1").await, None);
    assert_eq!(find("r.a.v1").await, Some(true));
}
