//! A server that looks after its own certificates (`--manage-apiservice`), and who may vouch for its callers.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    plane::{self, Authority, HOME, Plane, eventually},
    rig::Rig,
    served::{self, Replica},
};

const LIST: &str = "/apis/porch.kpt.dev/v1alpha1/packagerevisions";
/// The Secret with a server's own authority.
const SECRET: &str = "porch-server-certificate";

/// Returns the authorities that kube-apiserver was told to trust; empty if of none.
async fn told(plane: &Plane) -> Vec<u8> {
    let apis: Api<APIService> = Api::all(plane.client());
    let spec = apis.get(served::API).await.unwrap().spec.unwrap();
    spec.ca_bundle.unwrap_or_default().0
}

/// Returns whether the whole of it can be read through kube-apiserver, which verifies.
async fn is_read(client: &Client) -> bool {
    let request = http::Request::get(LIST).body(Vec::new()).unwrap();
    client.request::<Value>(request).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_tells_kube_apiserver_of_its_own_authority_and_of_a_new_one() {
    let plane = plane::alone().await;
    served::grant(&plane).await;
    let secrets: Api<Secret> = Api::namespaced(plane.client(), HOME);
    let flags = ["--manage-apiservice".to_owned()];
    // As in deploy/: it is there first, and says nothing of authorities.
    served::register_with(&plane, plane.address(), &json!({})).await;
    let replicas = [
        Replica::start_with(&plane, "authority", &flags).await,
        Replica::start_with(&plane, "authority-other", &flags).await,
    ];
    served::register_with(&plane, replicas[0].address(), &json!({})).await;
    served::until_available(&plane).await;
    let client = plane.client();
    eventually("read", async || is_read(&client).await.then_some(())).await;
    let before = told(&plane).await;
    let spec = Api::<APIService>::all(plane.client())
        .get(served::API)
        .await
        .unwrap()
        .spec
        .unwrap();
    assert_ne!(spec.insecure_skip_tls_verify, Some(true));
    // Another replica proves itself by the same authority.
    served::register_with(&plane, replicas[1].address(), &json!({})).await;
    eventually("read from the other", async || {
        is_read(&client).await.then_some(())
    })
    .await;
    assert_eq!(told(&plane).await, before);
    // An operator who wants a new one takes the old one away.
    let params = DeleteParams::default();
    secrets.delete(SECRET, &params).await.unwrap();
    // Each replica looks once a minute.
    let begun = Instant::now();
    while told(&plane).await == before || !is_read(&client).await {
        assert!(begun.elapsed() < Duration::from_mins(3), "never read again");
        sleep(Duration::from_millis(200)).await;
    }
    served::unregister(&plane).await;
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

const NAME: &str = "extension-apiserver-authentication";
const KEY: &str = "requestheader-client-ca-file";

/// Publishes authorities of the front proxy beside what kube-apiserver publishes.
async fn publish(plane: &Plane, authorities: &str) {
    let maps: Api<ConfigMap> = Api::namespaced(plane.client(), "kube-system");
    let patch = Patch::Merge(json!({ "data": { KEY: authorities } }));
    let params = PatchParams::default();
    maps.patch(NAME, &params, &patch).await.unwrap();
}

/// Returns how one is answered who shows a certificate of an authority, as the front proxy for a master.
async fn answered(rig: &Rig, authority: &Authority) -> u16 {
    let proof = plane::credentials(&authority.client("front-proxy-client", ""));
    let config = plane::config(rig.plane.kubeconfig_with(rig.replica.address(), &proof));
    let client = Client::try_from(config).unwrap();
    let request = http::Request::get(LIST)
        .header("x-remote-user", "root")
        .header("x-remote-group", "system:masters")
        .body(Vec::new())
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_vouch_for_callers_is_followed_live() {
    let rig = Rig::start("rotation").await;
    let (old, new) = (rig.plane.front_proxy(), Authority::new("front-proxy-ca"));
    let until = async |authority: &Authority, code: u16| {
        eventually(&format!("{code}"), async || {
            (answered(&rig, authority).await == code).then_some(())
        })
        .await;
    };
    assert_eq!(answered(&rig, old).await, 200);
    assert_eq!(answered(&rig, &new).await, 401);
    publish(
        &rig.plane,
        &format!("{}{}", old.certificate, new.certificate),
    )
    .await;
    until(&new, 200).await;
    assert_eq!(answered(&rig, old).await, 200);
    publish(&rig.plane, &old.certificate).await;
    until(&new, 401).await;
    assert_eq!(answered(&rig, old).await, 200);
    // kube-apiserver makes it again; in between what was read last holds.
    let maps: Api<ConfigMap> = Api::namespaced(rig.plane.client(), "kube-system");
    let params = DeleteParams::default();
    maps.delete(NAME, &params).await.unwrap();
    eventually("published again", async || {
        assert_eq!(answered(&rig, old).await, 200);
        let map = maps.get_opt(NAME).await.unwrap()?;
        map.data?.contains_key(KEY).then_some(())
    })
    .await;
    assert_eq!(answered(&rig, old).await, 200);
    rig.end().await;
}
