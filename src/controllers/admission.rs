//! Whether a Repository may be as a user wants it, before it is: another may be in its way. In comes what is wanted, out goes
//! who is in the way. Whoever slips through, since two come at once or nobody could be asked, is told in its condition.

use std::sync::Arc;

use serde_json::Value;

use super::{conflict, known::Repositories};
use crate::api::Repository;

/// What a user wants.
pub struct Wanted {
    /// The Repository as it would be.
    pub object: Value,
    /// As it is; nothing if it is new.
    pub before: Option<Value>,
}

/// Judges what users want.
pub struct Admission(Arc<Repositories>);

impl Admission {
    /// Returns one who knows these Repositories.
    #[must_use]
    pub fn among(repositories: Arc<Repositories>) -> Self {
        Self(repositories)
    }

    /// Returns namespace and name of the Repository that is in the way of what is wanted, if there is one. What stays where it
    /// is, or goes, is in nobody's way, whatever else of it changes.
    ///
    /// # Errors
    /// If the cluster does not say what there is.
    pub async fn rival(&self, wanted: Wanted) -> Result<Option<String>, kube::Error> {
        let read = |value| serde_json::from_value::<Repository>(value).ok();
        // What is no Repository is for the definition of them to refuse.
        let Some(repository) = read(wanted.object) else {
            return Ok(None);
        };
        let before = wanted.before.and_then(read);
        let stays = before.is_some_and(|before| conflict::is_same_place(&before, &repository));
        if stays || repository.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        if conflict::rival_of_newcomer(&repository, &self.0.known()).is_none() {
            return Ok(None);
        }
        // The one in the way may have gone, and nobody have heard of it yet.
        Ok(conflict::rival_of_newcomer(
            &repository,
            &self.0.now().await?,
        ))
    }
}
