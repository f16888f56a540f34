//! Deletions that no user asks for, and processes that end in the middle: the garbage collector and the namespace controller
//! delete by our rules and never touch Git by mistake, and what a killed replica began is finished or unlocked by another.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    desk::{Desk, MERGE, name},
    served::{self, Replica},
    server::Server,
};

/// How long the garbage collector may take to hear of a resource that it did not know.
const HEARING: Duration = Duration::from_mins(3);

/// Waits longer than a desk does.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !look().await {
        assert!(begun.elapsed() < HEARING, "never: {what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Makes an object that owns others, and returns what names it in them.
async fn owner(desk: &Desk) -> Value {
    let uri = format!("/api/v1/namespaces/{}/configmaps", desk.namespace);
    let object =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner" } });
    let made = desk.post(&uri, &object).await.is(201);
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": made["metadata"]["uid"] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_garbage_collector_deletes_by_the_rules_of_users() {
    let server = Server::start("collected").await;
    let desk = Desk::open(&server.examined, "owned").await;
    let owners = json!([owner(&desk).await]);
    let mut draft = desk.draft("p", "w1", json!({}));
    draft["metadata"]["ownerReferences"] = owners.clone();
    desk.post(&desk.path("packagerevisions"), &draft)
        .await
        .is(201);
    desk.publish("q", "w1", json!({})).await;
    let patch = json!({ "metadata": { "ownerReferences": owners } });
    let owned = desk.patch("packagerevisions/r.q.w1", MERGE, &patch).await;
    owned.is(200);
    desk.make("s", "w1", json!({})).await;
    let uri = format!("/api/v1/namespaces/{}/configmaps/owner", desk.namespace);
    let deleted = desk
        .examined
        .send("DELETE", &uri, ("application/json", Vec::new()))
        .await;
    deleted.is(200);
    until("the draft is collected", async || {
        desk.get("packagerevisions/r.p.w1").await.code == 404
    })
    .await;
    assert_eq!(desk.commit("drafts/p/w1"), None, "its branch went with it");
    // What is published goes when its deletion is proposed, and not before.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        desk.revision("r.q.w1").await["spec"]["lifecycle"],
        "Published"
    );
    assert!(desk.commit("refs/tags/q/v1").is_some());
    desk.turn("r.q.w1", "DeletionProposed").await.is(200);
    until("the proposed deletion is collected", async || {
        desk.get("packagerevisions/r.q.w1").await.code == 404
    })
    .await;
    assert_eq!(desk.commit("refs/tags/q/v1"), None);
    // What nobody owns is nobody's business.
    assert_eq!(desk.revision("r.s.w1").await["spec"]["lifecycle"], "Draft");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_deleted_ends_and_leaves_git_as_it_is() {
    let server = Server::start("ending").await;
    let desk = Desk::open(&server.examined, "gone").await;
    desk.make("p", "w1", json!({})).await;
    desk.publish("q", "w1", json!({})).await;
    let held = json!({ "metadata": { "finalizers": ["example.com/held"] } });
    desk.patch("packagerevisions/r.p.w1", MERGE, &held)
        .await
        .is(200);
    let before = desk.everything();
    let uri = format!("/api/v1/namespaces/{}", desk.namespace);
    let nothing = || ("application/json", Vec::new());
    let code = desk.examined.send("DELETE", &uri, nothing()).await.code;
    assert_eq!(code, 200);
    let told = desk.ask("late", "w1", json!({})).await;
    assert!(matches!(told.code, 403 | 404), "{}", told.body);
    // A user's finalizer holds its revision, and with it the namespace.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = desk.examined.send("GET", &uri, nothing()).await.is(200);
    assert_eq!(now["status"]["phase"], "Terminating");
    let free = json!({ "metadata": { "finalizers": null } });
    let freed = desk.patch("packagerevisions/r.p.w1", MERGE, &free).await;
    assert!(matches!(freed.code, 200 | 404), "{}", freed.body);
    until("the namespace is gone", async || {
        desk.examined.send("GET", &uri, nothing()).await.code == 404
    })
    .await;
    assert_eq!(desk.everything(), before, "Git is as it was");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_replica_began_another_finishes_or_unlocks() {
    let server = Server::start("killed").await;
    let plane = server.plane();
    let other = Replica::start(plane, "killed-other").await;
    let desk = Desk::open(&server.examined, "begun").await;
    let packages: Vec<String> = (0..12).map(|number| format!("k{number}")).collect();
    served::register(plane, other.address()).await;
    let asked = join_all(
        packages
            .iter()
            .map(|package| desk.ask(package, "w1", json!({}))),
    );
    let killed = async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        other.kill();
    };
    let (answers, ()) = tokio::join!(asked, killed);
    served::register(plane, server.address()).await;
    let created = answers.iter().filter(|answer| answer.code == 201).count();
    println!("{created} of 12 were created before the end");
    // Its Lease must lapse first, for whoever is slow is not dead.
    until("every draft can be made or is there", async || {
        desk.look("r").await;
        let again = join_all(
            packages
                .iter()
                .map(|package| desk.ask(package, "w1", json!({}))),
        )
        .await;
        let settled = |code| matches!(code, 201 | 409);
        let busy = |answer: &crate::desk::Answer| {
            answer.body["message"]
                .as_str()
                .unwrap_or_default()
                .contains("in progress")
        };
        again
            .iter()
            .all(|answer| settled(answer.code) && !busy(answer))
            && desk
                .names("packagerevisions?fieldSelector=spec.lifecycle%3DDraft")
                .await
                .len()
                == 12
    })
    .await;
    for (package, answer) in packages.iter().zip(&answers) {
        assert!(
            desk.commit(&format!("drafts/{package}/w1")).is_some(),
            "{package}"
        );
        if answer.code == 201 {
            let uid = &desk.revision(&name(&answer.body)).await["metadata"]["uid"];
            assert_eq!(
                *uid, answer.body["metadata"]["uid"],
                "{package} was promised"
            );
        }
    }
    server.end().await;
}
