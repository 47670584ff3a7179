//! Local addresses of media sockets: what is configured, with a wildcard become every address of its family.

use std::fmt;
use std::net::IpAddr;

use crate::settings::ListenIp;

/// At least one, none of them a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses(Vec<ListenIp>);

impl Addresses {
    /// Expands wildcards.
    pub(crate) fn find(configured: &[ListenIp]) -> std::io::Result<Self> {
        let mut local: Vec<IpAddr> = Vec::new();
        if configured.iter().any(|listen| listen.ip.is_unspecified()) {
            for interface in nix::ifaddrs::getifaddrs()? {
                let address = interface.address;
                let v4 = address.as_ref().and_then(|a| a.as_sockaddr_in()).map(|a| IpAddr::V4(a.ip()));
                // A link-local address means nothing without its scope.
                let v6 = address.as_ref().and_then(|a| a.as_sockaddr_in6()).map(|a| a.ip());
                let v6 = v6.filter(|ip| !ip.is_unicast_link_local()).map(IpAddr::V6);
                local.extend(v4.or(v6));
            }
            // Where others can reach us first: it is what a transport gets that names none.
            local.sort_by_key(IpAddr::is_loopback);
        }
        Self::expand(configured, &local).ok_or_else(|| std::io::Error::other("rtc.listen_ips: no such local address"))
    }

    fn expand(configured: &[ListenIp], local: &[IpAddr]) -> Option<Self> {
        let mut addresses: Vec<ListenIp> = Vec::new();
        for listen in configured {
            let same_family = |ip: &&IpAddr| ip.is_ipv4() == listen.ip.is_ipv4();
            let ips: Vec<IpAddr> = match listen.ip.is_unspecified() {
                true => local.iter().filter(same_family).copied().collect(),
                false => vec![listen.ip],
            };
            for ip in ips {
                if !addresses.iter().any(|known| known.ip == ip) {
                    addresses.push(ListenIp { ip, announced_address: listen.announced_address.clone() });
                }
            }
        }
        (!addresses.is_empty()).then_some(Self(addresses))
    }

    /// The first, or the one asked for.
    pub(crate) fn choose(&self, wanted: Option<IpAddr>) -> Option<&ListenIp> {
        match wanted {
            None => self.0.first(),
            Some(wanted) => self.0.iter().find(|listen| listen.ip == wanted),
        }
    }

    /// Each, in the order of the settings.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ListenIp> {
        self.0.iter()
    }

    pub(crate) fn only_loopback(&self) -> bool {
        self.0.iter().all(|listen| listen.ip.is_loopback())
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, listen) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            listen.ip.fmt(f)?;
            if let Some(announced) = &listen.announced_address {
                write!(f, " (announced as {announced})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_becomes_every_address_of_its_family() {
        let configured: Vec<ListenIp> = ["0.0.0.0=203.0.113.9", "10.0.0.1"].map(|ip| ip.parse().expect(ip)).into();
        let local = ["192.0.2.1", "10.0.0.1", "2001:db8::1"].map(|ip| ip.parse().expect(ip));
        let addresses = Addresses::expand(&configured, &local).expect("some");
        assert_eq!(addresses.to_string(), "192.0.2.1 (announced as 203.0.113.9), 10.0.0.1 (announced as 203.0.113.9)");
        assert_eq!(addresses.choose(None).map(|listen| listen.ip), Some(local[0]));
        assert_eq!(addresses.choose(Some(local[2])), None);
    }

    #[test]
    fn this_machine_has_an_address() {
        let found = Addresses::find(&["0.0.0.0".parse().expect("wildcard")]).expect("loopback at least");
        assert!(found.choose(None).is_some_and(|listen| !listen.ip.is_unspecified()));
    }
}
