//! The refs of a repository, asked with as few exchanges as possible: this is what a sync that finds nothing costs.
//!
//! A server of protocol 2 is asked at once for branches and tags, peeled; one exchange. Any other is asked for its
//! advertisement, as git does. A directory is read by libgit2.

use std::{
    io::{self, Read},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Access, Error, Refs,
    http::AGENT,
    link::Dialect,
    packet::{Packet, Packets, text, write_line},
    prepare,
    talk::{self, Talk},
};

/// The longest list of refs that is read, in bytes: some 500,000 refs.
const LIMIT: u64 = 64 << 20;
/// How long a list may take: no server needs as long, and one that trickles would hold its place.
const BRIEF: Duration = Duration::from_mins(2);
/// The service that reads.
pub(super) const SERVICE: &str = "git-upload-pack";

/// Returns the branches and tags of a repository.
///
/// # Errors
/// Every error of a server; [`Error::TooLarge`] for a list that no repository needs.
pub fn list_refs(access: &Access) -> Result<Refs, Error> {
    prepare()?;
    if let Some(directory) = access.address.directory() {
        return local(&directory);
    }
    remote(access, &["refs/heads/", "refs/tags/"])
}

/// Returns those of the named refs that a repository has, asked in one exchange where the server can.
///
/// # Errors
/// As [`list_refs`].
pub fn list_some(access: &Access, names: &[&str]) -> Result<Refs, Error> {
    prepare()?;
    let all = match access.address.directory() {
        Some(directory) => local(&directory)?,
        None => remote(access, names)?,
    };
    let wanted = names
        .iter()
        .filter_map(|name| Some((*name, all.get(name)?)));
    Ok(wanted
        .map(|(name, target)| (name, target.clone()))
        .collect())
}

/// A stream that may not take long, however little comes of it at a time.
struct Brief<R> {
    stream: R,
    until: Instant,
}

impl<R> Brief<R> {
    fn new(stream: R, patience: Duration) -> Self {
        let until = Instant::now() + patience;
        Self { stream, until }
    }
}

impl<R: Read> Read for Brief<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.read(buffer)
    }
}

/// Asks a server for the refs below these prefixes; an old one tells of all.
fn remote(access: &Access, prefixes: &[&str]) -> Result<Refs, Error> {
    let agent = talk::agent(access)?;
    let talk = Talk::new(access, &agent);
    if talk.dialect() != Dialect::Zero {
        match two(talk, prefixes) {
            Err(Error::Protocol(_)) => {}
            // Old servers of HTTP lack the way in, or do not let everybody take it.
            Err(Error::Forbidden(_) | Error::NotFound(_)) if talk.keeps_connections() => {}
            done => return done,
        }
    }
    advertised(talk, prefixes)
}

/// Asks a server of protocol 2.
fn two(talk: Talk<'_>, prefixes: &[&str]) -> Result<Refs, Error> {
    let mut body = Vec::new();
    write_line(&mut body, "command=ls-refs\n");
    write_line(&mut body, &format!("agent={}\n", AGENT.replace(' ', "-")));
    body.extend_from_slice(b"0001");
    write_line(&mut body, "peel\n");
    for prefix in prefixes {
        write_line(&mut body, &format!("ref-prefix {prefix}\n"));
    }
    body.extend_from_slice(b"0000");
    let reader = talk.ask(SERVICE, &body, Dialect::Two, LIMIT)?;
    let refs = read_two(talk, Brief::new(reader, BRIEF))?;
    talk.speaks(Dialect::Two);
    Ok(refs)
}

/// Reads the answer of a server of protocol 2.
pub(super) fn read_two(talk: Talk<'_>, reader: impl Read) -> Result<Refs, Error> {
    let mut packets = Packets::new(io::BufReader::with_capacity(1 << 16, reader));
    let mut refs = Refs::default();
    loop {
        match packets.next().map_err(|error| talk.broken(&error))? {
            Some(Packet::Flush) => {
                finish(talk, packets);
                return Ok(refs);
            }
            Some(Packet::Data(line)) => take_two(talk, line, &mut refs)?,
            Some(_) => {}
            None => return Err(Error::Protocol("the list of refs was cut short".into())),
        }
    }
}

/// Takes in one line of a list; a name that is no text is that of nothing Porch knows.
fn take_two(talk: Talk<'_>, line: &[u8], refs: &mut Refs) -> Result<(), Error> {
    let Some(words) = text(line) else {
        return Ok(());
    };
    let (name, id, commit) = parse_two(words).ok_or_else(|| talk.told(line))?;
    understood(id)?;
    refs.insert(name, id, commit);
    Ok(())
}

/// Reads on to the end of an answer that was understood: a connection that was read to its end can be used again.
fn finish<R: Read>(talk: Talk<'_>, mut packets: Packets<R>) {
    if talk.keeps_connections() {
        let _ = packets.next();
    }
}

/// Refuses ids of other lengths: a repository of SHA-256 must not look empty.
fn understood(id: &str) -> Result<(), Error> {
    if id.len() == 40 {
        return Ok(());
    }
    Err(unsupported("sha256"))
}

/// Returns the error of a repository whose ids are others.
pub(super) fn unsupported(format: &str) -> Error {
    let format: String = format
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(20)
        .collect();
    Error::Protocol(format!("object format {format} is not supported"))
}

/// Returns the parts of `<id> <name> [<attribute>:<value> …]`.
fn parse_two(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let mut parts = line.split(' ');
    let (id, name) = (parts.next()?, parts.next()?);
    let looks = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    looks.then(|| {
        (
            name,
            id,
            parts.find_map(|part| part.strip_prefix("peeled:")),
        )
    })
}

/// Asks for the advertisement: of refs, or of protocol 2, which is then spoken.
fn advertised(talk: Talk<'_>, prefixes: &[&str]) -> Result<Refs, Error> {
    let reader = talk.greeting(SERVICE, LIMIT)?;
    let Some(refs) = read_advertisement(talk, Brief::new(reader, BRIEF))? else {
        return two(talk, prefixes);
    };
    talk.speaks(Dialect::Zero);
    Ok(refs)
}

/// What an advertisement has said so far.
#[derive(Default)]
struct Advertised {
    refs: Refs,
    /// It is one of protocol 2: refs must be asked for.
    two: bool,
    /// The line that names the service, and the flush behind it, were read.
    begun: bool,
}

/// Returns the refs of an advertisement, or nothing if it is one of protocol 2.
pub(super) fn read_advertisement(talk: Talk<'_>, reader: impl Read) -> Result<Option<Refs>, Error> {
    let mut packets = Packets::new(io::BufReader::with_capacity(1 << 16, reader));
    let mut said = Advertised {
        // Only HTTP says first which service answers.
        begun: !talk.keeps_connections(),
        ..Advertised::default()
    };
    loop {
        match packets.next().map_err(|error| talk.broken(&error))? {
            Some(Packet::Data(line)) => said.take(talk, line)?,
            Some(Packet::Flush) if !said.begun => said.begun = true,
            Some(Packet::Flush) => {
                finish(talk, packets);
                return Ok((!said.two).then_some(said.refs));
            }
            Some(_) => {}
            None => return Err(Error::Protocol("the list of refs was cut short".into())),
        }
    }
}

impl Advertised {
    fn take(&mut self, talk: Talk<'_>, line: &[u8]) -> Result<(), Error> {
        match text(line) {
            None => Ok(()),
            Some(line) if line.starts_with('#') => Ok(()),
            Some(line) => {
                self.begun = true;
                self.understand(talk, line)
            }
        }
    }

    fn understand(&mut self, talk: Talk<'_>, line: &str) -> Result<(), Error> {
        if let Some(words) = line.strip_prefix("ERR ") {
            return Err(talk.told(words.as_bytes()));
        }
        if line == "version 2" {
            self.two = true;
        }
        match line.strip_prefix("object-format=") {
            _ if !self.two => parse_zero(line, &mut self.refs),
            Some(format) if format != "sha1" => Err(unsupported(format)),
            _ => Ok(()),
        }
    }
}

/// Takes in `<id> <name>[^{}][\0<capabilities>]`; other lines are passed over.
fn parse_zero(line: &str, refs: &mut Refs) -> Result<(), Error> {
    let line = line.split('\0').next().unwrap_or_default();
    let Some((id, name)) = line.split_once(' ').filter(|(id, _)| id.len() >= 40) else {
        return Ok(());
    };
    understood(id)?;
    match name.strip_suffix("^{}") {
        Some(name) => refs.peel(name, id),
        None => refs.insert(name, id, None),
    }
    Ok(())
}

/// Reads the refs of a directory.
fn local(directory: &Path) -> Result<Refs, Error> {
    let repository = open_local(directory)?;
    let broken = |error: git2::Error| {
        Error::Protocol(format!("{}: {}", directory.display(), error.message()))
    };
    let mut refs = Refs::default();
    for reference in repository.references().map_err(broken)? {
        let reference = reference.map_err(broken)?;
        let Ok(name) = reference.name() else { continue };
        let Ok(resolved) = reference.resolve() else {
            continue;
        };
        let Some(id) = resolved.target() else {
            continue;
        };
        let peeled = resolved
            .peel(git2::ObjectType::Any)
            .map_or(id, |object| object.id());
        refs.insert(name, &id.to_string(), Some(&peeled.to_string()));
    }
    Ok(refs)
}

/// Opens the repository in a directory of this machine.
pub(super) fn open_local(directory: &Path) -> Result<git2::Repository, Error> {
    git2::Repository::open(directory).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => Error::NotFound(format!("file://{}", directory.display())),
        _ => Error::local(directory, &error.message()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_trickles_ends_when_it_has_taken_too_long() {
        let mut stream = Brief::new(io::repeat(0), Duration::from_mins(1));
        let mut byte = [1];
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        stream.until = Instant::now();
        let late = loop {
            // The clock may not have moved yet.
            if let Err(late) = stream.read(&mut byte) {
                break late;
            }
        };
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
