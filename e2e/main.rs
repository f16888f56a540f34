//! Porch against the real thing: etcd, kube-apiserver and kube-controller-manager, as `e2e/run` provides them.

mod callers;
mod clients;
mod contract;
#[path = "../tests/support/copy.rs"]
mod copy;
mod definitions;
mod feed;
#[path = "../tests/contract/follow.rs"]
mod follow;
#[path = "../tests/support/git_server.rs"]
mod git_server;
mod history;
#[path = "../tests/contract/kubectl.rs"]
mod kubectl;
mod plane;
#[path = "../tests/contract/reads.rs"]
mod reads;
#[path = "../tests/support/record.rs"]
mod record;
mod replicas;
mod repositories;
mod rig;
mod served;
#[path = "../tests/contract/subject.rs"]
mod subject;
