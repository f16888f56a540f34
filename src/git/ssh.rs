//! Git over SSH: one program run by the server, told on its input and heard on its output. In come an address with a key
//! and the servers that are known, out comes a stream that blocks, like HTTP's answers.
//!
//! A server whose key is not known is never told who asks. Each exchange is a connection of its own, and everything that
//! happens on it happens in the thread that waits for it.

use std::{
    future::Future,
    io::{self, Read},
    time::Instant,
};

use bytes::{Buf, Bytes};
use russh::{
    Channel, ChannelMsg,
    client::{Handle, Msg},
};
use tokio::runtime::Runtime;

use super::{
    Access, Error,
    access::Shell,
    link::Dialect,
    packet::{Packet, Packets, text},
    ssh_open::{Judge, Patience, keys, open},
    talk::Talk,
};

/// So much of what a server says in the clear is kept, in bytes.
const WORDS: usize = 4 << 10;
/// The longest list of refs that is passed over before a request, in bytes.
const GREETING: u64 = 64 << 20;
/// So much is written before somebody looks whether that takes too long, in bytes.
const PIECE: usize = 32 << 10;

/// A program that a server runs.
pub(super) struct Run {
    /// Everything of the connection happens in it, and only while somebody waits; there until the end.
    runtime: Option<Runtime>,
    /// The connection ends with it.
    _connection: Handle<Judge>,
    channel: Channel<Msg>,
    /// What was heard and not yet read.
    heard: Bytes,
    /// What the program said besides.
    words: Vec<u8>,
    status: Option<u32>,
    /// Nothing more is heard.
    over: bool,
    /// Something of its output was heard.
    spoke: bool,
    patience: Patience,
}

impl Run {
    /// Runs `service` on the server; `newer` asks it to speak protocol 2.
    ///
    /// # Errors
    /// Every error of a server.
    pub(super) fn start(
        access: &Access,
        shell: &Shell,
        service: &str,
        newer: bool,
    ) -> Result<Self, Error> {
        let (key, hosts) = keys(access)?;
        if access.proxy.is_some() {
            let why = "SSH does not go through a proxy; take the key proxy out of the Secret";
            return Err(Error::Refused(format!("{}: {why}", access.address)));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Local(format!("no runtime for SSH: {error}")))?;
        let patience = Patience {
            access: access.clone(),
            until: Instant::now() + access.timeouts.whole,
        };
        let opened = open(&runtime, &patience, shell, (key, hosts), (service, newer));
        match opened {
            Ok((connection, channel)) => Ok(Self {
                runtime: Some(runtime),
                _connection: connection,
                channel,
                heard: Bytes::new(),
                words: Vec::new(),
                status: None,
                over: false,
                spoke: false,
                patience,
            }),
            Err(error) => {
                // A name that is still looked up must not hold anybody.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Passes over what the program says before anybody asks, and returns the protocol that it speaks.
    ///
    /// # Errors
    /// Every error of a server.
    pub(super) fn greeted(&mut self, talk: Talk<'_>) -> Result<Dialect, Error> {
        let mut packets = Packets::new(Bounded::new(self, GREETING));
        let mut dialect = None;
        loop {
            match packets.next().map_err(|error| talk.broken(&error))? {
                Some(Packet::Data(line)) => {
                    if let Some(words) = line.strip_prefix(b"ERR ") {
                        return Err(talk.told(words));
                    }
                    let two = text(line) == Some("version 2");
                    dialect.get_or_insert(if two { Dialect::Two } else { Dialect::Zero });
                }
                Some(Packet::Flush) => return Ok(dialect.unwrap_or(Dialect::Zero)),
                Some(_) => {}
                None => return Err(talk.told(b"the list of refs was cut short")),
            }
        }
    }

    /// Writes a request, which is all that the program is told.
    ///
    /// # Errors
    /// Those of a server that is away or takes nothing.
    pub(super) fn tell(&mut self, request: &[u8]) -> Result<(), Error> {
        for piece in request.chunks(PIECE) {
            let sent = self.wait(|channel| channel.data_bytes(Bytes::copy_from_slice(piece)))?;
            sent.map_err(|error| self.patience.failed(&error))?;
        }
        let ended = self.wait(|channel| channel.eof())?;
        ended.map_err(|error| self.patience.failed(&error))
    }

    fn wait<'a, T, F: Future<Output = T>>(
        &'a mut self,
        deed: impl FnOnce(&'a mut Channel<Msg>) -> F,
    ) -> Result<T, Error> {
        let idle = self.patience.access.timeouts.idle;
        let runtime = self
            .runtime
            .as_ref()
            .ok_or_else(|| Error::Local("it has ended".into()))?;
        self.patience.wait(runtime, idle, deed(&mut self.channel))
    }

    /// Hears until there is something to read, or nothing more will come.
    fn hear(&mut self) -> Result<(), Error> {
        while !self.over && self.heard.is_empty() {
            match self.wait(Channel::wait)? {
                Some(ChannelMsg::Data { data }) => {
                    self.spoke = true;
                    self.heard = data;
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    let room = WORDS.saturating_sub(self.words.len()).min(data.len());
                    self.words.extend_from_slice(&data[..room]);
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                Some(ChannelMsg::Close) | None => self.over = true,
                Some(_) => {}
            }
        }
        if self.heard.is_empty() && self.status != Some(0) {
            return Err(self.failure());
        }
        Ok(())
    }

    /// Returns the error of a program that did not end well, told from its words: there are no codes for it.
    fn failure(&self) -> Error {
        let at = &self.patience.access.address;
        let words = String::from_utf8_lossy(&self.words);
        let words: Vec<&str> = words.split_whitespace().collect();
        let words = words.join(" ");
        let words: String = words
            .chars()
            .filter(|c| !c.is_control())
            .take(500)
            .collect();
        match class(&words) {
            _ if self.status.is_none() => {
                let why = "the server closed the connection";
                Error::Unreachable(format!("{at}: {why} {words}").trim_end().into())
            }
            Class::Missing if !self.spoke => Error::NotFound(format!("{at}: {words}")),
            Class::Forbidden if !self.spoke => Error::Forbidden(format!("{at}: {words}")),
            _ => Error::Protocol(format!("{at}: remote error: {words}")),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Read for Run {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.hear().map_err(|error| io::Error::other(Told(error)))?;
        let count = self.heard.len().min(buffer.len());
        self.heard.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// An error of a server, on its way through a stream.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(Error);

/// Returns what a stream of this room had to tell, if it is that.
pub(super) fn told(error: &io::Error) -> Option<Error> {
    let told: &Told = error.get_ref()?.downcast_ref()?;
    Some(told.0.clone())
}

/// A stream of which no more than so many bytes are read.
pub(super) struct Bounded<R> {
    stream: R,
    left: u64,
    limit: u64,
}

impl<R> Bounded<R> {
    /// Returns the stream.
    pub(super) fn new(stream: R, limit: u64) -> Self {
        let left = limit;
        Self {
            stream,
            left,
            limit,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let Some(left) = self.left.checked_sub(count as u64) else {
            let why = format!("the answer is longer than {} bytes", self.limit);
            return Err(io::Error::other(Told(Error::TooLarge(why))));
        };
        self.left = left;
        Ok(count)
    }
}

/// What a program's words say.
enum Class {
    Missing,
    Forbidden,
    Other,
}

/// Words of programs and servers that did not run as asked, in lower case; the first that is found decides.
const CLASSES: &[(&str, Class)] = &[
    ("denied", Class::Forbidden),
    ("not allowed", Class::Forbidden),
    ("read only", Class::Forbidden),
    ("read-only", Class::Forbidden),
    ("not authorized", Class::Forbidden),
    ("unauthorized", Class::Forbidden),
    ("forbidden", Class::Forbidden),
    ("insufficient permission", Class::Forbidden),
    ("not found", Class::Missing),
    ("could not be found", Class::Missing),
    ("does not exist", Class::Missing),
    ("not appear to be a git repository", Class::Missing),
    ("no such", Class::Missing),
];

fn class(words: &str) -> &'static Class {
    let words = words.to_lowercase();
    let found = CLASSES.iter().find(|(part, _)| words.contains(part));
    found.map_or(&Class::Other, |(_, class)| class)
}
