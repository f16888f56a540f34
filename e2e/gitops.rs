//! Declared objects in a cluster: a pipeline of kubectl, and a controller with Flux's own library.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    clients::build,
    desk::{Desk, merge},
    pipeline::{self, Pipeline},
    server::Server,
};

/// A controller that brings what is declared into the cluster.
struct Controller {
    child: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Controller {
    fn start(program: &Path, kubeconfig: &Path, namespace: &str) -> Self {
        let mut child = Command::new(program)
            .arg(format!("-kubeconfig={}", kubeconfig.display()))
            .arg(format!("-namespace={namespace}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(kubeconfig.with_extension("flux.log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            asked: child.stdin.take().unwrap(),
            told: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Has it bring these objects, and returns what it found and did.
    fn brings(&mut self, objects: &[&Value], force: bool) -> Value {
        writeln!(
            self.asked,
            "{}",
            json!({ "objects": objects, "force": force })
        )
        .unwrap();
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a kubeconfig of one who may do everything, and returns where.
fn kubeconfig(server: &Server, name: &str) -> PathBuf {
    let path = server.plane().directory(name).join("admin");
    let admin = server.plane().kubeconfig("admin", "system:masters");
    std::fs::write(&path, admin.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_does_what_readme_says_in_a_cluster() {
    let server = Server::start("pipeline").await;
    let desk = Desk::bare(&server.examined, "pipeline").await;
    let typed = Pipeline::new(
        &kubeconfig(&server, "pipeline"),
        &desk.namespace,
        &desk.url(),
    );
    let follow = move || {
        pipeline::follow(&typed);
        pipeline::prune(&typed);
    };
    tokio::task::spawn_blocking(follow).await.unwrap();
    server.end().await;
}

fn declared(desk: &Desk, kind: &str, name: &str, more: Value) -> Value {
    let version = match kind {
        "Repository" => "config.porch.kpt.dev/v1alpha1",
        _ => "porch.kpt.dev/v1alpha1",
    };
    let mut object = json!({
        "apiVersion": version, "kind": kind,
        "metadata": { "name": name, "namespace": desk.namespace },
    });
    merge(&mut object, more);
    object
}

fn revision(desk: &Desk, name: &str) -> Value {
    let [repository, package, workspace] = name.split('.').collect::<Vec<_>>()[..] else {
        panic!("{name}");
    };
    let spec =
        json!({ "repository": repository, "packageName": package, "workspaceName": workspace });
    declared(desk, "PackageRevision", name, json!({ "spec": spec }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flux_brings_and_prunes_package_revisions() {
    let program = tokio::task::spawn_blocking(|| build("flux", "./flux"))
        .await
        .unwrap();
    let server = Server::start("flux").await;
    let desk = Desk::bare(&server.examined, "flux").await;
    let mut flux = Controller::start(&program, &kubeconfig(&server, "flux"), &desk.namespace);
    let git = json!({ "repo": desk.url(), "createBranch": true });
    let spec = json!({ "spec": { "type": "git", "git": git } });
    let repository = declared(&desk, "Repository", "r", spec);
    let told = flux.brings(&[&repository], false);
    assert_eq!(told["applied"]["Repository/r"], "created", "{told}");
    assert_eq!(told["error"], Value::Null, "{told}");
    let (one, two) = (revision(&desk, "r.one.w1"), revision(&desk, "r.two.w1"));
    let told = flux.brings(&[&repository, &one, &two], false);
    let made = json!({
        "Repository/r": "unchanged",
        "PackageRevision/r.one.w1": "created", "PackageRevision/r.two.w1": "created",
    });
    assert_eq!(
        told,
        json!({ "diff": made, "applied": made }),
        "it waits until all is ready"
    );
    assert!(desk.commit("drafts/two/w1").is_some());
    files_are_left_alone(&desk, &mut flux, [&repository, &one, &two]).await;
    drift_is_brought_back(&desk, &mut flux, [&repository, &one]).await;
    drop(flux);
    server.end().await;
}

/// Files that functions change are as declared, also once they are published.
async fn files_are_left_alone(
    desk: &Desk,
    flux: &mut Controller,
    [repository, one, two]: [&Value; 3],
) {
    let kptfile = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: one\npipeline:\n  mutators:\n  - image: set-namespace:v0.4\n    configMap:\n      namespace: green\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\n";
    let files = json!({ "spec": { "resources": { "Kptfile": kptfile, "cm.yaml": map } } });
    let files = declared(desk, "PackageRevisionResources", "r.one.w1", files);
    let all = [repository, one, two, &files];
    let id = "PackageRevisionResources/r.one.w1";
    let told = flux.brings(&all, false);
    assert_eq!(told["applied"][id], "configured", "{told}");
    assert_eq!(told["error"], Value::Null, "{told}");
    desk.turn("r.one.w1", "Proposed").await.is(200);
    desk.approve("r.one.w1", "Published").await.is(200);
    let refs = desk.everything();
    let told = flux.brings(&all, false);
    assert_eq!(told["error"], Value::Null, "{told}");
    assert_eq!(
        told["diff"]["PackageRevision/r.one.w1"], "unchanged",
        "{told}"
    );
    assert_eq!(desk.everything(), refs);
    // What two has besides is declared no more than its files are. A pruned draft is gone when Flux has waited.
    let told = flux.brings(&[repository, one], false);
    assert_eq!(
        told["pruned"]["PackageRevision/r.two.w1"], "deleted",
        "{told}"
    );
    assert_eq!(desk.commit("drafts/two/w1"), None);
    desk.get("packagerevisions/r.two.w1")
        .await
        .says(404, "NotFound", "r.two.w1");
}

/// A label that somebody changed, and a field that nobody can change.
async fn drift_is_brought_back(desk: &Desk, flux: &mut Controller, [repository, one]: [&Value; 2]) {
    let mut labelled = one.clone();
    labelled["metadata"]["labels"] = json!({ "team": "a" });
    let told = flux.brings(&[repository, &labelled], false);
    assert_eq!(
        told["applied"]["PackageRevision/r.one.w1"], "configured",
        "{told}"
    );
    let drift = json!({ "metadata": { "labels": { "team": "b" } } });
    desk.patch("packagerevisions/r.one.w1", crate::desk::MERGE, &drift)
        .await
        .is(200);
    let told = flux.brings(&[repository, &labelled], false);
    assert_eq!(
        told["diff"]["PackageRevision/r.one.w1"], "configured",
        "{told}"
    );
    assert_eq!(
        desk.revision("r.one.w1").await["metadata"]["labels"]["team"],
        "a"
    );
    let three = revision(desk, "r.three.w1");
    let told = flux.brings(&[repository, &labelled, &three], false);
    assert_eq!(told["error"], Value::Null, "{told}");
    let mut other = three.clone();
    other["spec"]["tasks"] = json!([{ "type": "init", "init": { "description": "Another" } }]);
    let told = flux.brings(&[repository, &labelled, &other], false);
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains("immutable"), "{told}");
    let told = flux.brings(&[repository, &labelled, &other], true);
    assert_eq!(told["error"], Value::Null, "made anew: {told}");
    let kptfile = desk.at_home(&["show", "drafts/three/w1:three/Kptfile"]);
    assert!(kptfile.contains("Another"), "{kptfile}");
    // What is published is not pruned, and Flux tells why.
    let told = flux.brings(&[repository, &three], false);
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains("must be proposed for deletion"), "{told}");
    desk.revision("r.one.w1").await;
}
