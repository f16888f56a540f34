//! Whom a client certificate may come from, and what it then proves: a front proxy that speaks for its user, or a user.
//!
//! In come authorities and header names, replaced while the server runs, and the certificate of a connection; out goes an
//! identity. A header is read only behind a certificate that was verified for it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};

use super::{Identity, proxy::Headers};
use crate::{apiserver::delegate::Answers, certificate};

/// How long what was found of a certificate holds: one that expires is known for so long after.
const LASTING: Duration = Duration::from_secs(5);
/// Extra under which a user's certificate is told (KEP-3257).
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// Who may vouch for callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// PEM of the authority of users' certificates; nothing: no certificate is a user's.
    pub clients: Option<String>,
    /// The front proxy; nothing: there is none.
    pub proxy: Option<ProxyTerms>,
}

/// Who is a front proxy, and how it says for whom it speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyTerms {
    /// PEM of the authority of its certificates.
    pub authority: String,
    /// Common names that it may have; none: any.
    pub allowed: Vec<String>,
    /// What its headers are called.
    pub headers: Headers,
}

/// What is trusted now. Clones share it.
#[derive(Clone)]
pub struct Trust(Arc<Shared>);

struct Shared {
    /// Replaced as a whole, so that no request sees a half of two.
    rules: ArcSwapOption<Rules>,
    /// What is wrong, as a sentence; the rules are then the last good ones.
    problem: Mutex<Option<String>>,
}

struct Rules {
    terms: Terms,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    proxy: Option<Arc<dyn ClientCertVerifier>>,
    /// What was found of certificates lately: kube-apiserver shows the same one with every request, and to check its
    /// signatures takes longer than most requests. Gone with the rules.
    found: Answers<Found>,
}

/// Who vouches for a certificate, and what it says; nothing if it can't be read.
#[derive(Clone)]
struct Found {
    proxy: bool,
    clients: bool,
    details: Option<Arc<certificate::Details>>,
}

/// What a certificate proves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Who asks.
    Identity(Identity),
    /// Somebody showed something that proves nothing.
    Rejected,
    /// Nobody looks at certificates here.
    Ignored,
}

impl fmt::Debug for Trust {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Trust")
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::new()
    }
}

impl Trust {
    /// Returns trust in nobody, until it is told whom to trust.
    #[must_use]
    pub fn new() -> Self {
        let problem = "it is not known yet who may vouch for callers";
        Self(Arc::new(Shared {
            rules: ArcSwapOption::empty(),
            problem: Mutex::new(Some(problem.into())),
        }))
    }

    /// Trusts these from now on. If they can't be used, the last good ones stay, and [`Trust::problem`] tells.
    pub fn replace(&self, terms: Terms) {
        let known = self.0.rules.load();
        if known.as_ref().is_some_and(|known| known.terms == terms) {
            return self.report(None);
        }
        match Rules::of(terms) {
            Ok(rules) => {
                tracing::info!(
                    clients = rules.clients.is_some(),
                    front_proxy = rules.proxy.is_some(),
                    "who may vouch for callers was read"
                );
                self.0.rules.store(Some(Arc::new(rules)));
                self.report(None);
            }
            Err(why) => self.report(Some(why)),
        }
    }

    /// Notes that whom to trust can't be found out now; nothing: it can again.
    pub fn report(&self, problem: Option<String>) {
        let mut known = self
            .0
            .problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem.as_ref().filter(|now| known.as_ref() != Some(*now)) {
            tracing::warn!(%problem, "who may vouch for callers cannot be read");
        }
        *known = problem;
    }

    /// Returns why nobody can be known by a certificate yet; nothing once rules were read: they hold until there are
    /// better ones.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.0.rules.load().is_some() {
            return None;
        }
        let problem = self.0.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what a connection's certificate proves of a request with these headers.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], headers: &HeaderMap) -> Proof {
        match (self.0.rules.load().as_ref(), chain) {
            (Some(rules), [own, more @ ..]) => rules.judge(own, more, headers),
            _ => Proof::Ignored,
        }
    }
}

impl Rules {
    fn of(terms: Terms) -> Result<Self, String> {
        let verifier = |what: &str, pem: &str| {
            verifier(pem).map_err(|why| format!("the authority of {what} can't be used: {why}"))
        };
        let clients = terms.clients.as_deref();
        let proxy = terms.proxy.as_ref().map(|proxy| &*proxy.authority);
        Ok(Self {
            clients: clients.map(|pem| verifier("clients", pem)).transpose()?,
            proxy: proxy
                .map(|pem| verifier("the front proxy", pem))
                .transpose()?,
            terms,
            found: Answers::new(),
        })
    }

    fn judge(
        &self,
        own: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        headers: &HeaderMap,
    ) -> Proof {
        if self.clients.is_none() && self.proxy.is_none() {
            return Proof::Ignored;
        }
        let found = self.find(own, more);
        let Some(details) = found.details else {
            return Proof::Rejected;
        };
        if let Some(terms) = &self.terms.proxy
            && found.proxy
            && (terms.allowed.is_empty() || terms.allowed.contains(&details.common_name))
            && let Some(identity) = terms.headers.read(headers)
        {
            return Proof::Identity(identity);
        }
        if found.clients && !details.common_name.is_empty() {
            return Proof::Identity(user(&details, own));
        }
        Proof::Rejected
    }

    /// Returns what is found of a certificate, now or a moment ago.
    fn find(&self, own: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Found {
        let certificates = [own].into_iter().chain(more);
        let mut shown = Vec::new();
        for certificate in certificates {
            // With its length, so that no two chains are the same bytes.
            shown.extend_from_slice(&certificate.len().to_le_bytes());
            shown.extend_from_slice(certificate);
        }
        if let Some(found) = self.found.get(&shown) {
            return found;
        }
        let vouched = |verifier: &Option<Arc<dyn ClientCertVerifier>>| {
            verifier.as_ref().is_some_and(|verifier| {
                let now = UnixTime::now();
                verifier.verify_client_cert(own, more, now).is_ok()
            })
        };
        let found = Found {
            proxy: vouched(&self.proxy),
            clients: vouched(&self.clients),
            details: certificate::details(own).ok().map(Arc::new),
        };
        self.found.keep(&shown, found.clone(), LASTING);
        found
    }
}

fn user(details: &certificate::Details, own: &CertificateDer<'_>) -> Identity {
    Identity {
        user: details.common_name.clone(),
        uid: details.uid.clone(),
        groups: details.organizations.clone(),
        extra: [(
            CREDENTIAL.into(),
            vec![format!("X509SHA256={:x}", Sha256::digest(own))],
        )]
        .into(),
    }
    .known()
}

fn verifier(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let chain = certificate::pem_chain(pem.as_bytes()).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(chain).0 == 0 {
        return Err("none of its certificates can be understood".into());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().map_err(|error| error.to_string())
}
