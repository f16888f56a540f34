//! A package from its upstream by way of changes here to a newer upstream, with functions all the way; and upgrades that nobody would ask
//! for with good intentions.

use serde_json::{Value, json};

use crate::{
    desk::{Answer, Desk, Examined, JSON, config_map, kptfile},
    git_server::git,
};

const LABELS: &str =
    "pipeline:\n  mutators:\n  - image: set-labels:v0.2\n    configMap: {team: green}\n";

fn deployment(image: &str) -> String {
    format!(
        "# what runs\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  replicas: 1 # how many\n  template:\n    spec:\n      containers:\n      - name: main\n        image: {image}\n"
    )
}

fn clone_of(name: &str) -> Value {
    json!({ "tasks": [{ "type": "clone", "clone": { "upstreamRef": { "upstreamRef": { "name": name } } } }] })
}

fn copy_of(name: &str) -> Value {
    json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": name } } }] })
}

fn upgrade([old, new, local]: [&str; 3], strategy: &str) -> Value {
    json!({ "tasks": [{ "type": "upgrade", "upgrade": {
        "oldUpstreamRef": { "name": old }, "newUpstreamRef": { "name": new },
        "localPackageRevisionRef": { "name": local }, "strategy": strategy,
    } }] })
}

async fn put(desk: &Desk, name: &str, files: &[(&str, &str)]) -> Answer {
    let mut object = desk.files(name).await;
    for (path, text) in files {
        object["spec"]["resources"][*path] = (*text).into();
    }
    desk.put(&format!("packagerevisionresources/{name}"), &object)
        .await
}

async fn publish(desk: &Desk, name: &str) -> Value {
    desk.turn(name, "Proposed").await.is(200);
    desk.approve(name, "Published").await.is(200)
}

async fn file(desk: &Desk, name: &str, path: &str) -> String {
    let object = desk.files(name).await;
    let text = object["spec"]["resources"][path].as_str();
    text.unwrap_or_default().to_owned()
}

/// Publishes two versions of an upstream: the second has another image and one file more.
async fn upstream(desk: &Desk, package: &str) {
    desk.make(package, "w1", json!({})).await;
    let first = format!("r.{package}.w1");
    let root = kptfile(package) + LABELS;
    let files = [("Kptfile", root.as_str()), ("d.yaml", &deployment("one"))];
    put(desk, &first, &files).await.is(200);
    publish(desk, &first).await;
    desk.make(package, "w2", copy_of(&first)).await;
    let second = format!("r.{package}.w2");
    let (newer, more) = (deployment("two"), config_map("new"));
    let files = [("d.yaml", newer.as_str()), ("new.yaml", &more)];
    put(desk, &second, &files).await.is(200);
    publish(desk, &second).await;
}

/// Cloned, edited, replaced, proposed, approved and upgraded; and Git has what came of it.
pub async fn a_package_from_its_upstream_to_the_next(examined: &Examined) {
    let desk = Desk::open(examined, "chain").await;
    upstream(&desk, "up").await;
    desk.make("down", "w1", clone_of("r.up.w1")).await;
    assert!(
        file(&desk, "r.down.w1", "d.yaml")
            .await
            .contains("team: green")
    );
    publish(&desk, "r.down.w1").await;
    desk.make("down", "w2", copy_of("r.down.w1")).await;
    let ours = file(&desk, "r.down.w2", "d.yaml").await;
    let ours = ours.replace("replicas: 1", "replicas: 5");
    let own = config_map("ours").replace("name: cm", "name: own");
    let answer = put(&desk, "r.down.w2", &[("d.yaml", &ours), ("own.yaml", &own)])
        .await
        .is(200);
    let ran = &answer["status"]["renderStatus"]["result"];
    assert_eq!(ran["items"][0]["exitCode"], 0);
    let took = &ran["metadata"]["annotations"]["porch.kpt.dev/function-durations"];
    assert!(
        took.as_str().unwrap().starts_with("set-labels:v0.2 "),
        "{took}"
    );
    the_render_is_told(&desk, "r.down.w2").await;
    publish(&desk, "r.down.w2").await;
    let three = ["r.up.w1", "r.up.w2", "r.down.w2"];
    desk.make("down", "w3", upgrade(three, "resource-merge"))
        .await;
    let published = publish(&desk, "r.down.w3").await;
    assert_eq!(published["spec"]["revision"], 3);
    assert_eq!(published["status"]["upstreamLock"]["git"]["ref"], "up/v2");
    for reference in ["main", "down/v3"] {
        let shown = |path: &str| desk.at_home(&["show", &format!("{reference}:down/{path}")]);
        let merged = shown("d.yaml");
        for words in ["replicas: 5 # how many", "image: two", "# what runs"] {
            assert!(merged.contains(words), "{words}\n{merged}");
        }
        for path in ["d.yaml", "own.yaml", "new.yaml"] {
            assert!(shown(path).contains("team: green"), "{path}");
        }
        assert!(shown("Kptfile").contains("name: down\n"));
    }
    let found = desk.revision("r.down.w3").await;
    let conditions = found["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|it| it["type"] == "Rendered" && it["status"] == "True")
    );
}

/// There is an event of a render, for whoever describes the revision.
async fn the_render_is_told(desk: &Desk, name: &str) {
    let namespace = &desk.namespace;
    let uri = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    desk.eventually("an event of the render", async || {
        let list = desk.examined.send("GET", &uri, (JSON, Vec::new())).await;
        let list = list.is(200);
        let mut events = list["items"].as_array()?.iter();
        let event = events
            .find(|event| event["regarding"]["name"] == name && event["reason"] == "Rendered")?;
        let note = event["note"].as_str()?;
        assert!(note.starts_with("1 function(s) in ") && note.contains("set-labels:v0.2 "));
        assert_eq!(event["regarding"]["kind"], "PackageRevision");
        Some(())
    })
    .await;
}

/// Onto the same, backwards and to another package it goes; with what is gone or broken it does not, and changes nothing.
pub async fn upgrades_that_are_odd(examined: &Examined) {
    let desk = Desk::open(examined, "odd-upgrades").await;
    upstream(&desk, "up").await;
    upstream(&desk, "renamed").await;
    desk.make("down", "w1", clone_of("r.up.w2")).await;
    let ours = file(&desk, "r.down.w1", "d.yaml").await;
    let ours = ours.replace("replicas: 1", "replicas: 5");
    put(&desk, "r.down.w1", &[("d.yaml", &ours)]).await.is(200);
    publish(&desk, "r.down.w1").await;
    for (workspace, [old, new], reference, words) in [
        ("same", ["r.up.w2", "r.up.w2"], "up/v2", "image: two"),
        ("back", ["r.up.w2", "r.up.w1"], "up/v1", "image: one"),
        (
            "other",
            ["r.up.w2", "r.renamed.w2"],
            "renamed/v2",
            "image: two",
        ),
    ] {
        let task = upgrade([old, new, "r.down.w1"], "resource-merge");
        let made = desk.make("down", workspace, task).await;
        assert_eq!(made["status"]["upstreamLock"]["git"]["ref"], reference);
        let name = format!("r.down.{workspace}");
        let merged = file(&desk, &name, "d.yaml").await;
        assert!(
            merged.contains(words) && merged.contains("replicas: 5"),
            "{merged}"
        );
        let root = file(&desk, &name, "Kptfile").await;
        assert!(root.contains("name: down\n"), "{root}");
        let has_new = !file(&desk, &name, "new.yaml").await.is_empty();
        assert_eq!(has_new, new != "r.up.w1");
    }
    let same = file(&desk, "r.down.same", "d.yaml").await;
    assert_eq!(same, file(&desk, "r.down.w1", "d.yaml").await);
    refused(&desk).await;
}

async fn refused(desk: &Desk) {
    for (package, path, content) in [
        ("bare", "Kptfile", "not: [yaml"),
        ("torn", "d.yaml", "not: [yaml"),
    ] {
        desk.stranger("main", &format!("{package}/Kptfile"), &kptfile(package));
        desk.stranger("main", &format!("{package}/{path}"), content);
        git(&desk.git.bare(), &["tag", &format!("{package}/v1"), "main"]);
    }
    desk.look("r").await;
    desk.publish("gone", "w1", json!({})).await;
    desk.turn("r.gone.w1", "DeletionProposed").await.is(200);
    desk.delete("packagerevisions/r.gone.w1").await.is(200);
    let before = desk.everything();
    for (old, new, words) in [
        (
            "r.up.w1",
            "r.gone.w1",
            "cannot find package revision \"r.gone.w1\"",
        ),
        (
            "r.gone.w1",
            "r.up.w1",
            "cannot find package revision \"r.gone.w1\"",
        ),
        ("r.bare.v1", "r.up.w1", "cannot read \"Kptfile\""),
        ("r.up.w1", "r.bare.v1", "cannot read \"Kptfile\""),
        ("r.torn.v1", "r.up.w1", "cannot read \"d.yaml\""),
        ("r.up.w1", "r.torn.v1", "cannot read \"d.yaml\""),
        ("r.up.w1", "r.up.main", "placeholder"),
    ] {
        let task = upgrade([old, new, "r.down.w1"], "resource-merge");
        let told = desk.ask("down", "w9", task).await;
        told.says(422, "Invalid", words);
        assert_eq!(desk.everything(), before, "{old} {new}");
    }
    desk.get("packagerevisions/r.down.w9")
        .await
        .says(404, "NotFound", "not found");
}
