//! Processes that end in the middle: what a killed replica began is finished or unlocked by another.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::{
    desk::{Desk, name},
    served::{self, Replica},
    server::Server,
};

/// How long a killed replica's work may take to be finished.
const FINISHING: Duration = Duration::from_mins(3);

/// Waits longer than a desk does.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !look().await {
        assert!(begun.elapsed() < FINISHING, "never: {what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
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
