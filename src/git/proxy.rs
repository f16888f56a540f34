//! Proxies: which one leads to a repository, and how what goes through it is written. In come addresses of users and of the
//! process's environment, out come proxies that can't be printed, since they may hold a password.
//!
//! What is asked over TLS goes through a tunnel (CONNECT). What is asked in the clear is written as proxies expect it, with
//! the whole address in its first line: many of them make tunnels to the port of TLS only.

use std::{fmt, net::IpAddr};

use base64::Engine;
use ureq::{
    Error as Fault,
    http::Uri,
    unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport},
};
use url::{Host, Url};

use super::{Access, Address, Error};

/// Longest address of a proxy that is accepted, in bytes.
const LONGEST: usize = 2048;

/// A proxy for HTTP, with what opens it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy(ureq::Proxy);

impl Proxy {
    /// Returns the proxy at an address: `http://` (which may be left out) or `https://`, a user name and a password
    /// (percent-encoded) if it wants them, host and port.
    ///
    /// # Errors
    /// [`Error::Refused`], with nothing of the address in it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let shape = "http://[user:password@]host[:port] or https://…";
            Error::Refused(format!("it is no address of a proxy such as {shape}"))
        };
        let text = match text.trim() {
            bare if bare.contains("://") => bare.to_string(),
            bare => format!("http://{bare}"),
        };
        let url = Url::parse(&text).map_err(|_| wrong())?;
        let is_web = matches!(url.scheme(), "http" | "https");
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
        if text.len() > LONGEST || !is_web || !is_bare || url.fragment().is_some() {
            return Err(wrong());
        }
        ureq::Proxy::new(url.as_str())
            .map(Self)
            .map_err(|_| wrong())
    }

    /// Returns what opens it, as a header's value.
    fn authorization(&self) -> Option<String> {
        let (user, password) = (self.0.username(), self.0.password());
        user.or(password)?;
        let pair = format!(
            "{}:{}",
            user.unwrap_or_default(),
            password.unwrap_or_default()
        );
        let coded = base64::engine::general_purpose::STANDARD.encode(pair);
        Some(format!("Basic {coded}"))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Proxy(***)")
    }
}

/// The proxies of a process, and what is reached without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Direct>,
}

/// What is reached without a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    /// Everything.
    All,
    /// These addresses: the network and how many of its bits count.
    Network(IpAddr, u8),
    /// This host, at this port or any.
    Address(IpAddr, Option<u16>),
    /// This domain and those in it, or only those, at this port or any.
    Domain {
        name: String,
        only_below: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    /// Returns the proxies for addresses with `http` and with `https`, and the list of hosts that need none: what the
    /// variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` hold.
    ///
    /// # Errors
    /// [`Error::Refused`] with the name of the variable.
    pub fn new(http: &str, https: &str, none: &str) -> Result<Self, Error> {
        let parse = |name: &str, text: &str| match text.trim() {
            "" => Ok(None),
            text => Proxy::parse(text)
                .map(Some)
                .map_err(|error| Error::Refused(format!("{name}: {error}"))),
        };
        let entries = none
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty());
        Ok(Self {
            http: parse("HTTP_PROXY", http)?,
            https: parse("HTTPS_PROXY", https)?,
            direct: entries.map(Direct::parse).collect(),
        })
    }

    /// Returns the proxy that leads to an address; none for this machine and for what the list names.
    #[must_use]
    pub fn lead_to(&self, address: &Address) -> Option<Proxy> {
        let url = address.url();
        let proxy = match url.scheme() {
            "https" => self.https.as_ref()?,
            "http" => self.http.as_ref()?,
            _ => return None,
        };
        let (host, port) = (url.host()?, url.port_or_known_default());
        let direct = is_here(&host) || self.direct.iter().any(|it| it.covers(&host, port));
        (!direct).then(|| proxy.clone())
    }
}

fn is_here(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.trim_end_matches('.') == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl Direct {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::All;
        }
        let address = |text: &str| {
            let inner = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            inner.unwrap_or(text).parse::<IpAddr>().ok()
        };
        if let Some((network, bits)) = text.split_once('/')
            && let (Some(network), Ok(bits)) = (address(network), bits.parse())
        {
            return Self::Network(network, bits);
        }
        if let Some(address) = address(text) {
            return Self::Address(address, None);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None => (text, None),
        };
        if let Some(address) = address(name) {
            return Self::Address(address, port);
        }
        let name = name.strip_prefix('*').unwrap_or(name).to_lowercase();
        let below = name.strip_prefix('.').map(str::to_string);
        Self::Domain {
            only_below: below.is_some(),
            name: below.unwrap_or(name),
            port,
        }
    }

    fn covers(&self, host: &Host<&str>, at: Option<u16>) -> bool {
        let same = |port: &Option<u16>| port.is_none() || *port == at;
        let address: Option<IpAddr> = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some((*address).into()),
            Host::Ipv6(address) => Some((*address).into()),
        };
        match (self, host) {
            (Self::All, _) => true,
            (Self::Network(network, bits), _) => {
                address.is_some_and(|address| is_in(address, *network, *bits))
            }
            (Self::Address(one, port), _) => address == Some(*one) && same(port),
            (
                Self::Domain {
                    name,
                    only_below,
                    port,
                },
                Host::Domain(host),
            ) => {
                let host = host.trim_end_matches('.');
                let inner = host.strip_suffix(name.as_str());
                let below = inner.is_some_and(|inner| inner.ends_with('.'));
                (below || !only_below && host == name) && same(port)
            }
            (Self::Domain { .. }, _) => false,
        }
    }
}

/// Returns whether an address is in a network of which so many bits count.
fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shared = |one: u128, other: u128, length: u32| {
        let rest = length.saturating_sub(u32::from(bits));
        u32::from(bits) <= length && (one ^ other).checked_shr(rest).unwrap_or(0) == 0
    };
    match (address.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            shared(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => shared(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

/// How requests reach a server.
pub(super) enum Way {
    /// By themselves.
    Straight,
    /// Through a tunnel that a proxy makes.
    Tunnel(ureq::Proxy),
    /// By a proxy that reads them.
    Forwarded(Forward),
}

impl Way {
    /// Returns the way of an access.
    pub(super) fn of(access: &Access) -> Self {
        let Some(Proxy(proxy)) = &access.proxy else {
            return Self::Straight;
        };
        let is_plain = proxy.protocol() == ureq::ProxyProtocol::Http;
        if access.address.url().scheme() == "https" || !is_plain {
            return Self::Tunnel(proxy.clone());
        }
        let url = access.address.url();
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let opens = Proxy(proxy.clone()).authorization();
        Self::Forwarded(Forward {
            proxy: proxy.uri().clone(),
            before: format!("http://{host}").into(),
            header: opens.map_or_else(Vec::new, |value| {
                format!("proxy-authorization: {value}\r\n").into()
            }),
        })
    }

    /// Returns where the proxy is that is dialled instead of the server.
    pub(super) fn dialled(&self) -> Option<Uri> {
        match self {
            Self::Forwarded(forward) => Some(forward.proxy.clone()),
            Self::Straight | Self::Tunnel(_) => None,
        }
    }
}

/// Writes requests as a proxy reads them: with the server's name before the path, and what opens the proxy behind that line.
#[derive(Clone)]
pub(super) struct Forward {
    proxy: Uri,
    before: Vec<u8>,
    header: Vec<u8>,
}

impl fmt::Debug for Forward {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Forward(***)")
    }
}

impl<In: Transport> Connector<In> for Forward {
    type Out = Forwarding<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Fault> {
        Ok(chained.map(|inner| Forwarding {
            inner,
            how: self.clone(),
            is_first: true,
        }))
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub(super) struct Forwarding<In> {
    inner: In,
    how: Forward,
    /// What is sent next begins a request.
    is_first: bool,
}

impl<In: Transport> Forwarding<In> {
    /// Sends bytes that are not in the buffer, by way of it.
    fn send(&mut self, bytes: &[u8], timeout: NextTimeout) -> Result<(), Fault> {
        let mut left = bytes;
        while !left.is_empty() {
            let buffer = self.inner.buffers().output();
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.inner.transmit_output(count, timeout)?;
            left = &left[count..];
        }
        Ok(())
    }
}

impl<In: Transport> Transport for Forwarding<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Fault> {
        if !std::mem::take(&mut self.is_first) {
            return self.inner.transmit_output(amount, timeout);
        }
        let sent = self.inner.buffers().output()[..amount].to_vec();
        let written = written(&sent, &self.how);
        self.send(&written, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Fault> {
        self.is_first = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Returns the beginning of a request as a proxy reads it.
fn written(sent: &[u8], how: &Forward) -> Vec<u8> {
    let path = sent.iter().position(|byte| *byte == b' ').map(|at| at + 1);
    let next = sent.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    let (Some(path), Some(next)) = (path, next) else {
        return sent.to_vec();
    };
    [
        &sent[..path],
        &how.before,
        &sent[path..next],
        &how.header,
        &sent[next..],
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies_are_checked_and_never_repeated() {
        for text in [
            "",
            "socks5://u:hunter2@host",
            "http://u:hunter2@host/path",
            "http://u:hunter2@host?x",
            "http://u:hun/ter2@host",
            "file:///hunter2",
        ] {
            let told = Proxy::parse(text).unwrap_err().to_string();
            assert!(
                !told.contains("hunter2") && !told.contains("ter2"),
                "{told}"
            );
        }
        let proxy = Proxy::parse(" http://u:hunter%402@host:3128/\n").unwrap();
        assert!(!format!("{proxy:?}").contains("hunter"));
        let coded = proxy.authorization().unwrap();
        assert_eq!(coded, "Basic dTpodW50ZXJAMg==");
        assert_eq!(Proxy::parse("https://host").unwrap().authorization(), None);
        let bare = Proxy::parse("proxy.example.com:3128");
        assert_eq!(
            bare.unwrap(),
            Proxy::parse("http://proxy.example.com:3128").unwrap()
        );
    }

    #[test]
    fn some_hosts_need_no_proxy() {
        let lead = |none: &str, address: &str| {
            let proxies = Proxies::new("http://plain", "http://tls", none).unwrap();
            let proxy = proxies.lead_to(&Address::parse(address, true).unwrap());
            proxy.map(|proxy| proxy.0.host().to_string())
        };
        for (none, address, want) in [
            ("", "https://git.example.com/r", Some("tls")),
            ("", "http://git.example.com/r", Some("plain")),
            ("", "file:///r", None),
            ("", "https://localhost/r", None),
            ("", "http://127.0.0.2:80/r", None),
            ("", "http://[::1]/r", None),
            ("*", "https://git.example.com/r", None),
            ("example.com", "https://git.example.com/r", None),
            ("EXAMPLE.com", "https://example.com/r", None),
            ("example.com", "https://badexample.com/r", Some("tls")),
            (".example.com", "https://example.com/r", Some("tls")),
            (".example.com", "https://a.b.example.com/r", None),
            ("*.example.com", "https://git.example.com/r", None),
            ("a, .svc ,b", "http://git.tools.svc/r", None),
            ("example.com:8443", "https://example.com/r", Some("tls")),
            ("example.com:443", "https://example.com/r", None),
            ("10.0.0.0/8", "http://10.1.2.3/r", None),
            ("10.0.0.0/8", "http://11.1.2.3/r", Some("plain")),
            ("0.0.0.0/0", "http://11.1.2.3/r", None),
            ("10.0.0.0/99", "http://10.0.0.1/r", Some("plain")),
            ("fd00::/8", "http://[fd12::1]/r", None),
            ("fd00::/8", "http://10.0.0.1/r", Some("plain")),
            ("10.0.0.1", "http://10.0.0.1/r", None),
            ("10.0.0.1:81", "http://10.0.0.1/r", Some("plain")),
            ("[fd12::1]:80", "http://[fd12::1]/r", None),
            (",,", "http://10.0.0.1/r", Some("plain")),
        ] {
            assert_eq!(lead(none, address).as_deref(), want, "{none:?} {address}");
        }
        let told = Proxies::new("", "socks5://hunter2", "")
            .unwrap_err()
            .to_string();
        assert!(
            told.starts_with("HTTPS_PROXY: ") && !told.contains("hunter2"),
            "{told}"
        );
        let none = Proxies::new("", "", "x").unwrap();
        let address = Address::parse("https://host/r", false).unwrap();
        assert_eq!(none.lead_to(&address), None);
    }
}
