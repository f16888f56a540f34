//! Bodies of requests: read whole up to a limit, or got rid of. Nothing here knows what they say.
//!
//! A caller that is told something before it has sent all takes it for a broken connection, or never sees it; so what
//! nobody wants is read too, but neither for long nor for ever, and it is kept nowhere.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Failure;

/// How many bytes that nobody wants are read.
const UNWANTED: usize = 32 * 1024 * 1024;
/// How long they are waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Returns a body of at most `limit` bytes.
///
/// # Errors
/// [`Failure::TooLarge`]; [`Failure::BadRequest`] if it ends before its end.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
) -> Result<Bytes, Failure> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let announced = length.and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        discard(body).await;
        return Err(Failure::TooLarge(limit));
    }
    match Limited::new(&mut body, limit).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if is_too_long(error.as_ref()) => {
            discard(body).await;
            Err(Failure::TooLarge(limit))
        }
        Err(_) => Err(Failure::BadRequest(
            "the body of the request ended early".into(),
        )),
    }
}

/// Reads what is left of a body that nobody wants.
pub(super) async fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    let reading = async {
        let mut left = UNWANTED;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
    };
    // Whatever comes of it, the answer is the same.
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        if one.is::<LengthLimitError>() {
            return true;
        }
        error = one.source();
    }
    false
}
