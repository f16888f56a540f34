//! Who is known, and who may do what, as the flags and the cluster say: wired from the parts of `apiserver`. Files of
//! authorities are read again when they change.

use std::{path::Path, time::Duration};

use anyhow::Context;
use kube::Client;
use tokio::{task::JoinHandle, time::sleep};

use super::connect;
use crate::{
    apiserver::{
        AccessReviews, Authenticator, Authorizer, Headers, Health, ProxyTerms, Terms, TokenReviews,
        Trust, follow_published,
    },
    config::{self, Serve},
};

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// Who is known, and who may do what.
pub struct Callers {
    trust: Trust,
    tokens: TokenReviews,
    access: AccessReviews,
}

impl Callers {
    /// Starts to follow who may vouch for callers.
    ///
    /// # Errors
    /// If a kubeconfig or the file of an authority can't be read.
    pub async fn start(flags: &Serve, client: &Client) -> anyhow::Result<Self> {
        let flags = &flags.callers;
        let authentication = other(client, flags.authentication_kubeconfig.as_deref()).await?;
        let authorization = other(client, flags.authorization_kubeconfig.as_deref()).await?;
        let trust = Trust::new();
        let fixed = fixed(flags)?;
        let following = follow(flags, &authentication, &trust, fixed.clone());
        if flags.client_ca_file.is_some() || flags.requestheader_client_ca_file.is_some() {
            let (flags, client, trust) = (flags.clone(), authentication.clone(), trust.clone());
            tokio::spawn(poll(flags, client, trust, (fixed, following)));
        }
        Ok(Self {
            trust,
            tokens: TokenReviews::new(authentication, flags.authentication_token_webhook_cache_ttl),
            access: AccessReviews::new(
                authorization,
                flags.authorization_webhook_cache_authorized_ttl,
                flags.authorization_webhook_cache_unauthorized_ttl,
            ),
        })
    }

    /// Returns who knows who asks.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        Authenticator::new()
            .with_certificates(self.trust.clone())
            .with_reviews(self.tokens.clone())
            .with_anonymous()
    }

    /// Returns who says who may do what.
    #[must_use]
    pub fn authorizer(&self) -> Authorizer {
        Authorizer::Cluster(Box::new(self.access.clone()))
    }

    /// Adds a check that fails until it is known who may vouch for callers.
    #[must_use]
    pub fn health(&self, health: Health) -> Health {
        let trust = self.trust.clone();
        health.ready("authentication", move || {
            trust.problem().map_or(Ok(()), Err)
        })
    }
}

async fn other(client: &Client, kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    match kubeconfig {
        Some(file) => connect(Some(file)).await,
        None => Ok(client.clone()),
    }
}

/// Returns what the flags say of who may vouch for callers.
fn fixed(flags: &config::Callers) -> anyhow::Result<Terms> {
    let text = |file: &Option<_>| {
        let read = |file: &std::path::PathBuf| {
            let text = std::fs::read_to_string(file);
            text.with_context(|| format!("cannot read {}", file.display()))
        };
        file.as_ref().map(read).transpose()
    };
    let proxy = text(&flags.requestheader_client_ca_file)?.map(|authority| ProxyTerms {
        authority,
        allowed: flags.requestheader_allowed_names.clone(),
        headers: Headers {
            user: flags.requestheader_username_headers.clone(),
            uid: flags.requestheader_uid_headers.clone(),
            group: flags.requestheader_group_headers.clone(),
            extra: flags.requestheader_extra_headers_prefix.clone(),
        },
    });
    Ok(Terms {
        clients: text(&flags.client_ca_file)?,
        proxy,
    })
}

/// Trusts what the flags say, and what the cluster publishes where they say nothing.
fn follow(
    flags: &config::Callers,
    client: &Client,
    trust: &Trust,
    fixed: Terms,
) -> Option<JoinHandle<()>> {
    if flags.authentication_skip_lookup || (fixed.clients.is_some() && fixed.proxy.is_some()) {
        trust.replace(fixed);
        return None;
    }
    let following = follow_published(client.clone(), trust.clone(), fixed);
    Some(tokio::spawn(following))
}

/// Looks whether the files have changed, for ever.
async fn poll(
    flags: config::Callers,
    client: Client,
    trust: Trust,
    (mut known, mut following): (Terms, Option<JoinHandle<()>>),
) {
    loop {
        sleep(EVERY).await;
        match fixed(&flags) {
            Ok(now) if now != known => {
                if let Some(following) = following.take() {
                    following.abort();
                }
                following = follow(&flags, &client, &trust, now.clone());
                known = now;
            }
            Ok(_) => {}
            Err(error) => trust.report(Some(error.to_string())),
        }
    }
}
