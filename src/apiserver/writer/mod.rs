//! Everything between a request to change an object and the one who keeps it, the same for every kind.
//!
//! In comes a [`Write`] that was parsed, authenticated and authorised; a [`Keeper`] is asked for the deed, with an object
//! in the form of its kind or an edit that makes one; out goes the answer. It must not know what the kind means, nor how
//! objects are kept.

mod apply;
mod change;
mod decoder;
mod delete;
mod metadata;
mod owners;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{
    Changed, Edit, Failure, Keeper, Kind, PatchKind, Reply, Request, Resource, Subject, Verb,
    Write, Writer, Written,
};
use crate::cache::{Name, Version};
use change::Change;
use decoder::{Decoder, Origin};

/// One who changes the objects of a kind for whoever keeps them.
pub struct ObjectWriter<R, K> {
    resource: Arc<R>,
    keeper: Arc<K>,
    decoder: Arc<Decoder>,
}

impl<R: Resource, K: Keeper> ObjectWriter<R, K> {
    /// Returns one who changes what `resource` describes and `keeper` keeps.
    #[must_use]
    pub fn new(resource: Arc<R>, keeper: Arc<K>) -> Self {
        let decoder = Arc::new(Decoder::new(resource.kind(), keeper.maker()));
        Self {
            resource,
            keeper,
            decoder,
        }
    }

    fn kind(&self) -> &Kind {
        self.resource.kind()
    }

    async fn create(&self, write: &Write) -> Result<Reply, Failure> {
        let validation = write.options.field_validation;
        let (mut object, complaints) = self.decoder.decode(write)?;
        let mut warnings = self.decoder.report(complaints, validation, Origin::Body)?;
        warnings.extend(metadata::begin(self.kind(), &mut object, &write.namespace)?);
        if self.keeper.keeps_owners() {
            owners::begin(&self.decoder, &mut object, write);
        }
        self.make(object, warnings, write).await
    }

    /// Makes a new object that is in order.
    async fn make(
        &self,
        object: Value,
        mut warnings: Vec<String>,
        write: &Write,
    ) -> Result<Reply, Failure> {
        let made = self.keeper.create(object, &request(write, None)).await?;
        warnings.extend(made.warnings);
        Ok(Reply {
            written: Written::Created(made.object),
            warnings,
        })
    }

    async fn update(&self, write: &Write) -> Result<Reply, Failure> {
        let change = Change::whole(self.decoder.clone(), write)?;
        self.change(change, write).await
    }

    async fn patch(&self, kind: PatchKind, write: &Write) -> Result<Reply, Failure> {
        let change = Change::patch(self.decoder.clone(), kind, write)?;
        self.change(change, write).await
    }

    async fn change(&self, mut change: Change, write: &Write) -> Result<Reply, Failure> {
        change.tracked = self.keeper.keeps_owners();
        let request = request(write, change.version()?);
        let name = Name::new(&write.namespace, &write.name);
        let noted = Arc::new(Mutex::new(Vec::new()));
        let heard = noted.clone();
        let edit = Edit::new(move |live| {
            let (object, warnings) = change.apply(live)?;
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
            Ok(object)
        });
        let Changed { object, warnings } = self.keeper.update(&name, edit, &request).await?;
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(&mut *noted);
        all.extend(warnings);
        Ok(Reply {
            written: Written::Updated(object),
            warnings: all,
        })
    }
}

/// Returns what the keeper is told of a request.
fn request(write: &Write, version: Option<Version>) -> Request {
    Request {
        user: write.user.clone(),
        verb: write.verb,
        subresource: write.subresource.clone(),
        dry_run: write.options.dry_run,
        field_manager: write.options.field_manager.clone(),
        version,
        caller: write.caller.clone(),
    }
}

/// Returns an object as failures name it: among the others of its kind.
fn subject(kind: &Kind, name: &str) -> Subject {
    Subject::new(&*kind.group, &*kind.plural, name)
}

/// Returns an object as failures name it that are about its fields: by its kind.
fn kind_subject(kind: &Kind, name: &str) -> Subject {
    Subject::new(&*kind.group, &*kind.kind, name)
}

impl<R: Resource, K: Keeper> Writer for ObjectWriter<R, K> {
    async fn write(&self, write: Write) -> Result<Reply, Failure> {
        match write.verb {
            Verb::Create if write.subresource.is_empty() => self.create(&write).await,
            Verb::Update => self.update(&write).await,
            Verb::Patch(PatchKind::Apply) => self.apply(&write).await,
            Verb::Patch(kind) => self.patch(kind, &write).await,
            Verb::Delete if write.subresource.is_empty() => self.delete(&write).await,
            Verb::DeleteCollection => self.delete_collection(&write).await,
            Verb::Create | Verb::Delete => Err(Failure::MethodNotAllowed {
                allow: vec!["GET", "PATCH", "PUT"],
            }),
        }
    }

    fn patches(&self) -> &[PatchKind] {
        let known = if self.keeper.keeps_owners() { 4 } else { 3 };
        &PatchKind::ALL[..known]
    }
}
