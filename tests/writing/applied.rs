//! Server-side apply on package revisions: what somebody applies is made, owned, guarded and given up, whoever else writes.

use serde_json::{Value, json};

use crate::desk::{Answer, Desk, Examined, JSON, MERGE, merge, version};

const APPLY: &str = "application/apply-patch+yaml";
const NAME: &str = "r.p.w1";

/// Applies to a revision as a field manager; `more` are further members of the object that names it.
async fn apply(desk: &Desk, (rest, query): (&str, &str), more: Value) -> Answer {
    let name = rest.split('/').next().unwrap();
    let mut object = json!({
        "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
        "metadata": { "name": name, "namespace": desk.namespace },
    });
    merge(&mut object, more);
    let uri = format!("packagerevisions/{rest}?fieldManager={query}");
    desk.patch(&uri, APPLY, &object).await
}

/// Returns what a manager owns, named as `manager/Operation/subresource`; null if nothing.
fn owns(object: &Value, who: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array();
    let found = entries.into_iter().flatten().find(|entry| {
        assert_eq!(entry["apiVersion"], "porch.kpt.dev/v1alpha1");
        assert_eq!(entry["fieldsType"], "FieldsV1");
        assert_eq!(entry["time"].as_str().unwrap().len(), 20, "{entry}");
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let name = format!(
            "{}/{}/{}",
            text("manager"),
            text("operation"),
            text("subresource")
        );
        name.trim_end_matches('/') == who
    });
    found
        .map(|entry| entry["fieldsV1"].clone())
        .unwrap_or_default()
}

fn new(labels: &Value) -> Value {
    json!({
        "metadata": { "labels": labels },
        "spec": { "repository": "r", "packageName": "p", "workspaceName": "w1" },
    })
}

/// An apply makes the revision, owns what it names, and gives up what it names no longer.
pub async fn what_is_applied_is_made_and_owned(examined: &Examined) {
    let desk = Desk::open(examined, "applied").await;
    let before = desk.everything();
    let dry = apply(
        &desk,
        (NAME, "git-ops&dryRun=All"),
        new(&json!({ "a": "1" })),
    )
    .await
    .is(201);
    assert_eq!(dry["metadata"]["name"], NAME);
    assert_eq!(desk.everything(), before, "a dry run makes nothing");
    let made = apply(&desk, (NAME, "git-ops"), new(&json!({ "a": "1" })))
        .await
        .is(201);
    assert!(desk.commit("drafts/p/w1").is_some());
    let mine = json!({
        "f:metadata": { "f:labels": { "f:a": {} } },
        "f:spec": { "f:packageName": {}, "f:repository": {}, "f:workspaceName": {} },
    });
    assert_eq!(owns(&made, "git-ops/Apply"), mine);
    assert_eq!(
        desk.revision(NAME).await,
        made,
        "what was answered is what is read"
    );
    let same = apply(&desk, (NAME, "git-ops"), new(&json!({ "a": "1" })))
        .await
        .is(200);
    assert_eq!(same, made, "what changes nothing is no write");
    shared_with_others(&desk, &mine).await;
    let refused = apply(
        &desk,
        (NAME, "git-ops"),
        json!({ "metadata": { "resourceVersion": version(&made) } }),
    )
    .await;
    refused.says(409, "Conflict", "the object has been modified");
    let other = apply(&desk, ("r.q.w1", "git-ops"), new(&json!({}))).await;
    other.says(422, "Invalid", "metadata.name");
}

/// Another way to write, and its share; then another who applies, and one who puts.
async fn shared_with_others(desk: &Desk, mine: &Value) {
    let label = json!({ "metadata": { "labels": { "b": "1" } } });
    let uri = format!("packagerevisions/{NAME}?fieldManager=editor");
    let labelled = desk.patch(&uri, MERGE, &label).await.is(200);
    let theirs = json!({ "f:metadata": { "f:labels": { "f:b": {} } } });
    assert_eq!(owns(&labelled, "editor/Update"), theirs);
    assert_eq!(owns(&labelled, "git-ops/Apply"), *mine);
    let met = apply(desk, (NAME, "git-ops"), new(&json!({ "a": "1", "b": "2" }))).await;
    let who = "conflict with \"editor\" using porch.kpt.dev/v1alpha1";
    met.tells(
        409,
        "Conflict",
        &format!("Apply failed with 1 conflict: {who}: .metadata.labels.b"),
    );
    let cause =
        json!({ "reason": "FieldManagerConflict", "message": who, "field": ".metadata.labels.b" });
    assert_eq!(met.body["details"]["causes"], json!([cause]));
    let forced = apply(
        desk,
        (NAME, "git-ops&force=true"),
        new(&json!({ "a": "1", "b": "2" })),
    )
    .await
    .is(200);
    assert_eq!(forced["metadata"]["labels"], json!({ "a": "1", "b": "2" }));
    assert_eq!(owns(&forced, "editor/Update"), Value::Null);
    let fewer = apply(desk, (NAME, "git-ops"), new(&json!({ "b": "2" })))
        .await
        .is(200);
    assert_eq!(
        fewer["metadata"]["labels"],
        json!({ "b": "2" }),
        "what is applied no more goes"
    );
    let shared = apply(
        desk,
        (NAME, "other"),
        json!({ "metadata": { "labels": { "b": "2" } } }),
    )
    .await
    .is(200);
    assert_eq!(owns(&shared, "other/Apply"), theirs);
    let left = apply(desk, (NAME, "git-ops"), new(&json!({})))
        .await
        .is(200);
    assert_eq!(
        left["metadata"]["labels"],
        json!({ "b": "2" }),
        "somebody else still wants it"
    );
    // A client that reads, changes and writes back keeps who owns what.
    let mut next = left.clone();
    next["metadata"]["annotations"] = json!({ "n": "1" });
    let put = desk
        .put(&uri.replace("editor", "putter"), &next)
        .await
        .is(200);
    assert_eq!(owns(&put, "other/Apply"), theirs);
    assert!(
        owns(&put, "putter/Update")["f:metadata"]["f:annotations"]["f:n"].is_object(),
        "{put}"
    );
}

/// What of a package is in its Kptfile is owned field by field, conditions and gates each by its type.
pub async fn what_the_kptfile_says_is_owned_too(examined: &Examined) {
    let desk = Desk::open(examined, "applied-kptfile").await;
    desk.make("p", "w1", json!({})).await;
    let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status });
    let wants = |label: &str, type_: &str| {
        json!({
            "spec": { "packageMetadata": { "labels": { label: "1" } }, "readinessGates": [{ "conditionType": type_ }] },
            "status": { "conditions": [condition(type_, "True")] },
        })
    };
    apply(&desk, (NAME, "one"), wants("one", "example.com/one"))
        .await
        .is(200);
    let both = apply(&desk, (NAME, "two"), wants("two", "example.com/two"))
        .await
        .is(200);
    assert_eq!(
        both["spec"]["packageMetadata"]["labels"],
        json!({ "one": "1", "two": "1" })
    );
    let types = |object: &Value| -> Vec<String> {
        let all = object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        all.map(|it| it["type"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(types(&both), ["example.com/one", "example.com/two"]);
    let key = "k:{\"type\":\"example.com/two\"}";
    assert_eq!(
        owns(&both, "two/Apply")["f:status"]["f:conditions"],
        json!({ key: { ".": {}, "f:status": {}, "f:type": {} } })
    );
    // The order of such lists says nothing, and the Kptfile keeps its own.
    let refs = desk.everything();
    let mut turned = both.clone();
    for list in ["/status/conditions", "/spec/readinessGates"] {
        turned
            .pointer_mut(list)
            .unwrap()
            .as_array_mut()
            .unwrap()
            .reverse();
    }
    let same = desk
        .put(
            &format!("packagerevisions/{NAME}?fieldManager=two"),
            &turned,
        )
        .await
        .is(200);
    assert_eq!(types(&same), types(&both));
    assert_eq!(desk.everything(), refs);
    let less = apply(&desk, (NAME, "one"), json!({})).await.is(200);
    assert_eq!(types(&less), ["example.com/two"]);
    assert_eq!(
        less["spec"]["packageMetadata"]["labels"],
        json!({ "two": "1" })
    );
    let none = apply(&desk, (NAME, "two"), json!({})).await.is(200);
    assert_eq!(types(&none), Vec::<String>::new(), "{none}");
    assert_eq!(none["spec"]["packageMetadata"]["labels"], Value::Null);
    assert_eq!(none["spec"]["readinessGates"], Value::Null);
    let kptfile = desk.at_home(&["show", "drafts/p/w1:p/Kptfile"]);
    assert!(!kptfile.contains("example.com"), "{kptfile}");
}

/// An approver owns the lifecycle that it gave; a stranger's push takes it, and so does nobody else.
pub async fn lifecycles_have_owners(examined: &Examined) {
    let desk = Desk::open(examined, "applied-life").await;
    let wants = |lifecycle: &str| {
        let mut object = new(&json!({}));
        object["spec"]["lifecycle"] = lifecycle.into();
        object
    };
    apply(&desk, (NAME, "git-ops"), wants("Draft"))
        .await
        .is(201);
    let proposed = apply(&desk, (NAME, "git-ops"), wants("Proposed"))
        .await
        .is(200);
    assert!(desk.commit("proposed/p/w1").is_some());
    assert!(owns(&proposed, "git-ops/Apply")["f:spec"]["f:lifecycle"].is_object());
    // Somebody takes the proposal back, by Git alone.
    let tip = desk.commit("proposed/p/w1").unwrap();
    desk.at_home(&["update-ref", "refs/heads/drafts/p/w1", &tip]);
    desk.at_home(&["update-ref", "-d", "refs/heads/proposed/p/w1"]);
    desk.look("r").await;
    let back = desk.revision(NAME).await;
    assert_eq!(back["spec"]["lifecycle"], "Draft");
    assert_eq!(
        owns(&back, "porch-sync/Update"),
        json!({ "f:spec": { "f:lifecycle": {} } })
    );
    assert_eq!(
        owns(&back, "git-ops/Apply")["f:spec"]["f:lifecycle"],
        Value::Null
    );
    let met = apply(&desk, (NAME, "git-ops"), wants("Proposed")).await;
    met.says(
        409,
        "Conflict",
        "conflict with \"porch-sync\" using porch.kpt.dev/v1alpha1: .spec.lifecycle",
    );
    apply(&desk, (NAME, "git-ops&force=true"), wants("Proposed"))
        .await
        .is(200);
    let approval = (
        format!("{NAME}/approval"),
        json!({ "spec": { "lifecycle": "Published" } }),
    );
    let met = apply(&desk, (&approval.0, "approver"), approval.1.clone()).await;
    met.says(
        409,
        "Conflict",
        "conflict with \"git-ops\": .spec.lifecycle",
    );
    let done = apply(&desk, (&approval.0, "approver&force=true"), approval.1)
        .await
        .is(200);
    assert_eq!(done["spec"]["lifecycle"], "Published");
    let life = json!({ "f:spec": { "f:lifecycle": {} } });
    assert_eq!(owns(&done, "approver/Apply/approval"), life);
    let met = apply(&desk, (NAME, "git-ops"), wants("Proposed")).await;
    met.says(
        409,
        "Conflict",
        "conflict with \"approver\" with subresource \"approval\": .spec.lifecycle",
    );
    // Whoever does not name it has nothing against it.
    let same = apply(&desk, (NAME, "git-ops"), new(&json!({ "a": "1" })))
        .await
        .is(200);
    assert_eq!(same["spec"]["lifecycle"], "Published");
    assert_eq!(same["metadata"]["labels"]["a"], "1");
}

/// What nobody wrote here is the sync manager's from the first write on; until then nothing is kept of it.
pub async fn what_was_found_is_the_sync_managers(examined: &Examined) {
    let desk = Desk::open(examined, "applied-found").await;
    let name = "r.known.v1";
    let found = desk.revision(name).await;
    assert_eq!(found["metadata"]["managedFields"], Value::Null);
    let same = desk
        .put(&format!("packagerevisions/{name}"), &found)
        .await
        .is(200);
    assert_eq!(same, found, "a write of nothing begins nothing");
    let label = json!({ "metadata": { "labels": { "a": "1" } } });
    let uri = format!("packagerevisions/{name}?fieldManager=editor");
    let labelled = desk.patch(&uri, MERGE, &label).await.is(200);
    let theirs = owns(&labelled, "porch-sync/Update");
    assert!(theirs["f:spec"]["f:lifecycle"].is_object(), "{theirs}");
    let mine = owns(&labelled, "editor/Update");
    assert!(mine["f:metadata"]["f:labels"]["f:a"].is_object(), "{mine}");
    assert_eq!(mine["f:spec"], Value::Null);
    let met = apply(
        &desk,
        (name, "git-ops"),
        json!({ "spec": { "lifecycle": "DeletionProposed" } }),
    )
    .await;
    met.says(409, "Conflict", "conflict with \"porch-sync\"");
    let forced = apply(
        &desk,
        (name, "git-ops&force=true"),
        json!({ "spec": { "lifecycle": "DeletionProposed" } }),
    )
    .await
    .is(200);
    assert_eq!(forced["spec"]["lifecycle"], "DeletionProposed");
    let body = (
        JSON,
        json!({ "propagationPolicy": "Background" })
            .to_string()
            .into_bytes(),
    );
    let gone = desk
        .examined
        .send(
            "DELETE",
            &desk.path(&format!("packagerevisions/{name}")),
            body,
        )
        .await;
    gone.is(200);
}

/// Each file has owners of its own; a stranger's push makes all of them the sync manager's.
pub async fn files_have_owners(examined: &Examined) {
    let desk = Desk::open(examined, "applied-files").await;
    desk.make("p", "w1", json!({})).await;
    let apply = async |query: &str, name: &str, files: Value| {
        let object = json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevisionResources",
            "metadata": { "name": name }, "spec": { "resources": files },
        });
        let uri = format!("packagerevisionresources/{name}?fieldManager={query}");
        desk.patch(&uri, APPLY, &object).await
    };
    let none = apply("one", "r.p.none", json!({ "a.yaml": "a: 1\n" })).await;
    none.says(404, "NotFound", "not found");
    let one = apply("one", NAME, json!({ "a.yaml": "a: 1\n" }))
        .await
        .is(200);
    assert_eq!(
        owns(&one, "one/Apply"),
        json!({ "f:spec": { "f:resources": { "f:a.yaml": {} } } })
    );
    assert_eq!(
        desk.files(NAME).await,
        one,
        "what was answered is what is read"
    );
    let tip = desk.commit("drafts/p/w1");
    let same = apply("one", NAME, json!({ "a.yaml": "a: 1\n" }))
        .await
        .is(200);
    assert_eq!(same, one, "what changes nothing is no write");
    let two = apply("two", NAME, json!({ "b.yaml": "b: 1\n" }))
        .await
        .is(200);
    let names = |object: &Value| -> Vec<String> {
        let files = object["spec"]["resources"].as_object().unwrap();
        files
            .keys()
            .filter(|path| path.len() == 6)
            .cloned()
            .collect()
    };
    assert_eq!(names(&two), ["a.yaml", "b.yaml"]);
    assert_ne!(desk.commit("drafts/p/w1"), tip);
    let met = apply(
        "two",
        NAME,
        json!({ "a.yaml": "a: 2\n", "b.yaml": "b: 1\n" }),
    )
    .await;
    met.says(
        409,
        "Conflict",
        "conflict with \"one\": .spec.resources.a.yaml",
    );
    let shared = apply("two", NAME, json!({ "a.yaml": "a: 1\n" }))
        .await
        .is(200);
    assert_eq!(names(&shared), ["a.yaml"], "what is applied no more goes");
    let left = apply("one", NAME, json!({})).await.is(200);
    assert_eq!(names(&left), ["a.yaml"], "somebody else still wants it");
    desk.write(NAME, "a.yaml", "a: 3\n").await.is(200);
    let taken = desk.files(NAME).await;
    assert_eq!(
        owns(&taken, "two/Apply"),
        Value::Null,
        "a plain write takes what it changes"
    );
    apply("two&force=true", NAME, json!({ "a.yaml": "a: 4\n" }))
        .await
        .is(200);
    desk.stranger("drafts/p/w1", "p/a.yaml", "a: 5\n");
    desk.look("r").await;
    let theirs = desk.files(NAME).await;
    assert_eq!(theirs["metadata"]["managedFields"], Value::Null);
    let met = apply("two", NAME, json!({ "a.yaml": "a: 4\n" })).await;
    met.says(
        409,
        "Conflict",
        "conflict with \"porch-sync\" using porch.kpt.dev/v1alpha1: .spec.resources.a.yaml",
    );
    // The labels of a revision and its files are owned apart.
    let revision = desk.revision(NAME).await;
    assert_eq!(owns(&revision, "two/Apply"), Value::Null);
}

/// A write of files takes what it changes of the revision, by the Kptfile or by rendering; and a write of the revision takes
/// the Kptfile, and what rendering changes of the files.
pub async fn what_a_write_changes_elsewhere_is_its_writers(examined: &Examined) {
    let desk = Desk::open(examined, "applied-elsewhere").await;
    desk.make("p", "w1", json!({})).await;
    let wants = |status: &str, label: &str| {
        json!({
            "spec": {
                "packageMetadata": { "labels": { "team": label, "kept": "1" } },
                "readinessGates": [{ "conditionType": "example.com/a" }],
            },
            "status": { "conditions": [{ "type": "example.com/a", "status": status }] },
        })
    };
    let applied = apply(&desk, (NAME, "one"), wants("True", "core")).await;
    applied.is(200);
    let files = async |change: Value| {
        let patch = json!({ "spec": { "resources": change } });
        let uri = format!("packagerevisionresources/{NAME}?fieldManager=editor");
        desk.patch(&uri, MERGE, &patch).await
    };
    let kptfile = async || {
        let live = desk.files(NAME).await;
        live["spec"]["resources"]["Kptfile"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // The editor changes a condition, a label, and takes the gate away.
    let edited = kptfile().await;
    assert!(edited.contains("team: core"), "{edited}");
    let edited = edited
        .replace("team: core", "team: edge")
        .replace("status: \"True\"", "status: \"False\"");
    let at = edited.find("readinessGates:").unwrap();
    let gate = edited[at..].find("example.com/a").unwrap() + at + "example.com/a".len();
    let line = edited[..at].rfind('\n').unwrap();
    let edited = format!("{}{}", &edited[..line], &edited[gate..]);
    files(json!({ "Kptfile": edited })).await.is(200);
    let now = desk.revision(NAME).await;
    assert_eq!(now["spec"]["readinessGates"], Value::Null, "{now}");
    let key = "k:{\"type\":\"example.com/a\"}";
    assert_eq!(
        owns(&now, "editor/Update"),
        json!({
            "f:spec": { "f:packageMetadata": { "f:labels": { "f:team": {} } } },
            "f:status": { "f:conditions": { key: { "f:status": {} } } },
        })
    );
    assert_eq!(
        owns(&now, "one/Apply"),
        json!({
            "f:spec": { "f:packageMetadata": { "f:labels": { "f:kept": {} } } },
            "f:status": { "f:conditions": { key: { ".": {}, "f:type": {} } } },
        })
    );
    let met = apply(&desk, (NAME, "one"), wants("False", "core")).await;
    met.says(
        409,
        "Conflict",
        "conflict with \"editor\" using porch.kpt.dev/v1alpha1: .spec.packageMetadata.labels.team",
    );
    the_kptfile_is_taken(&desk, wants("True", "core")).await;
}

/// The other way round: who changes the revision owns the Kptfile that says it, and the files that rendering changes.
async fn the_kptfile_is_taken(desk: &Desk, wants: Value) {
    let applied = async |manager: &str, files: Value| {
        let object = json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevisionResources",
            "metadata": { "name": NAME }, "spec": { "resources": files },
        });
        let uri = format!("packagerevisionresources/{NAME}?fieldManager={manager}");
        desk.patch(&uri, APPLY, &object).await
    };
    let live = desk.files(NAME).await;
    let kptfile = live["spec"]["resources"]["Kptfile"].as_str().unwrap();
    let labels = "pipeline:\n  mutators:\n  - image: set-labels\n    configPath: labels.yaml\n";
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: labels\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\ndata:\n  mark: x\n";
    let mine = json!({
        "Kptfile": format!("{kptfile}{labels}"), "labels.yaml": config, "notes.txt": "mine\n",
    });
    applied("two&force=true", mine.clone()).await.is(200);
    let forced = apply(desk, (NAME, "one&force=true"), wants).await.is(200);
    let files = desk.files(NAME).await;
    let theirs = owns(&files, "one/Update");
    assert!(
        theirs["f:spec"]["f:resources"]["f:Kptfile"].is_object(),
        "{theirs}"
    );
    let left = owns(&files, "two/Apply");
    assert_eq!(left["f:spec"]["f:resources"]["f:Kptfile"], Value::Null);
    assert!(left["f:spec"]["f:resources"]["f:notes.txt"].is_object());
    let met = applied("two", mine).await;
    met.says(
        409,
        "Conflict",
        "conflict with \"one\" using porch.kpt.dev/v1alpha1: .spec.resources.Kptfile",
    );
    let same = desk.revision(NAME).await;
    assert_eq!(version(&same), version(&forced), "nothing else was written");
}
