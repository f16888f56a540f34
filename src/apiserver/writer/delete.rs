//! An object goes, or many do.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use super::{ObjectWriter, request};
use crate::{
    apiserver::{
        DeleteTerms, Deleted, Failure, Keeper, Kind, Reply, Request, Resource, Write, Written,
        query::ListOptions, selection::Selection, view,
    },
    cache::{Entry, Name},
};

impl<R: Resource, K: Keeper> ObjectWriter<R, K> {
    /// Deletes the object that the request names.
    pub(super) async fn delete(&self, write: &Write) -> Result<Reply, Failure> {
        let (terms, request) = self.terms(write)?;
        let name = Name::new(&write.namespace, &write.name);
        let deleted = self.keeper.delete(&name, terms, &request).await?;
        let body = match deleted {
            Deleted::Held(object) | Deleted::Gone(object) => object,
            Deleted::Done { uid } => done(self.kind(), &write.name, &uid),
        };
        Ok(Written::Deleted(body).into())
    }

    /// Deletes everything that the selectors choose, one by one, and returns it as it was. What is gone meanwhile is no
    /// failure; one that may not go keeps none of the others, and the first of them is told.
    pub(super) async fn delete_collection(&self, write: &Write) -> Result<Reply, Failure> {
        let (terms, request) = self.terms(write)?;
        let chosen = self.chosen(write)?;
        let mut list = self.open_list();
        let mut refused = None;
        for (index, object) in chosen.iter().enumerate() {
            let body = self.resource.body(object).await;
            let body = body.map_err(|problem| view::failure(self.kind(), problem))?;
            let deleted = self.keeper.delete(object.name(), terms.clone(), &request);
            match deleted.await {
                Ok(_) | Err(Failure::NotFound(_)) => {}
                Err(failure) => {
                    refused.get_or_insert(failure);
                }
            }
            if index > 0 {
                list.put_slice(b",");
            }
            list.put(body);
        }
        list.put_slice(b"]}");
        if let Some(failure) = refused {
            return Err(failure);
        }
        Ok(Written::Deleted(list.freeze()).into())
    }

    fn terms(&self, write: &Write) -> Result<(DeleteTerms, Request), Failure> {
        let terms = DeleteTerms::of(write, &self.kind().api_version())?;
        let version = terms.resource_version.as_ref();
        let version = version.and_then(|version| version.parse().ok());
        let request = Request {
            dry_run: terms.dry_run,
            ..request(write, version)
        };
        Ok((terms, request))
    }

    fn chosen(&self, write: &Write) -> Result<Vec<Arc<R::Object>>, Failure> {
        let options = ListOptions {
            labels: write.options.label_selector.clone(),
            fields: write.options.field_selector.clone(),
            ..ListOptions::default()
        };
        let selection = Selection::parse(&*self.resource, &write.namespace, &options)?;
        let ready = self.resource.ready();
        ready.map_err(|problem| view::failure(self.kind(), problem))?;
        let most = match write.options.limit {
            0 => usize::MAX,
            limit => limit,
        };
        let snapshot = self.resource.store().snapshot();
        let chosen = snapshot.objects.values();
        let chosen = chosen.filter(|object| selection.matches(object.as_ref()));
        Ok(chosen.take(most).cloned().collect())
    }

    fn open_list(&self) -> BytesMut {
        let kind = self.kind();
        let version = self.resource.store().version().to_string();
        let head = json!({
            "kind": kind.list_kind, "apiVersion": kind.api_version(),
            "metadata": { "resourceVersion": version },
        });
        let head = head.to_string();
        let mut list = BytesMut::from(head.trim_end_matches('}').as_bytes());
        list.put_slice(b"},\"items\":[");
        list
    }
}

/// Returns the `Status` that tells of an object that is gone.
fn done(kind: &Kind, name: &str, uid: &str) -> Bytes {
    let mut details = json!({ "name": name, "kind": kind.plural, "uid": uid });
    if !kind.group.is_empty() {
        details["group"] = kind.group.as_str().into();
    }
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    });
    status.to_string().into()
}
