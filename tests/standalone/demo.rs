//! The demo: what a new user sees first.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

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
    names_of(porch, "packagerevisions", more)
}

fn names_of(porch: &Porch, kind: &str, more: &[&str]) -> Vec<String> {
    let printed = porch.kubectl(&[&["get", kind, "-o", "name"], more].concat());
    let name = |line: &str| line.split_once(".porch.kpt.dev/").unwrap().1.to_owned();
    printed.lines().map(name).collect()
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
fn all_kinds_are_printed_in_every_form_that_kubectl_knows() {
    let demo = demo();
    let porch = &demo.porch;
    for (kind, first, number) in [
        ("packagerevisions", "demo.basens.labels", 7),
        ("packagerevisionresources", "demo.basens.labels", 7),
        ("packages", "demo.basens", 2),
    ] {
        let lines = |words: &[&str]| {
            let printed = porch.kubectl(&[&["get", kind], words].concat());
            let lines = printed.lines().map(ToOwned::to_owned);
            lines.collect::<Vec<String>>()
        };
        let table = lines(&[]);
        assert_eq!(table.len(), number + 1);
        let cells =
            |line: &String| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        assert_eq!(cells(&table[1])[..2], [first, "basens"]);
        let alone: Vec<_> = lines(&[first]).iter().map(cells).collect();
        assert_eq!(alone, [cells(&table[0]), cells(&table[1])]);
        assert_eq!(lines(&["-A", "--no-headers"]).len(), number);
        assert!(lines(&["-o", "wide"])[0].len() >= table[0].len());
        assert_eq!(lines(&["-o", "name", "--chunk-size=2"]).len(), number);
        let names = lines(&["-o", "jsonpath={.items[*].metadata.name}"]);
        assert_eq!(names[0].split(' ').count(), number);
        let json = lines(&["-o", "json"]).concat();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["items"].as_array().unwrap().len(), number);
        let yaml = lines(&[first, "-o", "yaml"]);
        assert!(yaml.contains(&format!("  name: {first}")), "{yaml:?}");
        let explained = porch.kubectl(&["explain", &format!("{kind}.spec")]);
        assert!(explained.contains("repository"), "{explained}");
        check_watch(porch, kind, number);
    }
}

fn check_watch(porch: &Porch, kind: &str, number: usize) {
    let words = ["get", kind, "--watch", "-o", "name"];
    let mut watch = porch.kubectl_command(&words).spawn().unwrap();
    let told = BufReader::new(watch.stdout.take().unwrap()).lines();
    let told: Vec<_> = told.take(number).map(Result::unwrap).collect();
    assert!(told[0].contains("/demo.basens"), "{told:?}");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn revisions_and_their_files_are_selected_by_fields_and_labels() {
    let demo = demo();
    let kinds = ["packagerevisions", "packagerevisionresources"];
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
        for kind in kinds {
            let chosen = names_of(&demo.porch, kind, &["--field-selector", selector]);
            assert_eq!(chosen, found, "{kind} {selector}");
        }
    }
    for kind in kinds {
        // The files of a revision are chosen by the labels of the revision, though they show none.
        let latest = names_of(&demo.porch, kind, &["-l", "kpt.dev/latest-revision=true"]);
        assert_eq!(latest, ["demo.basens.labels", "demo.networking.gateway.v1"]);
        let others = names_of(&demo.porch, kind, &["-l", "!kpt.dev/latest-revision"]);
        assert_eq!(others.len(), DEMO.len() - 2, "{kind}");
        let paged = names_of(&demo.porch, kind, &["--chunk-size=2"]);
        assert_eq!(paged, DEMO, "{kind} in pages");
        let unknown = ["get", kind, "--field-selector=spec.nothing=x"];
        let told = demo.porch.kubectl_fails(&unknown);
        assert!(told.contains("is not a known field selector"), "{told}");
    }
}

#[test]
fn packages_are_selected_by_their_names() {
    let demo = demo();
    let all = ["demo.basens", "demo.networking.gateway"];
    for (words, found) in [
        (
            &["--field-selector=metadata.name=demo.basens"][..],
            &all[..1],
        ),
        (&["--field-selector=metadata.name!=demo.basens"], &all[1..]),
        (&["--field-selector=metadata.namespace=default"], &all),
        (&["-A", "--field-selector=metadata.namespace=other"], &[]),
        (&["-l", "kpt.dev/latest-revision=true"], &[]),
        (&["-l", "!kpt.dev/latest-revision"], &all),
        (&["--chunk-size=1"], &all),
    ] {
        let chosen = names_of(&demo.porch, "packages", words);
        assert_eq!(chosen, found, "{words:?}");
    }
    let unknown = ["get", "packages", "--field-selector=spec.repository=demo"];
    let told = demo.porch.kubectl_fails(&unknown);
    let why = "\"spec.repository\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert!(told.contains(why), "{told}");
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
            // It is there before it is the latest.
            ("MODIFIED", "demo.basens.v3"),
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
