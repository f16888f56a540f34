//! A document that was read, with the place of everything in its text. In come trees, out come values and whether they say a value.

use std::{borrow::Cow, ops::Range};

use serde_json::{Map, Value};

use super::scalar::{is_text, plain};

/// A document.
#[derive(Debug)]
pub(in crate::yaml) struct Tree<'a> {
    pub(in crate::yaml) text: &'a str,
    /// A map in blocks.
    pub(in crate::yaml) root: Node<'a>,
    /// In the order of the text.
    pub(in crate::yaml) comments: Vec<Remark>,
}

/// A comment.
#[derive(Debug)]
pub(in crate::yaml) struct Remark {
    /// Its bytes, from `#` to the end of its line.
    pub(in crate::yaml) range: Range<usize>,
    /// Whether it has its line for itself.
    pub(in crate::yaml) is_alone: bool,
}

/// A value.
#[derive(Debug)]
pub(in crate::yaml) struct Node<'a> {
    /// Its bytes, without the space behind it: of a map from its first key, of a list from its first dash.
    pub(in crate::yaml) range: Range<usize>,
    pub(in crate::yaml) content: Content<'a>,
    /// Whether it is a map or a list in `{}` or `[]`.
    pub(in crate::yaml) is_flow: bool,
}

/// What a value says.
#[derive(Debug)]
pub(in crate::yaml) enum Content<'a> {
    /// Nothing is written.
    Nothing,
    /// Without quotes.
    Plain(&'a str),
    /// In quotes.
    Quoted(Cow<'a, str>),
    /// A text in several lines.
    Block(String),
    Map(Vec<Member<'a>>),
    List(Vec<Node<'a>>),
}

/// A member of a map.
#[derive(Debug)]
pub(in crate::yaml) struct Member<'a> {
    /// Where its key begins.
    pub(in crate::yaml) at: usize,
    pub(in crate::yaml) key: Cow<'a, str>,
    pub(in crate::yaml) node: Node<'a>,
}

impl Node<'_> {
    /// Returns what is said; nothing if a scalar is declined.
    pub(in crate::yaml) fn value(&self) -> Option<Value> {
        Some(match &self.content {
            Content::Nothing => Value::Null,
            Content::Plain(text) => plain(text)?,
            Content::Quoted(text) => Value::from(&**text),
            Content::Block(text) => Value::from(text.as_str()),
            Content::Map(members) => {
                let mut map = Map::with_capacity(members.len());
                for member in members {
                    map.insert(member.key.as_ref().into(), member.node.value()?);
                }
                Value::Object(map)
            }
            Content::List(items) => {
                let items: Option<Vec<Value>> = items.iter().map(Self::value).collect();
                Value::Array(items?)
            }
        })
    }

    /// Returns whether it says a value; nothing if a scalar is declined.
    pub(in crate::yaml) fn says(&self, value: &Value) -> Option<bool> {
        Some(match (&self.content, value) {
            (Content::Nothing, value) => value.is_null(),
            (Content::Plain(text), Value::String(other)) if is_text(text) => text == other,
            (Content::Plain(text), value) => plain(text)? == *value,
            (Content::Quoted(text), Value::String(other)) => **text == **other,
            (Content::Block(text), Value::String(other)) => text == other,
            (Content::Map(members), Value::Object(map)) => {
                return Self::all_say(members, map);
            }
            (Content::List(items), Value::Array(values)) => {
                if items.len() != values.len() {
                    return Some(false);
                }
                for (item, value) in items.iter().zip(values) {
                    if !item.says(value)? {
                        return Some(false);
                    }
                }
                true
            }
            _ => false,
        })
    }

    fn all_say(members: &[Member], map: &Map<String, Value>) -> Option<bool> {
        if members.len() != map.len() {
            return Some(false);
        }
        for member in members {
            let Some(value) = map.get(member.key.as_ref()) else {
                return Some(false);
            };
            if !member.node.says(value)? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Returns whether none of its scalars is declined.
    pub(in crate::yaml) fn is_sound(&self) -> bool {
        match &self.content {
            Content::Plain(text) => is_text(text) || plain(text).is_some(),
            Content::Map(members) => members.iter().all(|member| member.node.is_sound()),
            Content::List(items) => items.iter().all(Self::is_sound),
            _ => true,
        }
    }

    /// Returns whether it is a map or a list in blocks, with something in it.
    pub(in crate::yaml) fn is_block(&self) -> bool {
        !self.is_flow && matches!(self.content, Content::Map(_) | Content::List(_))
    }
}
