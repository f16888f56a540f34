//! From a body to an object of the kind: its type is checked, its form is made right, and what a strict reader has against
//! it is told as the caller wishes.

use serde_json::Value;

use super::metadata::{member, tidy};
use crate::apiserver::{
    Failure, FieldError, FieldValidation, Kind, Shape, Subject, Write, document, form,
};

/// How much of a patched object is shown to one whose patch made no sense of it.
const EXCERPT: usize = 1024;

/// One who reads objects of a kind.
pub(super) struct Decoder {
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// The group and version of the kind.
    pub(super) api_version: String,
    /// Who owns what nobody is said to own.
    pub(super) maker: Option<&'static str>,
}

/// Where the object in hand comes from; decides how its faults are told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    /// The caller sent it whole.
    Body,
    /// A patch made it: this.
    Patch(&'a Value),
}

impl Decoder {
    pub(super) fn new(kind: &Kind, maker: Option<&'static str>) -> Self {
        Self {
            kind: kind.clone(),
            shape: kind.schema.shape(),
            api_version: kind.api_version(),
            maker,
        }
    }

    /// Returns the object in a body, in form, and what a strict reader has against it.
    pub(super) fn decode(&self, write: &Write) -> Result<(Value, Vec<String>), Failure> {
        let kind = &self.kind.kind;
        let unrecognized = |why: String| {
            Failure::BadRequest(format!(
                "the object provided is unrecognized (must be of type {kind}): {why}"
            ))
        };
        let read = document::parse(&write.body);
        let read = read.map_err(|error| unrecognized(error.to_string()))?;
        let mut object = read.value;
        if !object.is_object() {
            return Err(unrecognized("it is no object".into()));
        }
        self.check_type(&object)?;
        let mut complaints = self.form(&mut object, Origin::Body)?;
        complaints.extend(read.complaints);
        complaints.extend_from_slice(&write.complaints);
        Ok((object, complaints))
    }

    /// Refuses an object that says it is of another kind.
    pub(super) fn check_type(&self, object: &Value) -> Result<(), Failure> {
        let expected = &self.api_version;
        let version = object["apiVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && version != expected {
            return Err(Failure::BadRequest(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        let (kind, wanted) = (object["kind"].as_str().unwrap_or_default(), &self.kind.kind);
        if !kind.is_empty() && kind != wanted {
            let version = &self.kind.version;
            return Err(Failure::BadRequest(format!(
                "{kind} in version {version:?} cannot be handled as a {wanted}: no kind {kind:?} is registered for version {expected:?}"
            )));
        }
        Ok(())
    }

    /// Brings an object into the form of the kind; returns what a strict reader has against it.
    pub(super) fn form(
        &self,
        object: &mut Value,
        origin: Origin<'_>,
    ) -> Result<Vec<String>, Failure> {
        let unknown = self.dropped(object, origin)?;
        Ok(unknown
            .into_iter()
            .map(|path| format!("unknown field {path:?}"))
            .collect())
    }

    /// Brings an object that is to be applied into the form of the kind; returns what can't be owned, being unknown.
    pub(super) fn unknown(&self, object: &mut Value) -> Result<Vec<String>, Failure> {
        let unknown = self.dropped(object, Origin::Body)?;
        let told = unknown.into_iter();
        Ok(told
            .map(|path| format!(".{path}: field not declared in schema"))
            .collect())
    }

    fn dropped(&self, object: &mut Value, origin: Origin<'_>) -> Result<Vec<String>, Failure> {
        let kind = &self.kind.kind;
        let unknown = form::form(&self.shape, object, kind);
        let unknown = unknown.map_err(|why| self.refused(&why, origin))?;
        object["apiVersion"] = self.api_version.as_str().into();
        object["kind"] = kind.as_str().into();
        tidy(member(object, "metadata"));
        Ok(unknown)
    }

    /// Returns the warnings that the caller gets for what a strict reader has against its object.
    pub(super) fn report(
        &self,
        complaints: Vec<String>,
        validation: FieldValidation,
        origin: Origin<'_>,
    ) -> Result<Vec<String>, Failure> {
        match validation {
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(complaints),
            FieldValidation::Strict if complaints.is_empty() => Ok(complaints),
            FieldValidation::Strict => {
                let why = format!("strict decoding error: {}", complaints.join(", "));
                Err(self.refused(&why, origin))
            }
        }
    }

    /// Returns that an object can't be understood.
    pub(super) fn refused(&self, why: &str, origin: Origin<'_>) -> Failure {
        let Kind { kind, version, .. } = &self.kind;
        match origin {
            Origin::Body => Failure::BadRequest(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
            )),
            Origin::Patch(made) => {
                let mut shown = made.to_string();
                if shown.len() > EXCERPT {
                    shown.truncate(shown.floor_char_boundary(EXCERPT));
                    shown.push('…');
                }
                Failure::Invalid {
                    subject: Subject::default(),
                    errors: vec![FieldError::invalid("patch", &shown.into(), why)],
                }
            }
        }
    }
}
