//! `porch serve` as a cluster runs it: a process of its own, with the rights of its ServiceAccount, behind the aggregation
//! layer of kube-apiserver.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use k8s_openapi::{
    api::{
        admissionregistration::v1::ValidatingWebhookConfiguration,
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Service, ServiceAccount},
    },
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::plane::{self, HOME, Plane, Process, Wire, eventually};

/// The name that the aggregator expects in the certificate of its backend.
const HOST: &str = "api.porch-system.svc";
pub const API: &str = "v1alpha1.porch.kpt.dev";
/// The ServiceAccount of `deploy/`.
pub const ACCOUNT: &str = "porch-server";

/// How long a replica may take to be ready.
const START: Duration = Duration::from_mins(1);

/// One replica.
pub struct Replica {
    directory: PathBuf,
    port: u16,
    words: Vec<String>,
    log: PathBuf,
    /// The wire from the replica to kube-apiserver.
    pub wire: Wire,
    process: Mutex<Option<Process>>,
}

impl Replica {
    /// Starts a replica and returns when it is ready.
    pub async fn start(plane: &Plane, name: &str) -> Self {
        Self::start_proven(plane, name, &[]).await
    }

    /// Starts a replica whose certificate is of the cluster's authority, with more flags.
    pub async fn start_proven(plane: &Plane, name: &str, flags: &[String]) -> Self {
        let directory = plane.directory(name);
        let pair = plane
            .authority()
            .server(HOST, &[HOST, "localhost", "127.0.0.1"]);
        let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        std::fs::write(&certificate, pair.certificate).unwrap();
        std::fs::write(&key, pair.key).unwrap();
        let proof = [
            format!("--tls-cert-file={}", certificate.display()),
            format!("--tls-private-key-file={}", key.display()),
        ];
        Self::start_with(plane, name, &[&proof, flags].concat()).await
    }

    /// Starts a replica with flags that say, among others, how it proves who it is, and returns when it is ready.
    pub async fn start_with(plane: &Plane, name: &str, flags: &[String]) -> Self {
        let directory = plane.directory(name);
        let wire = Wire::to(plane.address()).await;
        let token = token(plane, HOME, ACCOUNT).await;
        let kubeconfig = plane.kubeconfig_with(wire.address, &json!({ "token": token }));
        let kubeconfig_file = directory.join("kubeconfig");
        std::fs::write(&kubeconfig_file, kubeconfig.to_string()).unwrap();
        let port = free_port();
        let mut words = vec![
            "serve".into(),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={port}"),
            format!("--kubeconfig={}", kubeconfig_file.display()),
            format!("--cache-directory={}", directory.join("cache").display()),
        ];
        words.extend_from_slice(flags);
        let replica = Self {
            log: directory.join("porch.log"),
            directory,
            port,
            words,
            wire,
            process: Mutex::default(),
        };
        replica.begin(plane).await;
        replica
    }

    /// Starts the process, which must not run, and returns when it is ready.
    pub async fn begin(&self, plane: &Plane) {
        let program = std::env::var_os("PORCH_E2E_BINARY");
        let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_porch").into()));
        command.args(&self.words).env("HOME", &self.directory);
        // Its name, as a cluster would tell it.
        command.env("POD_NAME", self.directory.file_name().unwrap());
        *self.process.lock().unwrap() = Some(Process::start(&command, &self.log));
        let client = self.client(plane);
        let begun = std::time::Instant::now();
        while !plane::is_ready(&client).await {
            if begun.elapsed() > START {
                let process = self.process.lock().unwrap();
                panic!("never ready:\n{}", process.as_ref().unwrap().last_words());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the process as a power cut would.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap().take();
        process.unwrap().kill();
    }

    /// Asks the process to end, and returns its exit code.
    pub fn terminate(&self) -> Option<i32> {
        let process = self.process.lock().unwrap().take();
        process.unwrap().terminate()
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Returns a client who comes to it directly, with a certificate of the cluster.
    pub fn client(&self, plane: &Plane) -> Client {
        Client::try_from(self.config(plane)).unwrap()
    }

    fn config(&self, plane: &Plane) -> Config {
        let user = plane.user("admin", "system:masters");
        let mut config = plane::config(plane.kubeconfig_with(self.address(), &user));
        // Who it is, is for the tests of certificates: it may have an authority of its own.
        config.accept_invalid_certs = true;
        config
    }

    /// Returns what it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns a token of a ServiceAccount.
pub async fn token(plane: &Plane, namespace: &str, account: &str) -> String {
    token_for(plane, namespace, account, None).await
}

/// Returns a token of a ServiceAccount for an audience; for kube-apiserver itself if there is none.
pub async fn token_for(
    plane: &Plane,
    namespace: &str,
    account: &str,
    audience: Option<&str>,
) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), namespace);
    let wanted = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audience.map(String::from).into_iter().collect(),
            expiration_seconds: Some(7200),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let made = accounts
        .create_token_request(account, &params, &wanted)
        .await;
    made.unwrap().status.unwrap().token
}

/// Gives the server the rights that `deploy/` gives it, and no others. kube-apiserver asks nobody of Repositories yet: there is
/// no pod behind the Service.
pub async fn grant(plane: &Plane) {
    let kubeconfig = plane.directory("deploy").join("kubeconfig");
    let admin = plane.kubeconfig("admin", "system:masters");
    std::fs::write(&kubeconfig, admin.to_string()).unwrap();
    let deploy = plane::root().join("deploy");
    let work = move || apply(&kubeconfig, &deploy);
    tokio::task::spawn_blocking(work).await.unwrap();
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(plane.client());
    let params = DeleteParams::default();
    hooks.delete("porch-server", &params).await.unwrap();
}

fn apply(kubeconfig: &Path, deploy: &Path) {
    let words = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "-k",
    ];
    let mut command = Command::new("kubectl");
    command
        .args(words)
        .arg(deploy)
        .env("KUBECONFIG", kubeconfig);
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
}

/// Registers what listens at an address with the aggregation layer, and returns when it is available.
pub async fn register(plane: &Plane, address: SocketAddr) {
    let bundle = plane::base64(&plane.authority().certificate);
    register_with(plane, address, &json!({ "caBundle": bundle })).await;
    until_available(plane).await;
}

/// Registers what listens at an address, with more that is said of it.
pub async fn register_with(plane: &Plane, address: SocketAddr, more: &Value) {
    let services: Api<Service> = Api::namespaced(plane.client(), HOME);
    // The cluster of deploy/ has pods behind the Service; ours has a process on this machine.
    let _ = services.delete("api", &DeleteParams::default()).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "api", "namespace": HOME },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    });
    plane::apply(&services, "api", &service).await.unwrap();
    let apis: Api<APIService> = Api::all(plane.client());
    let mut api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": API },
        "spec": {
            "group": "porch.kpt.dev", "version": "v1alpha1",
            "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": { "name": "api", "namespace": HOME, "port": address.port() },
        },
    });
    json_patch::merge(&mut api["spec"], more);
    plane::apply(&apis, API, &api).await.unwrap();
}

/// Returns when kube-apiserver says that what is registered is available.
pub async fn until_available(plane: &Plane) {
    let apis: Api<APIService> = Api::all(plane.client());
    eventually("available", async || {
        let api = apis.get(API).await.unwrap();
        let conditions = api.status?.conditions?;
        let available = conditions.iter().find(|it| it.type_ == "Available")?;
        (available.status == "True").then_some(())
    })
    .await;
}

/// Takes it out of the aggregation layer, so that namespaces can go although nobody serves it.
pub async fn unregister(plane: &Plane) {
    let apis: Api<APIService> = Api::all(plane.client());
    apis.delete(API, &DeleteParams::default()).await.unwrap();
}
