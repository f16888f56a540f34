//! What may be done with an object, as Kubernetes' own storage does it.
//!
//! In comes a request to change something and the newest state of all objects; out goes the state after it, or why not.
//! Every deed is computed at once and becomes real as a whole. It must not know HTTP, nor how objects are kept.

mod admit;
mod apply;
mod create;
mod delete;
mod patch;
mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{Object, definition::Definition, storage::Transaction};
use crate::{
    apiserver::{Failure, Owners, PatchKind, Verb, Write, Written},
    cache::Name,
};

/// One deed under way.
pub struct Deed<'a, 'b> {
    /// What is changed.
    transaction: &'a mut Transaction<'b>,
    /// Number of the kind among the tables.
    table: usize,
    definition: &'a Definition,
    /// Its group and version.
    api_version: String,
    write: &'a Write,
    /// One clock reading for the whole deed.
    now: Timestamp,
    /// Sentences for the caller.
    warnings: Vec<String>,
    /// Who owns what after an apply; nothing for other writes until they are done.
    owners: Option<Owners>,
}

/// Does what `write` says with objects of the kind `table`; returns what was done and sentences for the caller.
///
/// # Errors
/// Whatever the caller is to be told; then the transaction is to be forgotten.
pub fn perform(
    transaction: &mut Transaction<'_>,
    table: usize,
    write: &Write,
) -> Result<(Written, Vec<String>), Failure> {
    let definition = transaction.tables()[table].definition.clone();
    let mut deed = Deed {
        transaction,
        table,
        definition: &definition,
        api_version: definition.api_version(),
        write,
        now: Timestamp::now(),
        warnings: Vec::new(),
        owners: None,
    };
    let written = deed.perform()?;
    Ok((written, deed.warnings))
}

impl Deed<'_, '_> {
    fn perform(&mut self) -> Result<Written, Failure> {
        let write = self.write;
        let status = write.subresource == "status" && self.definition.status;
        if !write.subresource.is_empty() && !status {
            return Err(Failure::NoRoute);
        }
        match write.verb {
            Verb::Create if !status => self.create(),
            Verb::Update => self.update(),
            Verb::Patch(PatchKind::Apply) => self.apply(),
            Verb::Patch(kind) => self.patch(kind),
            Verb::Delete if !status => self.delete(),
            Verb::DeleteCollection if !status => self.delete_collection(),
            _ => Err(Failure::MethodNotAllowed {
                allow: vec!["GET", "PATCH", "PUT"],
            }),
        }
    }

    /// Returns the name that the request is about.
    fn named(&self) -> Name {
        Name::new(&self.write.namespace, &self.write.name)
    }

    /// Returns the object that the request is about.
    fn live(&self) -> Result<Arc<Object>, Failure> {
        let found = self.transaction.get(self.table, &self.named()).cloned();
        found.ok_or_else(|| Failure::NotFound(self.definition.subject(&self.write.name)))
    }

    /// Returns the moment of the deed as metadata has it: whole seconds, UTC.
    fn moment(&self) -> Value {
        let seconds = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        seconds.to_string().into()
    }

    /// Puts the object in its place; a rehearsed one shows the version that it had.
    fn put(&mut self, value: Value) -> Arc<Object> {
        self.transaction.put(self.table, value)
    }
}
