//! Maps and lists in `{}` and `[]`, on one line. In come texts that begin with one, out come nodes.

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

/// Returns where the next entry begins, past what separates it; nothing behind the last one.
fn next(text: &str, at: usize, end: u8) -> Option<Option<usize>> {
    let at = past_spaces(text, at);
    let byte = *text.as_bytes().get(at)?;
    if byte == end {
        return Some(None);
    }
    let start = past_spaces(text, at + 1);
    // What has a comma behind its last entry is declined.
    let is_entry = byte == b',' && text.as_bytes().get(start) != Some(&end);
    is_entry.then_some(Some(start))
}

fn map(text: &str, start: usize, depth: usize) -> Option<Node<'_>> {
    let mut members = Vec::new();
    let mut at = past_spaces(text, start + 1);
    let is_empty = text.as_bytes().get(at) == Some(&b'}');
    while !is_empty {
        let (key, length) = match quoted(&text[at..]) {
            Some((key, length)) => (key, length),
            None => {
                let length = key_length(&text[at..])?;
                (text[at..at + length].into(), length)
            }
        };
        let is_said = text[at + length..].starts_with(": ");
        if !is_said || key.len() > MOST_BYTES_OF_KEY {
            return None;
        }
        let node = value(text, past_spaces(text, at + length + 1), depth)?;
        let end = node.range.end;
        members.push(Member { at, key, node });
        match next(text, end, b'}')? {
            Some(start) => at = start,
            None => {
                at = past_spaces(text, end);
                break;
            }
        }
    }
    are_unique(&members).then_some(Node {
        range: start..at + 1,
        content: Content::Map(members),
        is_flow: true,
    })
}

fn list(text: &str, start: usize, depth: usize) -> Option<Node<'_>> {
    let mut items = Vec::new();
    let mut at = past_spaces(text, start + 1);
    let is_empty = text.as_bytes().get(at) == Some(&b']');
    while !is_empty {
        let node = value(text, at, depth)?;
        let end = node.range.end;
        items.push(node);
        match next(text, end, b']')? {
            Some(start) => at = start,
            None => {
                at = past_spaces(text, end);
                break;
            }
        }
    }
    Some(Node {
        range: start..at + 1,
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
