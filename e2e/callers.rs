//! Who may come, by which proof, and what they may do: to the server directly, past kube-apiserver.

use http::Request;
use http_body_util::BodyExt;
use k8s_openapi::{api::core::v1::ServiceAccount, api::rbac::v1::ClusterRoleBinding};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

use crate::{
    plane::{self, Authority, Plane},
    rig::Rig,
    served,
};

/// What the front proxy says of a user.
type Headers<'a> = &'a [(&'static str, &'a str)];

const ALICE: Headers = &[("x-remote-user", "alice"), ("x-remote-group", "people")];
const MASTER: Headers = &[
    ("x-remote-user", "root"),
    ("x-remote-group", "system:masters"),
];
const LIST: &str = "/apis/porch.kpt.dev/v1alpha1/packagerevisions";

/// Returns what the server answers, and what it says.
async fn ask(rig: &Rig, user: &Value, headers: Headers<'_>, uri: &str) -> (u16, String) {
    let config = plane::config(rig.plane.kubeconfig_with(rig.replica.address(), user));
    let client = Client::try_from(config).unwrap();
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(kube::client::Body::empty()).unwrap();
    let (parts, body) = client.send(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (parts.status.as_u16(), text)
}

fn proof(authority: &Authority, name: &str, group: &str) -> Value {
    plane::credentials(&authority.client(name, group))
}

/// A proof, what the headers say, and how it must be answered: with this status and these words.
type Case<'a> = (&'static str, Value, Headers<'a>, u16, &'static str);

fn proofs_of_proxies(rig: &Rig) -> Vec<Case<'static>> {
    let (proxy, name) = (rig.plane.front_proxy(), "front-proxy-client");
    let foreign = Authority::new("front-proxy-ca");
    let good = proof(proxy, name, "");
    let expired = plane::credentials(&proxy.expired(name));
    vec![
        ("headers alone", json!({}), MASTER, 403, "system:anonymous"),
        ("for alice", good.clone(), ALICE, 403, "\\\"alice\\\""),
        ("for a master", good.clone(), MASTER, 200, "List"),
        ("for nobody", good, &[], 401, "Unauthorized"),
        (
            "another name",
            proof(proxy, "x", ""),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "a foreign authority",
            proof(&foreign, name, ""),
            MASTER,
            401,
            "Unauthorized",
        ),
        ("expired", expired, MASTER, 401, "Unauthorized"),
    ]
}

fn proofs_of_users(rig: &Rig, own: &str, foreign_token: &str) -> Vec<Case<'static>> {
    let (cluster, foreign) = (rig.plane.authority(), Authority::new("kubernetes-ca"));
    let token = |text: &str| json!({ "token": text });
    let (masters, proxy) = ("system:masters", "front-proxy-client");
    vec![
        ("nothing", json!({}), &[], 403, "system:anonymous"),
        (
            "with headers",
            proof(cluster, proxy, ""),
            MASTER,
            403,
            "\\\"front-proxy-client\\\"",
        ),
        (
            "of the cluster",
            proof(cluster, "bob", "people"),
            &[],
            403,
            "\\\"bob\\\"",
        ),
        (
            "a master",
            proof(cluster, "root", masters),
            &[],
            200,
            "List",
        ),
        (
            "a foreign user",
            proof(&foreign, "root", masters),
            &[],
            401,
            "Unauthorized",
        ),
        ("a token", token(own), &[], 403, ":nobody"),
        ("a token with headers", token(own), MASTER, 403, ":nobody"),
        (
            "a token of nobody's",
            token("nonsense"),
            &[],
            401,
            "Unauthorized",
        ),
        (
            "a token for others",
            token(foreign_token),
            &[],
            401,
            "Unauthorized",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_believed_without_proof() {
    let rig = Rig::start("callers").await;
    let foreign = token_for(&rig.plane, "https://elsewhere.example").await;
    let token = nobody(&rig.plane).await;
    let cases = proofs_of_proxies(&rig).into_iter();
    let mut wrong = Vec::new();
    for (what, user, headers, code, told) in cases.chain(proofs_of_users(&rig, &token, &foreign)) {
        let (answered, text) = ask(&rig, &user, headers, LIST).await;
        if answered != code || !text.contains(told) {
            wrong.push(format!(
                "{what}: {answered}, not {code} with {told:?}: {text}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.end().await;
}

async fn nobody(plane: &Plane) -> String {
    let namespace = plane.namespace("nobody").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), &namespace);
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("nobody".into());
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    served::token(plane, &namespace, "nobody").await
}

async fn token_for(plane: &Plane, audience: &str) -> String {
    served::token_for(plane, plane::HOME, served::ACCOUNT, Some(audience)).await
}

/// What a user of each role may do through kube-apiserver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_may_do_what_their_role_says() {
    let rig = Rig::start("roles").await;
    let (subject, _wire) = rig.aggregated().await;
    let namespace = &subject.namespace;
    for role in ["view", "edit", "admin"] {
        bind(&rig.plane, role, &format!("{role}er")).await;
    }
    let porch =
        |plural: &str| format!("/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/{plural}");
    let config = |plural: &str| {
        format!("/apis/config.porch.kpt.dev/v1alpha1/namespaces/{namespace}/{plural}")
    };
    let cases = [
        ("stranger", porch("packagerevisions"), 403),
        ("stranger", config("repositories"), 403),
        ("viewer", porch("packagerevisions"), 200),
        ("viewer", porch("packages"), 200),
        ("viewer", porch("packagerevisionresources"), 200),
        ("viewer", config("repositories"), 200),
        ("viewer", config("packagerevs"), 403),
        ("editer", porch("packagerevisions"), 200),
        ("editer", config("packagerevs"), 403),
        ("adminer", porch("packagerevisions"), 200),
        ("adminer", config("packagerevs"), 403),
    ];
    for (user, uri, code) in cases {
        plane::eventually(&format!("{code} for {user} on {uri}"), async || {
            let kubeconfig = rig.plane.kubeconfig(user, "people");
            let client = Client::try_from(plane::config(kubeconfig)).unwrap();
            let request = Request::get(&uri).body(Vec::new()).unwrap();
            let answered = match client.request::<Value>(request).await {
                Ok(_) => 200,
                Err(kube::Error::Api(status)) => status.code,
                Err(error) => panic!("{error}"),
            };
            // Roles are put together by a controller, and what one may do is remembered for a while.
            (answered == code).then_some(())
        })
        .await;
    }
    rig.end().await;
}

async fn bind(plane: &Plane, role: &str, user: &str) {
    let bindings: Api<ClusterRoleBinding> = Api::all(plane.client());
    let name = format!("e2e-{user}");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user }],
    });
    plane::apply(&bindings, &name, &binding).await.unwrap();
}
