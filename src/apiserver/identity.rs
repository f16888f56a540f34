//! Who asks. In comes what the transport and the headers prove; out goes an [`Identity`], or nothing.
//!
//! Later ways to prove who one is (a front proxy's certificate, a token review) are further steps of
//! [`Authenticator::identify`]; nobody beyond this file looks at a credential, and none is ever kept as it was sent.

use std::{collections::BTreeMap, fmt};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

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
/// The group of those who may do everything.
pub(super) const MASTERS: &str = "system:masters";

impl Identity {
    /// Returns the identity of `user` in `groups` and among the authenticated.
    #[must_use]
    pub fn new(user: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        Self {
            user: user.into(),
            groups,
            ..Self::default()
        }
    }

    /// Returns the identity of a user who may do everything: the owner of a standalone server, or a part of this process.
    #[must_use]
    pub fn master(user: impl Into<String>) -> Self {
        Self::new(user, [MASTERS.to_owned()])
    }
}

impl Identity {
    /// Returns the identity of one who showed nothing.
    pub(super) fn anonymous() -> Self {
        Self {
            user: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            ..Self::default()
        }
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

/// One who knows who asks.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    tokens: Vec<(Token, Identity)>,
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

    /// Returns who asks; nothing for one who shows nothing.
    ///
    /// # Errors
    /// [`Failure::Unauthorized`] for one who shows something that proves nothing; [`Failure::Forbidden`] for one who wants
    /// to be taken for another, which must never be ignored.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, Failure> {
        let impersonates = |name: &http::HeaderName| name.as_str().starts_with("impersonate-");
        if headers.keys().any(impersonates) {
            let why = "impersonation is not supported";
            return Err(Failure::forbidden(Subject::default(), why));
        }
        let Some(shown) = headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let text = shown.to_str().map_err(|_| Failure::Unauthorized)?;
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(Failure::Unauthorized),
        };
        let shown = Token::new(token);
        let known = self.tokens.iter().find(|(token, _)| *token == shown);
        let (_, identity) = known.ok_or(Failure::Unauthorized)?;
        Ok(Some(identity.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_token_proves_anything() {
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
            let mut headers = HeaderMap::new();
            if let Some(shown) = shown {
                headers.insert(header::AUTHORIZATION, shown.parse().unwrap());
            }
            assert_eq!(known.identify(&headers), who, "{shown:?}");
        }
    }

    #[test]
    fn nobody_is_taken_for_another() {
        let mut headers = HeaderMap::new();
        headers.insert("Impersonate-User", "root".parse().unwrap());
        let told = Authenticator::new().identify(&headers);
        assert!(matches!(told, Err(Failure::Forbidden { .. })));
    }

    #[test]
    fn a_token_cannot_be_printed() {
        assert_eq!(format!("{:?}", Token::new("secret")), "Token");
    }
}
