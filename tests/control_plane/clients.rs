//! What `kube-rs` does: typed calls, watches, a controller with its finalizer and its events, on paused time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event as CoreEvent, Namespace, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kube_runtime::{
    Controller, WatchStreamExt,
    controller::Action,
    events::{Event, EventType, Recorder},
    finalizer::{self, finalizer},
    watcher,
};
use porch::{api::Repository, standalone::Persistence};
use serde_json::json;

use crate::{repository, secret, start};

#[tokio::test(start_paused = true)]
async fn typed_calls_do_what_they_say() {
    let plane = start(Persistence::Memory).await;
    let client = plane.client();
    let repositories: Api<Repository> = Api::default_namespaced(client.clone());
    let made = repositories
        .create(&PostParams::default(), &repository("a"))
        .await
        .unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.spec.git.as_ref().unwrap().branch, "main");
    let status = json!({"status": {"packageCount": 3}});
    let with = repositories
        .patch_status("a", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    assert_eq!(with.status.unwrap().package_count, Some(3));
    let mut changed = made.clone();
    changed.spec.description = "x".into();
    let conflict = repositories
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap_err();
    assert!(
        matches!(&conflict, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"),
        "{conflict:?}"
    );
    let applied = json!({"apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository", "status": {"packageCount": 4}});
    let params = PatchParams::apply("repository-controller").force();
    let with = repositories
        .patch_status("a", &params, &Patch::Apply(&applied))
        .await
        .unwrap();
    assert_eq!(with.status.unwrap().package_count, Some(4));
    assert!(
        with.metadata
            .managed_fields
            .unwrap()
            .iter()
            .any(|entry| entry.manager.as_deref() == Some("repository-controller"))
    );
    let gone = repositories
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    assert!(
        gone.right()
            .is_some_and(|status| status.details.unwrap().uid == made.uid().unwrap())
    );
    assert!(repositories.get_opt("a").await.unwrap().is_none());
    let bad: Api<Secret> = Api::namespaced(client, "nowhere");
    let missing = bad
        .create(&PostParams::default(), &secret("a", ""))
        .await
        .unwrap_err();
    assert!(
        matches!(&missing, kube::Error::Api(status) if status.code == 404 && status.message == "namespaces \"nowhere\" not found"),
        "{missing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_taken_by_one() {
    let plane = start(Persistence::Memory).await;
    let leases: Api<Lease> = Api::namespaced(plane.client(), "porch-system");
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}});
    let lease: Lease = serde_json::from_value(lease).unwrap();
    let made = leases.create(&PostParams::default(), &lease).await.unwrap();
    let taken = leases
        .create(&PostParams::default(), &lease)
        .await
        .unwrap_err();
    assert!(matches!(taken, kube::Error::Api(status) if status.reason == "AlreadyExists"));
    let mut mine = made.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("two".into());
    leases
        .replace("l", &PostParams::default(), &mine)
        .await
        .unwrap();
    mine.spec.as_mut().unwrap().holder_identity = Some("three".into());
    let late = leases
        .replace("l", &PostParams::default(), &mine)
        .await
        .unwrap_err();
    assert!(matches!(late, kube::Error::Api(status) if status.code == 409));
}

/// Follows secrets until `last` is seen, and returns what there is then.
async fn follow(client: Client, config: watcher::Config, last: &str) -> Vec<(String, String)> {
    let (reader, writer) = kube_runtime::reflector::store();
    let stream = watcher(Api::<Secret>::all(client), config)
        .default_backoff()
        .reflect(writer)
        .applied_objects();
    let mut stream = Box::pin(stream);
    while let Some(seen) = stream.try_next().await.unwrap() {
        if seen.name_any() == last {
            break;
        }
    }
    let mut all: Vec<_> = reader
        .state()
        .iter()
        .map(|secret| (secret.name_any(), secret.resource_version().unwrap()))
        .collect();
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn both_kinds_of_watcher_arrive_at_what_there_is() {
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let plane = start(Persistence::Memory).await;
        let secrets: Api<Secret> = Api::default_namespaced(plane.client());
        for number in 0..20 {
            secrets
                .create(&PostParams::default(), &secret(&format!("s{number}"), "1"))
                .await
                .unwrap();
        }
        let following = tokio::spawn(follow(plane.client(), config, "zz"));
        tokio::time::sleep(Duration::from_millis(10)).await;
        for number in 0..500_usize {
            let name = format!("s{}", number * 7 % 20);
            let patch = json!({"stringData": {"value": number.to_string()}});
            match number % 3 {
                0 => drop(secrets.delete(&name, &DeleteParams::default()).await),
                1 => drop(
                    secrets
                        .create(&PostParams::default(), &secret(&name, "new"))
                        .await,
                ),
                _ => drop(
                    secrets
                        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                        .await,
                ),
            }
        }
        secrets
            .create(&PostParams::default(), &secret("zz", "last"))
            .await
            .unwrap();
        let followed = following.await.unwrap();
        let list = secrets.list(&ListParams::default()).await.unwrap();
        let there: Vec<_> = list
            .iter()
            .map(|secret| (secret.name_any(), secret.resource_version().unwrap()))
            .collect();
        let mut sorted = there;
        sorted.sort();
        assert_eq!(followed, sorted);
    }
}

struct Context {
    client: Client,
    applied: AtomicUsize,
    cleaned: AtomicUsize,
}

async fn reconcile(
    repository: Arc<Repository>,
    context: Arc<Context>,
) -> Result<Action, finalizer::Error<kube::Error>> {
    let api: Api<Repository> = Api::default_namespaced(context.client.clone());
    finalizer(&api, "porch.kpt.dev/test", repository, |event| async {
        match event {
            finalizer::Event::Apply(repository) => {
                context.applied.fetch_add(1, Ordering::SeqCst);
                let recorder = Recorder::new(context.client.clone(), "test".into());
                let event = Event {
                    type_: EventType::Normal,
                    reason: "Seen".into(),
                    note: Some("it was seen".into()),
                    action: "Reconcile".into(),
                    secondary: None,
                };
                recorder
                    .publish(&event, &repository.object_ref(&()))
                    .await?;
            }
            finalizer::Event::Cleanup(_) => {
                context.cleaned.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(Action::requeue(Duration::from_hours(1)))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_controller_reconciles_by_the_clock_and_its_finalizer_holds_what_goes() {
    let plane = start(Persistence::Memory).await;
    let client = plane.client();
    let context = Arc::new(Context {
        client: client.clone(),
        applied: AtomicUsize::new(0),
        cleaned: AtomicUsize::new(0),
    });
    let repositories: Api<Repository> = Api::default_namespaced(client.clone());
    let controller = Controller::new(
        Api::<Repository>::all(client.clone()),
        watcher::Config::default(),
    )
    .run(
        reconcile,
        |_, _, _| Action::requeue(Duration::from_secs(1)),
        context.clone(),
    )
    .for_each(|_| std::future::ready(()));
    let controller = tokio::spawn(controller);
    repositories
        .create(&PostParams::default(), &repository("a"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let first = context.applied.load(Ordering::SeqCst);
    assert!(first >= 1);
    tokio::time::sleep(Duration::from_hours(24)).await;
    assert!(context.applied.load(Ordering::SeqCst) - first >= 23);
    let events: Api<CoreEvent> = Api::default_namespaced(client.clone());
    let about = ListParams::default().fields("involvedObject.name=a,reason=Seen");
    let seen = events.list(&about).await.unwrap();
    assert_eq!(seen.items[0].message.as_deref(), Some("it was seen"));
    let held = repositories
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    assert!(
        held.left()
            .is_some_and(|held| held.metadata.deletion_timestamp.is_some())
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(context.cleaned.load(Ordering::SeqCst), 1);
    assert!(repositories.get_opt("a").await.unwrap().is_none());
    controller.abort();
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_its_repositories_are_let_go() {
    let plane = start(Persistence::Memory).await;
    let client = plane.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let repositories: Api<Repository> = Api::namespaced(client, "n");
    let mut held = repository("a");
    held.finalizers_mut().push("porch.kpt.dev/test".into());
    repositories
        .create(&PostParams::default(), &held)
        .await
        .unwrap();
    namespaces
        .delete("n", &DeleteParams::default())
        .await
        .unwrap();
    let going = namespaces.get("n").await.unwrap();
    assert_eq!(going.status.unwrap().phase.as_deref(), Some("Terminating"));
    let let_go = json!({"metadata": {"finalizers": null}});
    repositories
        .patch("a", &PatchParams::default(), &Patch::Merge(&let_go))
        .await
        .unwrap();
    assert!(namespaces.get_opt("n").await.unwrap().is_none());
}
