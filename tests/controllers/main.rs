//! Repositories come and go: the reconciler, its managers and the records, over a control plane in memory and real Git
//! repositories, on paused time.

mod faults;
mod functions;
#[path = "../support/git_server.rs"]
mod git_server;
#[path = "../support/many.rs"]
mod many;
mod mirrors;
mod moving;
mod neighbours;
mod place;
#[path = "../support/proxy.rs"]
mod proxy;
mod roads;
mod sharing;
mod soak;
#[path = "../support/ssh_server.rs"]
mod ssh_server;
#[path = "../support/trouble.rs"]
mod trouble;
mod world;

use std::{collections::BTreeMap, time::Duration};

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use porch::cache::Name;
use serde_json::json;
use world::{Git, World, condition};

#[tokio::test(start_paused = true)]
async fn a_repository_becomes_ready_and_its_revisions_are_served() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.git(&["tag", "a/v1"]);
    git.package("a", "two");
    git.git(&["tag", "a/v2"]);
    git.git(&["branch", "drafts/a/w3"]);
    git.package("b/c", "one");
    git.push(&["main", "--tags", "drafts/a/w3"]);
    world.register_git("r", &git).await;
    let ready = world.until_reason("r", "Ready").await;
    let status = ready.status.clone().unwrap();
    assert_eq!(ready.finalizers(), ["config.porch.kpt.dev/repository"]);
    assert_eq!(status.package_count, Some(5));
    assert_eq!(status.git_commit_hash, git.git(&["rev-parse", "main"]));
    assert_eq!(status.observed_generation, 1);
    let (last, next) = (
        status.last_full_sync_time.unwrap().0,
        status.next_full_sync_time.unwrap().0,
    );
    assert_eq!(next.duration_since(last).as_secs(), 300);
    assert_eq!(
        condition(&ready, "Ready").unwrap().message,
        "Repository Ready"
    );
    assert_eq!(condition(&ready, "Complete").unwrap().status, "True");
    world
        .until_served(&["r.a.main", "r.a.v1", "r.a.v2*", "r.a.w3", "r.b.c.main"])
        .await;

    let name = Name::new("default", "r.a.v1");
    let revision = world.catalog.revisions().get(&name).unwrap();
    let files = world.contents.files(revision.record()).await.unwrap();
    let files: BTreeMap<_, _> = files.into_iter().collect();
    assert_eq!(files["README.md"], b"one");
    assert_eq!(
        world.contents.file_count(revision.record()).await.unwrap(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn what_strangers_push_is_served_after_the_next_look() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1", "main:refs/heads/drafts/a/w"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main", "r.a.v1*", "r.a.w"]).await;
    let version = |name: &str| {
        world
            .catalog
            .record("default", name)
            .unwrap()
            .resource_version()
    };
    let placeholder = version("r.a.main");

    // The branch moves elsewhere, a revision is published.
    git.package("b", "one");
    git.push(&["main", "main:refs/tags/a/v2", ":refs/heads/drafts/a/w"]);
    world
        .until_served(&["r.a.main", "r.a.v1", "r.a.v2*", "r.b.main"])
        .await;
    assert_eq!(version("r.a.main"), placeholder, "its tree did not move");
    // History is rewritten, tags and branches go.
    git.git(&["reset", "-q", "--hard", "main~2"]);
    git.package("c", "one");
    git.push(&["main", ":refs/tags/a/v2"]);
    world.until_served(&["r.a.v1*", "r.c.main"]).await;
    git.push(&["main:refs/heads/deletionProposed/a/v1", ":refs/heads/main"]);
    let missing = world.until_reason("r", "Error").await;
    let told = &condition(&missing, "Ready").unwrap().message;
    assert!(
        told.starts_with("branch \"main\" not found in repository. Not ready since 2030-"),
        "{told}"
    );
    world.until_served(&["r.a.v1*"]).await;
    let record = world.catalog.record("default", "r.a.v1").unwrap();
    assert_eq!(
        record.spec.observed.as_ref().unwrap().lifecycle.as_str(),
        "DeletionProposed"
    );
    git.push(&["main"]);
    world.until_reason("r", "Ready").await;
    world.until_served(&["r.a.v1*", "r.c.main"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_deleted_takes_its_records_and_its_mirror_along_and_leaves_git_alone()
{
    let world = World::start().await;
    let (git, other) = (Git::new(&world, "r"), Git::new(&world, "other"));
    for git in [&git, &other] {
        git.package("a", "one");
        git.push(&["main", "main:refs/tags/a/v1"]);
    }
    world.register_git("r", &git).await;
    world.register_git("other", &other).await;
    world
        .until_served(&["other.a.main", "other.a.v1*", "r.a.main", "r.a.v1*"])
        .await;
    let before = git.git(&["ls-remote", "origin"]);
    let mirrors = || {
        std::fs::read_dir(world.directory.path().join("cache"))
            .unwrap()
            .count()
    };
    assert_eq!(mirrors(), 2);

    world
        .repositories()
        .delete("r", &DeleteParams::default())
        .await
        .unwrap();
    world.until_served(&["other.a.main", "other.a.v1*"]).await;
    while world.repositories().get_opt("r").await.unwrap().is_some() {
        world.nap().await;
    }
    assert_eq!(mirrors(), 1);
    assert_eq!(git.git(&["ls-remote", "origin"]), before);
    // A new one of the same name begins anew.
    world.register_git("r", &git).await;
    world
        .until_served(&["other.a.main", "other.a.v1*", "r.a.main", "r.a.v1*"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_repository_left_is_swept_away() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main"]).await;
    // Somebody takes the finalizer away: nobody is told of the end.
    world
        .repositories()
        .delete("r", &DeleteParams::default())
        .await
        .unwrap();
    world
        .patch("r", json!({"metadata": {"finalizers": null}}))
        .await;
    world.until_served(&[]).await;
    let left = world.records().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_lost_its_label_goes_with_its_repository() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main"]).await;
    let bare = Patch::Merge(json!({"metadata": {"labels": null}}));
    let params = PatchParams::default();
    world
        .records()
        .patch("r.a.main", &params, &bare)
        .await
        .unwrap();
    world
        .repositories()
        .delete("r", &DeleteParams::default())
        .await
        .unwrap();
    world.until_served(&[]).await;
    let left = world.records().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_by_its_field_and_never_with_a_password() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    let url = git.url();
    for (name, spec, expected) in [
        (
            "type",
            json!({"type": "oci", "oci": {"registry": "x"}}),
            "spec.type: type \"oci\" not supported",
        ),
        (
            "nothing",
            json!({"type": "git"}),
            "spec.git: git property is required",
        ),
        (
            "scheme",
            json!({"type": "git", "git": {"repo": "ftp://example.com/r"}}),
            "spec.git.repo: ",
        ),
        (
            "user",
            json!({"type": "git", "git": {"repo": "https://me:hunter2@example.com/r"}}),
            "spec.git.repo: ",
        ),
        (
            "branch",
            json!({"type": "git", "git": {"repo": url, "branch": "a..b"}}),
            "spec.git.branch: ",
        ),
        (
            "secret",
            json!({"type": "git", "git": {"repo": url, "secretRef": {"name": "s"}}}),
            "failed to resolve credentials: secret default/s not found",
        ),
        (
            "absent",
            json!({"type": "git", "git": {"repo": "file:///nowhere/at/all"}}),
            "",
        ),
    ] {
        world.register(name, spec).await;
        let repository = world.until_reason(name, "Error").await;
        let told = &condition(&repository, "Ready").unwrap().message;
        assert!(told.starts_with(expected), "{name}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_later_is_used() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    let spec = json!({"type": "git", "git": {"repo": git.url(), "secretRef": {"name": "s"}}});
    world.register("r", spec).await;
    world.until_reason("r", "Error").await;
    let secret = json!({
        "metadata": {"name": "s"}, "type": "kubernetes.io/basic-auth",
        "stringData": {"username": "u", "password": "p"},
    });
    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(world.client.clone(), "default");
    secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(secret).unwrap(),
        )
        .await
        .unwrap();
    world.until_reason("r", "Ready").await;
}

#[tokio::test(start_paused = true)]
async fn schedules_and_moments_are_kept() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    let spec =
        json!({"type": "git", "git": {"repo": git.url()}, "sync": {"schedule": "0 */6 * * *"}});
    world.register("r", spec).await;
    let ready = world.until_reason("r", "Ready").await;
    let next = |repository: &porch::api::Repository| {
        repository
            .status
            .clone()
            .unwrap()
            .next_full_sync_time
            .unwrap()
            .0
            .to_string()
    };
    assert_eq!(next(&ready), "2030-01-01T06:00:00Z");

    // Nobody looks before it is time.
    git.push(&["main:refs/tags/a/v1"]);
    world.wait(900).await;
    assert_eq!(world.served(), ["r.a.main"]);
    // A moment in the future changes when, and is acted on once.
    world
        .patch(
            "r",
            json!({"spec": {"sync": {"runOnceAt": "2030-01-01T00:30:00Z"}}}),
        )
        .await;
    world.until_served(&["r.a.main", "r.a.v1*"]).await;
    let status = world
        .until_ready("r", |ready| ready.observed_generation == Some(2))
        .await
        .status
        .unwrap();
    assert_eq!(
        status.observed_run_once_at.unwrap().0.to_string(),
        "2030-01-01T00:30:00Z"
    );
    let synced = status.last_full_sync_time.unwrap().0;
    assert!(
        synced.to_string().starts_with("2030-01-01T00:30:0"),
        "{synced}"
    );
    world.wait(600).await;
    let again = world
        .repository("r")
        .await
        .status
        .unwrap()
        .last_full_sync_time
        .unwrap()
        .0;
    assert_eq!(again, synced);

    world
        .patch(
            "r",
            json!({"spec": {"sync": {"schedule": "every day", "runOnceAt": null}}}),
        )
        .await;
    let told = world
        .until_ready("r", |ready| ready.message.contains("spec.sync.schedule"))
        .await;
    assert_eq!(condition(&told, "Ready").unwrap().status, "True");
}

#[tokio::test(start_paused = true)]
async fn a_restart_changes_no_record() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main", "r.a.v1*"]).await;
    world.until_reason("r", "Ready").await;
    let versions = |world: &World| {
        let records = world.catalog.records_of("default", "r").1;
        records
            .iter()
            .map(|record| (record.name_any(), record.resource_version()))
            .collect::<Vec<_>>()
    };
    let before = versions(&world);
    git.package("b", "one");
    git.push(&["main"]);
    let world = world.restart();
    world
        .until_served(&["r.a.main", "r.a.v1*", "r.b.main"])
        .await;
    let mut after = versions(&world);
    after.retain(|(name, _)| name != "r.b.main");
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_is_told_and_hides_nothing() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("Upper", "no name");
    git.package("a", "one");
    git.push(&[
        "main",
        "main:refs/heads/drafts/odd",
        "main:refs/heads/drafts/a/b.c",
        "main:refs/tags/release-1",
    ]);
    world.register_git("r", &git).await;
    let ready = world.until_reason("r", "Ready").await;
    let told = condition(&ready, "Complete").unwrap();
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("False", "Skipped")
    );
    for expected in ["refs/heads/main:Upper", "refs/heads/drafts/odd"] {
        assert!(told.message.contains(expected), "{}", told.message);
    }
    world.until_served(&["r.a.b.c", "r.a.main"]).await;
}

/// In real time: a paused clock stands still while threads wait for a server.
#[tokio::test]
async fn one_repositorys_trouble_delays_no_other() {
    let mut world = World::start().await;
    world.pace = Duration::from_millis(20);
    let git = Git::new(&world, "good");
    git.package("a", "one");
    git.push(&["main"]);
    // A server that takes the connection and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for number in 0..8 {
        let url = format!("http://{}/{number}.git", silent.local_addr().unwrap());
        world
            .register(
                &format!("bad{number}"),
                json!({"type": "git", "git": {"repo": url}}),
            )
            .await;
    }
    world.until_reason("bad0", "Reconciling").await;
    world.register_git("good", &git).await;
    world.until_served(&["good.a.main"]).await;
    // One that hangs can be deleted at once.
    world
        .repositories()
        .delete("bad0", &DeleteParams::default())
        .await
        .unwrap();
    while world
        .repositories()
        .get_opt("bad0")
        .await
        .unwrap()
        .is_some()
    {
        world.nap().await;
    }
    // A process waits for what it began; the silence ends here.
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn files_that_the_mirror_lacks_are_fetched_and_what_nobody_has_is_unavailable() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main"]).await;
    let record = world.catalog.record("default", "r.a.main").unwrap();
    std::fs::remove_dir_all(world.directory.path().join("cache")).unwrap();
    let files = world.contents.files(&record).await.unwrap();
    assert_eq!(files.len(), 2);
    // The next look goes on with the new mirror.
    git.push(&["main:refs/tags/a/v1"]);
    world.until_served(&["r.a.main", "r.a.v1*"]).await;

    let mut unknown = record.as_ref().clone();
    unknown.spec.observed.as_mut().unwrap().git.tree = "1".repeat(40);
    let told = world.contents.files(&unknown).await.unwrap_err();
    assert!(matches!(told, porch::sync::Error::Unavailable(_)), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_only_when_something_happened() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("r", &git).await;
    let ready = world.until_reason("r", "Ready").await;
    let version = ready.resource_version();
    world.wait(200).await;
    assert_eq!(world.repository("r").await.resource_version(), version);
    // A look that finds nothing writes when it was, and nothing else moves.
    world.wait(200).await;
    let later = world.repository("r").await;
    assert_ne!(later.resource_version(), version);
    let since = |repository| {
        condition(repository, "Ready")
            .unwrap()
            .last_transition_time
            .clone()
    };
    assert_eq!(since(&later), since(&ready));
}

#[tokio::test(start_paused = true)]
async fn trouble_and_its_end_are_told_in_events() {
    let world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("r", &git).await;
    world.until_reason("r", "Ready").await;
    let away = git.bare.with_extension("away");
    std::fs::rename(&git.bare, &away).unwrap();
    world.until_reason("r", "Error").await;
    // What was served is served on.
    assert_eq!(world.served(), ["r.a.main"]);
    std::fs::rename(&away, &git.bare).unwrap();
    world.until_reason("r", "Ready").await;
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(world.client.clone(), "default");
    let mut told: Vec<_> = events.list(&ListParams::default()).await.unwrap().items;
    told.sort_by_key(|event| {
        event
            .resource_version()
            .and_then(|version| version.parse::<u64>().ok())
    });
    let told: Vec<_> = told
        .iter()
        .map(|event| event.type_.clone().unwrap())
        .collect();
    assert_eq!(told, ["Warning", "Normal"]);
}
