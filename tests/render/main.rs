//! Functions outside of this program, good and hostile: real executables and a real server with faults; and the packages of real
//! repositories.

#[path = "../support/git_server.rs"]
mod git_server;
#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/repository.rs"]
mod repository;

mod corpus;
mod executables;
mod journeys;
mod runner;

/// A list with nothing in it.
const EMPTY: &str = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n";
