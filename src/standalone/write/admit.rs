//! What every object must pass on its way in: decoding, normal form, defaults, unknown fields, rules.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::Deed;
use crate::{
    apiserver::{Failure, FieldError, FieldValidation, check_metadata},
    standalone::object::{metadata_mut, text},
};

/// Members of `metadata`, sorted.
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Where the object in hand comes from; decides how its faults are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller sent it whole.
    Body,
    /// A patch made it.
    Patch,
}

impl Deed<'_, '_> {
    /// Returns the object in the request's body.
    pub(super) fn decode(&self) -> Result<Value, Failure> {
        let kind = &self.definition.kind.kind;
        let unrecognized = |why: String| {
            Failure::BadRequest(format!(
                "the object provided is unrecognized (must be of type {kind}): {why}"
            ))
        };
        if self.write.body.is_empty() {
            return Err(unrecognized("couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)".into()));
        }
        let value: Value = serde_json::from_slice(&self.write.body)
            .map_err(|error| unrecognized(error.to_string()))?;
        let metadata = &value["metadata"];
        if !value.is_object() || !(metadata.is_object() || metadata.is_null()) {
            return Err(unrecognized(
                "it is no object, or its metadata is none".into(),
            ));
        }
        self.check_type(&value)?;
        Ok(value)
    }

    /// Refuses an object that says it is of another kind.
    pub(super) fn check_type(&self, value: &Value) -> Result<(), Failure> {
        let expected = self.definition.api_version();
        let version = text(value, "/apiVersion");
        if !version.is_empty() && version != expected {
            return Err(Failure::BadRequest(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        let (kind, expected) = (text(value, "/kind"), &self.definition.kind.kind);
        if !kind.is_empty() && kind != expected {
            return Err(Failure::BadRequest(format!(
                "{kind} in version {version:?} cannot be handled as a {expected}"
            )));
        }
        Ok(())
    }

    /// Brings an object into the form that is kept: type, metadata, defaults, without what is not known.
    pub(super) fn admit(&mut self, value: &mut Value, origin: Origin) -> Result<(), Failure> {
        value["apiVersion"] = self.definition.api_version().into();
        value["kind"] = self.definition.kind.kind.clone().into();
        let mut unknown = self.admit_metadata(value, origin)?;
        if !self.definition.custom {
            unknown.extend(self.definition.schema.prune(value));
            self.check_types(value, origin)?;
        }
        if let Some(prepare) = self.definition.rule.prepare {
            prepare(value);
        }
        unknown.extend(self.definition.schema.admit(value));
        self.report(&unknown, origin)
    }

    /// Refuses an object of a built-in kind whose members are of other types: it could not even be decoded.
    fn check_types(&self, value: &Value, origin: Origin) -> Result<(), Failure> {
        let wrong = self.definition.schema.check(value);
        let wrong = wrong
            .iter()
            .find(|error| error.reason == "FieldValueTypeInvalid");
        wrong.map_or(Ok(()), |error| {
            let why = format!("{}: {}", error.field, error.message);
            Err(self.refused(&why, origin))
        })
    }

    fn admit_metadata(&self, value: &mut Value, origin: Origin) -> Result<Vec<String>, Failure> {
        let metadata = metadata_mut(value);
        let known = |name: &str| METADATA.binary_search(&name).is_ok();
        let unknown = metadata
            .keys()
            .filter(|name| !known(name))
            .map(|name| format!("metadata.{name}"))
            .collect();
        let typed: Result<ObjectMeta, _> =
            serde_json::from_value(Value::Object(std::mem::take(metadata)));
        let typed = typed.map_err(|error| self.refused(&format!("metadata: {error}"), origin))?;
        value["metadata"] =
            serde_json::to_value(typed).map_err(|error| Failure::Internal(error.to_string()))?;
        metadata_mut(value).retain(|_, member| !is_empty(member));
        Ok(unknown)
    }

    /// Tells the caller of fields that are not known, as it wishes.
    pub(super) fn report(&mut self, unknown: &[String], origin: Origin) -> Result<(), Failure> {
        let texts = unknown
            .iter()
            .map(|field| format!("unknown field {field:?}"));
        self.complain(&texts.collect::<Vec<_>>(), origin)
    }

    /// Tells the caller what a strict reader has against the request, as it wishes.
    pub(super) fn complain(&mut self, texts: &[String], origin: Origin) -> Result<(), Failure> {
        match self.write.options.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => self.warnings.extend(texts.iter().cloned()),
            FieldValidation::Strict if texts.is_empty() => {}
            FieldValidation::Strict => {
                return Err(self.refused(
                    &format!("strict decoding error: {}", texts.join(", ")),
                    origin,
                ));
            }
        }
        Ok(())
    }

    /// Returns that an object can't be understood; a patch's is told in another form than a body's.
    pub(super) fn refused(&self, why: &str, origin: Origin) -> Failure {
        let kind = &self.definition.kind.kind;
        match origin {
            Origin::Body => {
                let version = self.definition.api_version();
                Failure::BadRequest(format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
                ))
            }
            Origin::Patch => Failure::Invalid {
                subject: crate::apiserver::Subject::default(),
                errors: vec![FieldError::invalid("patch", &Value::from(""), why)],
            },
        }
    }

    /// Refuses an object that breaks a rule; names everything that is wrong.
    pub(super) fn check(&self, value: &Value, before: Option<&Value>) -> Result<(), Failure> {
        let definition = self.definition;
        let mut errors = check_metadata(&value["metadata"], definition.naming);
        let shape = definition.schema.check(value);
        if let (Some(rules), true) = (&definition.rules, shape.is_empty()) {
            errors.extend(rules.check(value, before));
        }
        errors.extend(shape);
        if let Some(check) = definition.rule.check {
            errors.extend(check(value, before));
        }
        self.unless(errors, value)
    }

    /// Refuses the object if there are errors.
    pub(super) fn unless(&self, errors: Vec<FieldError>, value: &Value) -> Result<(), Failure> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failure::Invalid {
            subject: self.definition.kind_subject(text(value, "/metadata/name")),
            errors,
        })
    }
}

fn is_empty(member: &Value) -> bool {
    match member {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
