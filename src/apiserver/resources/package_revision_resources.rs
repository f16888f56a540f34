//! `packagerevisionresources`: the files of every revision, read from Git when somebody asks for them.
//!
//! A file that is no text can't be a string of JSON without being mangled; it is left out and named in an annotation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{column, find, kind, ready, verbs, wide};
use crate::{
    api,
    apiserver::{Kind, Problem, Resource, age},
    cache::{Entry, Fields, Name, Revision, Store, TooNew, Version, view},
    engine::{Engine, Texts, sort},
    sync::{Contents, Error, Feed},
};

/// Names the files that are left out because they are no text: sorted, with commas between.
const BINARY: &str = "porch.kpt.dev/binary-files";
/// Says why there are no files at all, though the revision has some.
const UNREADABLE: &str = "porch.kpt.dev/unreadable";

/// The files of package revisions.
pub struct PackageRevisionResources {
    kind: Kind,
    pub(super) feed: Feed,
    pub(super) engine: Engine,
    contents: Contents,
}

impl PackageRevisionResources {
    /// Returns the files of what the catalog of `feed` has, as `contents` reads them and `engine` changes them.
    #[must_use]
    pub fn new(feed: Feed, contents: Contents, engine: Engine) -> Self {
        let columns = vec![
            column("Name", "string", "Name of the package revision."),
            column(
                "Package",
                "string",
                "Name of the package in its repository.",
            ),
            column(
                "WorkspaceName",
                "string",
                "Name of the revision within its package.",
            ),
            column(
                "Revision",
                "integer",
                "Number of the revision; zero until it is published.",
            ),
            column("Repository", "string", "Name of the Repository."),
            column("Files", "integer", "Number of its files."),
            wide("Age", "date", "Time since it was found or made."),
        ];
        let kind = kind::<api::PackageRevisionResources>(
            "PackageRevisionResources",
            "packagerevisionresources",
            "packagerevisionresources",
            columns,
        );
        let kind = Kind {
            verbs: verbs(&["get", "list", "patch", "update", "watch"]),
            ..kind
        };
        Self {
            kind,
            feed,
            engine,
            contents,
        }
    }
}

impl Resource for PackageRevisionResources {
    type Object = Revision;

    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn store(&self) -> &Arc<Store<Revision>> {
        self.feed.catalog().revisions()
    }

    async fn body(&self, revision: &Arc<Revision>) -> Result<Bytes, Problem> {
        let read = self.contents.files(revision.record()).await;
        let files = match read {
            Ok(files) => Ok(sort(&files.into_iter().collect())),
            Err(Error::Unreadable(why)) => Err(why),
            Err(other) => {
                let name = &revision.name().name;
                return Err(Problem::Unavailable(format!("{name}: {other}")));
            }
        };
        let shown = shown(revision.record(), files);
        let body = serde_json::to_vec(&shown);
        body.map(Bytes::from)
            .map_err(|error| Problem::Internal(error.to_string()))
    }

    async fn cells(&self, revision: &Arc<Revision>) -> Result<Vec<Value>, Problem> {
        let observed = revision.observed();
        // A list of many is not held up by one whose files are not here now.
        let count = self.contents.file_count(revision.record()).await;
        let files = count.map_or(Value::Null, Value::from);
        let created = &revision.record().metadata.creation_timestamp;
        Ok(vec![
            revision.record().metadata.name.clone().into(),
            observed.package.clone().into(),
            observed.workspace.clone().into(),
            observed.revision.into(),
            revision.repository().into(),
            files,
            age(created.as_ref().map(|time| time.0)).into(),
        ])
    }

    fn metadata(&self, revision: &Revision) -> Bytes {
        let metadata = serde_json::to_vec(&revision.resources_metadata());
        metadata
            .expect("metadata has string keys, and memory takes all")
            .into()
    }

    fn fields(&self) -> Fields<'_> {
        Fields::Revision
    }

    fn ready(&self) -> Result<(), Problem> {
        ready(self.feed.catalog())
    }

    async fn find(&self, name: &Name) -> Result<Option<Arc<Revision>>, Problem> {
        find(&self.feed, name).await
    }

    async fn wait_for(&self, version: Version, within: Duration) -> Result<(), TooNew> {
        self.feed.catalog().wait_for(version, within).await
    }
}

/// Returns the object that is shown of a revision with these texts and other files, or of one whose files can't be read,
/// and why.
pub(super) fn shown(
    record: &api::PackageRev,
    files: Result<(Texts, Vec<String>), String>,
) -> api::PackageRevisionResources {
    let observed = view::observed(record).cloned().unwrap_or_default();
    let mut metadata = view::resources_metadata(record);
    let mut annotations = BTreeMap::new();
    let (resources, binary) = files.unwrap_or_else(|why| {
        annotations.insert(UNREADABLE.to_owned(), why);
        Default::default()
    });
    if !binary.is_empty() {
        annotations.insert(BINARY.to_owned(), binary.join(","));
    }
    if !annotations.is_empty() {
        metadata.annotations = Some(annotations);
    }
    api::PackageRevisionResources {
        api_version: format!("{}/{}", api::GROUP, api::VERSION),
        kind: "PackageRevisionResources".into(),
        metadata,
        spec: api::PackageRevisionResourcesSpec {
            package_name: observed.package,
            workspace_name: observed.workspace,
            revision: observed.revision,
            repository: view::repository(record).into(),
            resources,
        },
        status: api::PackageRevisionResourcesStatus::default(),
    }
}
