//! One thread from a caller through kube-apiserver to us, as a collector of spans sees it.

use std::time::Duration;

use serde_json::Value;

use crate::{
    collector::{Collector, Span},
    plane::{self, eventually},
    served::{self, Replica},
};

const THREAD: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_one_thread_from_its_caller_through_kube_apiserver_to_us() {
    let plane = plane::alone().await;
    served::grant(&plane).await;
    let collector = Collector::start().await;
    let configuration = plane.directory("traces").join("tracing.yaml");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\nendpoint: {}\n",
        collector.address
    );
    std::fs::write(&configuration, text).unwrap();
    plane.kill_apiserver();
    let flag = format!("--tracing-config-file={}", configuration.display());
    plane.start_apiserver_with(&[flag]).await;
    let flag = format!("--otlp-endpoint=http://{}", collector.address);
    let replica = Replica::start_proven(&plane, "traces", &[flag]).await;
    served::register(&plane, replica.address()).await;
    let client = plane.client();
    let request = http::Request::get("/apis/porch.kpt.dev/v1alpha1/packagerevisions")
        .header("traceparent", format!("00-{THREAD}-{CALLER}-01"));
    let list: Value = client
        .request(request.body(Vec::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(list["kind"], "PackageRevisionList");
    let ours = |it: &Span| it.service == "porch-server";
    let spans = eventually("both tell", async || {
        let spans = collector.spans().into_iter();
        let spans: Vec<Span> = spans.filter(|it| it.trace == THREAD).collect();
        let both = spans.iter().any(ours) && spans.iter().any(|it| it.parent == CALLER);
        both.then_some(spans)
    })
    .await;
    // From ours up to the caller's, each part is told by somebody.
    let mut at = spans.iter().find(|it| ours(it)).unwrap();
    let mut steps = Vec::new();
    while at.parent != CALLER {
        steps.push((&at.service, &at.name));
        let parent = spans.iter().find(|it| it.id == at.parent);
        at = parent.unwrap_or_else(|| panic!("{at:?} has no parent in {spans:?}"));
    }
    assert!(at.service.contains("apiserver"), "{steps:?}, then {at:?}");
    plane.kill_apiserver();
    plane.start_apiserver().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    served::unregister(&plane).await;
    assert_eq!(replica.terminate(), Some(0));
}
