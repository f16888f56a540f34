//! What the cache keeps: objects that know their name, their version, and how they look to a selector.

use std::{borrow::Cow, fmt, str::FromStr};

use bytes::Bytes;

/// A resource version: the storage's, so a positive decimal that only ever grows (Kubernetes API conventions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The name of an object: its namespace (empty for one without) and its name. Ordered as lists are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
}

impl Name {
    /// Returns the name `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// An object that the cache keeps and the API serves. It never changes: a change is a new entry.
pub trait Entry: Send + Sync + Sized + 'static {
    /// Returns the object's name.
    fn name(&self) -> &Name;

    /// Returns the version of the object's last change.
    fn version(&self) -> Version;

    /// Returns the value of one of the object's labels, as its reader sees them.
    fn label(&self, key: &str) -> Option<&str>;

    /// Returns the value of a selectable field (`spec.lifecycle`), or nothing where the object has no such field.
    fn field(&self, path: &str) -> Option<Cow<'_, str>>;

    /// Returns the object's `metadata` as JSON, encoded once.
    fn metadata(&self) -> &Bytes;

    /// Returns the same content under another version: the last state of a deleted object carries the version of its
    /// deletion.
    #[must_use]
    fn at(&self, version: Version) -> Self;
}
