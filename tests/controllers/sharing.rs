//! Repositories on one Git repository share its mirror: what one fetched the other need not, and nobody is shown what it
//! could not have fetched itself.

use std::{collections::BTreeMap, fs, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use porch::git::Timeouts;
use serde_json::{Value, json};

use crate::{
    git_server::GitServer,
    mirrors::{has_files, mirror_of, packs},
    world::{Git, World, condition, serve},
};

fn spec(server: &GitServer, branch: &str) -> Value {
    json!({"type": "git", "git": {"repo": server.url("origin.git"), "branch": branch}})
}

/// How often objects were asked for, and refs: a look asks once for refs.
fn asked(server: &GitServer) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|line| line.starts_with("POST") && line.contains("git-upload-pack"))
        .count()
}

fn mirrors(world: &World) -> usize {
    fs::read_dir(world.directory.path().join("cache")).map_or(0, Iterator::count)
}

async fn delete(world: &World, name: &str) {
    let api = world.repositories();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    while api.get_opt(name).await.unwrap().is_some() {
        world.nap().await;
    }
}

async fn look(world: &World, name: &str, second: u32) {
    let at = format!("2029-01-01T00:00:{second:02}Z");
    world
        .patch(name, json!({"spec": {"sync": {"runOnceAt": at}}}))
        .await;
    world
        .until_ready(name, |ready| ready.status == "True")
        .await;
    while world
        .repository(name)
        .await
        .status
        .and_then(|status| status.observed_run_once_at)
        .is_none_or(|acted| acted.0.to_string() != at)
    {
        world.nap().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_on_one_address_share_a_mirror_and_what_was_fetched_and_part_without_harm() {
    let world = World::start().await;
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1", "main:refs/heads/side"]);
    world.register("one", spec(&server, "main")).await;
    let one = world.until_reason("one", "Ready").await;
    assert_eq!(
        asked(&server),
        3,
        "refs, objects, and whether more has moved"
    );
    world.register("two", spec(&server, "side")).await;
    let two = world.until_reason("two", "Ready").await;
    assert_eq!(asked(&server), 2, "refs alone");
    assert_eq!(mirrors(&world), 1);
    let mirror = mirror_of(&world, &one.uid().unwrap());
    assert_eq!(mirror, mirror_of(&world, &two.uid().unwrap()));
    world
        .until_served(&["one.a.main", "one.a.v1*", "two.a.side", "two.a.v1*"])
        .await;

    // One sees what moved for it; the other has no part in that, and finds the objects when its turn comes.
    git.package("b", "two");
    git.push(&["main", "main:refs/tags/b/v1"]);
    look(&world, "one", 1).await;
    assert_eq!(asked(&server), 3);
    look(&world, "two", 1).await;
    assert_eq!(asked(&server), 2);
    for (name, words) in [
        ("one.b.main", "two"),
        ("two.b.v1", "two"),
        ("two.a.side", "one"),
    ] {
        has_files(&world, name, words).await;
    }
    assert!(world.catalog.record("default", "two.b.side").is_none());

    delete(&world, "one").await;
    assert_eq!(mirrors(&world), 1);
    assert_eq!(fs::read_dir(mirror.join("holders")).unwrap().count(), 1);
    has_files(&world, "two.a.side", "one").await;
    git.push(&["main:refs/heads/side"]);
    look(&world, "two", 2).await;
    has_files(&world, "two.b.side", "two").await;
    delete(&world, "two").await;
    assert_eq!(mirrors(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_shown_what_its_own_credentials_do_not_open() {
    let world = World::start().await;
    let server = serve(&world);
    server.behave(|it| it.authorization = Some("Bearer sesame".into()));
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&[
        "main",
        "main:refs/heads/b1",
        "main:refs/heads/b2",
        "main:refs/heads/b3",
        "main:refs/heads/b4",
    ]);
    let secrets = Api::<Secret>::namespaced(world.client.clone(), "default");
    for (name, token) in [("keys", "sesame"), ("copy", "sesame"), ("wrong", "barley")] {
        let secret = Secret {
            metadata: kube::core::ObjectMeta {
                name: Some(name.into()),
                ..Default::default()
            },
            type_: Some("Opaque".into()),
            string_data: Some(BTreeMap::from([("bearerToken".into(), token.into())])),
            ..Secret::default()
        };
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    let opened = |branch: &str, secret: Option<&str>| {
        let mut spec = spec(&server, branch);
        if let Some(secret) = secret {
            spec["git"]["secretRef"] = json!({"name": secret});
        }
        spec
    };
    world.register("owner", opened("main", Some("keys"))).await;
    world.until_reason("owner", "Ready").await;
    world.register("nothing", opened("b1", None)).await;
    world.register("wrong", opened("b2", Some("wrong"))).await;
    for name in ["nothing", "wrong"] {
        let told = world.until_reason(name, "Error").await;
        let told = &condition(&told, "Ready").unwrap().message;
        assert!(told.contains("authentication"), "{told}");
    }
    world.until_served(&["owner.a.main"]).await;
    // The same Secret shares; another one does not, whatever is in it.
    world.register("friend", opened("b3", Some("keys"))).await;
    world.register("stranger", opened("b4", Some("copy"))).await;
    let uid = |name: &'static str| async { world.until_reason(name, "Ready").await.uid().unwrap() };
    let of = |uid: &str| mirror_of(&world, uid);
    let owner = of(&uid("owner").await);
    assert_eq!(of(&uid("friend").await), owner);
    assert_ne!(of(&uid("stranger").await), owner);
    for name in ["nothing", "wrong"] {
        let uid = world.repository(name).await.uid().unwrap();
        assert!(!owner.join("holders").join(uid).exists());
    }
    // Another Secret: another mirror, and the old one is left to the others.
    world
        .patch(
            "friend",
            json!({"spec": {"git": {"secretRef": {"name": "copy"}}}}),
        )
        .await;
    look(&world, "friend", 1).await;
    assert_eq!(of(&uid("friend").await), of(&uid("stranger").await));
    has_files(&world, "owner.a.main", "one").await;
    has_files(&world, "friend.a.b3", "one").await;
}

/// More patience than any test has.
fn patience() -> Timeouts {
    let long = Duration::from_hours(1);
    Timeouts {
        connect: long,
        idle: long,
        whole: long,
    }
}

/// Has the server hold the next pack that is asked for until [`go`], and that pack alone.
fn hold(server: &GitServer, git: &Git) {
    let script = "!until [ -e go ]; do sleep 0.05; done; #";
    let words = ["-c".into(), format!("alias.later={script}"), "later".into()];
    server.behave(|it| it.before_pack = Some((git.bare.clone(), words.into())));
}

/// Waits until a pack is held.
async fn held(world: &World, server: &GitServer) {
    let mut held = false;
    while !held {
        server.behave(|it| held = it.before_pack.is_none());
        world.nap().await;
    }
}

fn go(git: &Git) {
    fs::write(git.bare.join("go"), "").unwrap();
}

/// In real time: a paused clock stands still while threads wait for a server.
#[tokio::test]
async fn who_is_deleted_in_the_middle_of_a_fetch_takes_no_neighbour_along() {
    let mut world = World::start_with(patience()).await;
    world.pace = Duration::from_millis(20);
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main", "main:refs/heads/side"]);
    hold(&server, &git);
    world.register("one", spec(&server, "main")).await;
    held(&world, &server).await;
    world.register("two", spec(&server, "side")).await;
    world.wait(5).await;
    // The other waits for what it needs too.
    assert!(world.served().is_empty());
    delete(&world, "one").await;
    let two = world.until_reason("two", "Ready").await;
    world.until_served(&["two.a.side"]).await;
    has_files(&world, "two.a.side", "one").await;
    let mirror = mirror_of(&world, &two.uid().unwrap());
    assert_eq!(fs::read_dir(mirror.join("holders")).unwrap().count(), 1);
    go(&git);
}

/// In real time: a paused clock stands still while threads wait for a server.
#[tokio::test]
async fn who_needs_nothing_new_waits_for_no_neighbours_fetch() {
    let mut world = World::start_with(patience()).await;
    world.pace = Duration::from_millis(20);
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main", "main:refs/heads/side"]);
    world.register("one", spec(&server, "main")).await;
    world.until_reason("one", "Ready").await;
    // What only the first wants does not come.
    git.package("b", "two");
    git.push(&["main"]);
    hold(&server, &git);
    world
        .patch(
            "one",
            json!({"spec": {"sync": {"runOnceAt": "2029-01-01T00:00:01Z"}}}),
        )
        .await;
    held(&world, &server).await;
    world.register("two", spec(&server, "side")).await;
    world.until_reason("two", "Ready").await;
    has_files(&world, "two.a.side", "one").await;
    assert!(world.catalog.record("default", "one.b.main").is_none());
    go(&git);
    while world.catalog.record("default", "one.b.main").is_none() {
        world.nap().await;
    }
    has_files(&world, "one.b.main", "two").await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_mirror_is_mended_for_all_who_share_it() {
    let world = World::start().await;
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    let branches = ["b1", "b2", "b3"];
    for branch in branches {
        git.push(&[&format!("main:refs/heads/{branch}")]);
        world.register(branch, spec(&server, branch)).await;
    }
    let mut uid = String::new();
    for branch in branches {
        uid = world.until_reason(branch, "Ready").await.uid().unwrap();
    }
    let mirror = mirror_of(&world, &uid);
    assert_eq!(mirrors(&world), 1);
    for (round, lost) in ["pack", "idx"].into_iter().enumerate() {
        for file in packs(&mirror, lost) {
            fs::remove_file(file).unwrap();
        }
        let words = format!("round {round}");
        git.package("a", &words);
        for branch in branches {
            git.push(&[&format!("main:refs/heads/{branch}")]);
        }
        for branch in branches {
            let at = format!("2029-01-01T00:01:0{round}Z");
            world
                .patch(branch, json!({"spec": {"sync": {"runOnceAt": at}}}))
                .await;
        }
        for branch in branches {
            let head = git.git(&["rev-parse", "main"]);
            while world
                .repository(branch)
                .await
                .status
                .unwrap()
                .git_commit_hash
                != head
            {
                world.nap().await;
            }
            world.until_reason(branch, "Ready").await;
            has_files(&world, &format!("{branch}.a.{branch}"), &words).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_nothing_is_fetched_again_and_looks_do_not_begin_all_at_once() {
    const MANY: usize = 80;
    let mut world = World::start().await;
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    for number in 0..MANY {
        git.push(&[&format!("main:refs/heads/b{number}")]);
    }
    for number in 0..MANY {
        let branch = format!("b{number}");
        world.register(&branch, spec(&server, &branch)).await;
    }
    for number in 0..MANY {
        world.until_reason(&format!("b{number}"), "Ready").await;
    }
    world.stop().await;
    asked(&server);
    let world = world.restart();
    world.catalog.until_ready().await;
    // How many began in each second.
    let mut begun = Vec::new();
    while begun.iter().sum::<usize>() < MANY && begun.len() < 60 {
        begun.push(asked(&server));
        world.nap().await;
    }
    world.wait(10).await;
    begun.push(asked(&server));
    let all: usize = begun.iter().sum();
    assert_eq!(
        all, MANY,
        "each asks once for refs, nobody for objects: {begun:?}"
    );
    assert!(begun.iter().all(|at_once| *at_once < 60), "{begun:?}");
    assert!(
        begun.iter().filter(|some| **some > 0).count() >= 3,
        "{begun:?}"
    );
}
