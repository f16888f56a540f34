//! `packagerevisions`: every revision that was found in Git.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{column, find, kind, ready, verbs, wide};
use crate::{
    api,
    apiserver::{Kind, Problem, Resource, Subresource, age},
    cache::{Fields, Name, Revision, Store, TooNew, Version},
    engine::Engine,
    git::short_name,
    sync::Feed,
};

/// Package revisions, as the catalog has them.
pub struct PackageRevisions {
    kind: Kind,
    pub(super) feed: Feed,
    pub(super) engine: Engine,
}

impl PackageRevisions {
    /// Returns what the catalog of `feed` has, and `engine` changes; the cluster is asked for what the catalog does not have.
    #[must_use]
    pub fn new(feed: Feed, engine: Engine) -> Self {
        let columns = vec![
            column("Name", "string", "Name of the package revision."),
            column(
                "Package",
                "string",
                "Name of the package in its repository.",
            ),
            column(
                "WorkspaceName",
                "string",
                "Name of the revision within its package.",
            ),
            column(
                "Revision",
                "integer",
                "Number of the revision; zero until it is published.",
            ),
            column(
                "Latest",
                "boolean",
                "Whether this is the newest published revision of its package.",
            ),
            column(
                "Lifecycle",
                "string",
                "Draft, Proposed, Published or DeletionProposed.",
            ),
            column("Repository", "string", "Name of the Repository."),
            wide("Ref", "string", "Branch or tag that holds it in Git."),
            wide("Age", "date", "Time since it was found or made."),
        ];
        let kind = kind::<api::PackageRevision>(
            "PackageRevision",
            "packagerevisions",
            "packagerevision",
            columns,
        );
        let kind = Kind {
            verbs: verbs(&[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ]),
            subresources: vec![Subresource {
                name: "approval".into(),
                verbs: verbs(&["get", "patch", "update"]),
                plain: true,
            }],
            ..kind
        };
        Self { kind, feed, engine }
    }
}

impl Resource for PackageRevisions {
    type Object = Revision;

    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn store(&self) -> &Arc<Store<Revision>> {
        self.feed.catalog().revisions()
    }

    async fn body(&self, revision: &Arc<Revision>) -> Result<Bytes, Problem> {
        Ok(revision.body().clone())
    }

    async fn cells(&self, revision: &Arc<Revision>) -> Result<Vec<Value>, Problem> {
        let observed = revision.observed();
        let created = &revision.record().metadata.creation_timestamp;
        Ok(vec![
            revision.record().metadata.name.clone().into(),
            observed.package.clone().into(),
            observed.workspace.clone().into(),
            observed.revision.into(),
            observed.latest.into(),
            observed.lifecycle.as_str().into(),
            revision.repository().into(),
            short_name(&observed.git.ref_).into(),
            age(created.as_ref().map(|time| time.0)).into(),
        ])
    }

    fn fields(&self) -> Fields<'_> {
        Fields::Revision
    }

    fn ready(&self) -> Result<(), Problem> {
        ready(self.feed.catalog())
    }

    async fn find(&self, name: &Name) -> Result<Option<Arc<Revision>>, Problem> {
        find(&self.feed, name).await
    }

    async fn wait_for(&self, version: Version, within: Duration) -> Result<(), TooNew> {
        self.feed.catalog().wait_for(version, within).await
    }
}
