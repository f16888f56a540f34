//! Revisions that begin as copies: of a registered revision, of a package anywhere in Git, of the one before.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, Examined, config_map, kptfile, merge, name},
    git_server::GitServer,
    repository::Repository,
};

fn clone_of(source: &Value) -> Value {
    json!({ "tasks": [{ "type": "clone", "clone": { "upstreamRef": source } }] })
}

fn registered(name: &str) -> Value {
    clone_of(&json!({ "upstreamRef": { "name": name } }))
}

fn foreign(repo: &str, reference: &str, directory: &str) -> Value {
    clone_of(
        &json!({ "type": "git", "git": { "repo": repo, "ref": reference, "directory": directory } }),
    )
}

fn edit_of(name: &str) -> Value {
    json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": name } } }] })
}

/// Copies of what is registered: by clone, and by edit.
pub async fn copies_of_registered_revisions(examined: &Examined) {
    let desk = Desk::open(examined, "copies").await;
    let source = desk.revision("r.known.v1").await;
    let made = desk.make("copy", "w1", registered("r.known.v1")).await;
    let lock = &made["status"]["upstreamLock"]["git"];
    let commit = desk.commit("refs/tags/known/v1").unwrap();
    assert_eq!(
        *lock,
        json!({ "repo": desk.url(), "directory": "known", "ref": "known/v1", "commit": commit })
    );
    let text = desk.at_home(&["show", "drafts/copy/w1:copy/Kptfile"]);
    for line in [
        "  name: copy",
        "upstream:",
        "    ref: known/v1",
        &format!("    commit: {commit}"),
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let map = desk.at_home(&["show", "drafts/copy/w1:copy/cm.yaml"]);
    assert!(
        map.contains("word: one # by hand"),
        "comments survive: {map}"
    );
    assert!(
        desk.at_home(&["log", "-1", "--format=%s", "drafts/copy/w1"])
            .contains("Creating new revision by cloning")
    );
    assert!(
        !desk
            .tree("drafts/copy/w1")
            .contains(&"copy/package-context.yaml".into())
    );
    assert_eq!(source["spec"]["lifecycle"], "Published");
    sources_that_will_not_do(&desk).await;
    // Who was copied stays while the copy is there.
    desk.turn("r.known.v1", "DeletionProposed").await.is(200);
    desk.delete("packagerevisions/r.known.v1").await.tells(
        403,
        "Forbidden",
        "packagerevisions.porch.kpt.dev \"r.known.v1\" is forbidden: cannot delete package revision, it is referenced as upstream by: r.copy.w1",
    );
    desk.delete("packagerevisions/r.copy.w1").await.is(200);
    desk.delete("packagerevisions/r.known.v1").await.is(200);
}

async fn sources_that_will_not_do(desk: &Desk) {
    let before = desk.everything();
    let cloned = "spec.tasks[0].clone.upstreamRef.upstreamRef.name";
    let edited = "spec.tasks[0].edit.sourceRef.name";
    for (package, spec, field, source, why) in [
        (
            "x",
            registered("none"),
            cloned,
            "none",
            "cannot find package revision \"none\"",
        ),
        (
            "x",
            registered("r.known.main"),
            cloned,
            "r.known.main",
            "upstream revision may not be the placeholder package revision r/r.known.main",
        ),
        (
            "known",
            edit_of("r.none.v1"),
            edited,
            "r.none.v1",
            "cannot find package revision \"r.none.v1\"",
        ),
        (
            "known",
            edit_of("r.copy.w1"),
            edited,
            "r.copy.w1",
            "source revision must be from same package r/known",
        ),
        (
            "copy",
            edit_of("r.copy.w1"),
            edited,
            "r.copy.w1",
            "source revision must be published",
        ),
        (
            "known",
            edit_of("r.known.main"),
            edited,
            "r.known.main",
            "source revision may not be the placeholder package revision r/r.known.main",
        ),
    ] {
        let cause = format!("{field}: Invalid value: {source:?}: {why}");
        desk.ask(package, "w9", spec).await.refuses("", &[&cause]);
    }
    assert_eq!(desk.everything(), before);
}

/// A repository elsewhere, behind a server of its own.
struct Elsewhere {
    git: Repository,
    server: GitServer,
    /// The commit of `blue/v1`.
    commit: String,
}

impl Elsewhere {
    async fn open() -> Self {
        let open = || {
            let git = Repository::new();
            git.write("blue/Kptfile", &kptfile("blue"));
            git.write("blue/cm.yaml", &config_map("tagged"));
            let commit = git.commit("Blue");
            git.git(&["tag", "blue/v1"]);
            git.git(&["tag", "-a", "-m", "It is annotated", "v9"]);
            git.write("blue/cm.yaml", &config_map("newest"));
            git.write("green/none.txt", "no package");
            git.commit("More");
            git.push();
            let server = GitServer::http(git.root());
            Self {
                git,
                server,
                commit,
            }
        };
        tokio::task::spawn_blocking(open).await.unwrap()
    }
}

/// Copies of packages that nobody registered.
pub async fn copies_from_elsewhere(examined: &Examined) {
    let desk = Desk::open(examined, "elsewhere").await;
    let there = Elsewhere::open().await;
    let (url, commit) = (there.server.url("bare.git"), there.commit.as_str());
    let head = there.git.git(&["rev-parse", "HEAD"]);
    for (number, (reference, directory, word, commit)) in [
        ("blue/v1", "blue", "tagged", commit),
        ("v1", "blue", "tagged", commit),
        ("v1", "/blue/", "tagged", commit),
        ("v9", "blue", "tagged", commit),
        ("main", "blue", "newest", &head),
        (commit, "blue", "tagged", commit),
        (&commit[..10], "blue", "tagged", commit),
    ]
    .into_iter()
    .enumerate()
    {
        let package = format!("copy{number}");
        let made = desk
            .make(&package, "w1", foreign(&url, reference, directory))
            .await;
        let map = desk.at_home(&["show", &format!("drafts/{package}/w1:{package}/cm.yaml")]);
        assert!(map.contains(&format!("word: {word}")), "{reference}: {map}");
        let lock = &made["status"]["upstreamLock"]["git"];
        assert_eq!(
            (&lock["commit"], &lock["directory"]),
            (&json!(commit), &json!("blue")),
            "{reference}"
        );
    }
    places_that_will_not_do(&desk, &there, &url).await;
    locked(&desk, &there, &url).await;
}

async fn places_that_will_not_do(desk: &Desk, there: &Elsewhere, url: &str) {
    let before = desk.everything();
    let repo = "spec.tasks[0].clone.upstreamRef.git.repo";
    for (address, words) in [
        (
            "https://me:sesame@127.0.0.1/r",
            "it must not contain credentials",
        ),
        ("ssh://git@127.0.0.1/r", "and known_hosts"),
        (
            "ssh://git:sesame@127.0.0.1/r",
            "it must not contain credentials",
        ),
        ("git://127.0.0.1/r", "scheme \"git\" is not supported"),
        ("ext::sh -c true", "it must not contain spaces"),
        ("--upload-pack=true", "it is no URL"),
        ("/etc", "it is no URL"),
        (
            "https://127.0.0.1/r?token=sesame",
            "it must not have a query",
        ),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://[fe80::1]/r", "link-local"),
        ("http://2852039166/r", "link-local"),
    ] {
        let told = desk.ask("x", "w1", foreign(address, "main", "blue")).await;
        told.says(422, "Invalid", words);
        assert_eq!(told.body["details"]["causes"][0]["field"], repo);
        assert!(!told.body.to_string().contains("sesame"), "{}", told.body);
    }
    for (reference, directory, field, words) in [
        ("none", "blue", "ref", "cannot find git reference \"none\""),
        (
            &*"0".repeat(40),
            "blue",
            "directory",
            "cannot find package blue@",
        ),
        (
            "main",
            "green",
            "directory",
            "cannot find package green@main",
        ),
        ("main", "none", "directory", "cannot find package none@main"),
        (
            "main",
            "../blue",
            "directory",
            "must be a directory of the repository",
        ),
    ] {
        let told = desk
            .ask("x", "w1", foreign(url, reference, directory))
            .await;
        told.says(422, "Invalid", words);
        let field = format!("spec.tasks[0].clone.upstreamRef.git.{field}");
        assert_eq!(told.body["details"]["causes"][0]["field"], field);
    }
    let none = there.server.url("none.git");
    desk.ask("x", "w1", foreign(&none, "main", "blue"))
        .await
        .says(422, "Invalid", "repository not found");
    // Servers of the old protocol are asked for their refs first, and may then say that they are elsewhere.
    there.server.behave(|it| {
        it.redirect = Some("http://127.0.0.1:1/other.git".into());
        it.old_protocol = true;
    });
    let told = desk.ask("x", "w1", foreign(url, "main", "blue")).await;
    told.says(422, "Invalid", "redirects to another place");
    there
        .server
        .behave(|it| (it.redirect, it.old_protocol, it.status) = (None, false, Some(503)));
    let told = desk.ask("x", "w1", foreign(url, "main", "blue")).await;
    told.says(503, "ServiceUnavailable", "cannot clone Git repository");
    assert!(told.retry_after.is_some());
    there
        .server
        .behave(|it| (it.status, it.garbage) = (None, Some(b"<html>".to_vec())));
    let told = desk.ask("x", "w1", foreign(url, "main", "blue")).await;
    assert!(matches!(told.code, 422 | 503), "{}", told.body);
    there.server.behave(|it| it.garbage = None);
    assert_eq!(desk.everything(), before);
    assert_eq!(desk.get("packagerevisions/r.x.w1").await.code, 404);
}

/// What a Secret opens.
async fn locked(desk: &Desk, there: &Elsewhere, url: &str) {
    there
        .server
        .behave(|it| it.authorization = Some("Basic bWU6c2VzYW1l".into()));
    let told = desk.ask("x", "w1", foreign(url, "main", "blue")).await;
    told.says(422, "Invalid", "authentication required");
    let with = |secret: &str| {
        let mut spec = foreign(url, "main", "blue");
        let git = spec.pointer_mut("/tasks/0/clone/upstreamRef/git").unwrap();
        merge(git, json!({ "secretRef": { "name": secret } }));
        spec
    };
    let told = desk.ask("x", "w1", with("none")).await;
    told.says(422, "Invalid", "not found");
    let field = "spec.tasks[0].clone.upstreamRef.git.secretRef.name";
    assert_eq!(told.body["details"]["causes"][0]["field"], field);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" },
        "type": "kubernetes.io/basic-auth", "stringData": { "username": "me", "password": "sesame" },
    });
    let secrets = format!("/api/v1/namespaces/{}/secrets", desk.namespace);
    desk.post(&secrets, &secret).await.is(201);
    let made = desk.make("opened", "w1", with("keys")).await;
    assert!(!made.to_string().contains("sesame"));
    there.server.behave(|it| it.authorization = None);
}

/// Deployment repositories say of each clone where it is deployed; parents say below what.
pub async fn deployments_and_parents(examined: &Examined) {
    let desk = Desk::open(examined, "deployment").await;
    let other = Desk::bare(examined, "deployment-other").await;
    other.git.write("README.md", "Deployed.\n");
    other.git.commit("First");
    other.git.push();
    let git = json!({ "deployment": true, "git": { "repo": other.url() } });
    desk.register("live", git).await;
    desk.until_ready("live").await;
    let mut spec = registered("r.known.v1");
    merge(&mut spec, json!({ "repository": "live" }));
    let made = desk.make("site", "w1", spec).await;
    assert_eq!(name(&made), "live.site.w1");
    let files = desk.files("live.site.w1").await["spec"]["resources"].clone();
    let context = files["package-context.yaml"].as_str().unwrap();
    for line in [
        "kind: ConfigMap",
        "name: kptfile.kpt.dev",
        "  name: site",
        "  package-path: site",
    ] {
        assert!(context.contains(line), "{line} is not in\n{context}");
    }
    assert!(
        other
            .tree("drafts/site/w1")
            .contains(&"site/package-context.yaml".into())
    );
    desk.make("house", "w1", json!({})).await;
    let mut below = registered("r.known.v1");
    merge(
        &mut below,
        json!({ "repository": "live", "parent": { "name": "r.house.w1" } }),
    );
    desk.make("room", "w1", below.clone()).await;
    let files = desk.files("live.room.w1").await["spec"]["resources"].clone();
    let context = files["package-context.yaml"].as_str().unwrap();
    assert!(context.contains("  package-path: house/room"), "{context}");
    merge(&mut below, json!({ "parent": { "name": "live.none.w1" } }));
    let told = desk.ask("attic", "w1", below).await;
    told.refuses("", &["spec.parent.name: Invalid value: \"live.none.w1\": cannot find package revision \"live.none.w1\""]);
    // The same package name in another repository is another package.
    desk.make("site", "w1", json!({})).await;
}
