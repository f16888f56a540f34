//! A package's life, step by step, and what Git says after each.

use serde_json::{Value, json};

use crate::desk::{Desk, Examined, MERGE, config_map, kptfile, name, version};

/// What follows a commit's subject.
fn annotated(desk: &Desk, commit: &str, subject: &str) -> Value {
    let message = desk.at_home(&["log", "-1", "--format=%B", commit]);
    let rest = message.strip_prefix(subject);
    let rest = rest.unwrap_or_else(|| panic!("{message}"));
    let json = rest.trim_start().strip_prefix("kpt:");
    serde_json::from_str(json.unwrap_or_else(|| panic!("{message}"))).unwrap()
}

fn parents(desk: &Desk, commit: &str) -> Vec<String> {
    let all = desk.at_home(&["rev-parse", &format!("{commit}^@")]);
    all.lines().map(str::to_owned).collect()
}

/// From the first draft by way of two revisions to the end.
pub async fn a_package_from_its_first_draft_to_its_end(examined: &Examined) {
    let desk = Desk::open(examined, "life").await;
    let draft = "r.net.upf.w1";
    begun(&desk, draft).await;
    edited(&desk, draft).await;
    proposed_and_rejected(&desk, draft).await;
    published(&desk, draft).await;
    second(&desk).await;
    withdrawn(&desk, draft).await;
}

async fn begun(desk: &Desk, draft: &str) {
    let main = desk.commit("main").unwrap();
    let made = desk.make("net/upf", "w1", json!({})).await;
    assert_eq!(name(&made), draft);
    assert_eq!(made["spec"]["lifecycle"], "Draft");
    let task = json!({ "type": "init", "init": { "description": "net/upf description" } });
    assert_eq!(made["spec"]["tasks"], json!([task]));
    let refs = ["heads/drafts/net/upf/w1", "heads/main", "tags/known/v1"];
    assert_eq!(desk.refs(), refs);
    let first = desk.commit("drafts/net/upf/w1").unwrap();
    assert_eq!(parents(desk, &first), [main], "it stands on the branch");
    let user = &desk.examined.user;
    assert_eq!(
        desk.at_home(&["log", "-1", "--format=%an|%ae|%cn|%ce", &first]),
        format!("{user}|{user}|Package Orchestration Service|porch@kpt.dev")
    );
    let raw = desk.at_home(&["cat-file", "commit", &first]);
    let (_, message) = raw.split_once("\n\n").unwrap();
    assert!(
        message.starts_with("Creating new empty revision\n\n\nkpt:{\"package\":\"net/upf\",\"workspaceName\":\"w1\",\"revision\":\"0\",\"task\":{\"type\":\"init\""),
        "{message}"
    );
    assert_eq!(
        annotated(desk, &first, "Creating new empty revision"),
        json!({ "package": "net/upf", "workspaceName": "w1", "revision": "0", "task": task })
    );
    let own = ["Kptfile", "README.md", "package-context.yaml"];
    let listed = desk.tree(&format!("{first}:net/upf"));
    assert!(
        own.iter().all(|file| listed.contains(&(*file).to_owned())),
        "{listed:?}"
    );
}

async fn edited(desk: &Desk, draft: &str) {
    let first = desk.commit("drafts/net/upf/w1").unwrap();
    let mut files = desk.files(draft).await;
    let resources = files["spec"]["resources"].as_object_mut().unwrap();
    resources.remove("README.md").unwrap();
    resources.insert("deep/cm.yaml".into(), config_map("two").into());
    let uri = format!("packagerevisionresources/{draft}");
    let answered = desk.put(&uri, &files).await.is(200);
    let second = desk.commit("drafts/net/upf/w1").unwrap();
    assert_eq!(parents(desk, &second), [first], "one commit more");
    let told = annotated(desk, &second, "Rendering package");
    assert_eq!(told["task"], json!({ "type": "render" }));
    assert_eq!(
        desk.at_home(&["show", &format!("{second}:net/upf/deep/cm.yaml")]),
        config_map("two").trim_end()
    );
    assert!(!desk.tree(&second).contains(&"net/upf/README.md".into()));
    assert!(
        desk.tree(&second).contains(&"known/cm.yaml".into()),
        "the rest stays"
    );
    let now = desk.files(draft).await;
    assert_eq!(now, answered, "what was answered is what is read");
    assert_eq!(version(&desk.revision(draft).await), version(&now));
}

async fn proposed_and_rejected(desk: &Desk, draft: &str) {
    let tip = desk.commit("drafts/net/upf/w1");
    for (lifecycle, place, by_approval) in [
        ("Proposed", "proposed", false),
        ("Draft", "drafts", true),
        ("Proposed", "proposed", false),
        ("Draft", "drafts", false),
        ("Proposed", "proposed", false),
    ] {
        let turned = if by_approval {
            desk.approve(draft, lifecycle).await
        } else {
            desk.turn(draft, lifecycle).await
        };
        assert_eq!(turned.is(200)["spec"]["lifecycle"], lifecycle);
        let reference = format!("heads/{place}/net/upf/w1");
        assert_eq!(desk.commit(&reference), tip, "the same commit");
        let refs = desk.refs();
        assert_eq!(refs.len(), 3, "{refs:?}");
    }
}

async fn published(desk: &Desk, draft: &str) {
    let (main, tip) = (
        desk.commit("main").unwrap(),
        desk.commit("proposed/net/upf/w1").unwrap(),
    );
    let done = desk.approve(draft, "Published").await.is(200);
    assert_eq!(done["spec"]["lifecycle"], "Published");
    assert_eq!(done["spec"]["revision"], 1);
    assert_eq!(
        done["metadata"]["labels"]["kpt.dev/latest-revision"],
        "true"
    );
    assert_eq!(done["status"]["publishedBy"], desk.examined.user);
    assert!(done["status"]["publishTimestamp"].is_string());
    assert_eq!(
        desk.refs(),
        ["heads/main", "tags/known/v1", "tags/net/upf/v1"]
    );
    let merge = desk.commit("main").unwrap();
    assert_eq!(desk.commit("refs/tags/net/upf/v1"), Some(merge.clone()));
    assert_eq!(
        desk.at_home(&["cat-file", "-t", "refs/tags/net/upf/v1"]),
        "commit"
    );
    assert_eq!(parents(desk, &merge), [main.clone(), tip.clone()]);
    let told = annotated(desk, &merge, "Approving package revision net/upf/1");
    assert_eq!(
        told,
        json!({ "package": "net/upf", "workspaceName": "w1", "revision": "1" })
    );
    let same = |one: String, other: String| {
        desk.at_home(&["rev-parse", &one]) == desk.at_home(&["rev-parse", &other])
    };
    assert!(same(format!("{merge}:net/upf"), format!("{tip}:net/upf")));
    assert!(same(format!("{merge}:known"), format!("{main}:known")));
    let names = desk.names("packagerevisions").await;
    assert_eq!(
        names,
        [
            "r.known.main",
            "r.known.v1",
            "r.net.upf.main",
            "r.net.upf.w1"
        ]
    );
    let placeholder = desk.revision("r.net.upf.main").await;
    assert_eq!(placeholder["spec"]["revision"], -1);
    assert_eq!(
        desk.files("r.net.upf.main").await["spec"]["resources"],
        desk.files(draft).await["spec"]["resources"]
    );
}

async fn second(desk: &Desk) {
    let task = json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": "r.net.upf.w1" } } }] });
    let made = desk.make("net/upf", "w2", task).await;
    assert_eq!(made["spec"]["tasks"].as_array().unwrap().len(), 1);
    let own = desk.files("r.net.upf.w2").await["spec"]["resources"].clone();
    assert_eq!(own, desk.files("r.net.upf.w1").await["spec"]["resources"]);
    desk.write("r.net.upf.w2", "more.txt", "more\n")
        .await
        .is(200);
    // Somebody changes another file of the branch, and the package itself, by hand.
    desk.stranger("main", "elsewhere.txt", "by hand\n");
    desk.stranger("main", "net/upf/by-hand.txt", "lost\n");
    desk.turn("r.net.upf.w2", "Proposed").await.is(200);
    let done = desk.approve("r.net.upf.w2", "Published").await.is(200);
    assert_eq!(done["spec"]["revision"], 2);
    let tree = desk.tree("main");
    assert!(tree.contains(&"elsewhere.txt".into()) && tree.contains(&"net/upf/more.txt".into()));
    assert!(
        !tree.contains(&"net/upf/by-hand.txt".into()),
        "the draft's content goes"
    );
    let latest = |object: &Value| object["metadata"]["labels"]["kpt.dev/latest-revision"].clone();
    assert_eq!(latest(&desk.revision("r.net.upf.w1").await), Value::Null);
    assert_eq!(latest(&desk.revision("r.net.upf.w2").await), "true");
    desk.look("r").await;
    assert_eq!(latest(&desk.revision("r.net.upf.w1").await), Value::Null);
    assert_eq!(latest(&desk.revision("r.net.upf.w2").await), "true");
}

async fn withdrawn(desk: &Desk, draft: &str) {
    let last = "r.net.upf.w2";
    let tag = desk.commit("refs/tags/net/upf/v2").unwrap();
    desk.delete(&format!("packagerevisions/{last}")).await.tells(
        403,
        "Forbidden",
        "packagerevisions.porch.kpt.dev \"r.net.upf.w2\" is forbidden: published PackageRevisions must be proposed for deletion by setting spec.lifecycle to 'DeletionProposed' prior to deletion",
    );
    for by_approval in [false, true] {
        let turn = async |to: &str| {
            if by_approval {
                desk.approve(last, to).await.is(200)
            } else {
                desk.turn(last, to).await.is(200)
            }
        };
        assert_eq!(
            turn("DeletionProposed").await["spec"]["lifecycle"],
            "DeletionProposed"
        );
        assert_eq!(
            desk.commit("deletionProposed/net/upf/v2"),
            Some(tag.clone())
        );
        assert_eq!(turn("Published").await["spec"]["lifecycle"], "Published");
        assert_eq!(desk.commit("deletionProposed/net/upf/v2"), None);
    }
    desk.turn(last, "DeletionProposed").await.is(200);
    let main = desk.commit("main");
    let gone = desk
        .delete(&format!("packagerevisions/{last}"))
        .await
        .is(200);
    assert_eq!(name(&gone), last);
    desk.get(&format!("packagerevisions/{last}")).await.tells(
        404,
        "NotFound",
        "packagerevisions.porch.kpt.dev \"r.net.upf.w2\" not found",
    );
    assert_eq!(desk.commit("main"), main, "the branch is not touched");
    assert_eq!(
        desk.refs(),
        ["heads/main", "tags/known/v1", "tags/net/upf/v1"]
    );
    let first = desk.revision(draft).await;
    assert_eq!(
        first["metadata"]["labels"]["kpt.dev/latest-revision"],
        "true"
    );
    // The package on the branch goes by a commit.
    desk.turn("r.net.upf.main", "DeletionProposed")
        .await
        .is(200);
    assert_eq!(desk.commit("deletionProposed/net/upf/main"), main);
    desk.delete("packagerevisions/r.net.upf.main").await.is(200);
    let message = desk.at_home(&["log", "-1", "--format=%B", "main"]);
    assert_eq!(message.trim_end(), "Delete net/upf");
    assert!(
        !desk
            .tree("main")
            .iter()
            .any(|path| path.starts_with("net/"))
    );
    assert_eq!(
        desk.refs(),
        ["heads/main", "tags/known/v1", "tags/net/upf/v1"]
    );
    desk.look("r").await;
    assert_eq!(
        desk.names("packagerevisions").await,
        ["r.known.main", "r.known.v1", "r.net.upf.w1"]
    );
}

/// Drafts and proposals go with their refs, and nothing else does.
pub async fn what_was_not_published_goes_without_a_trace(examined: &Examined) {
    let desk = Desk::open(examined, "discard").await;
    let before = desk.everything();
    for (workspace, proposed) in [("one", false), ("two", true)] {
        let made = name(&desk.make("fleeting", workspace, json!({})).await);
        if proposed {
            desk.turn(&made, "Proposed").await.is(200);
        }
        // Somebody moved it meanwhile: without a version, the caller means whatever is there.
        let place = if proposed { "proposed" } else { "drafts" };
        desk.stranger(
            &format!("{place}/fleeting/{workspace}"),
            "fleeting/x.txt",
            "x",
        );
        let gone = desk
            .delete(&format!("packagerevisions/{made}"))
            .await
            .is(200);
        assert_eq!(name(&gone), made);
        assert_eq!(desk.everything(), before);
        assert_eq!(
            desk.get(&format!("packagerevisions/{made}")).await.code,
            404
        );
    }
    let made = desk.make("fleeting", "again", json!({})).await;
    let uri = format!("packagerevisions/{}", name(&made));
    let stale = json!({ "preconditions": { "resourceVersion": "1" } });
    desk.delete_with(&uri, &stale).await.says(
        409,
        "Conflict",
        "ResourceVersion in the precondition",
    );
    let other = json!({ "preconditions": { "uid": "other" } });
    desk.delete_with(&uri, &other)
        .await
        .says(409, "Conflict", "UID in the precondition");
    let right = json!({ "preconditions": { "resourceVersion": version(&made), "uid": made["metadata"]["uid"] } });
    desk.stranger("drafts/fleeting/again", "fleeting/x.txt", "x");
    desk.delete_with(&uri, &right)
        .await
        .says(409, "Conflict", "");
    assert!(
        desk.commit("drafts/fleeting/again").is_some(),
        "what nobody saw stays"
    );
    desk.delete(&uri).await.is(200);
    desk.delete(&uri).await.says(404, "NotFound", "not found");
    assert_eq!(desk.everything(), before);
}

/// Who was told that something is gone finds it nowhere, and can make it anew.
pub async fn what_is_gone_is_gone_at_once(examined: &Examined) {
    let desk = Desk::open(examined, "gone").await;
    for _ in 0..10 {
        desk.make("p", "w1", json!({})).await;
        desk.delete("packagerevisions/r.p.w1").await.is(200);
        let names = desk.names("packagerevisions").await;
        assert_eq!(names, ["r.known.main", "r.known.v1"]);
    }
    desk.hook("exit 1");
    for _ in 0..5 {
        let told = desk.ask("p", "w1", json!({})).await;
        told.says(403, "Forbidden", "the Git server refused the change");
    }
}

/// A directory is before every ref and path, and not before the names; the author is the Repository's word.
pub async fn a_directory_and_an_author_of_the_repository(examined: &Examined) {
    let desk = Desk::bare(examined, "directory").await;
    desk.git.write("README.md", "By hand.\n");
    desk.git.commit("First");
    desk.git.push();
    let git = json!({ "git": { "directory": "/random/folder/", "author": "Bot" } });
    desk.register("r", git).await;
    desk.until_ready("r").await;
    let made = desk.publish("pkg", "w1", json!({})).await;
    assert_eq!(made["spec"]["packageName"], "pkg");
    assert_eq!(desk.refs(), ["heads/main", "tags/random/folder/pkg/v1"]);
    assert!(
        desk.tree("main")
            .contains(&"random/folder/pkg/Kptfile".into())
    );
    let told = annotated(
        &desk,
        "main",
        "Approving package revision random/folder/pkg/1",
    );
    assert_eq!(told["package"], "random/folder/pkg");
    assert_eq!(
        desk.at_home(&["log", "-1", "--format=%an|%ae", "main"]),
        "Bot|"
    );
    desk.look("r").await;
    assert_eq!(
        desk.names("packagerevisions").await,
        ["r.pkg.main", "r.pkg.w1"]
    );
}

/// An empty repository gets its branch, and can be written to at once.
pub async fn a_branch_is_made_where_that_is_wanted(examined: &Examined) {
    let desk = Desk::bare(examined, "empty").await;
    desk.register("r", json!({ "git": { "createBranch": true } }))
        .await;
    desk.until_ready("r").await;
    assert_eq!(desk.refs(), ["heads/main"]);
    assert_eq!(
        desk.at_home(&["show", "main:README.md"]),
        "Created by porch"
    );
    let told = desk.at_home(&["log", "-1", "--format=%an|%ae|%cn|%ce|%P|%s", "main"]);
    let porch = "Package Orchestration Service|porch@kpt.dev";
    assert_eq!(
        told,
        format!("{porch}|{porch}||Initial commit: Creating main branch")
    );
    let made = desk.publish("first", "w1", json!({})).await;
    assert_eq!(made["spec"]["revision"], 1);
    let other = Desk::bare(examined, "empty-without").await;
    other.register("r", json!({})).await;
    let asked = other.ask("p", "w1", json!({})).await;
    assert!((400..504).contains(&asked.code), "{}", asked.body);
    assert!(other.refs().is_empty());
}

/// Kptfile and object say the same, whichever is changed, and what people wrote in the Kptfile stays.
pub async fn the_kptfile_and_the_object_agree(examined: &Examined) {
    let desk = Desk::open(examined, "kptfile").await;
    let more = json!({ "packageMetadata": { "labels": { "made": "here" } }, "readinessGates": [{ "conditionType": "example.com/ok" }] });
    let made = desk.make("p", "w1", more).await;
    assert_eq!(made["spec"]["packageMetadata"]["labels"]["made"], "here");
    let text = "# Ours.\napiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: p\n  labels:\n    'team': \"platform\" # who\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\ninfo:\n  description: it\n";
    desk.write("r.p.w1", "Kptfile", text).await.is(200);
    let now = desk.revision("r.p.w1").await;
    assert_eq!(
        now["spec"]["packageMetadata"]["labels"],
        json!({ "team": "platform" })
    );
    assert_eq!(now["spec"]["readinessGates"], Value::Null);
    let patch = json!({
        "spec": { "packageMetadata": { "labels": { "zone": "a" } }, "readinessGates": [{ "conditionType": "example.com/ok" }] },
        "status": { "conditions": [{ "type": "example.com/ok", "status": "True", "reason": "Looked", "message": "Fine" }] },
    });
    let patched = desk
        .patch("packagerevisions/r.p.w1", MERGE, &patch)
        .await
        .is(200);
    assert_eq!(
        patched["spec"]["packageMetadata"]["labels"],
        json!({ "team": "platform", "zone": "a" })
    );
    assert_eq!(patched["status"]["conditions"][0]["reason"], "Looked");
    let kept = desk.at_home(&["show", "drafts/p/w1:p/Kptfile"]);
    assert!(
        kept.starts_with("# Ours.\n") && kept.contains("'team': \"platform\" # who\n"),
        "{kept}"
    );
    assert!(
        kept.contains("zone: a") && kept.contains("conditionType: example.com/ok"),
        "{kept}"
    );
    desk.look("r").await;
    assert_eq!(desk.revision("r.p.w1").await, patched, "Git says the same");
    // The name of a package is no label: a Kptfile may be named otherwise.
    desk.write("r.p.w1", "Kptfile", &kptfile("p")).await.is(200);
    let bare = desk.revision("r.p.w1").await;
    assert_eq!(bare["status"]["conditions"], Value::Null);
}

/// What was written is there at once, whichever way one asks, and watchers hear all of it in order.
pub async fn the_answers_version_can_be_used_at_once(examined: &Examined) {
    let desk = Desk::open(examined, "versions").await;
    let list = desk.get("packagerevisions").await.is(200);
    let from = version(&list);
    let made = desk.make("p", "w1", json!({})).await;
    let uri = "packagerevisions/r.p.w1";
    for version in [version(&made)] {
        let exact =
            format!("packagerevisions?resourceVersion={version}&resourceVersionMatch=NotOlderThan");
        let names = desk.names(&exact).await;
        assert!(names.contains(&"r.p.w1".into()));
        let got = desk
            .get(&format!("{uri}?resourceVersion={version}"))
            .await
            .is(200);
        assert_eq!(got, made);
    }
    let mut next = made.clone();
    next["metadata"]["labels"] = json!({ "mark": "yes" });
    let labelled = desk.put(uri, &next).await.is(200);
    next = labelled.clone();
    next["spec"]["lifecycle"] = "Proposed".into();
    let proposed = desk.put(uri, &next).await.is(200);
    next = proposed.clone();
    next["spec"]["lifecycle"] = "Published".into();
    let published = desk.put(&format!("{uri}/approval"), &next).await.is(200);
    next = published.clone();
    next["spec"]["lifecycle"] = "DeletionProposed".into();
    let marked = desk.put(uri, &next).await.is(200);
    desk.delete(uri).await.is(200);
    let story = desk.story(&from, "r.p.w1").await;
    let told = |object: &Value| {
        (
            version(object),
            object["spec"]["lifecycle"].as_str().unwrap().to_owned(),
        )
    };
    let seen: Vec<_> = story.iter().map(|(_, object)| told(object)).collect();
    for step in [&made, &labelled, &proposed, &published, &marked] {
        assert!(seen.contains(&told(step)), "{step} is not in {seen:?}");
    }
    let (end, _) = story.last().unwrap();
    assert_eq!((story[0].0.as_str(), end.as_str()), ("ADDED", "DELETED"));
    let numbers: Vec<u64> = seen
        .iter()
        .map(|(version, _)| version.parse().unwrap())
        .collect();
    assert!(
        numbers.is_sorted_by(|one, other| one < other),
        "{numbers:?}"
    );
    let from_made = desk.story(&version(&made), "r.p.w1").await;
    assert_eq!(
        from_made[..],
        story[1..],
        "one may watch from the answer's version"
    );
}
