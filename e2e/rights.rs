//! Who has one right has that one and no other: each verb of each resource, as the cluster grants it.

use http::{Method, Request};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{
    plane::{self, Plane, eventually},
    rig::Rig,
};

const RESOURCES: [&str; 4] = [
    "packagerevisions",
    "packagerevisionresources",
    "packages",
    "packagerevisions/approval",
];
/// Each verb, with the method and what follows the path of the collection.
const VERBS: [(&str, Method, &str); 8] = [
    ("get", Method::GET, "/repo.a.v1"),
    ("list", Method::GET, ""),
    ("watch", Method::GET, "?watch=1&timeoutSeconds=1"),
    ("create", Method::POST, ""),
    ("update", Method::PUT, "/repo.a.v1"),
    ("patch", Method::PATCH, "/repo.a.v1"),
    ("delete", Method::DELETE, "/repo.a.v1"),
    ("deletecollection", Method::DELETE, ""),
];

/// Returns how a user of the cluster is answered who comes directly, and what is said.
async fn ask(rig: &Rig, user: &str, method: &Method, uri: &str) -> (u16, String) {
    let user = rig.plane.user(user, "people");
    let config = plane::config(rig.plane.kubeconfig_with(rig.replica.address(), &user));
    let client = Client::try_from(config).unwrap();
    let request = Request::builder().method(method).uri(uri);
    let request = request.body(b"{}".to_vec()).unwrap();
    match client.request_text(request).await {
        Ok(text) => (200, text),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// Returns the path of what a verb is done with; nothing where there is no such thing.
fn uri(namespace: &str, resource: &str, (verb, _, end): &(&str, Method, &str)) -> Option<String> {
    let (plural, below) = match resource.split_once('/') {
        Some((plural, below)) => (plural, format!("/{below}")),
        None => (resource, String::new()),
    };
    let one = end.starts_with('/') && *verb != "delete";
    if !below.is_empty() && !one {
        return None;
    }
    Some(format!(
        "/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/{plural}{end}{below}"
    ))
}

/// Gives a user of the same name one right.
async fn grant(plane: &Plane, user: &str, verb: &str, resource: &str) {
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": { "name": user },
        "rules": [{ "apiGroups": ["porch.kpt.dev"], "resources": [resource], "verbs": [verb] }],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": user },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": user },
        "subjects": [{ "kind": "User", "apiGroup": group, "name": user }],
    });
    let roles: Api<ClusterRole> = Api::all(plane.client());
    plane::apply(&roles, user, &role).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(plane.client());
    plane::apply(&bindings, user, &binding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_one_right_has_no_other() {
    let rig = Rig::start("rights").await;
    let (subject, _wire) = rig.direct().await;
    let namespace = &subject.namespace;
    subject
        .create("a.v1", porch::package::Lifecycle::Draft)
        .await;
    let mut wrong = Vec::new();
    // Who has no right at all, and who has one of those that are served.
    let mut users = vec![("nobody".to_owned(), "", "")];
    for resource in ["packagerevisions", "packages"] {
        for verb in ["get", "list", "watch"] {
            let user = format!("one-{verb}-{resource}");
            grant(&rig.plane, &user, verb, resource).await;
            users.push((user, verb, resource));
        }
    }
    for (user, has, of) in &users {
        for resource in RESOURCES {
            for verb in &VERBS {
                let Some(mut uri) = uri(namespace, resource, verb) else {
                    continue;
                };
                let granted = verb.0 == *has && resource == *of;
                if granted && resource == "packages" {
                    uri = uri.replace("/repo.a.v1", "/repo.a");
                }
                if granted {
                    // RBAC learns of roles a little later, and what is refused is remembered for a while.
                    eventually(&format!("{user}: {uri}"), async || {
                        (ask(&rig, user, &verb.1, &uri).await.0 == 200).then_some(())
                    })
                    .await;
                    continue;
                }
                let (code, text) = ask(&rig, user, &verb.1, &uri).await;
                // Everybody may read what there is, so also that there is no such subresource.
                if resource.contains('/') && code == 404 && text.contains("requested resource") {
                    continue;
                }
                if code != 403 || !text.contains(&format!("User \"{user}\" cannot ")) {
                    wrong.push(format!("{user}: {} {uri}: {code} {text}", verb.0));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_impersonated_through_kube_apiserver_is_who_asks_here() {
    let rig = Rig::start("impersonation").await;
    let (subject, _wire) = rig.aggregated().await;
    let (user, uri) = ("one-list-impersonated", subject.path("packagerevisions"));
    grant(&rig.plane, user, "list", "packagerevisions").await;
    let code = async |user: &str, uri: &str| {
        let request = Request::get(uri).header("impersonate-user", user);
        let request = request.header("impersonate-extra-scopes", "one");
        let client = rig.plane.client();
        match client
            .request::<Value>(request.body(Vec::new()).unwrap())
            .await
        {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{error}"),
        }
    };
    eventually("allowed", async || {
        (code(user, &uri).await == 200).then_some(())
    })
    .await;
    assert_eq!(code(user, &subject.path("packages")).await, 403);
    assert_eq!(code("another", &uri).await, 403);
    let asked = format!("user=\"{user}\"");
    let log = rig.replica.log();
    assert!(
        log.lines()
            .any(|it| it.contains(&asked) && it.contains(&uri)),
        "the server heard of {user}"
    );
    rig.end().await;
}
