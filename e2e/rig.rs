//! What the contract suite needs: a server to examine, through kube-apiserver or directly, and a handle to make trouble.

use std::{net::SocketAddr, sync::Arc};

use k8s_openapi::api::{core::v1::ServiceAccount, rbac::v1::ClusterRoleBinding};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use crate::{
    plane::{self, Alone, Plane, Wire},
    served::{self, Replica},
    subject::Subject,
};

/// The ServiceAccount of a user who may do everything.
const USER: &str = "user";

/// The server under examination, in a namespace of its own.
pub struct Rig {
    pub plane: Arc<Alone>,
    pub replica: Arc<Replica>,
    namespace: String,
    /// What proves who the user is.
    pub token: String,
}

/// What a client must know to come through a socket.
pub struct Opened {
    pub address: SocketAddr,
    /// The certificate that is to be believed (DER).
    pub root: Vec<u8>,
    pub token: String,
}

/// What can go wrong, for tests to make it so.
pub struct Trouble {
    plane: Arc<Alone>,
    replica: Arc<Replica>,
    /// The wire of the clients.
    wire: Arc<Wire>,
}

impl Trouble {
    /// Returns where clients connect whose connections are to be cut.
    pub fn address(&self) -> SocketAddr {
        self.wire.address
    }

    /// Cuts every connection of the clients.
    pub fn cut(&self) {
        self.wire.cut();
    }

    /// Has the server's cache begin anew, since the history that it missed is forgotten.
    pub fn relist(&self) {
        let (plane, replica) = (self.plane.clone(), self.replica.clone());
        tokio::spawn(async move {
            replica.wire.sever();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            plane.compact().await;
            replica.wire.mend();
        });
    }

    /// Starts the server anew: nothing is left but the records.
    pub async fn restart(&self) {
        self.replica.kill();
        self.replica.begin(&self.plane).await;
    }
}

impl Rig {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// Starts a server with more flags.
    pub async fn start_with(name: &str, flags: &[String]) -> Self {
        let plane = Arc::new(plane::alone().await);
        served::grant(&plane).await;
        let replica = Arc::new(Replica::start_proven(&plane, name, flags).await);
        served::register(&plane, replica.address()).await;
        let namespace = place(&plane, name).await;
        let token = user(&plane, &namespace).await;
        Self {
            plane,
            replica,
            namespace,
            token,
        }
    }

    /// Returns the server as those see it who come through kube-apiserver, and their wire.
    pub async fn aggregated(&self) -> (Subject, Trouble) {
        self.examine(self.plane.address()).await
    }

    /// Returns the server as those see it who come to it directly, and their wire.
    pub async fn direct(&self) -> (Subject, Trouble) {
        self.examine(self.replica.address()).await
    }

    /// Returns the server as [`Rig::aggregated`] shows it, in another namespace, for those who come without a wire.
    pub async fn another(&self, name: &str) -> Subject {
        Subject {
            client: self.plane.client(),
            records: self.plane.client(),
            namespace: place(&self.plane, name).await,
        }
    }

    /// Ends what is in a namespace.
    pub async fn leave(&self, namespace: &str) {
        let repositories: Api<porch::api::Repository> =
            Api::namespaced(self.plane.client(), namespace);
        repositories.delete("repo", &<_>::default()).await.unwrap();
        plane::eventually("the end of the Repository", async || {
            let left = repositories.get_opt("repo").await.unwrap();
            left.is_none().then_some(())
        })
        .await;
    }

    async fn examine(&self, address: SocketAddr) -> (Subject, Trouble) {
        let wire = Arc::new(Wire::to(address).await);
        let user = json!({ "token": self.token });
        let mut config = plane::config(self.plane.kubeconfig_with(wire.address, &user));
        // Answers are examined as they come.
        config.default_retry = false;
        let subject = Subject {
            client: Client::try_from(config).unwrap(),
            records: self.plane.client(),
            namespace: self.namespace.clone(),
        };
        let trouble = Trouble {
            plane: self.plane.clone(),
            replica: self.replica.clone(),
            wire,
        };
        (subject, trouble)
    }

    /// Returns how kubectl comes to kube-apiserver.
    pub fn open(&self) -> Opened {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let root = self.plane.authority().certificate.as_bytes();
        Opened {
            address: self.plane.address(),
            root: CertificateDer::from_pem_slice(root).unwrap().to_vec(),
            token: self.token.clone(),
        }
    }

    /// Ends all of it, so that namespaces can go again.
    pub async fn end(self) {
        self.leave(&self.namespace).await;
        served::unregister(&self.plane).await;
        assert_eq!(self.replica.terminate(), Some(0));
    }
}

/// Makes a namespace whose records belong to a Repository that cannot be read, so that nobody sweeps or settles them.
async fn place(plane: &Plane, name: &str) -> String {
    let namespace = plane.namespace(name).await;
    let repository = json!({
        "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
        "metadata": { "name": "repo" },
        "spec": { "type": "git", "git": { "repo": "http://127.0.0.1:9/r.git" } },
    });
    let repositories = Api::namespaced(plane.client(), &namespace);
    plane::apply::<porch::api::Repository>(&repositories, "repo", &repository)
        .await
        .unwrap();
    namespace
}

/// Makes a ServiceAccount that may do everything, and returns a token of it.
async fn user(plane: &Plane, namespace: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), namespace);
    let mut account = ServiceAccount::default();
    account.metadata.name = Some(USER.into());
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(plane.client());
    let name = format!("e2e-{namespace}");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": USER, "namespace": namespace }],
    });
    plane::apply(&bindings, &name, &binding).await.unwrap();
    served::token(plane, namespace, USER).await
}
