//! Porch against the real thing: etcd, kube-apiserver and kube-controller-manager, as `e2e/run` provides them.

#[path = "../tests/support/copy.rs"]
mod copy;
mod definitions;
mod feed;
#[path = "../tests/support/git_server.rs"]
mod git_server;
mod plane;
#[path = "../tests/support/record.rs"]
mod record;
mod repositories;
