//! Which objects a reader wants: a namespace, labels and fields together.

use super::{Failure, Resource, query::ListOptions};
use crate::cache::{Entry, FieldSelector, LabelSelector, Malformed};

/// Which objects a reader wants.
pub(super) struct Selection {
    /// Namespace of the path; empty for all.
    pub(super) namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Returns the selection that a request makes.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for a selector that can't be understood, or that names a field nobody can choose by.
    pub(super) fn parse<R: Resource>(
        resource: &R,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<Self, Failure> {
        let refuse = |error: Malformed| Failure::BadRequest(error.to_string());
        Ok(Self {
            namespace: namespace.into(),
            labels: LabelSelector::parse(&options.labels).map_err(refuse)?,
            fields: FieldSelector::parse(&options.fields, resource.fields()).map_err(refuse)?,
        })
    }

    /// Returns whether anything but a namespace is asked for.
    pub(super) fn is_narrow(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    /// Returns whether the reader wants this object.
    pub(super) fn matches<T: Entry>(&self, object: &T) -> bool {
        let here = self.namespace.is_empty() || object.name().namespace == self.namespace;
        here && self.labels.matches(|key| object.label(key)) && self.fields.matches(object)
    }
}
