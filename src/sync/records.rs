//! Writes records into the cluster. In come edits, out goes what became of them. An edit is made only if the record is
//! still the one that it was made from; what lost that race is told, and settled at the next look.

use std::sync::Arc;

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{Error, settle::Edit};
use crate::{
    api::{PackageRev, REPOSITORY_LABEL},
    cache::Version,
};

/// How many packages are written at once: enough to hide the way to the cluster, few enough to leave it to others.
const AT_ONCE: usize = 8;
/// How many records are listed at once.
const PAGE: u32 = 500;

/// What became of edits.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many were made.
    pub made: usize,
    /// The newest version among what was written.
    pub newest: Version,
    /// How many found a record that had changed meanwhile, with what waited for them.
    pub conflicts: usize,
    /// The first error that was no conflict.
    pub failure: Option<Error>,
}

/// Makes the edits of each package in order, several packages at once. The first failure ends it all.
pub async fn apply(client: &Client, namespace: &str, packages: Vec<Vec<Edit>>) -> Applied {
    let api: Api<PackageRev> = Api::namespaced(client.clone(), namespace);
    let each = |edits| {
        let api = api.clone();
        async move { apply_package(&api, edits).await }
    };
    let mut done = stream::iter(packages).map(each).buffer_unordered(AT_ONCE);
    let mut all = Applied::default();
    while let Some(one) = done.next().await {
        all.made += one.made;
        all.newest = all.newest.max(one.newest);
        all.conflicts += one.conflicts;
        if one.failure.is_some() {
            all.failure = one.failure;
            break;
        }
    }
    all
}

async fn apply_package(api: &Api<PackageRev>, edits: Vec<Edit>) -> Applied {
    let mut applied = Applied::default();
    let all = edits.len();
    for (at, edit) in edits.into_iter().enumerate() {
        match make(api, edit).await {
            Ok(version) => {
                applied.made += 1;
                applied.newest = applied.newest.max(version);
            }
            Err(error) if lost(&error) => {
                applied.conflicts += all - at;
                break;
            }
            Err(error) => {
                applied.failure = Some(Error::cluster(
                    "cannot write the record of a package revision",
                    &error,
                ));
                break;
            }
        }
    }
    applied
}

/// Returns whether somebody else was there first.
fn lost(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
}

async fn make(api: &Api<PackageRev>, edit: Edit) -> Result<Version, kube::Error> {
    match edit {
        Edit::Create(record) => {
            let made = api.create(&PostParams::default(), &record).await?;
            Ok(version_of(&made))
        }
        Edit::Replace(record) => {
            let made = replace(api, &record).await?;
            Ok(version_of(&made))
        }
        Edit::Delete(record) => delete(api, &record).await,
    }
}

async fn replace(api: &Api<PackageRev>, record: &PackageRev) -> Result<PackageRev, kube::Error> {
    let name = record.metadata.name.as_deref().unwrap_or_default();
    api.replace(name, &PostParams::default(), record).await
}

/// Takes a record away if it still has its version. Its finalizer goes first; if that is all that comes to pass, the next
/// look does the rest.
async fn delete(api: &Api<PackageRev>, record: &Arc<PackageRev>) -> Result<Version, kube::Error> {
    let mut last = record.clone();
    if record
        .metadata
        .finalizers
        .as_ref()
        .is_some_and(|held| !held.is_empty())
    {
        let mut free = record.as_ref().clone();
        free.metadata.finalizers = None;
        let terminating = free.metadata.deletion_timestamp.is_some();
        last = Arc::new(replace(api, &free).await?);
        if terminating {
            return Ok(version_of(&last));
        }
    }
    let only = Preconditions {
        uid: last.metadata.uid.clone(),
        resource_version: last.metadata.resource_version.clone(),
    };
    let name = record.metadata.name.as_deref().unwrap_or_default();
    let params = DeleteParams::default().preconditions(only);
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(version_of(&last)),
        Err(error) => Err(error),
        Ok(_) => Ok(version_of(&last)),
    }
}

fn version_of(record: &PackageRev) -> Version {
    let version = record
        .metadata
        .resource_version
        .as_deref()
        .unwrap_or_default();
    version.parse().unwrap_or_default()
}

/// Takes away all records of a Repository that is no more, whatever they say: those with its label, and `known`, which may
/// have lost it.
///
/// # Errors
/// [`Error::Cluster`]: try again.
pub async fn delete_all(
    client: &Client,
    namespace: &str,
    repository: &str,
    known: &[Arc<PackageRev>],
) -> Result<(), Error> {
    let api: Api<PackageRev> = Api::namespaced(client.clone(), namespace);
    let some = ListParams::default()
        .labels(&format!("{REPOSITORY_LABEL}={repository}"))
        .limit(PAGE);
    loop {
        let found = api.list_metadata(&some).await;
        let found = found.map_err(|error| Error::cluster("cannot list records", &error))?;
        if found.items.is_empty() {
            break;
        }
        let found = found.items.into_iter().map(|it| it.metadata);
        remove_all(&api, found.collect()).await?;
    }
    let known = known.iter().map(|it| it.metadata.clone());
    remove_all(&api, known.collect()).await
}

async fn remove_all(api: &Api<PackageRev>, records: Vec<ObjectMeta>) -> Result<(), Error> {
    let deeds = records.into_iter().map(|record| remove(api, record));
    let mut done = stream::iter(deeds).buffer_unordered(AT_ONCE);
    while let Some(result) = done.next().await {
        result.map_err(|error| Error::cluster("cannot delete a record", &error))?;
    }
    Ok(())
}

/// Takes a record away. One that is gone, or another by its name, is none of ours.
async fn remove(api: &Api<PackageRev>, record: ObjectMeta) -> Result<(), kube::Error> {
    let name = record.name.unwrap_or_default();
    let free = Patch::Merge(json!({"metadata": {"uid": record.uid, "finalizers": null}}));
    let patched = api
        .patch_metadata(&name, &PatchParams::default(), &free)
        .await;
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: record.uid,
        resource_version: None,
    });
    let deleted = match patched {
        Ok(_) => api.delete(&name, &params).await.map(|_| ()),
        Err(error) => Err(error),
    };
    match deleted {
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        other => other,
    }
}
