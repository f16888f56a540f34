//! The `git` room against real Git: bare repositories made by the command line, served by `git http-backend`.

#[path = "../support/git_server.rs"]
mod git_server;

mod address;
#[path = "../support/count.rs"]
mod count;
mod discovery;
mod messages;
#[path = "../support/odd.rs"]
mod odd;
#[path = "../support/repository.rs"]
mod repository;
mod scale;
mod trees;
mod wire;
