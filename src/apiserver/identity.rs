//! Who asks. In comes what the transport and the headers prove; out goes an [`Identity`], or nothing.
//!
//! Later ways to prove who one is (a front proxy's certificate, a token review) are further cases of [`Authenticator`];
//! nobody beyond this file looks at a credential, and none is ever printed.

use std::collections::BTreeMap;

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
}
