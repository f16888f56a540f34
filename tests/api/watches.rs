//! WATCH: what is told, to whom, and how it ends.

use std::{sync::Arc, time::Duration};

use porch::apiserver::Settings;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, Events, TABLE},
    toy::Widgets,
};

const ALL: &str = "/apis/toys.example/v1/widgets";

fn two() -> (Arc<Widgets>, Client) {
    let widgets = Widgets::new();
    widgets.put("n", "a", &json!({ "on": "yes" }), "red");
    widgets.put("m", "b", &json!({}), "red");
    let client = Client::of(widgets.server());
    (widgets, client)
}

async fn watch(client: &Client, query: &str) -> Events {
    client.watch(&format!("{ALL}?watch=true&{query}"), "").await
}

#[tokio::test]
async fn a_watch_from_a_version_tells_exactly_what_came_after() {
    let (widgets, client) = two();
    let mut events = watch(&client, "resourceVersion=2").await;
    assert_eq!(events.take(1).await, ["ADDED b"]);
    events.silent().await;
    widgets.put("n", "a", &json!({}), "blue");
    let gone = widgets.remove("m", "b");
    let changed = events.next().await.unwrap();
    assert_eq!(changed["type"], "MODIFIED");
    assert_eq!(changed["object"]["spec"]["color"], "blue");
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["kind"], "Widget");
    assert_eq!(deleted["object"]["spec"]["color"], "red");
    assert_eq!(
        deleted["object"]["metadata"]["resourceVersion"],
        gone.to_string()
    );
    events.silent().await;
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let (widgets, client) = two();
    for query in ["", "resourceVersion=0", "resourceVersion="] {
        let mut events = watch(&client, query).await;
        assert_eq!(events.take(2).await, ["ADDED b", "ADDED a"], "{query}");
        events.silent().await;
        widgets.put("n", "a", &json!({}), "red");
        assert_eq!(events.take(1).await, ["MODIFIED a"], "{query}");
    }
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_that_says_so() {
    let (widgets, client) = two();
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut events = watch(&client, &format!("{query}&allowWatchBookmarks=true")).await;
    assert_eq!(events.take(2).await, ["ADDED b", "ADDED a"]);
    let end = events.next().await.unwrap();
    let metadata = json!({ "resourceVersion": "3", "creationTimestamp": null,
        "annotations": { "k8s.io/initial-events-end": "true" } });
    let expected =
        json!({ "kind": "Widget", "apiVersion": "toys.example/v1", "metadata": metadata });
    assert_eq!(end, json!({ "type": "BOOKMARK", "object": expected }));
    let mut plain = watch(&client, query).await;
    assert_eq!(plain.take(2).await, ["ADDED b", "ADDED a"]);
    plain.silent().await;
    let none = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut none = watch(&client, none).await;
    none.silent().await;
    widgets.remove("n", "a");
    for events in [&mut events, &mut plain, &mut none] {
        assert_eq!(events.take(1).await, ["DELETED a"]);
    }
}

#[tokio::test]
async fn who_enters_a_selection_is_added_and_who_leaves_it_is_deleted() {
    let (widgets, client) = two();
    let mut events = watch(&client, "resourceVersion=3&labelSelector=on%3Dyes").await;
    widgets.put("m", "b", &json!({ "on": "no" }), "red");
    widgets.put("m", "b", &json!({ "on": "yes" }), "red");
    widgets.put("n", "a", &json!({ "on": "yes" }), "blue");
    let left = widgets.put("n", "a", &json!({ "on": "no" }), "green");
    widgets.remove("n", "a");
    widgets.remove("m", "b");
    assert_eq!(events.take(2).await, ["ADDED b", "MODIFIED a"]);
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["spec"]["color"], "blue");
    assert_eq!(deleted["object"]["metadata"]["labels"]["on"], "yes");
    assert_eq!(
        deleted["object"]["metadata"]["resourceVersion"],
        left.to_string()
    );
    assert_eq!(events.take(1).await, ["DELETED b"]);
    events.silent().await;
}

#[tokio::test]
async fn a_watch_keeps_to_its_namespace_and_its_name() {
    let (widgets, client) = two();
    let here = "/apis/toys.example/v1/namespaces/n/widgets?watch=1&resourceVersion=3";
    let mut here = client.watch(here, "").await;
    let mut one = watch(&client, "resourceVersion=3&fieldSelector=metadata.name%3Db").await;
    widgets.put("n", "a", &json!({}), "red");
    widgets.put("m", "b", &json!({}), "red");
    widgets.put("n", "c", &json!({}), "red");
    assert_eq!(here.take(2).await, ["MODIFIED a", "ADDED c"]);
    assert_eq!(one.take(1).await, ["MODIFIED b"]);
    here.silent().await;
    one.silent().await;
}

#[tokio::test(start_paused = true)]
async fn history_that_is_gone_is_told_in_the_stream() {
    let widgets = Arc::new(Widgets::with_history(2));
    for name in ["a", "b", "c", "d"] {
        widgets.put("n", name, &json!({}), "red");
    }
    let client = Client::of(widgets.server());
    for (version, oldest) in [(1, 3), (99, 5)] {
        let mut events = watch(&client, &format!("resourceVersion={version}")).await;
        let error = events.next().await.unwrap();
        assert_eq!(error["type"], "ERROR");
        let status = &error["object"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(410), &json!("Expired"))
        );
        let message = format!("too old resource version: {version} ({oldest})");
        assert_eq!(status["message"], message);
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn a_reader_too_slow_is_told_so_and_costs_nothing() {
    let widgets = Arc::new(Widgets::with_history(100));
    let client = Client::of(widgets.server());
    let mut slow = watch(&client, "resourceVersion=1").await;
    for number in 0..10_000 {
        widgets.put("n", &format!("w{}", number % 10), &json!({}), "red");
    }
    let mut last = None;
    while let Some(event) = slow.next().await {
        last = Some(event);
    }
    assert_eq!(last.unwrap()["object"]["code"], 410);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_only_to_those_who_want_them_and_shortly_before_the_end() {
    let (widgets, client) = two();
    let mut wanting = watch(
        &client,
        "resourceVersion=3&allowWatchBookmarks=true&timeoutSeconds=100",
    )
    .await;
    let mut other = watch(&client, "resourceVersion=3&timeoutSeconds=100").await;
    let begun = tokio::time::Instant::now();
    let first = wanting.next().await.unwrap();
    assert!((55..=60).contains(&begun.elapsed().as_secs()));
    assert_eq!(first["type"], "BOOKMARK");
    assert_eq!(first["object"]["metadata"]["resourceVersion"], "3");
    widgets.put("n", "a", &json!({}), "red");
    assert_eq!(wanting.take(1).await, ["MODIFIED a"]);
    assert_eq!(other.take(1).await, ["MODIFIED a"]);
    let farewell = wanting.next().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 98);
    assert_eq!(farewell["object"]["metadata"]["resourceVersion"], "4");
    assert_eq!(wanting.next().await, None);
    assert_eq!(begun.elapsed().as_secs(), 100);
    assert_eq!(other.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_sets_no_time_lasts_half_an_hour_to_an_hour() {
    let (_, client) = two();
    let mut events = watch(&client, "resourceVersion=3").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(events.next().await, None);
    assert!((1800..3600).contains(&begun.elapsed().as_secs()));
}

#[tokio::test]
async fn tables_tell_their_columns_once() {
    let (widgets, client) = two();
    let uri = format!("{ALL}?watch=1&resourceVersion=0");
    let mut events = client.watch(&uri, TABLE).await;
    widgets.put("n", "a", &json!({}), "blue");
    let tables: Vec<Value> = [
        events.next().await,
        events.next().await,
        events.next().await,
    ]
    .into_iter()
    .map(|event| event.unwrap()["object"].clone())
    .collect();
    assert_eq!(tables[0]["kind"], "Table");
    assert_eq!(tables[0]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(tables[1]["columnDefinitions"], Value::Null);
    assert_eq!(tables[2]["rows"][0]["cells"], json!(["a", "blue"]));
    assert_eq!(tables[2]["rows"][0]["object"]["metadata"]["name"], "a");
    assert_eq!(tables[2]["metadata"]["resourceVersion"], "4");
}

#[tokio::test]
async fn metadata_alone_can_be_watched() {
    let (_, client) = two();
    let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let uri = format!(
        "{ALL}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut events = client.watch(&uri, accept).await;
    for type_ in ["ADDED", "ADDED", "BOOKMARK"] {
        let event = events.next().await.unwrap();
        assert_eq!(event["type"], type_);
        assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(event["object"]["apiVersion"], "meta.k8s.io/v1");
        assert_eq!(event["object"]["spec"], Value::Null);
    }
}

#[tokio::test]
async fn watches_end_cleanly_when_the_server_goes() {
    let widgets = Widgets::new();
    let stop = CancellationToken::new();
    let settings = Settings {
        stop: stop.clone(),
        ..Settings::default()
    };
    let client = Client::of(widgets.server_with(settings));
    let mut events = watch(&client, "").await;
    assert_eq!(client.get("/readyz").await.code, 200);
    stop.cancel();
    assert_eq!(events.next().await, None);
    let ready = client.get("/readyz").await;
    assert_eq!(ready.code, 500);
    assert!(ready.text().contains("[-]shutdown failed"));
    assert_eq!(client.get("/livez").await.code, 200);
}

#[tokio::test]
async fn watches_are_counted_while_they_last_and_dropped_with_their_readers() {
    let (_, client) = two();
    let count = |text: String| {
        let line = text
            .lines()
            .find(|line| line.starts_with("apiserver_longrunning_requests{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
    };
    let events = [watch(&client, "").await, watch(&client, "").await];
    assert_eq!(count(client.get("/metrics").await.text()), Some(2));
    drop(events);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(count(client.get("/metrics").await.text()), Some(0));
}
