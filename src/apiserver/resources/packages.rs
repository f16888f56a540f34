//! `packages`: what the revisions are revisions of.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{column, kind, ready};
use crate::{
    api,
    apiserver::{Kind, Problem, Resource},
    cache::{Catalog, Entry, Package, Store, TooNew, Version},
};

/// Packages, as the catalog has them.
pub struct Packages {
    kind: Kind,
    catalog: Catalog,
}

impl Packages {
    /// Returns what `catalog` has.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
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
        Self {
            kind: kind::<api::PorchPackage>("PorchPackage", "packages", "package", columns),
            catalog,
        }
    }
}

impl Resource for Packages {
    type Object = Package;

    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn store(&self) -> &Arc<Store<Package>> {
        self.catalog.packages()
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
        ready(&self.catalog)
    }

    async fn wait_for(&self, version: Version, within: Duration) -> Result<(), TooNew> {
        self.catalog.wait_for(version, within).await
    }
}
