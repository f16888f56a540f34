//! `porch standalone` as a user meets it: the program, kubectl, git, and nothing else.

#[path = "../support/count.rs"]
mod count;
#[path = "../support/git_server.rs"]
mod git_server;
#[path = "../support/odd.rs"]
mod odd;
#[path = "../support/repository.rs"]
mod repository;

mod bundles;
mod demo;
mod process;
mod watching;
