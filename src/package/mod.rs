//! What a package is: names, lifecycle, Kptfile. Pure: values in, values out; no I/O, no async, no clock.

mod key;
pub mod kptfile;
mod lifecycle;
mod uid;

pub use key::{PackageKey, RevisionKey, Unnameable, is_name, revision_number};
pub use lifecycle::Lifecycle;
pub use uid::{package_uid, revision_uid};

/// The revision number of a package as it is on the repository's branch.
pub const PLACEHOLDER: i64 = -1;
