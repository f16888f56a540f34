//! One revision, for a reader who must not be told a false "there is none".
//!
//! In comes a name; out goes its revision, or that there is none, or that this can't be known. A false absence makes the
//! garbage collector delete what depends on the revision; so the cluster is asked, whenever the cache does not know.

use std::{sync::Arc, time::Duration};

use super::{Error, Feed};
use crate::{
    api::PackageRev,
    cache::{Name, Revision, is_marker, version_of, view},
};

/// How long the cache may take to hear of a record that the cluster has.
const PATIENCE: Duration = Duration::from_secs(3);

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
        let asked = self.records(&name.namespace).get_opt(&name.name).await;
        let record = match asked {
            Ok(Some(object)) => super::feed::record(object),
            Ok(None) => return Ok(None),
            Err(error) => {
                return Err(Error::Unavailable(format!(
                    "cannot ask for packagerevs: {error}"
                )));
            }
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
}

/// Returns whether a record stands for a revision that may exist though nothing can be shown of it: one that Git was not
/// read for, unless it is just being created.
fn is_unread(record: &PackageRev) -> bool {
    view::observed(record).is_none() && record.spec.intent.is_none() && !is_marker(record)
}
