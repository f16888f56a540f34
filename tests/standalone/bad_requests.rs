//! Requests that make no sense, and callers that are up to no good: each gets a clear answer in the form that Kubernetes'
//! clients parse, and the server goes on.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{API, Porch, start};

const JSON: &str = "application/json";

/// Speaks HTTP to a server, whatever it says.
struct Caller {
    agent: ureq::Agent,
    server: String,
    token: String,
}

impl Caller {
    fn of(porch: &Porch) -> Self {
        let authority = ureq::tls::Certificate::from_pem(&porch.authority()).unwrap();
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[authority]))
            .unversioned_rustls_crypto_provider(
                rustls::crypto::aws_lc_rs::default_provider().into(),
            );
        let agent = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(15)));
        Self {
            agent: agent.build().into(),
            server: porch.server(),
            token: porch.token(),
        }
    }

    /// Returns the status and the body of an answer.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let url = format!("{}{path}", self.server);
        let mut request = http::Request::builder().method(method).uri(url);
        let own = [("authorization", format!("Bearer {}", self.token))];
        for (name, value) in own
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(headers.iter().copied())
        {
            request.headers_mut().unwrap().insert(
                http::HeaderName::try_from(name).unwrap(),
                value.parse().unwrap(),
            );
        }
        let answer = self.agent.run(request.body(body.to_owned()).unwrap());
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let code = answer.status().as_u16();
        (code, answer.body_mut().read_to_string().unwrap())
    }

    /// Asks, and checks that the answer is a `Status` with this code whose message says this.
    fn refused(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        expected: (u16, &str),
    ) {
        let (code, body) = self.ask(method, path, headers, "");
        let what = format!("{method} {path} {headers:?}: {code} {body}");
        let status: Value = serde_json::from_str(&body).expect(&what);
        assert_eq!(code, expected.0, "{what}");
        assert_eq!(
            (&status["kind"], &status["code"]),
            (&"Status".into(), &code.into()),
            "{what}"
        );
        let message = status["message"].as_str().unwrap();
        assert!(
            message.contains(expected.1),
            "{what}\nexpected: {}",
            expected.1
        );
    }
}

fn demo() -> (tempfile::TempDir, Porch) {
    let home = tempfile::tempdir().unwrap();
    let porch = start(home.path(), &["--demo"]);
    porch.until_ready("demo");
    (home, porch)
}

#[test]
fn requests_that_make_no_sense_are_refused_in_plain_words() {
    let (_home, porch) = demo();
    let caller = Caller::of(&porch);
    let list = format!("{API}/packagerevisions");
    for (query, code, expected) in [
        ("limit=abc", 400, "parsing \"abc\""),
        ("continue=zzz", 400, "continue"),
        ("resourceVersion=abc", 400, "resourceVersion"),
        ("resourceVersion=-1", 400, "resourceVersion"),
        (
            "resourceVersion=99999999",
            504,
            "Too large resource version",
        ),
        ("resourceVersionMatch=Exact", 422, "resourceVersion"),
        (
            "resourceVersion=1&resourceVersionMatch=Bogus",
            422,
            "resourceVersionMatch",
        ),
        (
            "labelSelector=a%20b%20c",
            400,
            "unable to parse requirement: found 'b'",
        ),
        ("labelSelector=%21%21", 400, "unable to parse requirement"),
        ("labelSelector=-a%3D-b", 400, ""),
        ("fieldSelector=garbage", 400, "garbage"),
        (
            "fieldSelector=spec.tasks%3Dx",
            400,
            "is not a known field selector",
        ),
        (
            "fieldSelector=spec.lifecycle%3DFoo",
            400,
            "unsupported fieldSelector value \"Foo\"",
        ),
        (
            "fieldSelector=spec.lifecycle%21%3DDraft",
            400,
            "unsupported fieldSelector operator \"!=\"",
        ),
        (
            "fieldSelector=spec.repository%3D",
            400,
            "unsupported fieldSelector value \"\"",
        ),
        (
            "fieldSelector=spec.packageMetadata.labels%5B%5D%3Dx",
            400,
            "label key cannot be empty",
        ),
        ("fieldSelector=spec.revision%3Dx", 400, "spec.revision"),
        ("watch=1&timeoutSeconds=x", 400, "parsing \"x\""),
        ("watch=1&resourceVersion=abc", 400, "resourceVersion"),
        (
            "watch=1&sendInitialEvents=true",
            422,
            "resourceVersionMatch",
        ),
    ] {
        caller.refused(("GET", &format!("{list}?{query}")), &[], (code, expected));
    }
    for query in [
        "limit=1&nonsense=2",
        "pretty=1",
        "limit=-1",
        "fieldSelector=",
        "labelSelector=",
    ] {
        let (code, body) = caller.ask("GET", &format!("{list}?{query}"), &[], "");
        assert_eq!(code, 200, "{query}: {body}");
    }
    for accept in [
        "text/html",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "nonsense",
    ] {
        caller.refused(
            ("GET", &list),
            &[("accept", accept)],
            (406, "application/json"),
        );
    }
    for accept in [
        "*/*",
        "text/html, */*;q=0.1",
        "application/*",
        "application/yaml",
    ] {
        let (code, body) = caller.ask("GET", &list, &[("accept", accept)], "");
        assert_eq!(code, 200, "{accept}: {body}");
    }
    caller.refused(
        ("GET", &list),
        &[("authorization", "Bearer wrong")],
        (401, "Unauthorized"),
    );
    caller.refused(
        ("GET", &list),
        &[("authorization", "nonsense")],
        (401, "Unauthorized"),
    );
}

#[test]
fn places_and_methods_that_are_not_are_refused_in_plain_words() {
    let (_home, porch) = demo();
    let caller = Caller::of(&porch);
    let nowhere = "the server could not find the requested resource";
    for path in [
        "/nonsense",
        "/apis/porch.kpt.dev/v9",
        "/apis/porch.kpt.dev/v1alpha1/nothing",
        "/apis/porch.kpt.dev/v1alpha1/packagerevisions/demo.basens.v1",
        "/apis/porch.kpt.dev/v1alpha1/namespaces//packagerevisions",
        "/api/v1/pods",
        "/apis/../etc/passwd",
        "/apis/porch.kpt.dev/v1alpha1/namespaces/default/packagerevisions/..%2f..%2fx",
        "/apis/porch.kpt.dev/v1alpha1/namespaces/default/packagerevisions/demo.basens.v1/status",
    ] {
        caller.refused(("GET", path), &[], (404, nowhere));
    }
    for kind in ["packagerevisions", "packagerevisionresources", "packages"] {
        for name in [
            "absent",
            "demo.basens.v9",
            "%00",
            "a%20b",
            "UPPER",
            "-x",
            &"x".repeat(300),
        ] {
            let path = format!("{API}/{kind}/{name}");
            caller.refused(("GET", &path), &[], (404, "not found"));
        }
        let elsewhere = format!("/apis/porch.kpt.dev/v1alpha1/namespaces/%01/{kind}/demo.basens");
        caller.refused(("GET", &elsewhere), &[], (404, "not found"));
    }
    let revision = format!("{API}/packagerevisions/demo.basens.v1");
    let plain = "the server does not allow this method on the requested resource";
    for method in ["POST", "OPTIONS", "TRACE", "NONSENSE"] {
        caller.refused((method, &revision), &[], (405, plain));
    }
    let (packages, package) = (
        format!("{API}/packages"),
        format!("{API}/packages/demo.basens"),
    );
    let end = "is not supported on resources of kind \"packages.porch.kpt.dev\"";
    let update = format!(
        "update a PackageRevision resource to update a package as direct package update {end}"
    );
    let delete = format!(
        "delete all PackageRevisions resources of a package to delete a package as direct package deletion {end}"
    );
    for (method, path, expected) in [
        ("PUT", &package, &update),
        ("PATCH", &package, &update),
        ("DELETE", &packages, &delete),
    ] {
        caller.refused((method, path), &[("content-type", JSON)], (405, expected));
    }
    assert_eq!(caller.ask("HEAD", &revision, &[], ""), (405, String::new()));
}

#[test]
fn bodies_that_are_wrong_or_never_end_are_refused_and_cost_nobody_anything() {
    let (_home, porch) = demo();
    let caller = Caller::of(&porch);
    let path = "/apis/config.porch.kpt.dev/v1alpha1/namespaces/default/repositories";
    for (type_, body, code) in [
        (JSON, "", 400),
        (JSON, "{", 400),
        (JSON, "[]", 400),
        (JSON, "{\"kind\":\"Secret\",\"apiVersion\":\"v1\"}", 400),
        ("application/yaml", "a: [", 400),
        ("text/plain", "x", 415),
        ("nonsense", "x", 415),
    ] {
        let (answer, text) = caller.ask("POST", path, &[("content-type", type_)], body);
        assert_eq!(answer, code, "{type_} {body}: {text}");
        assert!(text.contains("\"Status\""), "{text}");
    }
    // Those that are too large, or written for ever, are cut off. Who still writes then may not see the answer.
    let url = format!("{}{path}", caller.server);
    let begun = Instant::now();
    for length in [8 << 20, u64::MAX] {
        let body = std::io::Read::take(std::io::repeat(b' '), length);
        let request = caller.agent.post(&url).header("content-type", JSON);
        let request = request.header("authorization", format!("Bearer {}", caller.token));
        match request.send(ureq::SendBody::from_owned_reader(body)) {
            Ok(answer) => assert_eq!(answer.status().as_u16(), 413),
            Err(error) => assert!(matches!(error, ureq::Error::Io(_)), "{error}"),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    let (code, _) = caller.ask("GET", &format!("{API}/packagerevisions"), &[], "");
    assert_eq!(code, 200);
}
