//! `porch serve` as an operator meets it, with a `porch standalone` as its cluster: it keeps Leases, records and the
//! `ConfigMap` of kube-apiserver, and knows nothing of reviews, so only certificates open the door.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::json;

use crate::process::{Porch, eventually, signal, start};

struct Serve {
    child: Child,
    home: PathBuf,
    port: u16,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serve {
    fn start(cluster: &Porch, home: &Path, words: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let log = fs::File::create(home.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_porch"))
            .args(["serve", "--bind-address=127.0.0.1", "--kubeconfig"])
            .arg(cluster.kubeconfig())
            .arg(format!("--secure-port={port}"))
            .arg(format!(
                "--cache-directory={}",
                home.join("cache").display()
            ))
            .args(words)
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            home: home.into(),
            port,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap()
    }

    /// Runs kubectl against it as `user`, believing the certificate of `--cert-dir`.
    fn kubectl(&self, user: &User, words: &[&str]) -> Output {
        let file = self.home.join(format!("{}.kubeconfig", user.name));
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority": self.home.join("cache/certificates/apiserver.crt"),
            }}],
            "users": [{"name": "u", "user": {
                "client-certificate": user.certificate, "client-key": user.key,
            }}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        fs::write(&file, kubeconfig.to_string()).unwrap();
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", file).env("HOME", &self.home);
        let output = command.args(words).output();
        output.expect("these tests need kubectl on the PATH")
    }

    /// Returns what a page says, as an error if it is one.
    fn page(&self, user: &User, path: &str) -> Result<String, String> {
        let output = self.kubectl(user, &["get", "--raw", path]);
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).unwrap());
        }
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

struct User {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Returns a user who may do everything.
    fn master(&self, home: &Path, name: &str) -> User {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let names = &mut params.distinguished_name;
        names.push(DnType::CommonName, name);
        names.push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let user = User {
            name: name.into(),
            certificate: home.join(format!("{name}.crt")),
            key: home.join(format!("{name}.key")),
        };
        fs::write(&user.certificate, certificate.pem()).unwrap();
        fs::write(&user.key, key.serialize_pem()).unwrap();
        user
    }
}

/// Publishes who may vouch for callers, as kube-apiserver does.
fn publish(cluster: &Porch, authority: &str) {
    let published = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": authority},
    });
    let applied = cluster.apply(&published.to_string());
    assert!(applied.status.success(), "{applied:?}");
}

#[test]
fn it_is_ready_when_it_knows_whom_to_trust_and_follows_that() {
    let (at, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (cluster, home) = (start(at.path(), &["--demo"]), home.path());
    let serve = Serve::start(&cluster, home, &[]);
    let (first, second) = (Authority::new(), Authority::new());
    let (old, new) = (first.master(home, "old"), second.master(home, "new"));

    let told = eventually("a sentence about the ConfigMap", || {
        let told = serve.page(&old, "/readyz").unwrap_err();
        told.contains("is missing").then_some(told)
    });
    assert!(told.contains("[-]authentication failed"), "{told}");
    publish(&cluster, &first.pem);
    eventually("ready", || serve.page(&old, "/readyz").ok());

    eventually("the demo's revisions", || {
        let listed = serve.kubectl(&old, &["get", "packagerevisions", "-A", "-o", "name"]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        listed.contains("/demo.basens.v1").then_some(())
    });
    let list = "/apis/porch.kpt.dev/v1alpha1/packagerevisions";
    let version = |text: &str| {
        let list: serde_json::Value = serde_json::from_str(text).unwrap();
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        version.parse::<u64>().unwrap()
    };
    eventually("the same versions on both servers", || {
        let here = version(&serve.page(&old, list).unwrap());
        let there = version(&cluster.kubectl(&["get", "--raw", list]));
        (here.abs_diff(there) < 5).then_some(())
    });
    let lease = [
        "get",
        "leases",
        "-n",
        "porch-system",
        "-o",
        "jsonpath={.items[?(@.metadata.name==\"porch-sync-0\")].spec.holderIdentity}",
    ];
    assert!(cluster.kubectl(&lease).starts_with("porch-server_"));

    assert!(
        serve
            .page(&new, "/metrics")
            .unwrap_err()
            .contains("Unauthorized")
    );
    publish(&cluster, &second.pem);
    eventually("the new authority is believed", || {
        serve.page(&new, "/metrics").ok()
    });
    assert!(
        serve
            .page(&old, "/metrics")
            .unwrap_err()
            .contains("Unauthorized")
    );
    publish(&cluster, "nonsense");
    std::thread::sleep(Duration::from_secs(1));
    let metrics = serve.page(&new, "/metrics").unwrap();
    assert!(metrics.contains("porch_serving_certificate_expiration_seconds"));
}

#[test]
fn it_leaves_without_a_word_unsaid_and_at_the_second_signal_at_once() {
    let (at, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (cluster, authority) = (start(at.path(), &[]), Authority::new());
    publish(&cluster, &authority.pem);
    for (delay, signals, code) in [("3s", 1, 0), ("60s", 2, 1)] {
        let words = format!("--shutdown-delay-duration={delay}");
        let mut serve = Serve::start(&cluster, home.path(), &[&words]);
        let user = authority.master(home.path(), "admin");
        eventually("ready", || serve.page(&user, "/readyz").ok());
        let begun = Instant::now();
        signal(&serve.child, "TERM");
        let told = eventually("not ready", || serve.page(&user, "/readyz").err());
        assert!(told.contains("[-]shutdown failed"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(2));
        let still = serve.kubectl(&user, &["get", "packagerevisions", "-A"]);
        assert!(still.status.success(), "{still:?}");
        if signals == 2 {
            signal(&serve.child, "TERM");
        }
        assert_eq!(
            serve.child.wait().unwrap().code(),
            Some(code),
            "{}",
            serve.log()
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn it_says_what_is_wrong_with_its_flags() {
    let home = tempfile::tempdir().unwrap();
    let missing = format!("--kubeconfig={}", home.path().join("none").display());
    let junk = home.path().join("junk");
    fs::write(&junk, "{}").unwrap();
    let junk = format!("--kubeconfig={}", junk.display());
    for (words, code, told) in [
        (
            &["--frobnicate"][..],
            2,
            "unexpected argument '--frobnicate'",
        ),
        (&["--tls-cert-file=x"], 2, "--tls-private-key-file"),
        (
            &["--manage-apiservice", "--cert-dir=x"],
            2,
            "cannot be used with",
        ),
        (&[], 1, "name one with --kubeconfig"),
        (&[&*missing], 1, "cannot use --kubeconfig"),
        (&[&*junk], 1, "cannot use --kubeconfig"),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_porch"))
            .arg("serve")
            .args(words)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(code),
            "{words:?}: {said}"
        );
        assert!(said.contains(told), "{words:?}: {said}");
    }
}
