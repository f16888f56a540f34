//! GitOps in a cluster: a pipeline of kubectl.

use std::path::PathBuf;

use crate::{
    desk::Desk,
    pipeline::{self, Pipeline},
    server::Server,
};

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
