//! What a server says of a push: its report (report-status, both versions), alone or in the first of three bands, and in
//! the second the words of its hooks. Bytes in, plain facts out; no length is trusted, no word is shown uncleaned.

use std::{collections::BTreeMap, io::Read};

use super::{
    Error, RefEdit,
    packet::{Packet, Packets, text},
    talk::Talk,
};

/// What Git says where it lacks what new objects stand on, in lower case.
const INCOMPLETE: &[&str] = &[
    "unresolved delta",
    "missing",
    "object of unexpected type",
    "did not receive expected object",
];
/// The longest report that is taken in, in bytes.
const LONGEST: usize = 16 << 20;
/// So many words of hooks are kept, in bytes.
const WORDS: usize = 64 << 10;
/// So many characters of them are shown.
const SHOWN: usize = 1000;

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// By the name of a ref: why it was refused; nothing if it was done.
    pub(super) statuses: BTreeMap<String, Option<String>>,
    /// What hooks and Git said besides, line by line, cleaned.
    pub(super) words: Vec<String>,
}

impl Heard {
    /// Returns a reason with the words that came with it.
    pub(super) fn shown(&self, reason: &str) -> String {
        shown(reason, &self.words)
    }
}

/// An answer as it comes in.
pub(super) struct Hearing {
    banded: bool,
    report: Vec<u8>,
    words: Vec<u8>,
    /// What ended it, in the third band.
    fatal: Option<Vec<u8>>,
}

impl Hearing {
    /// Returns the hearing of an answer in bands, or of a bare report.
    pub(super) fn new(banded: bool) -> Self {
        Self {
            banded,
            report: Vec::new(),
            words: Vec::new(),
            fatal: None,
        }
    }

    /// Returns what the server said of every edit.
    ///
    /// # Errors
    /// [`Error::Uncertain`] when the answer ends before that; [`Error::TooLarge`], [`Error::Full`] and
    /// [`Error::Unreachable`] when it could not take the objects in; [`Error::Protocol`] when it refused the request.
    pub(super) fn read(
        mut self,
        talk: Talk<'_>,
        reader: impl Read,
        edits: &[RefEdit],
    ) -> Result<Heard, Error> {
        let broken = self.take_all(talk, reader)?;
        let words = lines(&self.words);
        let (unpacked, statuses) = statuses(&self.report);
        if let Some(Err(why)) = &unpacked {
            return unpacking(why, words, edits);
        }
        if edits.iter().all(|edit| statuses.contains_key(&edit.name)) {
            return Ok(Heard { statuses, words });
        }
        let fatal = self.fatal.map(|fatal| lines(&fatal).join(" "));
        let why = fatal.or(broken);
        let why = why.unwrap_or_else(|| "the report is not complete".into());
        Err(talk.uncertain(&shown(&why, &words)))
    }

    /// Takes in an answer to its end, or to where it breaks off; returns why it did.
    fn take_all(&mut self, talk: Talk<'_>, reader: impl Read) -> Result<Option<String>, Error> {
        let mut packets = Packets::new(reader);
        let mut first = true;
        loop {
            let packet = match packets.next() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(talk.broken(&error).to_string())),
            };
            if let (true, Packet::Data(line)) = (first, &packet)
                && let Some(words) = line.strip_prefix(b"ERR ")
            {
                return Err(talk.told(words));
            }
            first = false;
            self.take(&packet);
        }
    }

    fn take(&mut self, packet: &Packet<'_>) {
        let (into, data, most) = match packet {
            Packet::Data(line) if !self.banded => {
                let length = format!("{:04x}", line.len() + 4);
                self.report.extend_from_slice(length.as_bytes());
                (&mut self.report, *line, LONGEST)
            }
            Packet::Data([1, data @ ..]) => (&mut self.report, data, LONGEST),
            Packet::Data([2, data @ ..]) => (&mut self.words, data, WORDS),
            Packet::Data([3, data @ ..]) => (self.fatal.get_or_insert_with(Vec::new), data, WORDS),
            _ => return,
        };
        let room = most.saturating_sub(into.len()).min(data.len());
        into.extend_from_slice(&data[..room]);
    }
}

type Unpacked = Option<Result<(), String>>;

/// Returns whether the objects were taken in, and what became of each ref.
fn statuses(report: &[u8]) -> (Unpacked, BTreeMap<String, Option<String>>) {
    let (mut unpacked, mut statuses) = (None, BTreeMap::new());
    let mut packets = Packets::new(report);
    while let Ok(Some(packet)) = packets.next() {
        let Packet::Data(line) = packet else {
            continue;
        };
        let Some(line) = text(line) else { continue };
        match line.split_once(' ') {
            Some(("unpack", "ok")) => unpacked = Some(Ok(())),
            Some(("unpack", why)) => unpacked = Some(Err(why.into())),
            Some(("ok", name)) => drop(statuses.insert(name.into(), None)),
            Some(("ng", rest)) => {
                let (name, why) = rest.split_once(' ').unwrap_or((rest, "refused"));
                let why = lines(why.as_bytes()).join(" ");
                statuses.insert(name.into(), Some(why));
            }
            // `option` lines of version 2 tell of refs that a hook renamed: none of those that were asked for.
            _ => {}
        }
    }
    (unpacked, statuses)
}

/// Returns what is to be said of objects that were not taken in; nothing was done then.
fn unpacking(why: &str, words: Vec<String>, edits: &[RefEdit]) -> Result<Heard, Error> {
    let all = format!("{why} {}", words.join(" ")).to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| all.contains(part));
    let told = shown(
        &format!("the server could not take the objects in: {why}"),
        &words,
    );
    if says(&["exceeds maximum allowed size", "too large"]) {
        return Err(Error::TooLarge(told));
    }
    if says(&["no space left", "disk quota", "disk full", "quota exceeded"]) {
        return Err(Error::Full(told));
    }
    // A rule, not a fault: the objects are not to the server's liking, or not whole.
    let reason = if says(&["fsck", "declined"]) {
        format!("unpack failed: {why}")
    } else if says(INCOMPLETE) {
        format!("missing objects: {why}")
    } else {
        return Err(Error::Unreachable(told));
    };
    let refused = |edit: &RefEdit| (edit.name.clone(), Some(reason.clone()));
    let statuses = edits.iter().map(refused).collect();
    Ok(Heard { statuses, words })
}

fn shown(reason: &str, words: &[String]) -> String {
    let all = match words.join(" ") {
        none if none.is_empty() => reason.to_string(),
        words => format!("{reason}: {words}"),
    };
    all.chars().take(SHOWN).collect()
}

/// Returns lines that can be shown: no control characters, no colours, nothing empty.
fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split(['\n', '\r']).map(clean);
    lines.filter(|line| !line.is_empty()).collect()
}

fn clean(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // A terminal's command ends with a letter.
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out.trim().into()
}
