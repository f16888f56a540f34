//! The files of package revisions, read by the tree that their record names. In comes a record, out come its files. They
//! are never kept in memory; a mirror that lacks them fetches once.

use std::sync::Arc;

use kube::{Api, Client};

use super::{Error, Mirrors, Target, secrets, store::Place};
use crate::{
    api::{Observed, PackageRev, Repository},
    git::{self, Limits, Mirror},
};

/// Reads the files of package revisions; clones share the mirrors.
#[derive(Clone)]
pub struct Contents {
    client: Client,
    mirrors: Mirrors,
    /// Whether `file://` addresses are allowed.
    allow_file: bool,
}

impl Contents {
    /// Returns a reader of what is in these mirrors.
    #[must_use]
    pub fn new(client: Client, mirrors: Mirrors, allow_file: bool) -> Self {
        Self {
            client,
            mirrors,
            allow_file,
        }
    }

    /// Returns the files of a revision by path, in Git's order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if they are not here now; [`Error::Unreadable`] if they can't be read at all.
    pub async fn files(&self, record: &PackageRev) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let files = self
            .read(record, |mirror, tree| {
                git::files(mirror, tree, Limits::default())
            })
            .await?;
        Ok(files
            .into_iter()
            .map(|file| (file.path, file.content))
            .collect())
    }

    /// Returns how many files a revision has, as far as that is known here: no server is waited for.
    ///
    /// # Errors
    /// As [`Contents::files`].
    pub async fn file_count(&self, record: &PackageRev) -> Result<usize, Error> {
        let place = self.mirrors.known_place(&record.spec.repository.uid);
        let place = place.ok_or_else(|| Error::Unavailable("nobody has read them yet".into()))?;
        let count = self.try_read(&place, observed(record)?, git::file_count);
        count.await.map_err(told)
    }

    async fn read<T: Send + 'static>(
        &self,
        record: &PackageRev,
        deed: fn(&Mirror, &str) -> Result<T, git::Error>,
    ) -> Result<T, Error> {
        let observed = observed(record)?;
        let place = self.place(record).await.map_err(told)?;
        match self.try_read(&place, observed, deed).await {
            Err(Error::Git(git::Error::Corrupt(_))) => {}
            other => return other.map_err(told),
        }
        let place = self.fetch(record).await.map_err(told)?;
        let age = place.store.age();
        match self.try_read(&place, observed, deed).await {
            // What is there is damaged, or nobody has what is wanted: only a new mirror tells.
            Err(Error::Git(git::Error::Corrupt(why))) if place.store.may_be_remade() => {
                tracing::warn!(why, "a mirror is damaged and is made anew");
                self.mirrors.discard(&place, age).await.map_err(told)?;
                let place = self.fetch(record).await.map_err(told)?;
                self.try_read(&place, observed, deed).await.map_err(told)
            }
            other => other.map_err(told),
        }
    }

    async fn try_read<T: Send + 'static>(
        &self,
        place: &Arc<Place>,
        observed: &Observed,
        deed: fn(&Mirror, &str) -> Result<T, git::Error>,
    ) -> Result<T, Error> {
        let tree = observed.git.tree.clone();
        self.mirrors
            .read(place, move |mirror| deed(mirror, &tree))
            .await
    }

    /// Returns where the files of a record are; which mirror that is follows from its Repository.
    async fn place(&self, record: &PackageRev) -> Result<Arc<Place>, Error> {
        match self.mirrors.known_place(&record.spec.repository.uid) {
            Some(place) => Ok(place),
            None => Ok(self.mirrors.place(&self.target(record).await?)),
        }
    }

    async fn target(&self, record: &PackageRev) -> Result<Target, Error> {
        let owner = &record.spec.repository;
        let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Repository> = Api::namespaced(self.client.clone(), namespace);
        let repository = api.get(&owner.name).await;
        let repository =
            repository.map_err(|error| Error::cluster("cannot read the Repository", &error))?;
        if repository.metadata.uid.as_ref() != Some(&owner.uid) {
            return Err(Error::Unavailable("its Repository is gone".into()));
        }
        Target::of(&repository, self.allow_file)
    }

    /// Brings the mirror up to what the server has now, and returns where it is.
    async fn fetch(&self, record: &PackageRev) -> Result<Arc<Place>, Error> {
        let target = self.target(record).await?;
        let namespace = &target.subject.namespace;
        let keys = secrets::keys(&self.client, namespace, target.secret.as_deref()).await?;
        let place = self.mirrors.place(&target);
        let access = self.mirrors.access(target.address, &keys);
        let refs = self
            .mirrors
            .list_refs(access.clone())
            .await?
            .relevant(&target.subject.scope);
        self.mirrors.fetch(&place, access, refs).await?;
        Ok(place)
    }
}

fn observed(record: &PackageRev) -> Result<&Observed, Error> {
    let observed = record.spec.observed.as_ref();
    observed.ok_or_else(|| Error::Unavailable("Git was not read for this revision yet".into()))
}

/// Returns an error as one who asks for files is told.
fn told(error: Error) -> Error {
    match error {
        Error::Git(git::Error::Refused(why) | git::Error::TooLarge(why)) => Error::Unreadable(why),
        Error::Unavailable(_) | Error::Unreadable(_) => error,
        other => Error::Unavailable(format!("the files cannot be read now: {other}")),
    }
}
