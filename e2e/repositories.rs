//! Repositories in a real cluster: their controllers, their records and their end, with Git over smart HTTP.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use porch::{
    api::{PackageRev, Repository},
    cache::{Catalog, Name},
    controllers::{self, Settings},
    sync::{Contents, Feed, Mirrors},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    git_server::{GitServer, git},
    plane::{self, HOME, Plane, eventually},
};

/// The parts that work on Repositories, over a real cluster.
struct World {
    client: Client,
    namespace: String,
    catalog: Catalog,
    contents: Contents,
    directory: PathBuf,
    git: GitServer,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl World {
    async fn start(plane: &Plane, name: &str) -> Self {
        let (client, directory) = (plane.client(), plane.directory(name));
        let roots = directory.join("git");
        std::fs::create_dir_all(&roots).unwrap();
        let catalog = Catalog::new(10_000);
        let feed = Feed::new(client.clone(), catalog.clone(), HOME);
        let mirrors = Mirrors::new(directory.join("mirrors"));
        let settings = Settings::new(mirrors.clone(), false, Duration::from_secs(2));
        let contents = Contents::new(client.clone(), mirrors, false);
        let never = std::future::pending();
        let running = controllers::run(client.clone(), catalog.clone(), settings, never);
        let tasks = vec![
            tokio::spawn(async move { feed.run().await }),
            tokio::spawn(running),
        ];
        Self {
            namespace: plane.namespace(name).await,
            git: tokio::task::block_in_place(|| GitServer::http(&roots)),
            client,
            catalog,
            contents,
            directory,
            tasks,
        }
    }

    /// Ends the Repositories, so that the next who reconciles has nothing to do with them.
    async fn end(self) {
        let (params, all) = (DeleteParams::default(), ListParams::default());
        let api = self.repositories();
        api.delete_collection(&params, &all).await.unwrap();
        eventually("no Repositories", async || {
            api.list(&all).await.unwrap().items.is_empty().then_some(())
        })
        .await;
    }

    fn origin(&self, name: &str) -> Origin {
        origin(&self.directory, name)
    }

    fn repositories(&self) -> Api<Repository> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn records(&self) -> Api<PackageRev> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn register(&self, name: &str, more: Value) {
        let mut spec = json!({ "type": "git", "git": { "repo": self.git.url(name) } });
        json_patch::merge(&mut spec, &more);
        let repository = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": spec,
        });
        plane::apply(&self.repositories(), name, &repository)
            .await
            .unwrap();
    }

    /// Waits until the `Ready` condition has a reason, and returns the Repository.
    async fn until(&self, name: &str, reason: &str) -> Repository {
        let api = self.repositories();
        eventually(&format!("{name} {reason}"), async || {
            let repository = api.get(name).await.unwrap();
            let ready = condition(&repository, "Ready")?;
            (ready.reason == reason).then_some(repository)
        })
        .await
    }

    /// Waits until exactly these revisions are served.
    async fn until_served(&self, expected: &[&str]) {
        eventually(&format!("{expected:?}"), async || {
            (self.served() == expected).then_some(())
        })
        .await;
    }

    fn served(&self) -> Vec<String> {
        let objects = self.catalog.revisions().snapshot().objects;
        let here = objects
            .keys()
            .filter(|name| name.namespace == self.namespace);
        here.map(|name| name.name.clone()).collect()
    }
}

/// A work tree from which strangers push.
pub struct Origin {
    work: PathBuf,
}

/// Makes a repository with one package, published once, and a draft of it; served from below `git` of the directory.
pub fn origin(directory: &Path, name: &str) -> Origin {
    let bare = directory.join("git").join(name);
    let work = directory.join(format!("work-{name}"));
    for directory in [&bare, &work] {
        std::fs::create_dir_all(directory).unwrap();
    }
    git(&bare, &["init", "-q", "--bare", "."]);
    git(&work, &["init", "-q", "."]);
    git(&work, &["remote", "add", "origin", bare.to_str().unwrap()]);
    let origin = Origin { work };
    origin.package("a", "one");
    origin.push(&["main", "main:refs/tags/a/v1", "main:refs/heads/drafts/a/w2"]);
    origin
}

impl Origin {
    pub fn package(&self, name: &str, words: &str) {
        let directory = self.work.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let kptfile = format!("apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: {name}\n");
        std::fs::write(directory.join("Kptfile"), kptfile).unwrap();
        std::fs::write(directory.join("README.md"), words).unwrap();
        git(&self.work, &["add", "-A"]);
        git(&self.work, &["commit", "-q", "-m", words]);
    }

    pub fn push(&self, refs: &[&str]) {
        self.push_to("origin", refs);
    }

    pub fn push_to(&self, remote: &str, refs: &[&str]) {
        let words = ["push", "-q", "--force", remote];
        git(&self.work, &[&words, refs].concat());
    }
}

fn condition<'a>(repository: &'a Repository, type_: &str) -> Option<&'a Condition> {
    let conditions = &repository.status.as_ref()?.conditions;
    conditions.iter().find(|it| it.type_ == type_)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_becomes_ready_follows_strangers_and_goes() {
    let plane = plane::alone().await;
    let world = World::start(&plane, "walk").await;
    let origin = world.origin("r");
    world.register("r", json!({})).await;
    let ready = world.until("r", "Ready").await;
    assert_eq!(ready.finalizers(), ["config.porch.kpt.dev/repository"]);
    let status = ready.status.as_ref().unwrap();
    assert_eq!(status.package_count, Some(3));
    assert_eq!(status.observed_generation, 1);
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    records_are_whole(&world, &ready).await;

    origin.package("b", "one");
    origin.push(&["main", "main:refs/tags/b/v1", ":refs/heads/drafts/a/w2"]);
    world
        .until_served(&["r.a.main", "r.a.v1", "r.b.main", "r.b.v1"])
        .await;

    world
        .repositories()
        .delete("r", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the end", async || {
        let left = world.repositories().get_opt("r").await.unwrap();
        left.is_none().then_some(())
    })
    .await;
    world.until_served(&[]).await;
    let left = world.records().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 0);
    let mirrors = std::fs::read_dir(world.directory.join("mirrors")).unwrap();
    let held = |mirror: PathBuf| mirror.join("holders").join(ready.uid().unwrap());
    let mut held = mirrors.map(|it| held(it.unwrap().path()));
    assert!(!held.any(|holder| holder.exists()));
    assert!(git(&origin.work, &["ls-remote", "origin"]).contains("refs/tags/b/v1"));
    world.end().await;
}

/// Nothing of a record was lost to pruning, and its files can be read.
async fn records_are_whole(world: &World, repository: &Repository) {
    for kept in world.records().list(&ListParams::default()).await.unwrap() {
        let known = world
            .catalog
            .record(&world.namespace, &kept.name_any())
            .unwrap();
        assert_eq!(known.spec, kept.spec);
        assert_eq!(kept.spec.repository.uid, repository.uid().unwrap());
        assert_eq!(kept.owner_references(), []);
        assert_eq!(kept.finalizers().len(), 1, "{:?}", kept.metadata);
        let observed = kept.spec.observed.as_ref().unwrap();
        assert_eq!(observed.package, "a");
        assert_eq!(observed.git.tree.len(), 40);
        assert_eq!(observed.kptfile.blob.len(), 40);
    }
    let name = Name::new(&*world.namespace, "r.a.v1");
    let revision = world.catalog.revisions().get(&name).unwrap();
    let files = world.contents.files(revision.record()).await.unwrap();
    let readme = files.iter().find(|(path, _)| path == "README.md");
    assert_eq!(readme.unwrap().1, b"one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_finds_nothing_new_writes_no_record() {
    let plane = plane::alone().await;
    let world = World::start(&plane, "quiet").await;
    let _origin = world.origin("r");
    world.register("r", json!({})).await;
    world.until("r", "Ready").await;
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    let versions = async || {
        let list = world.records().list(&ListParams::default()).await.unwrap();
        let versions = list.items.iter().map(ResourceExt::resource_version);
        versions.collect::<Vec<_>>()
    };
    let (before, looks) = (versions().await, world.git.requests().len());
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(
        world.git.requests().len() >= 2,
        "nobody looked again after {looks}"
    );
    assert_eq!(versions().await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_secrets() {
    let plane = plane::alone().await;
    let world = World::start(&plane, "secret").await;
    let _origin = world.origin("r");
    world
        .git
        .behave(|it| it.authorization = Some("Basic dXNlcjpzZWNyZXQ=".into()));
    world
        .register("r", json!({ "git": { "secretRef": { "name": "s" } } }))
        .await;
    let told = world.until("r", "Error").await;
    let message = &condition(&told, "Ready").unwrap().message;
    assert!(
        message.contains(&format!("secret {}/s not found", world.namespace)),
        "{message}"
    );
    let secret = json!({
        "metadata": { "name": "s" }, "type": "kubernetes.io/basic-auth",
        "stringData": { "username": "user", "password": "secret" },
    });
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let secret = serde_json::from_value(secret).unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    world.until("r", "Ready").await;
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_deleted_by_hand_is_served_on() {
    let plane = plane::alone().await;
    let world = World::start(&plane, "hand").await;
    let _origin = world.origin("r");
    world.register("r", json!({})).await;
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    let deleted = world
        .records()
        .delete("r.a.v1", &DeleteParams::default())
        .await;
    deleted.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.served(), ["r.a.main", "r.a.v1", "r.a.w2"]);
    // One that loses our finalizer too is gone, and found in Git again.
    let bare = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let params = PatchParams::default();
    world
        .records()
        .patch("r.a.v1", &params, &bare)
        .await
        .unwrap();
    eventually("found again", async || {
        let record = world.records().get_opt("r.a.v1").await.unwrap()?;
        record.metadata.deletion_timestamp.is_none().then_some(())
    })
    .await;
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_edited_by_hand_says_again_what_git_says() {
    let plane = plane::alone().await;
    let world = World::start(&plane, "edited").await;
    let _origin = world.origin("r");
    world.register("r", json!({})).await;
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    let records = world.records();
    let before = records.get("r.a.v1").await.unwrap();
    let (params, elsewhere) = (PatchParams::default(), "0".repeat(40));
    let edits = [
        // Other content, another state, another place, nothing at all; and what is the user's, which stays.
        json!({ "spec": { "observed": { "git": { "commit": elsewhere, "tree": elsewhere } } } }),
        json!({ "spec": { "observed": { "lifecycle": "Draft", "latest": false } } }),
        json!({ "spec": { "observed": { "git": { "ref": "refs/tags/b/v1" } } } }),
        json!({ "spec": { "observed": null } }),
        json!({ "spec": { "metadata": { "labels": { "tier": "mine" } } } }),
    ];
    for edit in edits {
        let edited = Patch::Merge(&edit);
        records.patch("r.a.v1", &params, &edited).await.unwrap();
        eventually(&format!("what Git says after {edit}"), async || {
            let now = records.get("r.a.v1").await.unwrap();
            (now.spec.observed == before.spec.observed).then_some(())
        })
        .await;
    }
    let now = records.get("r.a.v1").await.unwrap();
    assert_eq!(now.spec.metadata.labels["tier"], "mine");
    assert_eq!(world.served(), ["r.a.main", "r.a.v1", "r.a.w2"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_goes_takes_its_repositories_along() {
    let plane = plane::alone().await;
    let world = World::start(&plane, "going").await;
    let origin = world.origin("r");
    world.register("r", json!({})).await;
    world.until_served(&["r.a.main", "r.a.v1", "r.a.w2"]).await;
    let before = git(&origin.work, &["ls-remote", "origin"]);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces
        .delete(&world.namespace, &DeleteParams::default())
        .await
        .unwrap();
    eventually("no namespace", async || {
        namespaces
            .get_opt(&world.namespace)
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    world.until_served(&[]).await;
    assert_eq!(git(&origin.work, &["ls-remote", "origin"]), before);
}
