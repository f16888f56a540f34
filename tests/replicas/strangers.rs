//! Strangers who write to Git beside the users of the API: nothing of theirs is overwritten unseen, and nothing that they
//! did makes a server tell what is not so.

use std::time::Duration;

use serde_json::json;

use crate::{
    rig::{Replica, Role, Way, World, draft, until_none},
    truth::disagreement,
};

/// Returns a world, and a replica that has no reason to look by itself.
async fn quiet(world: &World) -> Replica {
    let leads = Some(Duration::from_hours(1));
    Replica::start(
        world,
        Role {
            leads,
            ..Role::leader("a")
        },
    )
    .await
}

#[test]
fn a_revision_whose_tag_a_stranger_took_is_not_shown_as_published_when_it_is_deleted() {
    for way in [Way::Http, Way::File] {
        let world = World::start(way);
        world.run(async {
            let replica = quiet(&world).await;
            replica.publish("p", "w").await;
            replica
                .lifecycle("r.p.w", "DeletionProposed")
                .await
                .unwrap();
            world.git(&["update-ref", "-d", "refs/tags/p/v1"]);
            replica.delete("packagerevisions/r.p.w").await.unwrap();
            let gone = replica.get("packagerevisions/r.p.w").await;
            assert_eq!(gone.unwrap_err().code, 404);
            let told = replica.witness.moments("r.p.w");
            let told: Vec<_> = told
                .iter()
                .map(|moment| {
                    moment
                        .is
                        .as_ref()
                        .map(|it| it.observed().lifecycle.as_str())
                })
                .collect();
            let end = [Some("DeletionProposed"), None];
            let since = told
                .iter()
                .position(|it| *it == Some("DeletionProposed"))
                .unwrap();
            let mut after = told[since..].to_vec();
            after.dedup();
            assert_eq!(after, end, "{told:?}");
            until_none("agreement", async || disagreement(&world, &replica).await).await;
        });
    }
}

#[test]
fn a_number_that_a_stranger_took_for_nothing_is_passed_over() {
    let world = World::start(Way::Http);
    world.run(async {
        let replica = quiet(&world).await;
        replica.publish("p", "w").await;
        // A tag of the package's name on a commit that lacks the package: it is no revision, and its name is taken.
        let first = world.git(&["rev-list", "--max-parents=0", "main"]);
        world.git(&["update-ref", "refs/tags/p/v2", &first]);
        let copied = json!([{"type": "edit", "edit": {"sourceRef": {"name": "r.p.w"}}}]);
        replica
            .post("packagerevisions", draft("p", "x", &copied))
            .await
            .unwrap();
        replica.lifecycle("r.p.x", "Proposed").await.unwrap();
        let published = replica.lifecycle("r.p.x", "Published").await.unwrap();
        assert_eq!(published["spec"]["revision"], 3);
        assert_eq!(world.head("refs/tags/p/v2").unwrap(), first);
    });
}

#[test]
fn what_a_stranger_pushed_to_a_draft_is_not_overwritten() {
    let world = World::start(Way::Http);
    world.run(async {
        let replica = quiet(&world).await;
        replica.init("p", "w").await.unwrap();
        let seen = replica.get("packagerevisions/r.p.w").await.unwrap();
        let files = replica.get("packagerevisionresources/r.p.w").await.unwrap();
        let draft = world.head("refs/heads/drafts/p/w").unwrap();
        let tree = format!("{draft}^{{tree}}");
        let theirs = world.git(&["commit-tree", "-p", &draft, "-m", "theirs", &tree]);
        world.git(&["update-ref", "refs/heads/drafts/p/w", &theirs]);
        let mut mine = files.clone();
        mine["spec"]["resources"]["mine.txt"] = "yes".into();
        let told = replica
            .put("packagerevisionresources/r.p.w", mine)
            .await
            .unwrap_err();
        assert_eq!(told.code, 409, "{told:?}");
        let mut mine = seen;
        mine["spec"]["lifecycle"] = "Proposed".into();
        let told = replica
            .put("packagerevisions/r.p.w", mine)
            .await
            .unwrap_err();
        assert_eq!(told.code, 409, "{told:?}");
        assert_eq!(world.head("refs/heads/drafts/p/w").unwrap(), theirs);
        until_none("agreement", async || disagreement(&world, &replica).await).await;
        // Who names no version gets theirs along.
        let patch = json!({"spec": {"resources": {"mine.txt": "yes"}}});
        replica
            .patch("packagerevisionresources/r.p.w", patch)
            .await
            .unwrap();
        let parent = world.git(&["rev-parse", "refs/heads/drafts/p/w^"]);
        assert_eq!(parent, theirs);
    });
}
