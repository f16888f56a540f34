//! The server that the writing suites examine: a replica behind kube-apiserver, and a user of the cluster.

use kube::{Api, ResourceExt, api::DeleteParams};
use porch::api::Repository;

use crate::{
    desk::Examined,
    plane,
    rig::{Rig, Trouble},
};

/// A server with its rig.
pub struct Server {
    pub examined: Examined,
    rig: Rig,
    /// Holds the wire of the client.
    _wire: Trouble,
}

impl Server {
    /// Starts one; its namespaces begin with a name that is like the check's.
    pub async fn start(check: &str) -> Self {
        Self::start_with(check, &[]).await
    }

    /// Starts one with more flags.
    pub async fn start_with(check: &str, flags: &[String]) -> Self {
        let name: String = check.replace('_', "-").chars().take(20).collect();
        let rig = Rig::start_with(name.trim_end_matches('-'), flags).await;
        let (subject, wire) = rig.aggregated().await;
        let examined = Examined {
            client: subject.client,
            user: format!("system:serviceaccount:{}:user", subject.namespace),
            prefix: format!("{}-", subject.namespace),
        };
        Self {
            examined,
            rig,
            _wire: wire,
        }
    }

    /// Returns the control plane that it serves.
    pub fn plane(&self) -> &plane::Plane {
        &self.rig.plane
    }

    /// Writes how its user comes to it by himself, and returns where.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        let user = serde_json::json!({ "token": self.rig.token });
        let plane = &self.rig.plane;
        let path = plane.directory(&self.examined.prefix).join("user");
        let kubeconfig = plane.kubeconfig_with(plane.address(), &user);
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }

    /// Returns one who comes to it directly.
    pub fn direct(&self) -> kube::Client {
        self.rig.replica.client(&self.rig.plane)
    }

    /// Returns where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.rig.replica.address()
    }

    /// Ends it, with all that was registered, so that the next one does not look there.
    pub async fn end(self) {
        let all: Api<Repository> = Api::all(self.rig.plane.client());
        let list = all.list(&<_>::default()).await.unwrap();
        for repository in list {
            let namespace = repository.namespace().unwrap();
            if namespace.starts_with(&self.examined.prefix) {
                let own: Api<Repository> = Api::namespaced(self.rig.plane.client(), &namespace);
                let name = repository.name_any();
                own.delete(&name, &DeleteParams::default()).await.unwrap();
                plane::eventually("the end of a Repository", async || {
                    let left = own.get_opt(&name).await.unwrap();
                    left.is_none().then_some(())
                })
                .await;
            }
        }
        self.rig.end().await;
    }
}
