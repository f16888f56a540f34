//! What users own of an object: kept, guarded and honoured through its whole life.

use serde_json::{Value, json};

use crate::desk::{Desk, Examined, JSON, MERGE, STEPS, merge, version};

const URI: &str = "packagerevisions/r.p.w1";

/// Labels, annotations, finalizers and owners go with a revision from its creation to its end.
pub async fn metadata_survives(examined: &Examined) {
    let desk = Desk::open(examined, "metadata").await;
    let owned = json!({
        "labels": { "team": "core" }, "annotations": { "note": "a\nb" }, "finalizers": ["example.com/held"],
        "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u-1" }],
    });
    let mut object = desk.draft("p", "w1", json!({}));
    merge(&mut object["metadata"], owned.clone());
    merge(
        &mut object["metadata"],
        json!({ "uid": "forged", "creationTimestamp": "2001-01-01T00:00:00Z", "resourceVersion": "" }),
    );
    let made = desk
        .post(&desk.path("packagerevisions"), &object)
        .await
        .is(201);
    let same = |object: &Value| {
        let mut labels = object["metadata"]["labels"].clone();
        labels
            .as_object_mut()
            .unwrap()
            .remove("kpt.dev/latest-revision");
        assert_eq!(labels, owned["labels"]);
        for member in ["annotations", "finalizers", "ownerReferences"] {
            assert_eq!(object["metadata"][member], owned[member], "{member}");
        }
    };
    same(&made);
    assert_ne!(made["metadata"]["uid"], "forged");
    assert_ne!(
        made["metadata"]["creationTimestamp"],
        "2001-01-01T00:00:00Z"
    );
    desk.write("r.p.w1", "x.txt", "x").await.is(200);
    same(&desk.revision("r.p.w1").await);
    same(&desk.turn("r.p.w1", "Proposed").await.is(200));
    same(&desk.approve("r.p.w1", "Published").await.is(200));
    desk.look("r").await;
    let now = desk.revision("r.p.w1").await;
    same(&now);
    for member in ["uid", "creationTimestamp"] {
        assert_eq!(
            now["metadata"][member], made["metadata"][member],
            "{member}"
        );
    }
    let refs = desk.everything();
    // All three patches, and a PUT, on what is published: Git is not touched.
    let mut next = now.clone();
    next["metadata"]["labels"]["put"] = "yes".into();
    let put = desk.put(URI, &next).await.is(200);
    assert!(version(&put).parse::<u64>().unwrap() > version(&now).parse::<u64>().unwrap());
    let merged = json!({ "metadata": { "labels": { "put": null, "merge": "yes" } } });
    let merged = desk.patch(URI, MERGE, &merged).await.is(200);
    assert_eq!(merged["metadata"]["labels"]["put"], Value::Null);
    let steps = json!([{ "op": "add", "path": "/metadata/annotations/steps", "value": "yes" }]);
    let stepped = desk.patch(URI, STEPS, &steps).await.is(200);
    assert_eq!(stepped["metadata"]["annotations"]["steps"], "yes");
    let strategic = json!({ "metadata": { "finalizers": ["example.com/other"] } });
    let kind = "application/strategic-merge-patch+json";
    let both = desk.patch(URI, kind, &strategic).await.is(200);
    // What changes nothing is no change.
    let same_again = desk.put(URI, &both).await.is(200);
    assert_eq!(version(&same_again), version(&both));
    assert_eq!(
        both["metadata"]["finalizers"].as_array().unwrap().len(),
        2,
        "{both}"
    );
    assert_eq!(desk.everything(), refs);
    let nothing = desk.patch(URI, MERGE, &json!({})).await.is(200);
    assert_eq!(version(&nothing), version(&both), "nothing changed");
}

/// What somebody holds stays, can be read, and goes nowhere but away.
pub async fn finalizers_hold(examined: &Examined) {
    let desk = Desk::open(examined, "finalizers").await;
    let from = version(&desk.get("packagerevisions").await.is(200));
    let mut object = desk.draft("p", "w1", json!({}));
    object["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    desk.post(&desk.path("packagerevisions"), &object)
        .await
        .is(201);
    let refs = desk.everything();
    let held = desk.delete(URI).await.is(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    assert_eq!(desk.everything(), refs);
    let now = desk.revision("r.p.w1").await;
    assert_eq!(
        now["metadata"]["deletionTimestamp"],
        held["metadata"]["deletionTimestamp"]
    );
    assert!(desk.files("r.p.w1").await["spec"]["resources"]["Kptfile"].is_string());
    let again = desk.delete(URI).await.is(200);
    assert_eq!(
        version(&again),
        version(&now),
        "a second DELETE changes nothing"
    );
    desk.turn("r.p.w1", "Proposed").await.refuses(
        "r.p.w1",
        &["spec.lifecycle: Forbidden: may not be changed while the package revision is being deleted"],
    );
    desk.write("r.p.w1", "x.txt", "x").await.says(
        422,
        "Invalid",
        "the package revision is being deleted",
    );
    let more = json!({ "metadata": { "finalizers": ["example.com/a", "example.com/b", "example.com/c"] } });
    desk.patch(URI, MERGE, &more).await.says(
        422,
        "Invalid",
        "no new finalizers can be added if the object is being deleted",
    );
    // Nobody takes the mark away, and labels are still their owner's.
    let forged = json!({ "metadata": { "deletionTimestamp": null, "labels": { "a": "b" } } });
    let labelled = desk.patch(URI, MERGE, &forged).await.is(200);
    assert_eq!(
        labelled["metadata"]["deletionTimestamp"],
        held["metadata"]["deletionTimestamp"]
    );
    assert_eq!(labelled["metadata"]["labels"]["a"], "b");
    desk.look("r").await;
    assert!(desk.revision("r.p.w1").await["metadata"]["deletionTimestamp"].is_string());
    let one = json!({ "metadata": { "finalizers": ["example.com/b"] } });
    desk.patch(URI, MERGE, &one).await.is(200);
    assert_eq!(desk.everything(), refs, "one still holds it");
    let none = json!({ "metadata": { "finalizers": null } });
    desk.patch(URI, MERGE, &none).await.is(200);
    assert_eq!(desk.get(URI).await.code, 404);
    assert_eq!(desk.commit("drafts/p/w1"), None);
    let story = desk.story(&from, "r.p.w1").await;
    // A write that touches Git is declared first, which moves the version and shows nothing.
    let shown = story.into_iter().map(|(type_, mut object)| {
        object["metadata"]["resourceVersion"] = Value::Null;
        (type_, object)
    });
    let mut shown: Vec<_> = shown.collect();
    shown.dedup();
    let types: Vec<&str> = shown.iter().map(|(type_, _)| type_.as_str()).collect();
    assert_eq!(
        types,
        ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    );
    // One that is published can't be held to death: it must be proposed for deletion first.
    desk.publish("q", "w1", json!({})).await;
    let finalizer = json!({ "metadata": { "finalizers": ["example.com/a"] } });
    desk.patch("packagerevisions/r.q.w1", MERGE, &finalizer)
        .await
        .is(200);
    desk.delete("packagerevisions/r.q.w1").await.says(
        403,
        "Forbidden",
        "must be proposed for deletion",
    );
    desk.turn("r.q.w1", "DeletionProposed").await.is(200);
    desk.delete("packagerevisions/r.q.w1").await.is(200);
    desk.turn("r.q.w1", "Published").await.says(
        422,
        "Invalid",
        "may not be changed while the package revision is being deleted",
    );
    desk.approve("r.q.w1", "Published").await.says(
        422,
        "Invalid",
        "may not be changed while the package revision is being deleted",
    );
    let steps = json!([{ "op": "remove", "path": "/metadata/finalizers" }]);
    desk.patch("packagerevisions/r.q.w1", STEPS, &steps)
        .await
        .is(200);
    assert!(
        !desk.refs().iter().any(|name| name.starts_with("tags/q/")),
        "{:?}",
        desk.refs()
    );
}

/// A dry run says what would be, and changes nothing anywhere.
pub async fn dry_runs_change_nothing(examined: &Examined) {
    let desk = Desk::open(examined, "dry").await;
    desk.make("p", "w1", json!({})).await;
    desk.publish("q", "w1", json!({})).await;
    desk.make("s", "w1", json!({})).await;
    desk.turn("r.s.w1", "Proposed").await.is(200);
    let state = async || {
        (
            desk.everything(),
            desk.get("packagerevisions").await.is(200)["items"].clone(),
        )
    };
    let before = state().await;
    let post = format!("{}?dryRun=All", desk.path("packagerevisions"));
    let made = desk
        .post(&post, &desk.draft("new", "w1", json!({})))
        .await
        .is(201);
    assert_eq!(made["metadata"]["name"], "r.new.w1");
    desk.post(&post, &desk.draft("p", "w1", json!({})))
        .await
        .says(409, "AlreadyExists", "r.p.w1");
    desk.post(&post, &desk.draft("P", "w1", json!({})))
        .await
        .says(422, "Invalid", "spec.packageName");
    let patch = |lifecycle: &str| json!({ "spec": { "lifecycle": lifecycle } });
    for (uri, body, want) in [
        ("packagerevisions/r.p.w1", patch("Proposed"), "Proposed"),
        (
            "packagerevisions/r.s.w1/approval",
            patch("Published"),
            "Published",
        ),
        (
            "packagerevisions/r.q.w1",
            patch("DeletionProposed"),
            "DeletionProposed",
        ),
        (
            "packagerevisions/r.q.w1",
            json!({ "metadata": { "labels": { "a": "b" } } }),
            "Published",
        ),
    ] {
        let done = desk
            .patch(&format!("{uri}?dryRun=All"), MERGE, &body)
            .await
            .is(200);
        assert_eq!(done["spec"]["lifecycle"], want);
    }
    desk.patch(
        "packagerevisions/r.p.w1?dryRun=All",
        MERGE,
        &patch("Published"),
    )
    .await
    .says(422, "Invalid", "spec.lifecycle");
    let files = json!({ "spec": { "resources": { "x.txt": "x" } } });
    let done = desk
        .patch("packagerevisionresources/r.p.w1?dryRun=All", MERGE, &files)
        .await
        .is(200);
    assert_eq!(done["spec"]["resources"]["x.txt"], "x");
    for body in [
        "",
        "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"dryRun\":[\"All\"]}",
    ] {
        let query = if body.is_empty() { "?dryRun=All" } else { "" };
        let uri = desk.path(&format!("packagerevisions/r.p.w1{query}"));
        desk.examined
            .send("DELETE", &uri, (JSON, body.into()))
            .await
            .is(200);
    }
    desk.delete("packagerevisions/r.q.w1?dryRun=All")
        .await
        .says(403, "Forbidden", "must be proposed for deletion");
    let package = json!({
        "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PorchPackage", "metadata": {},
        "spec": { "repository": "r", "packageName": "fresh" },
    });
    desk.post(&format!("{}?dryRun=All", desk.path("packages")), &package)
        .await
        .is(201);
    desk.delete("packages/r.p?dryRun=All").await.is(200);
    desk.delete("packagerevisions/r.p.w1?dryRun=maybe")
        .await
        .says(422, "Invalid", "dryRun");
    assert_eq!(state().await, before);
}

/// Namespaces that are not there, or that go: their objects are let go of, and Git is not touched.
pub async fn namespaces_that_are_not_there(examined: &Examined) {
    let desk = Desk::open(examined, "namespaces").await;
    let mut object = desk.draft("p", "w1", json!({}));
    object["metadata"]["namespace"] = "nowhere".into();
    let uri = "/apis/porch.kpt.dev/v1alpha1/namespaces/nowhere/packagerevisions";
    let told = desk.post(uri, &object).await;
    told.says(404, "NotFound", "namespaces \"nowhere\" not found");
    desk.make("p", "w1", json!({})).await;
    let refs = desk.everything();
    let namespace = format!("/api/v1/namespaces/{}", desk.namespace);
    let gone = desk
        .examined
        .send("DELETE", &namespace, (JSON, Vec::new()))
        .await;
    assert!(matches!(gone.code, 200 | 202), "{}", gone.body);
    desk.eventually("the end of the namespace", async || {
        let left = desk
            .examined
            .send("GET", &namespace, (JSON, Vec::new()))
            .await;
        (left.code == 404).then_some(())
    })
    .await;
    assert!(desk.names("packagerevisions").await.is_empty());
    assert_eq!(desk.everything(), refs);
}

/// Many go as far as the selectors choose; what may not go stays, and keeps nobody else.
pub async fn collections_go(examined: &Examined) {
    let desk = Desk::open(examined, "collections").await;
    for (package, label) in [("p", "a"), ("q", "a"), ("s", "b")] {
        let mut object = desk.draft(package, "w1", json!({}));
        object["metadata"]["labels"] = json!({ "which": label });
        desk.post(&desk.path("packagerevisions"), &object)
            .await
            .is(201);
    }
    let before = desk.everything();
    let all = "packagerevisions?labelSelector=which%3Da";
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for bad in ["labelSelector=a%20in%20(", "fieldSelector=spec.none%3Dx"] {
        desk.delete(&format!("packagerevisions?{bad}"))
            .await
            .is(400);
    }
    let dry = desk.delete(&format!("{all}&dryRun=All")).await.is(200);
    assert_eq!(names(&dry), ["r.p.w1", "r.q.w1"]);
    assert_eq!(desk.everything(), before);
    let gone = desk.delete(all).await.is(200);
    assert_eq!(
        (&gone["kind"], names(&gone)),
        (&json!("PackageRevisionList"), names(&dry))
    );
    assert_eq!(
        desk.refs(),
        ["heads/drafts/s/w1", "heads/main", "tags/known/v1"]
    );
    let none = desk
        .delete("packagerevisions?fieldSelector=spec.packageName%3Dnone")
        .await
        .is(200);
    assert_eq!(names(&none), Vec::<String>::new());
    desk.delete("packagerevisions")
        .await
        .says(403, "Forbidden", "r.known");
    assert_eq!(desk.refs(), ["heads/main", "tags/known/v1"]);
}
