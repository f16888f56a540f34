//! A new object.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Deed, admit::Origin};
use crate::{
    apiserver::{Cause, Failure, Subject, Written},
    cache::{Entry, Name},
    standalone::object::{metadata_mut, text},
};

/// What the server gives, and a creator can't.
const GIVEN: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "generation",
];
/// Letters of generated names: none that make words or are taken for each other (apimachinery's).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many letters are generated, after at most how many that are given.
const GENERATED: (usize, usize) = (5, 58);
/// How often another name is tried when a generated one is taken.
const ATTEMPTS: usize = 8;

impl Deed<'_, '_> {
    /// Creates the object in the request's body.
    pub(super) fn create(&mut self) -> Result<Written, Failure> {
        let value = self.decode()?;
        self.create_from(value, Origin::Body)
    }

    /// Creates `value`.
    pub(super) fn create_from(
        &mut self,
        mut value: Value,
        origin: Origin,
    ) -> Result<Written, Failure> {
        if !text(&value, "/metadata/resourceVersion").is_empty() {
            return Err(Failure::BadRequest(
                "resourceVersion should not be set on objects to be created".into(),
            ));
        }
        self.place(&mut value)?;
        let metadata = metadata_mut(&mut value);
        metadata.retain(|name, _| !GIVEN.contains(&name.as_str()));
        self.name_it(&mut value)?;
        let members = value.as_object_mut().expect("an object was decoded");
        if self.definition.status {
            members.remove("status");
        }
        if self.definition.custom {
            metadata_mut(&mut value).insert("generation".into(), json!(1));
        }
        metadata_mut(&mut value).insert("uid".into(), Uuid::new_v4().to_string().into());
        let moment = self.moment();
        metadata_mut(&mut value).insert("creationTimestamp".into(), moment);
        self.admit(&mut value, origin)?;
        self.check_namespace(text(&value, "/metadata/name"))?;
        self.check(&value, None)?;
        let name = Name::new(&self.write.namespace, text(&value, "/metadata/name"));
        if self.transaction.get(self.table, &name).is_some() {
            return Err(Failure::AlreadyExists(self.definition.subject(&name.name)));
        }
        // A status that the definition gives by default is nobody's.
        let members = value.as_object_mut().expect("an object was decoded");
        let halves = self.definition.status;
        let given = halves.then(|| members.shift_remove("status")).flatten();
        self.track(None, &mut value);
        if let Some(status) = given {
            value["status"] = status;
        }
        self.make_room();
        Ok(Written::Created(self.put(value).body().clone()))
    }

    /// Takes the oldest objects of the namespace away if the kind keeps only so many.
    fn make_room(&mut self) {
        let Some(most) = self.definition.most else {
            return;
        };
        let mut all = self.transaction.list(self.table, &self.write.namespace);
        all.sort_by_key(|object| object.version());
        for old in all.iter().take((all.len() + 1).saturating_sub(most)) {
            self.transaction.remove(self.table, old.name());
        }
    }

    /// Gives the object the namespace of the request; one of another is refused.
    pub(super) fn place(&self, value: &mut Value) -> Result<(), Failure> {
        let own = text(value, "/metadata/namespace");
        let asked = &self.write.namespace;
        if self.definition.kind.namespaced && !own.is_empty() && own != asked {
            return Err(Failure::BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request".into(),
            ));
        }
        let metadata = metadata_mut(value);
        if self.definition.kind.namespaced {
            metadata.insert("namespace".into(), asked.as_str().into());
        } else {
            metadata.remove("namespace");
        }
        Ok(())
    }

    /// Makes a name if only the beginning of one is given.
    fn name_it(&self, value: &mut Value) -> Result<(), Failure> {
        let base = text(value, "/metadata/generateName").to_owned();
        if !text(value, "/metadata/name").is_empty() || base.is_empty() {
            return Ok(());
        }
        let taken = |name: &String| {
            self.transaction
                .get(self.table, &Name::new(&self.write.namespace, name))
                .is_some()
        };
        let mut names = std::iter::repeat_with(|| generated(&base)).take(ATTEMPTS);
        let name = names.find(|name| !taken(name));
        let name = name.ok_or_else(|| Failure::NameTaken(self.definition.subject(&base)))?;
        metadata_mut(value).insert("name".into(), name.into());
        Ok(())
    }

    /// Refuses a new object in a namespace that is not there, or is going.
    fn check_namespace(&self, name: &str) -> Result<(), Failure> {
        let namespaces = self
            .transaction
            .core("namespaces")
            .filter(|_| self.definition.kind.namespaced);
        let Some(namespaces) = namespaces else {
            return Ok(());
        };
        let namespace = &self.write.namespace;
        let missing = || Failure::NotFound(Subject::new("", "namespaces", namespace));
        let found = self
            .transaction
            .get(namespaces, &Name::new("", namespace))
            .ok_or_else(missing)?;
        if text(&found.value(), "/metadata/deletionTimestamp").is_empty() {
            return Ok(());
        }
        Err(Failure::Forbidden {
            subject: self.definition.subject(name),
            why: format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            ),
            causes: vec![Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".into(),
            }],
        })
    }
}

fn generated(base: &str) -> String {
    let (letters, most) = GENERATED;
    let mut end = base.len().min(most);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let random = Uuid::new_v4();
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    let tail: String = random.as_bytes().iter().take(letters).map(letter).collect();
    format!("{}{tail}", &base[..end])
}
