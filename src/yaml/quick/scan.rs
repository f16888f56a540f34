//! The one pass over a text: from line to line, with one step deeper for every map and list. In comes a text, out comes its tree.

use std::{borrow::Cow, collections::HashSet};

use super::{
    super::read,
    MOST_BYTES, flow,
    scalar::{MOST_BYTES_OF_KEY, key_length, plain_length, quoted},
    tree::{Content, Member, Node, Remark, Tree},
};

/// What is deeper is declined, before it is too deep for the libraries or for the stack.
pub(super) const MOST_DEPTH: usize = 30;

/// Returns the tree of a text that is one map in blocks; nothing if it is declined.
pub(in crate::yaml) fn scan(text: &str) -> Option<Tree<'_>> {
    if text.len() > MOST_BYTES || !is_ordinary(text) {
        return None;
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        comments: Vec::new(),
    };
    let first = scanner.begin()?;
    if first.indent != 0 || scanner.is_end(first) {
        return None;
    }
    let root = scanner.map(first, 0)?;
    let after = scanner.line();
    scanner.is_end(after).then_some(Tree {
        text,
        root,
        comments: scanner.comments,
    })
}

/// Returns whether a text has no signs that are not what they look like.
pub(super) fn is_ordinary(text: &str) -> bool {
    let is_odd_byte = |byte: u8| byte < b' ' && byte != b'\n' || byte == 0x7f;
    let is_odd = |c: char| {
        let is_private = matches!(
            c,
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{e000}'..='\u{f8ff}'
        );
        is_private || !c.is_ascii() && (c.is_control() || c.is_whitespace())
    };
    // Without an early end it is done many bytes at a time.
    let has_odd_byte = text
        .bytes()
        .fold(false, |has, byte| has | is_odd_byte(byte));
    if has_odd_byte {
        return false;
    }
    text.is_ascii() || !text.chars().any(is_odd)
}

/// Returns whether no two members have the same key.
pub(super) fn are_unique(members: &[Member]) -> bool {
    if members.len() > 16 {
        let keys: HashSet<&str> = members.iter().map(|member| &*member.key).collect();
        return keys.len() == members.len();
    }
    let numbered = members.iter().enumerate();
    let mut numbered = numbered.map(|(at, member)| (member, &members[..at]));
    numbered.all(|(member, others)| others.iter().all(|other| other.key != member.key))
}

/// A line that says something, or the end of the text.
#[derive(Clone, Copy)]
struct Line {
    /// How many spaces begin it.
    indent: usize,
    /// Its first byte behind them.
    at: usize,
}

struct Scanner<'a> {
    text: &'a str,
    /// Where the line begins that is read next.
    at: usize,
    comments: Vec<Remark>,
}

impl<'a> Scanner<'a> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn is_end(&self, line: Line) -> bool {
        line.at >= self.text.len()
    }

    /// Returns where the line of a byte ends.
    fn line_end(&self, at: usize) -> usize {
        let rest = &self.text.as_bytes()[at..];
        let length = rest.iter().position(|byte| *byte == b'\n');
        length.map_or(self.text.len(), |length| at + length)
    }

    fn past_spaces(&self, at: usize) -> usize {
        let rest = self.text.as_bytes()[at..].iter();
        at + rest.take_while(|byte| **byte == b' ').count()
    }

    /// Returns the next line that says something; comments before it are put down.
    fn line(&mut self) -> Line {
        loop {
            let at = self.past_spaces(self.at);
            let indent = at - self.at;
            match self.byte(at) {
                Some(b'\n') => self.at = at + 1,
                Some(b'#') => self.remark(at, true),
                _ => return Line { indent, at },
            }
        }
    }

    /// Puts down a comment, and goes on to the next line.
    fn remark(&mut self, at: usize, is_alone: bool) {
        let end = self.line_end(at);
        self.comments.push(Remark {
            range: at..end,
            is_alone,
        });
        self.at = (end + 1).min(self.text.len());
    }

    /// Goes on to the next line, past the comment that may be behind what ends here.
    fn end_line(&mut self, at: usize) -> Option<()> {
        let next = self.past_spaces(at);
        match self.byte(next) {
            None => self.at = next,
            Some(b'\n') => self.at = next + 1,
            Some(b'#') if next > at => self.remark(next, false),
            _ => return None,
        }
        Some(())
    }

    /// Returns the first line of the document, past the mark that may begin it.
    fn begin(&mut self) -> Option<Line> {
        let first = self.line();
        if first.indent == 0 && self.text[first.at..].starts_with("---") {
            self.end_line(first.at + 3)?;
            return Some(self.line());
        }
        Some(first)
    }

    /// Returns whether an item of a list begins at a byte.
    fn is_item(&self, at: usize) -> bool {
        self.byte(at) == Some(b'-') && matches!(self.byte(at + 1), None | Some(b' ' | b'\n'))
    }

    /// Returns the key that begins at a byte, and where its colon ends; nothing if there is none, or it is declined.
    fn key(&self, at: usize) -> Option<(Cow<'a, str>, usize)> {
        let rest = &self.text[at..];
        let (key, length) = match self.byte(at)? {
            b'"' | b'\'' => quoted(rest)?,
            _ => {
                let length = key_length(rest)?;
                (rest[..length].into(), length)
            }
        };
        let colon = at + length;
        let is_key = self.byte(colon) == Some(b':')
            && matches!(self.byte(colon + 1), None | Some(b' ' | b'\n'));
        (is_key && key.len() <= MOST_BYTES_OF_KEY).then_some((key, colon + 1))
    }

    /// Returns the map whose first key begins a line, or follows a dash in it.
    fn map(&mut self, first: Line, depth: usize) -> Option<Node<'a>> {
        if depth > MOST_DEPTH {
            return None;
        }
        let mut members: Vec<Member> = Vec::new();
        let (mut line, mut end) = (first, first.at);
        loop {
            let (key, after) = self.key(line.at)?;
            let node = self.value(after, first.indent, depth)?;
            end = end.max(node.range.end);
            members.push(Member {
                at: line.at,
                key,
                node,
            });
            line = self.line();
            if self.is_end(line) || line.indent < first.indent {
                break;
            }
            if line.indent > first.indent {
                return None;
            }
        }
        are_unique(&members).then_some(Node {
            range: first.at..end,
            content: Content::Map(members),
            is_flow: false,
        })
    }

    /// Returns the value behind a colon, of a member of a map with that indent.
    fn value(&mut self, at: usize, indent: usize, depth: usize) -> Option<Node<'a>> {
        let start = self.past_spaces(at);
        if !matches!(self.byte(start), None | Some(b'\n' | b'#')) {
            return self.inline(start, indent, depth);
        }
        self.end_line(at)?;
        let line = self.line();
        let is_item = self.is_item(line.at);
        if self.is_end(line) || line.indent < indent || line.indent == indent && !is_item {
            return Some(Node {
                range: at..at,
                content: Content::Nothing,
                is_flow: false,
            });
        }
        if is_item {
            return self.list(line, depth + 1);
        }
        self.map(line, depth + 1)
    }

    /// Returns the list whose first dash begins a line.
    fn list(&mut self, first: Line, depth: usize) -> Option<Node<'a>> {
        if depth > MOST_DEPTH {
            return None;
        }
        let mut items: Vec<Node> = Vec::new();
        let (mut line, mut end) = (first, first.at);
        loop {
            let node = self.item(line, depth)?;
            end = end.max(node.range.end);
            items.push(node);
            line = self.line();
            let goes_on = line.indent == first.indent && self.is_item(line.at);
            if self.is_end(line) || line.indent < first.indent || !goes_on {
                break;
            }
        }
        (self.is_end(line) || line.indent <= first.indent).then_some(Node {
            range: first.at..end,
            content: Content::List(items),
            is_flow: false,
        })
    }

    fn item(&mut self, line: Line, depth: usize) -> Option<Node<'a>> {
        let start = self.past_spaces(line.at + 1);
        if self.is_item(start) {
            return None;
        }
        if self.key(start).is_some() {
            let first = Line {
                indent: line.indent + start - line.at,
                at: start,
            };
            return self.map(first, depth + 1);
        }
        self.inline(start, line.indent, depth)
    }

    /// Returns the value that begins at a byte and is neither a map nor a list in blocks; what it is in has that indent.
    fn inline(&mut self, at: usize, indent: usize, depth: usize) -> Option<Node<'a>> {
        let rest = &self.text[at..];
        let (content, length) = match self.byte(at)? {
            b'"' | b'\'' => {
                let (said, length) = quoted(rest)?;
                (Content::Quoted(said), length)
            }
            b'{' | b'[' => {
                let node = flow::collection(self.text, at, depth + 1)?;
                self.end_line(node.range.end)?;
                return Some(node);
            }
            b'|' | b'>' => return self.block(at, indent),
            _ => {
                let length = plain_length(rest)?;
                (Content::Plain(&rest[..length]), length)
            }
        };
        self.end_line(at + length)?;
        Some(Node {
            range: at..at + length,
            content,
            is_flow: false,
        })
    }

    /// Returns the text in several lines whose head begins at a byte.
    fn block(&mut self, at: usize, indent: usize) -> Option<Node<'a>> {
        let is_stripped = self.byte(at + 1) == Some(b'-');
        self.end_line(at + 1 + usize::from(is_stripped))?;
        let start = self.at;
        let (mut inner, mut end, mut is_wide) = (None, start, false);
        while self.at < self.text.len() {
            let first = self.past_spaces(self.at);
            let (width, line_end) = (first - self.at, self.line_end(first));
            if first == line_end {
                // A line of spaces that are more than what is cut off says something; the first and the last one are declined.
                is_wide |= width > inner.unwrap_or(0);
                inner.or((!is_wide).then_some(0))?;
            } else if width < *inner.get_or_insert(width) || width <= indent {
                break;
            } else {
                (end, is_wide) = (line_end, false);
            }
            // A text without an end of its last line is declined.
            self.byte(line_end)?;
            self.at = line_end + 1;
        }
        let inner = inner.filter(|inner| *inner > indent && !is_wide)?;
        let lines = &self.text[start..end];
        let content = if self.byte(at) == Some(b'|') {
            literal(lines, inner, is_stripped)
        } else {
            let head = &self.text[at..at + 1 + usize::from(is_stripped)];
            let value = read::alone(&format!("{head}\n{lines}\n"))?;
            value.as_str()?.to_owned()
        };
        // What stands deeper than the key, but not as deep as the text, is declined.
        let after = Line {
            at: self.past_spaces(self.at),
            indent: self.past_spaces(self.at) - self.at,
        };
        (self.is_end(after) || after.indent <= indent).then_some(Node {
            range: at..at + self.text[at..end].trim_end_matches(' ').len(),
            content: Content::Block(content),
            is_flow: false,
        })
    }
}

/// Returns what the lines of a text say, without what is cut off.
fn literal(lines: &str, inner: usize, is_stripped: bool) -> String {
    let mut said = String::with_capacity(lines.len());
    for line in lines.split('\n') {
        said.push_str(line.get(inner..).unwrap_or_default());
        said.push('\n');
    }
    if is_stripped {
        said.pop();
    }
    said
}
