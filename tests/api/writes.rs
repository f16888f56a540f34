//! Requests that change something, as far as the machinery goes: bodies, options, warnings, panics, time.

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request};
use porch::apiserver::{Authenticator, Identity, Settings, Token};
use serde_json::json;

use crate::{client::Client, toy::Widgets};

const HERE: &str = "/apis/toys.example/v1/namespaces/n/widgets";
const WIDGET: &str = "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"color\":\"red\"}}";

fn client() -> Client {
    Client::of(Widgets::new().server())
}

#[tokio::test]
async fn json_yaml_and_untyped_bodies_are_taken() {
    let yaml = "metadata:\n  name: a\nspec:\n  color: red\n";
    for (media, body) in [
        ("application/json", WIDGET),
        ("application/json; charset=utf-8", WIDGET),
        ("", WIDGET),
        ("application/yaml", yaml),
        ("application/yaml", WIDGET),
    ] {
        let headers = [("content-type", media)];
        let made = client().send(Method::POST, HERE, &headers, body).await;
        assert_eq!(made.code, 201, "{media} {}", made.text());
        assert_eq!(made.json()["spec"]["color"], "red");
        assert_eq!(made.header("warning"), "299 - \"say \\\"please\\\"\"");
    }
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused() {
    let known = "the body of the request was in an unknown format - accepted media types include: ";
    for (method, name, media, body, code, start) in [
        (Method::POST, "", "text/plain", WIDGET, 415, known),
        (Method::PATCH, "/a", "application/json", "{}", 415, known),
        (
            Method::PATCH,
            "/a",
            "application/apply-patch+yaml",
            "{}",
            415,
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json",
        ),
        (
            Method::POST,
            "",
            "application/json",
            "{",
            400,
            "the object provided is unrecognized (must be of type Widget): ",
        ),
        (
            Method::POST,
            "",
            "application/json",
            "{} x",
            400,
            "the object provided is unrecognized (must be of type Widget): ",
        ),
        (
            Method::POST,
            "",
            "application/json",
            "",
            400,
            "the object provided is unrecognized (must be of type Widget): unexpected end of input (<empty>)",
        ),
        (
            Method::PATCH,
            "/a",
            "application/merge-patch+json",
            "{",
            400,
            "error decoding patch: ",
        ),
    ] {
        let headers = [("content-type", media)];
        let told = client()
            .send(method, &format!("{HERE}{name}"), &headers, body)
            .await;
        assert_eq!(told.code, code, "{media} {body}");
        assert!(told.message().starts_with(start), "{}", told.message());
    }
}

#[tokio::test]
async fn options_are_checked_before_anything_is_done() {
    let client = client();
    let long = "x".repeat(129);
    for (query, message) in [
        (
            "dryRun=x".to_owned(),
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"x\"]: supported values: \"All\"",
        ),
        (
            format!("fieldManager={long}"),
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
        ),
        (
            "fieldValidation=x".into(),
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"x\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
        ),
    ] {
        let told = client
            .send(Method::POST, &format!("{HERE}?{query}"), &[], WIDGET)
            .await;
        assert_eq!((told.code, told.message().as_str()), (422, message));
    }
    assert_eq!(client.get(&format!("{HERE}/a")).await.code, 404);
    let exists = [201, 409].map(|code| (code, client.send(Method::POST, HERE, &[], WIDGET)));
    for (code, made) in exists {
        assert_eq!(made.await.code, code);
    }
}

#[tokio::test]
async fn a_body_too_large_is_refused_whether_or_not_it_says_so() {
    let settings = Settings {
        body_limit: 1000,
        ..Settings::default()
    };
    let client = Client::of(Widgets::new().server_with(settings));
    let piece = Bytes::from(vec![b' '; 100]);
    let endless = stream::repeat(piece).map(Ok::<_, std::io::Error>);
    for body in [Body::from_stream(endless), Body::from(vec![b' '; 1001])] {
        let told = client.send(Method::POST, HERE, &[], body).await;
        assert_eq!(told.code, 413);
        assert_eq!(told.message(), "Request entity too large: limit is 1000");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_times_out() {
    let client = client();
    for (uri, seconds) in [(HERE.to_owned(), 60), (format!("{HERE}?timeout=2s"), 2)] {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let begun = tokio::time::Instant::now();
        let told = client
            .send(Method::POST, &uri, &[], Body::from_stream(never))
            .await;
        assert_eq!((told.code, begun.elapsed().as_secs()), (504, seconds));
        assert_eq!(told.json()["reason"], "Timeout");
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_trouble() {
    let client = client();
    let body = "{\"metadata\":{\"name\":\"panic\"}}";
    let told = client.send(Method::POST, HERE, &[], body).await;
    assert_eq!(
        (told.code, told.json()["reason"].as_str()),
        (500, Some("InternalError"))
    );
    assert!(!told.text().contains("invariant"));
    assert_eq!(client.get(HERE).await.code, 200);
}

#[tokio::test]
async fn a_deletion_answers_with_what_was_there() {
    let client = client();
    client.send(Method::POST, HERE, &[], WIDGET).await;
    let partial = [(
        "accept",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    )];
    let gone = client
        .send(Method::DELETE, &format!("{HERE}/a"), &partial, "")
        .await;
    assert_eq!(
        (gone.code, &gone.json()["kind"]),
        (200, &json!("PartialObjectMetadata"))
    );
    assert_eq!(
        client
            .send(Method::DELETE, &format!("{HERE}/a"), &[], "")
            .await
            .code,
        404
    );
}

#[tokio::test]
async fn only_those_who_are_known_get_in_and_health_is_open() {
    let known = Authenticator::new()
        .with_token(Token::new("admin"), Identity::master("tester"))
        .with_token(Token::new("guest"), Identity::new("guest", []));
    let settings = Settings {
        authenticator: known,
        ..Settings::default()
    };
    let server = Widgets::new().server_with(settings);
    for (token, path, code) in [
        ("", HERE, 401),
        ("", "/apis", 401),
        ("", "/metrics", 401),
        ("", "/livez/ping", 401),
        ("", "/livez", 200),
        ("", "/readyz?verbose", 200),
        ("", "/healthz", 200),
        ("Bearer wrong", HERE, 401),
        ("Bearer wrong", "/livez", 401),
        ("Bearer admin", HERE, 200),
        ("Bearer admin", "/metrics", 200),
        ("Bearer guest", HERE, 403),
        ("Bearer guest", "/nowhere", 403),
        ("Bearer guest", "/apis", 200),
        ("Bearer guest", "/metrics", 403),
    ] {
        let mut request = Request::get(path);
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        let response = server.answer(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status().as_u16(), code, "{token} {path}");
    }
}
