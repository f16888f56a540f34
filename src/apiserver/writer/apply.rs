//! An apply: fields that a caller wants to have and to own, in an object that is there or is made for it.

use serde_json::Value;

use super::{ObjectWriter, change::Change, kind_subject, metadata, owners, subject};
use crate::apiserver::{
    Failure, FieldError, FieldValidation, Keeper, Reply, Resource, Subject, Write, document,
    without_nulls,
};

/// How often it is tried anew when the object comes and goes meanwhile.
const ATTEMPTS: usize = 5;

impl<R: Resource, K: Keeper> ObjectWriter<R, K> {
    /// Applies the object in the request's body.
    pub(super) async fn apply(&self, write: &Write) -> Result<Reply, Failure> {
        let (applied, warnings) = self.applied(write)?;
        let missing = Failure::NotFound(subject(self.kind(), &write.name));
        for _ in 0..ATTEMPTS {
            let change = Change::apply_of(self.decoder.clone(), applied.clone(), write);
            let changed = self.change(change, write).await;
            let made_by_applying = write.subresource.is_empty()
                && self.kind().verbs.iter().any(|verb| verb == "create");
            if !made_by_applying || changed.as_ref().err() != Some(&missing) {
                let mut reply = changed?;
                reply.warnings.extend(warnings);
                return Ok(reply);
            }
            let made = self.make_applied(&applied, warnings.clone(), write).await;
            if !matches!(made, Err(Failure::AlreadyExists(_))) {
                return made;
            }
        }
        Err(missing)
    }

    async fn make_applied(
        &self,
        applied: &Value,
        mut warnings: Vec<String>,
        write: &Write,
    ) -> Result<Reply, Failure> {
        if let Some(refused) = &write.may_not_create {
            return Err(refused.clone());
        }
        let uid = metadata::text(applied, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            let subject = subject(self.kind(), &write.name);
            return Err(Failure::Conflict { subject, why });
        }
        let mut object = applied.clone();
        warnings.extend(metadata::begin(self.kind(), &mut object, &write.namespace)?);
        owners::begin(&self.decoder, &mut object, write);
        self.make(object, warnings, write).await
    }

    /// Returns what is to be applied, in form, and sentences for the caller.
    fn applied(&self, write: &Write) -> Result<(Value, Vec<String>), Failure> {
        if write.options.field_manager.is_empty() {
            let detail = "is required for apply patch";
            return Err(Failure::Invalid {
                subject: Subject::new("meta.k8s.io", "PatchOptions", ""),
                errors: vec![FieldError::required("fieldManager", detail)],
            });
        }
        let bad = |why: String| Failure::BadRequest(why);
        let read = document::parse(&write.body);
        let read = read.map_err(|error| bad(format!("error decoding YAML: {error}")))?;
        let mut object = read.value;
        let said = |name: &str| object[name].as_str().unwrap_or_default();
        let (version, kind) = (said("apiVersion"), said("kind"));
        if version.is_empty() || kind.is_empty() {
            let slash = if version.contains('/') { "" } else { "/" };
            let text = format!("invalid object type: {slash}{version}, Kind={kind}");
            return Err(bad(text));
        }
        self.decoder.check_type(&object)?;
        if !object["metadata"]["managedFields"].is_null() {
            return Err(bad("metadata.managedFields must be nil".into()));
        }
        without_nulls(&mut object);
        self.check_typed(&mut object, write)?;
        let metadata = metadata::member(&mut object, "metadata");
        metadata
            .entry("name")
            .or_insert_with(|| write.name.as_str().into());
        metadata::identify(self.kind(), &mut object, write)?;
        let told = [&*write.complaints, &read.complaints].concat();
        match write.options.field_validation {
            FieldValidation::Strict if !told.is_empty() => Err(bad(format!(
                "error strict decoding YAML: {}",
                told.join(", ")
            ))),
            FieldValidation::Ignore => Ok((object, Vec::new())),
            _ => Ok((object, told)),
        }
    }

    /// Brings an object that is to be applied into form; nothing may be dropped, since it could not be owned.
    fn check_typed(&self, object: &mut Value, write: &Write) -> Result<(), Failure> {
        let mut faults = self.decoder.unknown(object)?;
        faults.extend(owners::faults(&self.decoder, object));
        let text = match faults.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            several => format!("errors:\n  {}", several.join("\n  ")),
        };
        let kind = self.kind();
        let place = [&*write.namespace, &*write.name].map(str::to_owned);
        let place = place.iter().filter(|part| !part.is_empty());
        let place: Vec<&str> = place.map(String::as_str).collect();
        Err(Failure::BadRequest(format!(
            "failed to create typed patch object ({}; {}, Kind={}): {text}",
            place.join("/"),
            self.decoder.api_version,
            kind_subject(kind, "").resource,
        )))
    }
}
