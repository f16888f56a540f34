//! Pipelines: packages are stored as their functions leave them, and not at all if these fail; and packages are brought up
//! to newer upstreams with what was changed here.

use serde_json::{Value, json};

use crate::desk::{Desk, Examined, MERGE, config_map};

/// A Kptfile whose pipeline has these functions.
fn kptfile(name: &str, pipeline: &str) -> String {
    format!(
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: {name} # by hand\npipeline:\n{pipeline}"
    )
}

const NAMESPACE: &str = "  mutators:\n  # where it runs\n  - image: gcr.io/kpt-fn/set-namespace:v0.4.1\n    configMap:\n      namespace: green\n";
const STARLARK: &str =
    "  mutators:\n  - image: gcr.io/kpt-fn/starlark:v0.4.3\n    configPath: run.yaml\n";

/// A resource with a value that is made of two setters.
const SET: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: set\ndata:\n  x: y # kpt-set: ${a}-${z}\n";

/// A script as the config of a function.
fn script(source: &str) -> String {
    let lines: Vec<String> = source.lines().map(|line| format!("  {line}")).collect();
    let lines = lines.join("\n");
    format!(
        "apiVersion: fn.kpt.dev/v1alpha1\nkind: StarlarkRun\nmetadata:\n  name: run\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\nsource: |\n{lines}"
    )
}

async fn put(desk: &Desk, name: &str, files: &[(&str, &str)]) -> crate::desk::Answer {
    let mut object = desk.files(name).await;
    for (path, text) in files {
        object["spec"]["resources"][*path] = (*text).into();
    }
    desk.put(&format!("packagerevisionresources/{name}"), &object)
        .await
}

fn file(object: &Value, path: &str) -> String {
    object["spec"]["resources"][path]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A pipeline runs when files are written, and is told of.
pub async fn packages_are_rendered(examined: &Examined) {
    let desk = Desk::open(examined, "rendered").await;
    desk.make("p", "w1", json!({})).await;
    let untouched = "# odd,   and   kept\nkey:   [1,2]\n";
    let answer = put(
        &desk,
        "r.p.w1",
        &[
            ("Kptfile", &kptfile("p", NAMESPACE)),
            ("cm.yaml", &config_map("one")),
            ("notes.txt", untouched),
            (
                "sub/Kptfile",
                &kptfile(
                    "sub",
                    "  mutators:\n  - image: set-labels:v0.2\n    configMap: {tier: low}\n",
                ),
            ),
            ("sub/cm.yaml", &config_map("two")),
        ],
    )
    .await
    .is(200);
    assert!(
        file(&answer, "cm.yaml").contains("namespace: green"),
        "{answer}"
    );
    let below = file(&answer, "sub/cm.yaml");
    assert!(
        below.contains("namespace: green") && below.contains("tier: low"),
        "{below}"
    );
    assert_eq!(file(&answer, "notes.txt"), untouched);
    let kptfile_now = file(&answer, "Kptfile");
    assert!(
        kptfile_now.contains("# by hand") && kptfile_now.contains("# where it runs"),
        "{kptfile_now}"
    );
    let status = &answer["status"]["renderStatus"];
    assert_eq!(status["error"], "");
    let ran = status["result"]["items"].as_array().unwrap();
    let images: Vec<_> = ran
        .iter()
        .map(|item| item["image"].as_str().unwrap())
        .collect();
    assert_eq!(
        images,
        [
            "ghcr.io/kptdev/krm-functions-catalog/set-labels:v0.2",
            "gcr.io/kpt-fn/set-namespace:v0.4.1"
        ]
    );
    assert!(
        desk.at_home(&["show", "drafts/p/w1:p/cm.yaml"])
            .contains("namespace: green")
    );
    let object = desk.revision("r.p.w1").await;
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let rendered = conditions
        .iter()
        .find(|it| it["type"] == "Rendered")
        .unwrap();
    assert_eq!(
        (&rendered["status"], &rendered["reason"]),
        (&json!("True"), &json!("RenderSuccess"))
    );
    // What is rendered already is not written again.
    let before = desk.everything();
    let again = put(&desk, "r.p.w1", &[]).await.is(200);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        object["metadata"]["resourceVersion"]
    );
    assert_eq!(
        again["status"]["renderStatus"]["result"]["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(desk.everything(), before);
    // Its copies and clones are rendered too.
    desk.turn("r.p.w1", "Proposed").await.is(200);
    desk.approve("r.p.w1", "Published").await.is(200);
    let clone = json!({ "tasks": [{ "type": "clone", "clone": { "upstreamRef": { "upstreamRef": { "name": "r.p.w1" } } } }] });
    desk.make("c", "w1", clone).await;
    let made = desk.files("r.c.w1").await;
    assert!(
        file(&made, "Kptfile").contains("name: c")
            && file(&made, "cm.yaml").contains("namespace: green")
    );
    let edit =
        json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": "r.p.w1" } } }] });
    desk.make("p", "w2", edit).await;
    assert!(file(&desk.files("r.p.w2").await, "Kptfile").contains("Rendered"));
}

/// A pipeline that fails stores nothing, and says why in the function's words.
pub async fn pipelines_that_fail_change_nothing(examined: &Examined) {
    let desk = Desk::open(examined, "failing").await;
    desk.make("p", "w1", json!({})).await;
    let before = desk.everything();
    for (pipeline, run, words) in [
        (
            "  mutators:\n  - image: nobody/knows:v1\n",
            "",
            "function not available: nobody/knows:v1",
        ),
        (
            "  mutators:\n  - image: set-namespace:v0.4\n    configPath: missing.yaml\n",
            "",
            "missing.yaml",
        ),
        (
            "  mutators:\n  - image: set-namespace:v0.4\n    configPath: Kptfile\n",
            "",
            "must not be the Kptfile that names it",
        ),
        (
            "  mutators:\n  - image: set-namespace:v0.4\n    configPath: two.yaml\n",
            "",
            "more than one config, got 2",
        ),
        (
            "  mutators:\n  - image: set-namespace:v0.4\n    configPath: ../x.yaml\n",
            "",
            "outside the package",
        ),
        (
            "  mutators:\n  - image: apply-replacements:v0.1\n    configMap: {a: b}\n",
            "",
            "received functionConfig of kind ConfigMap",
        ),
        (
            "  mutators:\n  - image: apply-setters:v0.2\n    configMap: {a: b}\n",
            "",
            "values for setters [${z}] must be provided",
        ),
        ("  mutators:\n  - exec: ./run.sh\n", "", "exec"),
        (
            STARLARK,
            "fail(\"it is as bad as this\")",
            "it is as bad as this",
        ),
        (STARLARK, "def again():\n  again()\nagain()", "run"),
        (STARLARK, "x = [\"a\" for i in range(1000000000)]", "run"),
        (
            STARLARK,
            "ctx.resource_list[\"items\"] = []",
            "no resources",
        ),
        (
            "  validators:\n  - image: starlark:v0.5\n    configPath: run.yaml\n",
            "fail(\"not valid\")",
            "not valid",
        ),
    ] {
        let told = put(
            &desk,
            "r.p.w1",
            &[
                ("Kptfile", &kptfile("p", pipeline)),
                ("run.yaml", &script(run)),
                ("set.yaml", SET),
                ("two.yaml", &format!("{0}---\n{0}", config_map("two"))),
            ],
        )
        .await;
        told.says(422, "Invalid", words);
        told.says(
            422,
            "Invalid",
            "error rendering package in kpt function pipeline. Package NOT pushed to remote.",
        );
        assert_eq!(desk.everything(), before, "{words}");
    }
    let old = kptfile("p", NAMESPACE).replace("kpt.dev/v1\n", "kpt.dev/v1alpha2\n");
    let told = put(&desk, "r.p.w1", &[("Kptfile", &old)]).await;
    told.says(422, "Invalid", "v1alpha2");
    assert_eq!(desk.everything(), before);
    creations_that_fail_leave_nothing(&desk).await;
}

async fn creations_that_fail_leave_nothing(desk: &Desk) {
    desk.stranger(
        "main",
        "odd/Kptfile",
        &kptfile("odd", "  mutators:\n  - image: nobody/knows:v1\n"),
    );
    desk.git.git(&["fetch", "-q"]);
    crate::git_server::git(&desk.git.bare(), &["tag", "odd/v1", "main"]);
    desk.look("r").await;
    let clone = json!({ "tasks": [{ "type": "clone", "clone": { "upstreamRef": { "upstreamRef": { "name": "r.odd.v1" } } } }] });
    desk.ask("c", "w1", clone).await.says(
        422,
        "Invalid",
        "function not available: nobody/knows:v1",
    );
    desk.get("packagerevisions/r.c.w1")
        .await
        .says(404, "NotFound", "not found");
    assert_eq!(desk.commit("drafts/c/w1"), None);
}

/// Files are stored though their pipeline fails, if their owner wants that; such a draft is not proposed.
pub async fn failures_that_are_pushed(examined: &Examined) {
    let desk = Desk::open(examined, "pushed").await;
    desk.make("p", "w1", json!({})).await;
    let wish = json!({ "metadata": { "annotations": { "porch.kpt.dev/push-on-render-failure": "true" } } });
    desk.patch("packagerevisions/r.p.w1", MERGE, &wish)
        .await
        .is(200);
    let files = [
        ("Kptfile", kptfile("p", STARLARK)),
        ("run.yaml", script("fail(\"not today\")")),
        ("cm.yaml", config_map("one")),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    let told = put(&desk, "r.p.w1", &files).await;
    told.says(
        422,
        "Invalid",
        "Package pushed to remote despite render failure.",
    );
    told.says(422, "Invalid", "not today");
    let stored = desk.files("r.p.w1").await;
    assert_eq!(file(&stored, "cm.yaml"), config_map("one"));
    assert!(
        file(&stored, "Kptfile").contains("RenderFailed"),
        "{stored}"
    );
    desk.turn("r.p.w1", "Proposed")
        .await
        .says(422, "Invalid", "not today");
    put(
        &desk,
        "r.p.w1",
        &[("run.yaml", &script("print(\"better\")"))],
    )
    .await
    .is(200);
    desk.turn("r.p.w1", "Proposed").await.is(200);
}

/// A package is brought up to a newer upstream, with what was changed here.
pub async fn packages_are_upgraded(examined: &Examined) {
    let desk = Desk::open(examined, "upgraded").await;
    desk.make("up", "w1", json!({})).await;
    let deployment = |image: &str, replicas: u32| {
        format!(
            "# what runs\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  replicas: {replicas} # how many\n  template:\n    spec:\n      containers:\n      - name: main\n        image: {image}\n"
        )
    };
    put(
        &desk,
        "r.up.w1",
        &[("d.yaml", &deployment("one", 1)), ("notes.txt", "first\n")],
    )
    .await
    .is(200);
    desk.turn("r.up.w1", "Proposed").await.is(200);
    desk.approve("r.up.w1", "Published").await.is(200);
    let clone = json!({ "tasks": [{ "type": "clone", "clone": { "upstreamRef": { "upstreamRef": { "name": "r.up.w1" } } } }] });
    desk.make("down", "w1", clone).await;
    let ours = file(&desk.files("r.down.w1").await, "d.yaml").replace("replicas: 1", "replicas: 5");
    put(
        &desk,
        "r.down.w1",
        &[("d.yaml", &ours), ("own.txt", "ours\n")],
    )
    .await
    .is(200);
    desk.turn("r.down.w1", "Proposed").await.is(200);
    desk.approve("r.down.w1", "Published").await.is(200);
    let edit =
        json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": "r.up.w1" } } }] });
    desk.make("up", "w2", edit).await;
    put(
        &desk,
        "r.up.w2",
        &[
            ("d.yaml", &deployment("two", 1)),
            ("notes.txt", "second\n"),
            ("new.yaml", &config_map("new")),
        ],
    )
    .await
    .is(200);
    desk.turn("r.up.w2", "Proposed").await.is(200);
    desk.approve("r.up.w2", "Published").await.is(200);
    let upgrade = |local: &str, strategy: &str| {
        json!({ "tasks": [{ "type": "upgrade", "upgrade": {
            "oldUpstreamRef": { "name": "r.up.w1" }, "newUpstreamRef": { "name": "r.up.w2" },
            "localPackageRevisionRef": { "name": local }, "strategy": strategy,
        } }] })
    };
    let made = desk
        .make("down", "w2", upgrade("r.down.w1", "resource-merge"))
        .await;
    assert_eq!(made["spec"]["tasks"][0]["type"], "upgrade");
    let files = desk.files("r.down.w2").await;
    let merged = file(&files, "d.yaml");
    for words in ["replicas: 5 # how many", "image: two", "# what runs"] {
        assert!(merged.contains(words), "{words}\n{merged}");
    }
    assert_eq!(
        (
            file(&files, "own.txt").as_str(),
            file(&files, "notes.txt").as_str()
        ),
        ("ours\n", "second\n")
    );
    assert!(file(&files, "new.yaml").contains("new"));
    let kptfile = file(&files, "Kptfile");
    assert!(
        kptfile.contains("name: down") && kptfile.contains("ref: up/v2"),
        "{kptfile}"
    );
    assert_eq!(made["status"]["upstreamLock"]["git"]["ref"], "up/v2");
    for (from, strategy, words) in [
        (
            "r.down.w1",
            "fast-forward",
            "local package files have been modified",
        ),
        ("r.nobody.w1", "resource-merge", "r.nobody.w1"),
        ("r.down.main", "resource-merge", "placeholder"),
        ("r.down.w2", "resource-merge", "published"),
    ] {
        let told = desk.ask("down", "w3", upgrade(from, strategy)).await;
        told.says(422, "Invalid", words);
    }
    assert_eq!(desk.commit("drafts/down/w3"), None);
    let made = desk
        .make("down", "w4", upgrade("r.down.w1", "force-delete-replace"))
        .await;
    assert_eq!(made["spec"]["lifecycle"], "Draft");
    assert!(file(&desk.files("r.down.w4").await, "d.yaml").contains("replicas: 1"));
}
