//! How packages are changed: a new one begins with its first draft, and one that goes takes all its revisions along. What
//! is between is done to the revisions.

use serde_json::Value;

use super::{
    Packages,
    keeping::{Named, call, encoded},
};
use crate::{
    api::{self, PorchPackage},
    apiserver::{Changed, DeleteTerms, Deleted, Edit, Failure, Keeper, Request, Subject},
    cache::{Name, view},
    engine::Departed,
};

const NAMED: Named = Named {
    kind: "PorchPackage",
    plural: "packages",
};

impl Keeper for Packages {
    async fn create(&self, object: Value, request: &Request) -> Result<Changed, Failure> {
        let package: PorchPackage = serde_json::from_value(object).map_err(|error| {
            let why = format!(
                "PorchPackage in version \"v1alpha1\" cannot be handled as a PorchPackage: {error}"
            );
            Failure::BadRequest(why)
        })?;
        let name = package.metadata.name.clone().unwrap_or_default();
        let namespace = package.metadata.namespace.clone().unwrap_or_default();
        let created = self
            .engine
            .create_package(&namespace, package, &call(request))
            .await;
        let record = created.map_err(|error| NAMED.failure(error, &name))?;
        let shown = view::package(&record);
        let mut shown = shown.ok_or_else(|| Failure::Internal("a record shows nothing".into()))?;
        shown
            .metadata
            .resource_version
            .clone_from(&record.metadata.resource_version);
        Ok(encoded(&shown)?.into())
    }

    async fn update(&self, _: &Name, _: Edit, _: &Request) -> Result<Changed, Failure> {
        Err(Failure::NotSupported {
            action: super::packages::UPDATE.into(),
            subject: Subject::new(api::GROUP, NAMED.plural, ""),
            allow: vec!["DELETE", "GET", "POST"],
        })
    }

    async fn delete(
        &self,
        name: &Name,
        terms: DeleteTerms,
        request: &Request,
    ) -> Result<Deleted, Failure> {
        let missing = || Failure::NotFound(Subject::new(api::GROUP, NAMED.plural, &*name.name));
        let found = self.feed.find_package(name).await;
        let found = found.map_err(|unknown| Failure::Unavailable {
            message: unknown.to_string(),
            retry_after: 1,
        })?;
        let package = found.ok_or_else(missing)?;
        let live: Value = serde_json::from_slice(package.body())
            .map_err(|error| Failure::Internal(error.to_string()))?;
        terms.check(&live, Subject::new(api::GROUP, NAMED.plural, &*name.name))?;
        let propagation = terms.propagation;
        let departed = self
            .engine
            .delete_package(name, propagation, &call(request))
            .await;
        let departed = departed.map_err(|error| NAMED.failure(error, &name.name))?;
        let held = departed.iter().any(|one| matches!(one, Departed::Held(_)));
        let body = package.body().clone();
        Ok(if held {
            Deleted::Held(body)
        } else {
            Deleted::Gone(body)
        })
    }
}
