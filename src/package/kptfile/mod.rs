//! A Kptfile: read leniently as far as the API shows it, judged strictly when a client sends one, changed in place.

mod edit;
mod read;

pub(super) use edit::set_member;
pub use edit::{Change, Origin, UPSTREAM_IDENTIFIER, edit};
pub use read::{LIMIT, check, observe, too_large};
