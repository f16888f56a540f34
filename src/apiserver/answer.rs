//! The one place where answers are written out: JSON, YAML, pretty or packed.
//!
//! In comes what a verb made, an [`Answer`], and the form that the caller accepts; out goes the HTTP response. A watch is
//! never touched; a large list goes through in pieces, and is never held as a whole unless somebody wants YAML.

use std::io::Write as _;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, stream, stream::BoxStream};
use http::{HeaderValue, Response, header};
use serde_json::Value;

use super::{
    Failure, Told,
    negotiate::{Encoding, Format},
    status::{self, Outcome},
};

/// Bodies that come in pieces.
pub(super) type Pieces = BoxStream<'static, Result<Bytes, axum::BoxError>>;

/// What a verb made.
pub(super) enum Answer {
    /// One JSON document.
    Document(Bytes),
    /// The same, of something new.
    Created(Bytes),
    /// A JSON document in pieces.
    Pieces(Pieces),
    /// Events without end.
    Events(Pieces),
}

/// Bodies larger than this are packed for those who can unpack them, as kube-apiserver does.
const PACK: usize = 128 * 1024;

/// Returns the response that `answer` is, in the form that the caller accepts.
pub(super) async fn write(answer: Answer, format: Format) -> Response<Body> {
    let (success, pieces) = match answer {
        Answer::Document(body) => return document(Outcome::Ok, body, format),
        Answer::Created(body) => return document(Outcome::Created, body, format),
        Answer::Events(events) => return events_of(events),
        Answer::Pieces(pieces) => (Outcome::Ok, pieces),
    };
    if format.pretty || format.encoding == Encoding::Yaml {
        return match collect(pieces).await {
            Ok(body) => document(success, body, format),
            Err(error) => broken(error.to_string()),
        };
    }
    let (head, rest) = match begin(pieces).await {
        Ok(Begun::All(body)) => return document(success, body, format),
        Ok(Begun::More(head, rest)) => (head, rest),
        Err(error) => return broken(error.to_string()),
    };
    let all = stream::iter(head.into_iter().map(Ok)).chain(rest);
    let packed = format.gzip;
    let body = if packed {
        Body::from_stream(pack(all.boxed()))
    } else {
        Body::from_stream(all)
    };
    finish(success, body, Encoding::Json, packed)
}

/// Returns the response that tells a caller why it does not get what it asked for. What is internal goes to the log.
pub(super) fn refuse(failure: &Failure, encoding: Encoding) -> Response<Body> {
    let told = Told::from(failure);
    if let Failure::Internal(why) = failure {
        tracing::error!(%why, "request failed");
    }
    let status = told.to_json();
    let in_yaml = match encoding {
        Encoding::Json => None,
        Encoding::Yaml => serde_saphyr::to_string(&status).ok(),
    };
    let media = if in_yaml.is_some() { YAML } else { JSON };
    let body = in_yaml.unwrap_or_else(|| format!("{status}\n"));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = told.code;
    *response.headers_mut() = status::headers(failure, &told);
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Returns the response for one to whom the server owes an answer and can't make it.
fn broken(why: String) -> Response<Body> {
    refuse(&Failure::Internal(why), Encoding::Json)
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// The beginning of a body in pieces: all of it, or more than is packed, and what follows.
enum Begun {
    All(Bytes),
    More(Vec<Bytes>, Pieces),
}

async fn begin(mut pieces: Pieces) -> Result<Begun, axum::BoxError> {
    let mut head = Vec::new();
    let mut length = 0;
    while length <= PACK {
        let Some(piece) = pieces.next().await else {
            let all: Vec<u8> = head.concat();
            return Ok(Begun::All(all.into()));
        };
        let piece = piece?;
        length += piece.len();
        head.push(piece);
    }
    Ok(Begun::More(head, pieces))
}

async fn collect(mut pieces: Pieces) -> Result<Bytes, axum::BoxError> {
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all.freeze())
}

fn events_of(events: Pieces) -> Response<Body> {
    finish(
        Outcome::Ok,
        Body::from_stream(events),
        Encoding::Json,
        false,
    )
}

/// Returns `body`, one JSON document, in the form that the caller accepts.
pub(super) fn document(success: Outcome, body: Bytes, format: Format) -> Response<Body> {
    let body = match dress(body, format) {
        Ok(body) => body,
        Err(error) => return broken(error),
    };
    let packed = format.gzip && body.len() > PACK;
    let body = if packed { pack_whole(&body) } else { body };
    finish(success, Body::from(body), format.encoding, packed)
}

fn dress(body: Bytes, format: Format) -> Result<Bytes, String> {
    if format.encoding == Encoding::Yaml {
        let value: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let text = serde_saphyr::to_string(&value).map_err(|error| error.to_string())?;
        return Ok(text.into());
    }
    if format.pretty {
        let value: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        return serde_json::to_vec_pretty(&value)
            .map(Bytes::from)
            .map_err(|error| error.to_string());
    }
    if body.ends_with(b"\n") {
        return Ok(body);
    }
    let mut line = BytesMut::from(body);
    line.extend_from_slice(b"\n");
    Ok(line.freeze())
}

fn finish(success: Outcome, body: Body, encoding: Encoding, packed: bool) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = success.code();
    let media = match encoding {
        Encoding::Json => JSON,
        Encoding::Yaml => YAML,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let vary = HeaderValue::from_static("Accept-Encoding");
        headers.insert(header::VARY, vary);
    }
    response
}

fn pack_whole(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body);
    written
        .and_then(|()| encoder.finish())
        .expect("a vector takes whatever is written to it")
        .into()
}

/// What is left to be packed: the pieces, and the packer until the last of them.
struct Packing {
    pieces: Pieces,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

fn pack(pieces: Pieces) -> Pieces {
    let packing = Packing {
        pieces,
        encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
    };
    stream::try_unfold(packing, pack_next).boxed()
}

async fn pack_next(mut packing: Packing) -> Result<Option<(Bytes, Packing)>, axum::BoxError> {
    let Some(mut encoder) = packing.encoder.take() else {
        return Ok(None);
    };
    while let Some(piece) = packing.pieces.next().await {
        encoder.write_all(&piece?)?;
        if encoder.get_ref().len() >= PIECE {
            let packed = std::mem::take(encoder.get_mut());
            packing.encoder = Some(encoder);
            return Ok(Some((packed.into(), packing)));
        }
    }
    Ok(Some((encoder.finish()?.into(), packing)))
}

/// How large the pieces of a body are made, in bytes: large enough for the encryption, small enough for many at once.
pub(super) const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;

    use super::*;

    fn pieces(count: usize) -> Pieces {
        let piece = Bytes::from(vec![b'1'; 1000]);
        stream::iter(vec![piece; count]).map(Ok).boxed()
    }

    async fn written(answer: Answer, format: Format) -> (Response<()>, Bytes) {
        let (parts, body) = write(answer, format).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), body)
    }

    #[tokio::test]
    async fn only_large_bodies_are_packed_and_only_for_those_who_can_unpack() {
        for (count, gzip, packed) in [
            (10, true, false),
            (300, false, false),
            (300, true, true),
            (2000, true, true),
        ] {
            let format = Format {
                gzip,
                ..Format::default()
            };
            let (response, body) = written(Answer::Pieces(pieces(count)), format).await;
            let encoding = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(encoding.is_some(), packed, "{count} {gzip}");
            let mut plain = Vec::new();
            if packed {
                GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            } else {
                plain.extend_from_slice(body.trim_ascii_end());
            }
            assert_eq!(plain.len(), count * 1000, "{count} {gzip}");
        }
    }

    #[tokio::test]
    async fn yaml_and_pretty_json_are_the_same_document() {
        let body = Bytes::from_static(b"{\"kind\":\"A\",\"on\":\"yes\",\"list\":[1,{\"x\":null}]}");
        let expected: Value = serde_json::from_slice(&body).unwrap();
        let yaml = Format {
            encoding: Encoding::Yaml,
            ..Format::default()
        };
        let (response, text) = written(Answer::Document(body.clone()), yaml).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], YAML);
        let read: Value = serde_saphyr::from_slice(&text).unwrap();
        assert_eq!(read, expected);
        let pretty = Format {
            pretty: true,
            ..Format::default()
        };
        let (_, text) = written(Answer::Document(body), pretty).await;
        assert!(text.starts_with(b"{\n  \"kind\": \"A\""));
        assert!(!text.ends_with(b"\n"));
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_internal_is_not_told() {
        let (parts, body) = broken("the password is x".into()).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.status.as_u16(), 500);
        assert!(!String::from_utf8_lossy(&body).contains("password"));
    }
}
