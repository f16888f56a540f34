//! What kube-apiserver refuses since the server says so: a Repository that would show the packages of another.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use porch::api::Repository;
use serde_json::{Value, json};

use crate::{
    plane::{self, Plane, eventually},
    served::{self, Replica},
};

/// The configuration, and the webhook in it.
const NAME: &str = "porch-server";
const WEBHOOK: &str = "repositories.config.porch.kpt.dev";
/// Nobody listens there; who is looked at does not matter here.
const ADDRESS: &str = "http://127.0.0.1:9/team/packages.git";

/// Has kube-apiserver ask a replica, as `deploy/` says; returns when the replica has told it whom to believe.
async fn ask(plane: &Plane, port: u16) -> Api<ValidatingWebhookConfiguration> {
    let text = std::fs::read_to_string(plane::root().join("deploy/validating-webhook.yaml"));
    let mut wanted: Value = serde_saphyr::from_str(&text.unwrap()).unwrap();
    wanted["webhooks"][0]["clientConfig"]["service"]["port"] = port.into();
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(plane.client());
    plane::apply(&hooks, NAME, &wanted).await.unwrap();
    hooks
}

async fn is_told(hooks: &Api<ValidatingWebhookConfiguration>) -> Option<()> {
    let webhooks = hooks.get(NAME).await.unwrap().webhooks?;
    let bundle = webhooks[0].client_config.ca_bundle.as_ref()?;
    (!bundle.0.is_empty()).then_some(())
}

fn repository(name: &str, directory: Option<&str>) -> Value {
    let mut git = json!({ "repo": ADDRESS });
    if let Some(directory) = directory {
        git["directory"] = directory.into();
    }
    json!({
        "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
        "metadata": { "name": name }, "spec": { "type": "git", "git": git },
    })
}

struct Desk {
    client: Client,
}

impl Desk {
    fn repositories(&self, namespace: &str) -> Api<Repository> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates a Repository, perhaps only to try; returns why not.
    async fn create(&self, namespace: &str, repository: &Value, dry_run: bool) -> Option<String> {
        let repository = serde_json::from_value(repository.clone()).unwrap();
        let params = PostParams {
            dry_run,
            ..PostParams::default()
        };
        let made = self
            .repositories(namespace)
            .create(&params, &repository)
            .await;
        refusal(made)
    }

    async fn patch(&self, namespace: &str, name: &str, patch: Value) -> Option<String> {
        let patch = Patch::Merge(patch);
        let params = PatchParams::default();
        let patched = self
            .repositories(namespace)
            .patch(name, &params, &patch)
            .await;
        refusal(patched)
    }
}

/// Returns the words of a refusal by the webhook; every other trouble is the test's.
fn refusal(done: kube::Result<Repository>) -> Option<String> {
    match done {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => {
            assert_eq!(
                (status.code, &*status.reason),
                (403, "RepositoryConflict"),
                "{status:?}"
            );
            Some(status.message.clone())
        }
        Err(error) => panic!("{error}"),
    }
}

fn denied(rival: &str) -> String {
    let words = "denied the request: Repository conflict with existing repository";
    format!("admission webhook \"{WEBHOOK}\" {words}: {rival}")
}

/// Deletes all Repositories of a namespace, and waits until they are gone.
async fn clear(api: &Api<Repository>) {
    let (params, all) = (DeleteParams::default(), ListParams::default());
    api.delete_collection(&params, &all).await.unwrap();
    eventually("no Repositories", async || {
        api.list(&all).await.unwrap().items.is_empty().then_some(())
    })
    .await;
}

/// Those that are new are refused, in a dry run too, if they would show what another shows.
async fn newcomers(desk: &Desk, one: &str, other: &str) {
    let first = format!("{one}/first");
    let third = repository("third", Some("a"));
    // kube-apiserver hears of webhooks a moment after they were written.
    eventually("the webhook is asked", async || {
        desk.create(one, &third, true).await
    })
    .await;
    assert_eq!(desk.create(one, &third, true).await, Some(denied(&first)));
    assert_eq!(desk.create(one, &third, false).await, Some(denied(&first)));
    // The root holds every directory, in whatever namespace; the same directory is another namespace's right.
    let root = repository("root", None);
    assert_eq!(desk.create(other, &root, false).await, Some(denied(&first)));
    for (namespace, name, directory) in [(other, "same", "a"), (one, "sibling", "b")] {
        let fine = repository(name, Some(directory));
        assert_eq!(desk.create(namespace, &fine, false).await, None, "{name}");
    }
}

/// What is in another's way already can be changed and can go, but it can't go where a third one is.
async fn those_that_are_there(desk: &Desk, one: &str, other: &str) {
    let label = json!({ "metadata": { "labels": { "tier": "mine" } } });
    assert_eq!(desk.patch(one, "second", label).await, None);
    let spec = json!({ "spec": { "description": "of a team", "deployment": true } });
    assert_eq!(desk.patch(one, "second", spec).await, None);
    let into = |directory: &str| json!({ "spec": { "git": { "directory": directory } } });
    let narrow = Some(denied(&format!("{other}/narrow")));
    assert_eq!(desk.patch(one, "wide", into("d/e")).await, narrow);
    assert_eq!(desk.patch(one, "wide", into("x")).await, None);
    // One that goes is in nobody's way, though its finalizer holds it a while.
    let third = repository("third", Some("a"));
    for left in ["first", "second"] {
        let rival = Some(denied(&format!("{one}/{left}")));
        assert_eq!(desk.create(one, &third, false).await, rival);
        let gone = desk.repositories(one).delete(left, &<_>::default()).await;
        gone.unwrap();
    }
    assert_eq!(desk.create(one, &third, false).await, None);
}

/// Two that nobody refused since the server was away: one of them is told of the other.
async fn conflict(api: &Api<Repository>) {
    let told = eventually("the conflict is told", async || {
        let all = api.list(&ListParams::default()).await.unwrap();
        let told = all.items.iter().filter(|it| {
            let status = it.status.as_ref();
            let mut conditions = status.iter().flat_map(|it| &it.conditions);
            conditions.any(|it| it.reason == "RepositoryConflict")
        });
        let told: Vec<String> = told.map(ResourceExt::name_any).collect();
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_would_show_anothers_packages_is_refused_by_kube_apiserver() {
    let plane = plane::alone().await;
    served::grant(&plane).await;
    let one = plane.namespace("admission").await;
    let other = plane.namespace("admission-other").await;
    let desk = Desk {
        client: plane.client(),
    };
    // Pairs that are in each other's way already, since nobody was asked.
    let elsewhere = |mut it: Value| {
        it["spec"]["git"]["branch"] = "other".into();
        it
    };
    for (namespace, repository) in [
        (&one, repository("first", Some("a"))),
        (&one, repository("second", Some("a"))),
        (&one, elsewhere(repository("wide", None))),
        (&other, elsewhere(repository("narrow", Some("d")))),
    ] {
        assert_eq!(desk.create(namespace, &repository, false).await, None);
    }
    let flags = ["--manage-apiservice", "--validate-repositories"].map(String::from);
    served::register_with(&plane, plane.address(), &json!({})).await;
    let replica = Replica::start_with(&plane, "admission", &flags).await;
    served::register_with(&plane, replica.address(), &json!({})).await;
    let hooks = ask(&plane, replica.address().port()).await;
    // It looks once a minute; a process that begins looks at once.
    assert_eq!(replica.terminate(), Some(0));
    replica.begin(&plane).await;
    eventually("the webhook knows whom to believe", async || {
        is_told(&hooks).await
    })
    .await;
    newcomers(&desk, &one, &other).await;
    those_that_are_there(&desk, &one, &other).await;
    for namespace in [&one, &other] {
        clear(&desk.repositories(namespace)).await;
    }
    // Without the server they are taken.
    assert_eq!(replica.terminate(), Some(0));
    for name in ["first", "second"] {
        let made = desk.create(&one, &repository(name, None), false).await;
        assert_eq!(made, None);
    }
    replica.begin(&plane).await;
    conflict(&desk.repositories(&one)).await;
    clear(&desk.repositories(&one)).await;
    hooks.delete(NAME, &DeleteParams::default()).await.unwrap();
    served::unregister(&plane).await;
    assert_eq!(replica.terminate(), Some(0));
}
