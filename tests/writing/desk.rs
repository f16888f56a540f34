//! The desk of one who writes: a server to examine, a namespace and a registered repository of its own, which a real Git
//! server serves. What came of a write is looked up with git's command line, and never with a reader of ours.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};

use crate::{
    git_server::{GitServer, git, git_command},
    repository::Repository,
};

pub const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STEPS: &str = "application/json-patch+json";

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server that is examined.
#[derive(Clone)]
pub struct Examined {
    /// One who reads and writes what is served, and the objects of the cluster too.
    pub client: Client,
    /// Who that is, as Git is told.
    pub user: String,
    /// Begins the names of namespaces, so that they are this test's own.
    pub prefix: String,
}

/// One who writes.
pub struct Desk {
    pub examined: Examined,
    pub namespace: String,
    pub git: Repository,
    pub server: GitServer,
}

/// What a request was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    /// The header of that name.
    pub retry_after: Option<String>,
    pub warnings: Vec<String>,
}

impl Answer {
    /// Returns the object, which must have been answered with this status.
    #[track_caller]
    pub fn is(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }

    /// Checks that it is a failure with this status and reason, whose message holds these words.
    #[track_caller]
    pub fn says(&self, code: u16, reason: &str, words: &str) {
        let Value::String(message) = &self.body["message"] else {
            panic!("no Status: {} {}", self.code, self.body);
        };
        assert_eq!(
            (self.code, &self.body["code"]),
            (code, &json!(code)),
            "{message}"
        );
        assert_eq!(self.body["reason"], reason, "{message}");
        assert_eq!(self.body["status"], "Failure");
        assert!(message.contains(words), "{words}\nis not in\n{message}");
    }

    /// Checks that it is a failure with this status and reason, whose whole message is this.
    #[track_caller]
    pub fn tells(&self, code: u16, reason: &str, message: &str) {
        self.says(code, reason, message);
        assert_eq!(self.body["message"], message);
    }

    /// Checks that the object is refused for exactly these fields, each as `field: message`.
    #[track_caller]
    pub fn refuses(&self, name: &str, causes: &[&str]) {
        self.says(422, "Invalid", &format!(" {name:?} is invalid: "));
        let told = self.body["details"]["causes"].as_array().unwrap();
        let text = |cause: &Value| {
            let (field, message) = (cause["field"].as_str(), cause["message"].as_str());
            assert!(cause["reason"].as_str().unwrap().starts_with("FieldValue"));
            format!("{}: {}", field.unwrap(), message.unwrap())
        };
        assert_eq!(told.iter().map(text).collect::<Vec<_>>(), causes);
        let all = causes.join(", ");
        let all = if causes.len() > 1 {
            format!("[{all}]")
        } else {
            all
        };
        let message = self.body["message"].as_str().unwrap();
        assert!(
            message.ends_with(&format!(" is invalid: {all}")),
            "{message}"
        );
    }
}

impl Examined {
    /// Sends a request, and returns the answer.
    pub async fn send(&self, method: &str, uri: &str, (kind, body): (&str, Vec<u8>)) -> Answer {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("accept", JSON).header("content-type", kind);
        let response = self.client.send(request.body(body.into()).unwrap());
        let (parts, body) = response.await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let header = |name: &str| {
            let values = parts.headers.get_all(name).iter();
            let texts = values.map(|value| value.to_str().unwrap().to_owned());
            texts.collect::<Vec<_>>()
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            code: parts.status.as_u16(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::String(text)),
            retry_after: header("retry-after").into_iter().next(),
            warnings: header("warning"),
        }
    }
}

impl Desk {
    /// Returns a desk with a repository that has one package, `known`, published once by hand.
    pub async fn open(examined: &Examined, name: &str) -> Self {
        let desk = Self::bare(examined, name).await;
        desk.seed();
        desk.register("r", json!({})).await;
        desk.until_ready("r").await;
        desk
    }

    /// Returns a desk with an empty repository that is not registered.
    pub async fn bare(examined: &Examined, name: &str) -> Self {
        let namespace = format!("{}{name}", examined.prefix);
        let (git, server) = tokio::task::spawn_blocking(|| {
            let git = Repository::new();
            let server = GitServer::http(git.root());
            (git, server)
        })
        .await
        .unwrap();
        let desk = Self {
            examined: examined.clone(),
            namespace,
            git,
            server,
        };
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": desk.namespace } });
        desk.post("/api/v1/namespaces", &object).await.is(201);
        desk
    }

    /// Puts a package into the repository.
    pub fn seed(&self) {
        self.git.write("known/Kptfile", &kptfile("known"));
        self.git.write("known/cm.yaml", &config_map("one"));
        self.git.write("README.md", "By hand.\n");
        self.git.commit("First");
        self.git.git(&["tag", "known/v1"]);
        self.git.push();
    }

    /// Registers the repository under a name; `more` are further members of its `spec`.
    pub async fn register(&self, name: &str, more: Value) {
        let mut spec = json!({ "type": "git", "git": { "repo": self.url() } });
        merge(&mut spec, more);
        let repository = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": spec,
        });
        self.post(&self.config("repositories"), &repository)
            .await
            .is(201);
    }

    /// Returns the address of the repository.
    pub fn url(&self) -> String {
        self.server.url("bare.git")
    }

    fn config(&self, plural: &str) -> String {
        let namespace = &self.namespace;
        format!("/apis/config.porch.kpt.dev/v1alpha1/namespaces/{namespace}/{plural}")
    }

    /// Returns the path of a collection, or of an object in it.
    pub fn path(&self, rest: &str) -> String {
        let namespace = &self.namespace;
        format!("/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/{rest}")
    }

    pub async fn post(&self, uri: &str, object: &Value) -> Answer {
        self.examined
            .send("POST", uri, (JSON, object.to_string().into_bytes()))
            .await
    }

    pub async fn put(&self, rest: &str, object: &Value) -> Answer {
        let body = object.to_string().into_bytes();
        self.examined
            .send("PUT", &self.path(rest), (JSON, body))
            .await
    }

    pub async fn patch(&self, rest: &str, kind: &str, patch: &Value) -> Answer {
        let body = patch.to_string().into_bytes();
        self.examined
            .send("PATCH", &self.path(rest), (kind, body))
            .await
    }

    pub async fn delete(&self, rest: &str) -> Answer {
        self.examined
            .send("DELETE", &self.path(rest), (JSON, Vec::new()))
            .await
    }

    pub async fn delete_with(&self, rest: &str, options: &Value) -> Answer {
        let body = options.to_string().into_bytes();
        self.examined
            .send("DELETE", &self.path(rest), (JSON, body))
            .await
    }

    pub async fn get(&self, rest: &str) -> Answer {
        self.examined
            .send("GET", &self.path(rest), (JSON, Vec::new()))
            .await
    }

    /// Returns a revision, which must be there.
    pub async fn revision(&self, name: &str) -> Value {
        self.get(&format!("packagerevisions/{name}")).await.is(200)
    }

    /// Returns the files of a revision as an object, which must be there.
    pub async fn files(&self, name: &str) -> Value {
        self.get(&format!("packagerevisionresources/{name}"))
            .await
            .is(200)
    }

    /// Returns the names of all that is listed, sorted.
    pub async fn names(&self, plural: &str) -> Vec<String> {
        let list = self.get(plural).await.is(200);
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Returns what watchers from this version hear of a revision, until it is deleted: the types of events with the objects.
    pub async fn story(&self, from: &str, name: &str) -> Vec<(String, Value)> {
        let uri = format!("packagerevisions?watch=1&resourceVersion={from}&timeoutSeconds=60");
        let request = Request::get(self.path(&uri)).header("accept", JSON);
        let response = self
            .examined
            .client
            .send(request.body(Vec::new().into()).unwrap());
        let mut body = response.await.unwrap().into_body();
        let (mut story, mut rest) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            rest.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                if event["object"]["metadata"]["name"] == name {
                    let type_ = event["type"].as_str().unwrap().to_owned();
                    story.push((type_.clone(), event["object"].clone()));
                    if type_ == "DELETED" {
                        return story;
                    }
                }
            }
        }
        panic!("it was never deleted: {story:#?}");
    }

    /// Asks for a revision to be made; `more` are further members of its `spec`.
    pub async fn ask(&self, package: &str, workspace: &str, more: Value) -> Answer {
        let object = self.draft(package, workspace, more);
        self.post(&self.path("packagerevisions"), &object).await
    }

    /// Returns a revision to be made.
    pub fn draft(&self, package: &str, workspace: &str, more: Value) -> Value {
        let mut spec =
            json!({ "repository": "r", "packageName": package, "workspaceName": workspace });
        merge(&mut spec, more);
        json!({
            "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
            "metadata": { "namespace": self.namespace }, "spec": spec,
        })
    }

    /// Makes a revision, and returns it.
    pub async fn make(&self, package: &str, workspace: &str, more: Value) -> Value {
        self.ask(package, workspace, more).await.is(201)
    }

    /// Asks for another lifecycle by the object itself, or by its approval.
    pub async fn turn(&self, name: &str, lifecycle: &str) -> Answer {
        let patch = json!({ "spec": { "lifecycle": lifecycle } });
        self.patch(&format!("packagerevisions/{name}"), MERGE, &patch)
            .await
    }

    pub async fn approve(&self, name: &str, lifecycle: &str) -> Answer {
        let patch = json!({ "spec": { "lifecycle": lifecycle } });
        self.patch(&format!("packagerevisions/{name}/approval"), MERGE, &patch)
            .await
    }

    /// Makes and publishes a revision, and returns it.
    pub async fn publish(&self, package: &str, workspace: &str, more: Value) -> Value {
        let made = self.make(package, workspace, more).await;
        let name = name(&made);
        self.turn(&name, "Proposed").await.is(200);
        self.approve(&name, "Published").await.is(200)
    }

    /// Changes one file of a draft, and returns the answer.
    pub async fn write(&self, name: &str, path: &str, content: &str) -> Answer {
        let change = json!({ "spec": { "resources": { path: content } } });
        self.patch(&format!("packagerevisionresources/{name}"), MERGE, &change)
            .await
    }

    /// Runs git where the repository is served from, and returns what it prints, without the last line's end.
    pub fn at_home(&self, words: &[&str]) -> String {
        git(&self.git.bare(), words).trim_end().to_owned()
    }

    /// Returns the id of a ref's commit; nothing if there is no such ref.
    pub fn commit(&self, reference: &str) -> Option<String> {
        let words = ["rev-parse", "--verify", "--quiet", reference];
        let output = git_command(&self.git.bare()).args(words).output().unwrap();
        let id = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| id.trim().to_owned())
    }

    /// Returns the names of all refs, sorted, `refs/` left out.
    pub fn refs(&self) -> Vec<String> {
        let all = self.at_home(&["for-each-ref", "--format=%(refname)"]);
        all.lines()
            .map(|line| line.strip_prefix("refs/").unwrap().to_owned())
            .collect()
    }

    /// Returns the refs with their commits, to see whether anything moved.
    pub fn everything(&self) -> String {
        self.at_home(&["for-each-ref"])
    }

    /// Returns the paths of all files of a commit.
    pub fn tree(&self, commit: &str) -> Vec<String> {
        let all = self.at_home(&["ls-tree", "-r", "--name-only", commit]);
        all.lines().map(str::to_owned).collect()
    }

    /// Has the server look at a repository now, and waits until it did.
    pub async fn look(&self, repository: &str) {
        /// Each look has its own moment, all of them long ago.
        static MOMENTS: AtomicU32 = AtomicU32::new(0);
        let moment = MOMENTS.fetch_add(1, Ordering::Relaxed);
        let at = format!("2020-01-01T00:{:02}:{:02}Z", moment / 60, moment % 60);
        let uri = format!("{}/{repository}", self.config("repositories"));
        let patch = json!({ "spec": { "sync": { "runOnceAt": at } } });
        let body = (MERGE, patch.to_string().into_bytes());
        self.examined.send("PATCH", &uri, body).await.is(200);
        self.eventually("a look", async || {
            let repository = self.repository(repository).await;
            (repository["status"]["observedRunOnceAt"] == at).then_some(())
        })
        .await;
    }

    pub async fn repository(&self, name: &str) -> Value {
        let uri = format!("{}/{name}", self.config("repositories"));
        self.examined
            .send("GET", &uri, (JSON, Vec::new()))
            .await
            .is(200)
    }

    /// Waits until a Repository is ready.
    pub async fn until_ready(&self, name: &str) {
        self.eventually("ready", async || {
            let repository = self.repository(name).await;
            let conditions = repository["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|it| it["type"] == "Ready")?;
            (ready["status"] == "True").then_some(())
        })
        .await;
    }

    /// Waits until `look` finds something.
    pub async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = std::time::Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Has the Git server run a program before it takes a push.
    pub fn hook(&self, lines: &str) {
        let path = self.hook_path();
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes that program away.
    pub fn unhook(&self) {
        std::fs::remove_file(self.hook_path()).unwrap();
    }

    fn hook_path(&self) -> PathBuf {
        let hooks = self.git.bare().join("hooks");
        std::fs::create_dir_all(&hooks).unwrap();
        hooks.join("pre-receive")
    }

    /// Commits a file to a branch of the repository as a stranger does, and returns the commit.
    pub fn stranger(&self, branch: &str, path: &str, content: &str) -> String {
        let to = tempfile::tempdir().unwrap();
        let from = self.git.bare();
        let clone = [
            "clone",
            "-q",
            "--branch",
            branch,
            from.to_str().unwrap(),
            ".",
        ];
        git(to.path(), &clone);
        let file = to.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
        git(to.path(), &["add", "-A"]);
        git(to.path(), &["commit", "-q", "-m", "A stranger's"]);
        git(to.path(), &["push", "-q", "origin", branch]);
        git(to.path(), &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Returns the root under which Git is served.
    pub fn root(&self) -> &Path {
        self.git.root()
    }
}

/// Returns an object's name.
pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Returns an object's version.
pub fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Merges `more` into `object` as a merge patch does, but for nulls, which are kept.
pub fn merge(object: &mut Value, more: Value) {
    match (object, more) {
        (Value::Object(object), Value::Object(more)) => {
            for (key, value) in more {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, more) => *object = more,
    }
}

/// Returns a Kptfile.
pub fn kptfile(name: &str) -> String {
    format!("apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: {name}\n")
}

/// Returns a `ConfigMap` that says something.
pub fn config_map(word: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\ndata:\n  word: {word} # by hand\n"
    )
}
