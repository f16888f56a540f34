//! Requests, told to a collector of spans as parts of their callers' threads.

use std::time::{Duration, Instant};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    collector::{Collector, Span},
    process::{API, Porch, start},
};

const THREAD: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

async fn ask(porch: &Porch, flags: &str) {
    let kubeconfig = Kubeconfig::read_from(porch.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let request = http::Request::get(format!("{API}/packagerevisions?limit=7"))
        .header("traceparent", format!("00-{THREAD}-{CALLER}-{flags}"));
    let request = request.body(Vec::new()).unwrap();
    client.request_text(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_told_to_a_collector_as_a_part_of_its_callers_thread() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let collector = Collector::start().await;
    let home = tempfile::tempdir().unwrap();
    let flag = format!("--otlp-endpoint=http://{}/", collector.address);
    let porch = tokio::task::block_in_place(|| start(home.path(), &[&flag]));
    // One whose caller does not want it to be told, and one whose caller does.
    ask(&porch, "00").await;
    ask(&porch, "01").await;
    let begun = Instant::now();
    let told = loop {
        let spans = collector.spans();
        let ours: Vec<Span> = spans.into_iter().filter(|it| it.trace == THREAD).collect();
        if !ours.is_empty() {
            break ours;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "never told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let [span] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((&*span.service, &*span.name), ("porch-server", "request"));
    assert_eq!(span.parent, CALLER);
    for attribute in [
        format!("url.path={API}/packagerevisions"),
        "http.request.method=GET".into(),
        "http.response.status_code=200".into(),
    ] {
        assert!(span.attributes.contains(&attribute), "{span:?}");
    }
}
