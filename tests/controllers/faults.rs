//! Git servers as they are in the world: each fault with its condition, its event and its next try; nothing is removed,
//! neighbours stay fresh, and all is well again when the fault is over.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::events::v1;
use kube::{Api, ResourceExt, api::ListParams};
use porch::git::Timeouts;
use serde_json::json;

use crate::{
    git_server::Behaviour,
    trouble::{faults, strange_pack},
    world::{Git, World, condition, serve},
};

/// Names and UIDs of the records: what is made anew has another.
async fn records(world: &World) -> BTreeMap<String, String> {
    let list = world.records().list(&ListParams::default()).await.unwrap();
    let all = list
        .items
        .iter()
        .filter(|it| it.name_any().starts_with("r."));
    all.map(|it| (it.name_any(), it.uid().unwrap())).collect()
}

async fn events(world: &World, name: &str) -> Vec<(String, String)> {
    let api: Api<v1::Event> = Api::namespaced(world.client.clone(), "default");
    let mut all = api.list(&ListParams::default()).await.unwrap().items;
    all.retain(|event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name));
    all.sort_by_key(|event| {
        event
            .resource_version()
            .and_then(|it| it.parse::<u64>().ok())
    });
    let told = |event: v1::Event| {
        (
            event.type_.unwrap_or_default(),
            event.reason.unwrap_or_default(),
        )
    };
    all.into_iter().map(told).collect()
}

fn next(repository: &porch::api::Repository) -> jiff::Timestamp {
    let status = repository.status.as_ref().unwrap();
    status.next_full_sync_time.as_ref().unwrap().0
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_told_removes_nothing_delays_nobody_and_is_over_when_it_is_over() {
    let mut world = World::start().await;
    world.pace = Duration::from_secs(5);
    let (bad, good) = (Git::new(&world, "bad"), Git::new(&world, "good"));
    for origin in [&bad, &good] {
        origin.package("a", "one");
        origin.push(&["main", "main:refs/tags/a/v1", "main:refs/heads/drafts/a/w"]);
    }
    let (faulty, sound) = (serve(&world), serve(&world));
    let register = async |name: &str, url: String| {
        world
            .register(name, json!({"type": "git", "git": {"repo": url}}))
            .await;
    };
    register("r", faulty.url("bad.git")).await;
    register("neighbour", sound.url("good.git")).await;
    world.until_reason("r", "Ready").await;
    let strange = strange_pack(&world.directory.path().join("strange"));
    let mut expected_events = Vec::new();
    for (number, fault) in faults(&strange).into_iter().enumerate() {
        let (name, before) = (fault.name, records(&world).await);
        let version = number + 2;
        faulty.behave(|it| (fault.change)(it));
        bad.package("a", name);
        bad.push(&["main", &format!("main:refs/tags/a/v{version}")]);
        let told = world
            .until_ready("r", |ready| ready.reason == "Error")
            .await;
        let message = &condition(&told, "Ready").unwrap().message;
        assert!(message.contains(fault.told), "{name}: {message}");
        assert!(
            message.contains("tried once; it is tried again at 2030-"),
            "{name}: {message}"
        );
        let wait = next(&told).duration_since(world.now()).as_secs();
        let most = fault.retry * 6 / 5;
        assert!((fault.retry - 20..=most).contains(&wait), "{name}: {wait}");
        good.package("a", name);
        good.push(&["main", &format!("main:refs/tags/a/v{version}")]);
        let served = |name: &str| {
            world
                .served()
                .iter()
                .any(|it| it.trim_end_matches('*') == name)
        };
        while !served(&format!("neighbour.a.v{version}")) {
            world.nap().await;
        }
        assert_eq!(records(&world).await, before, "{name}");
        faulty.behave(|it| *it = Behaviour::default());
        world.until_reason("r", "Ready").await;
        assert!(served(&format!("r.a.v{version}")), "{name}");
        let after = records(&world).await;
        assert!(
            before.iter().all(|(key, uid)| after.get(key) == Some(uid)),
            "{name}"
        );
        expected_events.push(("Warning".to_owned(), fault.kind.to_owned()));
        expected_events.push(("Normal".to_owned(), "Ready".to_owned()));
    }
    let mut told = events(&world, "r").await;
    // Events of one kind are one object that counts.
    expected_events.sort();
    expected_events.dedup();
    told.sort();
    told.dedup();
    assert_eq!(told, expected_events);
}

#[tokio::test(start_paused = true)]
async fn an_event_tells_each_kind_of_trouble_once_and_waits_grow_meanwhile() {
    let mut world = World::start().await;
    world.pace = Duration::from_secs(5);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main"]);
    let server = serve(&world);
    let url = server.url("origin.git");
    world
        .register("r", json!({"type": "git", "git": {"repo": url}}))
        .await;
    world.until_reason("r", "Ready").await;
    server.behave(|it| it.status = Some(500));
    let fifth = world
        .until_ready("r", |ready| {
            ready.message.contains("tried 5 times in a row")
        })
        .await;
    let wait = next(&fifth).duration_since(world.now()).as_secs();
    assert!((460..=576).contains(&wait), "{wait}");
    server.behave(|it| it.status = Some(401));
    let denied = world
        .until_ready("r", |ready| {
            ready.message.contains("authentication required")
        })
        .await;
    let ready = condition(&denied, "Ready").unwrap();
    assert!(ready.message.contains("tried once"), "{}", ready.message);
    let since = condition(&fifth, "Ready")
        .unwrap()
        .last_transition_time
        .clone();
    assert_eq!(
        ready.last_transition_time, since,
        "there was no peace between"
    );
    server.behave(|it| it.status = None);
    world.until_reason("r", "Ready").await;
    world.wait(120).await;
    let told = events(&world, "r").await;
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|(type_, reason)| (&**type_, &**reason))
        .collect();
    assert_eq!(
        told,
        [
            ("Warning", "Unreachable"),
            ("Warning", "AccessDenied"),
            ("Normal", "Ready")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nobody_is_told_of_once_for_each_repository_and_asked_by_few() {
    // Little patience: what hangs is waited for in real time.
    let mut world = World::start_with(Timeouts {
        connect: Duration::from_millis(500),
        idle: Duration::from_millis(300),
        whole: Duration::from_secs(2),
    })
    .await;
    world.pace = Duration::from_secs(5);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    let branches: Vec<String> = (0..24).map(|number| format!("b{number}")).collect();
    for branch in &branches {
        git.push(&[&format!("main:refs/heads/{branch}")]);
    }
    let server = serve(&world);
    server.behave(|it| it.delay = Some(Duration::from_mins(10)));
    for branch in &branches {
        // Addresses differ, the server is the same.
        let url = server.url(&format!("{branch}/../origin.git"));
        let spec = json!({"type": "git", "git": {"repo": url, "branch": branch}});
        world.register(branch, spec).await;
    }
    world.wait(120).await;
    let asked = server.requests().len();
    // In ten minutes each would have asked four times; now they do once, and then one of them every half a minute.
    assert!((24..70).contains(&asked), "{asked}");
    for branch in &branches {
        world.until_reason(branch, "Error").await;
        let told = events(&world, branch).await;
        assert_eq!(
            told,
            [("Warning".to_owned(), "TimedOut".to_owned())],
            "{branch}"
        );
    }
    server.behave(|it| it.delay = None);
    for branch in &branches {
        world.until_reason(branch, "Ready").await;
    }
}
