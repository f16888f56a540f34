//! What git's command line says that a repository holds, counted without our code.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use porch::git::{Found, Scan};
use serde_json::Value;

use crate::git_server::{git, git_command};

/// One line for each revision: ref, directory, workspace, revision, commit, tree, Kptfile, lifecycle.
pub fn lines(scan: &Scan) -> BTreeSet<String> {
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
    let text = input.join("\n") + "\n";
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
pub struct Count {
    bare: PathBuf,
    branch: String,
    directory: String,
    pub refs: BTreeMap<String, String>,
}

impl Count {
    pub fn of(bare: &Path, branch: &str, directory: &str) -> Self {
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

    /// Returns a line for each revision, as [`lines`] does.
    pub fn expected(&self) -> BTreeSet<String> {
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
    pub fn check(&self, scan: &Scan) {
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
