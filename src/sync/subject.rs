//! The Repository that is synchronised, as far as its records depend on it. Pure: values only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{
    api::{Observed, Owner, PackageRev, RECORD_FINALIZER, REPOSITORY_LABEL},
    git::Scope,
    package::{PackageKey, RevisionKey},
};

/// Longest value of a label, in bytes (Kubernetes).
const LABEL: usize = 63;

/// A Repository, as far as its records depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Namespace of the Repository and of its records.
    pub namespace: String,
    /// Name of the Repository.
    pub name: String,
    /// UID of the Repository.
    pub uid: String,
    /// Whether it holds deployments.
    pub deployment: bool,
    /// Address as the user wrote it, without credentials.
    pub address: String,
    /// What part of the Git repository is registered.
    pub scope: Scope,
}

impl Subject {
    /// Returns the key of a package revision of this Repository.
    #[must_use]
    pub fn key(&self, package: &str, workspace: &str) -> RevisionKey {
        let package = PackageKey {
            repository: self.name.clone(),
            package: package.into(),
        };
        RevisionKey {
            package,
            workspace: workspace.into(),
        }
    }

    /// Returns the key under which a record was written.
    #[must_use]
    pub fn key_of(&self, observed: &Observed) -> RevisionKey {
        self.key(&observed.package, &observed.workspace)
    }

    /// Returns whether a record was left by an earlier Repository of the same name.
    #[must_use]
    pub fn disowns(&self, record: &PackageRev) -> bool {
        let uid = &record.spec.repository.uid;
        !uid.is_empty() && *uid != self.uid
    }

    /// Returns a new record of this name.
    #[must_use]
    pub fn record(&self, name: &str) -> PackageRev {
        let mut record = PackageRev::default();
        record.metadata.name = Some(name.into());
        record.metadata.namespace = Some(self.namespace.clone());
        self.claim(&mut record);
        record
    }

    /// Gives a record what marks it as one of this Repository: owner, label and finalizer, no owner references.
    pub fn claim(&self, record: &mut PackageRev) {
        record.spec.repository = Owner {
            name: self.name.clone(),
            uid: self.uid.clone(),
        };
        claim(&mut record.metadata, &self.name);
    }
}

fn claim(metadata: &mut ObjectMeta, repository: &str) {
    if repository.len() <= LABEL {
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(REPOSITORY_LABEL.into(), repository.into());
    }
    // A record that is being deleted may lose finalizers, not gain them.
    let held = metadata.finalizers.get_or_insert_default();
    if metadata.deletion_timestamp.is_none() && !held.iter().any(|held| held == RECORD_FINALIZER) {
        held.push(RECORD_FINALIZER.into());
    }
    if held.is_empty() {
        metadata.finalizers = None;
    }
    metadata.owner_references = None;
}
