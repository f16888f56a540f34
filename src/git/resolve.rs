//! Which addresses are dialled: in comes a host, out come those of its addresses where a Git server may be.
//!
//! On link-local addresses clouds tell machines their credentials. No Git server is there, and whoever may name a
//! repository must not learn those, so they are refused for every repository, by whatever name they are reached.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// Why such an address is not dialled.
pub(super) const LINK_LOCAL: &str = "it leads to a link-local address, where no Git server is";

/// Returns whether an address is link-local, however it is written.
#[must_use]
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            let inner = address.to_ipv4().or_else(|| translated(address));
            address.is_unicast_link_local() || inner.is_some_and(|inner| inner.is_link_local())
        }
    }
}

/// Returns the address of version 4 that one of version 6 stands for behind a translator (RFC 6052: `64:ff9b::/96`).
fn translated(address: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let bytes = address.octets();
    let prefix = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let [.., a, b, c, d] = bytes;
    (bytes[..12] == prefix).then(|| [a, b, c, d].into())
}

/// The system's resolver, but for link-local addresses.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    system: DefaultResolver,
    /// Where a proxy is that is dialled whatever the host.
    proxy: Option<Uri>,
}

impl Elsewhere {
    /// Returns the resolver for whom a proxy is dialled, if there is one.
    pub(super) fn behind(proxy: Option<Uri>) -> Self {
        let system = DefaultResolver::default();
        Self { system, proxy }
    }
}

impl Resolver for Elsewhere {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.proxy.as_ref().unwrap_or(uri);
        let found = self.system.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found.iter().filter(|it| !is_link_local(it.ip())) {
            kept.push(*address);
        }
        if kept.is_empty() {
            return Err(ureq::Error::Io(io::Error::other(LinkLocal)));
        }
        Ok(kept)
    }
}

/// A host has none but link-local addresses.
#[derive(Debug, thiserror::Error)]
#[error("{LINK_LOCAL}")]
pub(super) struct LinkLocal;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_are_known_however_they_are_written() {
        for (text, want) in [
            ("169.254.169.254", true),
            ("169.254.0.0", true),
            ("169.253.255.255", false),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("::1", false),
            ("::ffff:169.254.169.254", true),
            ("::169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("::ffff:10.0.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_link_local(text.parse().unwrap()), want, "{text}");
        }
    }

    #[test]
    fn a_host_is_dialled_at_what_is_left_of_its_addresses() {
        let ask = |host: &str| {
            let config = ureq::Agent::config_builder().proxy(None).build();
            let connector = ureq::unversioned::transport::DefaultConnector::default();
            let agent = ureq::Agent::with_parts(config, connector, Elsewhere::default());
            agent.get(format!("http://{host}:1/")).call().unwrap_err()
        };
        for (host, dialled) in [
            ("127.0.0.1", true),
            ("localhost", true),
            ("169.254.169.254", false),
        ] {
            let told = ask(host).to_string();
            assert_eq!(!told.contains(LINK_LOCAL), dialled, "{host}: {told}");
        }
    }
}
