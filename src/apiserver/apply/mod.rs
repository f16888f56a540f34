//! Server-side apply: a caller says which fields it wants, and owns those; and who owns what after any other write.
//!
//! In come an object with its owners, what somebody wants of it, and who that is; out goes the object as it then is and
//! its owners, or whose fields are in the way. Pure: no clock, no store, no kind but for its shape.

mod fields;
mod owners;

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Failure, Shape};

pub use fields::Fields;
pub use owners::{Owner, Owners};

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
/// The owner of everything that was there before anybody applied.
const BEFORE: &str = "before-first-apply";
/// Where `kubectl apply` without the server's help keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How what may be owned in `metadata` belongs together (the tags of `ObjectMeta`).
static METADATA: LazyLock<Shape> = LazyLock::new(|| {
    let schema = json!({"properties": {
        "labels": {"additionalProperties": {"type": "string"}},
        "annotations": {"additionalProperties": {"type": "string"}},
        "generateName": {"type": "string"},
        "ownerReferences": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
        "finalizers": {"x-kubernetes-list-type": "set"},
    }});
    Shape::parse(&schema).expect("the words are understood")
});

/// How the fields of a kind belong together.
#[derive(Clone, Copy, Debug)]
pub struct Ownership<'a> {
    /// What an object looks like.
    pub shape: &'a Shape,
    /// The version in which its fields are named.
    pub api_version: &'a str,
    /// Whether `status` is written apart from the rest: then who writes one half owns nothing of the other.
    pub halves: bool,
    /// Who made objects of which nobody is said to own anything. Nothing: nobody does, and the first apply says that it was
    /// somebody before.
    pub maker: Option<&'a str>,
}

/// One who writes.
#[derive(Clone, Debug)]
pub struct Author {
    /// As whom.
    pub owner: Owner,
    /// When, as metadata has it.
    pub now: Value,
    /// Whether an apply takes fields from their owners.
    pub force: bool,
}

impl Ownership<'_> {
    /// Returns what is wrong with an object that is to be applied: lists whose items can't be told apart.
    #[must_use]
    pub fn faults(&self, applied: &Value) -> Vec<String> {
        let members = applied.as_object().into_iter().flatten();
        let faults = members.flat_map(|(name, member)| {
            let faults = fields::faults(member, self.part(name));
            faults
                .into_iter()
                .map(move |fault| format!(".{name}{fault}"))
        });
        faults.collect()
    }

    /// Returns who owns what of an object that an apply has made.
    #[must_use]
    pub fn begin(&self, applied: &Value, author: &Author) -> Owners {
        let mut owners = Owners::default();
        let mut set = self.fields_of(applied);
        if self.halves {
            set.forget(&["f:status"]);
        }
        owners.put(author.owner.clone(), set, self.api_version, &author.now);
        owners
    }

    /// Returns what an object becomes by an apply, and who then owns what.
    ///
    /// # Errors
    /// [`Failure::ApplyConflict`] if others own fields that would change, and nobody forces it.
    pub fn apply(
        &self,
        live: &Value,
        applied: &Value,
        author: &Author,
    ) -> Result<(Value, Owners), Failure> {
        let (owner, now) = (&author.owner, &author.now);
        let mut owners = self.owners_of(live);
        if owners.is_empty() {
            owners.begin(BEFORE, (self.made_of(live), self.api_version), now);
        }
        let set = self.half(self.fields_of(applied), owner);
        let mut value = live.clone();
        self.merge_parts(&mut value, applied);
        let mut kept = owners.of_others(owner);
        kept.add(&set);
        self.prune_parts(&mut value, &owners.of(owner), &kept);
        let changed = self.half(self.changed_fields(live, &value), owner);
        let mut contested = changed.clone();
        contested.subtract(&self.last_applied(live, owner));
        if let Some(conflict) = owners.conflict(owner, &contested)
            && !author.force
        {
            return Err(conflict);
        }
        if owners.conflict(owner, &changed).is_some() {
            owners.take(&changed, owner, now);
        }
        let mut gone = self.half(self.made_of(live), owner);
        gone.subtract(&self.made_of(&value));
        owners.drop_all(&gone, now);
        owners.put(owner.clone(), set, self.api_version, now);
        Ok((value, owners))
    }

    /// Returns who owns what of `value` after a write that is no apply. `before` is nothing for a new object; one that
    /// was there and of which nobody owned anything stays so.
    #[must_use]
    pub fn track(&self, before: Option<&Value>, value: &Value, author: &Author) -> Option<Owners> {
        let (owner, now) = (&author.owner, &author.now);
        let nothing = json!({});
        let was = before.unwrap_or(&nothing);
        let changed = self.changed_fields(was, value);
        let mut gone = self.made_of(was);
        gone.subtract(&self.made_of(value));
        let mut owners = Owners::parse(&value["metadata"]["managedFields"]);
        let unowned =
            owners.is_empty() && Owners::parse(&was["metadata"]["managedFields"]).is_empty();
        if before.is_some() && unowned && !(changed.is_empty() && gone.is_empty()) {
            // What begins with a change is no write of its own.
            owners = self.owners_of(was);
        }
        if before.is_some() && owners.is_empty() {
            return None;
        }
        owners.drop_all(&gone, now);
        owners.take(&changed, owner, now);
        if !changed.is_empty() {
            owners.add(owner.clone(), &changed, self.api_version, now);
        }
        Some(owners)
    }

    /// Returns who owns what of an object that is there.
    fn owners_of(&self, live: &Value) -> Owners {
        let metadata = &live["metadata"];
        let mut owners = Owners::parse(&metadata["managedFields"]);
        if let Some(maker) = self.maker.filter(|_| owners.is_empty()) {
            let fields = (self.made_of(live), self.api_version);
            owners.begin(maker, fields, &metadata["creationTimestamp"]);
        }
        owners
    }

    /// Returns the fields that `kubectl apply` set without the server's help and that are as it left them: the same user
    /// may apply them on the server's side without a conflict.
    fn last_applied(&self, live: &Value, owner: &Owner) -> Fields {
        let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
        let last: Option<Value> = last.and_then(|text| serde_json::from_str(text).ok());
        let Some(mut last) = last.filter(|_| owner.manager == KUBECTL) else {
            return Fields::default();
        };
        without_nulls(&mut last);
        let mut fields = self.fields_of(&last);
        fields.subtract(&self.changed_fields(live, &last));
        // Its own annotation is never contested.
        fields.add(&Fields::parse(
            &json!({"f:metadata": {"f:annotations": {format!("f:{LAST_APPLIED}"): {}}}}),
        ));
        fields
    }

    fn merge_parts(&self, value: &mut Value, applied: &Value) {
        for (name, change) in applied.as_object().into_iter().flatten() {
            match value.get_mut(name) {
                Some(member) => fields::merge(member, change, self.part(name)),
                None => value[name.as_str()] = change.clone(),
            }
        }
    }

    fn prune_parts(&self, value: &mut Value, gone: &Fields, kept: &Fields) {
        let nothing = Fields::default();
        let Some(members) = value.as_object_mut() else {
            return;
        };
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
        self.shape.member(name)
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
        all.disown("f:metadata");
        all
    }

    /// Returns everything that an object is made of.
    fn made_of(&self, value: &Value) -> Fields {
        self.each_part(value, |_, member, schema| fields::made_of(member, schema))
    }

    fn fields_of(&self, value: &Value) -> Fields {
        self.each_part(value, |_, member, schema| fields::set_by(member, schema))
    }

    fn changed_fields(&self, before: &Value, value: &Value) -> Fields {
        self.each_part(value, |name, member, schema| match before.get(name) {
            Some(was) => fields::changed(was, member, schema),
            None => fields::made_of(member, schema),
        })
    }

    /// Returns the fields that an owner may write: the status, or everything else.
    fn half(&self, mut fields: Fields, owner: &Owner) -> Fields {
        if !self.halves {
            return fields;
        }
        if owner.subresource.is_empty() {
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
}

/// Drops members that are null: an apply of nothing is none.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
