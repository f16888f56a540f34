//! Server-side apply: a caller says which fields it wants, and owns those; and who owns what after any other write.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Deed, admit::Origin};
use crate::{
    apiserver::{Failure, FieldError, PatchKind, Shape, Subject, Verb, Written},
    standalone::{
        fields::{self, Fields},
        object::{metadata_mut, text},
        owners::{Owner, Owners},
    },
};

/// Members of an object that nobody owns.
const UNOWNED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
];

/// The manager that `kubectl apply --server-side` is.
const KUBECTL: &str = "kubectl";
/// Where `kubectl apply` without the server's help keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How the lists in `metadata` belong together (the tags of `ObjectMeta`).
static METADATA: LazyLock<Shape> = LazyLock::new(|| {
    let schema = json!({"properties": {
        "ownerReferences": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
        "finalizers": {"x-kubernetes-list-type": "set"},
    }});
    Shape::parse(&schema).expect("the words are understood")
});

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
        let (value, owners) = self.merged(&before, &patch)?;
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
        let uid = text(&patch, "/metadata/uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            let subject = self.definition.subject(&self.write.name);
            return Err(Failure::Conflict { subject, why });
        }
        let mut owners = Owners::default();
        let mut set = self.fields_of(&patch);
        set.forget(&["f:status"]);
        owners.put(
            self.owner(),
            set,
            &self.definition.api_version(),
            &self.moment(),
        );
        self.owners = Some(owners);
        self.create_from(patch, Origin::Patch)
    }

    /// Returns what the object becomes, and who then owns what.
    fn merged(&self, before: &Value, patch: &Value) -> Result<(Value, Owners), Failure> {
        let (owner, now, version) = (self.owner(), self.moment(), self.definition.api_version());
        let mut owners = Owners::parse(&before["metadata"]["managedFields"]);
        if owners.is_empty() {
            owners.begin(self.fields_of(before), &version, &now);
        }
        let set = self.half(self.fields_of(patch));
        let mut value = before.clone();
        self.merge_parts(&mut value, patch);
        let mut kept = owners.of_others(&owner);
        kept.add(&set);
        self.prune_parts(&mut value, &owners.of(&owner), &kept);
        let changed = self.half(self.changed_fields(before, &value));
        let mut contested = changed.clone();
        contested.subtract(&self.last_applied(before));
        if let Some(conflict) = owners.conflict(&owner, &contested)
            && !self.write.options.force
        {
            return Err(conflict);
        }
        if owners.conflict(&owner, &changed).is_some() {
            owners.take(&changed, &owner, &now);
        }
        owners.put(owner, set, &version, &now);
        Ok((value, owners))
    }

    /// Returns the fields that `kubectl apply` set without the server's help and that are as it left them: the same user
    /// may apply them on the server's side without a conflict.
    fn last_applied(&self, before: &Value) -> Fields {
        let last = before["metadata"]["annotations"][LAST_APPLIED].as_str();
        let last: Option<Value> = last.and_then(|text| serde_json::from_str(text).ok());
        let Some(mut last) = last.filter(|_| self.write.options.field_manager == KUBECTL) else {
            return Fields::default();
        };
        without_nulls(&mut last);
        let mut fields = self.fields_of(&last);
        fields.subtract(&self.changed_fields(before, &last));
        // Its own annotation is never contested.
        fields.add(&Fields::parse(
            &json!({"f:metadata": {"f:annotations": {format!("f:{LAST_APPLIED}"): {}}}}),
        ));
        fields
    }

    fn merge_parts(&self, value: &mut Value, patch: &Value) {
        for (name, change) in patch.as_object().into_iter().flatten() {
            match value.get_mut(name) {
                Some(member) => fields::merge(member, change, self.part(name)),
                None => value[name.as_str()] = change.clone(),
            }
        }
    }

    fn prune_parts(&self, value: &mut Value, gone: &Fields, kept: &Fields) {
        let nothing = Fields::default();
        let members = value.as_object_mut().expect("an object was decoded");
        members.retain(|name, member| {
            let element = format!("f:{name}");
            let kept = kept.at(&element).unwrap_or(&nothing);
            !gone
                .at(&element)
                .is_some_and(|gone| fields::prune(member, gone, kept, self.part(name)))
        });
    }

    fn part(&self, name: &str) -> Option<&Shape> {
        if name == "metadata" {
            return Some(&METADATA);
        }
        self.definition.schema.member(name)
    }

    fn each_part(
        &self,
        value: &Value,
        fields: impl Fn(&str, &Value, Option<&Shape>) -> Fields,
    ) -> Fields {
        let mut all = Fields::default();
        for (name, member) in value.as_object().into_iter().flatten() {
            all.put(&format!("f:{name}"), fields(name, member, self.part(name)));
        }
        for path in UNOWNED {
            all.forget(path);
        }
        all
    }

    fn fields_of(&self, value: &Value) -> Fields {
        self.each_part(value, |_, member, schema| fields::set_by(member, schema))
    }

    fn changed_fields(&self, before: &Value, value: &Value) -> Fields {
        self.each_part(value, |name, member, schema| match before.get(name) {
            Some(was) => fields::changed(was, member, schema),
            None => fields::set_by(member, schema),
        })
    }

    /// Returns the fields that the request may write: the status, or everything else.
    fn half(&self, mut fields: Fields) -> Fields {
        if !self.definition.status {
            return fields;
        }
        if self.write.subresource.is_empty() {
            fields.forget(&["f:status"]);
            return fields;
        }
        let mut half = Fields::default();
        half.put(
            "f:status",
            fields.at("f:status").cloned().unwrap_or_default(),
        );
        half
    }

    fn owner(&self) -> Owner {
        Owner {
            manager: self.write.options.field_manager.clone(),
            applies: self.write.verb == Verb::Patch(PatchKind::Apply),
            subresource: self.write.subresource.clone(),
        }
    }

    /// Says in the object who owns what after this write.
    pub(super) fn track(&mut self, before: Option<&Value>, value: &mut Value) {
        let owners = match self.owners.take() {
            Some(owners) => owners,
            None => match self.tracked(before, value) {
                Some(owners) => owners,
                None => return,
            },
        };
        let metadata = metadata_mut(value);
        match owners.to_json() {
            Value::Array(entries) if entries.is_empty() => metadata.shift_remove("managedFields"),
            entries => metadata.insert("managedFields".into(), entries),
        };
    }

    /// Returns who owns what after a write that is no apply; nothing if that is not kept for this object.
    fn tracked(&self, before: Option<&Value>, value: &Value) -> Option<Owners> {
        let (owner, now) = (self.owner(), self.moment());
        let mut owners = Owners::parse(&value["metadata"]["managedFields"]);
        let nothing = json!({});
        if before.is_none() && !self.definition.tracked || before.is_some() && owners.is_empty() {
            return None;
        }
        let before = before.unwrap_or(&nothing);
        let changed = self.changed_fields(before, value);
        let mut gone = self.fields_of(before);
        gone.subtract(&self.fields_of(value));
        owners.drop_all(&gone, &now);
        owners.take(&changed, &owner, &now);
        if !changed.is_empty() {
            owners.add(owner, &changed, &self.definition.api_version(), &now);
        }
        Some(owners)
    }
}

/// Drops members that are null: an apply of nothing is none.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
