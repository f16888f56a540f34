//! The lifecycle of a package revision.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a revision is between its first draft and its end (upstream's API).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Lifecycle {
    /// Being edited.
    #[default]
    Draft,
    /// Waiting for approval.
    Proposed,
    /// Approved; never changes again.
    Published,
    /// Published, and waiting for approval of its deletion.
    DeletionProposed,
}

impl Lifecycle {
    /// Every value, in the order of life.
    pub const ALL: [Self; 4] = [
        Self::Draft,
        Self::Proposed,
        Self::Published,
        Self::DeletionProposed,
    ];

    /// Returns whether the revision has been approved.
    #[must_use]
    pub fn is_published(self) -> bool {
        matches!(self, Self::Published | Self::DeletionProposed)
    }

    /// Returns the value as it is on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "Draft",
            Self::Proposed => "Proposed",
            Self::Published => "Published",
            Self::DeletionProposed => "DeletionProposed",
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
