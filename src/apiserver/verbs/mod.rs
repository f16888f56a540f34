//! What may be asked of objects: each verb in its file, generic over the kind.

mod get;
mod list;
mod token;
mod watch;
mod write;

pub(super) use get::get;
pub(super) use list::list;
pub(super) use watch::{Watching, watch};
pub(super) use write::{Body, write};

use std::{sync::Arc, time::Duration};

use super::{Failure, Resource, negotiate::Format, query::Query, request::Place, view::failure};
use crate::cache::{TooNew, Version};

/// How long a reader waits for a version that was not seen yet, as kube-apiserver makes it wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a verb is told of a request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// Where it goes.
    pub(super) place: Place,
    /// What it says behind the `?`.
    pub(super) query: Query,
    /// How it wants to be answered.
    pub(super) format: Format,
}

/// Returns if the resource can answer, and has seen `version`.
async fn caught_up<R: Resource>(
    resource: &Arc<R>,
    version: Option<Version>,
) -> Result<(), Failure> {
    resource
        .ready()
        .map_err(|problem| failure(resource.kind(), problem))?;
    let version = version.unwrap_or_default();
    if version <= resource.store().version() {
        return Ok(());
    }
    let waited = resource.wait_for(version, PATIENCE).await;
    waited.map_err(|TooNew { asked, current }| Failure::TooNew {
        asked: asked.0,
        current: current.0,
    })
}
