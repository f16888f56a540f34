//! What people type, with plain `kubectl` through a socket.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use porch::package::Lifecycle;
use serde_json::json;
use tempfile::TempDir;

use crate::{rig::Opened, subject::Subject};

/// `kubectl` as a user has it.
struct Kubectl(TempDir);

impl Kubectl {
    /// Returns nothing if there is no `kubectl` on this machine.
    fn of(opened: &Opened, namespace: &str) -> Option<Self> {
        let found = Command::new("kubectl")
            .args(["version", "--client"])
            .output();
        if found.is_err() {
            eprintln!("skipped: there is no kubectl on this machine");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let cluster = json!({ "server": format!("https://{}", opened.address),
            "certificate-authority-data": STANDARD.encode(pem(&opened.root)) });
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": [{ "name": "u", "user": { "token": opened.token } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u", "namespace": namespace } }] });
        std::fs::write(directory.path().join("config"), config.to_string()).unwrap();
        Some(Self(directory))
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(words.split_whitespace())
            .arg("--cache-dir")
            .arg(self.0.path().join("cache"))
            .env("KUBECONFIG", self.0.path().join("config"));
        command
    }

    async fn run(&self, words: &str) -> String {
        let mut command = self.command(words);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "kubectl {words}: {told}");
        String::from_utf8(done.stdout).unwrap()
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Checks what `kubectl` prints.
pub async fn check(subject: &Subject, opened: &Opened) {
    let Some(kubectl) = Kubectl::of(opened, &subject.namespace) else {
        return;
    };
    subject.create("net.upf.v1", Lifecycle::Published).await;
    let version = subject.create("amf.v1", Lifecycle::Draft).await;
    let path = subject.path("packagerevisions");
    subject
        .get(&format!("{path}?resourceVersion={version}"), "")
        .await;
    for (words, told) in [
        (
            "get packagerevisions --no-headers -o name",
            "packagerevision.porch.kpt.dev/repo.amf.v1\npackagerevision.porch.kpt.dev/repo.net.upf.v1\n",
        ),
        (
            "get packagerevision repo.amf.v1 -o jsonpath={.spec.lifecycle}",
            "Draft",
        ),
        (
            "get packagerevisions -A -o jsonpath={.items[*].metadata.name}",
            "repo.amf.v1 repo.net.upf.v1",
        ),
        (
            "get packagerevisions --field-selector spec.lifecycle=Published -o name",
            "packagerevision.porch.kpt.dev/repo.net.upf.v1\n",
        ),
        (
            "get packagerevisions --chunk-size=1 -o name",
            "packagerevision.porch.kpt.dev/repo.amf.v1\npackagerevision.porch.kpt.dev/repo.net.upf.v1\n",
        ),
        (
            "get packages -o jsonpath={.items[*].status.latestRevision}",
            "1",
        ),
        (
            "wait packagerevision/repo.amf.v1 --for=jsonpath={.spec.lifecycle}=Draft --timeout=10s",
            "packagerevision.porch.kpt.dev/repo.amf.v1 condition met\n",
        ),
    ] {
        assert_eq!(kubectl.run(words).await, told, "{words}");
    }
    for (words, told) in [
        (
            "get packagerevisions",
            "NAME              PACKAGE   WORKSPACENAME   REVISION   LATEST   LIFECYCLE   REPOSITORY\nrepo.amf.v1 ",
        ),
        ("get packagerevisions -o wide", "drafts/net.upf/v1"),
        (
            "get packagerevision repo.amf.v1 -o yaml",
            "kind: PackageRevision\n",
        ),
        (
            "api-resources --api-group=porch.kpt.dev -o wide",
            "get,list,watch",
        ),
        ("explain packagerevision.spec", "workspaceName\t<string>"),
        (
            "explain packagerevision.spec.tasks.clone --recursive",
            "upstreamRef",
        ),
        ("explain packagerevision.metadata", "ownerReferences"),
        (
            "explain packagerevisionresources.spec.resources",
            "File contents by path",
        ),
        ("explain package.status", "latestRevision"),
        ("explain repository.spec.git", "branch"),
        ("describe packagerevision repo.amf.v1", "Lifecycle:"),
    ] {
        let printed = kubectl.run(words).await;
        assert!(printed.contains(told), "{words}: {printed}");
    }
    watch(subject, &kubectl).await;
}

/// One who watches sees the table grow.
async fn watch(subject: &Subject, kubectl: &Kubectl) {
    let mut watching = kubectl
        .command("get packagerevisions --watch")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .all(|line| tell.send(line).is_ok())
    });
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(told.recv().await.unwrap());
    }
    assert!(first[0].starts_with("NAME ") && first[2].starts_with("repo.net.upf.v1 "));
    subject.create("amf.v2", Lifecycle::Proposed).await;
    subject.label("amf.v1", "new").await;
    let words = |line: String| {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        words.join(" ")
    };
    let added = words(told.recv().await.unwrap());
    assert_eq!(added, "repo.amf.v2 amf v2 0 false Proposed repo");
    assert!(told.recv().await.unwrap().starts_with("repo.amf.v1 "));
    watching.kill().unwrap();
    watching.wait().unwrap();
}
