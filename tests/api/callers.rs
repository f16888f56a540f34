//! Who may come, by which proof, and what they may do: through TLS, with a cluster behind it that knows some tokens and some
//! rights, and can fail.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use porch::{
    apiserver::{
        AccessReviews, Authenticator, Authorizer, Certificate, Headers, Health, ProxyTerms,
        Registry, Server, Settings, Terms, TokenReviews, Trust, follow_published, serve,
    },
    certificate,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::toy::Widgets;

pub const LIST: &str = "/apis/toys.example/v1/namespaces/a/widgets";
pub const ALICE: &[(&str, &str)] = &[
    ("x-remote-user", "alice"),
    ("x-remote-group", "people"),
    ("x-remote-extra-scopes", "one"),
];
const MASTER: &[(&str, &str)] = &[
    ("x-remote-user", "root"),
    ("x-remote-group", "system:masters"),
];

/// An authority of clients' certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What is special about a certificate.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Client,
    /// It ended long ago.
    Expired,
    /// It is a server's.
    Server,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Returns a user of a kubeconfig who shows a certificate.
    fn user(&self, name: &str, group: &str, kind: Kind) -> Value {
        let (params, key) = (params(name, group, kind), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        credentials(&certificate.pem(), &key)
    }
}

fn params(name: &str, group: &str, kind: Kind) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        let names = &mut params.distinguished_name;
        names.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![match kind {
        Kind::Server => ExtendedKeyUsagePurpose::ServerAuth,
        _ => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    if kind == Kind::Expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    params
}

fn self_signed(name: &str) -> Value {
    let (params, key) = (params(name, "", Kind::Client), KeyPair::generate().unwrap());
    let certificate = params.self_signed(&key).unwrap();
    credentials(&certificate.pem(), &key)
}

fn credentials(certificate: &str, key: &KeyPair) -> Value {
    json!({
        "client-certificate-data": BASE64_STANDARD.encode(certificate),
        "client-key-data": BASE64_STANDARD.encode(key.serialize_pem()),
    })
}

/// The cluster that is asked: it knows two tokens, lets alice read widgets of the namespace `a`, and counts.
#[derive(Default)]
struct Cluster {
    broken: AtomicBool,
    tokens: AtomicUsize,
    rights: AtomicUsize,
    /// Whether alice has lost her rights.
    revoked: AtomicBool,
}

impl Cluster {
    fn client(self: &Arc<Self>) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let cluster = cluster.clone();
            async move { Ok::<_, std::convert::Infallible>(cluster.answer(request).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        if self.broken.load(Ordering::SeqCst) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "etcd is away", "reason": "Forbidden", "code": 403});
            let refusal = Response::builder().status(403);
            return refusal.body(Body::from(status.to_string())).unwrap();
        }
        review["status"] = match parts.uri.path().rsplit('/').next().unwrap() {
            "tokenreviews" => self.token(&review["spec"]),
            "subjectaccessreviews" => self.right(&review["spec"]),
            other => panic!("{other} is asked for"),
        };
        Response::new(Body::from(review.to_string()))
    }

    fn token(&self, spec: &Value) -> Value {
        self.tokens.fetch_add(1, Ordering::SeqCst);
        match spec["token"].as_str().unwrap() {
            "alice's" => json!({"authenticated": true, "user": {
                "username": "alice", "uid": "7", "groups": ["people"], "extra": {"scopes": ["one"]}
            }}),
            "root's" => {
                json!({"authenticated": true, "user": {"username": "root", "groups": ["system:masters"]}})
            }
            _ => json!({"authenticated": false, "error": "unknown"}),
        }
    }

    fn right(&self, spec: &Value) -> Value {
        self.rights.fetch_add(1, Ordering::SeqCst);
        let groups: Vec<&str> = spec["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap())
            .collect();
        let known = spec["user"] == "alice"
            && groups == ["people", "system:authenticated"]
            && spec["extra"]["scopes"] == json!(["one"]);
        let asked = json!({"group": "toys.example", "version": "v1", "resource": "widgets", "namespace": "a", "verb": "list"});
        let allowed =
            known && spec["resourceAttributes"] == asked && !self.revoked.load(Ordering::SeqCst);
        json!({"allowed": allowed, "reason": if allowed { "" } else { "no rule says so" }})
    }
}

pub struct Rig {
    pub address: SocketAddr,
    /// The certificate of the server, PEM.
    pub root: String,
    pub widgets: Arc<Widgets>,
    clients: Authority,
    proxies: Authority,
    trust: Trust,
    cluster: Arc<Cluster>,
    leaving: CancellationToken,
    stop: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// So short that tests need not wait long.
const GOOD_FOR: Duration = Duration::from_millis(300);

impl Rig {
    pub async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (clients, proxies) = (Authority::new("clients"), Authority::new("proxies"));
        let (trust, cluster) = (Trust::new(), Arc::<Cluster>::default());
        let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
        let settings = Settings {
            authenticator: Authenticator::new()
                .with_certificates(trust.clone())
                .with_reviews(TokenReviews::new(cluster.client(), GOOD_FOR))
                .with_anonymous(),
            authorizer: Authorizer::Cluster(Box::new(AccessReviews::new(
                cluster.client(),
                GOOD_FOR,
                GOOD_FOR,
            ))),
            health: Health::new(),
            leaving: leaving.clone(),
            stop: stop.clone(),
            ..Settings::default()
        };
        let widgets = Widgets::new();
        widgets.put("a", "one", &json!({}), "red");
        let server = Server::new(Registry::new().serve(widgets.clone()), settings);
        let made = certificate::self_signed(
            &["127.0.0.1".into()],
            jiff::Timestamp::now(),
            Duration::from_hours(1),
        );
        let made = made.unwrap();
        let chain = certificate::pem_chain(made.chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
        let proof = Certificate::new(chain, key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, proof, server));
        let rig = Self {
            address,
            root: made.chain,
            widgets,
            clients,
            proxies,
            trust,
            cluster,
            leaving,
            stop,
        };
        rig.trust.replace(rig.terms());
        rig
    }

    fn terms(&self) -> Terms {
        Terms {
            clients: Some(self.clients.pem.clone()),
            proxy: Some(ProxyTerms {
                authority: self.proxies.pem.clone(),
                allowed: vec!["front-proxy-client".into()],
                headers: Headers::default(),
            }),
        }
    }

    /// Returns a client who shows what `user` of a kubeconfig shows.
    async fn client(&self, user: &Value) -> Client {
        let kubeconfig = json!({
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority-data": BASE64_STANDARD.encode(&self.root),
            }}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.unwrap()).unwrap()
    }

    pub async fn ask(&self, user: &Value, headers: &[(&str, &str)], uri: &str) -> (u16, String) {
        ask(&self.client(user).await, headers, uri).await
    }

    /// Returns how the front proxy proves that it is one.
    pub fn proxy(&self) -> Value {
        self.proxies.user("front-proxy-client", "", Kind::Client)
    }
}

async fn ask(client: &Client, headers: &[(&str, &str)], uri: &str) -> (u16, String) {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(kube::client::Body::empty()).unwrap();
    let (parts, body) = client.send(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        parts.status.as_u16(),
        String::from_utf8_lossy(&bytes).into(),
    )
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn nobody_is_believed_without_proof() {
    let rig = Rig::start().await;
    let stranger = Authority::new("proxies");
    let token = |text: &str| json!({ "token": text });
    let (good, bare): (_, &[(&str, &str)]) = (rig.proxy(), &[]);
    let anonymous = "User \\\"system:anonymous\\\" cannot list";
    let cases = [
        ("nothing", json!({}), bare, 403, anonymous),
        ("headers alone", json!({}), MASTER, 403, anonymous),
        (
            "the front proxy for alice",
            good.clone(),
            ALICE,
            200,
            "WidgetList",
        ),
        (
            "the front proxy for a master",
            good.clone(),
            MASTER,
            200,
            "WidgetList",
        ),
        (
            "the front proxy for nobody",
            good,
            bare,
            401,
            "Unauthorized",
        ),
        (
            "another of the front proxy's authority",
            rig.proxies.user("somebody", "", Kind::Client),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "an expired front proxy",
            rig.proxies.user("front-proxy-client", "", Kind::Expired),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "a server's certificate of the front proxy's authority",
            rig.proxies.user("front-proxy-client", "", Kind::Server),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "an authority of the same name",
            stranger.user("front-proxy-client", "", Kind::Client),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "one that stands for itself",
            self_signed("front-proxy-client"),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "a master by certificate",
            rig.clients.user("root", "system:masters", Kind::Client),
            bare,
            200,
            "WidgetList",
        ),
        (
            "a user's certificate with a proxy's headers",
            rig.clients
                .user("front-proxy-client", "people", Kind::Client),
            MASTER,
            403,
            "User \\\"front-proxy-client\\\" cannot list",
        ),
        ("alice's token", token("alice's"), bare, 200, "WidgetList"),
        (
            "alice's token with a proxy's headers",
            token("alice's"),
            MASTER,
            200,
            "WidgetList",
        ),
        ("a master's token", token("root's"), bare, 200, "WidgetList"),
        ("nobody's token", token("forged"), bare, 401, "Unauthorized"),
        (
            "nobody's token with headers",
            token("forged"),
            MASTER,
            401,
            "Unauthorized",
        ),
        (
            "one who wants to be another",
            token("root's"),
            &[("impersonate-user", "alice")],
            403,
            "impersonation",
        ),
    ];
    for (who, user, headers, code, told) in cases {
        let answer = rig.ask(&user, headers, LIST).await;
        assert_eq!(answer.0, code, "{who}: {}", answer.1);
        assert!(answer.1.contains(told), "{who}: {}", answer.1);
    }
    // A right to one thing is none to another, and the cluster's reason is told.
    let (code, text) = rig.ask(&token("alice's"), &[], "/metrics").await;
    assert_eq!(code, 403);
    assert!(
        text.contains("cannot get path \\\"/metrics\\\": no rule says so"),
        "{text}"
    );
}

#[tokio::test]
async fn health_is_for_all_but_for_those_who_show_something_false() {
    let rig = Rig::start().await;
    for (user, path, code) in [
        (json!({}), "/livez", 200),
        (json!({}), "/readyz?verbose", 200),
        (json!({}), "/livez/ping", 403),
        (json!({"token": "forged"}), "/livez", 401),
        (self_signed("kubelet"), "/livez", 401),
    ] {
        assert_eq!(rig.ask(&user, &[], path).await.0, code, "{path}");
    }
    assert_eq!(
        rig.cluster.rights.load(Ordering::SeqCst),
        1,
        "only /livez/ping was asked for"
    );
    rig.leaving.cancel();
    assert_eq!(rig.ask(&json!({}), &[], "/readyz").await.0, 500);
    assert_eq!(rig.ask(&json!({}), &[], "/livez").await.0, 200);
    let alice = json!({"token": "alice's"});
    assert_eq!(
        rig.ask(&alice, &[], LIST).await.0,
        200,
        "it is still served"
    );
}

#[tokio::test]
async fn the_cluster_is_asked_once_in_a_while_and_its_failure_lets_nobody_in() {
    let rig = Rig::start().await;
    let alice = rig.client(&json!({"token": "alice's"})).await;
    let root = rig.client(&json!({"token": "root's"})).await;
    let (proxy, cluster) = (rig.client(&rig.proxy()).await, &rig.cluster);
    for _ in 0..20 {
        assert_eq!(ask(&alice, &[], LIST).await.0, 200);
    }
    let asked = (
        cluster.tokens.load(Ordering::SeqCst),
        cluster.rights.load(Ordering::SeqCst),
    );
    assert!(asked.0 <= 3 && asked.1 <= 3, "{asked:?}");

    cluster.revoked.store(true, Ordering::SeqCst);
    tokio::time::sleep(GOOD_FOR * 2).await;
    assert_eq!(ask(&alice, &[], LIST).await.0, 403);
    cluster.revoked.store(false, Ordering::SeqCst);
    tokio::time::sleep(GOOD_FOR * 2).await;
    assert_eq!(ask(&root, &[], LIST).await.0, 200);

    cluster.broken.store(true, Ordering::SeqCst);
    tokio::time::sleep(GOOD_FOR * 2).await;
    let (code, text) = ask(&proxy, ALICE, LIST).await;
    assert_eq!(code, 500, "{text}");
    assert!(!text.contains("etcd"), "{text}");
    assert_eq!(
        ask(&root, &[], LIST).await.0,
        401,
        "whose the token is, nobody says"
    );
    assert_eq!(ask(&proxy, MASTER, LIST).await.0, 200, "masters pass");
}

#[tokio::test]
async fn authorities_are_replaced_while_connections_last() {
    let rig = Rig::start().await;
    let old = rig.client(&rig.proxy()).await;
    assert_eq!(ask(&old, MASTER, LIST).await.0, 200);
    let next = Authority::new("proxies");
    let mut terms = rig.terms();
    terms.proxy.as_mut().unwrap().authority = format!("{}{}", rig.proxies.pem, next.pem);
    rig.trust.replace(terms.clone());
    let new = next.user("front-proxy-client", "", Kind::Client);
    let new = rig.client(&new).await;
    assert_eq!(ask(&old, MASTER, LIST).await.0, 200);
    assert_eq!(ask(&new, MASTER, LIST).await.0, 200);

    terms
        .proxy
        .as_mut()
        .unwrap()
        .authority
        .clone_from(&next.pem);
    rig.trust.replace(terms.clone());
    assert_eq!(
        ask(&old, MASTER, LIST).await.0,
        401,
        "on the same connection"
    );
    assert_eq!(ask(&new, MASTER, LIST).await.0, 200);

    let mut wrong = terms;
    wrong.proxy.as_mut().unwrap().authority = "nonsense".into();
    rig.trust.replace(wrong);
    assert_eq!(
        ask(&new, MASTER, LIST).await.0,
        200,
        "the last good ones stay"
    );
}

#[tokio::test]
async fn until_it_is_known_whom_to_trust_no_certificate_proves_anything() {
    let (rig, trust) = (Rig::start().await, Trust::new());
    assert!(trust.problem().is_some());
    trust.replace(Terms {
        clients: Some("nonsense".into()),
        proxy: None,
    });
    assert!(trust.problem().unwrap().contains("clients"));
    trust.replace(rig.terms());
    assert_eq!(trust.problem(), None);
    trust.report(Some("the ConfigMap is missing".into()));
    assert_eq!(trust.problem(), None, "what was read still holds");
}

/// The one `ConfigMap` of a cluster, which may be missing; watchers are told of changes when they ask again.
#[derive(Clone, Default)]
struct Published(Arc<std::sync::Mutex<Option<Value>>>);

impl Published {
    fn client(&self) -> Client {
        let published = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let published = published.clone();
            let uri = request.uri().clone();
            async move { Ok::<_, std::convert::Infallible>(published.answer(&uri).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, uri: &http::Uri) -> Response<Body> {
        let (path, query) = (uri.path(), uri.query().unwrap());
        assert_eq!(path, "/api/v1/namespaces/kube-system/configmaps");
        assert!(query.contains("metadata.name%3Dextension-apiserver-authentication"));
        if query.contains("watch=") {
            // A history that is forgotten at once: the watcher lists again.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "message": "too old", "reason": "Expired", "code": 410}});
            return Response::new(Body::from(format!("{gone}\n")));
        }
        let there = self.0.lock().unwrap().clone();
        let items: Vec<Value> = there.into_iter().collect();
        let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
        Response::new(Body::from(list.to_string()))
    }

    /// Publishes an authority of the front proxy; the other keys are as kube-apiserver writes them.
    fn say(&self, authority: Option<&str>) {
        let map = |authority| {
            json!({"kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1"},
            "data": {
                "requestheader-client-ca-file": authority,
                "requestheader-allowed-names": "[\"front-proxy-client\"]",
                "requestheader-username-headers": "[\"X-Remote-User\"]",
                "requestheader-group-headers": "[\"X-Remote-Group\"]",
                "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            }})
        };
        *self.0.lock().unwrap() = authority.map(map);
    }
}

#[tokio::test]
async fn what_the_cluster_publishes_is_followed_though_it_is_missing_or_wrong_for_a_while() {
    let (rig, published) = (Rig::start().await, Published::default());
    let trust = rig.trust.clone();
    trust.replace(Terms::default());
    let following = follow_published(published.client(), trust, Terms::default());
    let following = tokio::spawn(following);
    let (old, new) = (rig.proxy(), Authority::new("proxies"));
    let foreign = new.user("front-proxy-client", "", Kind::Client);
    let (one, both) = (
        rig.proxies.pem.clone(),
        format!("{}{}", rig.proxies.pem, new.pem),
    );
    // What is published, and how the old and the new proxy are answered then.
    let steps = [
        // Nobody looks at certificates yet: who shows one is nobody.
        ("nothing", None, (403, 403)),
        ("the old one", Some(&*one), (200, 401)),
        ("nonsense", Some("nonsense"), (200, 401)),
        ("nothing any more", None, (200, 401)),
        ("both", Some(&both), (200, 200)),
        ("the new one", Some(&new.pem), (401, 200)),
    ];
    for (what, authority, wanted) in steps {
        published.say(authority);
        tokio::time::timeout(Duration::from_mins(1), async {
            loop {
                let told = (
                    rig.ask(&old, ALICE, LIST).await.0,
                    rig.ask(&foreign, ALICE, LIST).await.0,
                );
                if told == wanted {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{what} is published, and not believed so"));
    }
    following.abort();
}
