//! The marker: one object among the records that is never served, and whose touches prove how far a stream has come.
//!
//! A touch is a write, so its version is newer than all that anyone was told before it; a stream that brings it round has
//! brought all of that. It is made where it is missing. Nothing but its version means anything.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    api::{MARKER_LABEL, PackageRev, PackageRevSpec},
    cache::{Version, version_of},
};

/// Its object name; no revision has it, since theirs have dots.
const NAME: &str = "marker";
/// What a touch changes: without a change there would be no version.
const TOUCH: &str = "internal.porch.kpt.dev/touch";
/// How long a touch may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The marker, in the server's own namespace.
pub(super) struct Marker {
    api: Api<PackageRev>,
    namespace: String,
}

impl Marker {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.into(),
        }
    }

    /// Touches the marker and returns the version that this made.
    ///
    /// # Errors
    /// A sentence that says what is wrong; the marker may have been touched nevertheless.
    pub async fn touch(&self) -> Result<Version, String> {
        let written = tokio::time::timeout(PATIENCE, self.write()).await;
        let why = match written {
            Ok(Ok(marker)) => match version_of(&marker) {
                Some(version) => return Ok(version),
                None => "the answer has no resourceVersion that can be compared".into(),
            },
            Ok(Err(kube::Error::Api(status))) => status.message.clone(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        Err(format!(
            "cannot touch packagerevs/{NAME} in namespace {:?}: {why}",
            self.namespace
        ))
    }

    async fn write(&self) -> kube::Result<PackageRev> {
        match self.patch().await {
            Err(error) if has_code(&error, 404) => {}
            answer => return answer,
        }
        let mut marker = PackageRev::new(NAME, PackageRevSpec::default());
        marker.metadata.labels = Some([(MARKER_LABEL.into(), "true".into())].into());
        match self.api.create(&PostParams::default(), &marker).await {
            // Another replica made it meanwhile.
            Err(error) if has_code(&error, 409) => self.patch().await,
            answer => answer,
        }
    }

    /// Changes the marker; sets its label too, without which it would be taken for a record.
    async fn patch(&self) -> kube::Result<PackageRev> {
        let touch = uuid::Uuid::new_v4().to_string();
        let patch =
            json!({"metadata": {"labels": {MARKER_LABEL: "true"}, "annotations": {TOUCH: touch}}});
        let parameters = PatchParams::default();
        self.api
            .patch(NAME, &parameters, &Patch::Merge(patch))
            .await
    }
}

fn has_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
