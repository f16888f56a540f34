//! Package revisions: what the room finds is what git's command line says is there, on repositories of the world and on
//! ones made to hold everything odd.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use porch::{
    api::Task,
    git::{
        Error, File, Found, Limits, Mirror, Reading, RefKind, Scan, Scanner, Scope, classify,
        file_count, files, lifecycle, list_refs, paths,
    },
    package::Lifecycle,
};
use serde_json::Value;

use crate::{
    git_server::{GitServer, git, git_command},
    repository::{KPTFILE, Repository, sync},
};

/// One line for each revision: ref, directory, workspace, revision, commit, tree, Kptfile, lifecycle.
fn lines(scan: &Scan) -> BTreeSet<String> {
    let line = |found: &Found| {
        format!(
            "{} {} {} {} {} {} {} {}",
            found.reference,
            found.directory,
            found.workspace,
            found.revision,
            found.commit,
            found.tree,
            found.kptfile.blob,
            found.lifecycle
        )
    };
    let all: BTreeSet<_> = scan.found.iter().map(line).collect();
    assert_eq!(all.len(), scan.found.len(), "nothing is found twice");
    all
}

/// Runs git with lines on its standard input, and returns the lines it prints.
fn ask(bare: &Path, arguments: &[&str], input: &[String]) -> Vec<String> {
    let mut child = git_command(bare)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = input
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_string)
        .collect()
}

/// What git's command line says of a repository, counted without our code.
struct Count {
    bare: PathBuf,
    branch: String,
    directory: String,
    refs: BTreeMap<String, String>,
}

impl Count {
    fn of(bare: &Path, branch: &str, directory: &str) -> Self {
        let format =
            "--format=%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)";
        let text = git(bare, &["for-each-ref", format, "refs/heads", "refs/tags"]);
        let mut refs = BTreeMap::new();
        for line in text.lines() {
            let parts: Vec<_> = line.split(' ').collect();
            match (parts[1], parts.get(3).copied().unwrap_or_default()) {
                ("commit", _) => refs.insert(parts[0].to_string(), parts[2].to_string()),
                ("tag", "commit") => refs.insert(parts[0].to_string(), parts[4].to_string()),
                _ => None,
            };
        }
        Self {
            bare: bare.into(),
            branch: branch.into(),
            directory: directory.into(),
            refs,
        }
    }

    fn expected(&self) -> BTreeSet<String> {
        let mut all = self.placeholders();
        all.extend(self.refs_with_packages());
        all
    }

    fn state(&self, directory: &str, last: &str) -> &'static str {
        let mark = format!("refs/heads/deletionProposed/{directory}/{last}");
        if self.refs.contains_key(&mark) {
            "DeletionProposed"
        } else {
            "Published"
        }
    }

    fn is_within(&self, directory: &str) -> bool {
        self.directory.is_empty()
            || directory == self.directory
            || directory.starts_with(&format!("{}/", self.directory))
    }

    /// Packages on the branch, from the full list of its files.
    fn placeholders(&self) -> BTreeSet<String> {
        let Some(head) = self.refs.get(&format!("refs/heads/{}", self.branch)) else {
            return BTreeSet::new();
        };
        let listing = git(
            &self.bare,
            &["ls-tree", "-r", "-t", "-z", "--full-tree", head],
        );
        let (mut trees, mut kptfiles) = (BTreeMap::new(), BTreeMap::new());
        for entry in listing.split('\0').filter(|entry| !entry.is_empty()) {
            let (facts, path) = entry.split_once('\t').unwrap();
            let facts: Vec<_> = facts.split(' ').collect();
            match facts[1] {
                "tree" => {
                    trees.insert(path, facts[2]);
                }
                "blob" if path.ends_with("/Kptfile") => {
                    kptfiles.insert(path.strip_suffix("/Kptfile").unwrap(), facts[2]);
                }
                _ => {}
            }
        }
        kptfiles.retain(|path, _| self.is_within(path) && *path != self.directory);
        let nested = |path: &str| {
            path.match_indices('/')
                .any(|(at, _)| kptfiles.contains_key(&path[..at]))
        };
        let outermost = kptfiles.iter().filter(|(path, _)| !nested(path));
        outermost
            .map(|(path, blob)| {
                let (branch, state) = (&self.branch, self.state(path, &self.branch));
                format!(
                    "refs/heads/{branch} {path} {branch} -1 {head} {} {blob} {state}",
                    trees[path]
                )
            })
            .collect()
    }

    /// Tags, drafts and proposals whose commit has a Kptfile where their name says.
    fn refs_with_packages(&self) -> BTreeSet<String> {
        let mut candidates = Vec::new();
        for (name, commit) in &self.refs {
            for (prefix, state) in [
                ("refs/tags/", ""),
                ("refs/heads/drafts/", "Draft"),
                ("refs/heads/proposed/", "Proposed"),
            ] {
                let parts = name
                    .strip_prefix(prefix)
                    .and_then(|rest| rest.rsplit_once('/'));
                if let Some((directory, last)) =
                    parts.filter(|(directory, _)| self.is_within(directory))
                {
                    candidates.push((name, commit, directory, last, state));
                }
            }
        }
        let ids = |path: &str| -> Vec<String> {
            let input: Vec<_> = candidates
                .iter()
                .map(|(_, commit, directory, ..)| format!("{commit}:{directory}{path}"))
                .collect();
            ask(&self.bare, &["cat-file", "--batch-check"], &input)
        };
        let (kptfiles, trees) = (ids("/Kptfile"), ids(""));
        let mut all = BTreeSet::new();
        for ((candidate, kptfile), tree) in candidates.iter().zip(kptfiles).zip(trees) {
            let (name, commit, directory, last, state) = *candidate;
            let [blob, "blob", _] = kptfile.split(' ').collect::<Vec<_>>()[..] else {
                continue;
            };
            let tree = tree.split(' ').next().unwrap();
            let (workspace, revision, state) = match state {
                "" => self.published(commit, directory, last),
                state => (last.to_string(), 0, state),
            };
            all.insert(format!(
                "{name} {directory} {workspace} {revision} {commit} {tree} {blob} {state}"
            ));
        }
        all
    }

    fn published(&self, commit: &str, directory: &str, last: &str) -> (String, i64, &'static str) {
        let Ok(number) = last.strip_prefix('v').unwrap_or(last).parse::<i64>() else {
            return (last.into(), -1, self.state(directory, last));
        };
        let message = git(&self.bare, &["log", "-1", "--format=%B", commit]);
        let named = annotations(&message).into_iter().find_map(|line| {
            let workspace = line["workspaceName"].as_str().unwrap_or_default();
            (line["package"] == directory && !workspace.is_empty()).then(|| workspace.to_string())
        });
        let state = self.state(directory, &format!("v{number}"));
        (named.unwrap_or_else(|| format!("v{number}")), number, state)
    }

    /// Finds the creation task by reading the log from a commit backwards, as git prints it.
    fn task(&self, found: &Found) -> Option<Value> {
        let log = git(&self.bare, &["log", "--format=%B", &found.commit]);
        annotations(&log).into_iter().find_map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_string();
            let workspace = if text("workspaceName").is_empty() {
                text("revision")
            } else {
                text("workspaceName")
            };
            let creates = matches!(
                line["task"]["type"].as_str(),
                Some("init" | "clone" | "edit" | "upgrade")
            );
            let ours = line["package"] == found.directory.as_str() && workspace == found.workspace;
            (creates && ours).then(|| line["task"].clone())
        })
    }

    /// Compares everything.
    fn check(&self, scan: &Scan) {
        let (found, expected) = (lines(scan), self.expected());
        let of = format!("of {} {:?}", self.branch, self.directory);
        let missing: Vec<_> = expected.difference(&found).collect();
        let invented: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "{of}\nmissing: {missing:#?}\ninvented: {invented:#?}"
        );
        for found in &scan.found {
            let task = found.task.as_ref().map(|task| task.type_.clone());
            let wanted = self
                .task(found)
                .map(|task| task["type"].as_str().unwrap().to_string());
            assert_eq!(task, wanted, "{} {}", found.reference, found.directory);
            let wanted = git(&self.bare, &["cat-file", "blob", &found.kptfile.blob]);
            assert_eq!(
                found.kptfile.problem.is_empty(),
                wanted.contains("kind: Kptfile"),
                "{}",
                found.reference
            );
            if found.reference != format!("refs/heads/{}", self.branch) {
                let format = "--format=%ae %at";
                let seconds = found.author_time.unwrap().as_second();
                let author = format!("{} {seconds}", found.author_email);
                assert_eq!(
                    author,
                    git(&self.bare, &["log", "-1", format, &found.commit]).trim()
                );
            }
        }
    }
}

fn annotations(message: &str) -> Vec<Value> {
    let lines = message
        .lines()
        .filter_map(|line| line.trim().strip_prefix("kpt:"));
    lines
        .filter_map(|json| serde_json::from_str(json).ok())
        .collect()
}

fn bundles() -> Vec<PathBuf> {
    let directory = std::env::var_os("PORCH_TEST_BUNDLES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let entries = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "bundle"));
    found.sort();
    found
}

#[test]
fn repositories_of_the_world_hold_what_git_says() {
    for bundle in bundles() {
        let repository = Repository::of_bundle(&bundle);
        let server = GitServer::http(repository.root());
        let address = porch::git::Address::parse(&server.url("bare.git"), false).unwrap();
        let access = porch::git::Access::anonymous(address);
        let mut total = 0;
        for (branch, directory) in [
            ("main", ""),
            ("main", "nephio"),
            ("main", "workloads/oai"),
            ("v6", "infra"),
            ("absent", ""),
        ] {
            let count = Count::of(&repository.bare(), branch, directory);
            let (_, refs, scan) = sync(
                &access,
                &repository.mirror(),
                &Scope::new(branch, directory),
            );
            count.check(&scan);
            assert_eq!(
                scan.head.as_deref(),
                refs.get(&format!("refs/heads/{branch}"))
                    .map(|target| target.commit.as_str())
            );
            total += scan.found.len();
        }
        assert!(total > 20, "{} holds something", bundle.display());
    }
}

/// A commit message as Porch writes it.
fn message(subject: &str, json: &str) -> String {
    format!("{subject}\n\n\nkpt:{json}\n")
}

/// A repository with everything odd in it.
fn odd() -> Repository {
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

#[test]
fn a_repository_with_everything_odd_holds_what_git_says() {
    let repository = odd();
    for (branch, directory) in [
        ("main", ""),
        ("main", "deploy/edge"),
        ("main", "deploy"),
        ("main", "a"),
        ("nested/release", ""),
        ("main", "absent"),
        ("main", "README.md"),
    ] {
        let mut count = Count::of(&repository.bare(), branch, directory);
        let chain = "refs/tags/a/v5";
        count.refs.remove(chain);
        let (_, _, scan) = sync(
            &repository.file(),
            &repository.mirror(),
            &Scope::new(branch, directory),
        );
        count.check(&scan);
    }
}

fn find<'a>(scan: &'a Scan, reference: &str, directory: &str) -> &'a Found {
    let mut all = scan
        .found
        .iter()
        .filter(|found| found.reference == reference && found.directory == directory);
    let found = all
        .next()
        .unwrap_or_else(|| panic!("{reference} {directory} was found"));
    assert!(all.next().is_none());
    found
}

#[test]
fn what_is_passed_over_is_told_with_its_reason() {
    let repository = odd();
    let (_, _, scan) = sync(
        &repository.file(),
        &repository.mirror(),
        &Scope::new("main", ""),
    );
    let told: BTreeSet<_> = scan
        .skipped
        .iter()
        .map(|skipped| format!("{} {:?}", skipped.reference, skipped.path))
        .collect();
    let want = [
        "refs/heads/drafts/absent/w1 \"absent\"",
        "refs/heads/drafts/foo \"\"",
        "refs/heads/main \"\"",
        "refs/heads/main \"directory/Kptfile\"",
        "refs/heads/proposed/foo \"\"",
        "refs/tags/a/v5 \"a\"",
        "refs/tags/a/v6 \"a\"",
    ];
    assert_eq!(told, want.map(str::to_string).into());
    assert!(scan.skipped.iter().all(|skipped| !skipped.why.is_empty()));
}

#[test]
fn workspaces_tasks_authors_and_states_come_from_commits_and_refs() {
    let repository = odd();
    let (_, _, scan) = sync(
        &repository.file(),
        &repository.mirror(),
        &Scope::new("main", ""),
    );
    for (reference, directory, workspace, revision, state, task) in [
        (
            "refs/tags/life/v1",
            "life",
            "w1",
            1,
            Lifecycle::Published,
            Some("init"),
        ),
        (
            "refs/heads/proposed/life/w1",
            "life",
            "w1",
            0,
            Lifecycle::Proposed,
            Some("init"),
        ),
        (
            "refs/heads/drafts/life/w2",
            "life",
            "w2",
            0,
            Lifecycle::Draft,
            Some("edit"),
        ),
        (
            "refs/heads/drafts/life/again",
            "life",
            "again",
            0,
            Lifecycle::Draft,
            Some("init"),
        ),
        (
            "refs/tags/old/v1",
            "old",
            "v1",
            1,
            Lifecycle::Published,
            Some("init"),
        ),
        (
            "refs/heads/main",
            "life",
            "main",
            -1,
            Lifecycle::Published,
            None,
        ),
        (
            "refs/heads/main",
            "broken",
            "main",
            -1,
            Lifecycle::DeletionProposed,
            None,
        ),
        (
            "refs/tags/a/v1",
            "a",
            "v1",
            1,
            Lifecycle::DeletionProposed,
            None,
        ),
        (
            "refs/tags/a/v1.0.0",
            "a",
            "v1.0.0",
            -1,
            Lifecycle::DeletionProposed,
            None,
        ),
        ("refs/tags/a/02", "a", "v2", 2, Lifecycle::Published, None),
        ("refs/tags/a/v4", "a", "v4", 4, Lifecycle::Published, None),
        (
            "refs/tags/a/b/v1",
            "a/b",
            "v1",
            1,
            Lifecycle::Published,
            None,
        ),
        (
            "refs/heads/drafts/a/w-early",
            "a",
            "w-early",
            0,
            Lifecycle::Draft,
            None,
        ),
    ] {
        let found = find(&scan, reference, directory);
        let task = task.map(str::to_string);
        assert_eq!(
            (found.workspace.as_str(), found.revision),
            (workspace, revision),
            "{reference}"
        );
        assert_eq!(found.lifecycle, state, "{reference}");
        assert_eq!(
            found.task.as_ref().map(|task: &Task| task.type_.clone()),
            task,
            "{reference}"
        );
    }
    let edit = find(&scan, "refs/heads/drafts/life/w2", "life")
        .task
        .clone()
        .unwrap();
    assert_eq!(edit.edit.unwrap().source_ref.unwrap().name, "r.life.w1");
    let placeholder = find(&scan, "refs/heads/main", "life");
    assert_eq!(placeholder.author_email, "author@example.com");
    let approval = find(&scan, "refs/tags/life/v1", "life");
    assert_eq!(placeholder.author_time, approval.author_time);
    let bare = find(&scan, "refs/heads/main", "a");
    assert_eq!((bare.author_email.as_str(), bare.author_time), ("", None));
    let broken = find(&scan, "refs/heads/main", "broken");
    assert!(!broken.kptfile.problem.is_empty());
}

#[test]
fn a_scan_of_what_moved_finds_what_a_scan_of_everything_finds() {
    let repository = odd();
    let scope = Scope::new("main", "");
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    let mut scanner = Scanner::new(scope.clone());
    let mut look = || {
        let refs = list_refs(&repository.file()).unwrap();
        mirror.fetch(&repository.file(), &refs).unwrap();
        let warm = scanner.scan(&mirror, &refs, &|_| true).unwrap();
        let cold = Scanner::new(scope.clone())
            .scan(&mirror, &refs, &|_| true)
            .unwrap();
        assert_eq!(warm, cold);
        let one = |name: &str| name == "refs/tags/life/v1";
        let part = scanner.scan(&mirror, &refs, &one).unwrap();
        assert_eq!(
            part.found,
            warm.found
                .into_iter()
                .filter(|found| one(&found.reference))
                .collect::<Vec<_>>()
        );
    };
    look();
    repository.write("a/x", "1");
    repository.commit(&message(
        "Approving",
        r#"{"package":"a","workspaceName":"w7","revision":"7"}"#,
    ));
    repository.git(&["tag", "a/v7"]);
    repository.push();
    look();
    repository.git(&["mv", "a", "moved"]);
    repository.git(&["tag", "-f", "foo/1.0", "a/v1"]);
    repository.commit("a is elsewhere now");
    repository.git(&["branch", "-D", "deletionProposed/a/v1"]);
    repository.push();
    look();
    repository.git(&["reset", "-q", "--hard", "HEAD~4"]);
    repository.push();
    look();
    repository.git(&["checkout", "-q", "--orphan", "fresh"]);
    repository.write("only/Kptfile", KPTFILE);
    repository.commit("begun anew");
    repository.git(&["branch", "-M", "main"]);
    repository.push();
    look();
}

#[test]
fn a_ref_that_holds_nothing_is_looked_at_again_when_it_moves() {
    let repository = Repository::new();
    repository.write("x", "1");
    repository.commit("nothing yet");
    repository.git(&["tag", "p/v1"]);
    repository.git(&["branch", "drafts/p/w"]);
    repository.push();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    let mut scanner = Scanner::new(Scope::new("main", ""));
    let mut read = |name: &str| {
        let refs = list_refs(&repository.file()).unwrap();
        mirror.fetch(&repository.file(), &refs).unwrap();
        scanner.read_ref(&mirror, &refs, name).unwrap()
    };
    assert_eq!(read("refs/tags/p/v1"), Reading::Nothing);
    assert!(matches!(read("refs/heads/drafts/p/w"), Reading::Skipped(_)));
    assert!(matches!(read("refs/heads/drafts/p/w"), Reading::Skipped(_)));
    assert_eq!(read("refs/heads/absent"), Reading::Nothing);
    repository.write("p/Kptfile", KPTFILE);
    repository.commit("now");
    repository.git(&["tag", "-f", "p/v1"]);
    repository.git(&["branch", "-f", "drafts/p/w"]);
    repository.push();
    assert!(matches!(read("refs/tags/p/v1"), Reading::Found(_)));
    assert!(matches!(read("refs/heads/drafts/p/w"), Reading::Found(_)));
}

#[test]
fn files_are_read_by_tree_as_they_are() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.write("p/deep/er/file", "text\r\n");
    std::fs::write(repository.work().join("p/binary"), [0, 159, 255]).unwrap();
    std::os::unix::fs::symlink("../outside", repository.work().join("p/link")).unwrap();
    let first = repository.commit("one");
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{first},p/module"),
    ]);
    repository.git(&["update-index", "--chmod=+x", "p/deep/er/file"]);
    repository.git(&["commit", "-q", "-m", "two"]);
    repository.push();
    let (mirror, _, scan) = sync(
        &repository.file(),
        &repository.mirror(),
        &Scope::new("main", ""),
    );
    let tree = &scan.found[0].tree;
    let file = |path: &str, content: &[u8]| File {
        path: path.into(),
        content: content.into(),
    };
    let want = vec![
        file("Kptfile", KPTFILE.as_bytes()),
        file("binary", &[0, 159, 255]),
        file("deep/er/file", b"text\r\n"),
        file("link", b"../outside"),
    ];
    assert_eq!(files(&mirror, tree, Limits::default()).unwrap(), want);
    assert_eq!(
        paths(&mirror, tree).unwrap(),
        want.iter()
            .map(|file| file.path.clone())
            .collect::<Vec<_>>()
    );
    assert_eq!(file_count(&mirror, tree).unwrap(), 4);
    let bytes = want.iter().map(|file| file.content.len()).sum();
    assert!(files(&mirror, tree, Limits { files: 4, bytes }).is_ok());
    for limits in [
        Limits { files: 3, bytes },
        Limits {
            files: 4,
            bytes: bytes - 1,
        },
    ] {
        assert!(matches!(
            files(&mirror, tree, limits),
            Err(Error::TooLarge(_))
        ));
    }
    assert!(matches!(
        files(&mirror, "nonsense", Limits::default()),
        Err(Error::Refused(_))
    ));
    assert!(matches!(
        files(
            &mirror,
            &"0".repeat(39).replace('0', "1"),
            Limits::default()
        ),
        Err(_)
    ));
}

/// Writes a tree whose entries git itself would refuse, and returns its id.
fn raw_tree(repository: &Repository, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        let digits = (0..20).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap());
        bytes.extend(digits);
    }
    let path = repository.root().join("tree");
    std::fs::write(&path, bytes).unwrap();
    repository.git(&[
        "hash-object",
        "-t",
        "tree",
        "-w",
        "--literally",
        path.to_str().unwrap(),
    ])
}

#[test]
fn hostile_trees_are_refused_and_hide_nothing() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.commit("good");
    let blob = repository.git(&["rev-parse", "HEAD:p/Kptfile"]);
    let good = repository.git(&["rev-parse", "HEAD:p"]);
    for name in ["..", ".", ".git", ".GIT", "git~1", "a/b", ".git "] {
        let bad = raw_tree(
            &repository,
            &[("100644", name, &blob), ("100644", "Kptfile", &blob)],
        );
        let root = raw_tree(
            &repository,
            &[
                ("40000", name, &good),
                ("40000", "bad", &bad),
                ("40000", "p", &good),
            ],
        );
        let commit = repository.git(&["commit-tree", "-m", "hostile", &root]);
        let to = repository.bare();
        copy_objects(&repository.work().join(".git/objects"), &to.join("objects"));
        repository.update_refs(&[("refs/heads/main".into(), commit)]);
        let (mirror, _, scan) = sync(
            &repository.file(),
            &repository.mirror(),
            &Scope::new("main", ""),
        );
        let found: BTreeSet<_> = scan
            .found
            .iter()
            .map(|found| found.directory.as_str())
            .collect();
        assert_eq!(found, ["bad", "p"].into(), "{name:?}");
        assert_eq!(scan.skipped.len(), 1, "{name:?}: {:?}", scan.skipped);
        let read = files(&mirror, &bad, Limits::default());
        assert!(matches!(read, Err(Error::Refused(_))), "{name:?}: {read:?}");
        Mirror::remove(&repository.mirror()).unwrap();
    }
}

fn copy_objects(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().filter_map(Result::ok) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_objects(&entry.path(), &target);
        } else if !target.exists() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn trees_that_multiply_are_refused_before_memory_is_gone() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.commit("good");
    let mut tree = repository.git(&["rev-parse", "HEAD:p"]);
    for _ in 0..12 {
        let names: Vec<_> = (0..10).map(|number| format!("d{number}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| ("40000", name.as_str(), tree.as_str()))
            .collect();
        tree = raw_tree(&repository, &entries);
    }
    let commit = repository.git(&["commit-tree", "-m", "bomb", &tree]);
    copy_objects(
        &repository.work().join(".git/objects"),
        &repository.bare().join("objects"),
    );
    repository.update_refs(&[("refs/heads/main".into(), commit)]);
    let refs = list_refs(&repository.file()).unwrap();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    mirror.fetch(&repository.file(), &refs).unwrap();
    let read = Scanner::new(Scope::new("main", "")).scan(&mirror, &refs, &|_| true);
    assert!(matches!(read, Err(Error::TooLarge(_))), "{read:?}");
    let read = files(&mirror, &tree, Limits::default());
    assert!(matches!(read, Err(Error::TooLarge(_))), "{read:?}");
}

#[test]
fn names_of_refs_mean_what_upstream_means() {
    let kind =
        |name: &str, branch: &str, directory: &str| classify(name, &Scope::new(branch, directory));
    let draft = |directory: &str, workspace: &str| RefKind::Draft {
        directory: directory.into(),
        workspace: workspace.into(),
    };
    let tag = |directory: &str, text: &str| RefKind::Tag {
        directory: directory.into(),
        text: text.into(),
    };
    for (name, branch, directory, want) in [
        ("refs/heads/main", "main", "", RefKind::Branch),
        (
            "refs/heads/nested/release",
            "nested/release",
            "",
            RefKind::Branch,
        ),
        ("refs/heads/drafts/a/w", "drafts/a/w", "", RefKind::Branch),
        ("refs/heads/other", "main", "", RefKind::Other),
        ("refs/heads/mainly", "main", "", RefKind::Other),
        ("refs/heads/drafts/a/b/w", "main", "", draft("a/b", "w")),
        ("refs/heads/drafts/a", "main", "", RefKind::Malformed),
        ("refs/heads/proposed/a", "main", "x", RefKind::Malformed),
        ("refs/heads/drafts", "main", "", RefKind::Other),
        ("refs/heads/draftsy/a/w", "main", "", RefKind::Other),
        ("refs/heads/drafts/d/a/w", "main", "/d/", draft("d/a", "w")),
        ("refs/heads/drafts/d/w", "main", "d", draft("d", "w")),
        ("refs/heads/drafts/dx/a/w", "main", "d", RefKind::Other),
        ("refs/heads/drafts/x/a/w", "main", "d", RefKind::Other),
        ("refs/tags/a/v1", "main", "", tag("a", "v1")),
        ("refs/tags/a/b/1.0", "main", "", tag("a/b", "1.0")),
        ("refs/tags/v1", "main", "", RefKind::Other),
        ("refs/tags/e/f/v1", "main", "e//f/", tag("e/f", "v1")),
        ("refs/tags/e/v1", "main", "e/f", RefKind::Other),
        ("refs/notes/a/v1", "main", "", RefKind::Other),
    ] {
        assert_eq!(
            kind(name, branch, directory),
            want,
            "{name} {branch} {directory}"
        );
    }
    let proposal = kind("refs/heads/deletionProposed/a/v1", "main", "");
    assert!(matches!(proposal, RefKind::DeletionProposed { text, .. } if text == "v1"));
}

#[test]
fn lifecycles_need_refs_alone() {
    let repository = odd();
    let refs = list_refs(&repository.file()).unwrap();
    for (reference, directory, workspace, revision, want) in [
        ("refs/heads/drafts/a/w", "a", "w", 0, Lifecycle::Draft),
        ("refs/heads/proposed/a/w", "a", "w", 0, Lifecycle::Proposed),
        ("refs/tags/a/v1", "a", "any", 1, Lifecycle::DeletionProposed),
        ("refs/tags/a/v2", "a", "v1", 2, Lifecycle::Published),
        (
            "refs/tags/a/v1.0.0",
            "a",
            "v1.0.0",
            -1,
            Lifecycle::DeletionProposed,
        ),
        (
            "refs/heads/main",
            "broken",
            "main",
            -1,
            Lifecycle::DeletionProposed,
        ),
        ("refs/heads/main", "a", "main", -1, Lifecycle::Published),
        (
            "refs/heads/drafts/x",
            "a",
            "drafts/x",
            -1,
            Lifecycle::Published,
        ),
    ] {
        assert_eq!(
            lifecycle(&refs, reference, directory, (workspace, revision)),
            want,
            "{reference}"
        );
    }
}
