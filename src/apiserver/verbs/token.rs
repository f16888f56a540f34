//! The token that goes on with a list where a page ended: a version, and the name to begin at.
//!
//! Clients send back what they were given, but anybody can send anything: what is read is checked.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    apiserver::Failure,
    cache::{Name, Version},
};

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The version of the first page; nothing to go on with whatever is newest.
    pub(super) version: Option<Version>,
    /// The last name of the page before.
    pub(super) after: Name,
}

/// The token as it travels, in upstream's form.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

const FORMAT: &str = "meta.k8s.io/v1";

impl Token {
    /// Returns the token as it is sent.
    pub(super) fn encode(&self) -> String {
        let version = self.version.map(|version| i64::try_from(version.0));
        let wire = Wire {
            v: FORMAT.into(),
            rv: version.and_then(Result::ok).unwrap_or(-1),
            start: format!("{}/{}\0", self.after.namespace, self.after.name),
        };
        let json = serde_json::to_vec(&wire).expect("strings and numbers can be encoded");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Returns the token in `text`.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] if it is none of ours.
    pub(super) fn decode(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Failure::BadRequest(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| refuse(&error.to_string()))?;
        let wire: Wire =
            serde_json::from_slice(&bytes).map_err(|error| refuse(&error.to_string()))?;
        if wire.v != FORMAT {
            return Err(refuse("server does not recognize this encoded version"));
        }
        let version = match wire.rv {
            -1 => None,
            1.. => Some(Version(wire.rv.unsigned_abs())),
            _ => {
                return Err(refuse(
                    "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                ));
            }
        };
        let start = wire.start.strip_suffix('\0').unwrap_or(&wire.start);
        match start.split_once('/') {
            Some((namespace, name)) if !name.is_empty() && !name.contains('/') => Ok(Self {
                version,
                after: Name::new(namespace, name),
            }),
            _ => Err(refuse("encoded start key empty (version meta.k8s.io/v1)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_sent() {
        for (version, namespace) in [(Some(Version(7)), "n"), (None, ""), (Some(Version(1)), "")] {
            let token = Token {
                version,
                after: Name::new(namespace, "a.b"),
            };
            assert_eq!(Token::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in [
            "x".to_owned(),
            "!!!".into(),
            encode("{}"),
            encode("{\"v\":\"other\",\"rv\":1,\"start\":\"n/a\"}"),
            encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":0,\"start\":\"n/a\"}"),
            encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"\"}"),
            encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"n//a\"}"),
            encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"n/../a\"}"),
        ] {
            let told = Token::decode(&text);
            assert!(
                matches!(&told, Err(Failure::BadRequest(why)) if why.starts_with("invalid continue token: continue key is not valid: ")),
                "{text}: {told:?}"
            );
        }
    }
}
