//! Whose a bearer token is: a `TokenReview`, asked of the cluster and kept for a moment. The token is sent nowhere else, and
//! kept as a digest only.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::{Api, Client, api::PostParams};

use super::Identity;
use crate::apiserver::delegate::{self, Answers};

/// Asks the cluster whose a token is. Clones share what they were told.
#[derive(Clone)]
pub struct TokenReviews {
    api: Api<TokenReview>,
    /// How long an answer is good, whatever it is.
    lasting: Duration,
    answers: Arc<Answers<Option<Identity>>>,
}

impl TokenReviews {
    /// Returns one who asks through `client` and takes an answer for good so long.
    #[must_use]
    pub fn new(client: Client, lasting: Duration) -> Self {
        Self {
            api: Api::all(client),
            lasting,
            answers: Arc::new(Answers::new()),
        }
    }

    /// Returns whose a token is; nothing if it is nobody's.
    ///
    /// # Errors
    /// Why the cluster does not say.
    pub(super) async fn whose(&self, token: &str) -> Result<Option<Identity>, String> {
        if let Some(answer) = self.answers.get(token.as_bytes()) {
            return Ok(answer);
        }
        let answer = self.review(token).await?;
        self.answers
            .keep(token.as_bytes(), answer.clone(), self.lasting);
        Ok(answer)
    }

    async fn review(&self, token: &str) -> Result<Option<Identity>, String> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.into()),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let params = PostParams::default();
        let told = delegate::ask(|| self.api.create(&params, &review)).await?;
        let status = told.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            return Ok(None);
        }
        Ok(status.user.and_then(identity))
    }
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TokenReviews")
    }
}

fn identity(user: UserInfo) -> Option<Identity> {
    let name = user.username.filter(|name| !name.is_empty())?;
    let identity = Identity {
        user: name,
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    };
    Some(identity.known())
}
