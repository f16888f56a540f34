//! Repositories divided among replicas: each is looked at by exactly one, and by another when that one dies.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::ListParams};
use porch::api::{PackageRev, Repository};
use serde_json::json;

use crate::{
    git_server::GitServer,
    plane::{self, HOME, Plane, eventually},
    repositories::origin,
    served::{self, Replica},
};

const SHARDS: usize = 4;
const REPOSITORIES: usize = 8;

/// Returns who holds each Lease that is held.
async fn holders(plane: &Plane) -> BTreeMap<String, String> {
    let leases: Api<Lease> = Api::namespaced(plane.client(), HOME);
    let leases = leases.list(&ListParams::default()).await.unwrap();
    let held = leases.items.into_iter().filter_map(|it| {
        let holder = it.spec?.holder_identity.filter(|holder| !holder.is_empty());
        // Each process that writes has one of its own besides.
        let name = it
            .metadata
            .name
            .filter(|name| name.starts_with("porch-sync-"));
        Some((name?, holder?))
    });
    held.collect()
}

/// Returns how many looks at each Repository of a namespace a replica has counted.
async fn looks(client: &Client, namespace: &str) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.unwrap();
    let counts = text.lines().filter_map(|line| {
        let line = line.strip_prefix("porch_repository_sync_duration_seconds_count{")?;
        let (labels, count) = line.split_once("} ")?;
        if !labels.contains(&format!("namespace=\"{namespace}\"")) {
            return None;
        }
        let name = labels
            .split(',')
            .find_map(|it| it.strip_prefix("repository=\""));
        Some((name?.trim_end_matches('"').to_owned(), count.parse().ok()?))
    });
    counts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_repository_is_looked_at_by_one_replica_and_by_another_when_that_one_dies() {
    let plane = plane::alone().await;
    served::grant(&plane).await;
    let directory = plane.directory("shards");
    std::fs::create_dir_all(directory.join("git")).unwrap();
    let origins: Vec<_> = (0..REPOSITORIES)
        .map(|number| origin(&directory, &format!("r{number}")))
        .collect();
    let git = tokio::task::block_in_place(|| GitServer::http(&directory.join("git")));
    let flags = [
        format!("--shards={SHARDS}"),
        "--sync-interval=2s".to_owned(),
        "--manage-apiservice".to_owned(),
    ];
    let (one, other) = tokio::join!(
        Replica::start_with(&plane, "shards-one", &flags),
        Replica::start_with(&plane, "shards-other", &flags)
    );
    let namespace = plane.namespace("shards").await;
    let repositories: Api<Repository> = Api::namespaced(plane.client(), &namespace);
    for number in 0..REPOSITORIES {
        let name = format!("r{number}");
        let repository = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": { "name": name }, "spec": { "type": "git", "git": { "repo": git.url(&name) } },
        });
        plane::apply(&repositories, &name, &repository)
            .await
            .unwrap();
    }
    let records: Api<PackageRev> = Api::namespaced(plane.client(), &namespace);
    let until = async |count: usize| {
        eventually(&format!("{count} records"), async || {
            let list = records.list(&ListParams::default()).await.unwrap();
            (list.items.len() == count).then_some(())
        })
        .await;
    };
    until(REPOSITORIES * 3).await;
    let held = eventually("every shard is held", async || {
        let held = holders(&plane).await;
        (held.len() == SHARDS).then_some(held)
    })
    .await;
    println!("{held:?}");
    let clients = [one.client(&plane), other.client(&plane)];
    // A look is counted when it has ended; what it found was written before.
    let counted = eventually("every first look has ended", async || {
        let counted = [
            looks(&clients[0], &namespace).await,
            looks(&clients[1], &namespace).await,
        ];
        (counted[0].len() + counted[1].len() >= REPOSITORIES).then_some(counted)
    })
    .await;
    for number in 0..REPOSITORIES {
        let name = format!("r{number}");
        let by = counted.iter().filter(|it| it.contains_key(&name)).count();
        assert_eq!(by, 1, "{name} was looked at by {by}: {counted:?}");
    }
    // The one with more to do dies.
    let first = held.values().filter(|it| it.contains("shards-one")).count() * 2 >= SHARDS;
    let (dead, alive, client) = if first {
        (&one, &other, &clients[1])
    } else {
        (&other, &one, &clients[0])
    };
    dead.kill();
    for origin in &origins {
        origin.push(&["main:refs/tags/a/v2"]);
    }
    until(REPOSITORIES * 4).await;
    let held = holders(&plane).await;
    let who = |it: &String| it.contains("shards-other") == first;
    assert!(held.values().all(who), "{held:?}");
    eventually("all Repositories are looked at by the other", async || {
        let all = looks(client, &namespace).await;
        (all.len() == REPOSITORIES).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    repositories
        .delete_collection(&<_>::default(), &ListParams::default())
        .await
        .unwrap();
    eventually("no Repositories", async || {
        let left = repositories.list(&ListParams::default()).await.unwrap();
        left.items.is_empty().then_some(())
    })
    .await;
    assert_eq!(alive.terminate(), Some(0));
}
