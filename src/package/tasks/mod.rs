//! What makes the files of a new package. In come files and what is wanted of them, out come files; where the files of a source
//! come from, others know. Nothing is rendered here.
//!
//! An edit has no task here: its files are those of its source, as they are.

mod clone;
mod context;
mod init;
pub(super) mod merge_key;
mod upgrade;

pub use clone::{CloneTarget, clone};
pub use context::{CONTEXT_FILE, package_path};
pub use init::{default_task, init};
pub use upgrade::{UpgradeTarget, upgrade};
