//! `packagerevisionresources`: the files of every revision, read from Git when somebody asks for them.
//!
//! A file that is no text can't be a string of JSON without being mangled; it is left out and named in an annotation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{column, find, kind, ready, wide};
use crate::{
    api,
    apiserver::{Kind, Problem, Resource, age},
    cache::{Entry, Fields, Name, Revision, Store, TooNew, Version},
    sync::{Contents, Error, Feed},
};

/// Names the files that are left out because they are no text: sorted, with commas between.
const BINARY: &str = "porch.kpt.dev/binary-files";
/// Says why there are no files at all, though the revision has some.
const UNREADABLE: &str = "porch.kpt.dev/unreadable";

/// The files of package revisions.
pub struct PackageRevisionResources {
    kind: Kind,
    feed: Feed,
    contents: Contents,
}

impl PackageRevisionResources {
    /// Returns the files of what the catalog of `feed` has, as `contents` reads them.
    #[must_use]
    pub fn new(feed: Feed, contents: Contents) -> Self {
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
        Self {
            kind,
            feed,
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
            Ok(files) => Ok(files),
            Err(Error::Unreadable(why)) => Err(why),
            Err(other) => {
                let name = &revision.name().name;
                return Err(Problem::Unavailable(format!("{name}: {other}")));
            }
        };
        let shown = shown(revision, files);
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

/// Returns the object that is shown of a revision with these files, or of one whose files can't be read, and why.
fn shown(
    revision: &Revision,
    files: Result<Vec<(String, Vec<u8>)>, String>,
) -> api::PackageRevisionResources {
    let observed = revision.observed();
    let mut metadata = revision.resources_metadata();
    let mut annotations = BTreeMap::new();
    let (resources, binary) = match files {
        Ok(files) => sort(files),
        Err(why) => {
            annotations.insert(UNREADABLE.to_owned(), why);
            Default::default()
        }
    };
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
            package_name: observed.package.clone(),
            workspace_name: observed.workspace.clone(),
            revision: observed.revision,
            repository: revision.repository().into(),
            resources,
        },
        status: api::PackageRevisionResourcesStatus::default(),
    }
}

/// Parts files into those that are text, and the sorted names of those that are not.
fn sort(files: Vec<(String, Vec<u8>)>) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut text, mut binary) = (BTreeMap::new(), Vec::new());
    for (path, content) in files {
        match String::from_utf8(content) {
            Ok(content) => {
                text.insert(path, content);
            }
            Err(_) => binary.push(path),
        }
    }
    binary.sort();
    (text, binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_text_are_named_and_never_mangled() {
        let file = |path: &str, content: &[u8]| (path.to_owned(), content.to_vec());
        let (text, binary) = sort(vec![
            file("z.png", &[0x89, b'P', 0xff]),
            file("Kptfile", b"kind: Kptfile\n"),
            file("a.bin", &[0xc3, 0x28]),
            file("umlaut.yaml", "ä: ö\n".as_bytes()),
            file("empty", b""),
        ]);
        assert_eq!(binary, ["a.bin", "z.png"]);
        let text: Vec<_> = text.into_iter().collect();
        let same = |path: &str, content: &str| (path.to_owned(), content.to_owned());
        assert_eq!(
            text,
            [
                same("Kptfile", "kind: Kptfile\n"),
                same("empty", ""),
                same("umlaut.yaml", "ä: ö\n"),
            ]
        );
    }
}
