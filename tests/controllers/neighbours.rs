//! Repositories beside each other, and before each other: two on one Git repository, and one that hangs and must go.

use std::{
    io::Read,
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use porch::{
    controllers::{Admission, Bells, Pushed, Repositories, Wanted, Webhooks},
    git::Timeouts,
};
use serde_json::json;

use crate::world::{Git, World, condition};

/// A server that takes connections and never says a word. Tells of each when it was asked something, and when the other
/// side hung up.
fn silent() -> (String, Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/r.git", listener.local_addr().unwrap());
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told) = (stream.unwrap(), told.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let mut asked = false;
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => break,
                        Ok(_) if !asked => {
                            asked = true;
                            let _ = told.send("asked");
                        }
                        Ok(_) => {}
                    }
                }
                let _ = told.send("hung up");
            });
        }
    });
    (url, heard)
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

async fn hears(heard: &mut Option<Receiver<&'static str>>, wanted: &'static str) {
    let receiver = heard.take().unwrap();
    let (said, receiver) = tokio::task::spawn_blocking(move || {
        (receiver.recv_timeout(Duration::from_mins(1)), receiver)
    })
    .await
    .unwrap();
    assert_eq!(said, Ok(wanted));
    *heard = Some(receiver);
}

/// In real time: a paused clock stands still while threads wait for a server.
#[tokio::test]
async fn a_repository_that_is_deleted_during_its_look_hangs_up_at_once() {
    let mut world = World::start_with(patience()).await;
    world.pace = Duration::from_millis(20);
    let (url, heard) = silent();
    let mut heard = Some(heard);
    world
        .register("r", json!({"type": "git", "git": {"repo": url}}))
        .await;
    hears(&mut heard, "asked").await;
    world
        .repositories()
        .delete("r", &DeleteParams::default())
        .await
        .unwrap();
    while world.repositories().get_opt("r").await.unwrap().is_some() {
        world.nap().await;
    }
    hears(&mut heard, "hung up").await;
}

#[tokio::test]
async fn other_credentials_are_tried_at_once_though_the_server_has_not_answered_the_old() {
    let mut world = World::start_with(patience()).await;
    world.pace = Duration::from_millis(20);
    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(world.client.clone(), "default");
    for name in ["old", "new"] {
        let secret = json!({
            "metadata": {"name": name}, "type": "kubernetes.io/basic-auth",
            "stringData": {"username": "u", "password": name},
        });
        let secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    let (url, heard) = silent();
    let mut heard = Some(heard);
    let spec = json!({"type": "git", "git": {"repo": url, "secretRef": {"name": "old"}}});
    world.register("r", spec).await;
    hears(&mut heard, "asked").await;
    world
        .patch(
            "r",
            json!({"spec": {"git": {"secretRef": {"name": "new"}}}}),
        )
        .await;
    let mut both = Vec::new();
    for _ in 0..2 {
        let receiver = heard.take().unwrap();
        let waiting = move || {
            (
                receiver.recv_timeout(Duration::from_mins(1)).unwrap(),
                receiver,
            )
        };
        let (said, receiver) = tokio::task::spawn_blocking(waiting).await.unwrap();
        both.push(said);
        heard = Some(receiver);
    }
    both.sort_unstable();
    assert_eq!(both, ["asked", "hung up"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_repositories_of_the_same_packages_the_first_is_served_until_it_goes() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("first", &git).await;
    world.until_served(&["first.a.main"]).await;
    let spec = json!({"type": "git", "git": {"repo": git.url(), "directory": "a"}});
    world.register("second", spec).await;
    let told = world.until_reason("second", "RepositoryConflict").await;
    let ready = condition(&told, "Ready").unwrap();
    assert_eq!(ready.status, "False");
    let begun = ready.last_transition_time.0;
    assert_eq!(
        ready.message,
        format!(
            "Repository conflict with existing repository: default/first. Not ready since {begun}; \
             it is tried again when that one goes"
        )
    );
    let spec = json!({"type": "git", "git": {"repo": git.url()}});
    world.register("third", spec).await;
    world.until_reason("third", "RepositoryConflict").await;
    world.wait(400).await;
    assert_eq!(world.served(), ["first.a.main"]);
    world.until_reason("first", "Ready").await;
    let nothing = DeleteParams::default();
    world
        .repositories()
        .delete("second", &nothing)
        .await
        .unwrap();
    world
        .repositories()
        .delete("first", &nothing)
        .await
        .unwrap();
    world.until_reason("third", "Ready").await;
    world.until_served(&["third.a.main"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_in_the_way_of_what_a_user_wants_is_known_by_what_there_is_now() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    let admission = Admission::among(Repositories::follow(&world.client));
    let spec =
        |directory| json!({"type": "git", "git": {"repo": git.url(), "directory": directory}});
    let named = |name, directory| {
        json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec(directory),
        })
    };
    let create = async |object| {
        let wanted = Wanted {
            object,
            before: None,
        };
        admission.rival(wanted).await.unwrap()
    };
    let first = Some("default/first".to_owned());
    assert_eq!(create(named("second", "a")).await, None);
    world.register("first", spec("a")).await;
    while create(named("second", "a")).await != first {
        world.nap().await;
    }
    let update = async |object, before| {
        let wanted = Wanted {
            object,
            before: Some(before),
        };
        admission.rival(wanted).await.unwrap()
    };
    let mut changed = named("second", "a");
    changed["spec"]["deployment"] = true.into();
    assert_eq!(update(changed, named("second", "a")).await, None);
    assert_eq!(
        update(named("second", "a/b"), named("second", "b")).await,
        first
    );
    assert_eq!(
        update(named("first", "a/b"), named("first", "a")).await,
        None
    );
    let mut going = named("second", "a");
    going["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
    assert_eq!(update(going, named("second", "b")).await, None);
    // It is gone, and this process may not have heard of it.
    let repositories = world.repositories();
    repositories
        .delete("first", &DeleteParams::default())
        .await
        .unwrap();
    while repositories.get_opt("first").await.unwrap().is_some() {
        world.nap().await;
    }
    assert_eq!(create(named("second", "a")).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_another_replica_hears_of_is_seen_at_once_here() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    let spec =
        json!({"type": "git", "git": {"repo": git.url()}, "sync": {"schedule": "0 0 1 1 *"}});
    world.register("r", spec).await;
    world.until_served(&["r.a.main"]).await;
    world.until_reason("r", "Ready").await;
    let secret = world.directory.path().join("secret");
    std::fs::write(&secret, "open sesame").unwrap();
    // It has no manager of any Repository.
    let repositories = Repositories::follow(&world.client);
    let other = Webhooks::of(repositories, Some(secret), Bells::default());
    for number in 1..4 {
        git.push(&[&format!("main:refs/tags/a/v{number}")]);
        let message = || Pushed {
            repository: None,
            headers: [(
                http::HeaderName::from_static("x-gitlab-token"),
                "open sesame".parse().unwrap(),
            )]
            .into_iter()
            .collect(),
            body: json!({"url": git.url()}).to_string().into(),
        };
        let begun = world.now();
        let served = format!("r.a.v{number}*");
        while !world.served().contains(&served) {
            // It may not know the Repository yet, and a look under way may have seen the refs before the push.
            assert!(other.hear(message()).await);
            world.wait(5).await;
        }
        assert!(world.now().duration_since(begun).as_secs() < 600);
    }
    assert!(
        !other
            .hear(Pushed {
                repository: Some(("default".into(), "r".into())),
                headers: http::HeaderMap::new(),
                body: "{}".into(),
            })
            .await
    );
}
