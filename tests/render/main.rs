//! Functions outside of this program, good and hostile: real executables and a real server with faults.

mod executables;
mod runner;

/// A list with nothing in it.
const EMPTY: &str = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n";
