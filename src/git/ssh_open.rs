//! The way to a program that a server runs over SSH: the server's key judged, ours shown, a command begun. In come what
//! opens the server and whom to trust, out come a connection and a channel. Before the server's key is known to be its own,
//! nothing is told.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use russh::{
    AlgorithmKind, Channel, ChannelMsg, Preferred, SshId,
    client::{self, Handle, Msg},
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use tokio::{net::TcpStream, runtime::Runtime};

use super::{
    Access, Credentials, Error,
    access::Shell,
    host_keys::{HostKeys, Known, PORT, SshKeys},
    resolve::{LINK_LOCAL, is_link_local},
};

/// How long is waited, and for whom.
pub(super) struct Patience {
    pub(super) access: Access,
    pub(super) until: Instant,
}

/// Returns the key of an access and the servers that it may be shown to.
pub(super) fn keys(access: &Access) -> Result<(&Arc<PrivateKey>, &HostKeys), Error> {
    let at = &access.address;
    let none = || {
        let keys = "ssh-privatekey (or identity) and known_hosts";
        Error::Unauthorized(format!("{at}: SSH needs a Secret with the keys {keys}"))
    };
    match &access.credentials {
        Credentials::Ssh(SshKeys {
            key: Some(key),
            hosts,
        }) => Ok((key, hosts)),
        _ => Err(none()),
    }
}

/// A connection, and the channel of a command.
pub(super) type Opened = (Handle<Judge>, Channel<Msg>);

/// Opens the way to `service`.
///
/// # Errors
/// Every error of a server.
pub(super) fn open(
    runtime: &Runtime,
    patience: &Patience,
    shell: &Shell,
    (key, hosts): (&Arc<PrivateKey>, &HostKeys),
    (service, newer): (&str, bool),
) -> Result<Opened, Error> {
    let at = &patience.access.address;
    let timeouts = patience.access.timeouts;
    let kinds = hosts.kinds(&shell.host, shell.port);
    if kinds.is_empty() {
        let port = match shell.port {
            PORT => String::new(),
            port => format!("-p {port} "),
        };
        let advice = format!(
            "add to known_hosts of the Secret what `ssh-keyscan {port}{}` prints, if that is the server's",
            shell.host
        );
        return Err(Error::HostKey(format!(
            "{at}: no key of this server is known; {advice}"
        )));
    }
    let config = client::Config {
        client_id: SshId::Standard(concat!("SSH-2.0-porch_", env!("CARGO_PKG_VERSION")).into()),
        preferred: Preferred {
            key: kinds.into(),
            ..Preferred::default()
        },
        ..client::Config::default()
    };
    let shown = Arc::default();
    let judge = Judge {
        hosts: hosts.clone(),
        host: shell.host.clone(),
        port: shell.port,
        shown: Arc::clone(&shown),
    };
    let connecting = async {
        let stream = dial(at, shell).await?;
        let connected = client::connect_stream(Arc::new(config), stream, judge).await;
        connected.map_err(|error| {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
            shown.map_or_else(
                || patience.failed(&error),
                |why| Error::HostKey(format!("{at}: {why}")),
            )
        })
    };
    let mut connection = patience.wait(runtime, timeouts.connect, connecting)??;
    let user = shell.user.clone();
    let entering = enter(&mut connection, user, key, patience);
    patience.wait(runtime, timeouts.idle, entering)??;
    let command = format!("{service} {}", quoted(&shell.path));
    let starting = begin(&connection, command, newer, patience);
    let channel = patience.wait(runtime, timeouts.idle, starting)??;
    Ok((connection, channel))
}

/// Connects to the first address of a server that answers.
async fn dial(at: &dyn std::fmt::Display, shell: &Shell) -> Result<TcpStream, Error> {
    let found = tokio::net::lookup_host((shell.host.as_str(), shell.port)).await;
    let found = found.map_err(|_| Error::Unreachable(format!("{at}: no such host")))?;
    let all: Vec<SocketAddr> = found.filter(|one| !is_link_local(one.ip())).collect();
    let mut failed = Error::Refused(format!("{at}: {LINK_LOCAL}"));
    for address in all {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are written in one piece, and wait for their answer.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                failed = Error::Unreachable(format!("{at}: connection refused"));
            }
            Err(error) => failed = Error::Unreachable(format!("{at}: {error}")),
        }
    }
    Err(failed)
}

/// Shows who asks.
async fn enter(
    connection: &mut Handle<Judge>,
    user: String,
    key: &Arc<PrivateKey>,
    patience: &Patience,
) -> Result<(), Error> {
    let failed = |error: russh::Error| patience.failed(&error);
    let hash = if key.algorithm().is_rsa() {
        // Servers that do not say what they take are old; SHA-1 is for none of them.
        let said = connection.best_supported_rsa_hash().await.map_err(failed)?;
        said.flatten().or(Some(HashAlg::Sha256))
    } else {
        None
    };
    let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
    let entered = connection
        .authenticate_publickey(user, key)
        .await
        .map_err(failed)?;
    if entered.success() {
        return Ok(());
    }
    let at = &patience.access.address;
    Err(Error::Unauthorized(format!(
        "{at}: the server does not take this key"
    )))
}

/// Runs a command.
async fn begin(
    connection: &Handle<Judge>,
    command: String,
    newer: bool,
    patience: &Patience,
) -> Result<Channel<Msg>, Error> {
    let failed = |error: russh::Error| patience.failed(&error);
    let mut channel = connection.channel_open_session().await.map_err(failed)?;
    if newer {
        // Whether it is taken shows in what the program says.
        let set = channel.set_env(false, "GIT_PROTOCOL", "version=2").await;
        set.map_err(failed)?;
    }
    channel.exec(true, command).await.map_err(failed)?;
    let at = &patience.access.address;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(channel),
            Some(ChannelMsg::Failure) => {
                let why = "the server does not run Git for this key";
                return Err(Error::Forbidden(format!("{at}: {why}")));
            }
            Some(ChannelMsg::Close) | None => {
                let why = "the server closed the connection";
                return Err(Error::Unreachable(format!("{at}: {why}")));
            }
            Some(_) => {}
        }
    }
}

/// Returns a text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('!', r"'\!'"))
}

impl Patience {
    /// Waits for a deed, as long as that may take; not once nobody wants to hear of the server any more.
    pub(super) fn wait<T>(
        &self,
        runtime: &Runtime,
        most: Duration,
        deed: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let left = self
            .until
            .saturating_duration_since(Instant::now())
            .min(most);
        let at = &self.access.address;
        runtime.block_on(async {
            tokio::select! {
                () = self.access.link.ended().cancelled() => {
                    Err(Error::Unreachable(format!("{at}: given up")))
                }
                done = tokio::time::timeout(left, deed) => {
                    done.map_err(|_| Error::TimedOut(at.to_string()))
                }
            }
        })
    }

    /// Returns what can be done about a connection that failed.
    pub(super) fn failed(&self, error: &russh::Error) -> Error {
        let at = &self.access.address;
        let closed = || Error::Unreachable(format!("{at}: the server closed the connection"));
        match error {
            russh::Error::IO(error) if error.kind() == io::ErrorKind::TimedOut => {
                Error::TimedOut(at.to_string())
            }
            russh::Error::Disconnect
            | russh::Error::HUP
            | russh::Error::SendError
            | russh::Error::IO(_) => closed(),
            russh::Error::NoCommonAlgo {
                kind: AlgorithmKind::Key,
                ..
            } => {
                let why = "it has no key of the kinds that known_hosts names for it";
                Error::HostKey(format!("{at}: {why}"))
            }
            error => Error::Protocol(format!("{at}: SSH: {error}")),
        }
    }
}

/// Judges the key of a server before anything is told to it.
pub(super) struct Judge {
    hosts: HostKeys,
    host: String,
    port: u16,
    /// Why the key is not trusted.
    shown: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let why = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                let print = key.fingerprint(HashAlg::Sha256);
                match self.hosts.judge(&self.host, self.port, key) {
                    Known::Yes => return Ok(true),
                    Known::Revoked => format!("it shows the key {print}, which is revoked"),
                    Known::No => format!(
                        "it shows the key {print}, and known_hosts has another: either the server has a new one, or \
                         somebody is in between"
                    ),
                }
            }
            PublicKeyOrCertificate::Certificate(_) => "it shows a certificate, not a key".into(),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        Ok(false)
    }
}
