//! FunctionConfigs come, change and go while packages are rendered: over a control plane in memory, with real executables.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use porch::{
    api::{FunctionConfig, FunctionConfigStatus},
    controllers::FunctionConfigs,
    crds,
    render::{
        DEFAULT_IMAGE_PREFIX, Functions, List, Runners,
        elsewhere::{Confines, Executables},
    },
    standalone::{ControlPlane, Definition, Persistence},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Where those are that count.
const NAMESPACE: &str = "functions";
/// A function that says which it is.
const SCRIPT: &str = "#!/bin/sh\necho \"$0\" | sed 's,.*/,,' >&2\ncat\n";

/// A replica that follows FunctionConfigs.
struct Replica {
    functions: Arc<Functions>,
    configs: FunctionConfigs,
}

/// A cluster, and a directory of functions.
struct World {
    client: Client,
    directory: TempDir,
    scratch: TempDir,
}

impl World {
    async fn start() -> Self {
        let definitions = crds::definitions();
        let definitions = definitions.iter().map(|it| Definition::custom(it).unwrap());
        let definitions = definitions.collect();
        let plane = ControlPlane::start(Persistence::Memory, definitions, &[NAMESPACE]).await;
        let (directory, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        Self {
            client: plane.unwrap().client(),
            directory,
            scratch,
        }
    }

    fn executable(&self, name: &str) {
        let path = self.directory.path().join(name);
        fs::write(&path, SCRIPT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn replica(&self) -> Replica {
        let confines = Confines::default();
        let executables =
            Executables::new(self.directory.path(), self.scratch.path(), confines).unwrap();
        self.follow(Some(executables)).await
    }

    async fn follow(&self, executables: Option<Executables>) -> Replica {
        let home = DEFAULT_IMAGE_PREFIX;
        let functions = Functions::new(home, executables, None, Handle::current());
        let functions = Arc::new(functions);
        let configs = FunctionConfigs::follow(&self.client, NAMESPACE, functions.clone());
        configs.until_read().await;
        Replica { functions, configs }
    }

    fn api(&self, namespace: &str) -> Api<FunctionConfig> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn create(&self, namespace: &str, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "FunctionConfig",
            "metadata": { "name": name }, "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        let api = self.api(namespace);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn patch(&self, name: &str, patch: Value) -> FunctionConfig {
        let (api, patch) = (self.api(NAMESPACE), Patch::Merge(patch));
        let done = api.patch(name, &PatchParams::default(), &patch).await;
        done.unwrap()
    }

    async fn delete(&self, name: &str) {
        let api = self.api(NAMESPACE);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the status is about this generation, with an error or without, and returns it.
    async fn until_told(&self, name: &str, is_told: impl Fn(&FunctionConfigStatus) -> bool) {
        let what = format!("the status of {name}");
        eventually(&what, async || {
            let object = self.api(NAMESPACE).get(name).await.unwrap();
            object.status.is_some_and(|status| is_told(&status))
        })
        .await;
    }
}

async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

impl Replica {
    /// Returns what a function says, or why there is none.
    async fn run(&self, image: &str) -> Result<String, String> {
        let (functions, image) = (self.functions.clone(), image.to_owned());
        let work = move || {
            let current = functions.current();
            let runner = current.resolve(&image)?;
            match runner.run(&mut List::default()) {
                Ok(ran) => Ok(ran.stderr.trim().to_owned()),
                Err(failure) => Ok(failure.message),
            }
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    async fn until(&self, image: &str, is_so: impl Fn(&Result<String, String>) -> bool) {
        let what = format!("{image} is another function");
        eventually(&what, async || is_so(&self.run(image).await)).await;
    }
}

fn go(image: &str, id: &str, tags: &[&str]) -> Value {
    json!({ "image": image, "goExecutor": { "id": id, "tags": tags } })
}

/// What `set-image` says without a config, so that one knows it.
fn is_set_image(said: &Result<String, String>) -> bool {
    said.as_ref()
        .is_ok_and(|said| said.contains("FunctionConfig is missing"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_makes_an_image_known_and_its_change_and_its_end_take_effect() {
    let world = World::start().await;
    let replica = world.replica().await;
    let image = "ghcr.io/kptdev/krm-functions-catalog/ours";
    assert!(replica.run(&format!("{image}:v1")).await.is_err());
    world
        .create(NAMESPACE, "ours", &go("ours", "set-image", &["v1"]))
        .await;
    replica.until(&format!("{image}:v1"), is_set_image).await;
    world
        .until_told("ours", |it| {
            it.api_server_observed_generation == 1 && it.error.is_empty()
        })
        .await;
    let object = world.api(NAMESPACE).get("ours").await.unwrap();
    assert_eq!(object.metadata.finalizers, None);

    world
        .patch(
            "ours",
            json!({ "spec": { "goExecutor": { "tags": ["v2"] } } }),
        )
        .await;
    replica.until(&format!("{image}:v2"), is_set_image).await;
    assert!(replica.run(&format!("{image}:v1")).await.is_err());
    world
        .until_told("ours", |it| it.api_server_observed_generation == 2)
        .await;

    world.delete("ours").await;
    replica.until(&format!("{image}:v2"), Result::is_err).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_of_this_program_comes_back_when_what_replaced_it_goes() {
    let world = World::start().await;
    let replica = world.replica().await;
    let image = "gcr.io/kpt-fn/set-image:v0.1.1";
    assert!(is_set_image(&replica.run(image).await));
    world
        .create(NAMESPACE, "any", &go("set-image", "set-image", &["v9"]))
        .await;
    replica.until(image, Result::is_err).await;
    world.delete("any").await;
    replica.until(image, is_set_image).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executable_runs_by_the_path_that_a_config_names() {
    let world = World::start().await;
    world.executable("one");
    world.executable("own");
    let replica = world.replica().await;
    let image = "example.com/own:v1";
    assert_eq!(replica.run(image).await, Ok("own".into()));
    let spec = json!({ "image": "own", "prefixes": ["example.com"],
        "binaryExecutor": { "path": "one", "tags": ["v1"] } });
    world.create(NAMESPACE, "own", &spec).await;
    replica.until(image, |said| *said == Ok("one".into())).await;
    assert_eq!(replica.run("example.com/own:v2").await, Ok("own".into()));
    assert_eq!(replica.run("elsewhere.com/own:v1").await, Ok("own".into()));

    world
        .patch(
            "own",
            json!({ "spec": { "binaryExecutor": { "path": "two" } } }),
        )
        .await;
    replica
        .until(image, |said| {
            said.as_ref().is_err_and(|why| why.contains("\"two\""))
        })
        .await;
    world.executable("two");
    assert_eq!(replica.run(image).await, Ok("two".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_changes_nothing_and_is_told_until_it_is_mended() {
    let world = World::start().await;
    let replica = world.replica().await;
    let image = "gcr.io/kpt-fn/set-image:v0.1.1";
    for (name, spec, field) in [
        (
            "id",
            go("set-image", "none", &["v1"]),
            "spec.goExecutor.id: ",
        ),
        (
            "prefix",
            json!({ "image": "set-image", "prefixes": ["("], "goExecutor": { "tags": ["v1"] } }),
            "spec.prefixes[0]: ",
        ),
        (
            "path",
            json!({ "image": "set-image", "binaryExecutor": { "path": "/bin/sh", "tags": ["v0.1.1"] } }),
            "spec.binaryExecutor.path: ",
        ),
    ] {
        world.create(NAMESPACE, name, &spec).await;
        world
            .until_told(name, |it| it.error.starts_with(field))
            .await;
        let status = world.api(NAMESPACE).get(name).await.unwrap().status;
        assert_eq!(status.unwrap().api_server_observed_generation, 0);
        assert!(is_set_image(&replica.run(image).await), "{name}");
        world
            .patch(name, json!({ "spec": go(name, "set-image", &["v1"]) }))
            .await;
        let mended = json!({ "spec": { "prefixes": null, "binaryExecutor": null } });
        let generation = world.patch(name, mended).await.metadata.generation;
        world
            .until_told(name, |it| {
                it.error.is_empty() && Some(it.api_server_observed_generation) == generation
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_agree_and_write_once() {
    let world = World::start().await;
    let (one, two) = (world.replica().await, world.follow(None).await);
    let spec = json!({ "image": "set-image",
        "goExecutor": { "tags": ["v1"] }, "binaryExecutor": { "path": "own", "tags": ["v2"] } });
    world.create(NAMESPACE, "set-image", &spec).await;
    // Not for the image, and so told to be the second; and one that counts nowhere.
    world
        .create(NAMESPACE, "other", &go("set-image", "set-image", &["v3"]))
        .await;
    world
        .create("default", "away", &go("away", "set-image", &["v1"]))
        .await;
    let image = "ghcr.io/kptdev/krm-functions-catalog/set-image";
    for replica in [&one, &two] {
        replica.until(&format!("{image}:v1"), is_set_image).await;
        assert!(replica.run(&format!("{image}:v3")).await.is_err());
        assert!(replica.run("away:v1").await.is_err());
        assert_eq!((replica.configs.check())(), Ok(String::new()));
    }
    world
        .until_told("set-image", |it| it.api_server_observed_generation == 1)
        .await;
    world
        .until_told("other", |it| it.error.contains("\"set-image\""))
        .await;
    let version = async |name| world.api(NAMESPACE).get(name).await.unwrap().metadata;
    let before = [version("set-image").await, version("other").await];
    // Something that both must have seen, and answered if they had anything to say.
    world
        .create(NAMESPACE, "last", &go("last", "set-image", &["v1"]))
        .await;
    for replica in [&one, &two] {
        replica
            .until(&format!("{DEFAULT_IMAGE_PREFIX}last:v1"), is_set_image)
            .await;
    }
    world
        .until_told("last", |it| it.api_server_observed_generation == 1)
        .await;
    assert_eq!([version("set-image").await, version("other").await], before);
    let away = world.api("default").get("away").await.unwrap();
    assert_eq!(away.status, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_keeps_the_functions_with_which_it_began() {
    let world = World::start().await;
    let replica = world.replica().await;
    world
        .create(NAMESPACE, "ours", &go("ours", "set-image", &["v1"]))
        .await;
    let image = format!("{DEFAULT_IMAGE_PREFIX}ours:v1");
    replica.until(&image, is_set_image).await;
    let functions = replica.functions.clone();
    let begun = functions.current();
    world.delete("ours").await;
    replica.until(&image, Result::is_err).await;
    assert!(begun.resolve(&image).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_cluster_knows_no_configs_says_so_and_goes_on() {
    let plane = ControlPlane::start(Persistence::Memory, Vec::new(), &[NAMESPACE]).await;
    let functions = Functions::new(DEFAULT_IMAGE_PREFIX, None, None, Handle::current());
    let client = plane.unwrap().client();
    let configs = FunctionConfigs::follow(&client, NAMESPACE, Arc::new(functions));
    let check = configs.check();
    eventually("ready, with a remark", async || {
        check().is_ok_and(|remark| remark.contains("FunctionConfigs"))
    })
    .await;
}
