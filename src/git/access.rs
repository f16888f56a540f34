//! Where a repository is and what opens it. In comes text of users, out comes what was checked. None of it can be
//! printed with a credential in it.

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use base64::Engine;
use url::{Host, Url};

use super::{
    Error, Proxy, SshKeys,
    host_keys::PORT,
    link::Link,
    resolve::{LINK_LOCAL, is_link_local},
};

/// Longest address that is accepted, in bytes.
const LONGEST: usize = 2048;

/// The checked address of a repository: `https`, `http`, `ssh` or `user@host:path`, or `file` where that is allowed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// As the user wrote it.
    text: String,
    /// As it is dialled.
    url: Url,
    /// What is asked of a shell, if that is the way.
    shell: Option<Arc<Shell>>,
}

/// A repository that a server's shell leads to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Shell {
    /// As whom it is entered.
    pub(super) user: String,
    /// Name or address of the server, in lower case.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Where the repository is, for the server.
    pub(super) path: String,
}

impl Address {
    /// Returns the address that `text` is; `file://` only if `allow_file`.
    ///
    /// # Errors
    /// [`Error::Refused`] with a sentence that does not repeat what may be a credential.
    pub fn parse(text: &str, allow_file: bool) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::Refused(format!("invalid repository address: {why}")));
        if text.is_empty() || text.len() > LONGEST {
            return refuse(&format!("it must have 1 to {LONGEST} characters"));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return refuse("it must not contain spaces, control characters or backslashes");
        }
        let short = short(text);
        let Ok(url) = Url::parse(short.as_deref().unwrap_or(text)) else {
            return refuse("it is no URL such as https://host/path");
        };
        let is_shell = url.scheme() == "ssh";
        let named = !url.username().is_empty() || has_user(text);
        if url.password().is_some() || named && !is_shell {
            return refuse(
                "it must not contain credentials; put them in a Secret and name it in secretRef",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it must not have a query or a fragment");
        }
        let remote = matches!(url.scheme(), "https" | "http" | "ssh");
        match url.scheme() {
            "https" | "http" | "ssh" => {}
            "file" if !allow_file => return refuse("file:// is not allowed here"),
            "file" if url.host().is_none() => {}
            "file" => return refuse("file:// must not name a host"),
            other => {
                return refuse(&format!(
                    "scheme {other:?} is not supported, only https, http and ssh"
                ));
            }
        }
        if host(&url).is_some_and(is_link_local) {
            return refuse(LINK_LOCAL);
        }
        let whole = short.as_deref().unwrap_or(text);
        if remote && (authority(whole).is_none_or(str::is_empty) || !url.has_host()) {
            return refuse("it names no host");
        }
        let shell = if is_shell {
            let Some(shell) = Shell::of(&url, short.is_some().then_some(text)) else {
                return refuse("it names no user, host and path that SSH leads to");
            };
            Some(Arc::new(shell))
        } else {
            None
        };
        let text = text.to_string();
        Ok(Self { text, url, shell })
    }

    /// Returns what is asked of a shell, if that is the way.
    pub(super) fn shell(&self) -> Option<&Shell> {
        self.shell.as_deref()
    }

    /// Returns the address as the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the server: scheme, host and port.
    #[must_use]
    pub fn server(&self) -> String {
        match &self.shell {
            Some(shell) => format!("ssh://{}:{}", shell.host, shell.port),
            None => self.url.origin().ascii_serialization(),
        }
    }

    /// Returns the address as a URL.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the directory of a `file://` address.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok())?
    }
}

/// Returns the host of a URL, if it is written as an address.
fn host(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        // Of other schemes than those of the web any host is a name.
        Host::Domain(name) => name.parse().ok(),
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

/// Returns the URL that `user@host:path` stands for; its user can't be left out, so that no other text looks like it.
fn short(text: &str) -> Option<String> {
    let (user, rest) = text.split_once('@')?;
    let (host, path) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => rest.split_once(':'),
    }?;
    let plain = |word: &str, also: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
        !word.is_empty() && !word.starts_with('-') && word.chars().all(fits)
    };
    let bracketed = rest.starts_with('[');
    let is_short = plain(user, "._-") && plain(host, if bracketed { ":." } else { "._-" });
    let host = if bracketed {
        format!("[{host}]")
    } else {
        host.to_string()
    };
    (is_short && !path.is_empty())
        .then(|| format!("ssh://{user}@{host}/{}", path.trim_start_matches('/')))
}

impl Shell {
    /// Returns what a URL asks of a shell; of `short`, as it was written, the path is that behind the host.
    fn of(url: &Url, short: Option<&str>) -> Option<Self> {
        let decoded = |text: &str| {
            let bytes = percent_encoding::percent_decode_str(text);
            bytes.decode_utf8().ok().map(String::from)
        };
        let user = match decoded(url.username())? {
            user if user.is_empty() => "git".to_string(),
            user => user,
        };
        let host = match url.host()? {
            Host::Domain(name) => decoded(name)?.to_lowercase(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let path = match short {
            Some(text) => {
                let (_, rest) = text.split_once('@')?;
                let colon = rest
                    .find("]:")
                    .map(|at| at + 1)
                    .or_else(|| rest.find(':'))?;
                rest[colon + 1..].to_string()
            }
            None => decoded(url.path())?,
        };
        // `/~user/…` is that user's home, as git has it.
        let path = match path.strip_prefix("/~") {
            Some(home) => format!("~{home}"),
            None => path,
        };
        let odd = |text: &str| {
            text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        let is_odd = [&user, &host, &path].into_iter().any(|text| odd(text));
        let is_empty = host.is_empty() || path.trim_matches('/').is_empty();
        let port = url.port().unwrap_or(PORT);
        (!is_odd && !is_empty).then_some(Self {
            user,
            host,
            port,
            path,
        })
    }
}

/// Returns what stands between `//` and the next `/`: the parser of URLs is kinder than that.
fn authority(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    rest.split('/').next()
}

/// Returns whether the authority of a URL has a user, even an empty one.
fn has_user(text: &str) -> bool {
    authority(text).is_some_and(|authority| authority.contains('@'))
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, out)
    }
}

/// A text that can't be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("\"***\"")
    }
}

/// What opens a repository; sent with the first request.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// HTTP Basic.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
    /// A key for SSH.
    Ssh(SshKeys),
}

impl Credentials {
    /// Returns the `Authorization` header, marked as sensitive.
    ///
    /// # Errors
    /// [`Error::Refused`] when a header cannot carry them.
    pub(super) fn header(&self) -> Result<Option<::http::HeaderValue>, Error> {
        let text = match self {
            Self::Anonymous => return Ok(None),
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                let coded = base64::engine::general_purpose::STANDARD.encode(pair);
                format!("Basic {coded}")
            }
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
            Self::Ssh(_) => {
                let why =
                    "an SSH key opens no repository over HTTP: its address begins with ssh://";
                return Err(Error::Unauthorized(why.into()));
            }
        };
        let Ok(mut value) = ::http::HeaderValue::from_str(&text) else {
            return Err(Error::Refused(
                "resolved credentials are invalid: they contain characters that HTTP cannot carry"
                    .into(),
            ));
        };
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(***)",
            Self::Bearer(_) => "Bearer(***)",
            Self::Ssh(_) => "Ssh(***)",
        })
    }
}

/// How long a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected, TLS included.
    pub connect: Duration,
    /// Between two bytes of an answer.
    pub idle: Duration,
    /// For one whole exchange.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            whole: Duration::from_mins(15),
        }
    }
}

/// A repository and what opens it. Clones share one set of connections.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it is.
    pub address: Address,
    /// What opens it.
    pub credentials: Credentials,
    /// Certificates (PEM) to trust in addition to the system's.
    pub ca: Option<Vec<u8>>,
    /// How long the server may take.
    pub timeouts: Timeouts,
    /// What leads to the server.
    pub(super) proxy: Option<Proxy>,
    /// Open connections, and what was learned of the server.
    pub(super) link: Arc<Link>,
}

impl Access {
    /// Returns the access to `address`; nothing is dialled yet.
    #[must_use]
    pub fn new(
        address: Address,
        credentials: Credentials,
        ca: Option<Vec<u8>>,
        timeouts: Timeouts,
    ) -> Self {
        let link = Arc::default();
        Self {
            address,
            credentials,
            ca,
            timeouts,
            proxy: None,
            link,
        }
    }

    /// Returns the access by way of a proxy, or of none; to be said before anything is dialled.
    #[must_use]
    pub fn through(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Ends what is under way by this access and its clones, in whatever thread it waits, and lets nothing begin.
    pub fn hang_up(&self) {
        self.link.end();
    }

    /// Returns the access to a repository that is open to all, with the usual patience.
    #[must_use]
    pub fn anonymous(address: Address) -> Self {
        Self::new(address, Credentials::Anonymous, None, Timeouts::default())
    }
}
