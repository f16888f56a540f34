//! What a function is given and gives back: resources with their places and texts, a config, and reports.

use std::sync::Arc;

use serde_json::Value;

use super::Audience;
use crate::api::ResultItem;

/// Where a resource is kept. Functions elsewhere are told by annotations; in this program these are not in the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Directory of its package from the root package, `/` between parts; empty for the root package itself.
    pub package: String,
    /// Path of the file from the directory of its package; empty while a new resource has none.
    pub path: String,
    /// Number of the document in the file, from 0.
    pub index: usize,
}

/// A resource on its way through a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The resource, with its keys in order.
    pub object: Value,
    /// Where it is kept.
    pub place: Place,
    /// The document that it was read from, with its comments; empty for one that a function made. What `object` says counts,
    /// and `crate::yaml::rewrite` brings the two together.
    pub text: Arc<str>,
}

/// What a function works on.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The resources, in their order. A function changes, adds and removes them here.
    pub items: Vec<Item>,
    /// The function's config, if it is given one.
    pub config: Option<Value>,
    /// Who waits for it. A function that is asked for much asks this now and then.
    pub audience: Audience,
}

impl PartialEq for List {
    /// Returns whether two lists say the same, whoever waits for them.
    fn eq(&self, other: &Self) -> bool {
        (&self.items, &self.config) == (&other.items, &other.config)
    }
}

/// That a function failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    /// Why, in the function's own words.
    pub message: String,
    /// What it reported until then, and of the failure.
    pub results: Vec<ResultItem>,
    /// What it wrote to standard error; empty for one in this program.
    pub stderr: String,
    /// The status that its process ended with; nothing if it has none.
    pub exit_code: Option<i32>,
}

impl From<String> for Failure {
    /// Returns the failure of a function that reported nothing.
    fn from(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }
}

/// A function in this program: changes the list and returns its reports.
pub type Native = fn(&mut List) -> Result<Vec<ResultItem>, Failure>;
