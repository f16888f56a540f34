//! Maps and lists in `{}` and `[]`, on one line. In come texts that begin with one, out come nodes.

use std::borrow::Cow;

use super::{
    scalar::{MOST_BYTES_OF_KEY, key_length, quoted},
    scan::{MOST_DEPTH, are_unique},
    tree::{Content, Member, Node},
};

/// Returns the map or list that begins at a byte; nothing if it is declined.
pub(super) fn collection(text: &str, at: usize, depth: usize) -> Option<Node<'_>> {
    if depth > MOST_DEPTH {
        return None;
    }
    match text.as_bytes().get(at)? {
        b'{' => map(text, at, depth),
        b'[' => list(text, at, depth),
        _ => None,
    }
}

fn past_spaces(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes()[at..].iter();
    at + bytes.take_while(|byte| **byte == b' ').count()
}

/// Reads the entries of what begins at a byte, each by a function that returns where it ends; returns where all ends.
fn entries(
    text: &str,
    start: usize,
    end: u8,
    mut entry: impl FnMut(usize) -> Option<usize>,
) -> Option<usize> {
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let mut at = past_spaces(text, start + 1);
    if byte(at) == Some(end) {
        return Some(at + 1);
    }
    loop {
        at = past_spaces(text, entry(at)?);
        if byte(at)? == end {
            return Some(at + 1);
        }
        let is_next = byte(at) == Some(b',');
        at = past_spaces(text, at + 1);
        // What has a comma behind its last entry is declined.
        if !is_next || byte(at) == Some(end) {
            return None;
        }
    }
}

fn map(text: &str, start: usize, depth: usize) -> Option<Node<'_>> {
    let mut members = Vec::new();
    let end = entries(text, start, b'}', |at| {
        let (key, length) = key(&text[at..])?;
        let is_said = text[at + length..].starts_with(": ");
        if !is_said || key.len() > MOST_BYTES_OF_KEY {
            return None;
        }
        let node = value(text, past_spaces(text, at + length + 1), depth)?;
        let end = node.range.end;
        members.push(Member { at, key, node });
        Some(end)
    })?;
    are_unique(&members).then_some(Node {
        range: start..end,
        content: Content::Map(members),
        is_flow: true,
    })
}

fn key(text: &str) -> Option<(Cow<'_, str>, usize)> {
    quoted(text).or_else(|| {
        let length = key_length(text)?;
        Some((text[..length].into(), length))
    })
}

fn list(text: &str, start: usize, depth: usize) -> Option<Node<'_>> {
    let mut items = Vec::new();
    let end = entries(text, start, b']', |at| {
        let node = value(text, at, depth)?;
        let end = node.range.end;
        items.push(node);
        Some(end)
    })?;
    Some(Node {
        range: start..end,
        content: Content::List(items),
        is_flow: true,
    })
}

fn value(text: &str, at: usize, depth: usize) -> Option<Node<'_>> {
    let rest = &text[at..];
    let (content, length) = match rest.as_bytes().first()? {
        b'{' | b'[' => return collection(text, at, depth + 1),
        b'"' | b'\'' => {
            let (said, length) = quoted(rest)?;
            (Content::Quoted(said), length)
        }
        _ => {
            let length = plain_length(rest)?;
            (Content::Plain(&rest[..length]), length)
        }
    };
    Some(Node {
        range: at..at + length,
        content,
        is_flow: false,
    })
}

/// Returns the length of a scalar without quotes; nothing if it is declined.
fn plain_length(text: &str) -> Option<usize> {
    let end = text.find([',', ']', '}', '\n'])?;
    let said = text[..end].trim_end_matches(' ');
    let is_first = |c: char| c.is_ascii_alphanumeric() || "_/.$~".contains(c);
    let is_inside = |c: char| is_first(c) || "+- ".contains(c);
    let begins = said.starts_with(is_first) || is_negative(said);
    (begins && said.chars().all(is_inside)).then_some(said.len())
}

fn is_negative(text: &str) -> bool {
    let rest = text.strip_prefix('-');
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
}
