//! What users do with widgets: plain `kubectl` against a plain HTTPS listener.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::{Command, Output},
    sync::Arc,
};

use porch::{
    apiserver::{Authenticator, Certificate, Identity, Settings, Token, serve},
    standalone::credentials::Credentials,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::toy::Widgets;

struct Shop {
    widgets: Arc<Widgets>,
    directory: TempDir,
}

impl Shop {
    /// Starts a server with a kubeconfig; nothing if there is no `kubectl` on this machine.
    async fn start() -> Option<Self> {
        let version = Command::new("kubectl")
            .args(["version", "--client"])
            .output();
        if version.is_err() {
            eprintln!("skipped: there is no kubectl on this machine");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let credentials = Credentials::open(&directory.path().join("pki"), address).unwrap();
        let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes());
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap();
        let certificate = Certificate::new(chain, key).unwrap();
        let token = Token::new(&credentials.token);
        let settings = Settings {
            authenticator: Authenticator::new().with_token(token, Identity::master("tester")),
            ..Settings::default()
        };
        let mut widgets = Widgets::with_history(1000);
        widgets.owned = true;
        let widgets = Arc::new(widgets);
        let server = widgets.server_with(settings);
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let here = listener.local_addr().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        credentials.write_kubeconfig(&kubeconfig, here).unwrap();
        tokio::spawn(serve(listener, certificate, server));
        Some(Self { widgets, directory })
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        let cache = self.directory.path().join("cache");
        command.args(arguments).arg("--cache-dir").arg(cache);
        command.env("KUBECONFIG", self.directory.path().join("kubeconfig"));
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        run.await.unwrap()
    }

    /// Runs `kubectl` and returns what it prints; it must succeed.
    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}\n{out}{err}");
        out
    }

    /// Runs `kubectl` and returns its complaint; it must fail.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn file(&self, name: &str, spec: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        let head = "apiVersion: toys.example/v1\nkind: Widget\nmetadata:\n  name: a\n";
        std::fs::write(&path, format!("{head}spec:\n{spec}")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn color(&self) -> String {
        let name = porch::cache::Name::new("default", "a");
        let found = self.widgets.find(&name).expect("the widget is there");
        found["spec"]["color"].as_str().unwrap_or_default().into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widget_s_life_in_kubectl() {
    let Some(shop) = Shop::start().await else {
        return;
    };
    let explained = shop.ok(&["explain", "widgets.spec.color"]).await;
    assert!(explained.contains("Color is how it looks."), "{explained}");
    let file = shop.file("a.yaml", "  color: red\n  notes: {a: x}\n");
    let create = [
        "create",
        "--validate=strict",
        "--dry-run=server",
        "-f",
        &file,
    ];
    shop.ok(&create).await;
    for (change, said) in [("", "created"), ("", "unchanged"), ("blue", "configured")] {
        if !change.is_empty() {
            shop.file("a.yaml", &format!("  color: {change}\n  notes: {{a: z}}\n"));
        }
        let out = shop.ok(&["apply", "-f", &file]).await;
        assert_eq!(out, format!("widget.toys.example/a {said}\n"));
    }
    assert_eq!(shop.color(), "blue");
    let wrong = shop.file("b.yaml", "  colour: red\n");
    let told = shop.refused(&["apply", "-f", &wrong]).await;
    assert!(
        told.contains("strict decoding error: unknown field \"spec.colour\""),
        "{told}"
    );
    let told = shop
        .refused(&["create", "--validate=strict", "-f", &wrong])
        .await;
    assert!(told.contains("(BadRequest)"), "{told}");
    shop.ok(&["apply", "--validate=warn", "-f", &wrong]).await;

    shop.file("a.yaml", "  color: green\n  notes: {a: z}\n");
    let changes = shop.run(&["diff", "-f", &file]).await;
    let changes = String::from_utf8_lossy(&changes.stdout).into_owned();
    assert!(changes.contains("+  color: green"), "{changes}");
    shop.ok(&["replace", "-f", &file]).await;
    assert_eq!(shop.color(), "green");
    shop.ok(&["label", "widget", "a", "x=1"]).await;
    shop.ok(&["annotate", "widget", "a", "x=1"]).await;
    for (type_, patch) in [
        ("strategic", "{\"spec\":{\"color\":\"one\"}}"),
        ("merge", "{\"spec\":{\"color\":\"two\"}}"),
        (
            "json",
            "[{\"op\":\"replace\",\"path\":\"/spec/color\",\"value\":\"three\"}]",
        ),
    ] {
        shop.ok(&["patch", "widget", "a", "--type", type_, "-p", patch])
            .await;
    }
    assert_eq!(shop.color(), "three");
    let approve = [
        "patch",
        "widget",
        "a",
        "--subresource=approval",
        "--type=merge",
        "-p",
        "{}",
    ];
    let out = shop.run(&approve).await;
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.success() || err.contains("invalid subresource"),
        "{err}"
    );
    let wait = [
        "wait",
        "widget",
        "a",
        "--for=jsonpath={.spec.color}=three",
        "--timeout=20s",
    ];
    shop.ok(&wait).await;
    shop.ok(&["delete", "widget", "a", "--dry-run=server"])
        .await;
    assert_eq!(shop.color(), "three");
    shop.ok(&["delete", "widget", "a", "--cascade=background"])
        .await;
    assert!(
        shop.refused(&["get", "widget", "a"])
            .await
            .contains("NotFound")
    );
    shop.ok(&["delete", "widget", "a", "--ignore-not-found"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_applied_by_itself_goes_on_with_the_server() {
    let Some(shop) = Shop::start().await else {
        return;
    };
    let file = shop.file("a.yaml", "  color: red\n  notes: {a: x}\n");
    shop.ok(&["apply", "-f", &file]).await;
    shop.ok(&["apply", "--server-side", "-f", &file]).await;
    let patch = "{\"spec\":{\"color\":\"blue\"}}";
    shop.ok(&["patch", "widget", "a", "--type=merge", "-p", patch])
        .await;
    let same = shop.file("a.yaml", "  color: green\n");
    let told = shop.refused(&["apply", "--server-side", "-f", &same]).await;
    assert!(told.contains("conflict with \"kubectl-patch\""), "{told}");
    shop.ok(&["apply", "--server-side", "--force-conflicts", "-f", &same])
        .await;
    assert_eq!(shop.color(), "green");
    let shown = ["get", "widget", "a", "--show-managed-fields", "-o", "yaml"];
    let shown = shop.ok(&shown).await;
    assert!(shown.contains("operation: Apply"), "{shown}");
    let gone = shop
        .ok(&["get", "widget", "a", "-o", "jsonpath={.spec.notes}"])
        .await;
    assert_eq!(gone, "", "what is applied no more goes");
}
