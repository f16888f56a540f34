//! Who asks. In comes what the transport and the headers prove; out goes an [`Identity`], or nothing.
//!
//! A front proxy's certificate comes first, then a user's, then a bearer token: one that this server knows itself, or one
//! that the cluster knows. What proves something counts, whatever else was shown; what proves nothing is refused, and
//! never taken for nothing. Nobody beyond this room looks at a credential, and none is ever kept as it was sent.

mod proxy;
mod published;
mod review;
mod trust;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use proxy::Headers;
pub use published::follow as follow_published;
pub use review::TokenReviews;
pub use trust::{ProxyTerms, Terms, Trust};

use http::{HeaderMap, header, request::Parts};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use trust::Proof;

use super::{Failure, Subject};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User name.
    pub user: String,
    /// UID of the user, if known.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Whatever else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The group of everybody who proved who they are.
const AUTHENTICATED: &str = "system:authenticated";
/// The group of those who did not, and the user of whom nothing is known.
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
/// The group of those who may do everything.
const MASTERS: &str = "system:masters";

impl Identity {
    /// Returns the identity of `user` in `groups` and among the authenticated.
    #[must_use]
    pub fn new(user: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        Self {
            user: user.into(),
            groups: groups.into_iter().collect(),
            ..Self::default()
        }
        .known()
    }

    /// Returns the identity of a user who may do everything: the owner of a standalone server, or a part of this process.
    #[must_use]
    pub fn master(user: impl Into<String>) -> Self {
        Self::new(user, [MASTERS.to_owned()])
    }
}

impl Identity {
    /// Returns whether this is one who may do everything.
    pub(super) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// Returns the identity of one who showed nothing.
    pub(super) fn anonymous() -> Self {
        Self {
            user: ANONYMOUS.into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..Self::default()
        }
    }

    /// Returns this identity among the authenticated, unless it says itself that it is none of them.
    fn known(mut self) -> Self {
        let mut groups = self.groups.iter();
        let told = groups.any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
        if !told && self.user != ANONYMOUS {
            self.groups.push(AUTHENTICATED.into());
        }
        self
    }
}

/// A bearer token, as a digest: it can be compared, and neither printed nor sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Returns the token that `text` is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token")
    }
}

/// The certificates that the peer of a connection showed, its own first. That it holds the key of its own was proved; who
/// vouches for it was not asked.
#[derive(Clone, Debug)]
pub struct Presented(pub Arc<[CertificateDer<'static>]>);

/// One who knows who asks.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    tokens: Vec<(Token, Identity)>,
    trust: Option<Trust>,
    reviews: Option<TokenReviews>,
    /// Whether one who shows nothing may ask, as nobody.
    anonymous: bool,
}

impl Authenticator {
    /// Returns one who knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns this one, who knows the bearer of `token` too.
    #[must_use]
    pub fn with_token(mut self, token: Token, identity: Identity) -> Self {
        self.tokens.push((token, identity));
        self
    }

    /// Returns this one, who believes certificates as `trust` says.
    #[must_use]
    pub fn with_certificates(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Returns this one, who asks the cluster about tokens that it does not know.
    #[must_use]
    pub fn with_reviews(mut self, reviews: TokenReviews) -> Self {
        self.reviews = Some(reviews);
        self
    }

    /// Returns this one, who takes those who show nothing for nobody in particular, and leaves it to authorization what
    /// nobody may do.
    #[must_use]
    pub fn with_anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Returns who asks; nothing for one who shows nothing, where that is not enough.
    ///
    /// # Errors
    /// [`Failure::Unauthorized`] for one who shows something that proves nothing; [`Failure::Forbidden`] for one who wants
    /// to be taken for another, which must never be ignored.
    pub(super) async fn identify(&self, parts: &Parts) -> Result<Option<Identity>, Failure> {
        let impersonates = |name: &http::HeaderName| name.as_str().starts_with("impersonate-");
        if parts.headers.keys().any(impersonates) {
            let why = "impersonation is not supported";
            return Err(Failure::forbidden(Subject::default(), why));
        }
        let shown = parts.extensions.get::<Presented>();
        let proof = match (&self.trust, shown) {
            (Some(trust), Some(Presented(chain))) => trust.judge(chain, &parts.headers),
            _ => Proof::Ignored,
        };
        if let Proof::Identity(identity) = proof {
            return Ok(Some(identity));
        }
        match bearer(&parts.headers) {
            Some(token) => self.whose(token?).await.map(Some),
            None if proof == Proof::Rejected => Err(Failure::Unauthorized),
            None => Ok(self.anonymous.then(Identity::anonymous)),
        }
    }

    async fn whose(&self, token: &str) -> Result<Identity, Failure> {
        let shown = Token::new(token);
        if let Some((_, identity)) = self.tokens.iter().find(|(token, _)| *token == shown) {
            return Ok(identity.clone());
        }
        let Some(reviews) = &self.reviews else {
            return Err(Failure::Unauthorized);
        };
        match reviews.whose(token).await {
            Ok(known) => known.ok_or(Failure::Unauthorized),
            Err(error) => {
                tracing::warn!(%error, "the cluster does not say whose a token is");
                Err(Failure::Unauthorized)
            }
        }
    }
}

/// Returns the bearer token that is shown, if anything is.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, Failure>> {
    let shown = headers.get(header::AUTHORIZATION)?;
    let text = shown.to_str().unwrap_or_default().trim();
    Some(match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Failure::Unauthorized),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(header: &'static str, value: Option<&str>) -> Parts {
        let mut request = http::Request::new(());
        if let Some(value) = value {
            request.headers_mut().insert(header, value.parse().unwrap());
        }
        request.into_parts().0
    }

    #[tokio::test]
    async fn only_a_known_token_proves_anything() {
        let admin = Identity::master("admin");
        let known = Authenticator::new().with_token(Token::new("secret"), admin.clone());
        for (shown, who) in [
            (None, Ok(None)),
            (Some("Bearer secret"), Ok(Some(admin.clone()))),
            (Some("bearer  secret"), Ok(Some(admin))),
            (Some("Bearer other"), Err(Failure::Unauthorized)),
            (Some("Bearer"), Err(Failure::Unauthorized)),
            (Some("Basic secret"), Err(Failure::Unauthorized)),
        ] {
            let told = known.identify(&asks("authorization", shown)).await;
            assert_eq!(told, who, "{shown:?}");
        }
        let anonymous = known.with_anonymous();
        let nobody = anonymous.identify(&asks("authorization", None)).await;
        assert_eq!(nobody, Ok(Some(Identity::anonymous())));
        let wrong = asks("authorization", Some("Bearer other"));
        let wrong = anonymous.identify(&wrong).await;
        assert_eq!(wrong, Err(Failure::Unauthorized));
    }

    #[tokio::test]
    async fn nobody_is_taken_for_another() {
        let parts = asks("impersonate-user", Some("root"));
        let told = Authenticator::new().identify(&parts).await;
        assert!(matches!(told, Err(Failure::Forbidden { .. })));
    }

    #[test]
    fn a_token_cannot_be_printed() {
        assert_eq!(format!("{:?}", Token::new("secret")), "Token");
    }
}
