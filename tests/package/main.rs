//! The `package` room on the files of real repositories: whatever people wrote, what is not changed keeps its bytes, and what is changed
//! says what it should.

#[path = "../support/git_server.rs"]
mod git_server;
#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/repository.rs"]
mod repository;

mod corpus;
mod files;
mod kptfiles;
mod upgrades;
