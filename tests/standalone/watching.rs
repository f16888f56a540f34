//! A stranger pushes, and everybody who watches hears of it, of revisions, of their files and of packages alike.

use serde_json::Value;

use crate::{
    git_server::GitServer,
    process::{API, Porch, repository, start},
    repository::{KPTFILE, Repository},
};

/// A server, and a repository over smart HTTP that a stranger pushes to.
struct World {
    porch: Porch,
    git: Repository,
    _server: GitServer,
    _home: tempfile::TempDir,
}

fn world() -> World {
    let home = tempfile::tempdir().unwrap();
    let git = Repository::new();
    git.write("a/Kptfile", KPTFILE);
    git.write("b/Kptfile", KPTFILE);
    git.commit("two packages");
    git.git(&["tag", "a/v1"]);
    git.push();
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &[]);
    porch.applied(&repository("r", &server.url("bare.git"), ""));
    porch.until_ready("r");
    World {
        porch,
        git,
        _server: server,
        _home: home,
    }
}

fn revision(object: &Value) -> String {
    let latest = &object["metadata"]["labels"]["kpt.dev/latest-revision"];
    format!(
        "{} {} {}{}",
        object["metadata"]["name"].as_str().unwrap(),
        object["spec"]["revision"].as_i64().unwrap_or_default(),
        object["spec"]["lifecycle"].as_str().unwrap(),
        if *latest == "true" { " latest" } else { "" }
    )
}

fn files(object: &Value) -> String {
    let files = object["spec"]["resources"].as_object().unwrap();
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    format!(
        "{} {}",
        object["metadata"]["name"].as_str().unwrap(),
        names.join(",")
    )
}

fn package(object: &Value) -> String {
    let latest = object["status"]["latestRevision"].as_i64();
    format!(
        "{} {}",
        object["metadata"]["name"].as_str().unwrap(),
        latest.unwrap_or_default()
    )
}

impl World {
    /// Pushes, and has the server look.
    fn push(&self) {
        self.git.push();
        self.porch.look("r");
    }
}

#[test]
fn the_life_of_a_revision_in_git_is_told_step_by_step() {
    let world = world();
    let (porch, git) = (&world.porch, &world.git);
    let push = || world.push();
    let all = porch.watch("packagerevisions", "");
    let drafts = porch.watch("packagerevisions", "fieldSelector=spec.lifecycle%3DDraft");
    let latest = porch.watch(
        "packagerevisions",
        "labelSelector=kpt.dev/latest-revision%3Dtrue",
    );
    git.git(&["checkout", "-q", "-b", "drafts/a/w"]);
    git.write("a/x.yaml", "x: 1\n");
    let first = git.commit("a draft");
    push();
    all.next(&["ADDED r.a.w 0 Draft"], revision);
    git.write("a/x.yaml", "x: 2\n");
    git.commit("more of it");
    push();
    all.next(&["MODIFIED r.a.w 0 Draft"], revision);
    git.git(&["branch", "-m", "proposed/a/w"]);
    push();
    all.next(&["MODIFIED r.a.w 0 Proposed"], revision);
    git.git(&["reset", "-q", "--hard", &first]);
    push();
    all.next(&["MODIFIED r.a.w 0 Proposed"], revision);

    publish(git);
    push();
    // Nothing is marked as the latest that did not claim it before.
    all.next(
        &[
            "MODIFIED r.a.w 2 Published",
            "MODIFIED r.a.v1 1 Published",
            "MODIFIED r.a.main -1 Published",
            "MODIFIED r.a.w 2 Published latest",
        ],
        revision,
    );
    git.git(&["branch", "deletionProposed/a/v2"]);
    push();
    all.next(&["MODIFIED r.a.w 2 DeletionProposed latest"], revision);
    git.git(&["branch", "-D", "deletionProposed/a/v2"]);
    push();
    all.next(&["MODIFIED r.a.w 2 Published latest"], revision);
    git.git(&["tag", "-d", "a/v2"]);
    push();
    // Its record lets go of our finalizer before it goes.
    all.next(
        &[
            "MODIFIED r.a.w 2 Published latest",
            "DELETED r.a.w 2 Published latest",
            "MODIFIED r.a.v1 1 Published",
            "MODIFIED r.a.v1 1 Published latest",
        ],
        revision,
    );
    assert!(all.is_silent());
    // What leaves a selection is deleted for those who follow it, as it was when it was in; what enters it is added.
    drafts.next(
        &[
            "ADDED r.a.w 0 Draft",
            "MODIFIED r.a.w 0 Draft",
            "DELETED r.a.w 0 Draft",
        ],
        revision,
    );
    let published = "MODIFIED r.a.w 2 Published latest";
    latest.next(
        &[
            "DELETED r.a.v1 1 Published latest",
            "ADDED r.a.w 2 Published latest",
            "MODIFIED r.a.w 2 DeletionProposed latest",
            published,
            published,
            "DELETED r.a.w 2 Published latest",
            "ADDED r.a.v1 1 Published latest",
        ],
        revision,
    );
}

/// Publishes the proposal as upstream does: a merge into the branch, a tag, and the proposal is gone.
fn publish(git: &Repository) {
    git.git(&["checkout", "-q", "main"]);
    let line = r#"kpt:{"package":"a","workspaceName":"w","revision":"2"}"#;
    let words = format!("Approve a/2\n\n{line}\n");
    git.git(&[
        "merge",
        "-q",
        "--no-ff",
        "--cleanup=verbatim",
        "-m",
        &words,
        "proposed/a/w",
    ]);
    git.git(&["tag", "a/v2"]);
    git.git(&["branch", "-D", "proposed/a/w"]);
}

#[test]
fn files_and_packages_are_watched_too_and_a_placeholder_moves_with_its_tree_only() {
    let world = world();
    let (porch, git) = (&world.porch, &world.git);
    let version = |what: &str| {
        let object = porch.raw(&format!("{API}/packagerevisions/{what}"));
        object["metadata"]["resourceVersion"].to_string()
    };
    let revisions = porch.watch("packagerevisions", "");
    let contents = porch.watch("packagerevisionresources", "");
    let packages = porch.watch("packages", "");
    let before = version("r.b.main");
    git.write("a/new.yaml", "n: 1\n");
    git.write("c/Kptfile", KPTFILE);
    git.commit("another file, another package");
    git.git(&["tag", "c/v1"]);
    world.push();
    revisions.next(
        &[
            "MODIFIED r.a.main -1 Published",
            "ADDED r.c.main -1 Published",
            "ADDED r.c.v1 1 Published latest",
        ],
        revision,
    );
    contents.next(
        &[
            "MODIFIED r.a.main Kptfile,new.yaml",
            "ADDED r.c.main Kptfile",
            "ADDED r.c.v1 Kptfile",
        ],
        files,
    );
    packages.next(&["ADDED r.c 0", "MODIFIED r.c 1"], package);
    assert_eq!(
        version("r.b.main"),
        before,
        "the branch moved, not its tree"
    );

    git.git(&["checkout", "-q", "--orphan", "other"]);
    git.git(&["rm", "-rqf", "."]);
    git.write("b/Kptfile", KPTFILE);
    git.commit("another history");
    git.git(&["branch", "-M", "main"]);
    git.git(&["tag", "-d", "c/v1"]);
    world.push();
    let gone = ["r.a.main", "r.c.main", "r.c.v1"];
    assert_eq!(revisions.next_deleted(3), gone);
    assert_eq!(contents.next_deleted(3), gone);
    assert_eq!(packages.next_deleted(1), ["r.c"]);
    assert_eq!(version("r.b.main"), before);
    world
        .porch
        .kubectl(&["delete", "repository", "r", "--timeout=30s"]);
    assert_eq!(revisions.next_deleted(2), ["r.a.v1", "r.b.main"]);
    assert_eq!(packages.next_deleted(2), ["r.a", "r.b"]);
}
