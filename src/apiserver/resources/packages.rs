//! `packages`: what the revisions are revisions of.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{column, kind, ready, verbs};
use crate::{
    api,
    apiserver::{Kind, Problem, Refusal, Resource},
    cache::{Entry, Name, Package, Store, TooNew, Version},
    engine::Engine,
    sync::Feed,
};

/// What is said to those who want to write packages, in upstream's words: packages are what their revisions make them.
const REFUSALS: &[(&str, &str)] = &[
    ("update", UPDATE),
    ("patch", UPDATE),
    (
        "deletecollection",
        "delete all PackageRevisions resources of a package to delete a package as direct package deletion",
    ),
];

/// What is done instead of an update (upstream's words).
pub(super) const UPDATE: &str =
    "update a PackageRevision resource to update a package as direct package update";

/// Packages, as the catalog has them.
pub struct Packages {
    kind: Kind,
    pub(super) feed: Feed,
    pub(super) engine: Engine,
}

impl Packages {
    /// Returns what the catalog of `feed` has, and `engine` changes.
    #[must_use]
    pub fn new(feed: Feed, engine: Engine) -> Self {
        let columns = vec![
            column("Name", "string", "Name of the package."),
            column(
                "Package",
                "string",
                "Name of the package in its repository.",
            ),
            column("Repository", "string", "Name of the Repository."),
            column(
                "Latest Revision",
                "integer",
                "Number of its newest published revision.",
            ),
        ];
        let refusals = REFUSALS.iter().map(|(verb, action)| Refusal {
            verb: (*verb).into(),
            action: (*action).into(),
        });
        let kind = kind::<api::PorchPackage>("PorchPackage", "packages", "package", columns);
        let kind = Kind {
            refusals: refusals.collect(),
            verbs: verbs(&["create", "delete", "get", "list", "watch"]),
            ..kind
        };
        Self { kind, feed, engine }
    }
}

impl Resource for Packages {
    type Object = Package;

    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn store(&self) -> &Arc<Store<Package>> {
        self.feed.catalog().packages()
    }

    async fn body(&self, package: &Arc<Package>) -> Result<Bytes, Problem> {
        Ok(package.body().clone())
    }

    async fn cells(&self, package: &Arc<Package>) -> Result<Vec<Value>, Problem> {
        Ok(vec![
            package.name().name.clone().into(),
            package.path().into(),
            package.repository().into(),
            package.latest_revision().into(),
        ])
    }

    fn ready(&self) -> Result<(), Problem> {
        ready(self.feed.catalog())
    }

    async fn find(&self, name: &Name) -> Result<Option<Arc<Package>>, Problem> {
        let found = self.feed.find_package(name).await;
        found.map_err(|unknown| Problem::Unavailable(unknown.to_string()))
    }

    async fn wait_for(&self, version: Version, within: Duration) -> Result<(), TooNew> {
        self.feed.catalog().wait_for(version, within).await
    }
}
