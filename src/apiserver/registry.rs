//! What is served: kinds by their group, version and plural.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Keeper, Kind, ObjectWriter, Resource, Writer,
    endpoint::{Endpoint, Erased},
    request::Place,
};

/// Where a kind is found: group, version, plural.
type Key = (String, String, String);

/// What is served. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    endpoints: BTreeMap<Key, Endpoint>,
}

impl Registry {
    /// Returns a registry of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns this registry with a kind that can be read.
    #[must_use]
    pub fn serve<R: Resource>(self, resource: Arc<R>) -> Self {
        self.with(Endpoint {
            resource: Arc::new(Erased(resource)),
            writer: None,
        })
    }

    /// Returns this registry with a kind that can be read and written.
    #[must_use]
    pub fn serve_with_writer<R: Resource, W: Writer>(
        self,
        resource: Arc<R>,
        writer: Arc<W>,
    ) -> Self {
        self.with(Endpoint {
            resource: Arc::new(Erased(resource)),
            writer: Some(writer),
        })
    }

    /// Returns this registry with a kind that can be read, and whose objects `keeper` lets be changed.
    #[must_use]
    pub fn serve_with_keeper<R: Resource, K: Keeper>(
        self,
        resource: Arc<R>,
        keeper: Arc<K>,
    ) -> Self {
        let writer = ObjectWriter::new(resource.clone(), keeper);
        self.serve_with_writer(resource, Arc::new(writer))
    }

    /// Returns this registry with all that `other` serves.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.endpoints.extend(other.endpoints);
        self
    }

    fn with(mut self, endpoint: Endpoint) -> Self {
        let kind = endpoint.resource.kind();
        let key = (
            kind.group.clone(),
            kind.version.clone(),
            kind.plural.clone(),
        );
        self.endpoints.insert(key, endpoint);
        self
    }

    /// Returns the kind at a place.
    pub(super) fn find(&self, place: &Place) -> Option<&Endpoint> {
        let key = (
            place.group.clone(),
            place.version.clone(),
            place.resource.clone(),
        );
        self.endpoints.get(&key)
    }

    /// Returns everything that is served, by group, version and plural.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// Returns every kind that is served, by group, version and plural.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.endpoints().map(|endpoint| endpoint.resource.kind())
    }

    /// Returns the groups with their versions; the core group is the one without a name.
    pub(super) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for kind in self.kinds() {
            let versions = groups.entry(&kind.group).or_default();
            if !versions.contains(&kind.version.as_str()) {
                versions.push(&kind.version);
            }
        }
        groups
    }
}
