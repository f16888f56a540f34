//! What the user of a package revision wants of it: the object as it is and as it should be in, what is to be done out, or
//! everything that is wrong with it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::{Error, update::Way};
use crate::{
    api::{CompactJson, LATEST_LABEL, PackageRev, PackageRevision, UserMetadata},
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
    // What is to go is frozen: it only waits to be let go of.
    let to = new.lifecycle().filter(|_| !leaving).unwrap_or(from);
    let content = match way {
        Way::Plain if from == Lifecycle::Draft && !leaving => strategy::content_changes(old, new),
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
        managed_fields: managed_fields(asked),
        ..record.spec.metadata.clone()
    }
}

/// Returns who owns which field, as an object says it.
#[must_use]
pub fn managed_fields(asked: &ObjectMeta) -> Option<CompactJson> {
    let entries = asked.managed_fields.as_ref();
    let entries = entries.filter(|entries| !entries.is_empty())?;
    Some(json!(entries).into())
}

/// Returns `other` with what changed between `from` and `to`.
pub fn carried(other: &UserMetadata, from: &UserMetadata, to: &UserMetadata) -> UserMetadata {
    let mut new = other.clone();
    carry(&mut new.labels, &from.labels, &to.labels);
    carry(&mut new.annotations, &from.annotations, &to.annotations);
    if from.finalizers != to.finalizers {
        new.finalizers.clone_from(&to.finalizers);
    }
    if from.owner_references != to.owner_references {
        new.owner_references.clone_from(&to.owner_references);
    }
    if from.deletion_timestamp != to.deletion_timestamp {
        new.deletion_timestamp.clone_from(&to.deletion_timestamp);
    }
    if from.managed_fields != to.managed_fields {
        new.managed_fields.clone_from(&to.managed_fields);
    }
    if from.files_managed_fields != to.files_managed_fields {
        new.files_managed_fields
            .clone_from(&to.files_managed_fields);
    }
    new
}

/// Does to a map what leads from one map to another.
fn carry(
    map: &mut BTreeMap<String, String>,
    from: &BTreeMap<String, String>,
    to: &BTreeMap<String, String>,
) {
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        map.remove(key);
    }
    let new = to
        .iter()
        .filter(|(key, value)| from.get(*key) != Some(value));
    map.extend(new.map(|(key, value)| (key.clone(), value.clone())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &[(&str, &str)]) -> UserMetadata {
        let pairs = labels
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        UserMetadata {
            labels: pairs.collect(),
            ..UserMetadata::default()
        }
    }

    #[test]
    fn what_changed_meanwhile_is_carried_and_the_rest_stays() {
        let late = labels(&[("mine", "1"), ("old", "1"), ("both", "late")]);
        let from = labels(&[("old", "1"), ("both", "0")]);
        for (to, want) in [
            (from.clone(), late.clone()),
            (
                labels(&[("old", "1"), ("both", "0"), ("new", "1")]),
                labels(&[("mine", "1"), ("old", "1"), ("both", "late"), ("new", "1")]),
            ),
            (
                labels(&[("both", "newer")]),
                labels(&[("mine", "1"), ("both", "newer")]),
            ),
        ] {
            assert_eq!(carried(&late, &from, &to), want);
        }
    }
}
