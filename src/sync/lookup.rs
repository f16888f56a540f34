//! Asks the cluster itself for a record that the cache does not have: it may only lag, and an absence that is told must be
//! true. In comes a name, out goes the version of the record, if there is one.

use kube::{Api, Client};

use super::Error;
use crate::{
    api::PackageRev,
    cache::{Version, version_of},
};

/// One who asks the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    client: Client,
}

impl Lookup {
    /// Returns one who asks through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Returns the version of the record of this name; nothing if the cluster has none.
    ///
    /// # Errors
    /// [`Error::Cluster`] if that can't be known now.
    pub async fn version(&self, namespace: &str, name: &str) -> Result<Option<Version>, Error> {
        let api: Api<PackageRev> = Api::namespaced(self.client.clone(), namespace);
        let record = api.get_opt(name).await;
        let record = record.map_err(|error| Error::cluster("cannot read the record", &error))?;
        Ok(record.as_ref().and_then(version_of))
    }
}
