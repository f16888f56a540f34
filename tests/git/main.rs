//! The `git` room against real Git: bare repositories made by the command line, served by `git http-backend`.

#[path = "../support/git_server.rs"]
mod git_server;

mod address;
mod commits;
#[path = "../support/count.rs"]
mod count;
mod discovery;
mod messages;
#[path = "../support/odd.rs"]
mod odd;
mod proxies;
#[path = "../support/proxy.rs"]
mod proxy;
mod pushes;
mod refusals;
#[path = "../support/repository.rs"]
mod repository;
mod scale;
mod scene;
mod shells;
#[path = "../support/ssh_server.rs"]
mod ssh_server;
mod trees;
mod upkeep;
mod wire;
