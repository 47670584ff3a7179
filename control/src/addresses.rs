//! Local addresses of media sockets: what is configured, with a wildcard become every address of its family, and what
//! WebRTC clients are told of each.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::settings::{ListenIp, Network};

/// Addresses to which nothing is sent: the kernel is asked for the way to them (RFC 5737, RFC 3849).
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
/// For all names to be looked up; less than a server has to become ready.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Local addresses, at least one for each kind of transport, none of them a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Addresses of plain transports.
    plain: Vec<ListenIp>,
    webrtc: Vec<WebRtcAddress>,
    /// Announced names and what they mean.
    names: Names,
    /// Networks that plain transports may send to, if they are bounded.
    to: Vec<Network>,
}

/// Announced names, each with one address of a family.
pub(crate) type Names = Vec<(String, IpAddr)>;

/// An address of WebRTC transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WebRtcAddress {
    /// Address that the workers listen on.
    pub(crate) ip: IpAddr,
    /// Address that clients are told.
    pub(crate) announced: IpAddr,
    /// Port of the first worker that clients are told, if it is not the one that the worker listens on.
    pub(crate) announced_port: Option<u16>,
}

impl Addresses {
    /// Expands wildcards and looks up announced names. Without anything configured media is on loopback, and WebRTC
    /// also on the address by which this machine reaches others: Firefox never connects to 127.0.0.1.
    pub(crate) fn find(configured: &[ListenIp]) -> io::Result<Self> {
        Self::find_again(configured, &Names::new())
    }

    /// The same; a name that cannot be looked up just now means what it meant before.
    pub(crate) fn find_again(configured: &[ListenIp], known: &Names) -> io::Result<Self> {
        if configured.is_empty() {
            let all: Vec<_> = std::iter::once(LOOPBACK).chain(outward().ok()).map(ListenIp::plain).collect();
            let (webrtc, names) = announced(&all, known)?;
            return Ok(Self { plain: vec![ListenIp::plain(LOOPBACK)], webrtc, names, to: Vec::new() });
        }
        let local = match configured.iter().any(|listen| listen.ip.is_unspecified()) {
            true => local()?,
            false => Vec::new(),
        };
        let plain = Self::expand(configured, &local)
            .ok_or_else(|| io::Error::other("rtc.listen_ips: no such local address"))?;
        let (webrtc, names) = announced(&plain, known)?;
        Ok(Self { plain, webrtc, names, to: Vec::new() })
    }

    /// Plain transports send to these networks only, if there are any.
    pub(crate) fn sending_to(self, to: &[Network]) -> Self {
        Self { to: to.to_vec(), ..self }
    }

    /// Whether a plain transport that listens on `local` may be told to send to `to`. Without networks in the settings
    /// it may send to any other host, and only from loopback to loopback: what listens there trusts this machine.
    pub(crate) fn may_send(&self, local: IpAddr, to: IpAddr) -> bool {
        let is_multicast = to.to_canonical().is_multicast();
        match (to.to_canonical(), self.to.as_slice()) {
            _ if is_multicast => false,
            (IpAddr::V4(v4), _) if v4.is_broadcast() || v4.is_unspecified() => false,
            (IpAddr::V6(v6), _) if v6.is_unspecified() => false,
            (to, []) => match to {
                to if to.is_loopback() => local.to_canonical().is_loopback(),
                // "This network" and what is reserved (RFC 6890).
                IpAddr::V4(v4) => !v4.is_link_local() && v4.octets()[0] != 0 && v4.octets()[0] < 240,
                IpAddr::V6(v6) => !v6.is_unicast_link_local(),
            },
            (to, networks) => Network::is_any(networks, to),
        }
    }

    fn expand(configured: &[ListenIp], local: &[IpAddr]) -> Option<Vec<ListenIp>> {
        let mut addresses: Vec<ListenIp> = Vec::new();
        for listen in configured {
            let same_family = |ip: &&IpAddr| ip.is_ipv4() == listen.ip.is_ipv4();
            let ips: Vec<IpAddr> = match listen.ip.is_unspecified() {
                true => local.iter().filter(same_family).copied().collect(),
                false => vec![listen.ip],
            };
            for ip in ips {
                let told = ListenIp { ip, ..listen.clone() };
                if !addresses.contains(&told) {
                    addresses.push(told);
                }
            }
        }
        (!addresses.is_empty()).then_some(addresses)
    }

    /// What WebRTC clients are told, in the order of preference, each once. No loopback beside others: it would mean
    /// the client's own (RFC 8445 section 5.1.1.1).
    pub(crate) fn told(&self) -> Vec<WebRtcAddress> {
        let all_loopback = self.webrtc.iter().all(|address| address.announced.is_loopback());
        let mut told: Vec<WebRtcAddress> = Vec::new();
        for address in self.webrtc.iter().filter(|address| all_loopback || !address.announced.is_loopback()) {
            let is_same = |other: &WebRtcAddress| {
                (other.announced, other.announced_port) == (address.announced, address.announced_port)
            };
            if !told.iter().any(is_same) {
                told.push(*address);
            }
        }
        told
    }

    /// Where WebRTC transports listen: each address once, however many are announced for it.
    pub(crate) fn webrtc_ips(&self) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = Vec::new();
        for address in &self.webrtc {
            if !ips.contains(&address.ip) {
                ips.push(address.ip);
            }
        }
        ips
    }

    /// What announced names mean.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The first address of plain transports, or the wanted one.
    pub(crate) fn choose(&self, wanted: Option<IpAddr>) -> Option<&ListenIp> {
        match wanted {
            None => self.plain.first(),
            Some(wanted) => self.plain.iter().find(|listen| listen.ip == wanted),
        }
    }

    /// Where a pipe to another machine listens, and what that one is told: the first address of the wanted family, or
    /// of any, that is not loopback, if there is one.
    pub(crate) fn for_pipes(&self, is_ipv4: Option<bool>) -> Option<(IpAddr, IpAddr)> {
        let fits = |of: &&WebRtcAddress| is_ipv4.is_none_or(|is_ipv4| of.ip.is_ipv4() == is_ipv4);
        let fitting = self.webrtc.iter().filter(fits);
        let found = fitting.min_by_key(|of| of.ip.is_loopback())?;
        Some((found.ip, found.announced))
    }

    /// Addresses of plain transports, in the order of the settings.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ListenIp> {
        self.plain.iter()
    }

    pub(crate) fn only_loopback(&self) -> bool {
        self.plain.iter().all(|listen| listen.ip.is_loopback())
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, listen) in self.plain.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            listen.ip.fmt(f)?;
            if let Some(announced) = &listen.announced_address {
                write!(f, " (announced as {announced})")?;
            }
        }
        Ok(())
    }
}

/// The addresses that reach a listener on this one: itself, or if it is a wildcard every address of its family.
pub(crate) fn reaching(ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    local().unwrap_or_default().into_iter().filter(|local| local.is_ipv4() == ip.is_ipv4()).collect()
}

/// Every address of this machine, those first that others can reach: a transport that names no address gets the first.
fn local() -> io::Result<Vec<IpAddr>> {
    let mut local: Vec<IpAddr> = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let address = interface.address;
        let v4 = address.as_ref().and_then(|a| a.as_sockaddr_in()).map(|a| IpAddr::V4(a.ip()));
        // A link-local address means nothing without its scope.
        let v6 = address.as_ref().and_then(|a| a.as_sockaddr_in6()).map(|a| a.ip());
        let v6 = v6.filter(|ip| !ip.is_unicast_link_local()).map(IpAddr::V6);
        local.extend(v4.or(v6));
    }
    local.sort_by_key(IpAddr::is_loopback);
    Ok(local)
}

/// The address from which this machine would speak to the world, otherwise its first one that is not loopback.
fn outward() -> io::Result<IpAddr> {
    let usable = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    let asked = ELSEWHERE.into_iter().find_map(|elsewhere| {
        let any = if elsewhere.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((elsewhere, 9)).ok()?;
        socket.local_addr().ok().map(|local| local.ip()).filter(usable)
    });
    match asked {
        Some(ip) => Ok(ip),
        None => local()?.into_iter().find(usable).ok_or_else(|| io::Error::other("this machine has no address")),
    }
}

/// What clients are told: a candidate holds an address, so a name is looked up, once. Also what the names mean.
fn announced(listen: &[ListenIp], known: &Names) -> io::Result<(Vec<WebRtcAddress>, Names)> {
    let told = |listen: &ListenIp| listen.announced_address.clone().filter(|told| told.parse::<IpAddr>().is_err());
    let mut found = look_up(listen.iter().filter_map(told));
    let (mut addresses, mut names) = (Vec::new(), Names::new());
    for listen in listen {
        let announced = match &listen.announced_address {
            None => listen.ip,
            Some(told) => match told.parse() {
                Ok(ip) => ip,
                Err(_) => {
                    let ips = found.entry(told.clone()).or_insert_with(|| Err("no answer in time".into()));
                    let ip = meaning(listen.ip.is_ipv4(), told, ips, known)?;
                    names.push((told.clone(), ip));
                    ip
                }
            },
        };
        addresses.push(WebRtcAddress { ip: listen.ip, announced, announced_port: listen.announced_port });
    }
    Ok((addresses, names))
}

type LookedUp = Result<Vec<IpAddr>, String>;

/// All at once, and within a limit: a resolver may be silent for half a minute.
fn look_up(names: impl Iterator<Item = String>) -> HashMap<String, LookedUp> {
    let (tell, told) = mpsc::channel();
    let mut found = HashMap::new();
    let mut asked: Vec<String> = names.collect();
    asked.sort();
    asked.dedup();
    for name in &asked {
        let (name, tell) = (name.clone(), tell.clone());
        let ask = move || {
            let ips = (name.as_str(), 0).to_socket_addrs().map(|ips| ips.map(|found: SocketAddr| found.ip()).collect());
            let _ = tell.send((name, ips.map_err(|error| error.to_string())));
        };
        // Without a thread there is no answer.
        let _ = std::thread::Builder::new().name("resolver".into()).spawn(ask);
    }
    drop(tell);
    let until = Instant::now() + LOOK_UP_LIMIT;
    while let Ok((name, ips)) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
        found.insert(name, ips);
    }
    found
}

/// The address of a family that a name has, or had when it was last looked up.
fn meaning(ipv4: bool, name: &str, found: &LookedUp, known: &Names) -> io::Result<IpAddr> {
    let of_family = |ip: &&IpAddr| ip.is_ipv4() == ipv4;
    let cause = match found {
        Ok(ips) => match ips.iter().find(of_family) {
            Some(ip) => return Ok(*ip),
            None => "has no address",
        },
        Err(cause) => cause.as_str(),
    };
    let place = format!("rtc.listen_ips: announced {name:?}: {cause}");
    let before = known.iter().filter(|(known, _)| known == name).map(|(_, ip)| ip).find(of_family);
    let ip = before.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, place.clone()))?;
    tracing::warn!("{place}; {ip}, which it meant before, is used");
    Ok(*ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_transports_send_to_other_hosts_only_or_to_what_is_configured() {
        let found = |to: &[&str]| {
            let networks: Vec<_> = to.iter().map(|net| net.parse().expect("a network")).collect();
            Addresses::find(&[ListenIp::plain(LOOPBACK)]).expect("loopback").sending_to(&networks)
        };
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (here, outside) = (LOOPBACK, ip("192.0.2.1"));
        let never = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::", "::ffff:224.0.0.1", "::ffff:0.0.0.0"];
        for (networks, local, may, may_not) in [
            (
                vec![],
                outside,
                vec!["192.0.2.7", "10.1.2.3", "2001:db8::7", "::ffff:10.1.2.3"],
                vec!["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "169.254.169.254", "::ffff:169.254.1.1"],
            ),
            (vec![], outside, vec![], vec!["fe80::1", "0.1.2.3", "240.0.0.1"]),
            (vec![], here, vec!["127.0.0.1", "::ffff:127.0.0.1"], vec!["169.254.169.254"]),
            (
                vec!["10.0.0.0/8", "127.0.0.1", "fe80::/10"],
                outside,
                vec!["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "fe80::1"],
                vec!["192.0.2.7", "127.0.0.2", "169.254.169.254", "2001:db8::7"],
            ),
            (vec!["0.0.0.0/0", "::/0"], outside, vec!["127.0.0.1", "192.0.2.7", "::1"], vec![]),
        ] {
            let addresses = found(&networks);
            for to in may {
                assert!(addresses.may_send(local, ip(to)), "{to} of {networks:?} from {local}");
            }
            for to in may_not.into_iter().chain(never) {
                assert!(!addresses.may_send(local, ip(to)), "{to} of {networks:?} from {local}");
            }
        }
    }

    #[test]
    fn a_wildcard_becomes_every_address_of_its_family() {
        let configured: Vec<ListenIp> = ["0.0.0.0=203.0.113.9", "10.0.0.1"].map(|ip| ip.parse().expect(ip)).into();
        let local = ["192.0.2.1", "10.0.0.1", "2001:db8::1"].map(|ip| ip.parse().expect(ip));
        let plain = Addresses::expand(&configured, &local).expect("some");
        let (webrtc, names) = announced(&plain, &Names::new()).expect("addresses");
        let addresses = Addresses { plain, webrtc, names, to: Vec::new() };
        let text = "192.0.2.1 (announced as 203.0.113.9), 10.0.0.1 (announced as 203.0.113.9), 10.0.0.1";
        assert_eq!(addresses.to_string(), text);
        assert_eq!(addresses.choose(None).map(|listen| listen.ip), Some(local[0]));
        assert_eq!(addresses.choose(Some(local[2])), None);
        assert_eq!(addresses.webrtc_ips(), local[..2], "each is bound once");
        let told: Vec<_> = addresses.told().iter().map(|address| address.announced.to_string()).collect();
        assert_eq!(told, ["203.0.113.9", "10.0.0.1"], "and none is told twice");
    }

    #[test]
    fn one_address_has_several_announced_ones_and_loopback_is_told_only_alone() {
        let told = |configured: &[&str]| -> Vec<String> {
            let configured: Vec<ListenIp> = configured.iter().map(|text| text.parse().expect(text)).collect();
            let addresses = Addresses::find(&configured).expect("addresses");
            let port =
                |address: &WebRtcAddress| address.announced_port.map_or_else(String::new, |port| format!(":{port}"));
            addresses.told().iter().map(|address| format!("{}{}", address.announced, port(address))).collect()
        };
        let several = ["127.0.0.1=203.0.113.9", "127.0.0.1=198.51.100.2", "127.0.0.1=198.51.100.2:50000"];
        assert_eq!(told(&several), ["203.0.113.9", "198.51.100.2", "198.51.100.2:50000"]);
        assert_eq!(told(&["127.0.0.1=203.0.113.9", "127.0.0.1=203.0.113.9"]), ["203.0.113.9"]);
        assert_eq!(told(&["127.0.0.1=203.0.113.9", "127.0.0.1", "::1"]), ["203.0.113.9"]);
        assert_eq!(told(&["127.0.0.1", "::1"]), ["127.0.0.1", "::1"], "there is nothing else");
    }

    #[test]
    fn webrtc_is_announced_with_its_port() {
        let find = |listen: &str| Addresses::find(&[listen.parse().expect("setting")]);
        let found = find("127.0.0.1=198.51.100.2:50000").expect("address");
        let announced = IpAddr::from([198, 51, 100, 2]);
        assert_eq!(found.told(), [WebRtcAddress { ip: LOOPBACK, announced, announced_port: Some(50_000) }]);
        let found = find("127.0.0.1=localhost").expect("is known");
        assert_eq!(found.told()[0].announced, LOOPBACK);
        assert_eq!(found.names(), &[("localhost".to_owned(), LOOPBACK)]);
    }

    #[test]
    fn a_name_that_cannot_be_looked_up_keeps_its_last_answer() {
        let (listen, before) = (["127.0.0.1=sfu.invalid".parse().expect("setting")], IpAddr::from([198, 51, 100, 3]));
        let error = Addresses::find(&listen).expect_err("no such name").to_string();
        assert!(error.contains("rtc.listen_ips") && error.contains("sfu.invalid"), "{error}");
        let other_family = vec![("sfu.invalid".to_owned(), Ipv6Addr::LOCALHOST.into())];
        assert!(Addresses::find_again(&listen, &other_family).is_err());
        let found = Addresses::find_again(&listen, &vec![("sfu.invalid".to_owned(), before)]).expect("is known");
        assert_eq!(found.told()[0].announced, before);
        assert_eq!(found.names(), &[("sfu.invalid".to_owned(), before)], "for the next one");
    }

    #[test]
    fn without_settings_webrtc_is_reached_beyond_loopback_where_there_is_a_way() {
        let found = Addresses::find(&[]).expect("loopback at least");
        assert_eq!(found.choose(None), Some(&ListenIp::plain(LOOPBACK)));
        let ips: Vec<_> = std::iter::once(LOOPBACK).chain(outward().ok()).collect();
        assert_eq!(found.webrtc_ips(), ips);
        let told: Vec<_> = found.told().iter().map(|address| address.ip).collect();
        assert_eq!(told, [ips[ips.len() - 1]], "loopback only where there is nothing else");
    }

    #[test]
    fn this_machine_has_an_address() {
        let found = Addresses::find(&["0.0.0.0".parse().expect("wildcard")]).expect("loopback at least");
        assert!(found.choose(None).is_some_and(|listen| !listen.ip.is_unspecified()));
    }
}
