//! What a PUT or a PATCH makes of an object, whatever that object is when it is made.

use std::sync::Arc;

use serde_json::Value;

use super::{
    decoder::{Decoder, Origin},
    metadata::{check_uid, check_version, go_on, identify, member, text},
    owners, subject,
};
use crate::{
    apiserver::{Failure, FieldError, Lists, Patch, PatchKind, Write},
    cache::Version,
};

/// A change that is not made yet.
pub(super) struct Change {
    decoder: Arc<Decoder>,
    write: Write,
    body: Body,
    /// Whether it is kept who owns what.
    pub(super) tracked: bool,
}

enum Body {
    /// The object as it should be, in form, and warnings.
    Whole(Value, Vec<String>),
    Patch(Patch),
    /// What is to be applied, in form.
    Apply(Value),
}

impl Change {
    /// Returns the change that a PUT makes.
    pub(super) fn whole(decoder: Arc<Decoder>, write: &Write) -> Result<Self, Failure> {
        let (mut object, complaints) = decoder.decode(write)?;
        let validation = write.options.field_validation;
        let warnings = decoder.report(complaints, validation, Origin::Body)?;
        identify(&decoder.kind, &mut object, write)?;
        Ok(Self {
            decoder,
            write: write.clone(),
            body: Body::Whole(object, warnings),
            tracked: false,
        })
    }

    /// Returns the change that a PATCH makes.
    pub(super) fn patch(
        decoder: Arc<Decoder>,
        kind: PatchKind,
        write: &Write,
    ) -> Result<Self, Failure> {
        Ok(Self {
            decoder,
            write: write.clone(),
            body: Body::Patch(Patch::parse(kind, &write.body)?),
            tracked: false,
        })
    }

    /// Returns the change that is made by applying `applied`, an object in form.
    pub(super) fn apply_of(decoder: Arc<Decoder>, applied: Value, write: &Write) -> Self {
        Self {
            decoder,
            write: write.clone(),
            body: Body::Apply(applied),
            tracked: true,
        }
    }

    /// Returns the version that the caller names.
    pub(super) fn version(&self) -> Result<Option<Version>, Failure> {
        let named = match &self.body {
            Body::Whole(object, _) | Body::Apply(object) => text(object, "resourceVersion"),
            Body::Patch(patch) => patch.version().unwrap_or_default(),
        };
        if named.is_empty() {
            return Ok(None);
        }
        let version = named.parse().map(Some);
        version.map_err(|_| Failure::Invalid {
            subject: subject(&self.decoder.kind, &self.write.name),
            errors: vec![FieldError::invalid(
                "metadata.resourceVersion",
                &named.into(),
                &format!("strconv.ParseUint: parsing {named:?}: invalid syntax"),
            )],
        })
    }

    /// Returns `live` as it should be, and sentences for the caller.
    pub(super) fn apply(&self, live: &Value) -> Result<(Value, Vec<String>), Failure> {
        let kind = &self.decoder.kind;
        let mut applied = None;
        let (mut object, mut warnings) = match &self.body {
            Body::Whole(object, warnings) => (object.clone(), warnings.clone()),
            Body::Patch(patch) => self.patched(patch, live)?,
            Body::Apply(config) => {
                let made = owners::apply(&self.decoder, live, config, &self.write)?;
                let (mut object, owners) = made;
                self.decoder.form(&mut object, Origin::Body)?;
                applied = Some(owners);
                (object, Vec::new())
            }
        };
        identify(kind, &mut object, &self.write)?;
        let whole = matches!(self.body, Body::Whole(..));
        check_uid(kind, live, &object, whole)?;
        check_version(kind, live, &object)?;
        warnings.extend(go_on(kind, live, &mut object)?);
        match applied {
            Some(owners) => owners.write(member(&mut object, "metadata")),
            None if self.tracked => owners::go_on(&self.decoder, live, &mut object, &self.write),
            None => owners::keep(live, &mut object),
        }
        if self.is(live, &object) {
            object = live.clone();
        }
        Ok((object, warnings))
    }

    fn patched(&self, patch: &Patch, live: &Value) -> Result<(Value, Vec<String>), Failure> {
        let made = patch.apply(live, &Lists::METADATA)?;
        let origin = Origin::Patch(patch.shown(&made));
        if !made.is_object() {
            return Err(self.decoder.refused("it is no object any more", origin));
        }
        self.decoder.check_type(&made)?;
        let mut object = made.clone();
        let mut complaints = patch.complaints.clone();
        complaints.extend(self.decoder.form(&mut object, origin)?);
        let validation = self.write.options.field_validation;
        let warnings = self.decoder.report(complaints, validation, origin)?;
        Ok((object, warnings))
    }

    /// Returns whether `object` is no other than `live` once that is in form: then there is no change.
    fn is(&self, live: &Value, object: &Value) -> bool {
        let mut formed = live.clone();
        let known = self.decoder.form(&mut formed, Origin::Body);
        known.is_ok() && formed == *object
    }
}
