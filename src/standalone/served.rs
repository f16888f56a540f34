//! One kind of this control plane as the API server sees it: something to read, and someone who writes.
//!
//! In come parsed requests; out go objects. Events are kept once and served twice, so a kind may be a view of another's
//! objects. It must not answer before a write is durable.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{Definition, Object, Storage, kinds, protobuf, write::perform};
use crate::{
    apiserver::{
        DeleteTerms, Failure, Kind, PatchKind, Problem, Reply, Resource, Verb, Write, Writer,
        Written,
    },
    cache::{Entry, Store},
};

/// A kind that is served.
#[derive(Clone)]
pub struct Served {
    storage: Arc<Storage>,
    /// Number of the kind whose objects these are.
    table: usize,
    /// What is shown: the kind itself, or a view of it.
    definition: Arc<Definition>,
    /// Whether this is the view of events that the core group has.
    core_events: bool,
}

impl Served {
    /// Returns the kind number `table` of the storage.
    #[must_use]
    pub fn new(storage: Arc<Storage>, table: usize) -> Self {
        let definition = storage.tables()[table].definition.clone();
        Self {
            storage,
            table,
            definition,
            core_events: false,
        }
    }

    /// Returns the events of the core group, a view of the events that are kept as kind number `table`.
    #[must_use]
    pub fn core_events(storage: Arc<Storage>, table: usize) -> Self {
        Self {
            storage,
            table,
            definition: Arc::new(kinds::core_events()),
            core_events: true,
        }
    }

    /// Returns the plural name of the kind.
    #[must_use]
    pub fn plural(&self) -> &str {
        &self.definition.kind.plural
    }

    fn shown(&self, body: Bytes) -> Result<Bytes, Failure> {
        if !self.core_events {
            return Ok(body);
        }
        let value = parsed(&body)?;
        let shown = match value["kind"].as_str() {
            Some("Event") => kinds::to_core_event(value),
            Some("EventList") => kinds::to_core_event_list(value),
            _ => value,
        };
        Ok(shown.to_string().into())
    }

    /// Returns the request in terms of the kind that is kept.
    fn kept(&self, mut write: Write) -> Result<Write, Failure> {
        let body = matches!(write.verb, Verb::Create | Verb::Update | Verb::Patch(_));
        if self.core_events && body {
            let event = parsed(&write.body)?;
            write.body = kinds::to_kept_event(event).to_string().into();
        }
        if write.verb == Verb::DeleteCollection && self.core_events {
            write.options.field_selector = write
                .options
                .field_selector
                .replace("involvedObject.", "regarding.");
        }
        Ok(write)
    }

    async fn perform(&self, write: Write) -> Result<(Written, Vec<String>), Failure> {
        let table = self.table;
        let rehearsal = write.options.dry_run
            || (matches!(write.verb, Verb::Delete | Verb::DeleteCollection)
                && DeleteTerms::of(&write, &self.definition.api_version())?.dry_run);
        if !rehearsal {
            let done = self
                .storage
                .transact(|transaction| perform(transaction, table, &write));
            return done.await;
        }
        let (written, warnings) = self
            .storage
            .rehearse(|transaction| perform(transaction, table, &write))?;
        Ok((self.as_it_was(&write, written)?, warnings))
    }

    /// Returns what a rehearsal shows: with the version that there was, since it gave none.
    fn as_it_was(&self, write: &Write, written: Written) -> Result<Written, Failure> {
        let name = crate::cache::Name::new(&write.namespace, &write.name);
        let version = self
            .store()
            .get(&name)
            .map(|object| object.version().to_string());
        let with = |body: Bytes| {
            let mut value = parsed(&body)?;
            if let Some(metadata) = value["metadata"].as_object_mut()
                && metadata.contains_key("resourceVersion")
            {
                match &version {
                    Some(version) => {
                        metadata.insert("resourceVersion".into(), version.as_str().into())
                    }
                    None => metadata.remove("resourceVersion"),
                };
            }
            Ok(Bytes::from(value.to_string()))
        };
        Ok(match written {
            Written::Created(body) => Written::Created(with(body)?),
            Written::Updated(body) => Written::Updated(with(body)?),
            Written::Deleted(body) => Written::Deleted(with(body)?),
        })
    }
}

fn parsed(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::BadRequest(format!("the body can't be understood: {error}")))
}

impl Resource for Served {
    type Object = Object;

    fn kind(&self) -> &Kind {
        &self.definition.kind
    }

    fn store(&self) -> &Arc<Store<Object>> {
        &self.storage.tables()[self.table].store
    }

    async fn body(&self, object: &Arc<Object>) -> Result<Bytes, Problem> {
        if !self.core_events {
            return Ok(object.body().clone());
        }
        Ok(kinds::to_core_event(object.value()).to_string().into())
    }

    async fn cells(&self, object: &Arc<Object>) -> Result<Vec<Value>, Problem> {
        let value = object.value();
        let cells = self.definition.cells.iter().map(|cell| cell.of(&value));
        Ok(cells.collect())
    }
}

impl Writer for Served {
    async fn write(&self, write: Write) -> Result<Reply, Failure> {
        let (written, warnings) = self.perform(self.kept(write)?).await?;
        let written = match written {
            Written::Created(body) => Written::Created(self.shown(body)?),
            Written::Updated(body) => Written::Updated(self.shown(body)?),
            Written::Deleted(body) => Written::Deleted(self.shown(body)?),
        };
        Ok(Reply { written, warnings })
    }

    fn protobuf(&self, body: &[u8]) -> Option<Result<Bytes, Failure>> {
        let kind = &self.definition.kind;
        if !kind.group.is_empty() || !protobuf::knows(&kind.kind) {
            return None;
        }
        let refuse = |why| {
            Failure::BadRequest(format!(
                "the object provided is unrecognized (must be of type {}): {why}",
                kind.kind
            ))
        };
        let object = protobuf::to_json(body).map_err(refuse);
        Some(object.map(|object| object.to_string().into()))
    }

    fn patches(&self) -> &[PatchKind] {
        if self.core_events {
            return &[PatchKind::Merge, PatchKind::Strategic];
        }
        if self.definition.custom {
            return &[PatchKind::Json, PatchKind::Merge, PatchKind::Apply];
        }
        &PatchKind::ALL
    }
}
