//! What Git servers say of pushes: who is believed, and what comes of it.

use std::{fmt::Write, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::{
    git_server::GitServer,
    process::{API, Porch, eventually, repository, revisions, secret, small, start},
    repository::Repository,
};

/// Sends a message, and returns the status of the answer.
fn post(porch: &Porch, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let kubeconfig = std::fs::read_to_string(porch.kubeconfig()).unwrap();
    let mut lines = kubeconfig.lines().map(str::trim);
    let server = lines
        .find_map(|line| line.strip_prefix("server: "))
        .unwrap();
    let server = server.trim_matches('"');
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false);
    let agent = ureq::Agent::new_with_config(config.build());
    let mut request = agent.post(format!("{server}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send(body).unwrap().status().as_u16()
}

fn signed(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let mut out = String::new();
    for byte in tag.as_ref() {
        write!(out, "{byte:02x}").unwrap();
    }
    out
}

/// A server that looks by itself once in ten hours, with a Repository that is ready, and knows a secret of webhooks.
struct Told {
    porch: Porch,
    git: Repository,
    server: GitServer,
    url: String,
    home: tempfile::TempDir,
}

impl Told {
    fn with(secret: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let git = small();
        let server = GitServer::http(git.root());
        let key = home.path().join("key");
        std::fs::write(&key, secret).unwrap();
        let words = ["--sync-interval", "10h", "--webhook-secret-file"];
        let words = [&words[..], &[key.to_str().unwrap()]].concat();
        let porch = start(&home.path().join("data"), &words);
        let url = server.url("bare.git");
        porch.applied(&repository("r", &url, ""));
        porch.until_ready("r");
        Self {
            porch,
            git,
            server,
            url,
            home,
        }
    }
}

#[test]
fn a_push_that_is_told_is_seen_at_once_in_one_fetch_whoever_tells_it() {
    let Told {
        porch,
        git,
        server,
        url,
        home: _home,
    } = Told::with("open sesame\n");
    let ours = url
        .trim_end_matches(".git")
        .to_uppercase()
        .replace("HTTP:", "http:");
    // SIGNED stands for the digest of the message.
    let messages = [
        (
            "",
            json!({"repository": {"clone_url": url}}),
            [
                ("x-github-event", "push"),
                ("x-hub-signature-256", "sha256=SIGNED"),
            ],
        ),
        (
            "",
            json!({"project": {"git_http_url": ours}}),
            [
                ("x-gitlab-event", "Tag Push Hook"),
                ("x-gitlab-token", "open sesame"),
            ],
        ),
        (
            "",
            json!({"repository": {"html_url": ours}}),
            [("x-gitea-event", "push"), ("x-gitea-signature", "SIGNED")],
        ),
        (
            "",
            json!({"repository": {"links": {"clone": [{"href": url}]}}}),
            [
                ("x-event-key", "repo:refs_changed"),
                ("x-hub-signature", "sha256=SIGNED"),
            ],
        ),
        (
            "/default/r",
            json!("whatever it says"),
            [
                ("authorization", "Bearer open sesame"),
                ("user-agent", "curl"),
            ],
        ),
    ];
    for (number, (path, message, headers)) in messages.into_iter().enumerate() {
        git.git(&["tag", &format!("a/v{}", number + 2)]);
        git.push();
        server.requests();
        let body = message.to_string();
        let digest = signed("open sesame", &body);
        let headers = headers.map(|(name, value)| (name, value.replace("SIGNED", &digest)));
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = post(&porch, &format!("/webhooks/git{path}"), &headers, &body);
        assert_eq!(answer, 200, "{body}");
        eventually(&format!("revision {}", number + 2), || {
            (revisions(&porch).len() == number + 3).then_some(())
        });
        // Nothing new had to be fetched: looks alone, before and after what was written.
        assert!(server.requests().len() <= 3, "{body}");
    }
    assert_eq!(porch.terminate(), Some(0));
}

#[test]
fn who_is_not_believed_learns_nothing_and_starts_nothing() {
    let home = tempfile::tempdir().unwrap();
    let git = small();
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &["--sync-interval", "10h", "--webhooks"]);
    let url = server.url("bare.git");
    porch.applied(&secret("hook", "Opaque", &[("webhookSecret", "s3same")]));
    porch.applied(&repository("plain", &url, ""));
    let other = repository("own", &url, "    branch: other\n    createBranch: true\n");
    let annotation = "  name: own\n  annotations:\n    porch.kpt.dev/webhook-secret: hook\n";
    porch.applied(&other.replace("  name: own\n", annotation));
    porch.until_ready("plain");
    porch.until_ready("own");
    server.requests();
    let body = json!({"repository": {"clone_url": url}}).to_string();
    let strange = json!({"repository": {"clone_url": "https://example.com/none"}}).to_string();
    let digest = |secret: &str, body: &str| format!("sha256={}", signed(secret, body));
    let name = "x-hub-signature-256";
    let mut answers = Vec::new();
    for path in [
        "",
        "/default/plain",
        "/default/own",
        "/default/none",
        "/nobody/none",
    ] {
        let path = format!("/webhooks/git{path}");
        for body in [&body, &strange] {
            answers.push(post(&porch, &path, &[], body));
            answers.push(post(&porch, &path, &[(name, &digest("guess", body))], body));
            answers.push(post(&porch, &path, &[(name, &digest("", body))], body));
            answers.push(post(&porch, &path, &[("x-gitlab-token", "")], body));
        }
    }
    // Signed for another message, or with the secret of another Repository.
    answers.push(post(
        &porch,
        "/webhooks/git",
        &[(name, &digest("s3same", &strange))],
        &body,
    ));
    answers.push(post(
        &porch,
        "/webhooks/git",
        &[(name, &digest("s3same", &strange))],
        &strange,
    ));
    answers.push(post(
        &porch,
        "/webhooks/git/default/plain",
        &[(name, &digest("s3same", &body))],
        &body,
    ));
    assert!(answers.iter().all(|answer| *answer == 401), "{answers:?}");
    let huge = "x".repeat((4 << 20) + 1);
    assert_eq!(
        post(&porch, "/webhooks/git", &[("x-gitlab-token", "x")], &huge),
        413
    );
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.requests(), [""; 0], "nobody looked");
    // Its own secret opens its own Repository, and no other of the same address.
    let headers = [
        (name, &*digest("s3same", &body)),
        ("x-github-event", "ping"),
    ];
    assert_eq!(post(&porch, "/webhooks/git", &headers, &body), 200);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.requests(), [""; 0], "a ping is no push");
    git.git(&["tag", "a/v2"]);
    git.push();
    assert_eq!(post(&porch, "/webhooks/git", &headers[..1], &body), 200);
    eventually("the tag in one of them", || {
        let list = porch.raw(&format!("{API}/packagerevisions"));
        let names = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["metadata"]["name"].clone());
        let new: Vec<Value> = names
            .filter(|name| name.as_str().unwrap().ends_with(".a.v2"))
            .collect();
        (new == ["own.a.v2"]).then_some(())
    });
    let log = porch.log();
    assert!(!log.contains("s3same") && !log.contains("guess"), "{log}");
    drop(porch);
    let deaf = start(home.path(), &[]);
    let ours = [(name, &*digest("s3same", &body))];
    assert!(matches!(
        post(&deaf, "/webhooks/git", &ours, &body),
        401 | 404
    ));
}

#[test]
fn what_is_delivered_again_starts_nothing_and_forms_are_read() {
    let Told {
        porch,
        git: _git,
        server,
        url,
        home: _home,
    } = Told::with("s3same");
    let send = |body: &str, delivery: &str| {
        let digest = format!("sha256={}", signed("s3same", body));
        let headers = [
            ("x-hub-signature-256", digest.as_str()),
            ("x-github-delivery", delivery),
        ];
        let answer = post(&porch, "/webhooks/git", &headers, body);
        assert_eq!(answer, 200, "{body} {delivery}");
    };
    let looked = || eventually("a look", || (!server.requests().is_empty()).then_some(()));
    let body = json!({"repository": {"clone_url": url}}).to_string();
    server.requests();
    send(&body, "one");
    looked();
    eventually("it is quiet", || {
        std::thread::sleep(Duration::from_millis(500));
        server.requests().is_empty().then_some(())
    });
    for _ in 0..5 {
        send(&body, "one");
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.requests(), [""; 0], "it came before");
    send(&body, "two");
    looked();
    // As a form, it says the same.
    let encoded: String = url::form_urlencoded::byte_serialize(body.as_bytes()).collect();
    send(&format!("payload={encoded}"), "two");
    looked();
}
