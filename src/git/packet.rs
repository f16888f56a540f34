//! Packet lines, the frames of Git's protocol (gitprotocol-common). Bytes in, bytes out; no length is trusted.

use std::io::{self, Read};

/// Longest packet, its four digits included.
const LONGEST: usize = 65520;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A line.
    Data(&'a [u8]),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of an answer.
    End,
}

/// Appends a line.
pub(super) fn write_line(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(format!("{:04x}", line.len() + 4).as_bytes());
    out.extend_from_slice(line.as_bytes());
}

/// Reads frames from a stream into one buffer.
pub(super) struct Packets<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: Read> Packets<R> {
    /// Returns the frames of `stream`.
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: vec![0; LONGEST],
        }
    }

    /// Returns the next frame, or nothing at the end of the stream.
    ///
    /// # Errors
    /// Those of the stream; `InvalidData` for what is no frame; `UnexpectedEof` for a frame cut short.
    pub(super) fn next(&mut self) -> io::Result<Option<Packet<'_>>> {
        let mut digits = [0; 4];
        match self.stream.read(&mut digits)? {
            0 => return Ok(None),
            some => self.stream.read_exact(&mut digits[some..])?,
        }
        let length = length(digits).ok_or_else(|| invalid("no length of a packet"))?;
        match length {
            0 => Ok(Some(Packet::Flush)),
            1 => Ok(Some(Packet::Delimiter)),
            2 => Ok(Some(Packet::End)),
            4..=LONGEST => {
                let line = &mut self.buffer[..length - 4];
                self.stream.read_exact(line)?;
                Ok(Some(Packet::Data(line)))
            }
            _ => Err(invalid("a packet of impossible length")),
        }
    }
}

fn length(digits: [u8; 4]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Returns the text of a line without its end, or nothing if it is not UTF-8.
pub(super) fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line)
        .ok()
        .map(|line| line.strip_suffix('\n').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, io::ErrorKind> {
        let mut packets = Packets::new(bytes);
        let mut seen = Vec::new();
        while let Some(packet) = packets.next().map_err(|error| error.kind())? {
            seen.push(format!("{packet:?}"));
        }
        Ok(seen)
    }

    #[test]
    fn frames_are_read_back_as_written() {
        let mut bytes = Vec::new();
        write_line(&mut bytes, "want x\n");
        bytes.extend_from_slice(b"000000010002");
        write_line(&mut bytes, "");
        let data = format!("{:?}", Packet::Data(b"want x\n"));
        let empty = format!("{:?}", Packet::Data(b""));
        let all = [data.as_str(), "Flush", "Delimiter", "End", empty.as_str()];
        assert_eq!(read(&bytes).unwrap(), all);
        assert_eq!(text(b"want x\n"), Some("want x"));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for (bytes, kind) in [
            (&b"<html>"[..], io::ErrorKind::InvalidData),
            (b"0003", io::ErrorKind::InvalidData),
            (b"fff1", io::ErrorKind::InvalidData),
            (b"+004", io::ErrorKind::InvalidData),
            (b"00", io::ErrorKind::UnexpectedEof),
            (b"0009want", io::ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(read(bytes), Err(kind), "{bytes:?}");
        }
    }
}
