//! What is not done, row by row: code, reason, the whole text and its causes; and that nothing came of it.

use serde_json::{Value, json};

use crate::desk::{Desk, Examined, JSON, MERGE, STEPS, merge, version};

/// Creations that are refused, each before anything is pushed.
pub async fn creations_that_are_refused(examined: &Examined) {
    let desk = Desk::open(examined, "creations").await;
    desk.make("net/upf", "w1", json!({})).await;
    let before = (desk.everything(), desk.names("packagerevisions").await);
    names_of_wrong_shape(&desk).await;
    places_that_are_taken(&desk).await;
    tasks_that_are_none(&desk).await;
    bodies_that_are_none(&desk).await;
    let after = (desk.everything(), desk.names("packagerevisions").await);
    assert_eq!(before, after);
}

const NO_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

async fn names_of_wrong_shape(desk: &Desk) {
    let long = "x".repeat(64);
    let slash = "must not start or end with '/'";
    let twice = "consecutive '/' characters are not allowed";
    let wide = "must be no more than 63 characters";
    for (field, value, why) in [
        ("packageName", "", NO_LABEL),
        ("packageName", "Upper", NO_LABEL),
        ("packageName", "a_b", NO_LABEL),
        ("packageName", "a.b", NO_LABEL),
        ("packageName", "-a", NO_LABEL),
        ("packageName", "a b", NO_LABEL),
        ("packageName", "../a", NO_LABEL),
        ("packageName", "a/.git", NO_LABEL),
        ("packageName", "/a", slash),
        ("packageName", "a/", slash),
        ("packageName", "a//b", twice),
        ("packageName", &long, wide),
        ("workspaceName", "", NO_LABEL),
        ("workspaceName", "V1", NO_LABEL),
        ("workspaceName", "a/b", NO_LABEL),
        ("workspaceName", "v1.0", NO_LABEL),
        ("workspaceName", &long, wide),
    ] {
        let cause = format!("spec.{field}: Invalid value: {value:?}: {why}");
        desk.ask("p", "w1", json!({ field: value }))
            .await
            .refuses("", &[&cause]);
    }
    let asked = desk.ask("A", "B", json!({ "lifecycle": "Proposed" })).await;
    let causes = [
        format!("spec.packageName: Invalid value: \"A\": {NO_LABEL}"),
        format!("spec.workspaceName: Invalid value: \"B\": {NO_LABEL}"),
        "spec.lifecycle: Invalid value: \"Proposed\": value can be only created as Draft".into(),
    ];
    asked.refuses("", &causes.each_ref().map(String::as_str));
    for lifecycle in ["Published", "DeletionProposed", "Final"] {
        let cause = format!(
            "spec.lifecycle: Invalid value: {lifecycle:?}: value can be only created as Draft"
        );
        desk.ask("p", "w1", json!({ "lifecycle": lifecycle }))
            .await
            .refuses("", &[&cause]);
    }
    desk.ask("p", "w1", json!({ "repository": "" }))
        .await
        .tells(400, "BadRequest", "spec.repositoryName is required");
    desk.ask("p", "w1", json!({ "repository": "none" }))
        .await
        .tells(
            404,
            "NotFound",
            "repositories.config.porch.kpt.dev \"none\" not found",
        );
}

async fn places_that_are_taken(desk: &Desk) {
    let field = "spec.packageName";
    for (package, workspace, why) in [
        (
            "net/upf",
            "w2",
            "package \"net/upf\" already exists in repository \"r\"",
        ),
        (
            "known",
            "w1",
            "package \"known\" already exists in repository \"r\"",
        ),
        (
            "net/upf/inner",
            "w1",
            "package path \"net/upf/inner\" conflicts with existing package \"net/upf\": packages cannot be nested",
        ),
        (
            "net",
            "w1",
            "package path \"net\" conflicts with existing package \"net/upf\": packages cannot be nested",
        ),
        (
            "known/deep/er",
            "w1",
            "package path \"known/deep/er\" conflicts with existing package \"known\": packages cannot be nested",
        ),
    ] {
        let cause = format!("{field}: Invalid value: {package:?}: {why}");
        desk.ask(package, workspace, json!({}))
            .await
            .refuses("", &[&cause]);
    }
    let taken = "packagerevisions.porch.kpt.dev \"r.net.upf.w1\" already exists";
    desk.ask("net/upf", "w1", json!({}))
        .await
        .tells(409, "AlreadyExists", taken);
    let edit =
        json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": "r.known.v1" } } }] });
    let taken = "packagerevisions.porch.kpt.dev \"r.known.v1\" already exists";
    desk.ask("known", "v1", edit)
        .await
        .tells(409, "AlreadyExists", taken);
    let clone = json!({ "tasks": [{ "type": "clone", "clone": { "upstreamRef": { "upstreamRef": { "name": "r.known.v1" } } } }] });
    let cause = "spec.packageName: Invalid value: \"net/upf\": `clone` cannot create a new revision for package \"net/upf\" that already exists in repo \"r\"; make subsequent revisions using `copy`";
    desk.ask("net/upf", "w2", clone).await.refuses("", &[cause]);
}

async fn tasks_that_are_none(desk: &Desk) {
    let init = json!({ "type": "init", "init": {} });
    for (tasks, cause) in [
        (
            json!([init, init]),
            "spec.tasks: Invalid value: 2: task list must not contain more than one task",
        ),
        (
            json!([{ "type": "bake" }]),
            "spec.tasks[0].type: Invalid value: \"bake\": task of type \"bake\" not supported",
        ),
        (
            json!([{}]),
            "spec.tasks[0].type: Invalid value: \"\": task of type \"\" not supported",
        ),
        (
            json!([{ "type": "init" }]),
            "spec.tasks[0].init: Required value: init not set for task of type \"init\"",
        ),
        (
            json!([{ "type": "clone" }]),
            "spec.tasks[0].clone: Required value: clone not set for task of type \"clone\"",
        ),
        (
            json!([{ "type": "edit", "edit": {} }]),
            "spec.tasks[0].edit.sourceRef.name: Required value: sourceRef.name is required",
        ),
        (
            json!([{ "type": "clone", "clone": { "upstreamRef": {} } }]),
            "spec.tasks[0].clone.upstreamRef: Required value: invalid clone source (neither of git, oci, nor upstream were specified)",
        ),
        (
            json!([{ "type": "init", "init": { "subpackage": "a" } }]),
            "spec.tasks[0].init.subpackage: Forbidden: initialising a subpackage is not supported: create it with the package's files",
        ),
    ] {
        desk.ask("p", "w1", json!({ "tasks": tasks }))
            .await
            .refuses("", &[cause]);
    }
}

async fn bodies_that_are_none(desk: &Desk) {
    let uri = desk.path("packagerevisions");
    let good = desk.draft("p", "w1", json!({}));
    let with = |more: Value| {
        let mut object = good.clone();
        merge(&mut object, more);
        object
    };
    let latest = "metadata.labels.kpt.dev/latest-revision: Forbidden: label is managed by porch and cannot be set by users";
    for (more, name, cause) in [
        (
            json!({ "labels": { "kpt.dev/latest-revision": "false" } }),
            "",
            latest,
        ),
        (
            json!({ "generateName": "p-" }),
            "",
            "metadata.generateName: Forbidden: the name follows from the spec: \"r.p.w1\"",
        ),
        (
            json!({ "name": "mine" }),
            "mine",
            "metadata.name: Invalid value: \"mine\": must be empty or \"r.p.w1\", the name that follows from the spec",
        ),
    ] {
        let object = with(json!({ "metadata": more }));
        desk.post(&uri, &object).await.refuses(name, &[cause]);
    }
    for (more, code, reason, words) in [
        (
            json!({ "kind": "Package" }),
            400,
            "BadRequest",
            "cannot be handled as a PackageRevision",
        ),
        (
            json!({ "apiVersion": "v1" }),
            400,
            "BadRequest",
            "the API version in the data (v1) does not match the expected API version (porch.kpt.dev/v1alpha1)",
        ),
        (
            json!({ "metadata": { "namespace": "other" } }),
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            json!({ "spec": { "tasks": "none" } }),
            400,
            "BadRequest",
            "PackageRevision in version \"v1alpha1\" cannot be handled as a PackageRevision",
        ),
        (
            json!({ "spec": { "readinessGates": [{ "conditionType": 7 }] } }),
            400,
            "BadRequest",
            "PackageRevision",
        ),
        (
            json!({ "metadata": { "labels": { "a b": "c" } } }),
            422,
            "Invalid",
            "metadata.labels: Invalid value: \"a b\"",
        ),
        (
            json!({ "metadata": { "finalizers": ["a b"] } }),
            422,
            "Invalid",
            "metadata.finalizers",
        ),
        (
            json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "K", "name": "n" }] } }),
            422,
            "Invalid",
            "metadata.ownerReferences[0].uid",
        ),
    ] {
        desk.post(&uri, &with(more)).await.says(code, reason, words);
    }
    let strict = format!("{uri}?fieldValidation=Strict");
    let unknown = with(json!({ "spec": { "colour": "red" } }));
    desk.post(&strict, &unknown)
        .await
        .says(400, "BadRequest", "unknown field \"spec.colour\"");
    for (kind, body, code, reason) in [
        (JSON, "{", 400, "BadRequest"),
        (JSON, "[]", 400, "BadRequest"),
        (JSON, "", 400, "BadRequest"),
        ("text/plain", "{}", 415, "UnsupportedMediaType"),
    ] {
        let answer = desk.examined.send("POST", &uri, (kind, body.into())).await;
        answer.says(code, reason, "");
    }
    let large = with(json!({ "metadata": { "annotations": { "a": "x".repeat(7 << 20) } } }));
    let told = desk.post(&uri, &large).await;
    assert_eq!(told.code, 413, "{}", told.body);
}

/// Updates and approvals that are refused, by upstream's tables.
pub async fn updates_that_are_refused(examined: &Examined) {
    let desk = Desk::open(examined, "updates").await;
    desk.make("p", "draft", json!({})).await;
    desk.publish("q", "published", json!({})).await;
    desk.make("s", "proposed", json!({})).await;
    desk.turn("r.s.proposed", "Proposed").await.is(200);
    desk.publish("t", "marked", json!({})).await;
    desk.turn("r.t.marked", "DeletionProposed").await.is(200);
    let before = desk.everything();
    lifecycles(&desk).await;
    approvals(&desk).await;
    fields(&desk).await;
    requests(&desk).await;
    names_of_none(&desk).await;
    bad_patches(&desk).await;
    assert_eq!(desk.everything(), before);
}

/// One revision in each place of life.
const ALL: [(&str, &str); 4] = [
    ("Draft", "r.p.draft"),
    ("Proposed", "r.s.proposed"),
    ("Published", "r.q.published"),
    ("DeletionProposed", "r.t.marked"),
];

async fn lifecycles(desk: &Desk) {
    let unknown = "spec.lifecycle: Invalid value: \"Final\": value can be only updated to Draft,Proposed,Published,DeletionProposed";
    for (from, name) in ALL {
        let open = matches!(from, "Draft" | "Proposed");
        for to in [
            "Draft",
            "Proposed",
            "Published",
            "DeletionProposed",
            "Final",
        ] {
            let stays_open = matches!(to, "Draft" | "Proposed");
            if open == stays_open {
                continue;
            }
            let answer = desk.turn(name, to).await;
            if open {
                let closed = format!(
                    "spec.lifecycle: Invalid value: {from:?}: value can be only updated to Draft,Proposed"
                );
                let all = [unknown, closed.as_str()];
                answer.refuses(name, if to == "Final" { &all } else { &all[1..] });
            } else if to != "Final" && !matches!(to, "Published" | "DeletionProposed") {
                answer.says(422, "Invalid", "spec: Invalid value: {");
                answer.says(
                    422,
                    "Invalid",
                    "spec can only update package with lifecycle value one of Draft,Proposed",
                );
                assert_eq!(
                    answer.body["details"]["causes"].as_array().unwrap().len(),
                    1
                );
            }
        }
    }
}

async fn approvals(desk: &Desk) {
    let refused = |from: &str| match from {
        "Draft" => Some(
            "cannot approve package with Draft lifecycle value; only Proposed packages can be approved",
        ),
        "Published" => {
            Some("package with Published lifecycle value can only be updated to 'ProposeDeletion'")
        }
        "DeletionProposed" => {
            Some("package with DeletionProposed lifecycle value can only be updated to 'Published'")
        }
        _ => None,
    };
    let wanted = |from: &str, to: &str| match (from, to) {
        (_, "Draft" | "Published") | ("Published", "DeletionProposed") => None,
        (_, "DeletionProposed") => Some(
            "cannot update lifecycle DeletionProposed; only Published packages require approval for deletion",
        ),
        _ => Some("value for approval can be only one of Draft,Published"),
    };
    for (from, name) in ALL {
        for to in [
            "Draft",
            "Proposed",
            "Published",
            "DeletionProposed",
            "",
            "Final",
        ] {
            let allowed = matches!(
                (from, to),
                ("Proposed", "Draft" | "Published")
                    | ("Published", "DeletionProposed")
                    | ("DeletionProposed", "Published")
            );
            if allowed {
                continue;
            }
            let cause =
                |value: &str, why: &str| format!("spec.lifecycle: Invalid value: {value:?}: {why}");
            let first = refused(from).map(|why| cause(from, why));
            let second = wanted(from, to).map(|why| cause(to, why));
            let causes: Vec<String> = first.into_iter().chain(second).collect();
            let causes: Vec<&str> = causes.iter().map(String::as_str).collect();
            desk.approve(name, to).await.refuses(name, &causes);
        }
    }
    // Nothing but the lifecycle goes through an approval, nor does the managed label.
    let sneaked = json!({ "spec": { "lifecycle": "Published" }, "metadata": { "labels": { "kpt.dev/latest-revision": "true" } } });
    let answer = desk
        .patch("packagerevisions/r.s.proposed/approval", MERGE, &sneaked)
        .await;
    answer.refuses("r.s.proposed", &["metadata.labels.kpt.dev/latest-revision: Forbidden: label is managed by porch and cannot be modified by users"]);
}

async fn fields(desk: &Desk) {
    let immutable = |field: &str, value: &str| {
        format!("spec.{field}: Invalid value: {value}: field is immutable")
    };
    for (field, value) in [
        ("packageName", json!("other")),
        ("repository", json!("other")),
        ("workspaceName", json!("other")),
        ("revision", json!(7)),
    ] {
        for name in ["r.p.draft", "r.s.proposed"] {
            let patch = json!({ "spec": { field: value } });
            let answer = desk
                .patch(&format!("packagerevisions/{name}"), MERGE, &patch)
                .await;
            answer.refuses(name, &[&immutable(field, &value.to_string())]);
        }
        let patch = json!({ "spec": { field: value } });
        let answer = desk
            .patch("packagerevisions/r.q.published", MERGE, &patch)
            .await;
        answer.says(
            422,
            "Invalid",
            "spec can only update package with lifecycle value one of Draft,Proposed",
        );
    }
    let label = "metadata.labels.kpt.dev/latest-revision: Forbidden: label is managed by porch and cannot be modified by users";
    for (name, value) in [("r.p.draft", json!("true")), ("r.q.published", Value::Null)] {
        let patch = json!({ "metadata": { "labels": { "kpt.dev/latest-revision": value } } });
        desk.patch(&format!("packagerevisions/{name}"), MERGE, &patch)
            .await
            .refuses(name, &[label]);
    }
    let patch = json!({ "spec": { "packageMetadata": { "labels": { "a": "b" } } } });
    let answer = desk
        .patch("packagerevisions/r.s.proposed", MERGE, &patch)
        .await;
    answer.refuses("r.s.proposed", &["spec.packageMetadata.labels: Forbidden: may only be changed while the lifecycle is Draft, not Proposed"]);
    for (_, name) in &ALL[1..] {
        let answer = desk.write(name, "x.txt", "x").await;
        answer.says(
            422,
            "Invalid",
            "cannot update a package revision with lifecycle value",
        );
        answer.says(422, "Invalid", "; package must be Draft");
    }
}

async fn requests(desk: &Desk) {
    let uri = "packagerevisions/r.p.draft";
    let object = desk.revision("r.p.draft").await;
    let mut unversioned = object.clone();
    unversioned["metadata"]["resourceVersion"] = Value::Null;
    let cause = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    desk.put(uri, &unversioned)
        .await
        .refuses("r.p.draft", &[cause]);
    let mut files = desk.files("r.p.draft").await;
    files["metadata"]["resourceVersion"] = "".into();
    desk.put("packagerevisionresources/r.p.draft", &files)
        .await
        .refuses("r.p.draft", &[cause]);
    let mut other = object.clone();
    other["metadata"]["name"] = "r.q.other".into();
    desk.put(uri, &other).await.tells(
        400,
        "BadRequest",
        "the name of the object (r.q.other) does not match the name on the URL (r.p.draft)",
    );
    let mut nameless = object.clone();
    nameless["metadata"]["name"] = "".into();
    desk.put(uri, &nameless)
        .await
        .says(400, "BadRequest", "the name of the object");
}

async fn names_of_none(desk: &Desk) {
    let object = desk.revision("r.p.draft").await;
    let gone = |name: &str| format!("packagerevisions.porch.kpt.dev {name:?} not found");
    for name in ["r.none.w1", "none", "r.p.UPPER"] {
        let path = format!("packagerevisions/{name}");
        let mut object = object.clone();
        object["metadata"]["name"] = name.into();
        desk.put(&path, &object)
            .await
            .tells(404, "NotFound", &gone(name));
        desk.delete(&path).await.tells(404, "NotFound", &gone(name));
        let change = json!({ "metadata": { "labels": { "a": "b" } } });
        desk.patch(&path, MERGE, &change)
            .await
            .tells(404, "NotFound", &gone(name));
        desk.patch(&format!("{path}/approval"), MERGE, &change)
            .await
            .tells(404, "NotFound", &gone(name));
        let files = format!("packagerevisionresources/{name}");
        let told = format!("packagerevisionresources.porch.kpt.dev {name:?} not found");
        desk.patch(&files, MERGE, &change)
            .await
            .tells(404, "NotFound", &told);
    }
}

async fn bad_patches(desk: &Desk) {
    let uri = "packagerevisions/r.p.draft";
    for (kind, patch, code, reason) in [
        (
            STEPS,
            json!([{ "op": "remove", "path": "/metadata/labels/none" }]),
            422,
            "Invalid",
        ),
        (
            STEPS,
            json!([{ "op": "test", "path": "/spec/lifecycle", "value": "Published" }]),
            422,
            "Invalid",
        ),
        (
            STEPS,
            json!([{ "op": "replace", "path": "/spec/tasks", "value": "none" }]),
            422,
            "Invalid",
        ),
        (STEPS, json!({ "op": "remove" }), 400, "BadRequest"),
        (MERGE, json!([1]), 400, "BadRequest"),
        (
            "application/unheard-of",
            json!({}),
            415,
            "UnsupportedMediaType",
        ),
    ] {
        for uri in [
            "packagerevisions/r.p.draft",
            "packagerevisions/r.p.draft/approval",
            "packagerevisionresources/r.p.draft",
        ] {
            if uri.starts_with("packagerevisionresources") && patch.to_string().contains("/spec/") {
                continue;
            }
            let answer = desk.patch(uri, kind, &patch).await;
            assert_eq!(
                (answer.code, &answer.body["reason"]),
                (code, &json!(reason)),
                "{uri} {patch}: {}",
                answer.body
            );
        }
    }
    let step = json!({ "op": "test", "path": "/kind", "value": "PackageRevision" });
    let many = json!(vec![step; 10_001]);
    desk.patch(uri, STEPS, &many)
        .await
        .says(413, "RequestEntityTooLarge", "10000");
    let post = desk
        .post(&desk.path("packagerevisionresources"), &json!({}))
        .await;
    post.says(405, "MethodNotAllowed", "");
    let post = desk
        .post(&desk.path(&format!("{uri}/approval")), &json!({}))
        .await;
    post.says(405, "MethodNotAllowed", "");
}

/// Old versions are refused in the standard words, whatever is changed.
pub async fn old_versions_are_refused(examined: &Examined) {
    let desk = Desk::open(examined, "stale").await;
    let old = desk.make("p", "w1", json!({})).await;
    let old_files = desk.files("r.p.w1").await;
    let patch = json!({ "metadata": { "annotations": { "a": "b" } } });
    desk.patch("packagerevisions/r.p.w1", MERGE, &patch)
        .await
        .is(200);
    let before = desk.everything();
    let modified = |plural: &str| {
        format!(
            "Operation cannot be fulfilled on {plural}.porch.kpt.dev \"r.p.w1\": the object has been modified; please apply your changes to the latest version and try again"
        )
    };
    let changes = [
        json!({ "metadata": { "labels": { "a": "b" } } }),
        json!({ "spec": { "lifecycle": "Proposed" } }),
        json!({ "spec": { "packageMetadata": { "labels": { "a": "b" } } } }),
    ];
    for change in changes {
        let mut object = old.clone();
        merge(&mut object, change.clone());
        let told = desk.put("packagerevisions/r.p.w1", &object).await;
        told.tells(409, "Conflict", &modified("packagerevisions"));
        assert_eq!(
            told.body["details"],
            json!({ "name": "r.p.w1", "group": "porch.kpt.dev", "kind": "packagerevisions" })
        );
        let mut patch = change;
        merge(
            &mut patch,
            json!({ "metadata": { "resourceVersion": version(&old) } }),
        );
        let told = desk.patch("packagerevisions/r.p.w1", MERGE, &patch).await;
        told.tells(409, "Conflict", &modified("packagerevisions"));
    }
    let mut object = old.clone();
    object["spec"]["lifecycle"] = "Published".into();
    let told = desk.put("packagerevisions/r.p.w1/approval", &object).await;
    told.tells(409, "Conflict", &modified("packagerevisions"));
    let mut files = old_files;
    files["spec"]["resources"]["x.txt"] = "x".into();
    let told = desk.put("packagerevisionresources/r.p.w1", &files).await;
    told.tells(409, "Conflict", &modified("packagerevisionresources"));
    assert_eq!(desk.everything(), before);
    let mut future = desk.revision("r.p.w1").await;
    future["metadata"]["resourceVersion"] = "seven".into();
    let told = desk.put("packagerevisions/r.p.w1", &future).await;
    told.says(422, "Invalid", "metadata.resourceVersion");
}
