//! Upstream's own client, as it is: `porchctl` named in `PORCHCTL`. It is no part of this repository, and takes minutes to
//! build (`go build ./cmd/porchctl` in its source, version 1.5.3), so this runs only when asked for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    git_server::{GitServer, git},
    process::{Porch, eventually, start},
    repository::{KPTFILE, Repository},
};

struct Desk {
    home: tempfile::TempDir,
    porch: Porch,
    program: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let program = std::env::var_os("PORCHCTL").expect("PORCHCTL names porchctl");
        let home = tempfile::tempdir().unwrap();
        let porch = start(home.path(), &["--demo"]);
        porch.until_ready("demo");
        Self {
            home,
            porch,
            program: program.into(),
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(&self.program)
            .args(words)
            .args(["--namespace", "default"])
            .env("KUBECONFIG", self.porch.kubeconfig())
            .env("HOME", self.home.path())
            .output()
            .unwrap()
    }

    /// Runs it, which must succeed, and returns what it printed.
    fn does(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "porchctl {words:?}: {told}");
        String::from_utf8(output.stdout).unwrap() + &told
    }

    /// Runs it, which must fail with these words.
    fn fails(&self, words: &[&str], why: &str) {
        let output = self.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "porchctl {words:?} succeeded");
        assert!(told.contains(why), "porchctl {words:?}: {told}");
    }

    /// Returns the columns of a listed revision behind its name.
    fn row(&self, name: &str) -> Vec<String> {
        let listed = self.does(&["rpkg", "get"]);
        let row = listed
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        let row = row.unwrap_or_else(|| panic!("no {name} in {listed}"));
        row.split_whitespace().skip(1).map(str::to_owned).collect()
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

#[test]
#[ignore = "needs porchctl, named in PORCHCTL"]
fn porchctl_does_with_packages_whatever_it_can() {
    let desk = Desk::new();
    let told = desk.does(&[
        "rpkg",
        "init",
        "app",
        "--repository=demo",
        "--workspace=v1",
        "--description=one",
    ]);
    assert_eq!(told, "demo.app.v1 created\n");
    let pulled = desk.home.path().join("pulled");
    let here = pulled.to_str().unwrap();
    desk.does(&["rpkg", "pull", "demo.app.v1", here]);
    write(
        &pulled,
        "cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n",
    );
    write(&pulled, "notes.txt", "words\n");
    let stale = desk.home.path().join("stale");
    desk.does(&["rpkg", "pull", "demo.app.v1", stale.to_str().unwrap()]);
    desk.does(&["rpkg", "push", "demo.app.v1", here]);
    desk.fails(
        &["rpkg", "push", "demo.app.v1", stale.to_str().unwrap()],
        "the object has been modified",
    );
    let files = [
        "get",
        "packagerevisionresources",
        "demo.app.v1",
        "-o=jsonpath={.spec.resources.notes\\.txt}",
    ];
    assert_eq!(desk.porch.kubectl(&files), "words\n");

    desk.fails(
        &["rpkg", "approve", "demo.app.v1"],
        "cannot change approval from Draft to Published",
    );
    desk.does(&["rpkg", "propose", "demo.app.v1"]);
    desk.does(&["rpkg", "reject", "demo.app.v1"]);
    assert_eq!(
        desk.row("demo.app.v1"),
        ["app", "v1", "0", "false", "Draft", "demo"]
    );
    desk.does(&["rpkg", "propose", "demo.app.v1"]);
    desk.does(&["rpkg", "approve", "demo.app.v1"]);
    assert_eq!(
        desk.row("demo.app.v1"),
        ["app", "v1", "1", "true", "Published", "demo"]
    );
    let git_of = desk.home.path().join("demo.git");
    let notes = git(&git_of, &["show", "main:app/notes.txt"]);
    assert_eq!(notes, "words\n");
    goes_on(&desk);
}

/// Copies and upgrades what was published, and takes it away.
fn goes_on(desk: &Desk) {
    desk.does(&[
        "rpkg",
        "clone",
        "demo.app.v1",
        "ours",
        "--repository=demo",
        "--workspace=w1",
    ]);
    desk.does(&["rpkg", "copy", "demo.app.v1", "--workspace=v2"]);
    for name in ["demo.ours.w1", "demo.app.v2"] {
        desk.does(&["rpkg", "propose", name]);
        desk.does(&["rpkg", "approve", name]);
    }
    let updates = desk.does(&["rpkg", "upgrade", "--discover=upstream"]);
    let ours = updates
        .lines()
        .find(|line| line.starts_with("demo.ours.w1"));
    assert_eq!(
        ours.unwrap().split_whitespace().last(),
        Some("v2"),
        "{updates}"
    );
    desk.does(&[
        "rpkg",
        "upgrade",
        "demo.ours.w1",
        "--workspace=w2",
        "--revision=2",
    ]);
    let lock = [
        "get",
        "packagerevisions",
        "demo.ours.w2",
        "-o=jsonpath={.status.upstreamLock.git.ref}",
    ];
    assert_eq!(desk.porch.kubectl(&lock), "app/v2");

    desk.fails(
        &["rpkg", "del", "demo.app.v1"],
        "must be proposed for deletion",
    );
    desk.does(&["rpkg", "propose-delete", "demo.ours.w1"]);
    desk.does(&["rpkg", "reject", "demo.ours.w1"]);
    desk.does(&["rpkg", "propose-delete", "demo.ours.w1"]);
    desk.does(&["rpkg", "del", "demo.ours.w1"]);
    let named = desk.does(&["rpkg", "get", "--name=ours"]);
    assert!(
        !named.contains("demo.ours.w1") && named.contains("demo.ours.w2"),
        "{named}"
    );
    let second = desk.does(&["rpkg", "get", "--revision=2"]);
    assert!(
        second.contains("demo.app.v2") && !second.contains("demo.app.v1"),
        "{second}"
    );
}

#[test]
#[ignore = "needs porchctl, named in PORCHCTL"]
fn porchctl_registers_repositories_and_clones_from_git() {
    let desk = Desk::new();
    let repository = Repository::new();
    repository.write("a/Kptfile", KPTFILE);
    repository.commit("begin");
    repository.git(&["tag", "a/v1"]);
    repository.push();
    let server = GitServer::http(repository.root());
    let url = server.url("bare.git");
    desk.does(&["repo", "reg", &url, "--name=other", "--branch=main"]);
    desk.porch.until_ready("other");
    let listed = desk.does(&["repo", "get"]);
    let row = listed
        .lines()
        .find(|line| line.starts_with("other"))
        .unwrap();
    assert!(row.contains(&url) && row.contains("True"), "{row}");
    assert_eq!(desk.row("other.a.v1")[..3], ["a", "v1", "1"]);
    desk.does(&[
        "rpkg",
        "clone",
        "other.a.v1",
        "b",
        "--repository=demo",
        "--workspace=w1",
    ]);
    desk.does(&[
        "rpkg",
        "clone",
        &url,
        "c",
        "--ref=main",
        "--directory=a",
        "--repository=demo",
        "--workspace=w1",
    ]);
    assert_eq!(desk.row("demo.c.w1")[..2], ["c", "w1"]);
    desk.does(&["repo", "unreg", "other"]);
    eventually("the repository is gone", || {
        let listed = desk.does(&["repo", "get"]);
        (!listed.contains("other")).then_some(())
    });
}
