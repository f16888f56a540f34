//! Messages of Git servers that something was pushed, and who is told of them. In come messages, out goes whether they are
//! believed; what is believed makes the managers of those Repositories look at once, in whatever replica they are. It tells
//! nobody which Repositories there are.

mod deliveries;
mod kept;
mod proof;
mod pushed;

use std::{path::PathBuf, sync::Arc};

use http::HeaderMap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use self::{
    deliveries::{Deliveries, Delivery},
    kept::Kept,
    proof::Proof,
};
use super::{bells::Bells, known::Repositories};
use crate::api::Repository;

/// The annotation of a Repository that names the Secret of its own webhook, and the key in that.
const SECRET: &str = "porch.kpt.dev/webhook-secret";
const KEY: &str = "webhookSecret";
/// The annotation that tells the replica whose work it is that something was pushed.
pub const PUSHED: &str = "porch.kpt.dev/pushed-at";
/// So many Secrets are read for one message: nobody proved who sends it.
const MOST: usize = 16;
/// What a message says that only tries whether somebody is there.
const PINGS: [&str; 2] = ["ping", "diagnostics:ping"];
/// Headers that name what happened.
const EVENTS: [&str; 5] = [
    "x-github-event",
    "x-gitea-event",
    "x-gogs-event",
    "x-event-key",
    "x-gitlab-event",
];

/// Hears messages.
pub struct Webhooks {
    /// The file with the secret that counts for all Repositories.
    shared: Option<PathBuf>,
    repositories: Arc<Repositories>,
    bells: Bells,
    /// The secrets of Repositories' own webhooks.
    kept: Kept,
    /// What was acted on.
    deliveries: Deliveries,
}

/// A message.
pub struct Pushed {
    /// Namespace and name of the Repository that it was sent for, if its path names one.
    pub repository: Option<(String, String)>,
    /// Who it says that it is, and how it proves it.
    pub headers: HeaderMap,
    /// What it says.
    pub body: bytes::Bytes,
}

impl Webhooks {
    /// Returns one who hears what concerns these Repositories. `shared` is a file with a secret that counts for all of them;
    /// it is read whenever it is needed.
    #[must_use]
    pub fn of(repositories: Arc<Repositories>, shared: Option<PathBuf>, bells: Bells) -> Arc<Self> {
        Arc::new(Self {
            shared,
            repositories,
            bells,
            kept: Kept::default(),
            deliveries: Deliveries::default(),
        })
    }

    /// Returns whether a message is believed; then everybody whom it concerns is told, unless it came before.
    pub async fn hear(&self, message: Pushed) -> bool {
        let Some(proof) = Proof::of(&message.headers) else {
            return false;
        };
        let concerned = self.concerned(&message);
        let shared = self.shared().await;
        let is_shared = shared.is_some_and(|secret| proof.fits(&secret, &message.body));
        let mut believed = Vec::new();
        if is_shared {
            believed = concerned;
        } else {
            let own = |it: &Arc<Repository>| it.annotations().contains_key(SECRET);
            for repository in concerned.into_iter().filter(own).take(MOST) {
                if self.fits_own(&repository, &proof, &message.body).await {
                    believed.push(repository);
                }
            }
        }
        let genuine = is_shared || !believed.is_empty();
        if !is_ping(&message.headers) {
            self.tell_once(&message, &believed).await;
        }
        genuine
    }

    /// Tells of a message that is believed, if it did not come before. One of which somebody could not be told may come again.
    async fn tell_once(&self, message: &Pushed, believed: &[Arc<Repository>]) {
        let named = message.repository.as_ref();
        let delivery = Delivery::of(&message.headers, named, &message.body);
        if delivery.is_some_and(|delivery| self.deliveries.has(delivery)) {
            tracing::debug!("a message of a Git server came again");
            return;
        }
        let mut all_told = true;
        for repository in believed {
            all_told &= self.tell(repository).await;
        }
        if let Some(delivery) = delivery
            && all_told
            && !believed.is_empty()
        {
            self.deliveries.note(delivery);
        }
    }

    /// Returns whether a message is proved by the secret of a Repository's own.
    async fn fits_own(&self, repository: &Repository, proof: &Proof, message: &[u8]) -> bool {
        let (namespace, secret) = (repository.namespace(), repository.annotations().get(SECRET));
        let (Some(namespace), Some(secret)) = (namespace, secret) else {
            return false;
        };
        let name = (namespace, secret.clone());
        let is_it = |secret: &[u8]| proof.fits(secret, message);
        self.kept.fits(name, is_it, self.own(repository)).await
    }

    /// Returns the Repositories that a message is about.
    fn concerned(&self, message: &Pushed) -> Vec<Arc<Repository>> {
        let addresses = pushed::addresses(&message.body);
        let is_meant = |repository: &Arc<Repository>| {
            if let Some((namespace, name)) = &message.repository {
                let known = (repository.namespace(), repository.name_any());
                return known == (Some(namespace.clone()), name.clone());
            }
            let git = repository.spec.git.as_ref();
            let own = git.and_then(|git| pushed::same(&git.repo));
            own.is_some_and(|own| addresses.contains(&own))
        };
        self.repositories
            .known()
            .into_iter()
            .filter(is_meant)
            .collect()
    }

    /// Returns the secret that counts for all.
    async fn shared(&self) -> Option<Vec<u8>> {
        let file = self.shared.as_ref()?;
        match tokio::fs::read(file).await {
            Ok(secret) => Some(secret.trim_ascii_end().to_vec()),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the secret of webhooks can't be read");
                None
            }
        }
    }

    /// Returns the secret of a Repository's own.
    async fn own(&self, repository: &Repository) -> Option<Vec<u8>> {
        let name = repository.annotations().get(SECRET)?;
        let namespace = repository.namespace()?;
        let secrets: Api<Secret> = Api::namespaced(self.repositories.client().clone(), &namespace);
        let secret = secrets.get_opt(name).await;
        let secret = secret.inspect_err(|error| {
            tracing::warn!(namespace, name, %error, "the Secret of a webhook can't be read");
        });
        let data = secret.ok()??.data?;
        Some(data.get(KEY)?.0.trim_ascii_end().to_vec())
    }

    /// Makes the manager of a Repository look, here or in the replica where it is.
    /// Returns whether somebody was told.
    async fn tell(&self, repository: &Repository) -> bool {
        let (namespace, name) = (
            repository.namespace().unwrap_or_default(),
            repository.name_any(),
        );
        tracing::info!(
            namespace,
            name,
            "its Git server says that something was pushed"
        );
        if self.bells.ring(&(namespace.clone(), name.clone())) {
            return true;
        }
        let api: Api<Repository> = Api::namespaced(self.repositories.client().clone(), &namespace);
        let now = Timestamp::now().to_string();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {PUSHED: now}}}));
        let told = api
            .patch_metadata(&name, &PatchParams::default(), &patch)
            .await
            .inspect_err(|error| {
                tracing::warn!(namespace, name, %error, "nobody could be told of a push");
            });
        told.is_ok()
    }
}

fn is_ping(headers: &HeaderMap) -> bool {
    let events = EVENTS.iter().filter_map(|name| headers.get(*name));
    let mut names = events.filter_map(|value| value.to_str().ok());
    names.any(|name| PINGS.contains(&name))
}
