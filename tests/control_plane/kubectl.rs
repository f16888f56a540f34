//! What users do: plain `kubectl` against a plain HTTPS listener.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::{Command, Output},
};

use porch::{
    apiserver::{Authenticator, Certificate, Identity, Registry, Server, Settings, Token, serve},
    standalone::{ControlPlane, Persistence, credentials::Credentials},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::start;

struct Cluster {
    /// Kept for as long as the server runs.
    _plane: ControlPlane,
    directory: TempDir,
}

impl Cluster {
    /// Starts a server with a kubeconfig; nothing if there is no `kubectl` on this machine.
    async fn start() -> Option<Self> {
        if Command::new("kubectl")
            .arg("version")
            .arg("--client")
            .output()
            .is_err()
        {
            eprintln!("skipped: there is no kubectl on this machine");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let plane = start(Persistence::Memory).await;
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let credentials = Credentials::open(&directory.path().join("pki"), address).unwrap();
        let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes())
            .map(Result::unwrap)
            .collect();
        let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap();
        let certificate = Certificate::new(chain, key).unwrap();
        let authenticator = Authenticator::new()
            .with_token(Token::new(&credentials.token), Identity::master("admin"));
        let settings = Settings {
            authenticator,
            ..Settings::default()
        };
        let server = Server::new(plane.register(Registry::new()), settings);
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        credentials
            .write_kubeconfig(
                &directory.path().join("kubeconfig"),
                listener.local_addr().unwrap(),
            )
            .unwrap();
        tokio::spawn(serve(listener, certificate, server));
        Some(Self {
            _plane: plane,
            directory,
        })
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .arg("--cache-dir")
            .arg(self.directory.path().join("cache"));
        command.env("KUBECONFIG", self.directory.path().join("kubeconfig"));
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// Runs `kubectl` and returns what it prints; it must succeed.
    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "kubectl {arguments:?}\n{out}{err}");
        assert!(!err.contains("Warning"), "kubectl {arguments:?}\n{err}");
        out.into_owned()
    }

    /// Runs `kubectl` and returns its complaint; it must fail.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn manifest(description: &str) -> String {
    format!(
        "apiVersion: config.porch.kpt.dev/v1alpha1\nkind: Repository\nmetadata:\n  name: a\nspec:\n  type: git\n  description: {description}\n  git:\n    repo: https://example.com/r.git\n"
    )
}

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ntype: kubernetes.io/basic-auth\nstringData:\n  username: u\n  password: PASS\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_s_life_in_kubectl() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let file = cluster.file("r.yaml", &manifest("one"));
    assert_eq!(
        cluster.ok(&["apply", "-f", &file]).await,
        "repository.config.porch.kpt.dev/a created\n"
    );
    assert_eq!(
        cluster.ok(&["apply", "-f", &file]).await,
        "repository.config.porch.kpt.dev/a unchanged\n"
    );
    let file = cluster.file("r.yaml", &manifest("two"));
    let changes = cluster.run(&["diff", "-f", &file]).await;
    assert!(String::from_utf8_lossy(&changes.stdout).contains("+  description: two"));
    assert_eq!(
        cluster.ok(&["apply", "-f", &file]).await,
        "repository.config.porch.kpt.dev/a configured\n"
    );
    let printed = cluster.ok(&["get", "repositories"]).await;
    let rows: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "NAME",
            "TYPE",
            "DEPLOYMENT",
            "READY",
            "ADDRESS",
            "BRANCH",
            "PACKAGES",
            "AGE"
        ]
    );
    assert_eq!(
        rows[1][..5],
        ["a", "git", "false", "https://example.com/r.git", "main"]
    );
    cluster.ok(&["label", "repo", "a", "l=x"]).await;
    cluster.ok(&["annotate", "repo", "a", "n=y"]).await;
    assert_eq!(
        cluster
            .ok(&["get", "repo", "-l", "l=x", "-o", "name"])
            .await,
        "repository.config.porch.kpt.dev/a\n"
    );
    let condition = r#"{"status":{"observedGeneration":9,"conditions":[{"type":"Ready","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
    cluster
        .ok(&[
            "patch",
            "repo",
            "a",
            "--subresource=status",
            "--type=merge",
            "-p",
            condition,
        ])
        .await;
    cluster
        .ok(&["wait", "--for=condition=Ready", "repo/a", "--timeout=10s"])
        .await;
    assert_eq!(
        cluster.ok(&["delete", "repo", "a", "--timeout=10s"]).await,
        "repository.config.porch.kpt.dev \"a\" deleted\n"
    );
    assert!(
        cluster
            .refused(&["get", "repo", "a"])
            .await
            .contains("repositories.config.porch.kpt.dev \"a\" not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_is_told_what_is_wrong() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let good = cluster.file("good.yaml", &manifest("x"));
    cluster.ok(&["create", "-f", &good]).await;
    let unknown = cluster.file(
        "unknown.yaml",
        &manifest("x").replace("description", "descripton"),
    );
    let moved = cluster.file("moved.yaml", &manifest("x").replace("r.git", "other.git"));
    for (arguments, text) in [
        (vec!["create", "-f", &good], "AlreadyExists"),
        (
            vec!["apply", "-f", &unknown],
            "unknown field \"spec.descripton\"",
        ),
        (vec!["replace", "-f", &moved], "spec.git.repo is immutable"),
        (vec!["create", "namespace", "A"], "RFC 1123"),
        (
            vec!["delete", "namespace", "default"],
            "this namespace may not be deleted",
        ),
        (
            vec!["get", "repositories", "--field-selector", "spec.x=1"],
            "field",
        ),
        (
            vec!["create", "secret", "generic", "s", "-n", "nowhere"],
            "namespaces \"nowhere\" not found",
        ),
    ] {
        let complaint = cluster.refused(&arguments).await;
        assert!(complaint.contains(text), "{arguments:?}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_on_the_server_s_side() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let file = cluster.file("r.yaml", &manifest("one"));
    assert!(
        cluster
            .ok(&["apply", "--server-side", "-f", &file])
            .await
            .contains("serverside-applied")
    );
    cluster.ok(&["apply", "--server-side", "-f", &file]).await;
    cluster
        .ok(&[
            "patch",
            "repo",
            "a",
            "--type=merge",
            "-p",
            r#"{"spec":{"description":"mine"}}"#,
        ])
        .await;
    let complaint = cluster
        .refused(&["apply", "--server-side", "-f", &file])
        .await;
    assert!(
        complaint.contains("conflict with \"kubectl-patch\""),
        "{complaint}"
    );
    cluster
        .ok(&["apply", "--server-side", "--force-conflicts", "-f", &file])
        .await;
    assert_eq!(
        cluster
            .ok(&["get", "repo", "a", "-o", "jsonpath={.spec.description}"])
            .await,
        "one"
    );
    let less = cluster.file(
        "less.yaml",
        &manifest("one").replace("  description: one\n", ""),
    );
    cluster.ok(&["apply", "--server-side", "-f", &less]).await;
    assert_eq!(
        cluster
            .ok(&["get", "repo", "a", "-o", "jsonpath={.spec.description}"])
            .await,
        ""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_moves_an_object_from_its_own_apply_to_the_server_s() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let file = cluster.file("r.yaml", &manifest("one"));
    cluster.ok(&["apply", "-f", &file]).await;
    let file = cluster.file("r.yaml", &manifest("two"));
    cluster.ok(&["apply", "--server-side", "-f", &file]).await;
    let less = cluster.file(
        "less.yaml",
        &manifest("one").replace("  description: one\n", ""),
    );
    cluster.ok(&["apply", "--server-side", "-f", &less]).await;
    assert_eq!(
        cluster
            .ok(&["get", "repo", "a", "-o", "jsonpath={.spec.description}"])
            .await,
        ""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_namespaces_in_kubectl() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.ok(&["create", "namespace", "n"]).await;
    let file = cluster.file("s.yaml", &SECRET.replace("PASS", "one"));
    cluster.ok(&["apply", "-n", "n", "-f", &file]).await;
    let file = cluster.file("s.yaml", &SECRET.replace("PASS", "two"));
    cluster.ok(&["apply", "-n", "n", "-f", &file]).await;
    assert_eq!(
        cluster
            .ok(&[
                "get",
                "secret",
                "s",
                "-n",
                "n",
                "-o",
                "jsonpath={.data.password}"
            ])
            .await,
        "dHdv"
    );
    let printed = cluster.ok(&["get", "secrets", "-A"]).await;
    let row: Vec<&str> = printed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], ["n", "s", "kubernetes.io/basic-auth", "2"]);
    cluster
        .ok(&["create", "configmap", "c", "--from-literal=a=b", "-n", "n"])
        .await;
    cluster.ok(&["label", "namespace", "n", "l=x"]).await;
    cluster
        .ok(&["delete", "namespace", "n", "--timeout=10s"])
        .await;
    assert!(cluster.ok(&["get", "secrets", "-A"]).await.is_empty());
    let resources = cluster
        .ok(&["api-resources", "--no-headers", "-o", "name"])
        .await;
    for resource in [
        "namespaces",
        "secrets",
        "configmaps",
        "events",
        "leases.coordination.k8s.io",
        "events.events.k8s.io",
        "repositories.config.porch.kpt.dev",
        "packagerevs.config.porch.kpt.dev",
    ] {
        assert!(
            resources.lines().any(|line| line == resource),
            "{resource} in {resources}"
        );
    }
    assert!(
        cluster
            .ok(&["explain", "repository.spec.git.branch"])
            .await
            .contains("Branch that published packages are on")
    );
    assert!(
        cluster
            .ok(&["explain", "secret.stringData"])
            .await
            .contains("stringData")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_edits() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let file = cluster.file("r.yaml", &manifest("one"));
    cluster.ok(&["create", "-f", &file]).await;
    let script = cluster.file(
        "edit.sh",
        "#!/bin/sh\nsed -i 's/description: one/description: edited/' \"$1\"\n",
    );
    let mut command = Command::new("kubectl");
    command
        .args(["edit", "repo", "a"])
        .env("KUBECONFIG", cluster.directory.path().join("kubeconfig"));
    command
        .env("EDITOR", format!("sh {script}"))
        .env("KUBE_EDITOR", format!("sh {script}"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        cluster
            .ok(&["get", "repo", "a", "-o", "jsonpath={.spec.description}"])
            .await,
        "edited"
    );
}
