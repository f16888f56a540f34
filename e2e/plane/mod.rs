//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager, without pods.
//!
//! There is one for a run of tests, started when the first of them asks. Tests live side by side in namespaces of their own;
//! one that stops a part of it, or writes records that belong to no Repository, has the plane to itself meanwhile.

mod balancer;
mod certificates;
mod process;
mod wire;

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

pub use balancer::{Balancer, is_ready};
use certificates::Certificates;
pub use certificates::{Authority, Pair};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{Patch, PatchParams, PostParams, ValidationDirective},
    config::{KubeConfigOptions, Kubeconfig},
};
pub use process::Process;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use wire::Wire;

/// The namespace of the server under test.
pub const HOME: &str = "porch-system";
/// How long a part may take to start on a busy machine.
const START: Duration = Duration::from_mins(2);

/// The one plane of this run.
static PLANE: OnceCell<Plane> = OnceCell::const_new();
/// Taken shared by those who only use the plane.
static USE: RwLock<()> = RwLock::const_new(());

/// A control plane.
pub struct Plane {
    programs: PathBuf,
    directory: PathBuf,
    certificates: Certificates,
    ports: Ports,
    /// What runs, in the order in which it must end.
    running: Mutex<Running>,
}

struct Ports {
    etcd: u16,
    peers: u16,
    apiserver: u16,
    manager: u16,
}

#[derive(Default)]
struct Running {
    manager: Option<Process>,
    apiserver: Option<Process>,
    etcd: Option<Process>,
}

/// The plane, for as long as it is held.
pub struct Held<G> {
    plane: &'static Plane,
    _until: G,
}

/// The plane, in use by nobody else.
pub type Alone = Held<RwLockWriteGuard<'static, ()>>;

impl<G> Deref for Held<G> {
    type Target = Plane;

    fn deref(&self) -> &Plane {
        self.plane
    }
}

/// Returns the plane, to be used beside others.
pub async fn shared() -> Held<RwLockReadGuard<'static, ()>> {
    let until = USE.read().await;
    Held {
        plane: PLANE.get_or_init(Plane::start).await,
        _until: until,
    }
}

/// Returns the plane, to be used by nobody else meanwhile; whole, whatever a test that failed did to it.
pub async fn alone() -> Alone {
    let until = USE.write().await;
    let plane = PLANE.get_or_init(Plane::start).await;
    plane.mend().await;
    Held {
        plane,
        _until: until,
    }
}

impl Plane {
    async fn start() -> Self {
        // Some other test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let programs = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let programs = programs.expect("these tests need a control plane: start them with e2e/run");
        let directory = std::env::var_os("PORCH_E2E_DIRECTORY").map_or_else(
            || tempfile::tempdir().unwrap().keep(),
            |path| std::path::absolute(path).unwrap(),
        );
        let keys = directory.join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        let plane = Self {
            certificates: Certificates::make(&keys),
            ports: Ports::free(),
            programs,
            directory,
            running: Mutex::default(),
        };
        plane.start_etcd();
        plane.start_apiserver().await;
        plane.start_manager();
        plane.define().await;
        plane
    }

    /// Starts again what does not run.
    async fn mend(&self) {
        let (etcd, apiserver) = {
            let running = self.running.lock().unwrap();
            (running.etcd.is_some(), running.apiserver.is_some())
        };
        if !etcd {
            self.start_etcd();
        }
        if !apiserver {
            self.start_apiserver().await;
        } else if !etcd {
            self.until_ready().await;
        }
    }

    /// Starts etcd, on what it had before if there was one.
    pub fn start_etcd(&self) {
        let clients = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peers = format!("http://127.0.0.1:{}", self.ports.peers);
        let data = self.directory.join("etcd");
        let flags = [
            "--name=e0".into(),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=e0={peers}"),
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ];
        let process = self.run("etcd", &flags);
        self.running.lock().unwrap().etcd = Some(process);
    }

    /// Starts kube-apiserver, and returns when it is ready.
    pub async fn start_apiserver(&self) {
        self.start_apiserver_with(&[]).await;
    }

    /// Starts kube-apiserver with more flags, and returns when it is ready.
    pub async fn start_apiserver_with(&self, more: &[String]) {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.certificates.path(name));
        let flags = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.apiserver),
            format!("--cert-dir={}", self.directory.join("keys").display()),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("client-ca-file", "ca.crt"),
            file("service-account-key-file", "sa.pub"),
            file("service-account-signing-key-file", "sa.key"),
            file("requestheader-client-ca-file", "front-proxy-ca.crt"),
            file("proxy-client-cert-file", "front-proxy-client.crt"),
            file("proxy-client-key-file", "front-proxy-client.key"),
        ];
        let fixed = [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
        ];
        let fixed = fixed.map(String::from).into_iter();
        let more = more.iter().cloned();
        let flags: Vec<String> = flags.into_iter().chain(fixed).chain(more).collect();
        let process = self.run("kube-apiserver", &flags);
        self.running.lock().unwrap().apiserver = Some(process);
        self.until_ready().await;
    }

    /// Returns when kube-apiserver is ready.
    pub async fn until_ready(&self) {
        let (client, begun) = (self.client(), Instant::now());
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            match client.request_text(request).await {
                Ok(_) => return,
                Err(error) if begun.elapsed() > START => {
                    let running = self.running.lock().unwrap();
                    let said = running.apiserver.as_ref().map(Process::last_words);
                    panic!("kube-apiserver is not ready: {error}\n{}", said.unwrap());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn start_manager(&self) {
        let kubeconfig = self.directory.join("kubeconfig");
        let admin = self.kubeconfig("admin", "system:masters");
        std::fs::write(&kubeconfig, admin.to_string()).unwrap();
        let kubeconfig = kubeconfig.display();
        let flags = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--secure-port={}", self.ports.manager),
            format!("--service-account-private-key-file={}", self.certificates.path("sa.key")),
            format!("--root-ca-file={}", self.certificates.path("ca.crt")),
            "--bind-address=127.0.0.1".into(),
            "--leader-elect=false".into(),
            "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller".into(),
        ];
        let process = self.run("kube-controller-manager", &flags);
        self.running.lock().unwrap().manager = Some(process);
    }

    fn run(&self, name: &str, flags: &[String]) -> Process {
        let program = self.programs.join(name);
        assert!(program.exists(), "there is no {}", program.display());
        let log = self.directory.join(format!("{name}.log"));
        Process::start(Command::new(program).args(flags), &log)
    }

    /// Makes the kinds and the namespace that a Porch needs.
    async fn define(&self) {
        let client = self.client();
        crate::definitions::apply(&client).await;
        let home = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": HOME } });
        let namespaces: Api<Namespace> = Api::all(client);
        apply(&namespaces, HOME, &home).await.unwrap();
    }

    /// Returns what kube-controller-manager has logged.
    pub fn manager_log(&self) -> String {
        std::fs::read_to_string(self.directory.join("kube-controller-manager.log")).unwrap()
    }

    /// Ends kube-apiserver as a power cut would.
    pub fn kill_apiserver(&self) {
        let apiserver = self.running.lock().unwrap().apiserver.take();
        apiserver.unwrap().kill();
    }

    /// Ends etcd as a power cut would.
    pub fn kill_etcd(&self) {
        let etcd = self.running.lock().unwrap().etcd.take();
        etcd.unwrap().kill();
    }

    /// Has etcd forget everything but the present; returns the version from which on it remembers.
    pub async fn compact(&self) -> u64 {
        let port = self.ports.etcd;
        let ask = move |path: &str, body: String| {
            let url = format!("http://127.0.0.1:{port}/v3/{path}");
            let mut answer = ureq::post(&url).send(body).unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let work = move || {
            let status = ask("maintenance/status", "{}".into());
            let revision = status["header"]["revision"].as_str().unwrap().to_owned();
            let body = json!({ "revision": revision, "physical": true });
            ask("kv/compaction", body.to_string());
            revision.parse().unwrap()
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    /// Returns where kube-apiserver listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.ports.apiserver).into()
    }

    /// Returns a directory for the files of one test; it is kept if the run fails.
    pub fn directory(&self, name: &str) -> PathBuf {
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    /// Returns the authority of the cluster.
    pub fn authority(&self) -> &Authority {
        &self.certificates.cluster
    }

    /// Returns the authority of the front proxy.
    pub fn front_proxy(&self) -> &Authority {
        &self.certificates.front_proxy
    }

    /// Returns a client who may do everything.
    pub fn client(&self) -> Client {
        Client::try_from(self.config()).unwrap()
    }

    /// Returns the configuration of a client who may do everything.
    pub fn config(&self) -> Config {
        config(self.kubeconfig("admin", "system:masters"))
    }

    /// Returns a kubeconfig of a user in a group.
    pub fn kubeconfig(&self, user: &str, group: &str) -> Value {
        self.kubeconfig_with(self.address(), &self.user(user, group))
    }

    /// Returns how a user in a group proves who that is.
    pub fn user(&self, user: &str, group: &str) -> Value {
        credentials(&self.certificates.cluster.client(user, group))
    }

    /// Returns a kubeconfig of a user at an address where the cluster's authority is to be believed.
    pub fn kubeconfig_with(&self, address: std::net::SocketAddr, user: &Value) -> Value {
        let cluster = json!({
            "server": format!("https://{address}"),
            "certificate-authority-data": base64(&self.certificates.cluster.certificate),
        });
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{ "name": "e2e", "cluster": cluster }],
            "users": [{ "name": "e2e", "user": user }],
            "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": "e2e" } }],
        })
    }

    /// Makes a namespace for one test, whose name begins with `prefix`.
    pub async fn namespace(&self, prefix: &str) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client());
        let mut wanted = Namespace::default();
        wanted.metadata.generate_name = Some(format!("{prefix}-"));
        let made = namespaces.create(&PostParams::default(), &wanted).await;
        made.unwrap().name_any()
    }
}

impl Ports {
    /// Returns ports that nobody listens on. All are held until all are known.
    fn free() -> Self {
        let listeners = [(); 4].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [etcd, peers, apiserver, manager] =
            listeners.map(|listener| listener.local_addr().unwrap().port());
        Self {
            etcd,
            peers,
            apiserver,
            manager,
        }
    }
}

/// Applies an object, by the strictest rules.
pub async fn apply<K>(api: &Api<K>, name: &str, object: &Value) -> kube::Result<K>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut params = PatchParams::apply("e2e").force();
    params.field_validation = Some(ValidationDirective::Strict);
    api.patch(name, &params, &Patch::Apply(object)).await
}

/// Returns how kubeconfigs hold a certificate and its key.
pub fn credentials(pair: &Pair) -> Value {
    json!({
        "client-certificate-data": base64(&pair.certificate),
        "client-key-data": base64(&pair.key),
    })
}

/// Returns the client configuration that a kubeconfig describes.
pub fn config(kubeconfig: Value) -> Config {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    // Nothing in it has to be waited for.
    futures::executor::block_on(Config::from_custom_kubeconfig(kubeconfig, &options)).unwrap()
}

/// Returns text as kubeconfigs and Secrets hold it.
pub fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

/// Waits until `look` finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the root of this repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
