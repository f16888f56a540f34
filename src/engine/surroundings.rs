//! What a write depends on beside its object: its namespace and its Repository, as the cluster has them now.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{About, Engine, Error, records::told};
use crate::{
    api::{PackageRev, REPOSITORY_CONFLICT, Repository},
    cache::view,
    sync::{self, Target},
};

/// A Repository that may be written to.
#[derive(Clone, Debug)]
pub struct Home {
    /// The object.
    pub repository: Repository,
    /// Where it is in Git.
    pub target: Target,
}

/// What a namespace is to a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    Active,
    /// It is going, with all that is in it.
    Terminating,
    /// It is gone.
    Missing,
}

impl Engine {
    /// Returns whether a namespace is there to stay.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can't be read: nothing is done that depends on it.
    pub(super) async fn standing(&self, namespace: &str) -> Result<Standing, Error> {
        let api: Api<Namespace> = Api::all(self.sync().client.clone());
        let found = api.get_metadata_opt(namespace).await;
        let found = found.map_err(|error| match told(&error) {
            Error::Internal(why) => Error::Unavailable { why, after: 5 },
            other => other,
        })?;
        Ok(match found {
            None => Standing::Missing,
            Some(found) if found.metadata.deletion_timestamp.is_some() => Standing::Terminating,
            Some(_) => Standing::Active,
        })
    }

    /// Returns the Repository that a record belongs to, to be written to.
    ///
    /// # Errors
    /// As [`Engine::home`]; [`Error::Unavailable`] if it was registered anew or elsewhere since the record was written: what
    /// the record says is not of the Git repository that would be written to.
    pub(super) async fn home_of(&self, record: &PackageRev) -> Result<Home, Error> {
        let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
        let home = self.home(namespace, view::repository(record)).await?;
        let subject = &home.target.subject;
        let address = view::observed(record).map(|observed| observed.git.repo.as_str());
        if subject.disowns(record) || address.is_some_and(|it| it != subject.address) {
            return Err(Error::Unavailable {
                why: "the Repository was registered anew, and is being read".into(),
                after: 2,
            });
        }
        Ok(home)
    }

    /// Returns the Repository of this name, to be written to.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] if it is going or is not as it should be; [`Error::Unavailable`].
    pub(super) async fn home(&self, namespace: &str, name: &str) -> Result<Home, Error> {
        let about = || About::Repository(name.into());
        let api: Api<Repository> = Api::namespaced(self.sync().client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|error| told(&error))?;
        let repository = found.ok_or_else(|| Error::NotFound(about()))?;
        let forbidden = |why: String| Error::Forbidden {
            about: about(),
            why,
        };
        if repository.metadata.deletion_timestamp.is_some() {
            return Err(forbidden("it is being deleted".into()));
        }
        if let Some(why) = conflict(&repository) {
            return Err(forbidden(why));
        }
        match Target::of(&repository, self.means().allow_file) {
            Ok(target) => Ok(Home { repository, target }),
            Err(sync::Error::Invalid { field, why }) => {
                Err(forbidden(format!("it can't be written to: {field}: {why}")))
            }
            Err(other) => Err(Error::Internal(other.to_string())),
        }
    }
}

/// Returns what is told of a Repository that another one is in the way of: that one shows the same packages.
fn conflict(repository: &Repository) -> Option<String> {
    let conditions = &repository.status.as_ref()?.conditions;
    let told = conditions
        .iter()
        .find(|it| it.reason == REPOSITORY_CONFLICT);
    told.map(|it| format!("it can't be written to: {}", it.message))
}
