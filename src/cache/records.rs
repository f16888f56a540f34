//! All records that one stream told of, served or not, found by name, by Repository and by package.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Name, revision::is_marker, revision::name_of, view};
use crate::api::PackageRev;

/// Records by name, by the thing that they belong to.
type Index = HashMap<Name, BTreeMap<String, Arc<PackageRev>>>;

/// All records but the marker.
#[derive(Default)]
pub(super) struct Records {
    all: HashMap<Name, Arc<PackageRev>>,
    /// By the Repository's name.
    repositories: Index,
    /// By the name of the `PorchPackage`. Two keys can share one; they share the object then.
    packages: Index,
}

impl Records {
    pub fn get(&self, name: &Name) -> Option<&Arc<PackageRev>> {
        self.all.get(name)
    }

    pub fn all(&self) -> impl Iterator<Item = (&Name, &Arc<PackageRev>)> {
        self.all.iter()
    }

    /// Puts a record in its place and returns the one that was there. The marker has no place.
    pub fn put(&mut self, record: Arc<PackageRev>) -> Option<Arc<PackageRev>> {
        if is_marker(&record) {
            return self.remove(&name_of(&record));
        }
        let was = self.remove(&name_of(&record));
        let name = name_of(&record);
        enter(&mut self.repositories, repository_of(&record), &record);
        if let Some(package) = package_of(&record) {
            enter(&mut self.packages, package, &record);
        }
        self.all.insert(name, record);
        was
    }

    /// Takes a record away and returns it.
    pub fn remove(&mut self, name: &Name) -> Option<Arc<PackageRev>> {
        let was = self.all.remove(name)?;
        leave(&mut self.repositories, &repository_of(&was), name);
        if let Some(package) = package_of(&was) {
            leave(&mut self.packages, &package, name);
        }
        Some(was)
    }

    /// Returns the records of a Repository, by name.
    pub fn of_repository(&self, repository: &Name) -> Vec<Arc<PackageRev>> {
        let members = self.repositories.get(repository);
        members
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// Returns the records of a package, by name.
    pub fn of_package(
        &self,
        package: &Name,
    ) -> impl Iterator<Item = &Arc<PackageRev>> + Clone + use<'_> {
        let members = self.packages.get(package);
        members.into_iter().flat_map(BTreeMap::values)
    }

    /// Returns the names of all Repositories that have records.
    pub fn repositories(&self) -> Vec<Name> {
        let mut names: Vec<_> = self.repositories.keys().cloned().collect();
        names.sort();
        names
    }

    /// Returns the record as it is kept here, if this version of it is, so that a second copy takes no memory.
    pub fn shared(&self, record: PackageRev) -> Arc<PackageRev> {
        let known = self.all.get(&name_of(&record));
        let known = known.filter(|known| same_version(known, &record));
        known.cloned().unwrap_or_else(|| Arc::new(record))
    }

    /// Returns the names of all packages.
    pub fn packages(&self) -> impl Iterator<Item = &Name> {
        self.packages.keys()
    }
}

/// Returns the name of the `PorchPackage` that a record belongs to; nothing while Git was not read for it.
pub(super) fn package_of(record: &PackageRev) -> Option<Name> {
    let key = view::package_key(record, view::observed(record)?);
    let namespace = record.metadata.namespace.clone().unwrap_or_default();
    Some(Name::new(namespace, key.name()))
}

fn same_version(one: &PackageRev, other: &PackageRev) -> bool {
    one.metadata.uid == other.metadata.uid
        && one.metadata.resource_version == other.metadata.resource_version
}

fn repository_of(record: &PackageRev) -> Name {
    let namespace = record.metadata.namespace.clone().unwrap_or_default();
    Name::new(namespace, view::repository(record))
}

fn enter(index: &mut Index, of: Name, record: &Arc<PackageRev>) {
    let name = name_of(record).name;
    index.entry(of).or_default().insert(name, record.clone());
}

fn leave(index: &mut Index, of: &Name, name: &Name) {
    if let Some(members) = index.get_mut(of) {
        members.remove(&name.name);
        if members.is_empty() {
            index.remove(of);
        }
    }
}
