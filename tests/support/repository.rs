//! Repositories for tests, made by git's command line.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use porch::git::{Access, Address, Mirror, Refs, Scan, Scanner, Scope, list_refs};
use tempfile::TempDir;

use crate::git_server::{git, git_fed};

/// A Kptfile that is one.
pub const KPTFILE: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x\n";

/// A repository with a place to work in and a bare copy that is served.
pub struct Repository {
    root: TempDir,
}

impl Repository {
    /// Makes an empty one.
    pub fn new() -> Self {
        let root = TempDir::new().unwrap();
        git(root.path(), &["init", "-q", "work"]);
        git(root.path(), &["init", "-q", "--bare", "bare.git"]);
        Self { root }
    }

    /// Makes one that holds all refs of a bundle.
    pub fn of_bundle(bundle: &Path) -> Self {
        let repository = Self::new();
        let bundle = bundle.canonicalize().unwrap();
        let all = "+refs/*:refs/*";
        git(
            &repository.bare(),
            &["fetch", "-q", bundle.to_str().unwrap(), all],
        );
        repository
    }

    /// Returns the directory that is served.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn bare(&self) -> PathBuf {
        self.root.path().join("bare.git")
    }

    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Runs git in the place to work in.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.work(), arguments).trim().to_string()
    }

    /// Writes a file; nothing is committed.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything, and returns the id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&[
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            message,
            "--cleanup=verbatim",
        ]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes the bare copy's refs equal to those here.
    pub fn push(&self) {
        let to = self.bare();
        self.git(&[
            "push",
            "-q",
            "--prune",
            "--force",
            to.to_str().unwrap(),
            "refs/heads/*:refs/heads/*",
            "refs/tags/*:refs/tags/*",
        ]);
    }

    /// Points the bare copy's refs at commits, without regard for what is there.
    pub fn update_refs(&self, lines: &[(String, String)]) {
        let mut input = String::new();
        for (name, id) in lines {
            writeln!(input, "update {name} {id}").unwrap();
        }
        git_fed(&self.bare(), &["update-ref", "--stdin"], &input);
    }

    /// Sets what the bare copy allows and offers.
    pub fn set(&self, key: &str, value: &str) {
        git(&self.bare(), &["config", key, value]);
    }

    /// Gives the bare copy a hook, a shell script.
    pub fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.bare().join("hooks").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Returns the branches and tags of the bare copy, as git's command line tells them.
    pub fn bare_refs(&self) -> std::collections::BTreeMap<String, String> {
        let format = "--format=%(refname) %(objectname)";
        let text = git(&self.bare(), &["for-each-ref", format]);
        let pair = |line: &str| {
            line.split_once(' ')
                .map(|(name, id)| (name.into(), id.into()))
        };
        text.lines().filter_map(pair).collect()
    }

    /// Returns the address of the bare copy on this disk.
    pub fn file(&self) -> Access {
        let text = format!("file://{}", self.bare().display());
        Access::anonymous(Address::parse(&text, true).unwrap())
    }

    /// Returns a directory for a mirror.
    pub fn mirror(&self) -> PathBuf {
        self.root.path().join("mirror")
    }
}

/// Lists, fetches and scans.
pub fn sync(access: &Access, directory: &Path, scope: &Scope) -> (Mirror, Refs, Scan) {
    let refs = list_refs(access).unwrap();
    let mirror = Mirror::open(directory).unwrap();
    mirror.fetch(access, &refs).unwrap();
    let scan = Scanner::new(scope.clone())
        .scan(&mirror, &refs, &|_| true)
        .unwrap();
    (mirror, refs, scan)
}

/// Returns the bundles of real repositories, where there are any.
pub fn bundles() -> Vec<PathBuf> {
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

/// Writes a tree whose entries git itself would refuse, and returns its id.
pub fn raw_tree(repository: &Repository, entries: &[(&str, &str, &str)]) -> String {
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

pub fn copy_objects(from: &Path, to: &Path) {
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
