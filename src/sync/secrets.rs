//! What opens a repository: the Secret that its Repository names, read anew each time, so that another password works
//! without a restart. What is wrong with it is told by its name and key, never by its content.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::Error;
use crate::git::{self, Credentials, HostKeys, Proxy, SshKeys};

/// The key of certificates that are trusted in addition to the system's.
const CA: &str = "ca.crt";
/// The key of the proxy that leads to the server.
const PROXY: &str = "proxy";
/// The keys that a private key for SSH may be under: Kubernetes' own, and the one of other programs that read Git.
const PRIVATE: [&str; 2] = ["ssh-privatekey", "identity"];
/// The key of what SSH servers are known by.
const KNOWN_HOSTS: &str = "known_hosts";

/// What a Secret opens a repository with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What is sent.
    pub credentials: Credentials,
    /// Certificates (PEM) to trust in addition to the system's.
    pub ca: Option<Vec<u8>>,
    /// What leads to the server; it goes before the proxies of the process.
    pub proxy: Option<Proxy>,
    /// The version of the Secret; empty without one.
    pub version: String,
}

/// Returns what the Secret of this name opens a repository with; without a name: nothing, which is enough for those that
/// are open to all.
///
/// # Errors
/// [`Error::Credentials`] when the Secret is missing or is not as it should be; [`Error::Cluster`].
pub async fn keys(client: &Client, namespace: &str, name: Option<&str>) -> Result<Keys, Error> {
    let Some(name) = name else {
        return Ok(Keys {
            credentials: Credentials::Anonymous,
            ca: None,
            proxy: None,
            version: String::new(),
        });
    };
    let what = format!("secret {namespace}/{name}");
    let secret = Api::<Secret>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await;
    let secret = secret.map_err(|error| Error::cluster(&format!("cannot read {what}"), &error))?;
    let secret = secret.ok_or_else(|| Error::Credentials(format!("{what} not found")))?;
    read(&secret).map_err(|why| Error::Credentials(format!("{what}: {why}")))
}

fn read(secret: &Secret) -> Result<Keys, String> {
    let credentials = match secret.type_.as_deref().unwrap_or("Opaque") {
        "kubernetes.io/basic-auth" => Credentials::Basic {
            // A token needs no user name.
            username: text(secret, "username")?.unwrap_or_default(),
            password: git::Secret::new(required(secret, "password")?),
        },
        "kubernetes.io/ssh-auth" => ssh(secret)?,
        "Opaque" if PRIVATE.iter().any(|key| value(secret, key).is_some()) => ssh(secret)?,
        "Opaque" => match text(secret, "bearerToken")? {
            Some(token) => Credentials::Bearer(git::Secret::new(token)),
            None if value(secret, CA).or(value(secret, PROXY)).is_some() => Credentials::Anonymous,
            None => Credentials::Bearer(git::Secret::new(required(secret, "bearerToken")?)),
        },
        other => {
            return Err(format!(
                "type {other:?} is none of kubernetes.io/basic-auth, kubernetes.io/ssh-auth and Opaque with the key bearerToken or identity"
            ));
        }
    };
    let ca = value(secret, CA).map(|ca| ca.0.clone());
    if ca.as_deref().is_some_and(|ca| !is_certificate(ca)) {
        return Err(format!("the key {CA} holds no certificate (PEM)"));
    }
    let proxy = text(secret, PROXY)?
        .map(|text| Proxy::parse(&text))
        .transpose();
    Ok(Keys {
        credentials,
        ca,
        proxy: proxy.map_err(|error| format!("the key {PROXY}: {error}"))?,
        version: secret.metadata.resource_version.clone().unwrap_or_default(),
    })
}

/// Returns the key for SSH, with the servers that are known.
fn ssh(secret: &Secret) -> Result<Credentials, String> {
    let hosts = text(secret, KNOWN_HOSTS)?.unwrap_or_default();
    let hosts =
        HostKeys::parse(&hosts).map_err(|error| format!("the key {KNOWN_HOSTS}: {error}"))?;
    let named = PRIVATE.iter().find(|key| value(secret, key).is_some());
    let name = named.unwrap_or(&PRIVATE[0]);
    let key = required(secret, name)?;
    let passphrase = text(secret, "password")?;
    let keys = SshKeys::parse(Some(&key), passphrase.as_deref(), hosts);
    keys.map(Credentials::Ssh)
        .map_err(|error| format!("the key {name}: {error}"))
}

fn is_certificate(pem: &[u8]) -> bool {
    let first = CertificateDer::pem_slice_iter(pem).next();
    first.is_some_and(|certificate| certificate.is_ok())
}

fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a ByteString> {
    secret
        .data
        .as_ref()?
        .get(key)
        .filter(|value| !value.0.is_empty())
}

fn text(secret: &Secret, key: &str) -> Result<Option<String>, String> {
    let Some(value) = value(secret, key) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&value.0).map_err(|_| format!("the key {key} is not text"))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).into()))
}

fn required(secret: &Secret, key: &str) -> Result<String, String> {
    text(secret, key)?.ok_or_else(|| format!("the key {key} is missing or empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn secret(type_: &str, data: &[(&str, &[u8])]) -> Secret {
        let data = data
            .iter()
            .map(|(key, value)| ((*key).into(), ByteString(value.to_vec())));
        Secret {
            type_: Some(type_.into()),
            data: Some(data.collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn both_kinds_of_secrets_are_read() {
        let basic = |username: &str| Credentials::Basic {
            username: username.into(),
            password: git::Secret::new("p"),
        };
        let token = || Credentials::Bearer(git::Secret::new("t"));
        for (type_, data, credentials, ca) in [
            (
                "kubernetes.io/basic-auth",
                &[("username", &b"u"[..]), ("password", b"p")][..],
                basic("u"),
                None,
            ),
            (
                "kubernetes.io/basic-auth",
                &[("password", b"p\n")],
                basic(""),
                None,
            ),
            ("Opaque", &[("bearerToken", b"t\n")], token(), None),
            (
                "Opaque",
                &[("bearerToken", b"t"), ("ca.crt", PEM)],
                token(),
                Some(PEM.to_vec()),
            ),
            (
                "Opaque",
                &[("ca.crt", PEM)],
                Credentials::Anonymous,
                Some(PEM.to_vec()),
            ),
        ] {
            let keys = read(&secret(type_, data)).unwrap();
            assert!(keys.credentials == credentials, "{type_} {data:?}");
            assert_eq!(keys.ca, ca);
        }
    }

    #[test]
    fn a_secret_may_name_a_proxy_besides_or_alone() {
        let address = "http://u:hunter2@proxy:3128";
        let proxy = Proxy::parse(address).unwrap();
        for data in [
            &[("proxy", address.as_bytes())][..],
            &[
                ("proxy", b"http://u:hunter2@proxy:3128\n"),
                ("bearerToken", b"t"),
            ],
        ] {
            let keys = read(&secret("Opaque", data)).unwrap();
            assert_eq!(keys.proxy.as_ref(), Some(&proxy));
            assert!(!format!("{keys:?}").contains("hunter2"));
            let is_anonymous = keys.credentials == Credentials::Anonymous;
            assert_eq!(is_anonymous, data.len() == 1);
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_key_and_never_by_content() {
        for (type_, data, why) in [
            (
                "kubernetes.io/basic-auth",
                &[("username", &b"hunter2"[..])][..],
                "password",
            ),
            (
                "kubernetes.io/basic-auth",
                &[("username", b"hunter2\xff"), ("password", b"p")],
                "username",
            ),
            ("Opaque", &[("token", b"hunter2")], "bearerToken"),
            ("Opaque", &[("bearerToken", b"")], "bearerToken"),
            ("Opaque", &[("proxy", b"socks5://hunter2")], "the key proxy"),
            (
                "kubernetes.io/dockercfg",
                &[("ssh-privatekey", b"hunter2")],
                "kubernetes.io/dockercfg",
            ),
            (
                "kubernetes.io/ssh-auth",
                &[("ssh-privatekey", b"hunter2")],
                "the key ssh-privatekey: it is no private key",
            ),
            (
                "kubernetes.io/ssh-auth",
                &[("identity", b"")],
                "the key ssh-privatekey is missing",
            ),
            (
                "Opaque",
                &[("identity", b"hunter2")],
                "the key identity: it is no private key",
            ),
            (
                "Opaque",
                &[("identity", b"hunter2"), ("known_hosts", b"hunter2")],
                "the key known_hosts: line 1",
            ),
        ] {
            let told = read(&secret(type_, data)).unwrap_err();
            assert!(told.contains(why) && !told.contains("hunter2"), "{told}");
        }
    }
}
