//! How Git servers prove that a message is theirs: by a digest of it that only who knows the secret can make, or by the
//! secret itself. In come headers, out goes what they claim; it is checked in a time that does not tell how wrong it is.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use http::HeaderMap;

/// Headers with a digest (HMAC of SHA-256, hexadecimal): GitHub and Bitbucket, Gitea, Forgejo, Gogs.
const DIGESTS: [&str; 4] = [
    "x-hub-signature-256",
    "x-hub-signature",
    "x-gitea-signature",
    "x-gogs-signature",
];
/// The header with the secret itself: GitLab.
const TOKEN: &str = "x-gitlab-token";

/// What a message shows; nothing of it is believed yet.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// A digest of the message.
    Digest(Vec<u8>),
    /// The secret.
    Token(Vec<u8>),
}

impl Proof {
    /// Returns what the headers of a message show; nothing if they show nothing that could prove it.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        for name in DIGESTS {
            let Some(text) = text(name) else { continue };
            let digits = text.strip_prefix("sha256=").unwrap_or(text);
            // A digest of another kind does not make one of this kind worthless.
            if let Some(digest) = bytes(digits) {
                return Some(Self::Digest(digest));
            }
        }
        let bearer = || {
            let value = text("authorization")?;
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        };
        let token = text(TOKEN).or_else(bearer)?;
        Some(Self::Token(token.as_bytes().to_vec()))
    }

    /// Returns whether this proves that whoever knows the secret sent the message. An empty secret proves nothing.
    #[must_use]
    pub fn fits(&self, secret: &[u8], message: &[u8]) -> bool {
        if secret.is_empty() {
            return false;
        }
        match self {
            Self::Digest(digest) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, message, digest).is_ok()
            }
            Self::Token(token) => {
                // Of the same length whatever they are, so that not even that shows.
                let key = hmac::Key::new(hmac::HMAC_SHA256, message);
                let (shown, known) = (hmac::sign(&key, token), hmac::sign(&key, secret));
                verify_slices_are_equal(shown.as_ref(), known.as_ref()).is_ok()
            }
        }
    }
}

/// Returns the 32 bytes that hexadecimal digits stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    let is_digit = |c: char| c.is_ascii_hexdigit();
    digits
        .chars()
        .all(is_digit)
        .then(|| (0..64).step_by(2).map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's own example (docs.github.com, "Validating webhook deliveries").
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const MESSAGE: &[u8] = b"Hello, World!";
    const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn shown(header: &str, value: &str) -> Option<Proof> {
        let mut headers = HeaderMap::new();
        let name: http::HeaderName = header.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
        Proof::of(&headers)
    }

    #[test]
    fn every_kind_of_server_is_believed_with_the_secret_only() {
        let secret = std::str::from_utf8(SECRET).unwrap();
        for (header, value) in [
            ("x-hub-signature-256", format!("sha256={DIGEST}")),
            ("x-hub-signature", format!("sha256={DIGEST}")),
            ("x-gitea-signature", DIGEST.into()),
            ("x-gogs-signature", DIGEST.to_uppercase()),
            ("x-gitlab-token", secret.into()),
            ("authorization", format!("Bearer {secret}")),
        ] {
            let proof = shown(header, &value).unwrap();
            assert!(proof.fits(SECRET, MESSAGE), "{header}");
            assert!(
                !proof.fits(b"It's a secret to everybody", MESSAGE),
                "{header}"
            );
            assert!(!proof.fits(b"", MESSAGE), "{header}");
            let other = proof.fits(SECRET, b"Hello, World?");
            assert_eq!(other, matches!(proof, Proof::Token(_)), "{header}");
        }
    }

    #[test]
    fn what_can_prove_nothing_is_no_proof() {
        for (header, value) in [
            ("x-hub-signature-256", "sha256="),
            ("x-hub-signature-256", &DIGEST[1..]),
            ("x-hub-signature-256", &format!("sha256=+{}", &DIGEST[1..])),
            (
                "x-hub-signature",
                "sha1=0123456789012345678901234567890123456789",
            ),
            ("authorization", "Basic dTpw"),
            ("x-signature", DIGEST),
        ] {
            assert!(shown(header, value).is_none(), "{header}: {value}");
        }
        assert!(!shown("x-gitlab-token", "").unwrap().fits(b"", MESSAGE));
    }
}
