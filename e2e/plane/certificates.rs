//! Every key and certificate that a control plane with an aggregated server needs, made anew for each.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

/// Who may sign, and for whom.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate (PEM).
    pub certificate: String,
}

/// A certificate and its key (PEM).
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Returns an authority of this name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Returns the certificate of a server.
    pub fn server(&self, name: &str, alternatives: &[&str]) -> Pair {
        let params = named(name, alternatives);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Returns the certificate of a user of this name and, if it is not empty, of this group.
    pub fn client(&self, name: &str, group: &str) -> Pair {
        let mut params = named(name, &[]);
        if !group.is_empty() {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationName, group);
        }
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Returns the certificate of a user that was good once.
    pub fn expired(&self, name: &str) -> Pair {
        let mut params = named(name, &[]);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        let key = KeyPair::generate().unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair {
            certificate,
            key: key.serialize_pem(),
        }
    }
}

fn named(name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<String> = alternatives.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(alternatives).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// The certificates of a control plane, as files too.
pub struct Certificates {
    directory: PathBuf,
    /// Signs servers and users of the cluster.
    pub cluster: Authority,
    /// Signs the front proxy.
    pub front_proxy: Authority,
}

impl Certificates {
    /// Makes them in a directory.
    pub fn make(directory: &Path) -> Self {
        let made = Self {
            directory: directory.into(),
            cluster: Authority::new("kubernetes-ca"),
            front_proxy: Authority::new("front-proxy-ca"),
        };
        made.write("ca.crt", &made.cluster.certificate);
        made.write("front-proxy-ca.crt", &made.front_proxy.certificate);
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "127.0.0.1",
            "10.0.0.1",
        ];
        made.write_pair("apiserver", &made.cluster.server("kube-apiserver", &names));
        let proxy = made.front_proxy.client("front-proxy-client", "");
        made.write_pair("front-proxy-client", &proxy);
        let accounts = KeyPair::generate().unwrap();
        made.write("sa.key", &accounts.serialize_pem());
        made.write("sa.pub", &accounts.public_key_pem());
        made
    }

    /// Returns the path of a file.
    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().into()
    }

    /// Writes a certificate and its key to `name.crt` and `name.key`.
    pub fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.crt"), &pair.certificate);
        self.write(&format!("{name}.key"), &pair.key);
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
}
