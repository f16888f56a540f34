//! What is written through a `porch standalone` process, over HTTPS as any client would.

#[path = "../support/process.rs"]
mod process;

use futures::future::join_all;
use serde_json::{Value, json};

pub use process::Server;

const BASE: &str = "/apis/porch.kpt.dev/v1alpha1/namespaces/default";

impl Server {
    /// Makes the first draft of a package.
    pub fn create(&self, package: &str) {
        let object = json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
            "metadata": {"namespace": "default"},
            "spec": {"repository": "many", "packageName": package, "workspaceName": "w"},
        });
        self.ask("POST", "packagerevisions", &object);
    }

    /// Makes the first draft of a package as a clone of a directory of a repository.
    pub fn clone_of(&self, package: &str, url: &str, directory: &str) {
        let git = json!({"repo": url, "ref": "main", "directory": directory});
        let upstream = json!({"upstreamRef": {"type": "git", "git": git}});
        let object = json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
            "metadata": {"namespace": "default"},
            "spec": {
                "repository": "many", "packageName": package, "workspaceName": "w",
                "tasks": [{"type": "clone", "clone": upstream}],
            },
        });
        self.ask("POST", "packagerevisions", &object);
    }

    /// Gives a draft another file.
    pub fn replace(&self, name: &str, words: &str) {
        let (path, words) = replacement(name, words);
        self.ask("PATCH", &path, &words);
    }

    /// Gives each draft another file, all at once.
    pub fn replace_all(&self, names: impl Iterator<Item = String>, words: &str) {
        let each = names.map(|name| {
            let (path, words) = replacement(&name, words);
            let (client, request) = (self.client.clone(), request("PATCH", &path, &words));
            async move { client.request::<Value>(request).await.unwrap() }
        });
        self.runtime.block_on(join_all(each));
    }

    /// Brings a revision to a stage of its life.
    pub fn lifecycle(&self, name: &str, to: &str) {
        let way = if to == "Published" { "/approval" } else { "" };
        let path = format!("packagerevisions/{name}{way}");
        self.ask("PATCH", &path, &json!({"spec": {"lifecycle": to}}));
    }

    pub fn delete(&self, name: &str) {
        self.ask("DELETE", &format!("packagerevisions/{name}"), &Value::Null);
    }

    fn ask(&self, method: &str, path: &str, body: &Value) {
        let asked = self.client.request::<Value>(request(method, path, body));
        self.runtime.block_on(asked).unwrap();
    }
}

fn replacement(name: &str, words: &str) -> (String, Value) {
    let patch = json!({"spec": {"resources": {"words.txt": words}}});
    (format!("packagerevisionresources/{name}"), patch)
}

fn request(method: &str, path: &str, body: &Value) -> http::Request<Vec<u8>> {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(body).unwrap()
    };
    http::Request::builder()
        .method(method)
        .uri(format!("{BASE}/{path}"))
        .header("content-type", kind)
        .body(body)
        .unwrap()
}
