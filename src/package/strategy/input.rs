//! A package revision as a client sent it: the typed object, and what the types can't say of it.
//!
//! A lifecycle that is none must be told by its field, beside all else that is wrong; and members that were sent empty are another
//! thing than members that were not sent.

use serde_json::Value;

use crate::{api::PackageRevision, package::Lifecycle};

/// Members of which it matters whether they were sent.
pub(super) const LABELS: &str = "/spec/packageMetadata/labels";
pub(super) const ANNOTATIONS: &str = "/spec/packageMetadata/annotations";
pub(super) const GATES: &str = "/spec/readinessGates";
pub(super) const CONDITIONS: &str = "/status/conditions";

const MEMBERS: [&str; 4] = [LABELS, ANNOTATIONS, GATES, CONDITIONS];

/// A package revision as a client sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RevisionInput {
    /// The object; a lifecycle that is none is left out of it.
    pub object: PackageRevision,
    /// The lifecycle as it was sent; empty if it was not.
    lifecycle: String,
    /// Which of the members were sent, as JSON pointers.
    sent: Vec<&'static str>,
}

impl RevisionInput {
    /// Returns the input that a body is. A member that is `null` was not sent, as for clients written in Go.
    ///
    /// # Errors
    /// If the body is no package revision, but for its lifecycle.
    pub fn from_json(mut body: Value) -> Result<Self, serde_json::Error> {
        drop_nulls(&mut body);
        check_shape(&body)?;
        let is_sent = |member: &&str| body.pointer(member).is_some();
        let sent = MEMBERS.into_iter().filter(is_sent).collect();
        let lifecycle = take_lifecycle(&mut body);
        let mut object: PackageRevision = serde_json::from_value(body)?;
        object.spec.lifecycle = named(&lifecycle);
        Ok(Self {
            object,
            lifecycle,
            sent,
        })
    }

    /// Returns the input that a patch made of `live`: what it took away is wanted to be gone, though it is not there.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_patched(live: &Value, body: Value) -> Result<Self, serde_json::Error> {
        let mut input = Self::from_json(body)?;
        let taken = MEMBERS
            .into_iter()
            .filter(|member| live.pointer(member).is_some());
        let taken: Vec<_> = taken.filter(|member| !input.sends(member)).collect();
        input.sent.extend(taken);
        Ok(input)
    }

    /// Returns the lifecycle as it was sent; empty if it was not.
    #[must_use]
    pub fn lifecycle_text(&self) -> &str {
        &self.lifecycle
    }

    /// Returns the lifecycle that is wanted: `Draft` when none was sent, nothing when it is none.
    #[must_use]
    pub fn lifecycle(&self) -> Option<Lifecycle> {
        if self.lifecycle.is_empty() {
            return Some(Lifecycle::Draft);
        }
        self.object.spec.lifecycle
    }

    /// Returns whether a member was sent.
    pub(super) fn sends(&self, member: &str) -> bool {
        self.sent.contains(&member)
    }
}

/// An object that was made here sends what is in it.
impl From<PackageRevision> for RevisionInput {
    fn from(object: PackageRevision) -> Self {
        let lifecycle = object.spec.lifecycle;
        let metadata = object.spec.package_metadata.as_ref();
        let full = [
            (LABELS, metadata.is_some_and(|both| !both.labels.is_empty())),
            (
                ANNOTATIONS,
                metadata.is_some_and(|both| !both.annotations.is_empty()),
            ),
            (GATES, !object.spec.readiness_gates.is_empty()),
            (CONDITIONS, !object.status.conditions.is_empty()),
        ];
        let sent = full.into_iter().filter(|(_, full)| *full);
        Self {
            lifecycle: lifecycle.map_or(String::new(), |lifecycle| lifecycle.to_string()),
            sent: sent.map(|(member, _)| member).collect(),
            object,
        }
    }
}

/// Refuses lists in the place of maps, which serde would take for them.
fn check_shape(body: &Value) -> Result<(), serde_json::Error> {
    let maps = [
        "",
        "/metadata",
        "/spec",
        "/spec/parent",
        "/spec/packageMetadata",
        "/status",
    ];
    let items = ["/spec/tasks", "/spec/readinessGates", "/status/conditions"];
    let items = items
        .iter()
        .filter_map(|list| body.pointer(list)?.as_array());
    let maps = maps.iter().filter_map(|map| body.pointer(map));
    if maps.chain(items.flatten()).all(Value::is_object) {
        return Ok(());
    }
    Err(serde::de::Error::custom(
        "expected an object, found something else",
    ))
}

/// Takes the text of the lifecycle out of a body; what is no text stays, for the decoder to tell.
fn take_lifecycle(body: &mut Value) -> String {
    let spec = body.get_mut("spec").and_then(Value::as_object_mut);
    let Some(spec) = spec.filter(|spec| spec.get("lifecycle").is_some_and(Value::is_string)) else {
        return String::new();
    };
    let taken = spec.shift_remove("lifecycle");
    taken
        .and_then(|text| text.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn named(text: &str) -> Option<Lifecycle> {
    Lifecycle::ALL.into_iter().find(|one| one.as_str() == text)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_types_cannot_say_is_kept_beside_them() {
        for (spec, text, lifecycle) in [
            (json!({}), "", Some(Lifecycle::Draft)),
            (json!({"lifecycle": null}), "", Some(Lifecycle::Draft)),
            (json!({"lifecycle": ""}), "", Some(Lifecycle::Draft)),
            (
                json!({"lifecycle": "Proposed"}),
                "Proposed",
                Some(Lifecycle::Proposed),
            ),
            (json!({"lifecycle": "proposed"}), "proposed", None),
            (json!({"lifecycle": "Final"}), "Final", None),
        ] {
            let input = RevisionInput::from_json(json!({"spec": spec})).unwrap();
            assert_eq!(input.lifecycle_text(), text);
            assert_eq!(input.lifecycle(), lifecycle, "{text}");
        }
        let body = json!({
            "spec": {"readinessGates": [], "packageMetadata": {"labels": {}, "annotations": null}},
            "status": {"publishTimestamp": null},
        });
        let input = RevisionInput::from_json(body).unwrap();
        assert!(input.sends(LABELS) && input.sends(GATES));
        assert!(!input.sends(ANNOTATIONS) && !input.sends(CONDITIONS));
    }

    #[test]
    fn what_a_patch_takes_away_is_wanted_gone() {
        let live = json!({"spec": {"packageMetadata": {"labels": {"a": "b"}}, "readinessGates": [{"conditionType": "c"}]}});
        for (patched, sent) in [
            (live.clone(), vec![LABELS, GATES]),
            (json!({"spec": {}}), vec![LABELS, GATES]),
            (
                json!({"spec": {"packageMetadata": {"annotations": {"n": "1"}}}}),
                vec![LABELS, ANNOTATIONS, GATES],
            ),
        ] {
            let input = RevisionInput::from_patched(&live, patched).unwrap();
            let told: Vec<_> = MEMBERS
                .into_iter()
                .filter(|member| input.sends(member))
                .collect();
            assert_eq!(told, sent);
        }
    }

    #[test]
    fn what_is_no_package_revision_is_told() {
        for body in [
            json!({"spec": {"lifecycle": 1}}),
            json!({"spec": {"lifecycle": ["Draft"]}}),
            json!({"spec": []}),
            json!({"spec": {"tasks": [null]}}),
            json!({"spec": {"tasks": [[]]}}),
            json!({"spec": {"packageMetadata": []}}),
            json!({"metadata": "x"}),
            json!([]),
        ] {
            assert!(RevisionInput::from_json(body.clone()).is_err(), "{body}");
        }
    }
}
