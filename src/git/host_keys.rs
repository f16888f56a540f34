//! What opens a repository over SSH: a private key, and the keys by which servers are known (`known_hosts`, sshd(8)). In
//! come texts of a Secret, out come keys that can't be printed. A server that is not known is never trusted.

use std::{fmt, sync::Arc};

use russh::keys::{
    Algorithm, HashAlg, PrivateKey, PublicKey, decode_secret_key,
    ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker},
};

use super::Error;

/// The port of SSH; a server at another is known by `[host]:port`.
pub(super) const PORT: u16 = 22;

/// A private key, and the servers that may see it used.
#[derive(Clone, PartialEq, Eq)]
pub struct SshKeys {
    /// Nothing: only what servers are known by was said.
    pub(super) key: Option<Arc<PrivateKey>>,
    /// The servers that are known.
    pub(super) hosts: HostKeys,
}

impl SshKeys {
    /// Returns a private key (OpenSSH or PEM) that a passphrase may lock, and the servers that are known.
    ///
    /// # Errors
    /// [`Error::Refused`], with nothing of the key in it.
    pub fn parse(
        key: Option<&str>,
        passphrase: Option<&str>,
        hosts: HostKeys,
    ) -> Result<Self, Error> {
        let parse = |text: &str| {
            // Keys are often pasted without the end of their last line, or with those of another system.
            let text = format!("{}\n", text.replace("\r\n", "\n").trim());
            let found = decode_secret_key(&text, passphrase).ok();
            let found = found.filter(|key| !key.is_encrypted());
            found.map(Arc::new).ok_or_else(|| {
                let why = if passphrase.is_some() {
                    "it is no private key (OpenSSH or PEM), or the passphrase is another"
                } else {
                    "it is no private key (OpenSSH or PEM) that opens without a passphrase"
                };
                Error::Refused(why.into())
            })
        };
        let key = key.map(parse).transpose()?;
        Ok(Self { key, hosts })
    }
}

impl fmt::Debug for SshKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SshKeys(***)")
    }
}

/// Servers, and the keys by which they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeys(Vec<Entry>);

/// What is known of a server's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is the server's.
    Yes,
    /// It was the server's, and is not to be trusted any more.
    Revoked,
    /// Other keys are the server's.
    No,
}

impl HostKeys {
    /// Returns the servers that a file of the form `known_hosts` names.
    ///
    /// # Errors
    /// [`Error::Refused`] with the number of the line that is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut all = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let entry = KnownHosts::new(line.trim()).next();
            all.extend(entry.transpose().map_err(|_| {
                let line = at + 1;
                Error::Refused(format!("line {line} is none of a file known_hosts"))
            })?);
        }
        Ok(Self(all))
    }

    /// Returns the kinds of the keys by which a server is known, for it to choose from; none if it is not known.
    pub(super) fn kinds(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let mut kinds = Vec::new();
        for entry in self.of(host, port).filter(|entry| entry.marker().is_none()) {
            let hashes: &[_] = match entry.public_key().algorithm() {
                Algorithm::Rsa { .. } => &[Some(HashAlg::Sha512), Some(HashAlg::Sha256)],
                _ => &[None],
            };
            for hash in hashes {
                let kind = match entry.public_key().algorithm() {
                    Algorithm::Rsa { .. } => Algorithm::Rsa { hash: *hash },
                    other => other,
                };
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        kinds
    }

    /// Returns what is known of a key that a server shows.
    pub(super) fn judge(&self, host: &str, port: u16, key: &PublicKey) -> Known {
        let shown = |entry: &&Entry| entry.public_key().key_data() == key.key_data();
        let mut known = Known::No;
        for entry in self.of(host, port).filter(shown) {
            match entry.marker() {
                Some(Marker::Revoked) => return Known::Revoked,
                // An authority's own key is no server's.
                Some(Marker::CertAuthority) => {}
                None => known = Known::Yes,
            }
        }
        known
    }

    /// Returns the entries of a server.
    fn of(&self, host: &str, port: u16) -> impl Iterator<Item = &Entry> {
        let name = host.to_lowercase();
        let name = match port {
            PORT => name,
            port => format!("[{name}]:{port}"),
        };
        self.0
            .iter()
            .filter(move |entry| is_named(entry.host_patterns(), &name))
    }
}

fn is_named(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            use aws_lc_rs::hmac;
            // The form of the file says which hash; nothing is proved by it.
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::sign(&key, name.as_bytes()).as_ref() == hash
        }
        HostPatterns::Patterns(all) => {
            let denied = |pattern: &String| {
                let pattern = pattern.strip_prefix('!');
                pattern.is_some_and(|pattern| matches(pattern, name))
            };
            all.iter().any(|pattern| matches(pattern, name)) && !all.iter().any(denied)
        }
    }
}

/// Returns whether a name has the form of a pattern: `*` is anything, `?` one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase().into_bytes(), name.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where the last star was, and where what it stands for ends so far.
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[here] => {
                at += 1;
                here += 1;
            }
            _ => match &mut star {
                Some((begin, end)) => {
                    *end += 1;
                    (at, here) = (*begin + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    /// Made for this test; nothing opens to it.
    const LOCKED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDP+I5u+z
aght67Btbg7oz8AAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIH4C7dOua5mN+bwB
PxYMemsQkGB3/1tdauRgmtk290l1AAAAkKoQnqEn3kLxIspc3/nE5S9EUBYO+QVxDZebnP
94Vi7iXrEpVF534FS2IEuqTzOYm9sW3iMXOaXLzp+Z4rcJxjxPc+0AMP2LKa+OU6WGVuD8
P3xoXyymdjqH2g7IvjZu8BlboRGkffhPNlviCenVGi6/H3UZpooahkaNNpJ/hiUISJY97+
DII8zKHh5eWH5aqQ==
-----END OPENSSH PRIVATE KEY-----
";

    fn judge(hosts: &str, host: &str, port: u16) -> Known {
        let key = PublicKey::from_openssh(ONE).unwrap();
        HostKeys::parse(hosts).unwrap().judge(host, port, &key)
    }

    #[test]
    fn servers_are_known_by_name_pattern_or_hash_and_port() {
        for (line, host, port, want) in [
            (format!("example.com {ONE}"), "example.com", 22, Known::Yes),
            (
                format!("Example.com {ONE} me@here"),
                "EXAMPLE.com",
                22,
                Known::Yes,
            ),
            (
                format!("a,example.com,b {ONE}"),
                "example.com",
                22,
                Known::Yes,
            ),
            (format!("example.com {TWO}"), "example.com", 22, Known::No),
            (format!("example.org {ONE}"), "example.com", 22, Known::No),
            (format!("example.com {ONE}"), "example.com", 2222, Known::No),
            (
                format!("[example.com]:2222 {ONE}"),
                "example.com",
                2222,
                Known::Yes,
            ),
            (
                format!("[example.com]:2222 {ONE}"),
                "example.com",
                22,
                Known::No,
            ),
            (
                format!("*.example.com {ONE}"),
                "git.example.com",
                22,
                Known::Yes,
            ),
            (format!("*.example.com {ONE}"), "example.com", 22, Known::No),
            (format!("g?t.*,!git.b {ONE}"), "git.a", 22, Known::Yes),
            (format!("g?t.*,!git.b {ONE}"), "git.b", 22, Known::No),
            (
                format!("@revoked * {ONE}\nexample.com {ONE}"),
                "example.com",
                22,
                Known::Revoked,
            ),
            (
                format!("example.com {ONE}\n@revoked * {ONE}"),
                "example.com",
                22,
                Known::Revoked,
            ),
            (
                format!("@cert-authority * {ONE}"),
                "example.com",
                22,
                Known::No,
            ),
            (
                format!("# a remark\n\nexample.com {TWO}\nexample.com {ONE}\n"),
                "example.com",
                22,
                Known::Yes,
            ),
            // As `ssh-keygen -H` writes it.
            (
                format!(
                    "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|{} {ONE}",
                    "FQ+T8llbOEZw6kMi1xhxPdATPO4="
                ),
                "example.com",
                22,
                Known::Yes,
            ),
            (
                format!(
                    "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|{} {ONE}",
                    "FQ+T8llbOEZw6kMi1xhxPdATPO4="
                ),
                "example.org",
                22,
                Known::No,
            ),
            (String::new(), "example.com", 22, Known::No),
        ] {
            assert_eq!(judge(&line, host, port), want, "{line} {host} {port}");
        }
        let told = HostKeys::parse(&format!("example.com {ONE}\nexample.com hunter2"));
        let told = told.unwrap_err().to_string();
        assert!(
            told.contains("line 2") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn a_server_is_asked_for_keys_of_the_kinds_by_which_it_is_known() {
        let kinds = |text: &str| HostKeys::parse(text).unwrap().kinds("example.com", 22);
        assert_eq!(
            kinds(&format!("example.com {ONE}\n* {TWO}")),
            [Algorithm::Ed25519]
        );
        assert_eq!(kinds(&format!("example.org {ONE}")), []);
        assert_eq!(kinds(&format!("@revoked example.com {ONE}")), []);
    }

    #[test]
    fn keys_that_are_none_are_refused_and_never_shown() {
        let hosts = HostKeys::default;
        for text in [
            "hunter2",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----",
        ] {
            for passphrase in [None, Some("hunter2")] {
                let told = SshKeys::parse(Some(text), passphrase, hosts()).unwrap_err();
                assert!(!told.to_string().contains("hunter2"), "{told}");
            }
        }
        let locked = |passphrase| SshKeys::parse(Some(LOCKED), passphrase, hosts());
        assert!(locked(None).is_err() && locked(Some("another")).is_err());
        let opened = locked(Some("hunter2")).unwrap();
        assert_eq!(opened.key.as_ref().unwrap().algorithm(), Algorithm::Ed25519);
        assert_eq!(format!("{opened:?}"), "SshKeys(***)");
        let pasted = LOCKED.trim().replace('\n', "\r\n");
        let pasted = SshKeys::parse(Some(&pasted), Some("hunter2"), hosts());
        assert_eq!(pasted.unwrap(), opened);
    }
}
