//! Server-side apply: a caller says which fields it wants, and owns those; and who owns what after any other write.

use serde_json::Value;

use super::{Deed, admit::Origin};
use crate::{
    apiserver::{
        Author, Failure, FieldError, Owner, Ownership, PatchKind, Subject, Verb, Written,
        without_nulls,
    },
    standalone::object::{metadata_mut, text},
};

impl Deed<'_, '_> {
    /// Applies the fields in the request's body.
    pub(super) fn apply(&mut self) -> Result<Written, Failure> {
        let mut patch = self.applied()?;
        let found = self.transaction.get(self.table, &self.named()).cloned();
        let Some(live) = found else {
            return self.apply_new(patch);
        };
        let before = live.value();
        self.check_precondition(&before, text(&patch, "/metadata/uid"))?;
        let unknown = self.definition.schema.prune(&mut patch);
        self.report(&unknown, Origin::Patch)?;
        let author = self.author();
        let (value, owners) = self.ownership().apply(&before, &patch, &author)?;
        self.owners = Some(owners);
        self.replace(&live, &before, value, Origin::Patch)
    }

    /// Returns what the caller applies, after what every apply is asked.
    fn applied(&self) -> Result<Value, Failure> {
        if self.write.options.field_manager.is_empty() {
            let detail = "is required for apply patch";
            return Err(Failure::Invalid {
                subject: Subject::new("meta.k8s.io", "PatchOptions", ""),
                errors: vec![FieldError::required("fieldManager", detail)],
            });
        }
        let mut patch = self.decode()?;
        if text(&patch, "/kind").is_empty() || text(&patch, "/apiVersion").is_empty() {
            return Err(Failure::BadRequest(
                "invalid object type: an apply needs apiVersion and kind".into(),
            ));
        }
        if !patch["metadata"]["managedFields"].is_null() {
            return Err(Failure::BadRequest(
                "metadata.managedFields must be nil".into(),
            ));
        }
        self.place(&mut patch)?;
        let name = text(&patch, "/metadata/name").to_owned();
        if !name.is_empty() && name != self.write.name {
            let asked = &self.write.name;
            return Err(Failure::BadRequest(format!(
                "the name of the object ({name}) does not match the name on the URL ({asked})"
            )));
        }
        metadata_mut(&mut patch).insert("name".into(), self.write.name.as_str().into());
        without_nulls(&mut patch);
        Ok(patch)
    }

    fn apply_new(&mut self, patch: Value) -> Result<Written, Failure> {
        if !self.write.subresource.is_empty() {
            return Err(Failure::NotFound(self.definition.subject(&self.write.name)));
        }
        if let Some(refused) = &self.write.may_not_create {
            return Err(refused.clone());
        }
        let uid = text(&patch, "/metadata/uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            let subject = self.definition.subject(&self.write.name);
            return Err(Failure::Conflict { subject, why });
        }
        let owners = self.ownership().begin(&patch, &self.author());
        self.owners = Some(owners);
        self.create_from(patch, Origin::Patch)
    }

    fn ownership(&self) -> Ownership<'_> {
        Ownership {
            shape: &self.definition.schema,
            api_version: &self.api_version,
            halves: self.definition.status,
            maker: None,
        }
    }

    fn author(&self) -> Author {
        Author {
            owner: Owner {
                manager: self.write.options.field_manager.clone(),
                applies: self.write.verb == Verb::Patch(PatchKind::Apply),
                subresource: self.write.subresource.clone(),
            },
            now: self.moment(),
            force: self.write.options.force,
        }
    }

    /// Says in the object who owns what after this write.
    pub(super) fn track(&mut self, before: Option<&Value>, value: &mut Value) {
        let kept = before.is_some() || self.definition.tracked;
        let owners = self.owners.take().or_else(|| {
            let tracked = self.ownership().track(before, value, &self.author());
            tracked.filter(|_| kept)
        });
        if let Some(owners) = owners {
            owners.write(metadata_mut(value));
        }
    }
}
