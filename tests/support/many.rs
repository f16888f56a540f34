//! A large repository, made fast: packages with tags, as upstream's approvals would leave them.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Makes a bare repository at `directory` with `packages` packages of `revisions` published revisions each: one commit on
/// `main` and one tag a revision. Needs the `git` command.
pub fn repository(directory: &Path, packages: usize, revisions: usize) {
    git(
        directory,
        &["init", "--quiet", "--bare", "--initial-branch=main", "."],
    );
    let mut import = Command::new("git")
        .current_dir(directory)
        .args(["fast-import", "--quiet"])
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufWriter::new(import.stdin.take().unwrap());
    for revision in 1..=revisions {
        for package in 0..packages {
            publish(
                &mut out,
                &format!("team-{:02}/package-{package:04}", package % 20),
                revision,
            );
        }
    }
    drop(out);
    assert!(import.wait().unwrap().success());
    git(directory, &["pack-refs", "--all"]);
    git(directory, &["update-server-info"]);
}

fn publish(out: &mut impl Write, package: &str, revision: usize) {
    let name = package.rsplit('/').next().unwrap();
    let task = r#"{"type":"init","init":{"description":"made for a measurement"}}"#;
    let message = format!(
        "Approve {package}/{revision}\n\nkpt:{{\"package\":\"{package}\",\"workspaceName\":\"v{revision}\",\"revision\":\"{revision}\",\"task\":{task}}}\n"
    );
    let kptfile = format!(
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: {name}\n  labels:\n    revision: \"{revision}\"\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\ninfo:\n  description: made for a measurement\n"
    );
    let data = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  revision: \"{revision}\"\n"
    );
    let at = 1_700_000_000 + revision * 10_000;
    write!(
        out,
        "commit refs/heads/main\ncommitter Porch <porch@kpt.dev> {at} +0000\n"
    )
    .unwrap();
    write!(out, "data {}\n{message}\n", message.len()).unwrap();
    for (file, content) in [("Kptfile", kptfile), ("config.yaml", data)] {
        write!(
            out,
            "M 100644 inline {package}/{file}\ndata {}\n{content}\n",
            content.len()
        )
        .unwrap();
    }
    write!(
        out,
        "reset refs/tags/{package}/v{revision}\nfrom refs/heads/main\n\n"
    )
    .unwrap();
}

fn git(directory: &Path, words: &[&str]) {
    std::fs::create_dir_all(directory).unwrap();
    let status = Command::new("git")
        .current_dir(directory)
        .args(words)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent")])
        .status()
        .unwrap();
    assert!(status.success(), "git {words:?}");
}
