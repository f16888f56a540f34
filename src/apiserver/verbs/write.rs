//! Everything that changes something: the body is read and made JSON, the query is checked, and a writer does the rest.

use std::sync::Arc;

use axum::body::Body as Stream;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::Ask;
use crate::{
    apiserver::{
        Caller, Failure, FieldError, Identity, Kind, PatchKind, Reply, Subject, Verb, Write,
        WriteOptions, Written,
        answer::Answer,
        body,
        document::Document,
        endpoint::AnyWriter,
        negotiate::{self, View},
        request::Action,
        view::partial_of,
    },
    yaml,
};

/// What `kubectl create secret` and its like send.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The body of a writing request, not read yet.
pub(in crate::apiserver) struct Body {
    pub(in crate::apiserver) headers: HeaderMap,
    pub(in crate::apiserver) stream: Stream,
    /// How many bytes it may have.
    pub(in crate::apiserver) limit: usize,
    /// Who sent it.
    pub(in crate::apiserver) user: Identity,
    /// Why it may not make what is not there, if it may not; asked of those who apply.
    pub(in crate::apiserver) may_not_create: Option<Failure>,
    /// When it is told that it took too long.
    pub(in crate::apiserver) deadline: Instant,
}

/// Does what the request asks for, and returns what came of it, with warnings.
pub(in crate::apiserver) async fn write(
    kind: &Kind,
    writer: Arc<dyn AnyWriter>,
    action: Action,
    ask: Ask,
    body: Body,
) -> Result<(Answer, Vec<String>), Failure> {
    let Body {
        headers,
        stream,
        limit,
        user,
        may_not_create,
        deadline,
    } = body;
    // Read first, whatever is wrong with the rest: who still writes may not see the answer.
    let body = body::read(&headers, stream, limit).await?;
    let media = negotiate::content_type(&headers);
    let verb = verb(action, &media, writer.patches())?;
    let manager = manager(&headers);
    let options = options(verb, &ask, manager)?;
    let (body, complaints) = if media == PROTOBUF {
        let read = writer.protobuf(&body);
        let read = read.unwrap_or_else(|| Err(unknown_media("application/json, application/yaml")));
        (read?, Vec::new())
    } else {
        to_json(kind, verb, &media, body)?
    };
    let caller = Caller::until(deadline);
    let _waiting = caller.wait();
    let write = Write {
        verb,
        namespace: ask.place.namespace,
        name: ask.place.name,
        subresource: ask.place.subresource,
        body,
        complaints,
        options,
        user,
        caller,
        may_not_create,
    };
    // A task of its own: what is begun is finished, even if nobody waits for it any more. Who has gone before is one who
    // the writer may leave.
    let done = tokio::spawn(async move { writer.write(write).await }).await;
    let Reply { written, warnings } =
        done.map_err(|error| Failure::Internal(error.to_string()))??;
    Ok((answer(written, ask.format.view), warnings))
}

fn answer(written: Written, view: View) -> Answer {
    let shown = |body: Bytes| match view {
        View::Partial if !is_status(&body) => {
            partial_of(&body).map_or(body, bytes::BytesMut::freeze)
        }
        _ => body,
    };
    match written {
        Written::Created(body) => Answer::Created(shown(body)),
        Written::Updated(body) | Written::Deleted(body) => Answer::Document(shown(body)),
    }
}

fn is_status(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    serde_json::from_slice(body).is_ok_and(|Kind { kind }| kind == "Status")
}

fn verb(action: Action, media: &str, patches: &[PatchKind]) -> Result<Verb, Failure> {
    if action == Action::Patch {
        let found = patches.iter().find(|patch| patch.media_type() == media);
        return found.map(|patch| Verb::Patch(*patch)).ok_or_else(|| {
            let known: Vec<_> = patches.iter().map(|patch| patch.media_type()).collect();
            unknown_media(&known.join(", "))
        });
    }
    if !matches!(media, "application/json" | "application/yaml" | PROTOBUF) {
        return Err(unknown_media("application/json, application/yaml"));
    }
    Ok(match action {
        Action::Create => Verb::Create,
        Action::Delete => Verb::Delete,
        Action::DeleteCollection => Verb::DeleteCollection,
        _ => Verb::Update,
    })
}

fn unknown_media(known: &str) -> Failure {
    Failure::UnsupportedMediaType(format!(
        "the body of the request was in an unknown format - accepted media types include: {known}"
    ))
}

fn options(verb: Verb, ask: &Ask, manager: String) -> Result<WriteOptions, Failure> {
    let kind = match verb {
        Verb::Create => "CreateOptions",
        Verb::Update => "UpdateOptions",
        Verb::Patch(_) => "PatchOptions",
        Verb::Delete | Verb::DeleteCollection => "DeleteOptions",
    };
    let mut options = ask.query.write_options(kind)?;
    let applies = verb == Verb::Patch(PatchKind::Apply);
    if matches!(verb, Verb::Patch(_)) && !applies && ask.query.get("force").is_some() {
        let detail = "may not be specified for non-apply patch";
        return Err(Failure::Invalid {
            subject: Subject::new("meta.k8s.io", kind, ""),
            errors: vec![FieldError::forbidden("force", detail)],
        });
    }
    if options.field_manager.is_empty() && !applies {
        options.field_manager = manager;
    }
    Ok(options)
}

/// Who manages fields if the client does not say who it is, as kube-apiserver has it.
const UNKNOWN: &str = "unknown";

/// Returns the client's name, which manages fields if nobody else is named.
fn manager(headers: &HeaderMap) -> String {
    let agent = headers
        .get(header::USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .unwrap_or_default();
    let name = agent.split(['/', ' ']).next().unwrap_or_default();
    let mut name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let end = name.floor_char_boundary(128);
    name.truncate(end);
    if name.is_empty() {
        return UNKNOWN.into();
    }
    name
}

/// Returns the body as JSON, with what a strict reader has against it as YAML. What it says is the writer's to judge; that
/// it says something is checked here.
fn to_json(
    kind: &Kind,
    verb: Verb,
    media: &str,
    body: Bytes,
) -> Result<(Bytes, Vec<String>), Failure> {
    let deletes = matches!(verb, Verb::Delete | Verb::DeleteCollection);
    if body.is_empty() && deletes {
        return Ok((body, Vec::new()));
    }
    let refuse = |why: &str| {
        Failure::BadRequest(match verb {
            Verb::Patch(_) => format!("error decoding patch: {why}"),
            _ if body.is_empty() => unrecognized(kind, "unexpected end of input", "<empty>"),
            _ => unrecognized(kind, why, &excerpt(&body)),
        })
    };
    let Err(error) = serde_json::from_slice::<IgnoredAny>(&body) else {
        return Ok((body, Vec::new()));
    };
    if !media.ends_with("yaml") {
        return Err(refuse(&error.to_string()));
    }
    let text = str::from_utf8(&body).map_err(|error| refuse(&error.to_string()))?;
    let read = yaml::from_str_with_duplicates(text);
    let read: Document = read.map_err(|error| refuse(&error.to_string()))?;
    Ok((read.value.to_string().into(), read.complaints))
}

fn unrecognized(kind: &Kind, why: &str, excerpt: &str) -> String {
    let kind = &kind.kind;
    format!("the object provided is unrecognized (must be of type {kind}): {why} ({excerpt})")
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(64)]);
    format!("{text:?}")
}
