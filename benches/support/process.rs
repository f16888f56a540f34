//! A `porch standalone` process of a benchmark's own: started, given its repository, and ended.

#![allow(dead_code, reason = "each benchmark uses another part of it")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use kube::{
    Api, Client,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use porch::api::{GitRepository, Repository, RepositorySpec};
use tokio::runtime::Runtime;

pub struct Server {
    pub child: Child,
    pub client: Client,
    pub runtime: Runtime,
}

impl Server {
    /// Starts a server and returns once it says that it serves.
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// Starts a server with more flags.
    pub fn start_with(directory: &Path, flags: &[&str]) -> Self {
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
            .args(flags)
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
