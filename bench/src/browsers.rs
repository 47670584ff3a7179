//! `corecast-bench browsers`: times that people notice, in Chromium and Firefox: from joining to the first picture, by
//! mediasoup-client and by a session of WHEP for each publisher, step by step; on the server's page; and what a switch
//! between layers looks like. The browsers are driven by `tests/mediasoup/times.mjs`.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use corecast_wire::{Coalesce, Io};
use reqwest::Url;
use serde_json::json;

use crate::calls::launch::Launched;
use crate::{cpu, site};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct BrowsersArgs {
    /// How many publish in the room that is joined, each with an encoder of its own in one Chromium
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    publishers: u32,
    /// Joins of each kind; medians are printed
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Switches between the highest and the lowest layer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    switches: u32,
    /// Folder with times.mjs, and its packages in `node_modules` (`tests/run setup`)
    #[arg(long, value_name = "DIR", default_value = "tests/mediasoup")]
    modules: PathBuf,
    /// Measure the server that runs at this address (http://… or https://…); otherwise one is started from the binary
    /// beside this
    #[arg(long, value_name = "URL", value_parser = site::url)]
    target: Option<Url>,
    /// Let the browsers trust whatever certificate the server shows
    #[arg(long, requires = "target")]
    insecure: bool,
    /// Time the page of this server too (http://…), in turn with ours: that of an earlier build, say
    #[arg(long, value_name = "URL", value_parser = site::url)]
    beside: Option<Url>,
}

/// Runs the subcommand: a line of JSON for each thing.
///
/// # Errors
/// The server or a browser does not start, or a page fails.
pub fn run(args: &BrowsersArgs) -> anyhow::Result<()> {
    let launched = match &args.target {
        Some(_) => None,
        None => {
            let address = own_address().to_string();
            let more = [("--rtc-listen-ips", &*address)];
            Some(Launched::start_with(cpu::last_core()?, Io::Auto, Coalesce::Auto, &more)?)
        }
    };
    let named = args.target.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let url = named.or_else(|| launched.as_ref().map(|of| of.site().base())).context("a server")?;
    let BrowsersArgs { publishers, rounds, switches, insecure, .. } = args;
    let beside = args.beside.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let wanted = json!({
        "publishers": publishers, "rounds": rounds, "switches": switches, "beside": beside, "insecure": insecure,
    })
    .to_string();
    let mut node = Command::new("node");
    node.args(["times.mjs", url, &wanted]).current_dir(&args.modules);
    let status = node.status().with_context(|| format!("node in {}", args.modules.display()))?;
    ensure!(status.success(), "times.mjs: {status}");
    Ok(())
}

/// The address by which this machine reaches others, since Firefox does not connect to loopback; loopback if there is
/// none.
fn own_address() -> IpAddr {
    // Nothing is sent: the kernel only looks the route up. The network is one for documentation (RFC 5737).
    let route = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    route.map_or_else(|_| Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}
