//! Repositories that ask for what can't be, and repositories that hold what should not be: each is told, by field or
//! place, and nothing else suffers.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    git_server::GitServer,
    process::{API, Porch, eventually, repository, start},
    repository::{KPTFILE, Repository, copy_objects, raw_tree},
};

/// Returns the message of a condition of a Repository, once it has this reason.
fn message(porch: &Porch, name: &str, reason: &str) -> String {
    let path = format!("jsonpath={{.status.conditions[?(@.reason==\"{reason}\")].message}}");
    eventually(&format!("{name} has the reason {reason}"), || {
        let told = porch.kubectl(&["get", "repository", name, "-o", &path]);
        (!told.is_empty()).then_some(told)
    })
}

#[test]
fn repositories_that_cannot_be_are_told_by_their_field_and_never_with_a_password() {
    let home = tempfile::tempdir().unwrap();
    let git = Repository::new();
    git.write("a/Kptfile", KPTFILE);
    git.commit("a package");
    git.push();
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &[]);
    let url = server.url("bare.git");
    porch.applied(&repository("good", &url, "    directory: /\n"));
    porch.until_ready("good");
    for (name, url, more, expected) in [
        ("scheme", "ftp://example.com/x.git", "", "spec.git.repo"),
        ("ssh", "git@example.com:x.git", "", "known_hosts"),
        (
            "password",
            "https://me:sesame@localhost/x.git",
            "",
            "spec.git.repo",
        ),
        (
            "user",
            "https://sesame@localhost/x.git",
            "",
            "spec.git.repo",
        ),
        (
            "query",
            "https://localhost/x.git?token=sesame",
            "",
            "spec.git.repo",
        ),
        ("gone", &server.url("nothing.git"), "", "not found"),
        ("closed", "http://localhost:1/x.git", "", "localhost:1"),
        (
            "branch",
            &url,
            "    branch: absent\n",
            "branch \"absent\" not found",
        ),
        ("odd", &url, "    branch: \"a..b\"\n", "spec.git.branch"),
        ("out", &url, "    directory: ../etc\n", "spec.git.directory"),
        ("type", &url, "  type: oci\n", "spec.type"),
    ] {
        let manifest = repository(name, url, more).replace("  type: git\n  git:", "  git:");
        let manifest = if more.contains("type") {
            manifest
        } else {
            repository(name, url, more)
        };
        let applied = porch.apply(&manifest);
        let refused = String::from_utf8(applied.stderr).unwrap();
        let said = if applied.status.success() {
            message(&porch, name, "Error")
        } else {
            refused
        };
        assert!(said.contains(expected), "{name}: {said}");
    }
    for (field, value) in [
        ("branch", json!("other")),
        ("directory", json!("b")),
        ("repo", json!("https://example.com/y.git")),
    ] {
        let patch = json!({"spec": {"git": {field: value}}}).to_string();
        let told =
            porch.kubectl_fails(&["patch", "repository", "good", "--type=merge", "-p", &patch]);
        assert!(
            told.contains("immutable") && told.contains("spec"),
            "{field}: {told}"
        );
    }
    let left = porch.kubectl(&["get", "packagerevisions", "-o", "name"]);
    assert_eq!(
        left, "packagerevision.porch.kpt.dev/good.a.main\n",
        "nothing else suffers"
    );
    let told = porch.log() + &porch.kubectl(&["get", "events", "-A", "-o", "yaml"]);
    assert!(!told.contains("sesame"), "{told}");
    let metrics = porch.kubectl(&["get", "--raw", "/metrics"]);
    let failed =
        "porch_repository_sync_failures_total{namespace=\"default\",repository=\"gone\"} 1";
    assert!(metrics.contains(failed), "{metrics}");
}

/// Returns an alias bomb: a few lines that would be gigabytes.
fn bomb() -> String {
    let mut lines =
        "apiVersion: kpt.dev/v1\nkind: Kptfile\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let one = format!("*a{}", level - 1);
        let nine = [one.as_str(); 9].join(", ");
        writeln!(lines, "a{level}: &a{level} [{nine}]").unwrap();
    }
    lines
}

/// Makes a repository that holds what should not be, beside a good package.
fn harmful() -> Repository {
    let git = Repository::new();
    let write = |path: &str, content: &[u8]| {
        git.write(path, "");
        std::fs::write(git.work().join(path), content).unwrap();
    };
    write("good/Kptfile", KPTFILE.as_bytes());
    write("good/logo,1.png", b"\x89PNG\r\n\xff");
    write("good/crlf.yaml", b"a: 1\r\nb: \"\xc3\xa9\"\r\n");
    write("good/A.yaml", b"upper: 1\n");
    write("good/a.yaml", b"lower: 1\n");
    std::os::unix::fs::symlink("/etc/passwd", git.work().join("good/link")).unwrap();
    write("not-yaml/Kptfile", b"not: [yaml");
    write(
        "latin/Kptfile",
        b"apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: \xe9\n",
    );
    write("bomb/Kptfile", bomb().as_bytes());
    write(
        "huge/Kptfile",
        format!("{KPTFILE}# {}\n", "x".repeat(2 << 20)).as_bytes(),
    );
    write(
        "other/Kptfile",
        KPTFILE.replace("name: x", "name: ../../another").as_bytes(),
    );
    write("Twin/Kptfile", KPTFILE.as_bytes());
    write("twin/Kptfile", KPTFILE.as_bytes());
    let first = git.commit("harm");
    git.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{first},good/module"),
    ]);
    git.git(&["commit", "-q", "-m", "a submodule"]);
    for tag in ["good/v1", "good/final", "release-1", "nothing/here/v1"] {
        git.git(&["tag", tag]);
    }
    git.git(&["branch", "drafts/nopackage"]);
    git.git(&["branch", "drafts/absent/w"]);
    git.push();
    hostile_refs(&git);
    git
}

/// Adds refs that git would not write: a tree that leads out of itself, and a commit that is larger than any.
fn hostile_refs(git: &Repository) {
    let blob = git.git(&["rev-parse", "HEAD:good/Kptfile"]);
    let escape = raw_tree(
        git,
        &[("100644", "..", &blob), ("100644", "Kptfile", &blob)],
    );
    let root = raw_tree(git, &[("40000", "escape", &escape)]);
    let commit = git.git(&["commit-tree", "-m", "out", &root]);
    let words = git.root().join("words");
    std::fs::write(&words, "x".repeat(40 << 20)).unwrap();
    let large = git.git(&["commit-tree", "-F", words.to_str().unwrap(), "HEAD^{tree}"]);
    copy_objects(
        &git.work().join(".git/objects"),
        &git.bare().join("objects"),
    );
    git.update_refs(&[
        ("refs/tags/escape/v1".into(), commit),
        ("refs/tags/good/v2".into(), large),
    ]);
}

#[test]
fn packages_that_mean_harm_are_told_and_hide_nothing() {
    let home = tempfile::tempdir().unwrap();
    let git = harmful();
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &[]);
    porch.applied(&repository("r", &server.url("bare.git"), ""));
    porch.until_ready("r");
    let names = porch.kubectl(&[
        "get",
        "packagerevisions",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ]);
    let names: Vec<_> = names.split(' ').collect();
    assert_eq!(
        names,
        [
            "r.bomb.main",
            "r.escape.v1",
            "r.good.final",
            "r.good.main",
            "r.good.v1",
            "r.huge.main",
            "r.latin.main",
            "r.not-yaml.main",
            "r.other.main",
            "r.twin.main",
        ]
    );
    let skipped = message(&porch, "r", "Skipped");
    for place in [
        "refs/heads/main:Twin: ",
        "refs/heads/drafts/nopackage: ",
        "refs/heads/drafts/absent/w:absent: ",
        "refs/tags/good/v2: it cannot be read",
    ] {
        assert!(skipped.contains(place), "{place}: {skipped}");
    }
    for (name, expected) in [
        ("bomb", "Kptfile"),
        ("huge", "bytes"),
        ("latin", "UTF-8"),
        ("not-yaml", "Kptfile"),
    ] {
        let revision = porch.raw(&format!("{API}/packagerevisions/r.{name}.main"));
        let told = revision["status"]["conditions"].to_string();
        assert!(told.contains(expected), "{name}: {revision:#}");
    }
    check_contents(&porch);
    // What could not be read is not forgotten when it can be.
    git.git(&["tag", "good/v2", "HEAD"]);
    git.git(&[
        "push",
        "-q",
        "--force",
        git.bare().to_str().unwrap(),
        "refs/tags/good/v2",
    ]);
    porch.look("r");
    let latest = porch.kubectl(&[
        "get",
        "packagerevisions",
        "-l",
        "kpt.dev/latest-revision=true",
        "-o",
        "name",
    ]);
    assert!(latest.contains("r.good.v2"), "{latest}");
}

fn check_contents(porch: &Porch) {
    let files =
        |name: &str| -> Value { porch.raw(&format!("{API}/packagerevisionresources/{name}")) };
    let good = files("r.good.main");
    let resources = &good["spec"]["resources"];
    let names: Vec<_> = resources.as_object().unwrap().keys().collect();
    assert_eq!(names, ["A.yaml", "Kptfile", "a.yaml", "crlf.yaml", "link"]);
    assert_eq!(resources["crlf.yaml"], "a: 1\r\nb: \"é\"\r\n");
    assert_eq!(
        resources["link"], "/etc/passwd",
        "a link is its target, never followed"
    );
    assert_eq!(
        good["metadata"]["annotations"]["porch.kpt.dev/binary-files"],
        "logo,1.png"
    );
    let escape = files("r.escape.v1");
    assert_eq!(escape["spec"]["resources"], Value::Null);
    let why = &escape["metadata"]["annotations"]["porch.kpt.dev/unreadable"];
    assert!(why.as_str().unwrap().contains("\"..\""), "{escape}");
    let latin = files("r.latin.main");
    assert_eq!(
        latin["metadata"]["annotations"]["porch.kpt.dev/binary-files"],
        "Kptfile"
    );
    let table = porch.kubectl(&["get", "packagerevisionresources", "--no-headers"]);
    assert_eq!(table.lines().count(), 10, "{table}");
}
