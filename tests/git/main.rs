//! The `git` room against real Git: bare repositories made by the command line, served by `git http-backend`.

#[path = "../support/git_server.rs"]
mod git_server;

mod discovery;
mod repository;
mod scale;
mod wire;
