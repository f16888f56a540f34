//! Callers who go away: before a deed has begun, nothing is done for them; after that it is finished.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    client::{Answered, Client},
    toy::Widgets,
};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";

fn begin(widgets: &Arc<Widgets>, query: &str) -> JoinHandle<Answered> {
    let (client, uri) = (Client::of(widgets.server()), format!("{HERE}{query}"));
    let slow = json!({ "metadata": { "name": "slow" } }).to_string();
    tokio::spawn(async move { client.send(Method::POST, &uri, &[], slow).await })
}

async fn is_there(widgets: &Arc<Widgets>) -> bool {
    let client = Client::of(widgets.server());
    client.get(&format!("{HERE}/slow")).await.code == 200
}

#[tokio::test]
async fn one_who_goes_before_the_deed_begins_leaves_nothing() {
    let widgets = Widgets::new();
    let caller = begin(&widgets, "");
    widgets.arrived.notified().await;
    caller.abort();
    assert!(caller.await.is_err());
    // Whoever opens the gate now finds nobody there: the permit is kept for the next.
    widgets.gates[0].notify_one();
    let next = begin(&widgets, "");
    widgets.arrived.notified().await;
    widgets.arrived.notified().await;
    widgets.gates[1].notify_one();
    assert_eq!(next.await.unwrap().code, 201);
}

#[tokio::test]
async fn one_who_goes_after_it_began_gets_it_all_the_same() {
    let widgets = Widgets::new();
    let caller = begin(&widgets, "");
    widgets.arrived.notified().await;
    widgets.gates[0].notify_one();
    widgets.arrived.notified().await;
    caller.abort();
    assert!(caller.await.is_err());
    let client = Client::of(widgets.server());
    let mut events = client.watch(&format!("{HERE}?watch=1"), "").await;
    widgets.gates[1].notify_one();
    assert_eq!(events.take(1).await, ["ADDED slow"]);
}

#[tokio::test(start_paused = true)]
async fn one_whose_time_is_up_is_told_so_and_counts_as_gone() {
    let widgets = Widgets::new();
    let late = begin(&widgets, "?timeout=3s").await.unwrap();
    assert_eq!(
        (late.code, late.json()["reason"].as_str()),
        (504, Some("Timeout"))
    );
    tokio::task::yield_now().await;
    assert!(!is_there(&widgets).await);
    let caller = begin(&widgets, "?timeout=3s");
    widgets.arrived.notified().await;
    widgets.gates[0].notify_one();
    assert_eq!(caller.await.unwrap().code, 504);
    widgets.gates[1].notify_one();
    while !is_there(&widgets).await {
        tokio::task::yield_now().await;
    }
}
