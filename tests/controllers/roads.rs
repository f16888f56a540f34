//! The roads to real servers: what a Secret says of them counts from the moment that it changes.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    ssh_server::{SshServer, key, private, public},
    world::{Git, World, condition, serve, serve_tls},
};

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), "default")
}

async fn make_secret(world: &World, data: Value) {
    let secret = json!({"metadata": {"name": "s"}, "type": "Opaque", "stringData": data});
    let secret = serde_json::from_value(secret).unwrap();
    let made = secrets(world).create(&PostParams::default(), &secret).await;
    made.unwrap();
}

async fn change_secret(world: &World, data: Value) {
    let patch = Patch::Merge(json!({"stringData": data}));
    let (secrets, params) = (secrets(world), PatchParams::default());
    secrets.patch("s", &params, &patch).await.unwrap();
}

async fn register(world: &World, url: &str) {
    let git = json!({"repo": url, "secretRef": {"name": "s"}});
    world
        .register("r", json!({"type": "git", "git": git}))
        .await;
}

/// Returns the trouble that a repository is in, once the words are in it; nothing of the Secret may be.
async fn trouble(world: &World, words: &str) -> String {
    let wanted = |ready: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        ready.reason == "Error" && ready.message.contains(words)
    };
    let repository = world.until_ready("r", wanted).await;
    let told = condition(&repository, "Ready").unwrap().message.clone();
    assert!(
        !format!("{:?}", repository.status).contains("hunter2"),
        "{told}"
    );
    told
}

/// A repository with the package `a` on its branch.
fn small(world: &World) -> Git {
    let git = Git::new(world, "git");
    git.package("a", "one");
    git.push(&["main"]);
    git
}

#[tokio::test(start_paused = true)]
async fn a_secrets_proxy_is_used_and_another_counts_at_once() {
    let world = World::start().await;
    let (_git, server, proxy) = (small(&world), serve(&world), Proxy::start());
    // Only the proxy finds this host.
    let url = server
        .url("git.git")
        .replace("localhost", "git.example.test");
    proxy.behave(|behaviour| behaviour.authorization = Some("Basic dTpodW50ZXIy".into()));
    make_secret(&world, json!({"proxy": proxy.url("u:hunter21@")})).await;
    register(&world, &url).await;
    let told = trouble(&world, "authentication required").await;
    assert!(told.contains("the proxy wants"), "{told}");
    let begun = world.now();
    change_secret(&world, json!({"proxy": proxy.url("u:hunter2@")})).await;
    world.until_reason("r", "Ready").await;
    let waited = world.now().duration_since(begun).as_secs();
    assert!(
        waited < 120,
        "{waited}s: the retry alone comes after ten minutes"
    );
    world.until_served(&["r.a.main"]).await;
    // One that can't reach the server is told too, and is over when it is over.
    proxy.behave(|behaviour| behaviour.status = Some(502));
    trouble(&world, "status code: 502").await;
    proxy.behave(|behaviour| behaviour.status = None);
    world.until_reason("r", "Ready").await;
    change_secret(&world, json!({"proxy": "socks5://u:hunter2@host"})).await;
    trouble(&world, "default/s: the key proxy").await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_authority_counts_at_once() {
    let world = World::start().await;
    let (_git, server, other) = (small(&world), serve_tls(&world), serve_tls(&world));
    let pem =
        |server: &crate::git_server::GitServer| String::from_utf8(server.ca().unwrap()).unwrap();
    make_secret(&world, json!({"ca.crt": pem(&other)})).await;
    register(&world, &server.url("git.git")).await;
    trouble(&world, "tls: ").await;
    let begun = world.now();
    change_secret(&world, json!({"ca.crt": pem(&server)})).await;
    world.until_reason("r", "Ready").await;
    let waited = world.now().duration_since(begun).as_secs();
    assert!(
        waited < 120,
        "{waited}s: the retry alone comes after five minutes"
    );
    world.until_served(&["r.a.main"]).await;
    // The old one counts no more, though connections are open that it let in.
    change_secret(&world, json!({"ca.crt": pem(&other)})).await;
    trouble(&world, "tls: ").await;
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_counts_at_once() {
    let world = World::start().await;
    let (_git, server) = (small(&world), serve(&world));
    let open = |token: &str| {
        let header = format!("Bearer {token}");
        server.behave(|behaviour| behaviour.authorization = Some(header));
    };
    open("hunter2-old");
    make_secret(&world, json!({"bearerToken": "hunter2-old"})).await;
    register(&world, &server.url("git.git")).await;
    world.until_reason("r", "Ready").await;
    open("hunter2-new");
    trouble(&world, "authentication required").await;
    let begun = world.now();
    change_secret(&world, json!({"bearerToken": "hunter2-new"})).await;
    world.until_reason("r", "Ready").await;
    let waited = world.now().duration_since(begun).as_secs();
    assert!(
        waited < 120,
        "{waited}s: the retry alone comes after ten minutes"
    );
    world.until_served(&["r.a.main"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_repository_gets_its_branch_over_http() {
    let world = World::start().await;
    let git = Git::empty(&world, "git");
    let server = serve(&world);
    let spec = json!({"repo": server.url("git.git"), "createBranch": true});
    world
        .register("r", json!({"type": "git", "git": spec}))
        .await;
    let ready = world.until_reason("r", "Ready").await;
    let head = git.head("main");
    assert!(!head.is_empty());
    assert_eq!(ready.status.unwrap().git_commit_hash, head);
    // The branch is made once: a restart finds it.
    let world = world.restart();
    world.wait(2).await;
    world.until_reason("r", "Ready").await;
    assert_eq!(git.head("main"), head);
    git.git(&["pull", "-q", "origin", "main"]);
    git.package("a", "one");
    git.push(&["main"]);
    world.until_served(&["r.a.main"]).await;
    // Another branch of a repository that is not empty begins where its own does not.
    let spec = json!({"type": "git", "git": {
        "repo": server.url("git.git"), "branch": "other", "createBranch": true,
    }});
    world.register("other", spec).await;
    world.until_reason("other", "Ready").await;
    assert!(!git.head("other").is_empty());
}

/// Serves the repositories of this machine over SSH; begun elsewhere, since it has a runtime of its own.
fn serve_ssh(host: u8, opens: u8) -> SshServer {
    let start = move || SshServer::start(key(host), &key(opens));
    std::thread::spawn(start).join().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_repository_over_ssh_is_read_and_its_key_and_its_servers_can_change() {
    let world = World::start().await;
    let (git, server) = (small(&world), serve_ssh(3, 1));
    let (known_hosts, ann) = (server.known_hosts(), private(&key(1)));
    make_secret(&world, json!({"identity": ann})).await;
    register(&world, &server.url(&git.bare)).await;
    let told = trouble(&world, "host key: ").await;
    assert!(told.contains("add to known_hosts of the Secret"), "{told}");
    let at_once = async |change: Value| {
        let begun = world.now();
        change_secret(&world, change).await;
        world.until_reason("r", "Ready").await;
        let waited = world.now().duration_since(begun).as_secs();
        assert!(
            waited < 120,
            "{waited}s: the retry alone comes after five minutes or more"
        );
    };
    at_once(json!({"known_hosts": known_hosts})).await;
    world.until_served(&["r.a.main"]).await;
    git.push(&["main:refs/tags/a/v1"]);
    world.until_served(&["r.a.main", "r.a.v1*"]).await;
    // What did not move costs one connection.
    world.wait(1).await;
    let before = server.connections();
    world.wait(301).await;
    assert_eq!(server.connections(), before + 1);

    // Another key opens it.
    let bob = key(2);
    server.behave(|behaviour| behaviour.keys = vec![public(&bob)]);
    let told = trouble(&world, "authentication required").await;
    assert!(told.contains("does not take this key"), "{told}");
    at_once(json!({"identity": private(&bob)})).await;
    // The server has another key.
    let server = std::thread::spawn(move || server.replaced(key(4), &key(2)));
    let server = server.join().unwrap();
    let told = trouble(&world, "host key: ").await;
    assert!(told.contains("somebody is in between"), "{told}");
    assert_eq!(
        world.served(),
        ["r.a.main", "r.a.v1*"],
        "nothing counts as gone"
    );
    at_once(json!({"known_hosts": server.known_hosts()})).await;
    change_secret(&world, json!({"identity": "hunter2"})).await;
    trouble(&world, "default/s: the key identity: it is no private key").await;
}
