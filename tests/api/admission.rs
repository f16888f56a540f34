//! What kube-apiserver asks before it keeps a Repository, in the words of `admission.k8s.io/v1`.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use futures::FutureExt;
use http::Method;
use porch::apiserver::{Denial, Proposal, Registry, Server, Settings};
use serde_json::{Value, json};

use crate::client::Client;

const PATH: &str = "/validate-repository";

type Asked = Arc<Mutex<Vec<Proposal>>>;

/// A server that denies what is called `bad`, can't judge what is called `hard`, and notes what it is asked.
fn judging() -> (Client, Asked) {
    let asked = Asked::default();
    let noted = asked.clone();
    let judge = move |proposal: Proposal| {
        let name = proposal.object["metadata"]["name"].as_str().unwrap();
        let verdict = match name {
            "bad" => Ok(Some(Denial {
                reason: "RepositoryConflict",
                message: "a/first is there".into(),
            })),
            "hard" => Err("the cluster is away".to_owned()),
            _ => Ok(None),
        };
        noted.lock().unwrap().push(proposal);
        async move { verdict }.boxed()
    };
    let settings = Settings {
        admission: Some(Arc::new(judge)),
        body_limit: 10_000,
        ..Settings::default()
    };
    (Client::of(Server::new(Registry::new(), settings)), asked)
}

fn review(operation: &str, object: &Value, before: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "operation": operation, "dryRun": true, "namespace": "a", "name": "r",
            "kind": {"group": "config.porch.kpt.dev", "version": "v1alpha1", "kind": "Repository"},
            "userInfo": {"username": "ann"}, "object": object, "oldObject": before,
        },
    })
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test]
async fn kube_apiserver_is_told_yes_or_why_not() {
    let (client, asked) = judging();
    let ask = async |review: Value| {
        let headers = [("content-type", "application/json")];
        client
            .send(Method::POST, PATH, &headers, review.to_string())
            .await
    };
    let yes = ask(review("CREATE", &named("good"), &Value::Null)).await;
    assert_eq!(
        (yes.code, yes.header("content-type")),
        (200, "application/json")
    );
    let allowed = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": "705ab4f5", "allowed": true},
    });
    assert_eq!(yes.json(), allowed);
    let no = ask(review("UPDATE", &named("bad"), &named("before"))).await;
    let response = &no.json()["response"];
    assert_eq!((no.code, &response["allowed"]), (200, &json!(false)));
    assert_eq!(response["uid"], "705ab4f5");
    let status = &response["status"];
    assert_eq!(status["code"], 403);
    assert_eq!(status["reason"], "RepositoryConflict");
    assert_eq!(status["message"], "a/first is there");
    // What goes is nobody's to judge, and what can't be judged is no yes.
    let gone = ask(review("DELETE", &Value::Null, &named("bad"))).await;
    assert_eq!(gone.json(), allowed);
    assert_eq!(
        ask(review("CREATE", &named("hard"), &Value::Null))
            .await
            .code,
        503
    );
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    let before: Vec<_> = asked.into_iter().map(|it| it.before).collect();
    assert_eq!(before, [None, Some(named("before")), None]);
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_without_a_judge_there_is_no_such_path() {
    let (client, asked) = judging();
    let post = async |body: &str| {
        let body = Body::from(body.to_owned());
        client.send(Method::POST, PATH, &[], body).await.code
    };
    let mut old = review("CREATE", &named("bad"), &Value::Null);
    old["apiVersion"] = "admission.k8s.io/v1beta1".into();
    let long = review(
        "CREATE",
        &json!({"metadata": {"name": "x".repeat(30_000)}}),
        &Value::Null,
    );
    for (body, code) in [
        ("", 400),
        ("{}", 400),
        ("[1]", 400),
        (&*old.to_string(), 400),
        (&*long.to_string(), 413),
    ] {
        assert_eq!(post(body).await, code, "{body:.80}");
    }
    assert_eq!(client.get(PATH).await.code, 405);
    let below = client
        .send(Method::POST, "/validate-repository/a", &[], "{}")
        .await;
    assert_eq!(below.code, 404);
    assert_eq!(asked.lock().unwrap().len(), 0);
    let none = Client::of(Server::new(Registry::new(), Settings::default()));
    let asked = review("CREATE", &named("bad"), &Value::Null).to_string();
    assert_eq!(none.send(Method::POST, PATH, &[], asked).await.code, 404);
}
