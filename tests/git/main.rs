//! The `git` room against real Git: bare repositories made by the command line, served by `git http-backend`.

#[path = "../support/git_server.rs"]
mod git_server;

mod address;
mod count;
mod discovery;
mod messages;
mod odd;
mod repository;
mod scale;
mod trees;
mod wire;
