//! The server's own authority: made once whoever is first, told to kube-apiserver, and replaced before it ends.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use porch::{
    certificate::{Pair, details, pem_chain},
    controllers::authority::{Settings, look},
    standalone::{ControlPlane, Definition, Persistence},
};
use serde_json::json;

const NAME: &str = "v1alpha1.porch.kpt.dev";
const WEBHOOKS: &str = "porch-server";

fn settings() -> Settings {
    Settings {
        namespace: "porch-system".into(),
        secret: "authority".into(),
        api_service: NAME.into(),
        webhooks: WEBHOOKS.into(),
        names: vec!["api.porch-system.svc".into()],
    }
}

/// A cluster that keeps `APIServices`, as far as anybody here can tell.
async fn cluster() -> Client {
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "apiservices.apiregistration.k8s.io"},
        "spec": {
            "group": "apiregistration.k8s.io", "scope": "Cluster",
            "names": {"kind": "APIService", "plural": "apiservices", "singular": "apiservice"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }}}],
        },
    }))
    .unwrap();
    let hooks: CustomResourceDefinition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "validatingwebhookconfigurations.admissionregistration.k8s.io"},
        "spec": {
            "group": "admissionregistration.k8s.io", "scope": "Cluster",
            "names": {
                "kind": "ValidatingWebhookConfiguration",
                "plural": "validatingwebhookconfigurations", "singular": "validatingwebhookconfiguration",
            },
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"webhooks": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
            }}}],
        },
    }))
    .unwrap();
    let definitions = [definition, hooks].map(|it| Definition::custom(&it).unwrap());
    let plane = ControlPlane::start(Persistence::Memory, definitions.into(), &["porch-system"]);
    plane.await.unwrap().client()
}

async fn register(client: &Client) -> Api<APIService> {
    let services: Api<APIService> = Api::all(client.clone());
    let service = serde_json::from_value(json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME},
        "spec": {
            "group": "porch.kpt.dev", "version": "v1alpha1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "insecureSkipTLSVerify": true, "service": {"name": "api", "namespace": "porch-system"},
        },
    }));
    services
        .create(&PostParams::default(), &service.unwrap())
        .await
        .unwrap();
    services
}

async fn bundle(services: &Api<APIService>) -> String {
    let spec = services.get(NAME).await.unwrap().spec.unwrap();
    assert_eq!(spec.insecure_skip_tls_verify, None);
    String::from_utf8(spec.ca_bundle.unwrap().0).unwrap()
}

/// Has kube-apiserver ask by two webhooks, of which the second is somebody's addition.
async fn ask(client: &Client) -> Api<ValidatingWebhookConfiguration> {
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let webhook = |name: &str| {
        json!({
            "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "api", "namespace": "porch-system", "path": "/validate-repository"}},
        })
    };
    let hook = serde_json::from_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": WEBHOOKS}, "webhooks": [webhook("a.example.com"), webhook("b.example.com")],
    }));
    hooks
        .create(&PostParams::default(), &hook.unwrap())
        .await
        .unwrap();
    hooks
}

/// Returns the authorities that the webhooks know.
async fn asked(hooks: &Api<ValidatingWebhookConfiguration>) -> Vec<String> {
    let webhooks = hooks.get(WEBHOOKS).await.unwrap().webhooks.unwrap();
    let bundles = webhooks.into_iter().map(|webhook| {
        assert_eq!(webhook.failure_policy.as_deref(), Some("Ignore"));
        let bundle = webhook.client_config.ca_bundle.unwrap();
        String::from_utf8(bundle.0).unwrap()
    });
    bundles.collect()
}

#[tokio::test]
async fn webhooks_are_told_of_the_authority_too_and_before_anything_of_a_new_one_is_served() {
    let client = cluster().await;
    let (settings, now) = (settings(), Timestamp::now());
    let services = register(&client).await;
    look(&client, &settings, now).await.unwrap();
    // They come later than the APIService.
    let hooks = ask(&client).await;
    let mut served = look(&client, &settings, now).await.unwrap();
    let old = bundle(&services).await;
    assert_eq!(asked(&hooks).await, [&*old, &*old]);
    let mut at = now;
    while bundle(&services).await == old {
        at += Duration::from_hours(24);
        served = look(&client, &settings, at).await.unwrap();
    }
    let both = bundle(&services).await;
    assert_eq!(asked(&hooks).await, [&*both, &*both]);
    assert_eq!(issuer(&served), subject(&old));
    // Somebody applies the file anew: what it says of the authority is told again first.
    let params = PatchParams::default();
    let bare = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]);
    let bare = Patch::Json::<()>(serde_json::from_value(bare).unwrap());
    hooks.patch(WEBHOOKS, &params, &bare).await.unwrap();
    served = look(&client, &settings, at).await.unwrap();
    assert_eq!(issuer(&served), subject(&old));
    assert_eq!(asked(&hooks).await, [&*both, &*both]);
    served = look(&client, &settings, at).await.unwrap();
    assert_eq!(issuer(&served), subject(&both));
}

fn issuer(pair: &Pair) -> String {
    let chain = pem_chain(pair.chain.as_bytes()).unwrap();
    details(&chain[0]).unwrap().issuer
}

/// Returns the name of the first authority in a bundle.
fn subject(bundle: &str) -> String {
    let chain = pem_chain(bundle.as_bytes()).unwrap();
    details(&chain[0]).unwrap().common_name
}

#[tokio::test]
async fn replicas_share_one_authority_and_kube_apiserver_is_told_of_it() {
    let client = cluster().await;
    let now = Timestamp::now();
    // The APIService may come later; whoever loses the race tries again.
    let (settings, more) = (settings(), settings());
    let (one, two) = tokio::join!(look(&client, &settings, now), look(&client, &more, now));
    assert!(one.is_ok() || two.is_ok());
    let services = register(&client).await;
    let one = look(&client, &settings, now).await.unwrap();
    let two = look(&client, &more, now).await.unwrap();
    assert_eq!(one, two);
    let told = bundle(&services).await;
    assert_eq!(told.matches("BEGIN CERTIFICATE").count(), 1);

    let secrets: Api<Secret> = Api::namespaced(client.clone(), "porch-system");
    let kept = secrets.get("authority").await.unwrap();
    let version = kept.metadata.resource_version;
    for hour in 0..48 {
        let later = now + Duration::from_hours(hour);
        assert_eq!(look(&client, &settings, later).await.unwrap(), one);
    }
    let kept = secrets.get("authority").await.unwrap();
    assert_eq!(
        kept.metadata.resource_version, version,
        "nothing was written"
    );

    // A third of ninety days is left: the certificate is another, the authority is not.
    let later = now + Duration::from_hours(24 * 61);
    assert_ne!(look(&client, &settings, later).await.unwrap(), one);
    assert_eq!(bundle(&services).await, told);
}

#[tokio::test]
async fn a_new_authority_is_told_of_before_anything_of_it_is_served() {
    let client = cluster().await;
    let (settings, now) = (settings(), Timestamp::now());
    let services = register(&client).await;
    let mut served = look(&client, &settings, now).await.unwrap();
    let old = bundle(&services).await;
    let mut at = now;
    while bundle(&services).await == old {
        at += Duration::from_hours(24);
        served = look(&client, &settings, at).await.unwrap();
    }
    let both = bundle(&services).await;
    assert!(both.ends_with(&old) && both.len() > old.len());
    assert_eq!(
        issuer(&served),
        subject(&old),
        "at the look that told of the new one"
    );
    served = look(&client, &settings, at).await.unwrap();
    assert_eq!(issuer(&served), subject(&both), "at the next");
    assert_ne!(subject(&old), subject(&both));
    assert!(at.duration_since(now) > jiff::SignedDuration::from_hours(24 * 480));
}

#[tokio::test]
async fn what_was_deleted_is_made_anew() {
    let client = cluster().await;
    let (settings, now) = (settings(), Timestamp::now());
    let services = register(&client).await;
    let first = look(&client, &settings, now).await.unwrap();
    let told = bundle(&services).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "porch-system");
    secrets
        .delete("authority", &DeleteParams::default())
        .await
        .unwrap();
    assert_ne!(look(&client, &settings, now).await.unwrap(), first);
    assert_ne!(bundle(&services).await, told);
}
