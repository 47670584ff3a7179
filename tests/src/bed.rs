//! Where real clients meet the server: a network of their own, with one address that is not loopback. Firefox, aiortc
//! and libnice do not connect to a loopback address; and what is in a namespace of its own meets no other test, can
//! drop packets by rule, and ends whole when the test does, browsers included.
//!
//! The test program goes in by running itself again inside (`unshare`): as root, or as anybody where the kernel lets
//! users make namespaces. Where it lets neither, the machine's own address has to do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, ExitCode, Stdio};

use crate::relay::Bound;
use crate::server::Server;

/// Set inside, so that the program knows where it is.
const INSIDE: &str = "CORECAST_TEST_BED";
/// An address of the range for documentation (RFC 5737), which no machine has.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The shell stays as the first process of the namespace: it takes in orphans. The devices make up no address of IPv6
/// for themselves: it would come a second or two later, and a page that Chromium loads just then fails
/// (ERR_NETWORK_CHANGED).
const MAKE: &str = "set -e
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d0 addrgenmode none
ip link set d1 addrgenmode none
ip link set d1 up
ip addr add 198.51.100.2/24 dev d0
ip link set d0 up
ip route add default dev d0
\"$@\"";

/// A network to test in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bed {
    /// Address that the server and its clients share.
    pub address: Ipv4Addr,
    /// A namespace of its own, in which packets may be dropped by rule.
    pub isolated: bool,
}

/// What [`enter`] came to.
#[derive(Debug)]
pub enum Entered {
    /// This program is inside: it goes on.
    Inside(Bed),
    /// It has run again inside, and this is how that ended.
    Ran(ExitCode),
}

/// Goes into a network of its own, running this program again there with the same arguments.
///
/// # Panics
/// If neither can be had, a namespace or an address that is not loopback.
#[must_use]
pub fn enter() -> Entered {
    if std::env::var_os(INSIDE).is_some() {
        return Entered::Inside(Bed { address: ADDRESS, isolated: true });
    }
    let ways: [&[&str]; 2] = [&[], &["--map-root-user"]];
    let Some(way) = ways.into_iter().find(|way| can(way)) else {
        eprintln!("no network namespace can be made here: the tests use the machine's own address");
        return Entered::Inside(Bed { address: own_address(), isolated: false });
    };
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = unshare(way, MAKE);
    let status = command.arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").status();
    let code = status.expect("it has just run").code().and_then(|code| u8::try_from(code).ok());
    Entered::Ran(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A command that runs the program that is appended to it in such a network, and the address there.
///
/// # Panics
/// If neither can be had, a namespace or an address that is not loopback.
#[must_use]
pub fn outside() -> (Command, Ipv4Addr) {
    let ways: [&[&str]; 2] = [&[], &["--map-root-user"]];
    match ways.into_iter().find(|way| can(way)) {
        Some(way) => (unshare(way, MAKE), ADDRESS),
        None => (Command::new("env"), own_address()),
    }
}

fn unshare(way: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]).args(way);
    command.args(["sh", "-c", script, "sh"]);
    command
}

fn can(way: &[&str]) -> bool {
    let mut command = unshare(way, MAKE);
    command.arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The address that this machine would send from. Nothing is sent.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let local = socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).and_then(|()| socket.local_addr());
    match local.map(|local| local.ip()) {
        Ok(IpAddr::V4(own)) if !own.is_loopback() => own,
        _ => panic!("real clients need a network namespace, or an address that is not loopback: there is neither"),
    }
}

impl Bed {
    /// Starts a server with one worker whose WebRTC clients come to this bed's address.
    #[must_use]
    pub fn server(&self, flags: &[&str]) -> Server {
        self.serve(&self.address.to_string(), flags)
    }

    /// Two servers, of which the second has viewers of the first one's rooms.
    #[must_use]
    pub fn machines(&self) -> (Server, Server) {
        const TOKEN: [&str; 2] = ["--cascade-token", "0123456789abcdef0123456789abcdef"];
        let home = self.server(&TOKEN);
        let url = format!("http://{}", home.address);
        let other = self.server(&[&TOKEN[..], &["--cascade-machines", &url]].concat());
        (home, other)
    }

    /// Starts a server that announces a relay instead of itself. The relay, still to be started, and where it leads.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn server_behind_relay(&self, flags: &[&str]) -> (Server, Bound, SocketAddr) {
        let bound = Bound::new(self.address.into()).expect("a free port");
        let announced = bound.address().expect("bound");
        let server = self.serve(&format!("{}={announced}", self.address), flags);
        let leads_to = (self.address, server.webrtc_port).into();
        (server, bound, leads_to)
    }

    fn serve(&self, listen: &str, flags: &[&str]) -> Server {
        // One, unless the flags say how many.
        let workers: &[&str] = if flags.contains(&"--workers") { &[] } else { &["--workers", "1"] };
        Server::start(&[workers, &["--rtc-listen-ips", listen], flags].concat())
    }
}
