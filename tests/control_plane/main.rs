//! The control plane as `kube-rs` and our own controllers use it: through an ordinary client, over the in-process server.

mod authority;
mod clients;
mod durable;
mod kubectl;
mod writes;

use k8s_openapi::api::core::v1::Secret;
use porch::{
    api::Repository,
    crds,
    standalone::{ControlPlane, Definition, Persistence},
};
use serde_json::json;

/// Returns the definitions of our own kinds, records without field owners.
fn definitions() -> Vec<Definition> {
    let definitions = crds::definitions();
    let definitions = definitions.iter().map(|definition| {
        let kind = Definition::custom(definition).expect("our definitions can be served");
        if kind.kind.plural == "packagerevs" {
            return kind.untracked();
        }
        kind
    });
    definitions.collect()
}

async fn start(persistence: Persistence) -> ControlPlane {
    ControlPlane::start(persistence, definitions(), &["porch-system", "other"])
        .await
        .expect("the control plane starts")
}

fn repository(name: &str) -> Repository {
    let repository = json!({
        "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository", "metadata": {"name": name},
        "spec": {"type": "git", "git": {"repo": "https://example.com/r.git"}},
    });
    serde_json::from_value(repository).expect("it is a Repository")
}

fn secret(name: &str, value: &str) -> Secret {
    let secret = json!({"metadata": {"name": name}, "stringData": {"value": value}});
    serde_json::from_value(secret).expect("it is a Secret")
}
