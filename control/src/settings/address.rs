//! Settings that name an address: where media listens and what clients are told instead, and ICE servers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// A path below which a proxy shows the server: `/sfu`, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BasePath(String);

/// Longest base path.
const MAX_BASE_PATH_BYTES: usize = 256;

impl BasePath {
    /// Without a slash at its end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for BasePath {
    type Err = String;

    /// It stands in headers and before paths, so it has nothing that would mean something else there.
    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.trim().trim_end_matches('/');
        let is_segment = |segment: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_plain)
        };
        let is_path = path.is_empty() || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
        if is_path && path.len() <= MAX_BASE_PATH_BYTES {
            return Ok(Self(path.to_owned()));
        }
        Err(format!("base path {text:?} must be such as /sfu, of letters, digits and -._~%"))
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address, or a network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

impl Network {
    /// Whether an address is in one of them; one that is IPv4's by another name counts as that.
    pub(crate) fn is_any(networks: &[Self], ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        networks.iter().any(|Self(net)| net.contains(&ip))
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = text.trim().parse().ok().or_else(|| Some(IpNet::from(text.trim().parse::<IpAddr>().ok()?)));
        net.map(Self).ok_or_else(|| format!("network {text:?} must be an address, or a network such as 10.0.0.0/8"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where HTTP listens: `127.0.0.1:4080`, `[::1]:4080`, `localhost:4080`, or `:4080` for every IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str, ip: Ipv4Addr| {
            let port = text.trim().strip_prefix(name)?.strip_prefix(':')?.parse().ok()?;
            Some(SocketAddr::from((ip, port)))
        };
        let address = text.trim().parse().ok();
        let address = address.or_else(|| named("localhost", Ipv4Addr::LOCALHOST));
        let address = address.or_else(|| named("", Ipv4Addr::UNSPECIFIED)).map(Self);
        address.ok_or_else(|| format!("address {text:?} must be IP:PORT, localhost:PORT or :PORT"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address of media sockets: `"10.0.0.1"`, `"10.0.0.1=203.0.113.7"`, `"10.0.0.1=203.0.113.7:50000"` or
/// `{ ip, announced_address, announced_port }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ListenIp {
    /// Local address; a wildcard means every local address of its family.
    pub(crate) ip: IpAddr,
    /// The address that clients are told instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) announced_address: Option<String>,
    /// The port that WebRTC clients of the first worker are told instead of `rtc.webrtc_port`; the next worker has the
    /// next port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) announced_port: Option<u16>,
}

impl ListenIp {
    /// An address that is announced as it is.
    pub(crate) const fn plain(ip: IpAddr) -> Self {
        Self { ip, announced_address: None, announced_port: None }
    }
}

/// `ADDRESS`, `ADDRESS:PORT` or `[V6]:PORT`.
fn announced(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(both) = text.parse::<SocketAddr>() {
        return (both.port() > 0).then(|| (both.ip().to_string(), Some(both.port())));
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Some((ip.to_string(), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (text, None),
    };
    let name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (!host.is_empty() && host.chars().all(name)).then(|| (host.to_owned(), port))
}

impl FromStr for ListenIp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("listen address {text:?} must be IP, IP=ANNOUNCED or IP=ANNOUNCED:PORT");
        let (ip, told) = text.split_once('=').map_or((text, None), |(ip, told)| (ip, Some(told.trim())));
        let ip = ip.trim().parse().map_err(|_| wrong())?;
        let told = told.filter(|told| !told.is_empty()).map(|told| announced(told).ok_or_else(wrong)).transpose()?;
        let (announced_address, announced_port) = told.map_or((None, None), |(address, port)| (Some(address), port));
        Ok(Self { ip, announced_address, announced_port })
    }
}

const LISTEN_FIELDS: &[&str] = &["ip", "announced_address", "announced_port"];

impl<'de> Deserialize<'de> for ListenIp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = ListenIp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"IP\", \"IP=ANNOUNCED[:PORT]\" or { ip, announced_address, announced_port }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ListenIp, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListenIp, A::Error> {
                let (mut ip, mut announced_address, mut announced_port) = (None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "ip" => ip = Some(map.next_value()?),
                        "announced_address" => announced_address = Some(map.next_value()?),
                        "announced_port" => announced_port = Some(map.next_value()?),
                        _ => return Err(de::Error::unknown_field(&key, LISTEN_FIELDS)),
                    }
                }
                let ip = ip.ok_or_else(|| de::Error::missing_field("ip"))?;
                Ok(ListenIp { ip, announced_address, announced_port })
            }
        }
        from.deserialize_any(TextOrTable)
    }
}

/// A STUN or TURN server that clients are told of: `"stun:stun.example"`, `"turn:turn.example user secret"` or
/// `{ url, username, credential }`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IceServer {
    /// A URI of RFC 7064 or RFC 7065.
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<String>,
}

impl fmt::Debug for IceServer {
    /// Credentials are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl IceServer {
    /// The value of a `Link` header (RFC 9725 section 4.6).
    pub(crate) fn link(&self) -> String {
        let mut link = format!("<{}>; rel=\"ice-server\"", self.url);
        if let (Some(username), Some(credential)) = (&self.username, &self.credential) {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let (username, credential) = (quoted(username), quoted(credential));
            link.push_str(&format!("; username=\"{username}\"; credential=\"{credential}\""));
            link.push_str("; credential-type=\"password\"");
        }
        link
    }

    /// The URL stands in a header, so only visible ASCII may be in it.
    fn check(self) -> Result<Self, String> {
        let host = ["stun:", "stuns:", "turn:", "turns:"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let url =
            host.is_some_and(|host| !host.is_empty()) && visible(&self.url) && !self.url.contains(['<', '>', '"']);
        if !url {
            return Err(format!("ICE server {:?} must be stun:HOST, turn:HOST or the like", self.url));
        }
        let complete = self.username.is_some() == self.credential.is_some();
        let words = [&self.username, &self.credential];
        if !complete || words.into_iter().flatten().any(|word| word.is_empty() || !visible(word)) {
            return Err(format!("ICE server {:?} must have both username and credential, or neither", self.url));
        }
        Ok(self)
    }
}

impl FromStr for IceServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace().map(str::to_owned);
        let url = words.next().unwrap_or_default();
        let (username, credential) = (words.next(), words.next());
        if words.next().is_some() {
            return Err(format!("ICE server {url:?} must be URL, or URL USERNAME CREDENTIAL"));
        }
        Self { url, username, credential }.check()
    }
}

impl<'de> Deserialize<'de> for IceServer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            url: String,
            username: Option<String>,
            credential: Option<String>,
        }
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "must be \"URL\", \"URL USERNAME CREDENTIAL\" or { url, username, credential }")]
        enum TextOrTable {
            Text(String),
            Table(Table),
        }
        let server = match TextOrTable::deserialize(from)? {
            TextOrTable::Text(text) => text.parse(),
            TextOrTable::Table(Table { url, username, credential }) => Self { url, username, credential }.check(),
        };
        server.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_read_in_each_form() {
        let read = |text: &str| {
            let listen: ListenIp = text.parse().expect(text);
            (listen.announced_address, listen.announced_port)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("10.0.0.1"), (None, None));
        assert_eq!(read("10.0.0.1="), (None, None));
        assert_eq!(read("10.0.0.1 = 203.0.113.7"), (some("203.0.113.7"), None));
        assert_eq!(read("10.0.0.1=203.0.113.7:50000"), (some("203.0.113.7"), Some(50_000)));
        assert_eq!(read("fd00::1=[2001:db8::7]:50000"), (some("2001:db8::7"), Some(50_000)));
        assert_eq!(read("fd00::1=2001:db8::7"), (some("2001:db8::7"), None));
        assert_eq!(read("10.0.0.1=sfu.example:50000"), (some("sfu.example"), Some(50_000)));
        for wrong in ["nowhere", "10.0.0.1=a b", "10.0.0.1=1.2.3.4:0", "10.0.0.1=1.2.3.4:70000", "10.0.0.1=x:y"] {
            assert!(wrong.parse::<ListenIp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn where_http_listens_is_read_in_each_form() {
        for (text, address) in [
            ("127.0.0.1:4080", "127.0.0.1:4080"),
            ("[::1]:4080", "[::1]:4080"),
            ("localhost:4080", "127.0.0.1:4080"),
            (":4080", "0.0.0.0:4080"),
        ] {
            assert_eq!(text.parse::<Listen>().expect(text).to_string(), address);
        }
        for wrong in ["", ":", "4080", "localhost", "localhost:70000", "sfu.example:4080", "127.0.0.1"] {
            assert!(wrong.parse::<Listen>().expect_err(wrong).contains("IP:PORT"));
        }
    }

    #[test]
    fn ice_servers_become_links() {
        let link = |text: &str| text.parse::<IceServer>().expect(text).link();
        assert_eq!(link("stun:stun.example"), "<stun:stun.example>; rel=\"ice-server\"");
        assert_eq!(
            link("turn:turn.example?transport=udp us\"er pass"),
            "<turn:turn.example?transport=udp>; rel=\"ice-server\"; username=\"us\\\"er\"; credential=\"pass\"; \
             credential-type=\"password\""
        );
        for wrong in ["", "http://x", "stun:", "stun:a>b", "turn:x user", "turn:x a b c", "stun:\u{e4}"] {
            assert!(wrong.parse::<IceServer>().is_err(), "{wrong}");
        }
    }
}
