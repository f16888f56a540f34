//! This server's own authority: made, kept in a Secret that all replicas share, told to kube-apiserver, replaced in time.
//!
//! In come a client and names; out go serving certificates, each whenever there is a new one. A certificate of a new
//! authority is served only once kube-apiserver was told of that authority, and an old authority is told of as long as it
//! lasts; so nobody is ever turned away in between. The Secret is replaced by its version only: two replicas never mix
//! their halves.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use crate::certificate::{self, Authority, Pair, details, pem_chain};

/// How long an authority lasts, and a certificate that it signs; each is replaced when a third of that is left.
const AUTHORITY: Duration = Duration::from_hours(24 * 730);
const CERTIFICATE: Duration = Duration::from_hours(24 * 90);
/// How often it is looked whether something is to be done, and how soon after a failure.
const EVERY: Duration = Duration::from_mins(1);
const RETRY: Duration = Duration::from_secs(5);

/// What stands between now and a certificate; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not take or give what was asked.
    #[error("{0}")]
    Cluster(#[from] kube::Error),
    /// A certificate could not be made or read.
    #[error(transparent)]
    Certificate(#[from] certificate::Error),
}

/// Whose authority it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Name of the APIService that is told.
    pub api_service: String,
    /// Name of the `ValidatingWebhookConfiguration` that is told, should there be one.
    pub webhooks: String,
    /// Names that the certificate proves.
    pub names: Vec<String>,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    /// The authorities' certificates, PEM, newest first.
    authorities: Vec<String>,
    /// The newest one's, and its key. That a pair is printed as nothing keeps the key out of logs.
    newest: Pair,
    /// What is served.
    serving: Pair,
}

/// Looks after the authority, for ever; each certificate to serve is sent to `serving`.
pub async fn run(client: Client, settings: Settings, serving: watch::Sender<Option<Pair>>) {
    loop {
        let pause = match look(&client, &settings, Timestamp::now()).await {
            Ok(pair) => {
                serving.send_if_modified(|known| {
                    let new = known.as_ref() != Some(&pair);
                    *known = Some(pair);
                    new
                });
                EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "the serving certificate could not be looked after");
                RETRY
            }
        };
        sleep(pause).await;
    }
}

/// Does what is to be done at `now`, and returns what to serve.
///
/// # Errors
/// [`Error`]
pub async fn look(client: &Client, settings: &Settings, now: Timestamp) -> Result<Pair, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.namespace);
    let services: Api<APIService> = Api::all(client.clone());
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let told = told(&services, &settings.api_service).await?;
    let hook = asked(&hooks, &settings.webhooks).await;
    // What either was told of.
    let known = match &hook {
        Some(hook) if !bundles(hook).all(|bundle| bundle == told) => "",
        _ => &*told,
    };
    let found = secrets.get_opt(&settings.secret).await?;
    let kept = found.as_ref().and_then(read);
    let kept = match next(kept.as_ref(), &settings.names, now, known)? {
        None => kept.ok_or_else(|| certificate::Error::Missing("nothing was made".into()))?,
        Some(new) => {
            write(&secrets, settings, found, &new).await?;
            tracing::info!(secret = settings.secret, "a new certificate was made");
            new
        }
    };
    let bundle = kept.authorities.concat();
    if told != bundle {
        tell(&services, &settings.api_service, bundle.clone()).await?;
    }
    if let Some(hook) = hook {
        tell_webhooks(&hooks, &hook, &bundle).await;
    }
    Ok(kept.serving)
}

/// Returns what is to be kept from now on, if anything is to change. `told` is what kube-apiserver trusts.
fn next(
    kept: Option<&Kept>,
    names: &[String],
    now: Timestamp,
    told: &str,
) -> Result<Option<Kept>, certificate::Error> {
    let Some(kept) = kept.filter(|kept| is_sound(kept, now)) else {
        let authority = Authority::new("porch-server", now, AUTHORITY)?;
        return Ok(Some(Kept {
            authorities: vec![authority.certificate.clone()],
            serving: authority.sign(names, now, CERTIFICATE)?,
            newest: pair(&authority),
        }));
    };
    let mut next = kept.clone();
    next.authorities
        .retain(|pem| left(pem, now).is_some_and(|left| left > Duration::ZERO));
    if left(&kept.newest.chain, now) < Some(AUTHORITY / 3) {
        let authority = Authority::new("porch-server", now, AUTHORITY)?;
        next.authorities.insert(0, authority.certificate.clone());
        next.newest = pair(&authority);
    }
    let known = told.contains(&*next.newest.chain);
    let due = left(&kept.serving.chain, now) < Some(CERTIFICATE / 3)
        || names_of(&kept.serving).is_none_or(|known| known != issued(&next.newest, names));
    if due && known {
        let authority = Authority::from_pem(&next.newest.chain, &next.newest.key)?;
        next.serving = authority.sign(names, now, CERTIFICATE)?;
    }
    Ok((next != *kept).then_some(next))
}

/// Returns issuer and first name of a certificate: what makes one stale before its time.
fn names_of(pair: &Pair) -> Option<(String, String)> {
    let chain = pem_chain(pair.chain.as_bytes()).ok()?;
    let details = details(chain.first()?).ok()?;
    Some((details.issuer, details.common_name))
}

/// Returns the same of what the authority would sign now.
fn issued(authority: &Pair, names: &[String]) -> (String, String) {
    let (_, name) = names_of(authority).unwrap_or_default();
    (name, names.first().cloned().unwrap_or_default())
}

/// Returns whether everything that is kept can be read and the certificate still lasts.
fn is_sound(kept: &Kept, now: Timestamp) -> bool {
    let lasts = |pem: &str| left(pem, now).is_some_and(|left| left > Duration::ZERO);
    let authority = Authority::from_pem(&kept.newest.chain, &kept.newest.key);
    authority.is_ok() && lasts(&kept.newest.chain) && lasts(&kept.serving.chain)
}

/// Returns how long the first certificate of a PEM text lasts from now on; nothing if it can't be read.
fn left(pem: &str, now: Timestamp) -> Option<Duration> {
    let chain = pem_chain(pem.as_bytes()).ok()?;
    let until = details(chain.first()?).ok()?.not_after;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

fn pair(authority: &Authority) -> Pair {
    Pair {
        chain: authority.certificate.clone(),
        key: authority.key(),
    }
}

/// The keys of the Secret: those that others use for the same.
const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const TLS_CERTIFICATE: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";
const END: &str = "-----END CERTIFICATE-----";

fn read(secret: &Secret) -> Option<Kept> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    let bundle = text(CA_CERTIFICATE)?;
    let authorities: Vec<String> = bundle
        .split_inclusive(END)
        .filter(|part| part.ends_with(END))
        .map(|part| format!("{}\n", part.trim_start()))
        .collect();
    Some(Kept {
        newest: Pair {
            chain: authorities.first()?.clone(),
            key: text(CA_KEY)?,
        },
        authorities,
        serving: Pair {
            chain: text(TLS_CERTIFICATE)?,
            key: text(TLS_KEY)?,
        },
    })
}

async fn write(
    secrets: &Api<Secret>,
    settings: &Settings,
    found: Option<Secret>,
    kept: &Kept,
) -> Result<(), Error> {
    let data: BTreeMap<String, ByteString> = [
        (CA_CERTIFICATE, kept.authorities.concat()),
        (CA_KEY, kept.newest.key.clone()),
        (TLS_CERTIFICATE, kept.serving.chain.clone()),
        (TLS_KEY, kept.serving.key.clone()),
    ]
    .into_iter()
    .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
    .collect();
    let params = PostParams::default();
    if let Some(mut secret) = found {
        secret.data = Some(data);
        secrets.replace(&settings.secret, &params, &secret).await?;
        return Ok(());
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(settings.secret.clone()),
            labels: Some([("app".into(), "porch-server".into())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".into()),
        data: Some(data),
        ..Secret::default()
    };
    secrets.create(&params, &secret).await?;
    Ok(())
}

/// Returns the authorities that kube-apiserver was told of, PEM; empty if of none.
async fn told(services: &Api<APIService>, name: &str) -> Result<String, Error> {
    let service = services.get_opt(name).await?;
    let bundle = service
        .and_then(|service| service.spec)
        .and_then(|spec| spec.ca_bundle);
    let bundle = bundle.map(|bundle| String::from_utf8(bundle.0).unwrap_or_default());
    Ok(bundle.unwrap_or_default())
}

/// Returns by which webhooks kube-apiserver asks this server. The server is of use without them: whatever stands between is
/// told, and no more.
async fn asked(
    hooks: &Api<ValidatingWebhookConfiguration>,
    name: &str,
) -> Option<ValidatingWebhookConfiguration> {
    let found = hooks.get_opt(name).await;
    let found = found.inspect_err(|error| {
        tracing::warn!(validatingwebhookconfiguration = name, %error, "it can't be read");
    });
    found.ok()?
}

/// Returns the authorities that each of the webhooks knows, PEM; empty if none.
fn bundles(hook: &ValidatingWebhookConfiguration) -> impl Iterator<Item = String> {
    let configs = hook.webhooks.iter().flatten().map(|it| &it.client_config);
    configs.map(|config| {
        let bundle = config.ca_bundle.clone().unwrap_or_default();
        String::from_utf8(bundle.0).unwrap_or_default()
    })
}

/// Tells kube-apiserver which authorities to trust when it asks; the webhooks stay what they are otherwise.
async fn tell_webhooks(
    hooks: &Api<ValidatingWebhookConfiguration>,
    hook: &ValidatingWebhookConfiguration,
    bundle: &str,
) {
    let name = hook.name_any();
    if bundles(hook).all(|known| known == bundle) {
        return;
    }
    let value = ByteString(bundle.as_bytes().to_vec());
    let edits = hook.webhooks.iter().flatten().enumerate();
    let edits = edits.flat_map(|(index, webhook)| {
        let at = format!("/webhooks/{index}");
        [
            json!({"op": "test", "path": format!("{at}/name"), "value": webhook.name}),
            json!({"op": "add", "path": format!("{at}/clientConfig/caBundle"), "value": value}),
        ]
    });
    let edits: Result<json_patch::Patch, _> = serde_json::from_value(edits.collect());
    let patch = match edits {
        Ok(edits) => Patch::Json::<()>(edits),
        Err(error) => return tracing::error!(%error, "a patch could not be made"),
    };
    match hooks.patch(&name, &PatchParams::default(), &patch).await {
        Ok(_) => {
            tracing::info!(
                validatingwebhookconfiguration = name,
                "its caBundle was written"
            );
        }
        Err(error) => {
            tracing::warn!(validatingwebhookconfiguration = name, %error, "its caBundle was not written");
        }
    }
}

/// Tells kube-apiserver which authorities to trust. An APIService that is not there yet is told of at the next look.
async fn tell(services: &Api<APIService>, name: &str, bundle: String) -> Result<(), Error> {
    let spec = json!({
        "caBundle": ByteString(bundle.into_bytes()),
        "insecureSkipTLSVerify": null,
    });
    let patch = Patch::Merge(json!({ "spec": spec }));
    match services.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => {
            tracing::info!(apiservice = name, "its caBundle was written");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            tracing::warn!(apiservice = name, "it is not there yet");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn names() -> Vec<String> {
        vec!["api.porch-system.svc".into()]
    }

    /// Whether what is served is signed by an authority that is known to those who know `told`.
    fn is_known(kept: &Kept, told: &str) -> bool {
        let (issuer, _) = names_of(&kept.serving).unwrap();
        let known = pem_chain(told.as_bytes()).unwrap();
        known
            .iter()
            .any(|authority| details(authority).unwrap().common_name == issuer)
    }

    #[test]
    fn through_ten_years_there_is_always_a_good_certificate_of_a_known_authority() {
        let begin: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut kept = next(None, &names(), begin, "").unwrap().unwrap();
        let mut told = kept.authorities.concat();
        let (mut authorities, mut certificates) = (1, 1);
        for day in 0..3650 {
            let now = begin + DAY * day;
            // Several looks a day; kube-apiserver learns of each result after it.
            for _ in 0..3 {
                if let Some(new) = next(Some(&kept), &names(), now, &told).unwrap() {
                    authorities += u32::from(new.newest != kept.newest);
                    certificates += u32::from(new.serving != kept.serving);
                    kept = new;
                }
                assert!(is_known(&kept, &told), "day {day}");
                assert!(left(&kept.serving.chain, now) > Some(DAY * 20), "day {day}");
                told = kept.authorities.concat();
                assert!(is_known(&kept, &told), "day {day}");
            }
            assert!(kept.authorities.len() <= 2);
            assert_eq!(next(Some(&kept), &names(), now, &told).unwrap(), None);
        }
        assert_eq!(authorities, 8, "one in about 487 days");
        assert!((60..=75).contains(&certificates), "{certificates}");
    }

    #[test]
    fn what_is_damaged_or_too_old_is_made_anew_and_another_name_too() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let kept = next(None, &names(), now, "").unwrap().unwrap();
        let told = kept.authorities.concat();
        let mut damaged = kept.clone();
        damaged.newest.key = "nonsense".into();
        let made = next(Some(&damaged), &names(), now, &told).unwrap().unwrap();
        assert_ne!(made.newest, kept.newest);
        let late = now + DAY * 1000;
        let made = next(Some(&kept), &names(), late, &told).unwrap().unwrap();
        assert_eq!(made.authorities.len(), 1);
        let other = ["api.elsewhere.svc".to_owned()];
        let made = next(Some(&kept), &other, now, &told).unwrap().unwrap();
        assert_eq!(made.newest, kept.newest);
        assert_eq!(names_of(&made.serving).unwrap().1, other[0]);
    }
}
