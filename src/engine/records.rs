//! The records, written one at a time and only as they were read: a create that finds one, or a change that finds another
//! version, is told as such. In come records, out go records with their new versions.

use kube::{
    Api, Client,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::Error;
use crate::{
    api::PackageRev,
    cache::{Version, version_of},
};

/// Why a record was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// There is one of this name.
    Exists,
    /// It is not what it was, or it is gone.
    Changed,
    /// The cluster said no, or nothing.
    Failed(Error),
}

/// The records of a namespace.
#[derive(Clone)]
pub struct Records {
    api: Api<PackageRev>,
}

impl Records {
    /// Returns the records of `namespace`.
    #[must_use]
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Makes a record.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn create(&self, record: &PackageRev) -> Result<PackageRev, Unwritten> {
        let made = self.api.create(&PostParams::default(), record).await;
        made.map_err(|error| match error {
            kube::Error::Api(status) if status.is_already_exists() => Unwritten::Exists,
            error => failed(&error),
        })
    }

    /// Puts a record in place of the one with its version.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn replace(&self, record: &PackageRev) -> Result<PackageRev, Unwritten> {
        self.put(record, &PostParams::default()).await
    }

    /// Asks whether a record could be put in place of the one with its version, and changes nothing.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn rehearse(&self, record: &PackageRev) -> Result<(), Unwritten> {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        self.put(record, &params).await.map(drop)
    }

    async fn put(&self, record: &PackageRev, params: &PostParams) -> Result<PackageRev, Unwritten> {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let made = self.api.replace(name, params, record).await;
        made.map_err(|error| match error {
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => Unwritten::Changed,
            error => failed(&error),
        })
    }

    /// Takes a record of ours away that has the version in here: first what holds it, then itself. Returns the version at
    /// which nothing held it any more; that at which it was gone is not told.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn remove(&self, record: &PackageRev) -> Result<Version, Unwritten> {
        let mut free = record.clone();
        free.metadata.finalizers = None;
        let free = self.replace(&free).await?;
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let only = Preconditions {
            uid: free.metadata.uid.clone(),
            resource_version: free.metadata.resource_version.clone(),
        };
        let params = DeleteParams::default().preconditions(only);
        match self.api.delete(name, &params).await {
            Ok(_) => Ok(version_of(&free).unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Ok(version_of(&free).unwrap_or_default())
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Err(Unwritten::Changed),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Returns a record as the cluster has it now; nothing if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn get(&self, name: &str) -> Result<Option<PackageRev>, Error> {
        let found = self.api.get_opt(name).await;
        found.map_err(|error| told(&error))
    }
}

fn failed(error: &kube::Error) -> Unwritten {
    Unwritten::Failed(told(error))
}

/// Returns what a caller is told of a cluster that does not do as it should.
pub fn told(error: &kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 413 || status.message.contains("too large") => {
            Error::TooLarge("the record of the package revision would be too large".into())
        }
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            Error::Internal(format!("the cluster refused a record: {}", status.message))
        }
        kube::Error::Api(status) => unavailable(&status.message),
        other => unavailable(&other.to_string()),
    }
}

fn unavailable(why: &str) -> Error {
    Error::Unavailable {
        why: format!("the cluster does not answer as it should: {why}"),
        after: 1,
    }
}
