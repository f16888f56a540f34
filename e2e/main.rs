//! Porch against the real thing: etcd, kube-apiserver and kube-controller-manager, as `e2e/run` provides them.

mod admission;
#[path = "../tests/writing/applied.rs"]
mod applied;
mod authority;
mod broken;
mod callers;
#[path = "../tests/writing/checks.rs"]
mod checks;
mod clients;
#[path = "../tests/support/collector.rs"]
mod collector;
#[path = "../tests/writing/contents.rs"]
mod contents;
mod contract;
#[path = "../tests/writing/copies.rs"]
mod copies;
#[path = "../tests/support/copy.rs"]
mod copy;
#[path = "../tests/writing/crowd.rs"]
mod crowd;
#[path = "../tests/writing/declared.rs"]
mod declared;
mod definitions;
#[path = "../tests/writing/desk.rs"]
mod desk;
mod differential;
mod endings;
mod feed;
mod figures;
#[path = "../tests/contract/follow.rs"]
mod follow;
#[path = "../tests/support/forms.rs"]
mod forms;
mod functions;
mod garbage;
#[path = "../tests/support/git_server.rs"]
mod git_server;
mod gitops;
mod history;
#[path = "../tests/writing/hostile.rs"]
mod hostile;
#[path = "../tests/contract/kubectl.rs"]
mod kubectl;
#[path = "../tests/writing/life.rs"]
mod life;
mod outages;
#[path = "../tests/writing/owned.rs"]
mod owned;
#[path = "../tests/support/pipeline.rs"]
mod pipeline;
mod plane;
#[path = "../tests/contract/reads.rs"]
mod reads;
#[path = "../tests/support/record.rs"]
mod record;
#[path = "../tests/writing/refusals.rs"]
mod refusals;
#[path = "../tests/writing/rendering.rs"]
mod rendering;
mod replicas;
mod repositories;
#[path = "../tests/support/repository.rs"]
mod repository;
mod rig;
mod rights;
mod served;
mod server;
mod shards;
#[path = "../tests/writing/strangers.rs"]
mod strangers;
mod strategic;
#[path = "../tests/contract/subject.rs"]
mod subject;
mod traces;
#[path = "../tests/support/trouble.rs"]
mod trouble;
mod twins;
#[path = "../tests/writing/upgrades.rs"]
mod upgrades;
mod write_figures;
