//! A resource with its text, changed together, for functions to which comments matter. In comes an item, out comes the item changed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::Item;
use crate::yaml::{self, Commented, Scalar, Scalars};

/// The text of a resource and what it says.
pub(super) struct Document {
    text: String,
    object: Value,
    is_changed: bool,
}

impl Document {
    /// Returns the document of an item, with what other functions changed in it.
    pub(super) fn of(item: &Item) -> Self {
        Self::new(item, item.object.clone())
    }

    /// Returns the document of an item, which says nothing until the document is given back.
    pub(super) fn taken(item: &mut Item) -> Self {
        let object = item.object.take();
        Self::new(item, object)
    }

    fn new(item: &Item, object: Value) -> Self {
        Self {
            text: said(&item.text, &object),
            object,
            is_changed: false,
        }
    }

    /// Returns what the document says.
    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    /// Returns the comments behind values, by their pointers.
    pub(super) fn comments(&self) -> Vec<(String, String)> {
        yaml::line_comments(&self.text)
    }

    /// Returns the values with comments behind them.
    pub(super) fn commented(&self) -> Vec<Commented> {
        yaml::commented(&self.text)
    }

    /// Sets scalars. All at once: a text is read many times slower than it is changed.
    pub(super) fn set_scalars(&mut self, scalars: &[Scalar]) {
        if scalars.is_empty() || self.set_at_once(scalars) {
            return;
        }
        for scalar in scalars {
            // Those before it have moved it.
            let scalar = Scalar {
                place: None,
                ..scalar.clone()
            };
            if !self.set_at_once(std::slice::from_ref(&scalar)) {
                self.set_anew(&scalar);
            }
        }
    }

    /// Sets scalars in place; returns whether that was possible.
    fn set_at_once(&mut self, scalars: &[Scalar]) -> bool {
        let Some(changed) = yaml::with_scalars(&self.text, &self.object, scalars) else {
            return false;
        };
        let Scalars { text, value, left } = changed;
        self.is_changed |= text != self.text;
        (self.object, self.text) = (value, text);
        for at in left {
            self.set_anew(&scalars[at]);
        }
        true
    }

    fn set_anew(&mut self, scalar: &Scalar) {
        self.set(&scalar.at, plain(&scalar.scalar, scalar.is_text));
    }

    /// Sets the value that a pointer names, and keeps its comment. Returns whether that changed anything.
    pub(super) fn set(&mut self, pointer: &str, value: Value) -> bool {
        let Some(old) = self.object.pointer_mut(pointer) else {
            return false;
        };
        if *old == value {
            return false;
        }
        *old = value;
        let comments = self.comments();
        self.text = said(&self.text, &self.object);
        self.is_changed = true;
        let mut had = comments.into_iter();
        if let Some((_, comment)) = had.find(|(at, _)| at == pointer) {
            self.comment(&[(pointer.into(), comment)]);
        }
        true
    }

    /// Changes what the document says in any way.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.object);
        self.text = said(&self.text, &self.object);
        self.is_changed = true;
    }

    /// Puts comments behind the values that pointers name, where there is a place for them; returns of each whether that changed
    /// anything.
    pub(super) fn comment(&mut self, comments: &[(String, String)]) -> Vec<bool> {
        if comments.is_empty() {
            return Vec::new();
        }
        let text = yaml::with_line_comments(&self.text, comments);
        if text == self.text {
            return vec![false; comments.len()];
        }
        let before: BTreeMap<_, _> = self.comments().into_iter().collect();
        (self.text, self.is_changed) = (text, true);
        let now: BTreeMap<_, _> = self.comments().into_iter().collect();
        let is_new = |(at, _): &(String, String)| now.get(at) != before.get(at);
        comments.iter().map(is_new).collect()
    }

    /// Gives an item the changes; without any its text stays as it was.
    pub(super) fn give(self, item: &mut Item) {
        item.object = self.object;
        if self.is_changed {
            item.text = self.text.into();
        }
    }
}

/// Returns a text that says what the object says, with the comments of another.
fn said(text: &str, object: &Value) -> String {
    if text.is_empty() {
        return yaml::emit(object);
    }
    let changed = yaml::rewrite(text, std::slice::from_ref(object));
    changed.unwrap_or_else(|_| yaml::with_comments(&yaml::emit(object), text))
}

/// Returns what a scalar without quotes is.
pub(super) fn plain(scalar: &str, is_text: bool) -> Value {
    let read = yaml::from_str::<Value>(scalar).ok();
    let read = read.filter(|value| value.is_number() || value.is_boolean());
    read.filter(|_| !is_text).unwrap_or_else(|| scalar.into())
}
