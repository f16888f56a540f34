//! What kube-apiserver asks before it keeps a Repository (`admission.k8s.io/v1` `AdmissionReview`). In comes a POST, bounded;
//! what is wanted goes to whoever can judge it; out goes yes, or no with the reason. Nothing is changed, so a dry run is
//! judged alike. Whoever reaches the port can ask: kube-apiserver shows no proof of who it is.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Method, Response, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    Failure, body, pages,
    status::{self, Outcome},
};

/// Where questions about Repositories go; upstream's path.
pub(super) const PATH: &str = "/validate-repository";
/// The only version of the question that there is.
const VERSION: &str = "admission.k8s.io/v1";
/// How many questions are judged at once: nobody proved who asks.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(32));

/// What a user wants.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The object as it would be.
    pub object: Value,
    /// As it is; nothing if it is new.
    pub before: Option<Value>,
}

/// Why a user does not get what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// One word for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// Returns why something may not be, if it may not; an error, for the log alone, if that can't be told.
pub type Judge =
    Arc<dyn Fn(Proposal) -> BoxFuture<'static, Result<Option<Denial>, String>> + Send + Sync>;

/// The question, as far as it is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Question,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    uid: String,
    operation: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

/// Answers a question.
///
/// # Errors
/// [`Failure::BadRequest`] for what is none; [`Failure::Unavailable`] if it can't be judged now: kube-apiserver then does as
/// its configuration says.
pub(super) async fn answer(
    judge: &Judge,
    parts: &Parts,
    (stream, limit): (&mut Option<Body>, usize),
) -> Result<Response<Body>, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::MethodNotAllowed {
            allow: vec!["POST"],
        });
    }
    let Ok(_place) = PLACES.try_acquire() else {
        let words = "Too many requests, please try again later.";
        return Err(Failure::TooManyRequests(words.into()));
    };
    let stream = stream.take().unwrap_or_default();
    // Both objects are in it, and the review around them.
    let body = body::read(&parts.headers, stream, limit.saturating_mul(2)).await?;
    let review: Review = serde_json::from_slice(&body)
        .map_err(|error| Failure::BadRequest(format!("this is no AdmissionReview: {error}")))?;
    if (&*review.api_version, &*review.kind) != (VERSION, "AdmissionReview") {
        let known = format!("only AdmissionReviews of {VERSION} are answered");
        return Err(Failure::BadRequest(known));
    }
    let uid = review.request.uid.clone();
    let mut response = json!({ "uid": uid, "allowed": true });
    if let Some(proposal) = review.request.proposal()
        && let Some(denial) = judge(proposal).await.map_err(|why| unavailable(&why))?
    {
        response["allowed"] = false.into();
        response["status"] = status::denied(denial.reason, &denial.message);
    }
    let review = json!({ "apiVersion": VERSION, "kind": "AdmissionReview", "response": response });
    Ok(pages::text(
        Outcome::Ok,
        review.to_string(),
        "application/json",
    ))
}

fn unavailable(why: &str) -> Failure {
    tracing::warn!(why, "a Repository could not be judged");
    Failure::Unavailable {
        message: "the Repositories of the cluster can't be read now".into(),
        retry_after: 1,
    }
}

impl Question {
    /// Returns what is wanted; nothing if nothing would be there afterwards.
    fn proposal(self) -> Option<Proposal> {
        let before = match &*self.operation {
            "CREATE" => None,
            "UPDATE" => Some(self.old_object),
            _ => return None,
        };
        Some(Proposal {
            object: self.object,
            before,
        })
    }
}
