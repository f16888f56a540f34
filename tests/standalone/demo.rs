//! The demo: what a new user sees first.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use crate::{
    git_server::git,
    process::{Porch, eventually, refused, start},
};

const DEMO: &[&str] = &[
    "demo.basens.labels",
    "demo.basens.main",
    "demo.basens.quota",
    "demo.basens.v1",
    "demo.networking.gateway.listener",
    "demo.networking.gateway.main",
    "demo.networking.gateway.v1",
];

struct Demo {
    home: tempfile::TempDir,
    porch: Porch,
}

/// Starts the demo and waits until it was read.
fn demo() -> Demo {
    let home = tempfile::tempdir().unwrap();
    let porch = start(home.path(), &["--demo"]);
    porch.until_ready("demo");
    assert_eq!(names(&porch, &[]), DEMO);
    Demo { home, porch }
}

impl Demo {
    /// Returns a clone of the demo's repository, to push from.
    fn clone(&self) -> PathBuf {
        let to = self.home.path().join("clone");
        let from = self.repository();
        git(
            self.home.path(),
            &[
                "clone",
                "--quiet",
                from.to_str().unwrap(),
                to.to_str().unwrap(),
            ],
        );
        to
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("demo.git")
    }
}

fn names(porch: &Porch, more: &[&str]) -> Vec<String> {
    let words = [&["get", "packagerevisions", "-o", "name"], more].concat();
    let prefix = "packagerevision.porch.kpt.dev/";
    let printed = porch.kubectl(&words);
    printed
        .lines()
        .map(|line| line.strip_prefix(prefix).unwrap().to_owned())
        .collect()
}

fn jsonpath(porch: &Porch, what: &str, path: &str) -> String {
    porch.kubectl(&["get", what, "-o", &format!("jsonpath={{{path}}}")])
}

#[test]
fn the_demo_is_served_to_kubectl() {
    let demo = demo();
    let porch = &demo.porch;
    let table = porch.kubectl(&["get", "packagerevisions"]);
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        [
            "NAME",
            "PACKAGE",
            "WORKSPACENAME",
            "REVISION",
            "LATEST",
            "LIFECYCLE",
            "REPOSITORY"
        ]
    );
    let row = table
        .lines()
        .find(|line| line.starts_with("demo.basens.labels"))
        .unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "demo.basens.labels",
            "basens",
            "labels",
            "2",
            "true",
            "Published",
            "demo"
        ]
    );

    let revision = "packagerevision/demo.basens.labels";
    assert_eq!(jsonpath(porch, revision, ".spec.tasks[0].type"), "edit");
    assert_eq!(
        jsonpath(porch, revision, ".spec.packageMetadata.labels.team"),
        "platform"
    );
    assert_eq!(
        jsonpath(porch, revision, ".status.selfLock.git.ref"),
        "basens/v2"
    );
    let commit = git(&demo.repository(), &["rev-parse", "basens/v2"]);
    assert_eq!(
        jsonpath(porch, revision, ".status.selfLock.git.commit"),
        commit.trim()
    );
    let version: u64 = jsonpath(porch, revision, ".metadata.resourceVersion")
        .parse()
        .unwrap();
    let list: u64 = jsonpath(porch, "packagerevisions", ".metadata.resourceVersion")
        .parse()
        .unwrap_or(version);
    assert!(version > 0 && list >= version);
    porch.kubectl(&[
        "wait",
        revision,
        "--for=jsonpath={.spec.lifecycle}=Published",
        "--timeout=10s",
    ]);

    let file = "packagerevisionresources/demo.basens.quota";
    let quota = jsonpath(porch, file, ".spec.resources.quota\\.yaml");
    let stored = git(
        &demo.repository(),
        &["show", "drafts/basens/quota:basens/quota.yaml"],
    );
    assert_eq!(quota, stored);
    let packages = porch.kubectl(&["get", "packages", "--no-headers"]);
    let rows: Vec<Vec<&str>> = packages
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["demo.basens", "basens", "demo", "2"],
            ["demo.networking.gateway", "networking/gateway", "demo", "1"]
        ]
    );
    assert!(
        porch
            .kubectl(&["explain", "packagerevision.spec"])
            .contains("packageName")
    );
    let kinds = porch.kubectl(&["api-resources", "--api-group=porch.kpt.dev", "-o", "name"]);
    assert_eq!(kinds.lines().count(), 3, "{kinds}");
    let repositories = porch.kubectl(&["get", "repositories"]);
    assert!(
        repositories.contains("True") && repositories.contains("demo.git"),
        "{repositories}"
    );
}

#[test]
fn revisions_are_selected_by_fields_and_labels() {
    let demo = demo();
    for (selector, found) in [
        ("spec.lifecycle=Draft", &["demo.basens.quota"][..]),
        (
            "spec.lifecycle=Proposed",
            &["demo.networking.gateway.listener"],
        ),
        ("spec.revision=2", &["demo.basens.labels"]),
        (
            "spec.revision=v1,spec.packageName=basens",
            &["demo.basens.v1"],
        ),
        (
            "spec.workspaceName=listener",
            &["demo.networking.gateway.listener"],
        ),
        ("spec.repository=other", &[]),
        ("metadata.name=demo.basens.v1", &["demo.basens.v1"]),
        (
            "spec.packageMetadata.labels[team]=platform,spec.revision=-1",
            &["demo.basens.main"],
        ),
    ] {
        assert_eq!(
            names(&demo.porch, &["--field-selector", selector]),
            found,
            "{selector}"
        );
    }
    let latest = names(&demo.porch, &["-l", "kpt.dev/latest-revision=true"]);
    assert_eq!(latest, ["demo.basens.labels", "demo.networking.gateway.v1"]);
    assert_eq!(names(&demo.porch, &["--chunk-size=2"]), DEMO, "in pages");
    let told =
        demo.porch
            .kubectl_fails(&["get", "packagerevisions", "--field-selector=spec.nothing=x"]);
    assert!(told.contains("is not a known field selector"), "{told}");
}

#[test]
fn a_strangers_push_reaches_a_watcher() {
    let demo = demo();
    let words = [
        "get",
        "packagerevisions",
        "--watch-only",
        "--output-watch-events",
        "--no-headers",
    ];
    let mut watch = demo.porch.kubectl_command(&words).spawn().unwrap();
    let clone = demo.clone();
    fs::write(clone.join("basens/extra.yaml"), "kind: ConfigMap\n").unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "--quiet", "-m", "extra"]);
    git(&clone, &["tag", "basens/v3"]);
    git(
        &clone,
        &[
            "push",
            "--quiet",
            "origin",
            "main",
            "basens/v3",
            ":refs/heads/drafts/basens/quota",
        ],
    );
    demo.porch.look("demo");
    eventually("the new revision is the latest", || {
        let latest = names(&demo.porch, &["-l", "kpt.dev/latest-revision=true"]);
        latest.contains(&"demo.basens.v3".to_owned()).then_some(())
    });
    eventually("the draft is gone", || {
        (!names(&demo.porch, &[]).contains(&"demo.basens.quota".to_owned())).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    watch.kill().unwrap();
    let output = watch.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut events: Vec<(&str, &str)> = printed
        .lines()
        .map(|line| line.split_whitespace())
        .map(|mut words| (words.next().unwrap(), words.next().unwrap()))
        .collect();
    events.sort_unstable();
    assert_eq!(
        events,
        [
            ("ADDED", "demo.basens.v3"),
            ("DELETED", "demo.basens.quota"),
            ("MODIFIED", "demo.basens.labels"),
            ("MODIFIED", "demo.basens.main"),
            // Its record lets go of our finalizer before it goes.
            ("MODIFIED", "demo.basens.quota"),
        ]
    );
}

#[test]
fn a_deleted_repository_takes_its_revisions_along_and_leaves_git_alone() {
    let demo = demo();
    let before = git(&demo.repository(), &["for-each-ref"]);
    demo.porch
        .kubectl(&["delete", "repository", "demo", "--timeout=30s"]);
    assert!(names(&demo.porch, &[]).is_empty());
    assert_eq!(git(&demo.repository(), &["for-each-ref"]), before);
    let mirrors = demo.home.path().join("mirrors");
    let left = fs::read_dir(&mirrors).map_or(0, Iterator::count);
    assert_eq!(left, 0, "mirrors left in {mirrors:?}");
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let demo = demo();
    let version = |porch: &Porch| -> u64 {
        let list = porch.kubectl(&[
            "get",
            "--raw",
            "/apis/porch.kpt.dev/v1alpha1/packagerevisions?limit=1",
        ]);
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let uid = jsonpath(&demo.porch, "repository/demo", ".metadata.uid");
    let before = version(&demo.porch);
    demo.porch.kill();
    let again = start(demo.home.path(), &[]);
    assert_eq!(jsonpath(&again, "repository/demo", ".metadata.uid"), uid);
    assert_eq!(names(&again, &[]), DEMO);
    assert!(version(&again) >= before);
}

#[test]
fn it_says_one_line_and_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    let porch = start(home.path(), &[]);
    let kubeconfig = home.path().join("kubeconfig");
    assert_eq!(
        porch.ready,
        format!("ready: export KUBECONFIG={}\n", kubeconfig.display())
    );
    assert_eq!(
        fs::metadata(&kubeconfig).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let second = refused(home.path(), &[]);
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(
        told.contains("in use") && told.contains(home.path().to_str().unwrap()),
        "{told}"
    );

    assert_eq!(porch.terminate_and_read(), (Some(0), String::new()));
    let again = start(home.path(), &[]);
    assert_eq!(again.terminate(), Some(0));
}
