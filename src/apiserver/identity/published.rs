//! Who may vouch for callers, as the cluster publishes it: the `ConfigMap` that kube-apiserver keeps, followed live.
//!
//! In comes `kube-system/extension-apiserver-authentication`; out go [`Terms`], handed to a [`Trust`]. What the operator
//! set by flags is not replaced. A `ConfigMap` that is missing or wrong changes nothing but the problem that is told.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use kube_runtime::{
    WatchStreamExt,
    watcher::{Config, Event, watcher},
};

use super::{Headers, ProxyTerms, Terms, Trust};

/// Where kube-apiserver publishes it.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// Follows what the cluster publishes, for ever; what `fixed` says comes first.
pub async fn follow(client: Client, trust: Trust, fixed: Terms) {
    let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let only = Config::default().fields(&format!("metadata.name={NAME}"));
    let mut events = std::pin::pin!(watcher(api, only).default_backoff());
    let mut seen = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => seen = false,
            Ok(Event::Apply(published) | Event::InitApply(published)) => {
                seen = true;
                take(&trust, &fixed, &published.data.unwrap_or_default());
            }
            Ok(Event::Delete(_)) => trust.report(Some(missing())),
            Ok(Event::InitDone) if !seen => trust.report(Some(missing())),
            Ok(Event::InitDone) => {}
            Err(error) => trust.report(Some(unreadable(&error))),
        }
    }
}

fn missing() -> String {
    format!("ConfigMap {NAMESPACE}/{NAME} is missing")
}

fn unreadable(error: &kube_runtime::watcher::Error) -> String {
    format!(
        "cannot read ConfigMap {NAMESPACE}/{NAME}: {error}; if it is forbidden, bind Role \
         extension-apiserver-authentication-reader of kube-system to this server's ServiceAccount"
    )
}

fn take(trust: &Trust, fixed: &Terms, data: &BTreeMap<String, String>) {
    match terms(data) {
        Ok(terms) => trust.replace(Terms {
            clients: fixed.clients.clone().or(terms.clients),
            proxy: fixed.proxy.clone().or(terms.proxy),
        }),
        Err(why) => trust.report(Some(format!("ConfigMap {NAMESPACE}/{NAME}: {why}"))),
    }
}

/// Returns what the `ConfigMap` says.
///
/// # Errors
/// The key that can't be understood.
fn terms(data: &BTreeMap<String, String>) -> Result<Terms, String> {
    let text = |key: &str| {
        data.get(key)
            .filter(|text| !text.trim().is_empty())
            .cloned()
    };
    let list = |key: &str| match text(key) {
        None => Ok(Vec::new()),
        Some(text) => serde_json::from_str::<Vec<String>>(&text)
            .map_err(|_| format!("{key} is no JSON array of strings")),
    };
    let headers = Headers {
        user: list("requestheader-username-headers")?,
        uid: list("requestheader-uid-headers")?,
        group: list("requestheader-group-headers")?,
        extra: list("requestheader-extra-headers-prefix")?,
    };
    let allowed = list("requestheader-allowed-names")?;
    let proxy = text("requestheader-client-ca-file").map(|authority| ProxyTerms {
        authority,
        allowed,
        headers,
    });
    Ok(Terms {
        clients: text("client-ca-file"),
        proxy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_map_is_read_as_kube_apiserver_writes_it() {
        let data = |pairs: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect::<BTreeMap<_, _>>()
        };
        let full = data(&[
            ("client-ca-file", "A"),
            ("requestheader-client-ca-file", "B"),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            (
                "requestheader-extra-headers-prefix",
                r#"["X-Remote-Extra-"]"#,
            ),
            ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
        ]);
        let told = terms(&full).unwrap();
        assert_eq!(told.clients.as_deref(), Some("A"));
        let proxy = told.proxy.unwrap();
        assert_eq!(
            (&*proxy.authority, &*proxy.allowed),
            ("B", &["front-proxy-client".to_owned()][..])
        );
        assert_eq!(proxy.headers, Headers::default());

        let bare = terms(&data(&[("client-ca-file", "A")])).unwrap();
        assert_eq!(bare.proxy, None);
        let older = terms(&data(&[("requestheader-client-ca-file", "B")])).unwrap();
        assert_eq!(older.proxy.unwrap().headers.uid, Vec::<String>::new());
        let wrong = terms(&data(&[("requestheader-allowed-names", "front")]));
        assert!(
            wrong
                .unwrap_err()
                .starts_with("requestheader-allowed-names")
        );
    }
}
