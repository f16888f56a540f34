//! The files of a draft: what may be written, what may not, and that text survives as people wrote it.

use serde_json::{Value, json};

use crate::desk::{Desk, Examined, STEPS, config_map, kptfile, name, version};

const FILES: &str = "packagerevisionresources/r.p.w1";

/// Files that are refused, each with its path, and nothing is pushed.
pub async fn files_that_are_refused(examined: &Examined) {
    let desk = Desk::open(examined, "files").await;
    desk.make("p", "w1", json!({})).await;
    let before = desk.everything();
    paths(&desk).await;
    contents(&desk).await;
    kptfiles(&desk).await;
    amounts(&desk).await;
    assert_eq!(desk.everything(), before);
    let unchanged = desk.files("r.p.w1").await;
    desk.put(FILES, &unchanged).await.is(200);
    assert_eq!(
        desk.everything(),
        before,
        "who changes nothing makes no commit"
    );
}

async fn paths(desk: &Desk) {
    for (path, why) in [
        ("../x", "must not have empty parts, '.' or '..'"),
        ("a/../../x", "must not have empty parts, '.' or '..'"),
        ("..", "must not have empty parts, '.' or '..'"),
        ("./x", "must not have empty parts, '.' or '..'"),
        ("a//x", "must not have empty parts, '.' or '..'"),
        ("a/", "must not have empty parts, '.' or '..'"),
        ("/x", "must be relative to the package"),
        ("", "must not be empty"),
        (".git/config", "must not name Git's own directory"),
        ("a/.git/hooks/x", "must not name Git's own directory"),
        (".GIT/config", "must not name Git's own directory"),
        ("git~1/config", "must not name Git's own directory"),
        (".git./config", "must not name Git's own directory"),
        (".g\u{200c}it/config", "must not name Git's own directory"),
        ("a\\x", "must not contain backslashes or control characters"),
        ("a\nb", "must not contain backslashes or control characters"),
        ("a\0b", "must not contain backslashes or control characters"),
    ] {
        let told = desk.write("r.p.w1", path, "x").await;
        told.says(422, "Invalid", why);
        let field = told.body["details"]["causes"][0]["field"].as_str().unwrap();
        assert!(field.starts_with("spec.resources["), "{field}");
    }
    for (one, other) in [("x.txt", "X.txt"), ("a", "a/b"), ("d/x.txt", "D/y.txt")] {
        let patch = json!([
            { "op": "add", "path": format!("/spec/resources/{}", one.replace('/', "~1")), "value": "x" },
            { "op": "add", "path": format!("/spec/resources/{}", other.replace('/', "~1")), "value": "x" },
        ]);
        let told = desk.patch(FILES, STEPS, &patch).await;
        told.says(422, "Invalid", "spec.resources[");
    }
}

async fn contents(desk: &Desk) {
    for (path, content) in [("x.yaml", "a: [b"), ("x.yml", "a: b: c")] {
        let told = desk.write("r.p.w1", path, content).await;
        told.says(422, "Invalid", "must be YAML");
        assert_eq!(
            told.body["details"]["causes"][0]["field"],
            format!("spec.resources[{path}]")
        );
    }
    // What is no YAML by its name may be anything.
    let patch = json!({ "spec": { "resources": { "x.txt": "a: [b" } } });
    desk.patch(&format!("{FILES}?dryRun=All"), crate::desk::MERGE, &patch)
        .await
        .is(200);
}

async fn kptfiles(desk: &Desk) {
    let steps = json!([{ "op": "remove", "path": "/spec/resources/Kptfile" }]);
    let told = desk.patch(FILES, STEPS, &steps).await;
    told.says(422, "Invalid", "package must contain Kptfile at root");
    let moved = json!([{ "op": "move", "from": "/spec/resources/Kptfile", "path": "/spec/resources/kptfile" }]);
    desk.patch(FILES, STEPS, &moved).await.says(
        422,
        "Invalid",
        "package must contain Kptfile at root",
    );
    for broken in [
        "",
        "not: [yaml",
        "- a\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: p\n",
        "apiVersion: kpt.dev/v2\nkind: Kptfile\nmetadata:\n  name: p\n",
    ] {
        desk.write("r.p.w1", "Kptfile", broken)
            .await
            .says(422, "Invalid", "Kptfile");
    }
    for pipeline in ["mutators", "validators"] {
        let text = format!(
            "{}pipeline:\n  {pipeline}:\n  - image: nobody/knows:v1\n",
            kptfile("p")
        );
        let told = desk.write("r.p.w1", "Kptfile", &text).await;
        told.says(422, "Invalid", "function not available: nobody/knows:v1");
        let told = desk.write("r.p.w1", "sub/Kptfile", &text).await;
        told.says(422, "Invalid", "function not available: nobody/knows:v1");
    }
}

async fn amounts(desk: &Desk) {
    let mut files = desk.files("r.p.w1").await;
    files["spec"]["resources"]["big.txt"] = "x".repeat(5 << 20).into();
    desk.put(FILES, &files)
        .await
        .says(422, "Invalid", "spec.resources[big.txt]: Too long");
    files["spec"]["resources"]["big.txt"] = "x".repeat(10 << 20).into();
    let told = desk.put(FILES, &files).await;
    assert_eq!(told.code, 413, "{}", told.body);
    let mut files = desk.files("r.p.w1").await;
    let resources = files["spec"]["resources"].as_object_mut().unwrap();
    for number in 0..10_000 {
        resources.insert(format!("f/{number}.txt"), "x".into());
    }
    desk.put(FILES, &files).await.says(
        422,
        "Invalid",
        "spec.resources: Too many: must have at most 10000 items",
    );
}

/// As much as may be is written, and is there.
pub async fn as_many_files_as_may_be(examined: &Examined) {
    let desk = Desk::open(examined, "many").await;
    desk.make("p", "w1", json!({})).await;
    let mut files = desk.files("r.p.w1").await;
    let resources = files["spec"]["resources"].as_object_mut().unwrap();
    let had = resources.len();
    for number in had..10_000 {
        resources.insert(format!("f{}/{number}.txt", number % 100), "x".into());
    }
    desk.put(FILES, &files).await.is(200);
    assert_eq!(desk.tree("drafts/p/w1:p").len(), 10_000);
    desk.look("r").await;
    let listed = desk.files("r.p.w1").await;
    assert_eq!(
        listed["spec"]["resources"].as_object().unwrap().len(),
        10_000
    );
}

/// Texts stay as they were written, to the byte; what is no text stays too.
pub async fn texts_survive(examined: &Examined) {
    let desk = Desk::open(examined, "texts").await;
    desk.make("p", "w1", json!({})).await;
    let binary = desk.stranger("drafts/p/w1", "p/a.txt", "x");
    assert_eq!(desk.commit("drafts/p/w1"), Some(binary));
    desk.look("r").await;
    for (path, content) in [
        (
            "order.yaml",
            "# head\nz: 1\n'a':   \"two\" # why\nlist: [ 1,2 ]\n",
        ),
        ("documents.yaml", "---\na: 1\n---\n# nothing\n---\nb: 2\n"),
        ("crlf.yaml", "a: 1\r\nb: 2\r\n"),
        ("no-end.yaml", "a: 1"),
        ("umlaut \u{e4}.txt", "\u{f6}\u{1f600}"),
        ("empty.txt", ""),
        ("deep/er/and/deeper.txt", "x\n"),
        ("CM.yaml", &config_map("three")),
    ] {
        let written = desk.write("r.p.w1", path, content).await.is(200);
        assert_eq!(written["spec"]["resources"][path], content);
        let output = crate::git_server::git(
            &desk.git.bare(),
            &["show", &format!("drafts/p/w1:p/{path}")],
        );
        assert_eq!(output, content, "{path}");
        assert_eq!(
            desk.files("r.p.w1").await["spec"]["resources"][path],
            content
        );
    }
    let to = tempfile::tempdir().unwrap();
    let from = desk.git.bare();
    let git = |words: &[&str]| crate::git_server::git(to.path(), words);
    git(&[
        "clone",
        "-q",
        "--branch",
        "drafts/p/w1",
        from.to_str().unwrap(),
        ".",
    ]);
    std::fs::write(to.path().join("p/picture.png"), [0xff, 0xd8, 0x00]).unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "A picture"]);
    git(&["push", "-q", "origin", "drafts/p/w1"]);
    desk.look("r").await;
    let shown = desk.files("r.p.w1").await;
    assert_eq!(shown["spec"]["resources"]["picture.png"], Value::Null);
    desk.put(FILES, &{
        let mut files = shown;
        files["spec"]["resources"]
            .as_object_mut()
            .unwrap()
            .remove("empty.txt");
        files
    })
    .await
    .is(200);
    let tree = desk.tree("drafts/p/w1:p");
    assert!(
        tree.contains(&"picture.png".into()) && !tree.contains(&"empty.txt".into()),
        "{tree:?}"
    );
}

/// A package that has functions is not written, but it lives and goes.
pub async fn packages_with_functions_are_left_as_they_are(examined: &Examined) {
    let desk = Desk::bare(examined, "functions").await;
    let text = format!(
        "{}pipeline:\n  mutators:\n  - image: nobody/knows:v1\n",
        kptfile("fn")
    );
    desk.git.write("fn/Kptfile", &text);
    desk.git.commit("First");
    desk.git.git(&["tag", "fn/v1"]);
    desk.git.git(&["branch", "drafts/fn/w2"]);
    desk.git.push();
    desk.register("r", json!({})).await;
    desk.until_ready("r").await;
    let source = json!({ "upstreamRef": { "upstreamRef": { "name": "r.fn.v1" } } });
    let clone = json!({ "tasks": [{ "type": "clone", "clone": source }] });
    let edit =
        json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": "r.fn.v1" } } }] });
    let before = desk.everything();
    desk.ask("copy", "w1", clone).await.says(
        422,
        "Invalid",
        "function not available: nobody/knows:v1",
    );
    desk.ask("fn", "w3", edit).await.says(
        422,
        "Invalid",
        "function not available: nobody/knows:v1",
    );
    desk.write("r.fn.w2", "x.txt", "x").await.says(
        422,
        "Invalid",
        "function not available: nobody/knows:v1",
    );
    assert_eq!(desk.everything(), before);
    let patch = json!({ "metadata": { "labels": { "a": "b" } } });
    desk.patch("packagerevisions/r.fn.w2", crate::desk::MERGE, &patch)
        .await
        .is(200);
    desk.turn("r.fn.w2", "Proposed").await.is(200);
    let done = desk.approve("r.fn.w2", "Published").await.is(200);
    assert_eq!(done["spec"]["revision"], 2);
    desk.turn("r.fn.w2", "DeletionProposed").await.is(200);
    desk.delete("packagerevisions/r.fn.w2").await.is(200);
}

/// Patches of every kind on files, and the packages that begin and end as wholes.
pub async fn packages_begin_and_end_as_wholes(examined: &Examined) {
    let desk = Desk::open(examined, "packages").await;
    let package = |name: &str| {
        json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PorchPackage", "metadata": {},
            "spec": { "repository": "r", "packageName": name },
        })
    };
    let uri = desk.path("packages");
    let made = desk.post(&uri, &package("net/smf")).await.is(201);
    assert_eq!(
        (made["kind"].as_str(), name(&made).as_str()),
        (Some("PorchPackage"), "r.net.smf")
    );
    let draft = desk.revision("r.net.smf.v1").await;
    assert_eq!(draft["spec"]["lifecycle"], "Draft");
    assert_eq!(version(&draft), version(&made));
    assert!(desk.commit("drafts/net/smf/v1").is_some());
    let taken = "packages.porch.kpt.dev \"r.net.smf\" already exists";
    desk.post(&uri, &package("net/smf"))
        .await
        .tells(409, "AlreadyExists", taken);
    desk.post(&uri, &package("Upper"))
        .await
        .says(422, "Invalid", "spec.packageName");
    desk.post(&uri, &package("net"))
        .await
        .says(422, "Invalid", "packages cannot be nested");
    let mut elsewhere = package("q");
    elsewhere["spec"]["repository"] = "none".into();
    desk.post(&uri, &elsewhere).await.says(
        404,
        "NotFound",
        "repositories.config.porch.kpt.dev \"none\" not found",
    );
    elsewhere["spec"]["repository"] = "".into();
    desk.post(&uri, &elsewhere)
        .await
        .says(400, "BadRequest", "spec.repositoryName is required");
    for answer in [
        desk.put("packages/r.net.smf", &made).await,
        desk.patch("packages/r.net.smf", crate::desk::MERGE, &json!({}))
            .await,
    ] {
        answer.says(405, "MethodNotAllowed", "");
    }
    desk.delete("packages/r.none").await.tells(
        404,
        "NotFound",
        "packages.porch.kpt.dev \"r.none\" not found",
    );
    let before = desk.everything();
    let told = desk.delete("packages/r.known").await;
    told.says(403, "Forbidden", "r.known.main");
    told.says(403, "Forbidden", "r.known.v1");
    assert_eq!(desk.everything(), before);
    desk.delete("packages/r.net.smf").await.is(200);
    assert_eq!(desk.get("packages/r.net.smf").await.code, 404);
    assert_eq!(desk.commit("drafts/net/smf/v1"), None);
    for revision in ["r.known.main", "r.known.v1"] {
        desk.turn(revision, "DeletionProposed").await.is(200);
    }
    desk.delete("packages/r.known").await.is(200);
    assert_eq!(desk.refs(), ["heads/main"]);
    assert_eq!(desk.tree("main"), ["README.md"]);
    assert!(desk.names("packagerevisions").await.is_empty());
}
