//! The floor: the least that anything in the worker's place would have to do. This is the side that asks for it; the
//! bare loop itself is in [`crate::floor_loop`].

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Context as _;
use corecast_wire::{Coalesce, Io, SrtpParameters};
use serde::{Deserialize, Serialize};

use crate::packet::{FIRST_SSRC, PAYLOAD_TYPE};
use crate::subscribers::Promised;
use crate::target::{Child, Counters, Plan, Route, Target, WorkerSetup};

/// When the loop stops receiving and begins to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gather {
    /// With what is there when it has waited as a worker would.
    Coalesced(Coalesce),
    /// With exactly so many packets.
    Count(u32),
}

/// What the loop is told, in one line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) core: u32,
    pub(crate) uring: bool,
    pub(crate) gather: Gather,
    pub(crate) publishers: Vec<SocketAddr>,
    pub(crate) subscribers: Vec<(SocketAddr, Option<SrtpParameters>)>,
}

/// What the loop answers to its assignment, in one line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Where publishers send.
    pub(crate) publish_to: Vec<SocketAddr>,
    /// Where each subscriber's packets come from.
    pub(crate) send_from: Vec<SocketAddr>,
    /// A datagram to this address is answered by [`Report`].
    pub(crate) ask: SocketAddr,
}

/// What the loop has done, in one line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) cpu_ns: u64,
    pub(crate) packets_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) trains_sent: u64,
    pub(crate) refused: u64,
}

/// The floor, measured as a worker is.
#[derive(Debug)]
pub struct Floor {
    child: Child,
    setup: WorkerSetup,
    gather: Gather,
    asking: UdpSocket,
    unread: Vec<u8>,
}

impl Floor {
    /// Starts the loop in a process of its own.
    ///
    /// # Errors
    /// The program cannot be started again.
    pub fn start(setup: WorkerSetup, gather: Gather) -> anyhow::Result<Self> {
        let asking = UdpSocket::bind("127.0.0.1:0")?;
        Ok(Self { child: Child::start("__floor")?, setup, gather, asking, unread: Vec::new() })
    }

    fn read_line<T: for<'de> Deserialize<'de>>(&mut self) -> anyhow::Result<T> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).context("the floor's answer");
            }
            let count = self.child.receive(&mut buffer)?;
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

impl Target for Floor {
    fn connect(&mut self, plan: &Plan) -> anyhow::Result<Route> {
        let assignment = Assignment {
            core: self.setup.core,
            uring: self.setup.io != Io::Syscalls,
            gather: self.gather,
            publishers: plan.publishers.iter().map(|published| published.peer.address).collect(),
            subscribers: plan.subscribers.iter().map(|peer| (peer.address, peer.key.clone())).collect(),
        };
        let mut line = serde_json::to_vec(&assignment)?;
        line.push(b'\n');
        self.child.send(&line)?;
        let ready: Ready = self.read_line()?;
        self.asking.connect(ready.ask)?;
        let stream =
            |publisher| Promised { publisher, ssrc: FIRST_SSRC + publisher as u32, payload_type: PAYLOAD_TYPE };
        let promised = vec![(0..plan.publishers.len()).map(stream).collect(); plan.subscribers.len()];
        Ok(Route { publish_to: ready.publish_to, send_from: ready.send_from, promised, keys: Vec::new() })
    }

    fn counters(&mut self) -> anyhow::Result<Counters> {
        self.asking.send(&[0])?;
        let report: Report = self.read_line()?;
        let refused = (report.refused > 0).then(|| ("send_refused".to_owned(), report.refused));
        Ok(Counters {
            cpu: Some(Duration::from_nanos(report.cpu_ns)),
            packets_sent: report.packets_sent,
            trains_sent: report.trains_sent,
            packets_received: report.packets_received,
            discards: refused.into_iter().collect(),
        })
    }
}
