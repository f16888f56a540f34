//! A change of what is there: as operations, as a merge, or as Kubernetes' own merge.

use super::{Deed, admit::Origin};
use crate::apiserver::{Failure, Lists, Patch, PatchKind, Written};

/// Lists that a strategic patch merges (the patch tags of the built-in kinds).
const LISTS: Lists = Lists {
    keyed: &[
        ("metadata.ownerReferences", "uid"),
        ("status.conditions", "type"),
    ],
    sets: &["metadata.finalizers"],
};

impl Deed<'_, '_> {
    /// Changes the object as the patch in the request's body says.
    pub(super) fn patch(&mut self, kind: PatchKind) -> Result<Written, Failure> {
        if kind == PatchKind::Strategic && self.definition.custom {
            let known = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return Err(Failure::UnsupportedMediaType(format!(
                "the body of the request was in an unknown format - accepted media types include: {known}"
            )));
        }
        let live = self.live()?;
        let before = live.value();
        let patch = Patch::parse(kind, &self.write.body)?;
        self.complain(&patch.complaints, Origin::Patch)?;
        let value = patch.apply(&before, &LISTS)?;
        if !value.is_object() {
            return Err(self.refused("it is no object any more", Origin::Patch));
        }
        self.check_type(&value)?;
        self.replace(&live, &before, value, Origin::Patch)
    }
}
