//! What the objects look like and what may be done with them, as OpenAPI tells it: version 3 for each group and version,
//! version 2 for all of them.
//!
//! In comes the registry; out go documents that are made when the first one asks, and are kept. Every reference in them
//! leads somewhere: one that does not breaks the tools of a whole cluster.

mod meta;
mod operations;
mod v2;
mod v3;

use std::{collections::BTreeMap, sync::OnceLock};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{
    Failure, Registry,
    discovery::{digest, page, root},
    negotiate,
    pages::Page,
    query::Query,
};

/// Returns the schemas of Kubernetes' own types.
pub(super) fn meta() -> BTreeMap<String, Value> {
    meta::components()
}

/// The documents.
pub(super) struct OpenApi {
    registry: Registry,
    /// Made when the first one asks: few ever do.
    made: OnceLock<Made>,
}

struct Made {
    index: Bytes,
    /// By `apis/<group>/<version>`.
    v3: BTreeMap<String, Page>,
    v2: Page,
}

impl OpenApi {
    /// Returns the documents of what is in `registry`.
    pub(super) fn of(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            made: OnceLock::new(),
        }
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| Made::of(&self.registry))
    }

    /// Returns the index of the documents of version 3.
    pub(super) fn index(&self) -> Bytes {
        self.made().index.clone()
    }

    /// Returns the document of version 3 at `path`, and whether the query names this very content. One who asks for older
    /// content gets what there is: a redirection would not get through the aggregator.
    pub(super) fn v3(
        &self,
        headers: &HeaderMap,
        query: &Query,
        path: &str,
    ) -> Result<(&Page, bool), Failure> {
        let page = self.made().v3.get(path).ok_or(Failure::NoRoute)?;
        json_only(headers)?;
        let hash = query.get("hash").unwrap_or_default();
        let tag = page.etag.to_str().unwrap_or_default();
        Ok((page, tag.trim_matches('"') == hash))
    }

    /// Returns the document of version 2.
    pub(super) fn v2(&self, headers: &HeaderMap) -> Result<&Page, Failure> {
        json_only(headers)?;
        Ok(&self.made().v2)
    }
}

impl Made {
    fn of(registry: &Registry) -> Self {
        let mut documents = BTreeMap::new();
        for (group, versions) in registry.groups() {
            for version in versions {
                let document = v3::document(registry, group, version);
                documents.insert(root(group, version), document);
            }
        }
        let v2 = page(&v2::document(documents.values()), None);
        let v3: BTreeMap<String, Page> = documents
            .into_iter()
            .map(|(path, document)| (path, page(&document, None)))
            .collect();
        let paths: BTreeMap<&str, Value> = v3
            .iter()
            .map(|(path, page)| {
                let url = format!("/openapi/v3/{path}?hash={}", digest(&page.body));
                (path.as_str(), json!({ "serverRelativeURL": url }))
            })
            .collect();
        let index = json!({ "paths": paths }).to_string();
        Self {
            index: index.into(),
            v3,
            v2,
        }
    }
}

fn json_only(headers: &HeaderMap) -> Result<(), Failure> {
    if negotiate::accepts_json(headers) {
        return Ok(());
    }
    let message = "only the following media types are accepted: application/json";
    Err(Failure::NotAcceptable(message.into()))
}
