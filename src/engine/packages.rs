//! Packages as wholes: the first draft of a new one, and the end of all revisions of one. In comes what is wanted of a
//! package; what comes of it is done to its revisions, by their rules.

use super::{
    About, Call, Engine, Error, Record,
    delete::{Departed, Terms},
};
use crate::{
    api::{PorchPackage, Propagation, Task},
    cache::{Name, name_of, view},
    package::{Lifecycle, PLACEHOLDER, PackageKey, strategy::RevisionInput},
};

/// The workspace of a package's first draft.
const FIRST: &str = "v1";

impl Engine {
    /// Makes the first draft of a new package.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the package is there; every error of [`Engine::create`].
    pub async fn create_package(
        &self,
        namespace: &str,
        package: PorchPackage,
        call: &Call,
    ) -> Result<Record, Error> {
        let (repository, name) = (&package.spec.repository, &package.spec.package_name);
        if self.packages_of(namespace, repository).contains(name) {
            let key = PackageKey {
                repository: repository.clone(),
                package: name.clone(),
            };
            return Err(Error::AlreadyExists(About::Package(key.name())));
        }
        let mut revision = crate::api::PackageRevision::default();
        revision.metadata.namespace = Some(namespace.into());
        revision.spec.repository = package.spec.repository;
        revision.spec.package_name = package.spec.package_name;
        revision.spec.workspace_name = FIRST.into();
        revision.spec.tasks = Vec::<Task>::new();
        self.create(namespace, RevisionInput::from(revision), call)
            .await
    }

    /// Deletes all revisions of a package: none, if one of them may not be deleted. What is said of dependents is said of those
    /// of each revision.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming those that may not be deleted; [`Error::NotFound`]; every error of [`Engine::delete`].
    pub async fn delete_package(
        &self,
        name: &Name,
        propagation: Option<Propagation>,
        call: &Call,
    ) -> Result<Vec<Departed>, Error> {
        let records = self.means().feed.catalog().records_of_package(name);
        if records.is_empty() {
            return Err(Error::NotFound(About::Request));
        }
        let published = records.iter().filter(|record| {
            let observed = view::observed(record);
            observed.is_some_and(|observed| observed.lifecycle == Lifecycle::Published)
        });
        let names: Vec<String> = published.map(|record| name_of(record).name).collect();
        if !names.is_empty() {
            return Err(Error::Forbidden {
                about: About::Request,
                why: format!(
                    "these revisions must be proposed for deletion first: {}",
                    names.join(", ")
                ),
            });
        }
        let terms = Terms {
            propagation,
            ..Terms::default()
        };
        let mut gone = Vec::new();
        for record in in_order(records) {
            match self.delete(&name_of(&record), &terms, call).await {
                Ok(departed) => gone.push(departed),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }
}

/// Returns records in the order in which they go: what was not published first, the package on the branch last.
fn in_order(mut records: Vec<Record>) -> Vec<Record> {
    let place = |record: &Record| match view::observed(record).map(|it| it.revision) {
        Some(PLACEHOLDER) => i64::MAX,
        Some(revision) => revision,
        None => 0,
    };
    records.sort_by_key(place);
    records
}
