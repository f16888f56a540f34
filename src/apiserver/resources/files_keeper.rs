//! How the files of a draft are changed: replaced whole, by the engine. They are neither created nor deleted by
//! themselves.

use serde_json::Value;

use super::{
    PackageRevisionResources,
    keeping::{Named, Refusal, call, encoded},
    package_revision_resources::shown,
};
use crate::{
    api,
    apiserver::{Changed, DeleteTerms, Deleted, Edit, Failure, Keeper, Request, Subject},
    cache::Name,
    engine::{Replaced, Texts, Wanted, managed_fields, sort},
    sync::SYNC_MANAGER,
};

const NAMED: Named = Named {
    kind: "PackageRevisionResources",
    plural: "packagerevisionresources",
};

impl Keeper for PackageRevisionResources {
    fn keeps_owners(&self) -> bool {
        true
    }

    fn maker(&self) -> Option<&'static str> {
        Some(SYNC_MANAGER)
    }

    async fn create(&self, _: Value, _: &Request) -> Result<Changed, Failure> {
        Err(unsupported("create"))
    }

    async fn update(&self, name: &Name, edit: Edit, request: &Request) -> Result<Changed, Failure> {
        super::wait_for(&self.feed, request).await;
        let edit = |record: &api::PackageRev, texts: &Texts, binary: &[String]| {
            let live = shown(record, Ok((texts.clone(), binary.to_vec())));
            let live = serde_json::to_value(live);
            let live = live.map_err(|error| Failure::Internal(error.to_string()))?;
            let new = edit.apply(&live)?;
            let new: api::PackageRevisionResources = serde_json::from_value(new).map_err(|error| {
                let why = format!("PackageRevisionResources in version \"v1alpha1\" cannot be handled as a PackageRevisionResources: {error}");
                Failure::BadRequest(why)
            })?;
            Ok::<_, Refusal>(Wanted {
                managed_fields: managed_fields(&new.metadata),
                texts: new.spec.resources,
            })
        };
        let patient = request.version.is_none();
        let call = call(request);
        let replacing = Box::pin(self.engine.replace(name, patient, edit, &call));
        let replaced = request.caller.stays_for(async {
            let replaced = replacing.await;
            replaced.map_err(|refusal| NAMED.tell(refusal, &name.name))
        });
        let replaced = replaced.await?;
        let Replaced {
            record,
            files,
            status,
        } = replaced;
        let mut shown = shown(&record, Ok(sort(&files)));
        shown.status.render_status = status.unwrap_or_default();
        Ok(encoded(&shown)?.into())
    }

    async fn delete(&self, _: &Name, _: DeleteTerms, _: &Request) -> Result<Deleted, Failure> {
        Err(unsupported("delete"))
    }
}

/// Returns that a verb is none of this kind; it is not advertised, so nobody comes here who asks over HTTP.
fn unsupported(verb: &str) -> Failure {
    Failure::NotSupported {
        action: verb.into(),
        subject: Subject::new(api::GROUP, NAMED.plural, ""),
        allow: vec!["GET", "PATCH", "PUT"],
    }
}
