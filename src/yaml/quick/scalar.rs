//! Scalars of one line. In come bytes, out come texts and what they are taken for.

use std::borrow::Cow;

use serde_json::Value;

use super::super::read;

/// Words that are no texts, in any case of their letters.
const WORDS: [&str; 3] = ["true", "false", "null"];
/// A number has no other signs than these.
const OF_NUMBERS: &str = "0123456789+-._eExXoObBaAcCdDfF:iInN";

/// Returns what a scalar without quotes is taken for; nothing if it is declined.
pub(super) fn plain(text: &str) -> Option<Value> {
    if is_text(text) {
        return Some(text.into());
    }
    match text {
        "true" => return Some(true.into()),
        "false" => return Some(false.into()),
        "null" | "~" => return Some(Value::Null),
        _ => {}
    }
    let is_short = text.len() < 18 && (text == "0" || !text.starts_with('0'));
    if is_short && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u64>().ok().map(Value::from);
    }
    read::alone(text)
}

/// Returns what a text without spaces is taken for that has no quotes; nothing if it is declined.
pub(in crate::yaml) fn word(text: &str) -> Option<Value> {
    let is_plain = plain_length(text) == Some(text.len());
    is_plain.then(|| plain(text)).flatten()
}

/// Returns whether a scalar without quotes is nothing but a text, whoever reads it.
pub(super) fn is_text(text: &str) -> bool {
    let first = text.bytes().next().unwrap_or_default();
    if first.is_ascii_alphabetic() || first == b'_' {
        return !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    }
    text != "~" && text.contains(|c: char| !OF_NUMBERS.contains(c))
}

/// Returns the length of a scalar without quotes that begins a text: to the end of the line, or to a comment. Nothing if it is declined.
pub(super) fn plain_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    let begins = match first {
        b'-' => bytes.get(1).is_some_and(|next| !b" \n".contains(next)),
        _ => first.is_ascii_alphanumeric() || b"_/.$~+(^\\".contains(&first) || !first.is_ascii(),
    };
    if !begins {
        return None;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let mut line = &text[..end.unwrap_or(text.len())];
    if let Some(comment) = line.find(" #") {
        line = &line[..comment];
    }
    let line = line.trim_end_matches(' ');
    let is_mark = ["---", "..."].contains(&line.split(' ').next()?);
    (!is_mark && !line.contains(": ") && !line.ends_with(':')).then_some(line.len())
}

/// Returns a scalar in quotes that begins a text, and its length with the quotes; nothing if it is declined.
pub(super) fn quoted(text: &str) -> Option<(Cow<'_, str>, usize)> {
    match text.as_bytes().first()? {
        b'"' => double_quoted(text),
        b'\'' => single_quoted(text),
        _ => None,
    }
}

fn single_quoted(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    let (mut at, mut has_quotes) = (1, false);
    loop {
        match bytes.get(at)? {
            b'\n' => return None,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => {
                has_quotes = true;
                at += 2;
            }
            b'\'' => break,
            _ => at += 1,
        }
    }
    let inner = &text[1..at];
    let inner = if has_quotes {
        Cow::Owned(inner.replace("''", "'"))
    } else {
        Cow::Borrowed(inner)
    };
    Some((inner, at + 1))
}

fn double_quoted(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    // What was said until the last sign behind a backslash, and where that ends.
    let (mut said, mut kept) = (String::new(), 1);
    let mut at = 1;
    loop {
        let meant = match (*bytes.get(at)?, bytes.get(at + 1)) {
            (b'"', _) => break,
            (b'\\', Some(b'n')) => "\n",
            (b'\\', Some(b't')) => "\t",
            (b'\\', Some(b'"')) => "\"",
            (b'\\', Some(b'\\')) => "\\",
            (b'\\' | b'\n', _) => return None,
            _ => {
                at += 1;
                continue;
            }
        };
        said.extend([&text[kept..at], meant]);
        at += 2;
        kept = at;
    }
    let rest = &text[kept..at];
    if kept == 1 {
        return Some((Cow::Borrowed(rest), at + 1));
    }
    said.push_str(rest);
    Some((Cow::Owned(said), at + 1))
}

/// Returns the length of a key without quotes that begins a text; nothing if there is none, or it is declined.
pub(super) fn key_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = bytes.first()?;
    let is_first = first.is_ascii_alphabetic() || *first == b'_';
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./$".contains(byte);
    let length = bytes.iter().position(|byte| !is_inside(byte))?;
    let key = &text[..length];
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(key));
    (is_first && !is_word && length <= MOST_BYTES_OF_KEY).then_some(length)
}

/// A longer key may be too long for the libraries.
pub(super) const MOST_BYTES_OF_KEY: usize = 200;
