//! How a kind's lists are printed: its columns, and an object's cells for them.
//!
//! In comes an object; out go the cells that `kubectl get` prints as they are. A cell must not fail: what is not there
//! is printed as nothing.

use jiff::Timestamp;
use serde_json::Value;

use super::path::Path;
use crate::apiserver::{Column, age as age_of};

/// Where a cell's value comes from.
#[derive(Clone, Debug)]
pub enum Cell {
    /// The value at a path, as it is.
    Plain(Path),
    /// How long ago the moment at a path was.
    Since(Path),
    /// How long ago a moment was that is worked out.
    SinceMade(fn(&Value) -> Value),
    /// Something that is worked out.
    Made(fn(&Value) -> Value),
}

impl Cell {
    /// Returns the value that `object` shows now.
    #[must_use]
    pub fn of(&self, object: &Value) -> Value {
        match self {
            Self::Plain(path) => path.find(object).map_or(Value::Null, shown),
            Self::Since(path) => path.find(object).map_or(Value::Null, since),
            Self::SinceMade(make) => since(&make(object)),
            Self::Made(make) => make(object),
        }
    }
}

/// Returns a value as a column shows it: one of several parts is a text (JSON), as kube-apiserver has it.
fn shown(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string().into(),
        plain => plain.clone(),
    }
}

/// Returns the heading `name` for values of `type_`, and where they come from.
pub fn column(name: &str, type_: &str, cell: Cell, description: &str) -> (Column, Cell) {
    let format = if name == "Name" { "name" } else { "" };
    let column = Column {
        name: name.into(),
        type_: type_.into(),
        format: format.into(),
        description: description.into(),
        priority: 0,
    };
    (column, cell)
}

/// Returns the column of the name, the first of every kind.
pub fn name() -> (Column, Cell) {
    let what = "Name must be unique within a namespace.";
    column("Name", "string", plain(".metadata.name"), what)
}

/// Returns the column of the age, the last of most kinds.
pub fn age() -> (Column, Cell) {
    let path = parsed(".metadata.creationTimestamp");
    column(
        "Age",
        "date",
        Cell::Since(path),
        "How long ago the object was created.",
    )
}

/// Returns the value at a path that is written in this room.
pub fn plain(path: &str) -> Cell {
    Cell::Plain(parsed(path))
}

fn parsed(path: &str) -> Path {
    Path::parse(path).expect("paths written here are paths")
}

fn since(then: &Value) -> Value {
    let then = then
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok());
    age_of(then).into()
}
