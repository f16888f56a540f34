//! Porch against the real thing: etcd, kube-apiserver and kube-controller-manager, as `e2e/run` provides them.

mod authority;
mod callers;
mod clients;
#[path = "../tests/support/collector.rs"]
mod collector;
mod contract;
#[path = "../tests/support/copy.rs"]
mod copy;
mod definitions;
mod feed;
mod figures;
#[path = "../tests/contract/follow.rs"]
mod follow;
#[path = "../tests/support/git_server.rs"]
mod git_server;
mod history;
#[path = "../tests/contract/kubectl.rs"]
mod kubectl;
mod outages;
mod plane;
#[path = "../tests/contract/reads.rs"]
mod reads;
#[path = "../tests/support/record.rs"]
mod record;
mod replicas;
mod repositories;
mod rig;
mod rights;
mod served;
mod shards;
#[path = "../tests/contract/subject.rs"]
mod subject;
mod traces;
