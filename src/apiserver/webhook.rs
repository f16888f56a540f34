//! Messages of Git servers that something was pushed. In comes a POST from anybody, bounded; it goes to whoever can tell
//! whether it is genuine; out goes yes or no, and nothing else: not which repositories there are.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Response, request::Parts};
use tokio::sync::Semaphore;

use super::{Failure, body, pages, status::Outcome};

/// Where messages go; what follows names a Repository, if anything does.
const PATH: &str = "/webhooks/git";
/// The longest message, in bytes: servers leave out commits long before.
const LONGEST: usize = 4 << 20;
/// How many messages are taken in at once: nobody proved who sends them.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(16));

/// What a Git server says.
#[derive(Clone, Debug)]
pub struct Message {
    /// Namespace and name of the Repository that the path names, if it names one.
    pub repository: Option<(String, String)>,
    /// Who it says that it is, and how it proves it.
    pub headers: HeaderMap,
    /// What it says.
    pub body: Bytes,
}

/// Returns whether a message is believed. It must not say more, and must not take long.
pub type Hear = Arc<dyn Fn(Message) -> BoxFuture<'static, bool> + Send + Sync>;

/// Returns what is named behind the path of messages; nothing if it is another path.
pub(super) fn below(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(PATH)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

/// Takes in a message.
///
/// # Errors
/// [`Failure::Unauthorized`] for what is not believed, whyever.
pub(super) async fn take(
    hear: &Hear,
    parts: &Parts,
    rest: &str,
    stream: &mut Option<Body>,
) -> Result<Response<Body>, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::MethodNotAllowed {
            allow: vec!["POST"],
        });
    }
    let repository = match rest.split_once('/') {
        None if rest.is_empty() => None,
        Some((namespace, name)) if !namespace.is_empty() && !name.contains('/') => {
            Some((namespace.to_owned(), name.to_owned()))
        }
        _ => return Err(Failure::Unauthorized),
    };
    let Ok(_place) = PLACES.try_acquire() else {
        let words = "Too many requests, please try again later.";
        return Err(Failure::TooManyRequests(words.into()));
    };
    let stream = stream.take().unwrap_or_default();
    let body = body::read(&parts.headers, stream, LONGEST).await?;
    let message = Message {
        repository,
        headers: parts.headers.clone(),
        body,
    };
    if hear(message).await {
        return Ok(pages::text(
            Outcome::Ok,
            "ok\n",
            "text/plain; charset=utf-8",
        ));
    }
    Err(Failure::Unauthorized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_messages_and_what_is_below_it_is_theirs() {
        for (path, rest) in [
            ("/webhooks/git", Some("")),
            ("/webhooks/git/", Some("")),
            ("/webhooks/git/team/r", Some("team/r")),
            ("/webhooks/github", None),
            ("/webhooks", None),
            ("/apis/webhooks/git", None),
        ] {
            assert_eq!(below(path), rest, "{path}");
        }
    }
}
