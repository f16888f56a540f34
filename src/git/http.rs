//! Git's smart HTTP: one request, one answer, and every failure told by what can be done about it.
//!
//! In come requests to one repository, out come the bodies of answers that were understood as such. It sends credentials
//! to the registered authority only, follows redirects only within it, and puts nothing but the address into messages.

use std::{
    error::Error as _,
    io::{self, Write},
    sync::{Arc, LazyLock},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use ureq::{
    Agent, Body, Timeout,
    http::{HeaderMap, Response},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::{Connector, DefaultConnector, TcpConnector},
};
use url::Url;

use super::{
    Access, Error,
    link::Dialect,
    proxy::Way,
    resolve::{Elsewhere, LinkLocal},
    ssh,
    talk::Talk,
};

/// How often a repository may say that it lives elsewhere.
const REDIRECTS: usize = 5;
/// Requests longer than this are sent compressed, as git does; in bytes.
const COMPRESSED: usize = 1024;
/// The longest time after which a server may want to be asked again.
const LATEST: Duration = Duration::from_hours(1);

/// What of a conversation is HTTP's.
impl Talk<'_> {
    /// Returns the server's advertisement of `service`, of protocol 2 if it can.
    ///
    /// # Errors
    /// Every error of a server.
    pub(super) fn advertisement(&self, service: &str) -> Result<Response<Body>, Error> {
        for _ in 0..=REDIRECTS {
            let url = self.url(&format!("info/refs?service={service}"));
            let mut request = self
                .agent
                .get(url.as_str())
                .header("git-protocol", "version=2");
            if let Some(value) = self.access.credentials.header()? {
                request = request.header("authorization", value);
            }
            let response = request.call().map_err(|error| self.failed(&error))?;
            if !response.status().is_redirection() {
                return self.judge(response);
            }
            self.follow(&url, &response)?;
        }
        Err(Error::Protocol(format!(
            "{}: too many redirects",
            self.access.address
        )))
    }

    /// Returns the answer of `service` to a request.
    ///
    /// # Errors
    /// Every error of a server.
    pub(super) fn post(
        &self,
        service: &str,
        body: &[u8],
        dialect: Dialect,
    ) -> Result<Response<Body>, Error> {
        let mut request = self
            .agent
            .post(self.url(service).as_str())
            .header("content-type", format!("application/x-{service}-request"))
            .header("accept", format!("application/x-{service}-result"));
        if dialect != Dialect::Zero {
            request = request.header("git-protocol", "version=2");
        }
        if let Some(value) = self.access.credentials.header()? {
            request = request.header("authorization", value);
        }
        let sent = if body.len() > COMPRESSED {
            let packed = compress(body).map_err(|error| Error::Local(error.to_string()))?;
            request.header("content-encoding", "gzip").send(&packed[..])
        } else {
            request.send(body)
        };
        self.judge(sent.map_err(|error| self.failed(&error))?)
    }

    /// Returns the answer of a service that changes the repository, whatever its status; sent once, never again.
    ///
    /// # Errors
    /// [`Error::Uncertain`] unless it is certain that no byte was sent; then the errors of a server that is not reached.
    pub(super) fn submit(&self, service: &str, body: &[u8]) -> Result<Response<Body>, Error> {
        let mut request = self
            .agent
            .post(self.url(service).as_str())
            .header("content-type", format!("application/x-{service}-request"))
            .header("accept", format!("application/x-{service}-result"));
        if let Some(value) = self.access.credentials.header()? {
            request = request.header("authorization", value);
        }
        request.send(body).map_err(|error| {
            let failed = self.failed(&error);
            if is_before(&error) {
                failed
            } else {
                self.uncertain(&failed)
            }
        })
    }

    /// Returns the error of an answer that was cut short or is none.
    pub(super) fn broken(&self, error: &io::Error) -> Error {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<ureq::Error>());
        if let Some(told) = ssh::told(error) {
            return told;
        }
        match (inner, error.kind()) {
            (Some(inner), _) => self.failed(inner),
            (None, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => Error::Protocol(
                format!("{}: the answer is not Git's: {error}", self.access.address),
            ),
            (None, _) => self.interrupted(error),
        }
    }

    fn url(&self, path: &str) -> String {
        let learned = self.access.link.learned().base;
        let base = learned
            .as_ref()
            .unwrap_or(self.access.address.url())
            .as_str();
        format!("{}/{path}", base.trim_end_matches('/'))
    }

    /// Takes note of a redirect if it stays within the registered scheme, host and port.
    fn follow(&self, from: &str, response: &Response<Body>) -> Result<(), Error> {
        let elsewhere = || {
            let words = "redirects to another place; register that one if it is trusted";
            Error::Refused(format!("{}: the server {words}", self.access.address))
        };
        let location = response
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok());
        let from = Url::parse(from).map_err(|_| elsewhere())?;
        let mut to = location
            .and_then(|text| from.join(text).ok())
            .ok_or_else(elsewhere)?;
        let same = to.origin() == self.access.address.url().origin();
        let Some(path) = to.path().strip_suffix("/info/refs").map(str::to_string) else {
            return Err(elsewhere());
        };
        if !same || !to.username().is_empty() || to.password().is_some() {
            return Err(elsewhere());
        }
        to.set_path(&path);
        to.set_query(None);
        to.set_fragment(None);
        self.access.link.learn(|learned| learned.base = Some(to));
        Ok(())
    }

    /// Returns the answer if it is one.
    ///
    /// # Errors
    /// What its status says.
    pub(super) fn judge(&self, response: Response<Body>) -> Result<Response<Body>, Error> {
        let at = || self.access.address.to_string();
        let code = response.status().as_u16();
        if let (429 | 503, Some(after)) = (code, retry_after(response.headers())) {
            let words = if code == 429 {
                "rate limit: too many requests to"
            } else {
                "the server is busy:"
            };
            let why = format!(
                "{words} {}; it asks to come again in {}s",
                at(),
                after.as_secs()
            );
            return Err(Error::Later { why, after });
        }
        match code {
            200 => Ok(response),
            401 => Err(Error::Unauthorized(at())),
            403 => Err(Error::Forbidden(at())),
            404 | 410 => Err(Error::NotFound(at())),
            407 => Err(self.held_up(Some(407))),
            408 | 504 => Err(Error::TimedOut(format!("{}: the server gave up", at()))),
            413 => Err(Error::TooLarge(format!(
                "{}: the server takes no request of this size",
                at()
            ))),
            429 => Err(Error::Throttled(at())),
            code @ 500.. => Err(Error::Unreachable(format!("{}: status code: {code}", at()))),
            code => Err(Error::Protocol(format!(
                "{}: unexpected http status code: {code}",
                at()
            ))),
        }
    }

    /// Returns what can be done about a request that had no answer.
    fn failed(&self, error: &ureq::Error) -> Error {
        let at = self.dialled();
        match error {
            ureq::Error::ConnectProxyFailed(words) => self.held_up(status_of(words)),
            ureq::Error::Timeout(kind) => Error::TimedOut(format!("{at}: {kind}")),
            ureq::Error::HostNotFound => Error::Unreachable(format!("{at}: no such host")),
            ureq::Error::ConnectionFailed => Error::Unreachable(format!("{at}: connection failed")),
            ureq::Error::Tls(words) => Error::Certificate(format!("{at}: {words}")),
            ureq::Error::Rustls(error) => Error::Certificate(format!("{at}: {error}")),
            ureq::Error::Io(error) => self.interrupted(error),
            ureq::Error::BodyExceedsLimit(most) => {
                Error::TooLarge(format!("{at}: the answer is longer than {most} bytes"))
            }
            error => Error::Protocol(format!("{at}: {error}")),
        }
    }

    /// Returns what can be done about a proxy that did not let a request through, and said so with this status.
    fn held_up(&self, status: Option<u16>) -> Error {
        let at = &self.access.address;
        match status {
            Some(407) => Error::Unauthorized(format!(
                "{at}: the proxy wants a user name and a password, or others (407)"
            )),
            Some(403) => Error::Forbidden(format!("{at}: the proxy does not allow it (403)")),
            Some(504) => {
                Error::TimedOut(format!("{at}: the server did not answer the proxy (504)"))
            }
            Some(code) => Error::Unreachable(format!("{at}: the proxy can't reach it ({code})")),
            None => Error::Unreachable(format!("{at}: the proxy does not answer")),
        }
    }

    /// Returns what was dialled, as it is told.
    fn dialled(&self) -> String {
        let at = &self.access.address;
        match &self.access.proxy {
            Some(_) => format!("{at} (through a proxy)"),
            None => at.to_string(),
        }
    }

    fn interrupted(&self, error: &io::Error) -> Error {
        let at = self.dialled();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let source = error.source().and_then(|inner| inner.downcast_ref());
        let tls: Option<&rustls::Error> = inner.or(source);
        let is_elsewhere = error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<LinkLocal>);
        match error.kind() {
            _ if is_elsewhere => Error::Refused(format!("{at}: {error}")),
            _ if tls.is_some() => Error::Certificate(format!("{at}: {error}")),
            io::ErrorKind::ConnectionRefused => {
                Error::Unreachable(format!("{at}: connection refused"))
            }
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::TimedOut(at),
            _ => Error::Unreachable(format!("{at}: {error}")),
        }
    }
}

/// Returns after which time a server wants to be asked again: it says so in seconds or as a date (RFC 9110 §10.2.3), and the
/// date is by its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).map(|at| at.timestamp());
    let asked = text("retry-after")?;
    let wait = if let Ok(seconds) = asked.parse() {
        Duration::from_secs(seconds)
    } else {
        let now = text("date").and_then(|now| date(now).ok());
        let now = now.unwrap_or_else(Timestamp::now);
        let wait = date(asked).ok()?.duration_since(now);
        Duration::try_from(wait).unwrap_or_default()
    };
    Some(wait.clamp(Duration::from_secs(1), LATEST))
}

/// Returns whether a request failed before anything of it was sent.
fn is_before(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(kind) => matches!(kind, Timeout::Resolve | Timeout::Connect),
        ureq::Error::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            let certificate =
                |error: &rustls::Error| matches!(error, rustls::Error::InvalidCertificate(_));
            let unconnected = matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::AddrNotAvailable
            );
            unconnected || inner.is_some_and(certificate)
        }
        ureq::Error::Rustls(rustls::Error::InvalidCertificate(_))
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Tls(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Http(_)
        | ureq::Error::BadUri(_) => true,
        _ => false,
    }
}

/// Returns the status that is named in the words on a proxy that made no tunnel.
fn status_of(words: &str) -> Option<u16> {
    let mut numbers = words.split(|c: char| !c.is_ascii_digit());
    numbers.find_map(|number| number.parse().ok().filter(|code| (100..600).contains(code)))
}

fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(body)?;
    out.finish()
}

/// The certificates of this machine, read once: they are the same for every repository.
static SYSTEM: LazyLock<Vec<Certificate<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs().certs;
    found
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
});

/// The same, as those want them who trust nobody else: a copy for each of a thousand repositories would be large.
static TRUSTED: LazyLock<RootCerts> = LazyLock::new(|| RootCerts::from(SYSTEM.clone()));

/// Returns connections that go the way of an access.
///
/// # Errors
/// [`Error::Certificate`] for certificates that are none.
pub(super) fn agent(access: &Access) -> Result<Agent, Error> {
    let timeouts = access.timeouts;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(roots(access)?)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .user_agent(AGENT)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(timeouts.connect))
        .timeout_per_read(Some(timeouts.idle))
        .timeout_per_write(Some(timeouts.idle))
        .timeout_global(Some(timeouts.whole));
    let way = Way::of(access);
    let resolver = Elsewhere::behind(way.dialled());
    Ok(match way {
        Way::Forwarded(forward) => {
            let connector = ().chain(TcpConnector::default()).chain(forward);
            Agent::with_parts(config.proxy(None).build(), connector, resolver)
        }
        Way::Tunnel(proxy) => {
            let config = config.proxy(Some(proxy)).build();
            Agent::with_parts(config, DefaultConnector::default(), resolver)
        }
        // The environment is not ureq's to read.
        Way::Straight => {
            let config = config.proxy(None).build();
            Agent::with_parts(config, DefaultConnector::default(), resolver)
        }
    })
}

/// Who asks. Some servers turn away agents whose name does not begin with `git/`.
pub(super) const AGENT: &str = concat!("git/2.0 porch/", env!("CARGO_PKG_VERSION"));

fn roots(access: &Access) -> Result<RootCerts, Error> {
    // A proxy may be asked over TLS too.
    if access.address.url().scheme() != "https" && access.proxy.is_none() {
        return Ok(RootCerts::from(Vec::new()));
    }
    let Some(pem) = &access.ca else {
        return Ok(TRUSTED.clone());
    };
    let mut all = SYSTEM.clone();
    let before = all.len();
    all.extend(parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    }));
    if all.len() == before {
        return Err(Error::Certificate(
            "the CA bundle holds no certificate (PEM)".into(),
        ));
    }
    Ok(RootCerts::from(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_in_seconds_or_by_their_own_clock_when_to_come_again() {
        let now = "Wed, 21 Oct 2015 07:28:00 GMT";
        for (asked, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", Some(1)),
            ("999999", Some(3600)),
            ("Wed, 21 Oct 2015 07:30:00 GMT", Some(120)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(1)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", asked.parse().unwrap());
            headers.insert("date", now.parse().unwrap());
            let wanted = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), wanted, "{asked:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
