//! The wire of a push (gitprotocol-pack, receive-pack). What the server can do is asked once; after that a push is one
//! request, since the old ids come from the caller and not from the server. In come edits and a pack, out comes what the
//! server reported.

use std::{
    collections::BTreeSet,
    io::{BufReader, Read},
    sync::Arc,
};

use ureq::{Body, http::Response};

use super::{
    Access, Error, Pack, RefEdit, Refusal, Refused,
    http::AGENT,
    list::unsupported,
    packet::{Packet, Packets, text, write_line},
    report::{Heard, Hearing},
    ssh::{Bounded, Run},
    talk::{self, Talk, bounded},
};

/// The service that writes.
const SERVICE: &str = "git-receive-pack";
/// What a ref is that is absent.
const ABSENT: &str = "0000000000000000000000000000000000000000";
/// The longest answer that is read, in bytes.
const LIMIT: u64 = 64 << 20;
/// So much of an advertisement is read to its end, for the sake of the connection; in bytes.
const REST: u64 = 1 << 20;

/// What a server can do with a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    words: BTreeSet<String>,
}

impl Abilities {
    fn of(words: &str) -> Self {
        let words = words.split(' ').map(str::to_string).collect();
        Self { words }
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// Returns what is asked of the server: what it can do and this room understands.
    fn asked(&self, several: bool) -> String {
        let report = ["report-status-v2", "report-status"];
        let report = report.into_iter().find(|word| self.has(word));
        let atomic = several.then_some("atomic");
        let others = [Some("side-band-64k"), atomic, Some("object-format=sha1")];
        let others = others.into_iter().flatten().filter(|word| self.has(word));
        let words: Vec<_> = report.into_iter().chain(others).collect();
        format!("{} agent={}", words.join(" "), AGENT.replace(' ', "-"))
    }
}

/// What became of a request.
pub(super) enum Answer {
    /// The server can't do what these edits need; nothing was sent.
    Unable(Vec<Refused>),
    /// The server can't make several edits as one; nothing was sent.
    Singly,
    /// The server reported.
    Heard(Heard),
}

/// Sends a pack and edits.
///
/// # Errors
/// Every error of a server; [`Error::Uncertain`] when the answer was lost.
pub(super) fn send(access: &Access, pack: &Pack, edits: &[RefEdit]) -> Result<Answer, Error> {
    let agent = talk::agent(access)?;
    let talk = Talk::new(access, &agent);
    if access.address.shell().is_some() {
        return send_by_shell(talk, pack, edits);
    }
    let Some(abilities) = talk.abilities() else {
        return ask_and_send(talk, pack, edits);
    };
    let response = match submit(talk, &abilities, pack, edits)? {
        Sent::Not(answer) => return Ok(answer),
        Sent::Answered(response) => response,
    };
    // The repository may have moved, or the server changed, since it was asked. What is refused like this was not begun.
    match response.status().as_u16() {
        300..=400 | 404 | 405 | 410 | 415 | 421 => {
            talk.forget();
            ask_and_send(talk, pack, edits)
        }
        _ => hear(talk, response, &abilities, edits),
    }
}

/// Sends to a program that a shell runs: it says what it can do before it is told anything.
fn send_by_shell(talk: Talk<'_>, pack: &Pack, edits: &[RefEdit]) -> Result<Answer, Error> {
    let (mut run, abilities) = greeted_by_shell(talk)?;
    if let Some(answer) = unasked(&abilities, edits) {
        return Ok(answer);
    }
    let body = request(&abilities, pack, edits);
    run.tell(&body).map_err(|error| talk.uncertain(&error))?;
    let hearing = Hearing::new(abilities.has("side-band-64k"));
    let heard = hearing.read(talk, Bounded::new(run, LIMIT), edits);
    heard.map(Answer::Heard)
}

/// Starts the program, and returns it with what it says that it can do.
fn greeted_by_shell(talk: Talk<'_>) -> Result<(Run, Abilities), Error> {
    let shell = talk.access.address.shell();
    let shell = shell.ok_or_else(|| Error::Protocol("this address has no shell".into()))?;
    let mut run = Run::start(talk.access, shell, SERVICE, false)?;
    let mut packets = Packets::new(Bounded::new(&mut run, LIMIT));
    let abilities = read_abilities(talk, &mut packets)?;
    while !matches!(
        packets.next().map_err(|error| talk.broken(&error))?,
        Some(Packet::Flush) | None
    ) {}
    can_report(&abilities)?;
    Ok((run, abilities))
}

/// Asks the server whether it takes pushes, and returns the refusals of these edits if some are beyond it; nothing is sent.
///
/// # Errors
/// Every error of a server.
pub(super) fn ask(access: &Access, edits: &[RefEdit]) -> Result<Vec<Refused>, Error> {
    let agent = talk::agent(access)?;
    let talk = Talk::new(access, &agent);
    if access.address.shell().is_none() {
        return Ok(unable(&*learn(talk)?, edits));
    }
    let (mut run, abilities) = greeted_by_shell(talk)?;
    // It waits to be told what to do: nothing.
    run.tell(b"0000")?;
    Ok(unable(&abilities, edits))
}

/// Asks the server what it can do, then sends.
fn ask_and_send(talk: Talk<'_>, pack: &Pack, edits: &[RefEdit]) -> Result<Answer, Error> {
    let abilities = learn(talk)?;
    match submit(talk, &abilities, pack, edits)? {
        Sent::Not(answer) => Ok(answer),
        Sent::Answered(response) => hear(talk, response, &abilities, edits),
    }
}

enum Sent {
    Not(Answer),
    Answered(Response<Body>),
}

fn submit(
    talk: Talk<'_>,
    abilities: &Abilities,
    pack: &Pack,
    edits: &[RefEdit],
) -> Result<Sent, Error> {
    if let Some(answer) = unasked(abilities, edits) {
        return Ok(Sent::Not(answer));
    }
    let body = request(abilities, pack, edits);
    talk.submit(SERVICE, &body).map(Sent::Answered)
}

/// Returns the answer to edits that a server need not be asked for, since it can't make them.
fn unasked(abilities: &Abilities, edits: &[RefEdit]) -> Option<Answer> {
    let refused = unable(abilities, edits);
    if !refused.is_empty() {
        return Some(Answer::Unable(refused));
    }
    (edits.len() > 1 && !abilities.has("atomic")).then_some(Answer::Singly)
}

/// Returns the refusals of edits of which some are beyond the server; none if it can do them all.
fn unable(abilities: &Abilities, edits: &[RefEdit]) -> Vec<Refused> {
    if abilities.has("delete-refs") || edits.iter().all(|edit| edit.to.is_some()) {
        return Vec::new();
    }
    let refused = |edit: &RefEdit| Refused {
        name: edit.name.clone(),
        why: match &edit.to {
            None => Refusal::Declined("the server does not delete refs".into()),
            Some(_) => Refusal::Neighbour,
        },
    };
    edits.iter().map(refused).collect()
}

fn request(abilities: &Abilities, pack: &Pack, edits: &[RefEdit]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut asked = format!("\0 {}", abilities.asked(edits.len() > 1));
    for edit in edits {
        let from = edit.from.as_deref().unwrap_or(ABSENT);
        let to = edit.to.as_deref().unwrap_or(ABSENT);
        write_line(&mut body, &format!("{from} {to} {}{asked}", edit.name));
        asked.clear();
    }
    body.extend_from_slice(b"0000");
    if edits.iter().any(|edit| edit.to.is_some()) {
        pack.write(&mut body);
    }
    body
}

/// Reads the answer to a push.
fn hear(
    talk: Talk<'_>,
    response: Response<Body>,
    abilities: &Abilities,
    edits: &[RefEdit],
) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    // Between us and Git there may be others, who give up while Git goes on.
    if matches!(status, 408 | 500..=506 | 508..) {
        return Err(talk.uncertain(&format!("status code: {status}")));
    }
    if status == 507 {
        return Err(Error::Full("the server has no room left".into()));
    }
    let reader = bounded(talk.judge(response)?, LIMIT);
    let hearing = Hearing::new(abilities.has("side-band-64k"));
    hearing.read(talk, reader, edits).map(Answer::Heard)
}

/// Asks the server what it can do with a push, and remembers it.
fn learn(talk: Talk<'_>) -> Result<Arc<Abilities>, Error> {
    let reader = talk.greeting(SERVICE, LIMIT)?;
    let mut packets = Packets::new(BufReader::with_capacity(1 << 16, reader));
    let abilities = Arc::new(read_abilities(talk, &mut packets)?);
    finish(packets);
    can_report(&abilities)?;
    talk.can(abilities.clone());
    Ok(abilities)
}

fn can_report(abilities: &Abilities) -> Result<(), Error> {
    if abilities.has("report-status") || abilities.has("report-status-v2") {
        return Ok(());
    }
    let why = "the server does not report what becomes of a push";
    Err(Error::Protocol(why.into()))
}

/// Reads up to the first line with a ref, which has the server's abilities behind it.
fn read_abilities<R: Read>(talk: Talk<'_>, packets: &mut Packets<R>) -> Result<Abilities, Error> {
    loop {
        let Some(packet) = packets.next().map_err(|error| talk.broken(&error))? else {
            return Err(Error::Protocol("the server does not take pushes".into()));
        };
        let Packet::Data(line) = packet else {
            continue;
        };
        if let Some(words) = line.strip_prefix(b"ERR ") {
            return Err(talk.told(words));
        }
        let Some((_, words)) = text(line).and_then(|line| line.split_once('\0')) else {
            continue;
        };
        let format = words
            .split(' ')
            .find_map(|word| word.strip_prefix("object-format="));
        return match format {
            Some(format) if format != "sha1" => Err(unsupported(format)),
            _ => Ok(Abilities::of(words)),
        };
    }
}

/// Reads on, if there is not much: a connection that was read to its end can be used again.
fn finish<R: Read>(mut packets: Packets<R>) {
    let mut left = REST;
    while let (Ok(Some(packet)), true) = (packets.next(), left > 0) {
        let length = match packet {
            Packet::Data(line) => line.len() as u64,
            _ => 4,
        };
        left = left.saturating_sub(length);
    }
}
