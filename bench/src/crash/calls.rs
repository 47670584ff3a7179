//! The calls that are under way while somebody dies, and the processes of the server that they go through.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::site::Site;
use crate::webrtc::sdp::{Kind, Media};
use crate::webrtc::{Identity, Options, Session, join};

/// Sound.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);
pub(super) const PAYLOAD_BYTES: usize = 120;
pub(super) const TIMESTAMPS_PER_PACKET: u32 = 960;

/// Whether workers are threads or processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Threads of the server.
    Thread,
    /// Processes of their own.
    Process,
}

impl Isolation {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }
}

/// A call: one who publishes under an SSRC, and one who watches.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) sender: Session,
    pub(super) viewer: Session,
    pub(super) ssrc: u32,
}

impl Call {
    /// `url` is that of the room, with `{}` in the place of `whip` and `whep`.
    pub(super) async fn join(
        client: reqwest::Client,
        identity: Arc<Identity>,
        url: String,
        number: u32,
    ) -> anyhow::Result<Self> {
        let ssrc = number + 1;
        let options = |send: bool| Options::new(&identity, vec![Media::plain(Kind::Audio, send, send.then_some(ssrc))]);
        let publish = format!("{}?peer=p{number}", url.replace("{}", "whip"));
        let sender = join(&client, &publish, options(true)).await.context("a publisher")?;
        let watched = format!("{}/p{number}", url.replace("{}", "whep"));
        let viewer = join(&client, &watched, options(false)).await.context("a viewer")?;
        Ok(Self { sender, viewer, ssrc })
    }
}

/// The header of packet `number` of a sender of sound.
pub(super) fn header(ssrc: u32, number: u32) -> Vec<u8> {
    let mut packet = vec![0x80, Media::plain(Kind::Audio, true, None).payload_type];
    let [_, _, sequence @ ..] = number.to_be_bytes();
    packet.extend(sequence);
    packet.extend(number.wrapping_mul(TIMESTAMPS_PER_PACKET).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet
}

/// Processes of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pids {
    pub(super) server: u64,
    /// Its worker's, if that has its own.
    pub(super) worker: Option<u64>,
}

impl Pids {
    /// As the server says.
    pub(super) async fn of(site: &Site) -> anyhow::Result<Self> {
        let client = site.client().timeout(Duration::from_secs(1)).build()?;
        let stats: serde_json::Value =
            client.get(format!("{}/stats?objects=false", site.base())).send().await?.json().await?;
        let server = stats["pid"].as_u64().context("/stats has no pid")?;
        Ok(Self { server, worker: stats["workers"][0]["pid"].as_u64() })
    }
}

pub(super) fn signal(name: &str, pid: u64) -> anyhow::Result<()> {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status()?;
    ensure!(sent.success(), "process {pid} cannot be sent SIG{name}");
    Ok(())
}
