//! How package revisions are changed: created, updated, approved and deleted by the engine. In come objects and edits that
//! the machinery has checked as it checks every kind; the rules of packages are the engine's.

use serde_json::Value;

use super::{
    PackageRevisions,
    keeping::{Named, Refusal, call, shown},
};
use crate::{
    api::PackageRevision,
    apiserver::{Changed, DeleteTerms, Deleted, Edit, Failure, Keeper, Request, Verb},
    cache::Name,
    engine::{Departed, Error, Terms, Way},
    package::strategy::RevisionInput,
    sync::SYNC_MANAGER,
};

const NAMED: Named = Named {
    kind: "PackageRevision",
    plural: "packagerevisions",
};
/// What upstream calls an object that has no name yet.
const NEW: &str = "(new creation)";

impl Keeper for PackageRevisions {
    fn keeps_owners(&self) -> bool {
        true
    }

    fn maker(&self) -> Option<&'static str> {
        Some(SYNC_MANAGER)
    }

    async fn create(&self, object: Value, request: &Request) -> Result<Changed, Failure> {
        let input = understood(RevisionInput::from_json(object))?;
        let metadata = &input.object.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let call = call(request);
        let creating = Box::pin(self.engine.create(&namespace, input, &call));
        let created = request.caller.stays_for(async {
            let created = creating.await;
            created.map_err(|error| NAMED.failure(error, NEW))
        });
        let record = created.await?;
        Ok(shown(&record)?.into())
    }

    async fn update(&self, name: &Name, edit: Edit, request: &Request) -> Result<Changed, Failure> {
        let way = match request.subresource.as_str() {
            "approval" => Way::Approval,
            _ => Way::Plain,
        };
        super::wait_for(&self.feed, request).await;
        let patches = matches!(request.verb, Verb::Patch(_));
        let edit = |live: &PackageRevision| -> Result<RevisionInput, Refusal> {
            let live = serde_json::to_value(live);
            let live = live.map_err(|error| Failure::Internal(error.to_string()))?;
            let new = edit.apply(&live)?;
            let read = if patches {
                RevisionInput::from_patched(&live, new)
            } else {
                RevisionInput::from_json(new)
            };
            Ok(understood(read)?)
        };
        let patient = request.version.is_none();
        let call = call(request);
        let updating = Box::pin(self.engine.update(name, (way, patient), edit, &call));
        let updated = request.caller.stays_for(async {
            let updated = updating.await;
            updated.map_err(|refusal| NAMED.tell(refusal, &name.name))
        });
        let record = updated.await?;
        Ok(shown(&record)?.into())
    }

    async fn delete(
        &self,
        name: &Name,
        terms: DeleteTerms,
        request: &Request,
    ) -> Result<Deleted, Failure> {
        let version = terms.resource_version.map(|version| {
            version.parse().map_err(|_| {
                // No object has such a version.
                let why = format!(
                    "the ResourceVersion in the precondition ({version}) does not match that in record. The object might have been modified"
                );
                NAMED.failure(Error::Conflict(why), &name.name)
            })
        });
        let version = version.transpose()?;
        super::wait_for_version(&self.feed, version, request).await;
        let terms = Terms {
            uid: terms.uid,
            version,
            propagation: terms.propagation,
        };
        let departed = self.engine.delete(name, &terms, &call(request)).await;
        let departed = departed.map_err(|error| NAMED.failure(error, &name.name))?;
        Ok(match departed {
            Departed::Held(record) => Deleted::Held(shown(&record)?),
            Departed::Gone(record) => Deleted::Gone(shown(&record)?),
        })
    }
}

fn understood(input: Result<RevisionInput, serde_json::Error>) -> Result<RevisionInput, Failure> {
    input.map_err(|error| {
        let why = format!("PackageRevision in version \"v1alpha1\" cannot be handled as a PackageRevision: {error}");
        Failure::BadRequest(why)
    })
}
