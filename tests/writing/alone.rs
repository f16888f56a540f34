//! What is otherwise where nobody collects garbage: no deletion waits for a collector.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, MERGE},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_for_a_collector_that_is_not_there() {
    let server = Server::start("alone").await;
    let desk = Desk::open(&server.examined, "alone").await;
    for policy in ["Foreground", "Orphan", "Background"] {
        desk.make("p", "w1", json!({})).await;
        let options = json!({ "propagationPolicy": policy });
        let gone = desk.delete_with("packagerevisions/r.p.w1", &options).await;
        let gone = gone.is(200);
        assert_eq!(gone["metadata"]["deletionTimestamp"], Value::Null);
        assert_eq!(desk.get("packagerevisions/r.p.w1").await.code, 404);
        assert_eq!(desk.commit("drafts/p/w1"), None);
    }
    // What somebody else holds is held by nobody besides.
    desk.make("p", "w1", json!({})).await;
    let held = json!({ "metadata": { "finalizers": ["example.com/held"] } });
    let uri = "packagerevisions/r.p.w1";
    desk.patch(uri, MERGE, &held).await.is(200);
    let options = json!({ "propagationPolicy": "Foreground" });
    let waits = desk.delete_with(uri, &options).await.is(200);
    assert_eq!(waits["metadata"]["finalizers"], json!(["example.com/held"]));
    assert!(waits["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(waits["metadata"]["deletionGracePeriodSeconds"], 0);
    // A collector's finalizer that somebody left goes with the word that nobody is to be waited for.
    let left = json!({ "metadata": { "finalizers": ["foregroundDeletion"] } });
    desk.make("q", "w1", json!({})).await;
    let uri = "packagerevisions/r.q.w1";
    desk.patch(uri, MERGE, &left).await.is(200);
    desk.delete(uri).await.is(200);
    assert!(desk.revision("r.q.w1").await["metadata"]["deletionTimestamp"].is_string());
    let options = json!({ "propagationPolicy": "Background" });
    desk.delete_with(uri, &options).await.is(200);
    assert_eq!(desk.get(uri).await.code, 404);
    server.end().await;
}
