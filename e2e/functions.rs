//! FunctionConfigs in a cluster: a server follows them, and tells them so, with the rights that `deploy/` gives it.

use kube::{Api, api::DeleteParams};
use porch::api::{FunctionConfig, FunctionConfigStatus};
use serde_json::{Value, json};

use crate::{
    plane::{self, eventually},
    rig::Rig,
};

/// Where those are that count.
const NAMESPACE: &str = "porch-fn-system";

async fn until(api: &Api<FunctionConfig>, is_told: impl Fn(&FunctionConfigStatus) -> bool) {
    eventually("the status of a FunctionConfig", async || {
        let status = api.get("e2e").await.unwrap().status?;
        is_told(&status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_follows_function_configs_with_its_own_rights() {
    let rig = Rig::start("function-configs").await;
    let api: Api<FunctionConfig> = Api::namespaced(rig.plane.client(), NAMESPACE);
    let apply = async |id: &str| {
        let object: Value = json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "FunctionConfig",
            "metadata": { "name": "e2e" },
            "spec": { "image": "e2e", "goExecutor": { "id": id, "tags": ["v1"] } },
        });
        plane::apply(&api, "e2e", &object).await.unwrap();
    };
    apply("starlark").await;
    until(&api, |it| {
        it.api_server_observed_generation == 1 && it.error.is_empty()
    })
    .await;
    apply("none").await;
    until(&api, |it| it.error.starts_with("spec.goExecutor.id: ")).await;
    apply("set-labels").await;
    until(&api, |it| {
        it.api_server_observed_generation == 3 && it.error.is_empty()
    })
    .await;
    // Nobody holds it.
    api.delete("e2e", &DeleteParams::default()).await.unwrap();
    eventually("the end of a FunctionConfig", async || {
        api.get_opt("e2e").await.unwrap().is_none().then_some(())
    })
    .await;
    rig.end().await;
}
