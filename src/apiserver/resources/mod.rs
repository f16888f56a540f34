//! The three kinds of `porch.kpt.dev`: what their names are, how they are printed, and where their objects come from.
//!
//! All that is shown comes from the catalog, but for files, which are read from Git by their tree and kept nowhere. All that
//! is changed is changed by the engine.

mod files_keeper;
mod keeping;
mod package_keeper;
mod package_revision_resources;
mod package_revisions;
mod packages;
mod revision_keeper;

pub use package_revision_resources::PackageRevisionResources;
pub use package_revisions::PackageRevisions;
pub use packages::Packages;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use tokio::time::Instant;

use super::{Column, Kind, Problem, Request, Schema};
use crate::{
    api,
    cache::{Catalog, Name, Revision, Version},
    sync::Feed,
};

/// How long a version that was named may take to be seen.
const PATIENCE: Duration = Duration::from_secs(10);
/// What precedes the names of our types in OpenAPI, as upstream's generator has it.
const PREFIX: &str = "com.github.nephio-project.porch.api.porch.v1alpha1.";

/// Returns a kind of our group that can be read.
fn kind<T: JsonSchema>(kind: &str, plural: &str, singular: &str, columns: Vec<Column>) -> Kind {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Kind {
        group: api::GROUP.into(),
        version: api::VERSION.into(),
        kind: kind.into(),
        list_kind: format!("{kind}List"),
        plural: plural.into(),
        singular: singular.into(),
        namespaced: true,
        verbs: words(&["get", "list", "watch"]),
        selectable: words(&["metadata.name", "metadata.namespace"]),
        columns,
        schema: Schema::of::<T>(PREFIX),
        ..Kind::default()
    }
}

/// Returns the names of verbs as they are kept.
fn verbs(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until the catalog has seen the version that a request names: what is written is computed from it.
async fn wait_for(feed: &Feed, request: &Request) {
    wait_for_version(feed, request.version, request).await;
}

/// Waits until the catalog has seen `version`, as long as the caller does.
async fn wait_for_version(feed: &Feed, version: Option<Version>, request: &Request) {
    if let Some(version) = version {
        let left = request.deadline().saturating_duration_since(Instant::now());
        // One that never comes is not the object's: the edit says so.
        let _ = feed.catalog().wait_for(version, left.min(PATIENCE)).await;
    }
}

fn column(name: &str, type_: &str, description: &str) -> Column {
    Column {
        name: name.into(),
        type_: type_.into(),
        format: if name == "Name" { "name" } else { "" }.into(),
        description: description.into(),
        priority: 0,
    }
}

/// Returns a column of wide output.
fn wide(name: &str, type_: &str, description: &str) -> Column {
    Column {
        priority: 1,
        ..column(name, type_, description)
    }
}

/// Returns if the catalog has seen everything that anybody was ever told.
fn ready(catalog: &Catalog) -> Result<(), Problem> {
    if catalog.ready() {
        return Ok(());
    }
    let why = "the package revisions are still being loaded, please try again";
    Err(Problem::Unavailable(why.into()))
}

/// Returns the revision of this name; nothing only if the cluster itself says that there is none.
async fn find(feed: &Feed, name: &Name) -> Result<Option<Arc<Revision>>, Problem> {
    let found = feed.find(name).await;
    found.map_err(|unknown| Problem::Unavailable(unknown.to_string()))
}
