//! New certificates: an authority, what it signs for a server, and a server's certificate that stands for itself. In come
//! names and a time; out go PEM texts. A key leaves only in a [`Pair`] or an [`Authority`], which can't be printed.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::{Error, details, pem_chain};

/// How far before now a certificate begins, for those whose clocks are behind.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and those that lead from it to an authority.
    pub chain: String,
    /// The key of the certificate.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Pair(***)")
    }
}

/// One that signs certificates of servers.
pub struct Authority {
    /// Its own certificate, PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority(***)")
    }
}

impl Authority {
    /// Returns a new authority, valid from `now` for `lasting`. Its name tells when it was made, so that two of them are
    /// never taken for each other.
    ///
    /// # Errors
    /// [`Error::Making`]
    pub fn new(name: &str, now: Timestamp, lasting: Duration) -> Result<Self, Error> {
        let mut params = params_of(&format!("{name} {now}"))?;
        last(&mut params, now, lasting);
        let key = KeyPair::generate()?;
        Ok(Self {
            certificate: params.self_signed(&key)?.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Returns the authority that was kept as these PEM texts.
    ///
    /// # Errors
    /// [`Error`], if they are no authority.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let chain = pem_chain(certificate.as_bytes())?;
        let name = details(&chain[0])?.common_name;
        let issuer = Issuer::new(params_of(&name)?, KeyPair::from_pem(key)?);
        Ok(Self {
            certificate: certificate.into(),
            issuer,
        })
    }

    /// Returns the key of the authority, PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Returns a certificate for a server of these names, valid from `now` for `lasting`.
    ///
    /// # Errors
    /// [`Error::Making`], if a name is none.
    pub fn sign(&self, names: &[String], now: Timestamp, lasting: Duration) -> Result<Pair, Error> {
        let mut params = server(names)?;
        last(&mut params, now, lasting);
        let key = KeyPair::generate()?;
        Ok(Pair {
            chain: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// Returns a certificate for a server of these names that stands for itself, valid from `now` for `lasting`.
///
/// # Errors
/// [`Error::Making`], if a name is none.
pub fn self_signed(names: &[String], now: Timestamp, lasting: Duration) -> Result<Pair, Error> {
    let mut params = server(names)?;
    last(&mut params, now, lasting);
    let key = KeyPair::generate()?;
    Ok(Pair {
        chain: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

fn params_of(authority: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = named(authority);
    Ok(params)
}

fn server(names: &[String]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(names)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = named(names.first().map_or("porch", String::as_str));
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn last(params: &mut CertificateParams, now: Timestamp, lasting: Duration) {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = now - CLOCKS_DIFFER;
    params.not_after = now + lasting;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::UnixTime;
    use rustls::{RootCertStore, client::WebPkiServerVerifier, client::danger::ServerCertVerifier};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// Whether a client that trusts `authority` takes `pair` for the server `name` at `at`.
    fn believed(authority: &str, pair: &Pair, name: &str, at: Timestamp) -> bool {
        let mut roots = RootCertStore::empty();
        roots
            .add(pem_chain(authority.as_bytes()).unwrap().remove(0))
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        let chain = pem_chain(pair.chain.as_bytes()).unwrap();
        let at =
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap()));
        let name = name.to_owned().try_into().unwrap();
        let verifier = verifier.build().unwrap();
        verifier
            .verify_server_cert(&chain[0], &[], &name, &[], at)
            .is_ok()
    }

    #[test]
    fn what_an_authority_signs_is_believed_while_it_lasts_and_by_those_who_know_it() {
        let now = Timestamp::now();
        let names = ["api.porch-system.svc".to_owned(), "127.0.0.1".into()];
        let authority = Authority::new("porch", now, DAY * 10).unwrap();
        let kept = Authority::from_pem(&authority.certificate, &authority.key()).unwrap();
        let other = Authority::new("porch", now, DAY * 10).unwrap();
        for signer in [&authority, &kept] {
            let pair = signer.sign(&names, now, DAY).unwrap();
            for (name, at, trusted, yes) in [
                ("api.porch-system.svc", now, &authority, true),
                ("127.0.0.1", now, &authority, true),
                ("api.elsewhere.svc", now, &authority, false),
                ("api.porch-system.svc", now + DAY * 2, &authority, false),
                ("api.porch-system.svc", now, &other, false),
            ] {
                let told = believed(&trusted.certificate, &pair, name, at);
                assert_eq!(told, yes, "{name} {at}");
            }
        }
    }

    #[test]
    fn keys_cannot_be_printed() {
        let authority = Authority::new("porch", Timestamp::now(), DAY).unwrap();
        let pair = self_signed(&["localhost".into()], Timestamp::now(), DAY).unwrap();
        assert_eq!(
            format!("{authority:?} {pair:?}"),
            "Authority(***) Pair(***)"
        );
    }
}
