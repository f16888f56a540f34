//! Changes of a text by its tree: other scalars, and new members and items. In come a text and what it shall say, out comes the text
//! changed in as few places as that takes, just as the library would change it; what takes more is declined.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{
    super::{edit::same_items, write::emit},
    scan,
    tree::{Content, Member, Node, Tree},
};

/// Returns the text of one document that says `wanted`; nothing if it is declined.
pub(in crate::yaml) fn rewritten(text: &str, wanted: &Value) -> Option<String> {
    let tree = scan(text)?;
    if tree.root.says(wanted)? {
        return Some(text.into());
    }
    let mut changes = Changes {
        tree: &tree,
        edits: Vec::new(),
    };
    changes.map(&tree.root, wanted.as_object()?)?;
    let made = changes.made();
    let is_said = scan(&made)?.root.says(wanted)?;
    is_said.then_some(made)
}

/// Bytes of a text, and what comes in their place.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// Changes of a text, in the order in which they were found.
struct Changes<'a> {
    tree: &'a Tree<'a>,
    edits: Vec<Edit>,
}

impl Changes<'_> {
    /// Returns the changed text.
    fn made(mut self) -> String {
        // What goes to one place stays in its order.
        self.edits.sort_by_key(|edit| edit.range.start);
        let text = self.tree.text;
        let more: usize = self.edits.iter().map(|edit| edit.text.len()).sum();
        let (mut out, mut at) = (String::with_capacity(text.len() + more), 0);
        for edit in &self.edits {
            out.push_str(&text[at..edit.range.start]);
            out.push_str(&edit.text);
            at = edit.range.end;
        }
        out.push_str(&text[at..]);
        out
    }

    /// Changes a map in blocks: what is gone from it is declined.
    fn map(&mut self, node: &Node, new: &Map<String, Value>) -> Option<()> {
        let (Content::Map(members), false) = (&node.content, node.is_flow) else {
            return None;
        };
        if members.iter().any(|member| !new.contains_key(&*member.key)) {
            return None;
        }
        let mut next = 0;
        let mut before: Option<&Member> = None;
        for (key, value) in new {
            let Some(at) = position(members, next, key) else {
                self.insert(before, members.first()?, key, value)?;
                continue;
            };
            let member = &members[at];
            if !member.node.says(value)? {
                self.value(&member.node, value)?;
            }
            (before, next) = (Some(member), at + 1);
        }
        Some(())
    }

    /// Puts a new member behind another one, or before the first one.
    fn insert(
        &mut self,
        before: Option<&Member>,
        first: &Member,
        key: &str,
        value: &Value,
    ) -> Option<()> {
        let column = self.column(first.at);
        let entry = entry(key, value, column);
        let (at, text) = match before {
            Some(before) => (self.behind(&before.node)?, [indent(column), entry].concat()),
            None => (first.at, [entry, indent(column)].concat()),
        };
        self.edits.push(Edit {
            range: at..at,
            text,
        });
        Some(())
    }

    /// Changes a value that says something else.
    fn value(&mut self, node: &Node, new: &Value) -> Option<()> {
        match (&node.content, new) {
            (Content::Map(_), Value::Object(new)) if !new.is_empty() => self.map(node, new),
            (Content::List(_), Value::Array(new)) if !new.is_empty() => self.list(node, new),
            (Content::Plain(_) | Content::Quoted(_), new) if is_scalar(new) => {
                let range = node.range.clone();
                let text = written(&self.tree.text[range.clone()], new);
                // Space that ends the line goes.
                let behind = &self.tree.text[range.end..];
                let spaces = behind.len() - behind.trim_start_matches(' ').len();
                let is_last = matches!(behind[spaces..].chars().next(), None | Some('\n'));
                let end = range.end + if is_last { spaces } else { 0 };
                let range = range.start..end;
                self.edits.push(Edit { range, text });
                Some(())
            }
            _ => None,
        }
    }

    /// Changes a list in blocks whose items stay, before others that are new.
    fn list(&mut self, node: &Node, new: &[Value]) -> Option<()> {
        let (Content::List(items), false) = (&node.content, node.is_flow) else {
            return None;
        };
        let old: Option<Vec<Value>> = items.iter().map(Node::value).collect();
        let kept = same_items(&old?, new);
        let are_kept = kept.iter().enumerate().all(|(at, from)| {
            let stays = at < items.len();
            *from == stays.then_some(at)
        });
        if !are_kept || new.len() < items.len() {
            return None;
        }
        for (item, value) in items.iter().zip(new) {
            if !item.says(value)? {
                self.value(item, value)?;
            }
        }
        for value in &new[items.len()..] {
            let at = self.behind(items.last()?)?;
            let column = self.column(node.range.start);
            let text = [indent(column), item(value, column)].concat();
            self.edits.push(Edit {
                range: at..at,
                text,
            });
        }
        Some(())
    }

    /// Returns where a line begins.
    fn line_start(&self, at: usize) -> usize {
        let before = self.tree.text[..at].rfind('\n');
        before.map_or(0, |before| before + 1)
    }

    /// Returns in which column a byte is.
    fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// Returns where the line behind a value begins. Empty lines behind a text of several lines belong to it.
    fn behind(&self, node: &Node) -> Option<usize> {
        let rest = &self.tree.text[node.range.end..];
        let mut at = node.range.end + rest.find('\n')? + 1;
        if matches!(last(node).content, Content::Block(_)) {
            let lines = self.tree.text[at..].split_inclusive('\n');
            let empty = lines.take_while(|line| line.trim_matches(' ') == "\n");
            at += empty.map(str::len).sum::<usize>();
        }
        Some(at)
    }
}

/// Returns which member has a key; most often it is the next one.
fn position(members: &[Member], next: usize, key: &str) -> Option<usize> {
    let is_it = |member: &Member| *member.key == *key;
    if members.get(next).is_some_and(is_it) {
        return Some(next);
    }
    members.iter().position(is_it)
}

/// Returns what is written last in a value.
fn last<'n, 'a>(node: &'n Node<'a>) -> &'n Node<'a> {
    let inner = match &node.content {
        Content::Map(members) => members.last().map(|member| &member.node),
        Content::List(items) => items.last(),
        _ => None,
    };
    inner.map_or(node, last)
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn indent(column: usize) -> String {
    " ".repeat(column)
}

/// Returns a scalar as it is written in place of another one: a text is quoted as that was.
fn written(old: &str, value: &Value) -> String {
    match (old.chars().next(), value.as_str()) {
        (Some('\''), Some(text)) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        (Some('"'), Some(_)) => value.to_string(),
        _ => one_line(value),
    }
}

fn one_line(value: &Value) -> String {
    let mut text = emit(value);
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Returns a member without what indents its first line.
fn entry(key: &str, value: &Value, column: usize) -> String {
    let mut text = one_line(&Value::from(key));
    text.push(':');
    let deeper = match value {
        Value::Object(map) if !map.is_empty() => column + 2,
        // Lists at the root are no deeper than their keys.
        Value::Array(items) if !items.is_empty() && column == 0 => 0,
        Value::Array(items) if !items.is_empty() => column + 2,
        _ => {
            text.extend([" ", &emit(value)]);
            return text;
        }
    };
    text.push('\n');
    for line in emit(value).split_inclusive('\n') {
        text.extend([indent(deeper).as_str(), line]);
    }
    text
}

/// Returns an item without what indents its first line.
fn item(value: &Value, column: usize) -> String {
    let mut text = String::from("- ");
    for (at, line) in emit(value).split_inclusive('\n').enumerate() {
        let before = if at == 0 {
            String::new()
        } else {
            indent(column + 2)
        };
        text.extend([before.as_str(), line]);
    }
    text
}
