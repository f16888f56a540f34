//! All Repositories, as a replica knows them whose work they need not be. In comes a client, out goes what there is: as it was
//! heard of, or as it is now.

use std::sync::Arc;

use futures::StreamExt;
use kube::{Api, Client, api::ListParams};
use kube_runtime::{WatchStreamExt, reflector, reflector::Store, watcher};
use tokio::task::JoinHandle;

use crate::api::Repository;

/// All Repositories, followed. Dropped, they are followed no more.
pub struct Repositories {
    client: Client,
    known: Store<Repository>,
    /// Keeps them known.
    following: JoinHandle<()>,
}

impl Drop for Repositories {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Repositories {
    /// Begins to follow them. To be called within a runtime.
    #[must_use]
    pub fn follow(client: &Client) -> Arc<Self> {
        let (known, writer) = reflector::store();
        let all: Api<Repository> = Api::all(client.clone());
        let stream = watcher(all, watcher::Config::default()).default_backoff();
        let stream = reflector(writer, stream);
        let following = tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                if let Err(error) = event {
                    tracing::debug!(%error, "the Repositories can't be followed");
                }
            }
        });
        Arc::new(Self {
            client: client.clone(),
            known,
            following,
        })
    }

    /// Returns the client by which they are followed.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns those that were heard of; none before the first list came.
    pub(super) fn known(&self) -> Vec<Arc<Repository>> {
        self.known.state()
    }

    /// Returns those that there are now.
    ///
    /// # Errors
    /// If the cluster does not say.
    pub(super) async fn now(&self) -> Result<Vec<Arc<Repository>>, kube::Error> {
        let all: Api<Repository> = Api::all(self.client.clone());
        let list = all.list(&ListParams::default()).await?;
        Ok(list.items.into_iter().map(Arc::new).collect())
    }
}
