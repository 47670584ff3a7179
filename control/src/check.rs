//! `corecast check`: what of this machine keeps a server from being fast or from starting, each with what to change.
//!
//! Reads `/proc` and `/sys` and asks the kernel about sockets and limits; changes nothing. What cannot be known, in a
//! virtual machine say, is said to be unknown and is no fault.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};

use crate::config::Config;

/// Below it there is no io_uring for us.
const URING_KERNEL: (u32, u32) = (6, 1);
/// From it on a worker waits for several datagrams in one call.
const GATHERING_KERNEL: (u32, u32) = (6, 12);
/// What glommio locks.
const LOCKED_BYTES: u64 = 512 << 10;
/// What WebRTC's sockets are given.
const SOCKET_BYTES: u64 = 8 << 20;
/// Sockets of plain transports, TCP connections, HTTP, and some more.
const FILES: u64 = 16_384;
/// Any segment: whether the kernel knows the option is asked.
const SEGMENT_BYTES: i32 = 1_200;
/// What `ethtool` calls the card's cutting of UDP trains.
const SEGMENTATION: &str = "tx-udp-segmentation";
/// What should be on where it can be, and the word that turns it on.
const OFFLOADS: [(&str, &str); 5] = [
    ("tx-checksumming", "tx"),
    ("rx-checksumming", "rx"),
    ("generic-segmentation-offload", "gso"),
    ("generic-receive-offload", "gro"),
    (SEGMENTATION, SEGMENTATION),
];
/// Bit of `CAP_NET_ADMIN`.
const NET_ADMIN: u32 = 12;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    what: &'static str,
    found: String,
    /// What the operator should do.
    change: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, found: found.into(), change: None }
    }

    fn bad(what: &'static str, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self { what, found: found.into(), change: Some(change.into()) }
    }

    /// Whether something should be changed.
    pub(crate) fn is_bad(&self) -> bool {
        self.change.is_some()
    }

    /// Whether the summary of a server says it as well.
    pub(crate) fn is_in_summary(&self) -> bool {
        ["socket buffers", "open files", "io_uring"].contains(&self.what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.found)?;
        self.change.as_ref().map_or(Ok(()), |change| write!(f, "; {change}"))
    }
}

/// Looks at everything, also at what another program must be asked for.
pub(crate) fn look_at_all(config: &Config) -> Vec<Finding> {
    let mut findings = look(config);
    if let Some(interface) = default_interface(&text("/proc/net/route")) {
        let asked = Command::new("ethtool").args(["-k", &interface]).output();
        let told = asked.ok().filter(|output| output.status.success());
        findings.push(offloads(&interface, told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())));
    }
    findings
}

/// Looks at everything that can be read. Cores are those of the workers.
pub(crate) fn look(config: &Config) -> Vec<Finding> {
    let cores = config.cores().unwrap_or_default();
    let mut findings = vec![
        kernel(&text("/proc/sys/kernel/osrelease")),
        uring(&text("/proc/sys/kernel/io_uring_disabled"), &text("/proc/self/status")),
        limit(
            "locked memory",
            Resource::RLIMIT_MEMLOCK,
            LOCKED_BYTES,
            "raise RLIMIT_MEMLOCK (LimitMEMLOCK=8M, ulimit -l)",
        ),
        limit("open files", Resource::RLIMIT_NOFILE, FILES, "raise RLIMIT_NOFILE (LimitNOFILE=65536, ulimit -Hn)"),
        buffers(
            number("/proc/sys/net/core/rmem_max"),
            number("/proc/sys/net/core/wmem_max"),
            &text("/proc/self/status"),
        ),
        segmentation(),
        clock(&text("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        governors(&cores, |core| text(&format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))),
    ];
    match default_interface(&text("/proc/net/route")) {
        Some(interface) => findings.extend([interrupts(&interface, &cores), numa(&interface, &cores)]),
        None => findings.push(Finding::good("network card", "unknown: there is no default route")),
    }
    findings
}

/// The page that `corecast check` prints.
pub(crate) fn page(findings: &[Finding]) -> String {
    let mut page = String::new();
    for Finding { what, found, change } in findings {
        let state = if change.is_some() { "CHANGE" } else { "ok" };
        page.push_str(&format!("{state:<7} {what:<15} {found}\n"));
        if let Some(change) = change {
            page.push_str(&format!("{:<7} {:<15} -> {change}\n", "", ""));
        }
    }
    page
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn number(path: &str) -> Option<u64> {
    text(path).parse().ok()
}

/// From `6.18.0-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn kernel(release: &str) -> Finding {
    match version(release) {
        None => Finding::good("kernel", "unknown"),
        Some(version) if version < URING_KERNEL => {
            Finding::bad("kernel", release, "Linux 6.1 or later is needed for io_uring, 6.12 is better")
        }
        Some(version) if version < GATHERING_KERNEL => {
            Finding::good("kernel", format!("{release} (6.12 makes gathering cheaper)"))
        }
        Some(_) => Finding::good("kernel", release),
    }
}

/// A field of `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn uring(disabled: &str, status: &str) -> Finding {
    match (disabled, field(status, "Seccomp")) {
        ("1" | "2", _) => {
            let found = format!("kernel.io_uring_disabled is {disabled}");
            Finding::bad("io_uring", found, "set it to 0; system calls are used otherwise")
        }
        (_, Some("2")) => {
            let found = "a seccomp filter is active";
            Finding::good("io_uring", format!("{found}: whether it lets io_uring pass is in the summary (driver)"))
        }
        _ => Finding::good("io_uring", "nothing forbids it"),
    }
}

fn limit(what: &'static str, resource: Resource, wanted: u64, change: &str) -> Finding {
    match getrlimit(resource) {
        Ok((_, hard)) if hard < wanted => Finding::bad(what, format!("{hard} allowed, {wanted} wanted"), change),
        Ok((_, u64::MAX)) => Finding::good(what, "unlimited"),
        Ok((_, hard)) => Finding::good(what, format!("{hard} allowed")),
        Err(error) => Finding::good(what, format!("unknown: {error}")),
    }
}

fn buffers(recv: Option<u64>, send: Option<u64>, status: &str) -> Finding {
    let what = "socket buffers";
    let capabilities = field(status, "CapEff").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or_default();
    let (Some(recv), Some(send)) = (recv, send) else { return Finding::good(what, "unknown") };
    let found = format!("net.core.rmem_max {recv}, net.core.wmem_max {send}");
    if capabilities >> NET_ADMIN & 1 == 1 {
        return Finding::good(what, format!("{found}; CAP_NET_ADMIN goes beyond"));
    }
    if recv.min(send) < SOCKET_BYTES {
        return Finding::bad(what, found, format!("set both to {SOCKET_BYTES} or more (sysctl -w)"));
    }
    Finding::good(what, found)
}

/// Whether the kernel sends and receives UDP in trains.
fn segmentation() -> Finding {
    let what = "UDP GSO, GRO";
    let Ok(probe) = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) else {
        return Finding::good(what, "unknown: no socket can be made");
    };
    let sends = setsockopt(&probe, sockopt::UdpGsoSegment, &SEGMENT_BYTES).is_ok();
    let receives = setsockopt(&probe, sockopt::UdpGroSegment, &true).is_ok();
    match (sends, receives) {
        (true, true) => Finding::good(what, "both"),
        _ => {
            let found = format!("GSO {sends}, GRO {receives}");
            Finding::bad(what, found, "each packet costs a system call of its own; Linux 5.0 or later has both")
        }
    }
}

fn clock(source: &str) -> Finding {
    match source {
        "" => Finding::good("clock", "unknown"),
        "tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page" => Finding::good("clock", source),
        _ => {
            let change = "reading it is slow; boot with clocksource=tsc if the machine's is stable";
            Finding::bad("clock", source, change)
        }
    }
}

fn governors(cores: &[u32], of: impl Fn(u32) -> String) -> Finding {
    let what = "CPU governor";
    let slow: Vec<_> = cores.iter().filter(|core| !["", "performance"].contains(&of(**core).as_str())).collect();
    if let Some(first) = slow.first() {
        let found = format!("{} on {} of {} cores", of(**first), slow.len(), cores.len());
        return Finding::bad(what, found, "set it to performance (cpupower frequency-set -g performance)");
    }
    let is_known = cores.iter().any(|core| !of(*core).is_empty());
    Finding::good(what, if is_known { "performance" } else { "unknown: the host decides" })
}

/// From `/proc/net/route`: the interface of the route to everywhere.
fn default_interface(routes: &str) -> Option<String> {
    let mut rows = routes.lines().skip(1).map(|line| line.split_whitespace());
    rows.find_map(|mut row| Some((row.next()?, row.next()?)).filter(|(_, to)| *to == "00000000"))
        .map(|(interface, _)| interface.to_owned())
}

/// A list such as `0-3,8`.
fn list(text: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            numbers.extend(first..=last.min(first.saturating_add(4_096)));
        }
    }
    numbers
}

/// Whether the interrupts of the network card come to cores of workers.
fn interrupts(interface: &str, cores: &[u32]) -> Finding {
    let what = "interrupts";
    let numbers = fs::read_dir(format!("/sys/class/net/{interface}/device/msi_irqs"));
    let numbers = numbers.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let where_to: BTreeSet<u32> =
        numbers.flat_map(|number| list(&text(&format!("/proc/irq/{number}/effective_affinity_list")))).collect();
    if where_to.is_empty() {
        return Finding::good(what, format!("unknown: {interface} tells none"));
    }
    let shared: Vec<_> = cores.iter().filter(|core| where_to.contains(core)).map(u32::to_string).collect();
    if shared.is_empty() || shared.len() == cores.len() && cores.len() <= where_to.len() {
        // Each worker has its share, or none has any.
        return Finding::good(what, format!("{interface}: {} cores", where_to.len()));
    }
    let found = format!("{interface}: also on cores {} of workers", shared.join(","));
    Finding::bad(
        what,
        found,
        "give the workers other cores (workers), or move the interrupts (/proc/irq/*/smp_affinity)",
    )
}

/// What the card, or the kernel in its place, does with trains. `told` is what `ethtool -k` says, where it is there.
fn offloads(interface: &str, told: Option<String>) -> Finding {
    let what = "offloads";
    let Some(told) = told else { return Finding::good(what, format!("{interface}: unknown without ethtool")) };
    let state = |name: &str| told.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    // What is fixed cannot be changed; the kernel cuts trains itself if the card does not.
    let off: Vec<_> = OFFLOADS.iter().filter(|(name, _)| state(name) == Some("off")).collect();
    if off.is_empty() {
        let cuts = state(SEGMENTATION).is_some_and(|state| state.starts_with("on"));
        let who = if cuts { "the card" } else { "the kernel" };
        return Finding::good(what, format!("{interface}: on, and {who} cuts trains"));
    }
    let names: Vec<_> = off.iter().map(|(name, _)| *name).collect();
    let switches: Vec<_> = off.iter().map(|(_, switch)| format!("{switch} on")).collect();
    let change = format!("packets cost more: ethtool -K {interface} {}", switches.join(" "));
    Finding::bad(what, format!("{interface}: {} off", names.join(", ")), change)
}

/// Whether workers run on another memory node than the network card is at.
fn numa(interface: &str, cores: &[u32]) -> Finding {
    let what = "memory nodes";
    let card = text(&format!("/sys/class/net/{interface}/device/numa_node"));
    let Some(card) = card.parse::<u32>().ok() else {
        return Finding::good(what, format!("unknown: {interface} tells none"));
    };
    let is_far = |core: &&u32| !Path::new(&format!("/sys/devices/system/cpu/cpu{core}/node{card}")).exists();
    let far: Vec<_> = cores.iter().filter(is_far).map(u32::to_string).collect();
    if far.is_empty() {
        return Finding::good(what, format!("{interface} and all workers are at node {card}"));
    }
    let found = format!("{interface} is at node {card}, cores {} are not", far.join(","));
    Finding::bad(what, found, "run workers on cores of that node (workers)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found_with_what_to_change() {
        let admin = "Name:\tx\nSeccomp:\t0\nCapEff:\t0000000000001000";
        let filtered = "Seccomp:\t2\nCapEff:\t0000000000000000";
        for (finding, is_bad, part) in [
            (kernel("5.15.0-91-generic"), true, "6.1"),
            (kernel("6.1.0-13-amd64"), false, "6.12"),
            (kernel("6.18.3"), false, "6.18.3"),
            (kernel(""), false, "unknown"),
            (uring("2", filtered), true, "set it to 0"),
            (uring("0", filtered), false, "seccomp"),
            (uring("", admin), false, "nothing"),
            (buffers(Some(212_992), Some(212_992), filtered), true, "8388608"),
            (buffers(Some(212_992), Some(212_992), admin), false, "CAP_NET_ADMIN"),
            (buffers(Some(8 << 20), Some(8 << 20), filtered), false, "rmem_max"),
            (clock("hpet"), true, "tsc"),
            (clock("tsc"), false, "tsc"),
            (
                governors(&[0, 1], |core| if core == 0 { "powersave".into() } else { "performance".into() }),
                true,
                "1 of 2",
            ),
            (governors(&[0], |_| String::new()), false, "unknown"),
        ] {
            assert_eq!(finding.is_bad(), is_bad, "{finding}");
            assert!(finding.to_string().contains(part), "{part} in {finding}");
        }
    }

    #[test]
    fn what_a_card_does_not_do_is_found() {
        let all = [
            "Features for eth0:",
            "rx-checksumming: on [fixed]",
            "tx-checksumming: on",
            "\ttx-checksum-ipv4: off [fixed]",
            "generic-segmentation-offload: on",
            "generic-receive-offload: on",
            "tx-udp-segmentation: off [fixed]",
        ];
        let all = all.join("\n");
        let said = |told: Option<String>| offloads("eth0", told);
        assert!(!said(Some(all.clone())).is_bad() && said(Some(all.clone())).to_string().contains("the kernel cuts"));
        let card = all.replace("segmentation: off [fixed]", "segmentation: on");
        assert!(said(Some(card)).to_string().contains("the card cuts"));
        let off = all
            .replace("receive-offload: on", "receive-offload: off")
            .replace("segmentation: off [fixed]", "segmentation: off");
        let said_off = said(Some(off)).to_string();
        assert!(said_off.ends_with("ethtool -K eth0 gro on tx-udp-segmentation on"), "{said_off}");
        assert!(said(None).to_string().contains("ethtool") && !said(None).is_bad());
    }

    #[test]
    fn tables_of_the_kernel_are_read() {
        let routes = "Iface\tDestination\tGateway\neth1\t0000000A\t0\neth0\t00000000\t0100000A\n";
        assert_eq!(default_interface(routes).as_deref(), Some("eth0"));
        assert_eq!(default_interface("Iface\tDestination\n"), None);
        assert_eq!(list("0-2,7"), [0, 1, 2, 7].into());
        assert_eq!(list(""), BTreeSet::new());
        assert_eq!(list("nonsense,5-"), BTreeSet::new());
    }
}
