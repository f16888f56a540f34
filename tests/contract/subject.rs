//! The server that is examined, and the records that it is given to serve.

use http::Request;
use http_body_util::BodyExt;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use porch::{
    api::{GitObserved, Observed, Owner, PackageRev, PackageRevSpec},
    package::Lifecycle,
};
use serde_json::{Value, json};

/// The server that is examined.
pub struct Subject {
    /// One who reads what is served.
    pub client: Client,
    /// One who writes records; of a cluster, the same.
    pub records: Client,
    /// Where all of it happens; empty at first.
    pub namespace: String,
}

impl Subject {
    pub fn records(&self) -> Api<PackageRev> {
        Api::namespaced(self.records.clone(), &self.namespace)
    }

    /// Returns the path of a collection.
    pub fn path(&self, plural: &str) -> String {
        let namespace = &self.namespace;
        format!("/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/{plural}")
    }

    /// Returns the answer to a GET, and its status.
    pub async fn get(&self, uri: &str, accept: &str) -> (u16, Value) {
        let request = Request::get(uri).header("accept", accept);
        let response = self
            .client
            .send(request.body(kube::client::Body::empty()).unwrap());
        let (parts, body) = response.await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (
            parts.status.as_u16(),
            serde_json::from_slice(&bytes).unwrap(),
        )
    }

    /// Makes a record, and returns its version.
    pub async fn create(&self, name: &str, lifecycle: Lifecycle) -> u64 {
        let (package, workspace) = name.rsplit_once('.').unwrap();
        let observed = Observed {
            package: package.replace('.', "/"),
            workspace: workspace.into(),
            revision: i64::from(lifecycle.is_published()),
            lifecycle,
            git: GitObserved {
                ref_: format!("refs/heads/drafts/{package}/{workspace}"),
                ..GitObserved::default()
            },
            ..Observed::default()
        };
        let spec = PackageRevSpec {
            repository: Owner {
                name: "repo".into(),
                uid: "1".into(),
            },
            observed: Some(observed),
            ..PackageRevSpec::default()
        };
        let record = PackageRev::new(&format!("repo.{name}"), spec);
        let made = self
            .records()
            .create(&PostParams::default(), &record)
            .await
            .unwrap();
        version(&made)
    }

    /// Gives a record a label, and returns its version.
    pub async fn label(&self, name: &str, value: &str) -> u64 {
        let patch = json!({ "spec": { "metadata": { "labels": { "mark": value } } } });
        let name = format!("repo.{name}");
        let records = self.records();
        let (how, patch) = (PatchParams::default(), Patch::Merge(patch));
        let patched = records.patch(&name, &how, &patch).await;
        version(&patched.unwrap())
    }

    /// Takes a record away.
    pub async fn delete(&self, name: &str) {
        let name = format!("repo.{name}");
        let deleted = self.records().delete(&name, &DeleteParams::default()).await;
        deleted.unwrap();
    }
}

fn version(record: &PackageRev) -> u64 {
    record
        .metadata
        .resource_version
        .as_ref()
        .unwrap()
        .parse()
        .unwrap()
}
