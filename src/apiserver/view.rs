//! An object as a caller wants to see it: whole, its metadata, or a row of a table.
//!
//! In come objects whose JSON was encoded when they last changed; out go bytes put together from it. Nothing that a cache
//! keeps is encoded again here.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use super::{
    Column, Failure, Kind, Problem, Resource,
    negotiate::{Include, View},
};
use crate::cache::{Entry, Version};

/// One who writes the objects of a kind in one view.
pub(super) struct Writing<R> {
    pub(super) resource: Arc<R>,
    pub(super) view: View,
}

/// The `apiVersion` of the kinds that are made of other kinds.
const META: &str = "meta.k8s.io/v1";

impl<R: Resource> Writing<R> {
    /// Returns the beginning of a list: everything before its first item.
    pub(super) fn open_list(&self, metadata: &Value) -> BytesMut {
        let kind = self.resource.kind();
        let (name, version) = match self.view {
            View::Whole => (kind.list_kind.as_str(), kind.api_version()),
            View::Partial => ("PartialObjectMetadataList", META.into()),
            View::Table(_) => ("Table", META.into()),
        };
        let mut out = BytesMut::with_capacity(256);
        let head = json!({ "kind": name, "apiVersion": version, "metadata": metadata }).to_string();
        put(&mut out, head.strip_suffix('}').unwrap_or(&head));
        match self.view {
            View::Table(_) => {
                put(&mut out, ",\"columnDefinitions\":");
                put(&mut out, &definitions(&kind.columns).to_string());
                put(&mut out, ",\"rows\":[");
            }
            _ => put(&mut out, ",\"items\":["),
        }
        out
    }

    /// Writes one object as an item of a list.
    pub(super) async fn item(
        &self,
        object: &Arc<R::Object>,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        match self.view {
            View::Whole => out.put(self.resource.body(object).await?),
            View::Partial => partial(&self.resource.metadata(object), out),
            View::Table(include) => self.row(object, include, out).await?,
        }
        Ok(())
    }

    /// Writes one object that stands alone; `columns` says whether a table tells its columns.
    pub(super) async fn single(
        &self,
        object: &Arc<R::Object>,
        columns: bool,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let View::Table(include) = self.view else {
            return self.item(object, out).await;
        };
        self.open_table(object.version(), columns, out);
        self.row(object, include, out).await?;
        put(out, "]}");
        Ok(())
    }

    /// Writes a bookmark: nothing but a version.
    pub(super) fn bookmark(
        &self,
        version: Version,
        annotations: Option<Value>,
        columns: bool,
        out: &mut BytesMut,
    ) {
        let kind = self.resource.kind();
        let mut metadata =
            json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if let Some(annotations) = annotations {
            metadata["annotations"] = annotations;
        }
        let metadata = metadata.to_string();
        match self.view {
            View::Whole => {
                let head = json!({ "kind": kind.kind, "apiVersion": kind.api_version() });
                put(out, head.to_string().trim_end_matches('}'));
                put(out, ",\"metadata\":");
                put(out, &metadata);
                put(out, "}");
            }
            View::Partial => partial(metadata.as_bytes(), out),
            View::Table(_) => {
                self.open_table(version, columns, out);
                let cells = vec![Value::Null; kind.columns.len()];
                put(out, "{\"cells\":");
                put(out, &Value::from(cells).to_string());
                put(out, ",\"object\":");
                partial(metadata.as_bytes(), out);
                put(out, "}]}");
            }
        }
    }

    fn open_table(&self, version: Version, columns: bool, out: &mut BytesMut) {
        let columns = if columns {
            definitions(&self.resource.kind().columns)
        } else {
            Value::Null
        };
        put(
            out,
            "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"",
        );
        put(out, &version.to_string());
        put(out, "\"},\"columnDefinitions\":");
        put(out, &columns.to_string());
        put(out, ",\"rows\":[");
    }

    async fn row(
        &self,
        object: &Arc<R::Object>,
        include: Include,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let cells = self.resource.cells(object).await?;
        put(out, "{\"cells\":");
        put(out, &Value::from(cells).to_string());
        put(out, ",\"object\":");
        match include {
            Include::Metadata => partial(&self.resource.metadata(object), out),
            Include::Object => out.put(self.resource.body(object).await?),
            Include::Nothing => put(out, "null"),
        }
        put(out, "}");
        Ok(())
    }
}

/// Returns the metadata in a body that a writer answered, as `PartialObjectMetadata`.
pub(super) fn partial_of(body: &[u8]) -> Option<BytesMut> {
    #[derive(serde::Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: &'a serde_json::value::RawValue,
    }
    let object: Object<'_> = serde_json::from_slice(body).ok()?;
    let mut out = BytesMut::new();
    partial(object.metadata.get().as_bytes(), &mut out);
    Some(out)
}

/// Returns what a caller is told of an object that can't be had; the log is told the rest.
pub(super) fn failure(kind: &Kind, problem: Problem) -> Failure {
    match problem {
        Problem::Unavailable(message) => Failure::Unavailable {
            message,
            retry_after: 1,
        },
        Problem::Internal(message) => Failure::Internal(format!("{}: {message}", kind.plural)),
    }
}

fn partial(metadata: &[u8], out: &mut BytesMut) {
    put(
        out,
        "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":",
    );
    out.put(metadata);
    put(out, "}");
}

fn definitions(columns: &[Column]) -> Value {
    let define = |column: &Column| {
        json!({
            "name": column.name, "type": column.type_, "format": column.format,
            "description": column.description, "priority": column.priority,
        })
    };
    columns.iter().map(define).collect()
}

fn put(out: &mut BytesMut, text: &str) {
    out.put(text.as_bytes());
}
