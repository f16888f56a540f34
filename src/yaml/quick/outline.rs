//! The outline of a text by its tree. In comes a text, out come its things and comments, as the library would find them.

use super::{
    super::outline::{Comment, Mark, Place, STEP, Thing, line_of, line_starts},
    scan,
    tree::{Content, Node, Remark, Tree},
};

/// Returns the comments of a text, in its order; nothing if it is declined.
pub(in crate::yaml) fn comments(text: &str) -> Option<Vec<String>> {
    let tree = scan(text)?;
    let comments = tree.comments.iter();
    Some(
        comments
            .map(|comment| said(&tree, comment).into())
            .collect(),
    )
}

/// Returns the things of a text in its order, and its comments; nothing if it is declined.
pub(in crate::yaml) fn outlined(text: &str, mark: Mark) -> Option<(Vec<Thing>, Vec<Comment>)> {
    let tree = scan(text)?;
    let mut outline = Outline {
        starts: line_starts(text),
        mark,
        path: String::new(),
        things: Vec::new(),
    };
    outline.below(&tree.root)?;
    let comments = tree.comments.iter().map(|comment| Comment {
        line: line_of(&outline.starts, comment.range.start),
        text: said(&tree, comment).into(),
        place: if comment.is_alone {
            Place::Above
        } else {
            Place::Behind
        },
    });
    let comments = comments.collect();
    Some((outline.things, comments))
}

fn said<'a>(tree: &Tree<'a>, comment: &Remark) -> &'a str {
    tree.text[comment.range.clone()].trim_end()
}

/// A way through a tree, in the order of its text.
struct Outline {
    /// Where the lines begin.
    starts: Vec<usize>,
    mark: Mark,
    /// The path of where the way is.
    path: String,
    things: Vec<Thing>,
}

impl Outline {
    fn line(&self, at: usize) -> usize {
        line_of(&self.starts, at)
    }

    /// Puts down what is in a map or a list.
    fn below(&mut self, node: &Node) -> Option<()> {
        let length = self.path.len();
        match &node.content {
            Content::Map(members) => {
                for member in members {
                    self.step(&member.key);
                    self.thing(member.at, &member.node)?;
                    self.path.truncate(length);
                }
            }
            Content::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    let mark = match self.mark {
                        Mark::Name => name(item, at)?,
                        Mark::Place => at.to_string(),
                    };
                    self.step(&mark);
                    self.thing(item.range.start, item)?;
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn step(&mut self, step: &str) {
        self.path.push(STEP);
        self.path.push_str(step);
    }

    /// Puts down the thing that begins at a byte, and what is in it.
    fn thing(&mut self, at: usize, node: &Node) -> Option<()> {
        let first = self.line(at);
        let range = &node.range;
        let last = match &node.content {
            _ if node.is_block() => first,
            Content::Nothing => first,
            Content::Block(_) => self.line(range.start),
            _ => self.line(range.end - 1),
        };
        self.things.push(Thing {
            path: self.path.clone(),
            first,
            last,
            value: (!node.is_block()).then(|| range.clone()),
        });
        if node.is_block() {
            self.below(node)?;
        }
        Some(())
    }
}

/// Returns by what an item is known: its text, its name, or its place; nothing if that is declined.
fn name(item: &Node, at: usize) -> Option<String> {
    let members = match &item.content {
        Content::Map(members) => members,
        Content::List(_) => return Some(format!("#{at}")),
        _ => return Some(format!("={}", text(item)?)),
    };
    let mut members = members.iter();
    match members.find(|member| member.key == "name") {
        None => Some(format!("#{at}")),
        Some(member) => match &member.node.content {
            Content::Map(_) | Content::List(_) => Some(format!("#{at}")),
            _ => Some(format!("@{}", text(&member.node)?)),
        },
    }
}

/// Returns what a scalar of one line says.
fn text<'a>(node: &'a Node) -> Option<&'a str> {
    match &node.content {
        Content::Plain(text) => Some(text),
        Content::Quoted(text) => Some(text),
        _ => None,
    }
}
