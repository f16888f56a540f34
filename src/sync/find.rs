//! One revision, for a reader who must not be told a false "there is none".
//!
//! In comes a name; out goes its revision, or that there is none, or that this can't be known. A false absence makes the
//! garbage collector delete what depends on the revision; so the cluster is asked, whenever the cache does not know.

use std::{sync::Arc, time::Duration};

use kube::api::ListParams;

use super::{Error, Feed};
use crate::{
    api::PackageRev,
    cache::{Name, Package, Revision, Version, is_marker, version_of, view},
    package::is_name,
};

/// How long the cache may take to hear of a record that the cluster has.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the cluster may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

impl Feed {
    /// Returns the revision of this name; nothing only if it is known that there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is not known: the cluster can't be asked, the cache is behind, or Git was not read for the record.
    pub async fn find(&self, name: &Name) -> Result<Option<Arc<Revision>>, Error> {
        let catalog = self.catalog();
        if let Some(revision) = catalog.revisions().get(name) {
            return Ok(Some(revision));
        }
        if !is_possible(name) {
            return Ok(None);
        }
        let records = self.records(&name.namespace);
        let record = match in_time(records.get_opt(&name.name)).await? {
            Some(object) => super::feed::record(object),
            None => return Ok(None),
        };
        let Some(version) = version_of(&record) else {
            return Err(Error::Unavailable("a packagerev has no version".into()));
        };
        let seen = catalog.wait_for(version, PATIENCE).await;
        seen.map_err(|error| Error::Unavailable(error.to_string()))?;
        match catalog.revisions().get(name) {
            None if is_unread(&record) => Err(Error::Unavailable(
                "its repository has not been read since it was recorded".into(),
            )),
            found => Ok(found),
        }
    }

    /// Returns the package of this name; nothing only if it is known that there is none. A package is what its records
    /// make it, so what proves that there is none is a cache that has seen what the cluster has now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is not known: the cluster can't be asked, or the cache is behind.
    pub async fn find_package(&self, name: &Name) -> Result<Option<Arc<Package>>, Error> {
        let catalog = self.catalog();
        if let Some(package) = catalog.packages().get(name) {
            return Ok(Some(package));
        }
        if !is_possible(name) {
            return Ok(None);
        }
        let newest = self.newest(&name.namespace).await?;
        let seen = catalog.wait_for(newest, PATIENCE).await;
        seen.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(catalog.packages().get(name))
    }

    /// Returns the version that the records of a namespace have come to.
    async fn newest(&self, namespace: &str) -> Result<Version, Error> {
        let one = ListParams::default().limit(1);
        let records = self.records(namespace);
        let listed = in_time(records.list_metadata(&one)).await?;
        let version = listed.metadata.resource_version.unwrap_or_default();
        version
            .parse()
            .map_err(|_| Error::Unavailable("a list of packagerevs has no version".into()))
    }
}

/// Returns whether there can be anything of this name at all.
fn is_possible(name: &Name) -> bool {
    is_name(&name.name) && is_name(&name.namespace)
}

/// Returns what the cluster answers, if it does so while somebody waits: one whose store is away may be silent for long.
async fn in_time<T>(asking: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    let unasked = |why| Error::Unavailable(format!("cannot ask for packagerevs: {why}"));
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(answer) => answer.map_err(|error| unasked(error.to_string())),
        Err(_) => Err(unasked(format!("no answer within {}s", ANSWER.as_secs()))),
    }
}

/// Returns whether a record stands for a revision that may exist though nothing can be shown of it: one that Git was not
/// read for, unless it is just being created.
fn is_unread(record: &PackageRev) -> bool {
    view::observed(record).is_none() && record.spec.intent.is_none() && !is_marker(record)
}
