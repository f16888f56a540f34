//! The whole server as one value: what a socket drives, and what a client in the same process drives without one.
//!
//! In comes an HTTP request with a body of any type; out goes the response. Around every request, outermost first: its
//! id, the net under panics, its trace and log line, its deadline, who asks, whether they may; then the verb.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Authenticator, Authorizer, Failure, Health, Identity, Limits, Metrics, Registry,
    admission::{self, Judge},
    answer::{self, Answer},
    authz::Attributes,
    body,
    endpoint::Endpoint,
    limits::Places,
    metrics::Labels,
    negotiate, pages,
    query::Query,
    request::{Action, Place, Target},
    route::route,
    trace::Trace,
    verbs::{self, Ask, Watching},
    webhook::{self, Hear},
};

/// How the server behaves.
pub struct Settings {
    /// Who knows who asks.
    pub authenticator: Authenticator,
    /// Who says who may do what.
    pub authorizer: Authorizer,
    /// How much is done at once.
    pub limits: Limits,
    /// What `/livez` and `/readyz` check.
    pub health: Health,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// How many bytes the body of a request may have.
    pub body_limit: usize,
    /// How long a request may take that is no watch.
    pub deadline: Duration,
    /// Whether requests are logged for those only who look closely: a process that talks to itself says much.
    pub quiet: bool,
    /// Who hears messages of Git servers; without, they are none of this server's paths.
    pub webhooks: Option<Hear>,
    /// Who judges what kube-apiserver asks of Repositories; without, that is none of this server's paths.
    pub admission: Option<Judge>,
    /// Makes `/readyz` fail when it is cancelled, so that others are asked, while everything is still answered.
    pub leaving: CancellationToken,
    /// Ends all watches, and makes `/readyz` fail, when it is cancelled.
    pub stop: CancellationToken,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authenticator: Authenticator::new(),
            authorizer: Authorizer::default(),
            limits: Limits::default(),
            health: Health::new(),
            metrics: Metrics::new(),
            body_limit: 6 * 1024 * 1024,
            deadline: Duration::from_mins(1),
            quiet: false,
            webhooks: None,
            admission: None,
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }
}

/// The server. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// What all requests share.
pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) pages: pages::Pages,
    places: Places,
    pub(super) settings: Settings,
}

/// What is said of a request in log and metrics.
struct Record {
    labels: Labels,
    user: String,
    watch: bool,
}

impl Server {
    /// Returns a server of what is in `registry`.
    #[must_use]
    pub fn new(registry: Registry, mut settings: Settings) -> Self {
        let (leaving, stop) = (settings.leaving.clone(), settings.stop.clone());
        settings.health = settings.health.ready("shutdown", move || {
            if leaving.is_cancelled() || stop.is_cancelled() {
                return Err("process is shutting down".into());
            }
            Ok(())
        });
        let pages = pages::Pages::of(&registry);
        Self(Arc::new(Shared {
            registry,
            pages,
            places: Places::new(settings.limits),
            settings,
        }))
    }

    /// Returns what ends this server's watches.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.0.settings.stop
    }

    /// Answers a request. An [`Identity`] among its extensions is believed: only this process can put it there.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let audit = audit_id(&parts.headers);
        let words = negotiate::of_refusals(&parts.headers);
        let trace = Trace::of(&parts.headers);
        let begun = Instant::now();
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let span = trace.span(&method, &path);
        let mut record = Record::new(&parts.method);
        let mut body = Some(Body::new(body));
        let answering = self.0.receive(parts, &mut body, &mut record);
        let answered = AssertUnwindSafe(answering).catch_unwind();
        let answered = answered.instrument(span.clone()).await;
        if let Some(unwanted) = body {
            body::discard(unwanted).await;
        }
        let outcome = answered
            .unwrap_or_else(|_| Err(Failure::Internal("a request made the server panic".into())));
        let mut response =
            outcome.unwrap_or_else(|failure| span.in_scope(|| answer::refuse(&failure, words)));
        if method == Method::HEAD {
            // Whoever asks for the head alone must not be sent more (RFC 9110 §9.3.2); HTTP/2 makes an error of it.
            *response.body_mut() = Body::empty();
        }
        let headers = response.headers_mut();
        headers.insert("audit-id", audit);
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache, private"));
        let (took, code) = (begun.elapsed(), response.status().as_u16());
        self.0.settings.metrics.answered(&record.labels, code, took);
        Trace::answered(&span, code);
        let (user, watch) = (&record.user, record.watch);
        span.in_scope(|| {
            if self.0.settings.quiet {
                tracing::debug!(%method, path, code, ?took, user, watch, "answered");
            } else {
                tracing::info!(%method, path, code, ?took, user, watch, "answered");
            }
        });
        response
    }
}

impl<B> tower::Service<Request<B>> for Server
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}

impl Record {
    fn new(method: &Method) -> Self {
        let labels = Labels {
            verb: if *method == Method::GET {
                "GET"
            } else {
                "other"
            }
            .into(),
            component: "apiserver".into(),
            ..Labels::default()
        };
        Self {
            labels,
            user: String::new(),
            watch: false,
        }
    }

    /// Notes what is done with which objects; only of kinds that are served, so that callers can't invent labels.
    fn note(&mut self, action: Action, place: &Place, headers: &HeaderMap, query: &Query) {
        let apply = negotiate::is_apply(headers);
        let verb = match action {
            Action::Get => "GET",
            Action::List => "LIST",
            Action::Watch => "WATCH",
            Action::Create => "POST",
            Action::Update => "PUT",
            Action::Patch if apply => "APPLY",
            Action::Patch => "PATCH",
            Action::Delete => "DELETE",
            Action::DeleteCollection => "DELETECOLLECTION",
        };
        let scope = match (place.name.is_empty(), place.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        let dry_run = query.get("dryRun").filter(|text| *text == "All");
        self.watch = action == Action::Watch;
        self.labels = Labels {
            verb: verb.into(),
            dry_run: dry_run.unwrap_or_default().into(),
            group: place.group.clone(),
            version: place.version.clone(),
            resource: place.resource.clone(),
            subresource: place.subresource.clone(),
            scope: scope.into(),
            component: "apiserver".into(),
        };
    }
}

impl Shared {
    /// Answers a request: a message of a Git server, what kube-apiserver asks of Repositories, or what clients of the API ask.
    async fn receive(
        &self,
        parts: Parts,
        body: &mut Option<Body>,
        record: &mut Record,
    ) -> Result<Response<Body>, Failure> {
        if let Some(hear) = &self.settings.webhooks
            && let Some(rest) = webhook::below(parts.uri.path())
        {
            let deadline = Instant::now() + self.settings.deadline;
            return within(deadline, webhook::take(hear, &parts, rest, body)).await;
        }
        if let Some(judge) = &self.settings.admission
            && parts.uri.path() == admission::PATH
        {
            let deadline = Instant::now() + self.settings.deadline;
            let bounded = (body, self.settings.body_limit);
            return within(deadline, admission::answer(judge, &parts, bounded)).await;
        }
        self.answer(parts, body, record).await
    }

    async fn answer(
        &self,
        parts: Parts,
        body: &mut Option<Body>,
        record: &mut Record,
    ) -> Result<Response<Body>, Failure> {
        let target = Target::parse(parts.uri.path())?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let known = Instant::now() + self.settings.deadline;
        let user = within(known, self.identify(&parts, &target)).await?;
        record.user.clone_from(&user.user);
        let deadline = Instant::now() + query.deadline(self.settings.deadline)?;
        let place = match target {
            Target::Objects(place) => place,
            Target::Page(segments) => {
                let page = pages::page(self, &parts, &query, &segments, &user);
                return within(deadline, page).await;
            }
        };
        let (endpoint, action) = match route(&self.registry, &place, &parts.method, &query) {
            Ok(found) => found,
            Err(failure) => {
                within(deadline, self.may_know(&parts, &user)).await?;
                return Err(failure);
            }
        };
        record.note(action, &place, &parts.headers, &query);
        let seat = self.places.take(action, &user)?;
        let attributes = Attributes::Objects(action, &place, &query);
        let allowed = self.settings.authorizer.check(&user, &attributes);
        within(deadline, allowed).await?;
        let plain = endpoint.resource.kind().is_plain(&place.subresource);
        let format = negotiate::format(&parts.headers, &query, action, plain)?;
        let ask = Ask {
            place,
            query,
            format,
        };
        if action == Action::Watch {
            let watching = Watching {
                stop: self.settings.stop.clone(),
                watched: self.settings.metrics.watched(&record.labels),
                seat,
            };
            let events = endpoint.resource.watch(ask, watching).await?;
            return Ok(answer::write(events, format).await);
        }
        let mutating = !matches!(action, Action::Get | Action::List);
        let _counted = self.settings.metrics.inflight(mutating);
        let creation = within(deadline, self.may_create(&parts, &user, &ask)).await;
        let body = verbs::Body {
            headers: parts.headers,
            stream: body.take().unwrap_or_default(),
            limit: self.settings.body_limit,
            user,
            may_not_create: creation.err(),
            deadline,
        };
        within(deadline, perform(endpoint, action, ask, body)).await
    }

    /// Returns if `user` may make the object that it applies, should it not be there; nobody else is asked about.
    async fn may_create(&self, parts: &Parts, user: &Identity, ask: &Ask) -> Result<(), Failure> {
        let applies = parts.method == Method::PATCH && negotiate::is_apply(&parts.headers);
        if !applies || !ask.place.subresource.is_empty() {
            return Ok(());
        }
        let attributes = Attributes::Objects(Action::Create, &ask.place, &ask.query);
        self.settings.authorizer.check(user, &attributes).await
    }

    /// Returns if `user` may know that there is nothing where it asks.
    async fn may_know(&self, parts: &Parts, user: &Identity) -> Result<(), Failure> {
        let verb = parts.method.as_str().to_ascii_lowercase();
        let path = parts.uri.path();
        let attributes = Attributes::Page { verb: &verb, path };
        self.settings.authorizer.check(user, &attributes).await
    }

    /// Returns who asks. Nobody needs to be known to ask whether the server lives.
    async fn identify(&self, parts: &Parts, target: &Target) -> Result<Identity, Failure> {
        if let Some(identity) = parts.extensions.get::<Identity>() {
            return Ok(identity.clone());
        }
        match self.settings.authenticator.identify(parts).await? {
            Some(identity) => Ok(identity),
            None if pages::is_open(target) => Ok(Identity::anonymous()),
            None => Err(Failure::Unauthorized),
        }
    }
}

/// Returns what `doing` comes to, if it does so in time.
async fn within<T>(
    deadline: Instant,
    doing: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = tokio::time::timeout_at(deadline, doing).await;
    done.map_err(|_| Failure::Timeout)?
}

/// Does what is asked of objects, and writes it out: all but watches.
async fn perform(
    endpoint: &Endpoint,
    action: Action,
    ask: Ask,
    body: verbs::Body,
) -> Result<Response<Body>, Failure> {
    let format = ask.format;
    let (done, warnings) = match action {
        Action::Get => (endpoint.resource.get(ask).await?, Vec::new()),
        Action::List | Action::Watch => (endpoint.resource.list(ask).await?, Vec::new()),
        _ => change(endpoint, action, ask, body).await?,
    };
    let mut response = answer::write(done, format).await;
    for value in bounded(warnings).iter().filter_map(|text| warning(text)) {
        response.headers_mut().append(header::WARNING, value);
    }
    Ok(response)
}

async fn change(
    endpoint: &Endpoint,
    action: Action,
    ask: Ask,
    body: verbs::Body,
) -> Result<(Answer, Vec<String>), Failure> {
    let Some(writer) = endpoint.writer.clone() else {
        return Err(Failure::MethodNotAllowed { allow: Vec::new() });
    };
    verbs::write(endpoint.resource.kind(), writer, action, ask, body).await
}

/// Returns each sentence once, as long as they fit into the head of an answer; then all are short, and the rest is left
/// out (kube-apiserver's limits).
fn bounded(warnings: Vec<String>) -> Vec<String> {
    let (most, short) = (4096, 256);
    let mut seen = BTreeSet::new();
    let mut kept: Vec<String> = warnings
        .into_iter()
        .filter(|text| seen.insert(text.clone()))
        .collect();
    let length = |texts: &[String]| texts.iter().map(|text| text.chars().count()).sum::<usize>();
    if length(&kept) > most {
        for text in &mut kept {
            *text = text.chars().take(short).collect();
        }
        while length(&kept) > most {
            kept.pop();
        }
    }
    kept
}

/// Returns the value of a `Warning` header that says `text`.
fn warning(text: &str) -> Option<HeaderValue> {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    HeaderValue::from_bytes(format!("299 - \"{text}\"").as_bytes()).ok()
}

/// Returns the id under which a request is known everywhere: the caller's, or a new one.
fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get("audit-id").filter(|id| id.len() <= 64);
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().to_string();
        HeaderValue::try_from(id).expect("a UUID is made of letters, digits and hyphens")
    })
}
