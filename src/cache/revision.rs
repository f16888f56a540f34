//! A package revision as the cache keeps it: its record, and what users are shown of it, encoded once.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Entry, Name, Version, view};
use crate::api::{MARKER_LABEL, Observed, PackageRev};

/// What precedes the key in the selectable field of a Kptfile's label, as in `spec.packageMetadata.labels[tier]`.
pub(super) const KPTFILE_LABEL: &str = "spec.packageMetadata.labels[";

/// A package revision that is served.
#[derive(Debug)]
pub struct Revision {
    name: Name,
    version: Version,
    labels: BTreeMap<String, String>,
    body: Bytes,
    /// A part of `body`.
    metadata: Bytes,
    /// Has `observed`: without it there would be nothing to serve.
    record: Arc<PackageRev>,
}

impl Revision {
    /// Returns the revision that a record shows; nothing for a record that is not served: the marker, one that Git was
    /// not read for (so one whose creation is under way), or one without a version.
    #[must_use]
    pub fn of(record: &Arc<PackageRev>) -> Option<Self> {
        if is_marker(record) {
            return None;
        }
        let version = version_of(record)?;
        let shown = view::package_revision(record)?;
        let encoded = view::encode(&shown.kind, &shown.metadata, &shown.spec, &shown.status);
        Some(Self {
            name: name_of(record),
            version,
            labels: shown.metadata.labels.unwrap_or_default(),
            body: encoded.body,
            metadata: encoded.metadata,
            record: record.clone(),
        })
    }

    /// Returns the whole `PackageRevision` as one line of JSON.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the record behind it.
    #[must_use]
    pub fn record(&self) -> &Arc<PackageRev> {
        &self.record
    }

    /// Returns what Git says of it.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        let observed = self.record.spec.observed.as_ref();
        observed.expect("a revision is only made of a record that Git was read for")
    }

    /// Returns the name of its Repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        view::repository(&self.record)
    }

    /// Returns the metadata of its `PackageRevisionResources`.
    #[must_use]
    pub fn resources_metadata(&self) -> ObjectMeta {
        view::resources_metadata(&self.record)
    }
}

impl Entry for Revision {
    fn name(&self) -> &Name {
        &self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let observed = self.observed();
        Some(match path {
            "metadata.name" => self.name.name.as_str().into(),
            "metadata.namespace" => self.name.namespace.as_str().into(),
            "spec.revision" => observed.revision.to_string().into(),
            "spec.packageName" => observed.package.as_str().into(),
            "spec.repository" => self.repository().into(),
            "spec.workspaceName" => observed.workspace.as_str().into(),
            "spec.lifecycle" => observed.lifecycle.as_str().into(),
            _ => {
                let key = path.strip_prefix(KPTFILE_LABEL)?.strip_suffix(']')?;
                observed.kptfile.labels.get(key)?.as_str().into()
            }
        })
    }

    fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    fn at(&self, version: Version) -> Self {
        let mut record = PackageRev::clone(&self.record);
        record.metadata.resource_version = Some(version.to_string());
        Self::of(&Arc::new(record)).expect("it was served under another version")
    }
}

/// Returns the name of a record.
#[must_use]
pub fn name_of(record: &PackageRev) -> Name {
    Name {
        namespace: record.metadata.namespace.clone().unwrap_or_default(),
        name: record.metadata.name.clone().unwrap_or_default(),
    }
}

/// Returns the version of a record; nothing if it has none, or none that can be compared.
#[must_use]
pub fn version_of(record: &PackageRev) -> Option<Version> {
    record.metadata.resource_version.as_deref()?.parse().ok()
}

/// Returns whether a record is the marker, or another's: it is never served.
#[must_use]
pub fn is_marker(record: &PackageRev) -> bool {
    let labels = record.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(MARKER_LABEL))
}
