//! What a package is: names, lifecycle, files, Kptfile, what may be done with it and what tasks make of it. Pure: values in, values
//! out; no I/O, no async, no clock.

mod files;
mod heal;
mod ignored;
mod key;
pub mod kptfile;
mod lifecycle;
mod merge;
mod overlap;
mod pipeline;
pub mod strategy;
mod syntax;
pub mod tasks;
mod uid;
pub mod upgrade;
mod violation;

pub use files::{
    Files, KPTFILE, MOST_BYTES, MOST_BYTES_OF_FILE, MOST_BYTES_OF_NAME, MOST_BYTES_OF_PATH,
    MOST_DEPTH, MOST_FILES, check_files, is_harmless,
};
pub use heal::heal;
pub use ignored::{IGNORED, Ignored};
pub use key::{PackageKey, RevisionKey, Unnameable, is_name, revision_number};
pub use lifecycle::Lifecycle;
pub use overlap::{Overlap, clone_exists, overlap, workspace_taken};
pub use pipeline::has_pipeline;
pub use uid::{package_uid, revision_uid};
pub use violation::{Violation, ViolationKind};

/// The revision number of a package as it is on the repository's branch.
pub const PLACEHOLDER: i64 = -1;

/// Why the files of a package can't become what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no Kptfile at the root of what becomes this package.
    #[error("package {0:?} is missing Kptfile")]
    NoKptfile(String),
    /// The Kptfile is none: a sentence says why. Whoever wrote it can repair it.
    #[error("cannot parse Kptfile: {0}")]
    Unreadable(String),
    /// The Kptfile is one, but of a form that can't be changed in place, such as one with aliases. Whoever wrote it can write it plainly.
    #[error("cannot change Kptfile: {0}")]
    Unwritable(String),
    /// A parent has several contexts, so it is not said where it is.
    #[error("found multiple configmaps matching name \"package-context.yaml\"")]
    ManyContexts,
    /// A parent's context can't be read.
    #[error("error parsing ConfigMap from parent configuration: {0}")]
    UnreadableContext(String),
}
