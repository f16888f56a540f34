//! A `porch standalone` process to write through, over HTTPS as any client would.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use futures::future::join_all;
use kube::{
    Api, Client,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use porch::api::{GitRepository, Repository, RepositorySpec};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const BASE: &str = "/apis/porch.kpt.dev/v1alpha1/namespaces/default";

pub struct Server {
    child: Child,
    client: Client,
    runtime: Runtime,
}

impl Server {
    /// Starts a server and returns once it says that it serves.
    pub fn start(directory: &Path) -> Self {
        let built = option_env!("CARGO_BIN_EXE_porch").map(Into::into);
        let program = std::env::var_os("PORCH_BENCH_BINARY").or(built);
        let mut child = Command::new(program.expect("cargo builds the program for its benchmarks"))
            .args([
                "standalone",
                "--listen=127.0.0.1:0",
                "--log=warn",
                "--data-dir",
            ])
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let kubeconfig = line
            .trim_end()
            .split_once('=')
            .expect("the server is ready")
            .1;
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(client(kubeconfig));
        Self {
            child,
            client,
            runtime,
        }
    }

    /// Registers a repository and waits until it is ready.
    pub fn register(&self, url: &str) {
        self.runtime.block_on(async {
            let repositories = Api::<Repository>::namespaced(self.client.clone(), "default");
            let git = GitRepository {
                repo: url.into(),
                ..GitRepository::default()
            };
            let spec = RepositorySpec {
                type_: "git".into(),
                git: Some(git),
                ..RepositorySpec::default()
            };
            let many = Repository::new("many", spec);
            repositories
                .create(&PostParams::default(), &many)
                .await
                .unwrap();
            let ready = |repository: Option<&Repository>| {
                let status = repository.and_then(|repository| repository.status.as_ref());
                status.is_some_and(|status| {
                    let mut conditions = status.conditions.iter();
                    conditions.any(|it| it.type_ == "Ready" && it.status == "True")
                })
            };
            kube::runtime::wait::await_condition(repositories, "many", ready)
                .await
                .unwrap();
        });
    }

    /// Makes the first draft of a package.
    pub fn create(&self, package: &str) {
        let object = json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
            "metadata": {"namespace": "default"},
            "spec": {"repository": "many", "packageName": package, "workspaceName": "w"},
        });
        self.ask("POST", "packagerevisions", &object);
    }

    /// Gives a draft another file.
    pub fn replace(&self, name: &str, words: &str) {
        let (path, words) = replacement(name, words);
        self.ask("PATCH", &path, &words);
    }

    /// Gives each draft another file, all at once.
    pub fn replace_all(&self, names: impl Iterator<Item = String>, words: &str) {
        let each = names.map(|name| {
            let (path, words) = replacement(&name, words);
            let (client, request) = (self.client.clone(), request("PATCH", &path, &words));
            async move { client.request::<Value>(request).await.unwrap() }
        });
        self.runtime.block_on(join_all(each));
    }

    /// Brings a revision to a stage of its life.
    pub fn lifecycle(&self, name: &str, to: &str) {
        let way = if to == "Published" { "/approval" } else { "" };
        let path = format!("packagerevisions/{name}{way}");
        self.ask("PATCH", &path, &json!({"spec": {"lifecycle": to}}));
    }

    pub fn delete(&self, name: &str) {
        self.ask("DELETE", &format!("packagerevisions/{name}"), &Value::Null);
    }

    fn ask(&self, method: &str, path: &str, body: &Value) {
        let asked = self.client.request::<Value>(request(method, path, body));
        self.runtime.block_on(asked).unwrap();
    }
}

fn replacement(name: &str, words: &str) -> (String, Value) {
    let patch = json!({"spec": {"resources": {"words.txt": words}}});
    (format!("packagerevisionresources/{name}"), patch)
}

fn request(method: &str, path: &str, body: &Value) -> http::Request<Vec<u8>> {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(body).unwrap()
    };
    http::Request::builder()
        .method(method)
        .uri(format!("{BASE}/{path}"))
        .header("content-type", kind)
        .body(body)
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

async fn client(kubeconfig: &str) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}
