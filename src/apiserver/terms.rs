//! On what terms an object is to go: what the body and the query of a deletion say, checked.
//!
//! In comes a request to delete; out goes [`DeleteTerms`], and what they mean for an object. Pure: nothing is deleted here.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

use super::{Failure, FieldError, Subject, Write};
use crate::api::Propagation;

/// On what terms an object is to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteTerms {
    /// The uid that it must have.
    pub uid: Option<String>,
    /// The version that it must have.
    pub resource_version: Option<String>,
    /// What becomes of dependents, if the caller says so.
    pub propagation: Option<Propagation>,
    /// Nothing is to be done.
    pub dry_run: bool,
}

/// The options as they are sent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    kind: Option<String>,
    api_version: Option<String>,
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    #[serde(rename = "gracePeriodSeconds")]
    _grace: Option<i64>,
    dry_run: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteTerms {
    /// Returns the terms of a request to delete objects of `api_version`. Where body and query both say something, the
    /// body wins; but a dry run is one, whoever says so.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] if they make no sense, [`Failure::Invalid`] if they say what is not to be said.
    pub fn of(write: &Write, api_version: &str) -> Result<Self, Failure> {
        let mut wire = read(&write.body)?;
        wire.check_type(api_version)?;
        if wire.propagation_policy.is_none() && wire.orphan_dependents.is_none() {
            let policy = &write.options.propagation_policy;
            wire.propagation_policy = (!policy.is_empty()).then(|| policy.clone());
            wire.orphan_dependents = write.options.orphan_dependents;
        }
        wire.check()?;
        let preconditions = wire.preconditions.take().unwrap_or_default();
        Ok(Self {
            uid: preconditions.uid,
            resource_version: preconditions.resource_version,
            propagation: wire.propagation(),
            dry_run: write.options.dry_run || wire.dry_run.is_some_and(|values| !values.is_empty()),
        })
    }

    /// Returns if `live` is the object that is meant.
    ///
    /// # Errors
    /// [`Failure::Conflict`] about `subject` if it has another uid or version.
    pub fn check(&self, live: &Value, subject: Subject) -> Result<(), Failure> {
        let own = |name: &str| live["metadata"][name].as_str().unwrap_or_default();
        let differs = |asked: &Option<String>, own: &str| {
            asked.as_ref().filter(|asked| *asked != own).cloned()
        };
        let uid = own("uid");
        if let Some(asked) = differs(&self.uid, uid) {
            let why = format!(
                "the UID in the precondition ({asked}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
            );
            return Err(Failure::Conflict { subject, why });
        }
        let version = own("resourceVersion");
        if let Some(asked) = differs(&self.resource_version, version) {
            let why = format!(
                "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record ({version}). The object might have been modified"
            );
            return Err(Failure::Conflict { subject, why });
        }
        Ok(())
    }

    /// Returns `live` as it waits for those who hold it, going since `moment` or since before; nothing if nobody does and
    /// it can go at once.
    #[must_use]
    pub fn held(&self, live: &Value, moment: &str) -> Option<Value> {
        let finalizers = self.finalizers(live);
        if finalizers.is_empty() {
            return None;
        }
        let mut held = live.clone();
        let metadata = held.get_mut("metadata")?.as_object_mut()?;
        metadata.insert("finalizers".into(), finalizers.into());
        if metadata.get("deletionTimestamp").is_none_or(Value::is_null) {
            metadata.insert("deletionTimestamp".into(), moment.into());
            metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
            let generation = metadata.get("generation").and_then(Value::as_i64);
            if let Some(generation) = generation.filter(|generation| *generation > 0) {
                metadata.insert("generation".into(), (generation + 1).into());
            }
        }
        Some(held)
    }

    /// Returns who holds the object once it is to go on these terms.
    fn finalizers(&self, live: &Value) -> Vec<String> {
        let now = live["metadata"]["finalizers"].as_array().into_iter();
        let now = now.flatten().filter_map(Value::as_str);
        Propagation::holders(self.propagation, now)
    }
}

fn bad(why: &dyn Display) -> Failure {
    Failure::BadRequest(format!("the delete options can't be understood: {why}"))
}

fn read(body: &[u8]) -> Result<Wire, Failure> {
    if body.is_empty() {
        return Ok(Wire::default());
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| bad(&error))?;
    if !body.is_object() {
        return Err(bad(&"they are no object"));
    }
    serde_json::from_value(body).map_err(|error| bad(&error))
}

impl Wire {
    fn check_type(&self, api_version: &str) -> Result<(), Failure> {
        let kind = self.kind.as_deref().unwrap_or_default();
        let version = self.api_version.as_deref().unwrap_or_default();
        let known = ["", "v1", "meta.k8s.io/v1", api_version];
        if matches!(kind, "" | "DeleteOptions") && known.contains(&version) {
            return Ok(());
        }
        Err(Failure::BadRequest(format!(
            "decoded object cannot be converted to DeleteOptions: it is {kind:?} of {version:?}"
        )))
    }

    fn check(&self) -> Result<(), Failure> {
        let mut errors = Vec::new();
        if let Some(policy) = self.propagation_policy.as_deref() {
            let value = Value::from(policy);
            if !["Foreground", "Background", "Orphan"].contains(&policy) {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                let field = "propagationPolicy";
                errors.push(FieldError::not_supported(field, &value, &supported));
            } else if self.orphan_dependents.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(FieldError::invalid("propagationPolicy", &value, detail));
            }
        }
        let dry_runs = self.dry_run.as_deref().unwrap_or_default();
        if dry_runs.iter().any(|value| value != "All") {
            let value = Value::from(dry_runs);
            errors.push(FieldError::not_supported("dryRun", &value, &["All"]));
        }
        if errors.is_empty() {
            return Ok(());
        }
        let subject = Subject::new("meta.k8s.io", "DeleteOptions", "");
        Err(Failure::Invalid { subject, errors })
    }

    fn propagation(&self) -> Option<Propagation> {
        match (self.propagation_policy.as_deref(), self.orphan_dependents) {
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some(_), _) | (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_waits_for_those_who_hold_it_and_for_no_one_else() {
        use Propagation as P;
        for (propagation, before, after) in [
            (None, json!([]), json!([])),
            (None, json!(["a"]), json!(["a"])),
            (None, json!(["orphan", "a"]), json!(["a", "orphan"])),
            (Some(P::Background), json!(["orphan"]), json!([])),
            (
                Some(P::Foreground),
                json!([]),
                json!(["foregroundDeletion"]),
            ),
            (
                Some(P::Foreground),
                json!(["a", "orphan"]),
                json!(["a", "foregroundDeletion"]),
            ),
            (
                Some(P::Orphan),
                json!(["foregroundDeletion"]),
                json!(["orphan"]),
            ),
        ] {
            let terms = DeleteTerms {
                propagation,
                ..DeleteTerms::default()
            };
            let live = json!({ "metadata": { "finalizers": before, "generation": 2 } });
            let held = terms.held(&live, "now");
            assert_eq!(
                held.is_none(),
                after == json!([]),
                "{propagation:?} {before}"
            );
            if let Some(held) = held {
                let expected = json!({
                    "finalizers": after, "generation": 3,
                    "deletionTimestamp": "now", "deletionGracePeriodSeconds": 0,
                });
                assert_eq!(held["metadata"], expected);
                let again = DeleteTerms::default().held(&held, "later");
                assert_eq!(again.as_ref(), Some(&held));
            }
        }
    }
}
