//! What the user of a package revision wants of it: the object as it is and as it should be in, what is to be done out, or
//! everything that is wrong with it. Pure.

use super::{Error, update::Way};
use crate::{
    api::{LATEST_LABEL, PackageRev, PackageRevision, UserMetadata},
    package::{
        Lifecycle,
        kptfile::Change,
        strategy::{self, RevisionInput},
    },
};

/// What is wanted of a revision, checked.
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Other metadata, and nothing in Git.
    Metadata(UserMetadata),
    /// It goes, now that nothing holds it.
    Departure(UserMetadata),
    /// Something in Git, and perhaps other metadata.
    Deed {
        to: Lifecycle,
        content: Vec<Change>,
        metadata: UserMetadata,
    },
}

/// Returns what is wanted of a revision.
pub fn wish(
    way: Way,
    record: &PackageRev,
    old: &PackageRevision,
    new: &RevisionInput,
) -> Result<Wish, Error> {
    let violations = match way {
        Way::Plain => strategy::update(old, new),
        Way::Approval => strategy::approve(old, new),
    };
    if !violations.is_empty() {
        let name = old.metadata.name.clone().unwrap_or_default();
        return Err(Error::Invalid { name, violations });
    }
    let metadata = user_metadata(record, new);
    let leaving = record.spec.metadata.deletion_timestamp.is_some();
    if leaving && metadata.finalizers.is_empty() {
        return Ok(Wish::Departure(metadata));
    }
    let from = old.spec.lifecycle.unwrap_or_default();
    let to = new.lifecycle().unwrap_or(from);
    let content = match way {
        Way::Plain if from == Lifecycle::Draft => strategy::content_changes(old, new),
        _ => Vec::new(),
    };
    Ok(if from != to || !content.is_empty() {
        Wish::Deed {
            to,
            content,
            metadata,
        }
    } else if metadata == record.spec.metadata {
        Wish::Nothing
    } else {
        Wish::Metadata(metadata)
    })
}

/// Returns the user's half as an object asks for it.
pub fn user_metadata(record: &PackageRev, new: &RevisionInput) -> UserMetadata {
    let asked = &new.object.metadata;
    let mut labels = asked.labels.clone().unwrap_or_default();
    labels.remove(LATEST_LABEL);
    UserMetadata {
        labels,
        annotations: asked.annotations.clone().unwrap_or_default(),
        finalizers: asked.finalizers.clone().unwrap_or_default(),
        owner_references: asked.owner_references.clone().unwrap_or_default(),
        ..record.spec.metadata.clone()
    }
}
