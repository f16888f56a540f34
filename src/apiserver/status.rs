//! What a caller is told when it does not get what it asked for. The only place with HTTP status codes.
//!
//! In comes a [`Failure`], named by its meaning; out goes a `metav1.Status` in the exact forms that Kubernetes' clients
//! parse (k8s.io/apimachinery `pkg/api/errors`). The text of an internal failure goes to the log and never to the caller.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{Cause, Failure, FieldError, Subject};

/// What a caller is told when it gets an answer that is no [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Here it is.
    Ok,
    /// It is new.
    Created,
    /// The caller has it already.
    NotModified,
    /// Here is what is wrong with this server.
    Unhealthy,
}

impl Outcome {
    /// Returns the HTTP status.
    pub(super) fn code(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Created => StatusCode::CREATED,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Unhealthy => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A failure in the words of `metav1.Status`.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The HTTP status.
    pub code: StatusCode,
    /// One word for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What it is about; `None` leaves it out.
    pub details: Option<Map<String, Value>>,
    /// A token in `metadata.continue`.
    continue_token: Option<String>,
}

impl Told {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    fn about(mut self, details: Map<String, Value>) -> Self {
        self.details = Some(details);
        self
    }

    fn because(mut self, causes: &[Cause]) -> Self {
        if !causes.is_empty() {
            let causes: Vec<Value> = causes.iter().map(Cause::to_json).collect();
            self.details
                .get_or_insert_default()
                .insert("causes".into(), causes.into());
        }
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.details
            .get_or_insert_default()
            .insert("retryAfterSeconds".into(), seconds.into());
        self
    }

    /// Returns the `metav1.Status`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let metadata = match &self.continue_token {
            Some(token) => json!({ "continue": token }),
            None => json!({}),
        };
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let Some(details) = &self.details {
            status["details"] = Value::Object(details.clone());
        }
        status
    }
}

/// Returns the status of what may not be, for kube-apiserver to tell: the reason is no word of Kubernetes'.
pub(super) fn denied(reason: &'static str, message: &str) -> Value {
    Told::new(StatusCode::FORBIDDEN, reason, message).to_json()
}

impl From<&Failure> for Told {
    fn from(failure: &Failure) -> Self {
        use Failure as F;
        use StatusCode as S;
        match failure {
            F::BadRequest(message) => Self::new(S::BAD_REQUEST, "BadRequest", message),
            F::Unauthorized => Self::new(S::UNAUTHORIZED, "Unauthorized", "Unauthorized"),
            F::Forbidden {
                subject,
                why,
                causes,
            } => forbidden(subject, why).because(causes),
            F::NotFound(_) | F::NoRoute | F::MethodNotAllowed { .. } | F::NotSupported { .. } => {
                unroutable(failure)
            }
            F::NotAcceptable(message) => Self::new(S::NOT_ACCEPTABLE, "NotAcceptable", message),
            F::UnsupportedMediaType(message) => {
                Self::new(S::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
            }
            F::TooLarge(limit) => too_large(format!("Request entity too large: limit is {limit}")),
            F::TooMuch(message) => too_large(message.clone()),
            F::AlreadyExists(_)
            | F::NameTaken(_)
            | F::Conflict { .. }
            | F::ApplyConflict { .. } => conflict(failure),
            F::Invalid { subject, errors } => invalid(subject, errors),
            F::Unprocessable => Self::new(
                S::UNPROCESSABLE_ENTITY,
                "Invalid",
                "the server rejected our request due to an error in our request",
            )
            .about(Map::new()),
            F::Expired {
                message,
                continue_token,
            } => Self {
                continue_token: continue_token.clone(),
                ..Self::new(S::GONE, "Expired", message)
            },
            F::TooNew { .. }
            | F::Timeout
            | F::TooManyRequests(_)
            | F::Unavailable { .. }
            | F::Internal(_) => later(failure),
        }
    }
}

fn forbidden(subject: &Subject, why: &str) -> Told {
    let mut who = subject.qualified();
    if !subject.name.is_empty() {
        who = format!("{who} {:?}", subject.name);
    }
    let message = if who.is_empty() {
        format!("forbidden: {why}")
    } else {
        format!("{who} is forbidden: {why}")
    };
    Told::new(StatusCode::FORBIDDEN, "Forbidden", message).about(subject.details())
}

fn unroutable(failure: &Failure) -> Told {
    let (missing, refused) = (StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED);
    match failure {
        Failure::NotFound(subject) => {
            let message = format!("{} {:?} not found", subject.qualified(), subject.name);
            Told::new(missing, "NotFound", message).about(subject.details())
        }
        Failure::NotSupported {
            action, subject, ..
        } => {
            let kind = subject.qualified();
            let message = format!("{action} is not supported on resources of kind {kind:?}");
            Told::new(refused, "MethodNotAllowed", message).about(subject.details())
        }
        Failure::MethodNotAllowed { .. } => {
            let message = "the server does not allow this method on the requested resource";
            Told::new(refused, "MethodNotAllowed", message).about(Map::new())
        }
        _ => {
            let message = "the server could not find the requested resource";
            Told::new(missing, "NotFound", message).about(Map::new())
        }
    }
}

fn too_large(message: String) -> Told {
    Told::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        message,
    )
}

fn conflict(failure: &Failure) -> Told {
    let code = StatusCode::CONFLICT;
    let exists = |subject: &Subject, more: &str| {
        let who = subject.qualified();
        let message = format!("{who} {:?} already exists{more}", subject.name);
        Told::new(code, "AlreadyExists", message).about(subject.details())
    };
    match failure {
        Failure::AlreadyExists(subject) => exists(subject, ""),
        Failure::NameTaken(subject) => {
            let more = ", the server was not able to generate a unique name for the object";
            exists(subject, more).retry_after(1)
        }
        Failure::Conflict { subject, why } => {
            let who = subject.qualified();
            let message = format!(
                "Operation cannot be fulfilled on {who} {:?}: {why}",
                subject.name
            );
            Told::new(code, "Conflict", message).about(subject.details())
        }
        Failure::ApplyConflict { message, causes } => {
            Told::new(code, "Conflict", message.clone()).because(causes)
        }
        other => Told::new(code, "Conflict", format!("{other:?}")),
    }
}

fn invalid(subject: &Subject, errors: &[FieldError]) -> Told {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect();
    let text = match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    let message = format!(
        "{} {:?} is invalid: {text}",
        subject.qualified(),
        subject.name
    );
    let causes: Vec<Cause> = errors.iter().map(FieldError::cause).collect();
    Told::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
        .about(subject.details())
        .because(&causes)
}

fn later(failure: &Failure) -> Told {
    match failure {
        Failure::TooNew { asked, current } => {
            let message =
                format!("Timeout: Too large resource version: {asked}, current: {current}");
            let cause = Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            };
            Told::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
                .because(&[cause])
                .retry_after(1)
        }
        Failure::Timeout => {
            let message = "Timeout: request did not complete within requested timeout - context deadline exceeded";
            Told::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).about(Map::new())
        }
        Failure::TooManyRequests(message) => Told::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            message.clone(),
        )
        .retry_after(1),
        Failure::Unavailable {
            message,
            retry_after,
        } => Told::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message.clone(),
        )
        .retry_after((*retry_after).max(1)),
        _ => Told::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "Internal error occurred: look in the server's log for details",
        ),
    }
}

/// Returns the headers that a failure needs beside its body: `Retry-After`, `Allow`, `WWW-Authenticate`.
#[must_use]
pub fn headers(failure: &Failure, told: &Told) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let seconds = told
        .details
        .as_ref()
        .and_then(|details| details.get("retryAfterSeconds"));
    if let Some(seconds) = seconds.and_then(Value::as_u64) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    let allow = match failure {
        Failure::MethodNotAllowed { allow } | Failure::NotSupported { allow, .. } => {
            Some(allow.join(", "))
        }
        _ => None,
    };
    if let Some(Ok(allow)) = allow.map(HeaderValue::try_from) {
        headers.insert(header::ALLOW, allow);
    }
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    headers
}
