//! Optimistic locking across replicas: of two who write from one version exactly one wins, whichever replica they ask, and
//! who names no version waits for the others.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    rig::{Replica, Role, Way, World, until, until_none},
    truth::disagreement,
};

async fn two(world: &World) -> [Replica; 2] {
    [
        Replica::start(world, Role::leader("a").among(crate::rig::SHORT)).await,
        Replica::start(world, Role::follower("b").among(crate::rig::SHORT)).await,
    ]
}

/// Waits until both have seen what either has.
async fn together(replicas: &[Replica; 2]) {
    let newest = replicas.iter().map(|it| it.catalog.seen()).max().unwrap();
    until("both see", || {
        replicas.iter().all(|it| it.catalog.seen() >= newest)
    })
    .await;
}

async fn in_order(world: &World, replicas: &[Replica; 2]) {
    for replica in replicas {
        until_none("agreement", async || disagreement(world, replica).await).await;
        assert_eq!(replica.witness.complaints(), [""; 0]);
    }
}

#[test]
fn of_two_equal_writes_from_one_version_exactly_one_wins() {
    type Change = fn(&mut Value, &str);
    let writes: [(&str, Change); 3] = [
        ("packagerevisions", |it, who| {
            it["metadata"]["annotations"]["who"] = who.into();
        }),
        ("packagerevisions", |it, who| {
            it["spec"]["packageMetadata"]["labels"]["who"] = who.into();
        }),
        ("packagerevisionresources", |it, who| {
            it["spec"]["resources"]["who.txt"] = who.into();
        }),
    ];
    let world = World::start(Way::Http);
    world.run(async {
        let replicas = two(&world).await;
        replicas[0].init("p", "w").await.unwrap();
        for round in 0..4 {
            for (kind, change) in writes {
                together(&replicas).await;
                let path = format!("{kind}/r.p.w");
                let read = replicas[0].get(&path).await.unwrap();
                let written = replicas.iter().enumerate().map(|(number, replica)| {
                    let (mut object, path) = (read.clone(), path.clone());
                    change(&mut object, &format!("{round}-{number}"));
                    async move { replica.put(&path, object).await }
                });
                let mut codes: Vec<u16> = join_all(written)
                    .await
                    .into_iter()
                    .map(|answer| answer.map_or_else(|told| told.code, |_| 200))
                    .collect();
                codes.sort_unstable();
                assert_eq!(codes, [200, 409], "{kind} in round {round}");
            }
        }
        for to in ["Proposed", "Draft", "Proposed"] {
            together(&replicas).await;
            let mut object = replicas[1].get("packagerevisions/r.p.w").await.unwrap();
            object["spec"]["lifecycle"] = to.into();
            let written = replicas
                .iter()
                .map(|it| it.put("packagerevisions/r.p.w", object.clone()));
            let won = join_all(written).await.into_iter().flatten().count();
            assert_eq!(won, 1, "to {to}");
        }
        in_order(&world, &replicas).await;
    });
}

#[test]
fn fifty_patches_through_two_replicas_all_succeed() {
    let world = World::start(Way::Http);
    world.run(async {
        let replicas = two(&world).await;
        replicas[0].init("p", "w").await.unwrap();
        let patches = (0..50).map(|number| {
            let replica = &replicas[number % 2];
            let mut annotations = json!({});
            annotations[format!("n{number}")] = "yes".into();
            let patch = json!({"metadata": {"annotations": annotations}});
            async move { replica.patch("packagerevisions/r.p.w", patch).await }
        });
        for answer in join_all(patches).await {
            answer.unwrap();
        }
        together(&replicas).await;
        for replica in &replicas {
            let read = replica.get("packagerevisions/r.p.w").await.unwrap();
            let all = read["metadata"]["annotations"].as_object().unwrap();
            assert_eq!(all.len(), 50);
        }
        // The same of what is in Git.
        let patches = (0..12).map(|number| {
            let replica = &replicas[number % 2];
            let mut labels = json!({});
            labels[format!("n{number}")] = "yes".into();
            let patch = json!({"spec": {"packageMetadata": {"labels": labels}}});
            async move { replica.patch("packagerevisions/r.p.w", patch).await }
        });
        for answer in join_all(patches).await {
            answer.unwrap();
        }
        let read = replicas[1].get("packagerevisions/r.p.w").await.unwrap();
        let all = read["spec"]["packageMetadata"]["labels"]
            .as_object()
            .unwrap();
        assert_eq!(all.len(), 12);
        in_order(&world, &replicas).await;
    });
}

#[test]
fn who_names_no_version_waits_for_the_other_replica_and_who_does_is_told_at_once() {
    let world = World::start(Way::Http);
    world.run(async {
        let replicas = two(&world).await;
        replicas[0].init("p", "w").await.unwrap();
        together(&replicas).await;
        let [one, other] = &replicas;
        world
            .server
            .behave(|it| it.push_late = Some(Duration::from_secs(3)));
        let mut slow = Box::pin(one.lifecycle("r.p.w", "Proposed"));
        let open = async {
            until_none("an intent", async || {
                let record = world.records().get("r.p.w").await.unwrap();
                record.spec.intent.is_none().then(String::new)
            })
            .await;
        };
        tokio::select! {
            () = open => {}
            done = &mut slow => panic!("done too soon: {done:?}"),
        }
        let patch = json!({"metadata": {"annotations": {"later": "yes"}}});
        let patient = other.patch("packagerevisions/r.p.w", patch);
        let hasty = async {
            until("the intent", || {
                let record = other.catalog.record("default", "r.p.w").unwrap();
                record.spec.intent.is_some()
            })
            .await;
            let object = other.get("packagerevisions/r.p.w").await.unwrap();
            (
                other.put("packagerevisions/r.p.w", object.clone()).await,
                other.delete("packagerevisions/r.p.w").await,
            )
        };
        let (slow, patient, (put, deleted)) = tokio::join!(slow, patient, hasty);
        slow.unwrap();
        let patched = patient.unwrap();
        assert_eq!(patched["metadata"]["annotations"]["later"], "yes");
        assert_eq!(patched["spec"]["lifecycle"], "Proposed", "it waited");
        for told in [put.unwrap_err(), deleted.unwrap_err()] {
            assert_eq!(told.code, 409);
            let words = "another request is already in progress";
            assert!(told.message.contains(words), "{}", told.message);
        }
        world.server.behave(|it| it.push_late = None);
        in_order(&world, &replicas).await;
    });
}

#[test]
fn a_stale_cache_overwrites_nothing() {
    let world = World::start(Way::Http);
    world.run(async {
        let replicas = two(&world).await;
        let [fresh, stale] = &replicas;
        fresh.init("p", "w").await.unwrap();
        fresh.init("q", "w").await.unwrap();
        together(&replicas).await;
        let before = stale.get("packagerevisions/r.p.w").await.unwrap();
        let files = stale.get("packagerevisionresources/r.p.w").await.unwrap();
        stale.blind();
        let patch = json!({"metadata": {"annotations": {"newer": "yes"}}});
        fresh.patch("packagerevisions/r.p.w", patch).await.unwrap();
        let patch = json!({"spec": {"resources": {"newer.txt": "yes"}}});
        fresh
            .patch("packagerevisionresources/r.p.w", patch)
            .await
            .unwrap();
        fresh.delete("packagerevisions/r.q.w").await.unwrap();
        fresh.init("s", "w").await.unwrap();

        let annotations = json!({"metadata": {"annotations": {"mine": "yes"}}});
        let mut object = before.clone();
        object["metadata"]["annotations"] = json!({"mine": "yes"});
        let mut proposed = before.clone();
        proposed["spec"]["lifecycle"] = "Proposed".into();
        let mut mine = files.clone();
        mine["spec"]["resources"]["mine.txt"] = "yes".into();
        let object_path = "packagerevisions/r.p.w";
        for (what, answer, codes) in [
            ("metadata", stale.put(object_path, object).await, [409, 409]),
            (
                "lifecycle",
                stale.put(object_path, proposed).await,
                [409, 409],
            ),
            (
                "files",
                stale.put("packagerevisionresources/r.p.w", mine).await,
                [409, 409],
            ),
            (
                "a patch",
                stale
                    .patch(&format!("{object_path}?timeout=3s"), annotations)
                    .await,
                [504, 503],
            ),
            (
                "a patch in Git",
                stale
                    .patch(
                        &format!("{object_path}?timeout=3s"),
                        json!({"spec": {"lifecycle": "Proposed"}}),
                    )
                    .await,
                [504, 503],
            ),
            (
                "a deletion",
                stale.delete(&format!("{object_path}?timeout=3s")).await,
                [409, 504],
            ),
            (
                "one that is gone",
                stale.delete("packagerevisions/r.q.w?timeout=3s").await,
                [409, 404],
            ),
            (
                "a package that is not seen",
                stale.delete("packages/r.s?timeout=3s").await,
                [503, 504],
            ),
        ] {
            let told = answer.unwrap_err();
            assert!(codes.contains(&told.code), "{what}: {told:?}");
        }
        let now = fresh.get(object_path).await.unwrap();
        assert_eq!(now["metadata"]["annotations"], json!({"newer": "yes"}));
        assert_eq!(now["spec"]["lifecycle"], "Draft");
        let now = fresh.get("packagerevisionresources/r.p.w").await.unwrap();
        assert_eq!(now["spec"]["resources"]["newer.txt"], "yes");
        until_none("agreement", async || disagreement(&world, fresh).await).await;
    });
}

#[test]
fn what_is_told_as_done_can_be_read_and_built_on_at_once() {
    let world = World::start(Way::File);
    world.run(async {
        let replica = Replica::start(&world, Role::leader("a")).await;
        for round in 0..40 {
            let made = replica.init("p", "w").await;
            made.unwrap_or_else(|told| panic!("round {round}: {told:?}"));
            replica.get("packagerevisions/r.p.w").await.unwrap();
            replica.delete("packagerevisions/r.p.w").await.unwrap();
            let gone = replica.get("packagerevisions/r.p.w").await;
            assert_eq!(gone.unwrap_err().code, 404, "round {round}");
            let gone = replica.get("packages/r.p").await;
            assert_eq!(gone.unwrap_err().code, 404, "round {round}");
        }
        assert_eq!(replica.witness.complaints(), [""; 0]);
    });
}
