//! Everything that is no object: discovery, OpenAPI, health, metrics, version, and the index of them all.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header, request::Parts};
use serde_json::json;

use super::{
    Failure, Identity, Registry, answer, authz::Attributes, discovery::Discovery, health::Question,
    negotiate, openapi::OpenApi, query::Query, request::Target, server::Shared, status::Outcome,
};

/// The pages that follow from what is served: made once.
pub(super) struct Pages {
    discovery: Discovery,
    openapi: OpenApi,
}

impl Pages {
    pub(super) fn of(registry: &Registry) -> Self {
        Self {
            discovery: Discovery::of(registry),
            openapi: OpenApi::of(registry),
        }
    }
}

/// A page that is the same until the server is started anew, and says so to those who ask again.
pub(super) struct Page {
    pub(super) body: Bytes,
    /// Digest of the body in quotation marks.
    pub(super) etag: HeaderValue,
    /// Media type, if it is not plain JSON.
    pub(super) media: Option<&'static str>,
}

/// Returns whether nobody needs to be known to see this page.
pub(super) fn is_open(target: &Target) -> bool {
    let Target::Page(segments) = target else {
        return false;
    };
    matches!(segments.as_slice(), [one] if Question::of(one).is_some())
}

/// Returns the page that `segments` name.
pub(super) async fn page(
    shared: &Shared,
    parts: &Parts,
    query: &Query,
    segments: &[String],
    user: &Identity,
) -> Result<Response<Body>, Failure> {
    let path = format!("/{}", segments.join("/"));
    let verb = parts.method.as_str().to_ascii_lowercase();
    let open = segments.len() == 1 && Question::of(&segments[0]).is_some();
    if !open {
        let attributes = Attributes::Page {
            verb: &verb,
            path: &path,
        };
        shared.settings.authorizer.check(user, &attributes).await?;
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let response = find(shared, &parts.headers, query, &segments)?;
    if parts.method == Method::GET {
        return Ok(response);
    }
    Err(Failure::MethodNotAllowed { allow: vec!["GET"] })
}

fn find(
    shared: &Shared,
    headers: &HeaderMap,
    query: &Query,
    segments: &[&str],
) -> Result<Response<Body>, Failure> {
    let Pages { discovery, openapi } = &shared.pages;
    let format = negotiate::plain(headers, query);
    let document = |body: Bytes| Ok(answer::document(Outcome::Ok, body, format));
    match segments {
        [] | ["index.html"] => document(index(shared)),
        ["version"] => document(version()),
        ["metrics"] => Ok(text(
            Outcome::Ok,
            shared.settings.metrics.text(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )),
        [question, check @ ..] if Question::of(question).is_some() && check.len() < 2 => {
            health(shared, query, question, check.first().copied())
        }
        ["openapi", "v2"] => openapi
            .v2(headers)
            .map(|page| unchanged(page, headers, false)),
        ["openapi", "v3"] => document(openapi.index()),
        ["openapi", "v3", below @ ..] => {
            let (page, current) = openapi.v3(headers, query, &below.join("/"))?;
            Ok(unchanged(page, headers, current))
        }
        ["api" | "apis"] if negotiate::wants_aggregated(headers)? => {
            let page = discovery.aggregated(segments[0] == "api");
            Ok(unchanged(page.ok_or(Failure::NoRoute)?, headers, false))
        }
        other => {
            let page = discovery.legacy(other).ok_or(Failure::NoRoute)?;
            document(page)
        }
    }
}

/// Returns the page, or that the caller has it already. `forever` says that the address names this very content.
fn unchanged(page: &Page, headers: &HeaderMap, forever: bool) -> Response<Body> {
    let asked = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = asked
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim().as_bytes() == page.etag.as_bytes());
    let (outcome, body) = if known {
        (Outcome::NotModified, Bytes::new())
    } else {
        (Outcome::Ok, page.body.clone())
    };
    let mut response = text(outcome, body, page.media.unwrap_or("application/json"));
    let headers = response.headers_mut();
    let cache = if forever {
        "public, immutable"
    } else {
        "public"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ETAG, page.etag.clone());
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

pub(super) fn text(outcome: Outcome, body: impl Into<Body>, media: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = outcome.code();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn health(
    shared: &Shared,
    query: &Query,
    page: &str,
    check: Option<&str>,
) -> Result<Response<Body>, Failure> {
    let question = Question::of(page).ok_or(Failure::NoRoute)?;
    let health = &shared.settings.health;
    let told = match check {
        Some(name) => health.one(question, name).ok_or(Failure::NoRoute)?,
        None => health.all(question, page, query),
    };
    let (outcome, body) = match told {
        Ok(body) => (Outcome::Ok, body),
        Err(body) => (Outcome::Unhealthy, body),
    };
    Ok(text(outcome, body, "text/plain; charset=utf-8"))
}

fn index(shared: &Shared) -> Bytes {
    let mut paths: Vec<String> = [
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    .map(String::from)
    .into();
    paths.extend(shared.pages.discovery.paths());
    paths.sort();
    json!({ "paths": paths }).to_string().into()
}

/// The version of Kubernetes whose conventions are kept.
const KUBERNETES: (&str, &str) = ("1", "33");

fn version() -> Bytes {
    let (major, minor) = KUBERNETES;
    let porch = env!("CARGO_PKG_VERSION");
    let platform = format!("{}/{}", std::env::consts::OS, architecture());
    json!({
        "major": major, "minor": minor, "gitVersion": format!("v{major}.{minor}.0+porch-{porch}"),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": platform,
    })
    .to_string()
    .into()
}

/// Returns this machine's architecture as Go spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
