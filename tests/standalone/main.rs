//! `porch standalone` as a user meets it: the program, kubectl, git, and nothing else.

#[path = "../support/collector.rs"]
mod collector;
#[path = "../support/count.rs"]
mod count;
#[path = "../support/forms.rs"]
mod forms;
#[path = "../support/git_server.rs"]
mod git_server;
#[path = "../support/many.rs"]
mod many;
#[path = "../support/odd.rs"]
mod odd;
#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/repository.rs"]
mod repository;
#[path = "../support/ssh_server.rs"]
mod ssh_server;

mod bad_objects;
mod bad_requests;
mod bundles;
mod demo;
mod functions;
#[path = "../support/pipeline.rs"]
mod pipeline;
mod porchctl;
mod process;
mod serve;
mod traces;
mod trouble;
mod watching;
mod webhooks;
mod writing;
