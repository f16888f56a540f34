//! A package as the cache keeps it: made of one record of it, the one that its content comes from.

use std::{borrow::Cow, cmp::Reverse, sync::Arc};

use bytes::Bytes;

use super::{Entry, Name, Version, revision::version_of, view};
use crate::api::{Observed, PackageRev};

/// A package that is served.
#[derive(Debug)]
pub struct Package {
    name: Name,
    version: Version,
    body: Bytes,
    /// A part of `body`.
    metadata: Bytes,
    /// Has `observed`: without it there would be nothing to serve.
    source: Arc<PackageRev>,
}

impl Package {
    /// Returns the package whose content comes from `source`, under `version`; nothing if Git was not read for that.
    #[must_use]
    pub fn of(source: &Arc<PackageRev>, version: Version) -> Option<Self> {
        let mut shown = view::package(source)?;
        shown.metadata.resource_version = Some(version.to_string());
        let encoded = view::encode(&shown.kind, &shown.metadata, &shown.spec, &shown.status);
        Some(Self {
            name: Name {
                namespace: shown.metadata.namespace.unwrap_or_default(),
                name: shown.metadata.name.unwrap_or_default(),
            },
            version,
            body: encoded.body,
            metadata: encoded.metadata,
            source: source.clone(),
        })
    }

    /// Returns the whole `PorchPackage` as one line of JSON.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the path of the package below its Repository's directory.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.observed().package
    }

    /// Returns the name of its Repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        view::repository(&self.source)
    }

    /// Returns the number of its highest published revision; zero when there is none.
    #[must_use]
    pub fn latest_revision(&self) -> i64 {
        published(self.observed()).unwrap_or(0)
    }

    /// Returns the record that the content comes from.
    pub(super) fn source(&self) -> &Arc<PackageRev> {
        &self.source
    }

    fn observed(&self) -> &Observed {
        let observed = self.source.spec.observed.as_ref();
        observed.expect("a package is only made of a record that Git was read for")
    }
}

impl Entry for Package {
    fn name(&self) -> &Name {
        &self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    fn label(&self, _: &str) -> Option<&str> {
        None
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match path {
            "metadata.name" => &self.name.name,
            "metadata.namespace" => &self.name.namespace,
            "spec.packageName" => self.path(),
            "spec.repository" => self.repository(),
            _ => return None,
        }))
    }

    fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    fn at(&self, version: Version) -> Self {
        Self::of(&self.source, version).expect("it was served under another version")
    }
}

/// Returns the record that a package's content comes from: that of the highest published revision, else the one of the
/// lowest version, which changes least often. Nothing if there is no record that Git was read for.
pub(super) fn source<'a>(
    records: impl Iterator<Item = &'a Arc<PackageRev>> + Clone,
) -> Option<&'a Arc<PackageRev>> {
    let highest = records.clone().filter_map(|record| {
        let number = published(view::observed(record)?)?;
        Some((number, Reverse(version_of(record)), record))
    });
    if let Some((_, _, record)) = highest.max_by_key(|(number, version, _)| (*number, *version)) {
        return Some(record);
    }
    records
        .filter(|record| view::observed(record).is_some())
        .min_by_key(|record| version_of(record))
}

/// Returns the number of a published revision; nothing for a draft, a proposal or the placeholder.
fn published(observed: &Observed) -> Option<i64> {
    let counts = observed.lifecycle.is_published() && observed.revision >= 1;
    counts.then_some(observed.revision)
}
