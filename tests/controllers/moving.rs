//! Moving over from the incumbent, and back: nothing that users gave to package revisions is lost in either way.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use porch::api::PackageRev;
use serde_json::{Value, json};

use crate::world::{Git, World};

/// What holds a record, and what holds a Repository.
const RECORD: &str = "internal.porch.kpt.dev/packagerevision";
const REPOSITORY: &str = "config.porch.kpt.dev/repository";

#[tokio::test(start_paused = true)]
async fn what_the_incumbent_kept_of_users_is_taken_over_by_the_first_look() {
    let mut world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1", "main:refs/heads/drafts/a/w"]);
    world.stop().await;
    let left = |name: &str| {
        json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "PackageRev",
            "metadata": {
                "name": name, "namespace": "default",
                "labels": {"internal.porch.kpt.dev/repository": "r", "tier": "mine"},
                "annotations": {"note": name},
                "finalizers": ["internal.porch.kpt.dev/packagerevision", "mine.example.com/held"],
                "ownerReferences": [json!({"apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision", "name": name, "uid": "u"}), {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"}],
            },
            "spec": {}, "status": {},
        })
    };
    // The last is of a revision that is in Git no more.
    let names = ["r.a.main", "r.a.v1", "r.a.w", "r.gone.v1"];
    let mut uids = Vec::new();
    for name in names {
        let record: PackageRev = serde_json::from_value(left(name)).unwrap();
        let made = world
            .records()
            .create(&PostParams::default(), &record)
            .await;
        uids.push(made.unwrap().uid());
    }
    world.register_git("r", &git).await;
    let world = world.restart();
    world.until_served(&["r.a.main", "r.a.v1*", "r.a.w"]).await;
    world.until_reason("r", "Ready").await;
    for (name, uid) in names.iter().zip(uids).take(3) {
        let record = world.records().get(name).await.unwrap();
        assert_eq!(record.uid(), uid, "{name}");
        assert_eq!(record.owner_references(), [], "{name}");
        assert_eq!(
            record.finalizers(),
            ["internal.porch.kpt.dev/packagerevision"]
        );
        let user = &record.spec.metadata;
        assert_eq!(user.labels["tier"], "mine");
        assert_eq!(user.labels.len(), 1);
        assert_eq!(user.annotations["note"], *name);
        assert_eq!(user.finalizers, ["mine.example.com/held"]);
        assert_eq!(user.owner_references.len(), 1);
        assert_eq!(user.owner_references[0].kind, "ConfigMap");
    }
    let left = world.records().list(&ListParams::default()).await.unwrap();
    let left = left.items.iter().map(ResourceExt::name_any);
    let left: Vec<String> = left.filter(|name| name.starts_with("r.gone")).collect();
    assert_eq!(left, [""; 0]);
}

/// Gives a record back, as the README says.
fn given_back(record: &PackageRev) -> Value {
    let mut record = serde_json::to_value(record).unwrap();
    let users = record["spec"]["metadata"].take();
    for key in ["labels", "annotations"] {
        for (name, value) in users[key].as_object().into_iter().flatten() {
            record["metadata"][key][name] = value.clone();
        }
    }
    for key in ["finalizers", "ownerReferences"] {
        let mut all: Vec<Value> = record["metadata"][key]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.extend(users[key].as_array().cloned().unwrap_or_default());
        record["metadata"][key] = all.into();
    }
    record["spec"] = json!({});
    record
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_as_the_incumbent_reads_it_and_can_be_taken_over_again() {
    let mut world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1", "main:refs/heads/drafts/a/w"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main", "r.a.v1*", "r.a.w"]).await;
    world.until_reason("r", "Ready").await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"});
    let users = json!({"spec": {"metadata": {
        "labels": {"tier": "mine"}, "annotations": {"note": "held"},
        "finalizers": ["mine.example.com/held"], "ownerReferences": [owner],
    }}});
    let (records, params) = (world.records(), PatchParams::default());
    let given = records.patch("r.a.w", &params, &Patch::Merge(&users)).await;
    let uid = given.unwrap().uid();
    world.stop().await;

    for record in records.list(&ListParams::default()).await.unwrap() {
        // The marker is none of them.
        assert!(
            record
                .labels()
                .contains_key("internal.porch.kpt.dev/repository")
        );
        let back: PackageRev = serde_json::from_value(given_back(&record)).unwrap();
        let (name, params) = (record.name_any(), PostParams::default());
        records.replace(&name, &params, &back).await.unwrap();
    }
    let back = records.get("r.a.w").await.unwrap();
    assert_eq!(back.uid(), uid);
    let labels = json!({"internal.porch.kpt.dev/repository": "r", "tier": "mine"});
    assert_eq!(json!(back.labels()), labels);
    assert_eq!(json!(back.annotations()), json!({"note": "held"}));
    assert_eq!(back.finalizers(), [RECORD, "mine.example.com/held"]);
    assert_eq!(json!(back.owner_references()), json!([owner]));
    let plain = records.get("r.a.v1").await.unwrap();
    assert_eq!(plain.finalizers(), [RECORD]);

    // A user changes what the incumbent serves, and moves over again.
    let changed = json!({"metadata": {"labels": {"tier": "theirs"}}});
    records
        .patch("r.a.w", &params, &Patch::Merge(changed))
        .await
        .unwrap();
    let world = world.restart();
    world.until_served(&["r.a.main", "r.a.v1*", "r.a.w"]).await;
    let again = world.records().get("r.a.w").await.unwrap();
    assert_eq!(again.uid(), uid);
    let metadata = &again.spec.metadata;
    assert_eq!(json!(metadata.labels), json!({"tier": "theirs"}));
    assert_eq!(json!(metadata.annotations), json!({"note": "held"}));
    assert_eq!(metadata.finalizers, ["mine.example.com/held"]);
    assert_eq!(json!(metadata.owner_references), json!([owner]));
    assert_eq!(again.finalizers(), [RECORD]);
}

/// Deletes an object that is held by this finalizer alone, and takes that away.
async fn free<K>(api: &Api<K>, name: &str, finalizer: &str)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.delete(name, &DeleteParams::default()).await.unwrap();
    let held = api.get(name).await.unwrap();
    assert_eq!(
        held.meta().finalizers.as_deref(),
        Some(&[finalizer.to_owned()][..])
    );
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch(name, &PatchParams::default(), &none)
        .await
        .unwrap();
    assert!(api.get_opt(name).await.unwrap().is_none(), "{name} is left");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_that_is_gone_holds_goes_without_its_finalizers() {
    let mut world = World::start().await;
    let git = Git::new(&world, "r");
    git.package("a", "one");
    git.push(&["main"]);
    world.register_git("r", &git).await;
    world.until_served(&["r.a.main"]).await;
    world.until_reason("r", "Ready").await;
    world.stop().await;
    free(&world.repositories(), "r", REPOSITORY).await;
    free(&world.records(), "r.a.main", RECORD).await;
}
