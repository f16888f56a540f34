//! Documents of the form that nearly all have, read in one pass over their bytes: block maps and lists, scalars, block texts, and `{}` and
//! `[]` on one line. In come texts, out come trees that know where in the text everything stands, values, and changed texts.
//!
//! What is of any other form, or wrong, is declined here, and read and changed by the libraries; what is not declined is what they would
//! make of it: the same values, the same bytes. The tests hold the two beside each other.

mod change;
mod flow;
mod outline;
mod scalar;
mod scan;
mod tree;

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::edit::pieces;
pub(super) use change::rewritten;
pub(super) use outline::{comments, outlined};
pub(super) use scalar::word;
use scan::{is_ordinary, scan};
use tree::Tree;

/// A text of more bytes may have more of something than the libraries take; few have.
const MOST_BYTES: usize = 512 << 10;
/// A text of more documents, too.
const MOST_DOCUMENTS: usize = 1_000;

/// Returns the values of all documents of a text; nothing if it is declined.
pub(super) fn documents(text: &str) -> Option<Vec<Value>> {
    let trees = trees(text)?;
    trees.iter().map(|tree| tree.root.value()).collect()
}

/// Returns whether all documents of a text are read here, and nothing of it is declined.
pub(super) fn is_read(text: &str) -> bool {
    let trees = trees(text);
    trees.is_some_and(|trees| trees.iter().all(|tree| tree.root.is_sound()))
}

fn trees(text: &str) -> Option<Vec<Tree<'_>>> {
    let pieces = pieces(text);
    if text.len() > MOST_BYTES || pieces.len() > MOST_DOCUMENTS {
        return None;
    }
    let mut pieces = pieces.into_iter().peekable();
    // What is before the first mark is a document only if it says something.
    pieces.next_if(|piece| !piece.starts_with("---") && is_silent(piece));
    let trees: Option<Vec<_>> = pieces.map(scan).collect();
    trees.filter(|trees| !trees.is_empty())
}

/// Returns whether a text has nothing but comments.
fn is_silent(text: &str) -> bool {
    let mut lines = text.split('\n');
    is_ordinary(text) && lines.all(|line| line.is_empty() || line.starts_with('#'))
}
