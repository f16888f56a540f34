//! What a standalone server proves itself with and what its user shows: a certificate, a token, and the kubeconfig that
//! holds both. Made once, kept in the data directory, readable by its owner only.

use std::{
    fmt, fs,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde_json::json;

use crate::yaml;

/// A standalone server's certificate, key and token.
pub struct Credentials {
    /// The authority that clients trust, PEM.
    pub authority: String,
    /// The server's certificate, PEM.
    pub certificate: String,
    /// The key of the certificate, PEM.
    pub key: String,
    /// The bearer token of the one user.
    pub token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// Returns the credentials kept in `directory`, made first if they are not there. The certificate names loopback and
    /// `address`.
    ///
    /// # Errors
    /// If the files can't be read or written.
    pub fn open(directory: &Path, address: IpAddr) -> io::Result<Self> {
        make_private_directory(directory)?;
        let file = |name: &str| directory.join(format!("{address}-{name}").replace(':', "_"));
        let files = [file("ca.crt"), file("tls.crt"), file("tls.key")];
        if !files.iter().all(|file| file.exists()) {
            let made = certify(address).map_err(io::Error::other)?;
            for (file, text) in files.iter().zip(made) {
                write_private(file, text.as_bytes())?;
            }
        }
        let token = directory.join("token");
        if !token.exists() {
            let text = uuid::Uuid::new_v4().simple().to_string()
                + &uuid::Uuid::new_v4().simple().to_string();
            write_private(&token, text.as_bytes())?;
        }
        let [authority, certificate, key] = files.map(fs::read_to_string);
        Ok(Self {
            authority: authority?,
            certificate: certificate?,
            key: key?,
            token: fs::read_to_string(token)?,
        })
    }

    /// Writes the kubeconfig of a server at `address` to `file`.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_kubeconfig(&self, file: &Path, address: SocketAddr) -> io::Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "porch", "cluster": {
                "server": format!("https://{address}"),
                "certificate-authority-data": BASE64_STANDARD.encode(&self.authority),
            }}],
            "users": [{"name": "porch", "user": {"token": self.token}}],
            "contexts": [{"name": "porch", "context": {
                "cluster": "porch", "user": "porch", "namespace": "default",
            }}],
            "current-context": "porch",
        });
        let text = yaml::to_string(&config).map_err(io::Error::other)?;
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        write_private(file, text.as_bytes())
    }
}

/// Returns an authority, a certificate signed by it, and the certificate's key, all PEM. The authority's own key is thrown
/// away: nothing else is ever signed with it.
fn certify(address: IpAddr) -> Result<[String; 3], rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "porch standalone authority");
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).to_vec();
    if !names.contains(&address.to_string()) {
        names.push(address.to_string());
    }
    let mut server = CertificateParams::new(names)?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server
        .distinguished_name
        .push(DnType::CommonName, "porch standalone");
    for params in [&mut authority, &mut server] {
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2049, 12, 31);
    }
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let trusted = authority.self_signed(&authority_key)?.pem();
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
    Ok([trusted, certificate.pem(), key.serialize_pem()])
}

/// Makes a directory that only its owner may look into, unless it is there.
///
/// # Errors
/// If it can't be made.
pub fn make_private_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Writes a file that only its owner may read; whoever reads it finds the old content or the new, never a part.
///
/// # Errors
/// If it can't be written.
pub fn write_private(file: &Path, content: &[u8]) -> io::Result<()> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("file");
    let beside = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut open = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    open.write_all(content).and_then(|()| open.sync_all())?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_made_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("credentials");
        let address: SocketAddr = "127.0.0.1:9443".parse().unwrap();
        let first = Credentials::open(&home, address.ip()).unwrap();
        let again = Credentials::open(&home, address.ip()).unwrap();
        assert_eq!((&first.token, &first.key), (&again.token, &again.key));
        assert!(first.token.len() >= 64);
        assert!(!format!("{first:?}").contains(&first.token));

        let kubeconfig = home.join("kubeconfig");
        first.write_kubeconfig(&kubeconfig, address).unwrap();
        for entry in fs::read_dir(&home).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
        let text = fs::read_to_string(kubeconfig).unwrap();
        assert!(
            text.contains("server: https://127.0.0.1:9443")
                || text.contains("server: \"https://127.0.0.1:9443\""),
            "{text}"
        );
    }
}
