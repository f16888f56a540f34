//! The thread that a request is part of (W3C trace context): taken up from the caller, or begun here.

use http::HeaderMap;
use uuid::Uuid;

/// The thread that a request is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    /// Identifies the thread: 32 hexadecimal digits.
    pub(super) id: String,
    /// The caller's part of it: 16 hexadecimal digits; empty if it began here.
    pub(super) parent: String,
}

impl Trace {
    /// Returns the thread that the caller names, or a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        text.and_then(Self::parse).unwrap_or_else(|| Self {
            id: Uuid::new_v4().simple().to_string(),
            parent: String::new(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, id) = (parts.next()?, parts.next()?);
        let (parent, flags) = (parts.next()?, parts.next()?);
        let last = parts.next().is_none();
        let known = version != "ff" && is_hex(version, 2) && (last || version != "00");
        let sound = known && is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2);
        let zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
        (sound && !zero(id) && !zero(parent)).then(|| Self {
            id: id.into(),
            parent: parent.into(),
        })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_thread_is_taken_up_only_if_it_is_one() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let parent = "b7ad6b7169203331";
        for (text, taken) in [
            (format!("00-{id}-{parent}-01"), true),
            (format!("01-{id}-{parent}-01-more"), true),
            (format!("00-{id}-{parent}-01-more"), false),
            (format!("ff-{id}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", "0".repeat(32)), false),
            (format!("00-{id}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{parent}-01", id.to_uppercase()), false),
            ("nonsense".into(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            let trace = Trace::of(&headers);
            assert_eq!(trace.id == id && trace.parent == parent, taken, "{text}");
            assert!(is_hex(&trace.id, 32), "{text}");
        }
    }
}
