//! A repository with everything odd in it.

#![allow(dead_code, reason = "each test program uses another part of it")]

use crate::repository::{KPTFILE, Repository};

/// A commit message as Porch writes it.
pub fn message(subject: &str, json: &str) -> String {
    format!("{subject}\n\n\nkpt:{json}\n")
}

/// A repository with everything odd in it.
pub fn odd() -> Repository {
    let repository = Repository::new();
    repository.write("README.md", "hello");
    repository.write("Kptfile", KPTFILE);
    repository.write("a/Kptfile", KPTFILE);
    repository.write("a/b/Kptfile", KPTFILE);
    repository.write("a/sub/deep/file.yaml", "x: 1\n");
    repository.write("deploy/edge/net/upf/Kptfile", KPTFILE);
    repository.write("deploy/edge/net/upf/nested/Kptfile", "not: [yaml");
    repository.write("deploy/edge2/x/Kptfile", KPTFILE);
    repository.write("broken/Kptfile", "not: [yaml");
    repository.write("directory/Kptfile/inner/Kptfile", KPTFILE);
    repository.write("directory/other/Kptfile", KPTFILE);
    repository.write("kptfile/kptfile", KPTFILE);
    repository.write("Upper_Case/Kptfile", KPTFILE);
    repository.write("ünï/Kptfile", KPTFILE);
    std::os::unix::fs::symlink("a", repository.work().join("linked")).unwrap();
    repository.write("by-link/real", KPTFILE);
    std::os::unix::fs::symlink("real", repository.work().join("by-link/Kptfile")).unwrap();
    let first = repository.commit("no annotation");
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{first},module"),
    ]);
    repository.git(&["commit", "-q", "-m", "a submodule"]);
    for tag in [
        "a/v1",
        "a/b/v1",
        "a/release-1",
        "a/v1.0.0",
        "a/02",
        "a/v-3",
        "a/v0",
        "plain",
        "foo/1.0",
        "deploy/v1",
        "deploy/edge/v1",
        "deploy/edge/net/upf/v1",
        "kptfile/v1",
        "a/V1",
        "a/vv1",
    ] {
        repository.git(&["tag", tag]);
    }
    repository.git(&["tag", "-a", "-m", "x", "a/v4"]);
    repository.git(&["tag", "-a", "-m", "x", "a/v5", "a/v4"]);
    repository.git(&["tag", "a/v6", "HEAD^{tree}"]);
    repository.git(&["branch", "drafts/foo"]);
    repository.git(&["branch", "proposed/foo"]);
    repository.git(&["branch", "drafts/a/w-early"]);
    repository.git(&["branch", "drafts/absent/w1"]);
    repository.git(&["branch", "proposed/deploy/edge/net/upf/w9"]);
    repository.git(&["branch", "deletionProposed/a/v1"]);
    repository.git(&["branch", "deletionProposed/a/v1.0.0"]);
    repository.git(&["branch", "deletionProposed/broken/main"]);
    repository.git(&["branch", "nested/release"]);
    lives(&repository);
    repository.push();
    repository
}

/// Adds revisions with a life: drafts, an approval by merge, an edit, a workspace made twice.
fn lives(repository: &Repository) {
    let init = |workspace: &str| {
        let task = r#""task":{"type":"init","init":{"description":"d"}}"#;
        message(
            "Creating new empty revision",
            &format!(r#"{{"package":"life","workspaceName":"{workspace}","revision":"0",{task}}}"#),
        )
    };
    let render = |workspace: &str| {
        message(
            "Rendering package",
            &format!(
                r#"{{"package":"life","workspaceName":"{workspace}","revision":"0","task":{{"type":"render"}}}}"#
            ),
        )
    };
    repository.git(&["checkout", "-q", "-b", "drafts/life/w1", "main"]);
    repository.write("life/Kptfile", KPTFILE);
    repository.commit(&init("w1"));
    repository.write("life/x", "1");
    let draft = repository.commit(&render("w1"));
    repository.git(&["checkout", "-q", "main"]);
    let approval = "Approving package revision life/1\n\nkpt:{\"package\":\"other\",\"workspaceName\":\"no\",\"revision\":\"1\"}\nkpt:{broken\n  kpt:{\"package\":\"life\",\"workspaceName\":\"w1\",\"revision\":\"1\"}\n";
    repository.git(&[
        "merge",
        "-q",
        "--no-ff",
        "--cleanup=verbatim",
        "-m",
        approval,
        &draft,
    ]);
    repository.git(&["tag", "life/v1"]);
    repository.git(&["branch", "-m", "drafts/life/w1", "proposed/life/w1"]);
    let edit = r#"{"package":"life","workspaceName":"w2","revision":"0","task":{"type":"edit","edit":{"sourceRef":{"name":"r.life.w1"}}}}"#;
    repository.git(&["checkout", "-q", "-b", "drafts/life/w2"]);
    repository.write("life/x", "2");
    repository.commit(&message(
        "Creating new revision by copying previous revision",
        edit,
    ));
    repository.git(&["checkout", "-q", "-b", "drafts/life/again", "main"]);
    for _ in 0..2 {
        repository.write("life/x", "3");
        repository.commit(&init("again"));
        repository.commit(&message("Intermediate commit: eval", r#"{"package":"life","workspaceName":"again","revision":"0","task":{"type":"eval","eval":{"image":"x"}}}"#));
    }
    repository.git(&["checkout", "-q", "main"]);
    repository.write("old/Kptfile", KPTFILE);
    repository.commit(&message(
        "old",
        r#"{"package":"old","revision":"v1","task":{"type":"init","init":{}}}"#,
    ));
    repository.git(&["tag", "old/v1"]);
    repository.write("after", "all of that");
    repository.commit("nobody's");
}
