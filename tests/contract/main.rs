//! What any server of `porch.kpt.dev` must do for GET, LIST and WATCH, asked through a client alone: the checks take a
//! [`Subject`], and do not know whether it is this process, a socket, or a cluster.

#[path = "../support/engine.rs"]
mod engine;
mod follow;
mod kubectl;
mod reads;
mod rig;
mod subject;

use rig::Rig;

#[tokio::test]
async fn reads_in_process() {
    let rig = Rig::start().await;
    reads::check(&rig.subject()).await;
}

#[tokio::test]
async fn reads_through_a_socket() {
    let rig = Rig::start().await;
    let subject = rig.listen().await;
    reads::check(&subject).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_end_up_exactly_where_the_server_is_in_process() {
    let rig = Rig::start().await;
    follow::check(&rig.subject(), &rig.trouble(), 2000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_end_up_exactly_where_the_server_is_through_a_socket() {
    let rig = Rig::start().await;
    let subject = rig.listen().await;
    follow::check(&subject, &rig.trouble(), 500).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_is_at_home() {
    let rig = Rig::start().await;
    let opened = rig.open().await;
    kubectl::check(&rig.subject(), &opened).await;
    rig.stop().await;
}
