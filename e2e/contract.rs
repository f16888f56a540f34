//! The contract suite of the hermetic tests, unchanged, through kube-apiserver and direct.

use crate::{follow, kubectl, reads, rig::Rig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_through_kube_apiserver() {
    let rig = Rig::start("reads").await;
    reads::check(&rig.aggregated().await.0).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_direct() {
    let rig = Rig::start("reads-direct").await;
    reads::check(&rig.direct().await.0).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_end_up_exactly_where_the_server_is_through_kube_apiserver() {
    let rig = Rig::start("follow").await;
    let (subject, trouble) = rig.aggregated().await;
    follow::check(&subject, &trouble, 1000).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_end_up_exactly_where_the_server_is_direct() {
    let rig = Rig::start("follow-direct").await;
    let (subject, trouble) = rig.direct().await;
    follow::check(&subject, &trouble, 1000).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_is_at_home() {
    let rig = Rig::start("kubectl").await;
    let (subject, _wire) = rig.aggregated().await;
    kubectl::check(&subject, &rig.open()).await;
    rig.end().await;
}
