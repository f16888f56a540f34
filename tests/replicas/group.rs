//! Group commit: writes that wait for one repository travel in one push, and nobody's fails for another's. Pushes are
//! counted, not timed.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use serde_json::json;

use crate::{
    rig::{Answer, Replica, Role, Way, World, hook, until_none},
    truth::disagreement,
};

/// As many as write at once.
const WRITERS: usize = 16;
/// How long a round trip takes.
const FAR: Duration = Duration::from_millis(300);

async fn one(world: &World) -> Replica {
    Replica::start(
        world,
        Role {
            leads: Some(Duration::from_hours(1)),
            ..Role::leader("a")
        },
    )
    .await
}

async fn in_order(world: &World, replica: &Replica) {
    until_none("agreement", async || disagreement(world, replica).await).await;
    assert_eq!(replica.witness.complaints(), [""; 0]);
}

/// Has all the packages do something at once, and returns their answers and how many pushes it took.
async fn at_once(
    world: &World,
    packages: usize,
    deed: impl AsyncFn(String) -> Answer,
) -> (Vec<Answer>, usize) {
    world.pushes();
    let all = join_all((0..packages).map(|number| deed(format!("p{number}")))).await;
    (all, world.pushes())
}

#[test]
fn writes_that_wait_for_one_repository_share_their_pushes() {
    let world = World::start(Way::Http);
    world.run(async {
        let replica = one(&world).await;
        replica.init("first", "w").await.unwrap();
        world.server.behave(|it| it.delay = Some(FAR));
        let mut counted = Vec::new();
        let (made, pushes) = at_once(&world, WRITERS, async |p| replica.init(&p, "w").await).await;
        counted.push(("create", made, pushes));
        let (made, pushes) = at_once(&world, WRITERS, async |p| {
            let patch = json!({"spec": {"resources": {"a.txt": p.clone()}}});
            replica
                .patch(&format!("packagerevisionresources/r.{p}.w"), patch)
                .await
        })
        .await;
        counted.push(("replace", made, pushes));
        for to in ["Proposed", "Published", "DeletionProposed"] {
            let (made, pushes) = at_once(&world, WRITERS, async |p| {
                replica.lifecycle(&format!("r.{p}.w"), to).await
            })
            .await;
            counted.push((to, made, pushes));
        }
        let (made, pushes) = at_once(&world, WRITERS, async |p| {
            replica.delete(&format!("packagerevisions/r.{p}.w")).await
        })
        .await;
        counted.push(("delete", made, pushes));
        for (what, made, pushes) in counted {
            for answer in made {
                answer.unwrap_or_else(|told| panic!("{what}: {told:?}"));
            }
            assert!(pushes <= 4, "{what}: {WRITERS} writes took {pushes} pushes");
        }
        world.server.behave(|it| it.delay = None);
        in_order(&world, &replica).await;
    });
}

#[test]
fn approvals_of_several_packages_are_chained_on_the_branch() {
    let world = World::start(Way::Http);
    world.run(async {
        let replica = one(&world).await;
        for number in 0..8 {
            let package = format!("p{number}");
            replica.init(&package, "w").await.unwrap();
            replica
                .lifecycle(&format!("r.{package}.w"), "Proposed")
                .await
                .unwrap();
        }
        world.server.behave(|it| it.delay = Some(FAR));
        let (published, pushes) = at_once(&world, 8, async |p| {
            replica.lifecycle(&format!("r.{p}.w"), "Published").await
        })
        .await;
        for answer in published {
            assert_eq!(answer.unwrap()["spec"]["revision"], 1);
        }
        assert!(pushes <= 4, "{pushes} pushes");
        world.server.behave(|it| it.delay = None);
        let history = world.git(&["rev-list", "--first-parent", "--count", "main"]);
        assert_eq!(
            history, "9",
            "each publication has its commit on the branch"
        );
        in_order(&world, &replica).await;
    });
}

#[test]
fn approvals_of_one_package_at_once_get_a_number_each() {
    for way in [Way::Http, Way::File] {
        let world = World::start(way);
        world.run(async {
            let replica = one(&world).await;
            let workspaces: Vec<String> = (0..4).map(|number| format!("w{number}")).collect();
            replica.publish("p", "first").await;
            for workspace in &workspaces {
                let copied =
                    json!([{"type": "edit", "edit": {"sourceRef": {"name": "r.p.first"}}}]);
                let draft = crate::rig::draft("p", workspace, &copied);
                replica.post("packagerevisions", draft).await.unwrap();
                let name = format!("r.p.{workspace}");
                let patch = json!({"spec": {"resources": {"who.txt": workspace}}});
                replica
                    .patch(&format!("packagerevisionresources/{name}"), patch)
                    .await
                    .unwrap();
                replica.lifecycle(&name, "Proposed").await.unwrap();
            }
            world.server.behave(|it| it.delay = Some(FAR));
            let approved = workspaces.iter().map(|workspace| {
                let (replica, name) = (&replica, format!("r.p.{workspace}"));
                async move { replica.lifecycle(&name, "Published").await }
            });
            let mut numbers = BTreeSet::new();
            for (workspace, answer) in workspaces.iter().zip(join_all(approved).await) {
                let answer = answer.unwrap_or_else(|told| panic!("{workspace}: {told:?}"));
                let number = answer["spec"]["revision"].as_i64().unwrap();
                let content = world.git(&["show", &format!("refs/tags/p/v{number}:p/who.txt")]);
                assert_eq!(content, *workspace, "v{number} is what was approved as it");
                numbers.insert(number);
            }
            assert_eq!(numbers, BTreeSet::from([2, 3, 4, 5]));
            world.server.behave(|it| it.delay = None);
            in_order(&world, &replica).await;
        });
    }
}

#[test]
fn whom_the_server_refuses_fails_alone() {
    for atomic in ["true", "false"] {
        let world = World::start(Way::Http);
        world.git(&["config", "receive.advertiseAtomic", atomic]);
        let refusing =
            r#"case "$1" in refs/heads/drafts/p3/*) echo "p3 is closed" >&2; exit 1;; esac"#;
        hook(&world.bare(), "update", refusing);
        world.run(async {
            let replica = one(&world).await;
            replica.init("first", "w").await.unwrap();
            world.server.behave(|it| it.delay = Some(FAR));
            let (made, _) = at_once(&world, 8, async |p| replica.init(&p, "w").await).await;
            for (number, answer) in made.into_iter().enumerate() {
                if number == 3 {
                    let told = answer.unwrap_err();
                    assert_eq!(told.code, 403, "atomic {atomic}: {told:?}");
                    assert!(told.message.contains("p3 is closed"), "{}", told.message);
                } else {
                    answer.unwrap_or_else(|told| panic!("atomic {atomic}, p{number}: {told:?}"));
                }
            }
            world.server.behave(|it| it.delay = None);
            assert!(world.records().get_opt("r.p3.w").await.unwrap().is_none());
            in_order(&world, &replica).await;
            // Once it is allowed, the same request succeeds.
            hook(&world.bare(), "update", "exit 0");
            replica.init("p3", "w").await.unwrap();
            in_order(&world, &replica).await;
        });
    }
}

#[test]
fn a_joint_push_whose_answer_is_lost_was_done_for_all() {
    let world = World::start(Way::Http);
    world.run(async {
        let replica = one(&world).await;
        replica.init("first", "w").await.unwrap();
        world.server.behave(|it| {
            it.delay = Some(FAR);
            it.push_lost = true;
        });
        let (made, pushes) = at_once(&world, 8, async |p| replica.init(&p, "w").await).await;
        for answer in made {
            answer.unwrap();
        }
        assert!(pushes <= 4, "{pushes} pushes");
        world
            .server
            .behave(|it| *it = crate::git_server::Behaviour::default());
        in_order(&world, &replica).await;
    });
}
