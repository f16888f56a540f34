//! The thread that a request is part of (W3C trace context): taken up from the caller, or begun here. A collector of spans,
//! if there is one, gets the request as a part of it.

use http::{HeaderMap, Method};
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

/// The thread that a request is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    /// Identifies the thread: 32 hexadecimal digits.
    pub(super) id: String,
    /// The caller's part of it: 16 hexadecimal digits; empty if it began here.
    pub(super) parent: String,
    /// Whether the caller has its part sent to a collector.
    sampled: bool,
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
            sampled: false,
        })
    }

    /// Returns the span of a request that is part of this thread.
    pub(super) fn span(&self, method: &Method, path: &str) -> Span {
        let span = tracing::info_span!(
            "request",
            trace = Empty,
            parent = %self.parent,
            otel.kind = "server",
        );
        if let Some(caller) = self.caller() {
            // It fails where nobody collects spans.
            let _ = span.set_parent(Context::new().with_remote_span_context(caller));
        }
        // For collectors alone: the line about the request says it anyway.
        span.set_attribute("http.request.method", method.to_string());
        span.set_attribute("url.path", path.to_owned());
        // One that begins here is known to the collector by an id of its own making.
        let known = span.context().span().span_context().trace_id();
        if self.parent.is_empty() && known != TraceId::INVALID {
            span.record("trace", tracing::field::display(known));
        } else {
            span.record("trace", &*self.id);
        }
        span
    }

    /// Notes how a request was answered.
    pub(super) fn answered(span: &Span, code: u16) {
        span.set_attribute("http.response.status_code", i64::from(code));
    }

    fn caller(&self) -> Option<SpanContext> {
        let (id, parent) = (
            TraceId::from_hex(&self.id).ok()?,
            SpanId::from_hex(&self.parent).ok()?,
        );
        let flags = TraceFlags::default().with_sampled(self.sampled);
        let state = TraceState::default();
        Some(SpanContext::new(id, parent, flags, true, state))
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
            sampled: u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1),
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
            assert_eq!(trace.sampled, taken, "{text}");
            assert_eq!(trace.caller().is_some(), taken, "{text}");
        }
    }
}
