//! What readers choose by: label selectors and field selectors, as Kubernetes writes them.
//!
//! In comes a selector's text; out goes something that says of an object whether it is chosen, or a sentence that says
//! what is wrong with the text. Nothing unknown is ever ignored: who believes to have chosen one would delete all.

mod fields;
mod labels;

pub use fields::{FieldSelector, Fields};
pub use labels::LabelSelector;

/// A selector that can't be understood, or names what can't be selected by; the text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);
