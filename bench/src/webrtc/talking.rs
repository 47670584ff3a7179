//! An endpoint with data channels that is driven by a loop without a runtime.

use std::io::IoSlice;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Instant;

use super::channels::Channels;
use super::records::Records;
use super::session::Parts;
use super::upkeep::Upkeep;
use crate::sockets::{self, RecvBatch};

/// Longest train that is sent: 40 records of 1,150 bytes.
const TRAIN_RECORDS: usize = 40;
const SOCKET_BUFFER_BYTES: i32 = 8 * 1_024 * 1_024;

/// An endpoint that talks.
#[derive(Debug)]
pub struct Talking {
    upkeep: Upkeep,
    socket: Arc<UdpSocket>,
    records: Records,
    channels: Channels,
}

impl Talking {
    /// Takes a session over, and begins its association. Its handshake must have chosen
    /// [`SUITE`](super::records::SUITE).
    ///
    /// # Errors
    /// The session tells no secrets, or the socket refuses options.
    pub async fn begin(parts: Parts, now_ns: u64) -> anyhow::Result<Self> {
        let records = parts.association.records().await?;
        let (upkeep, (socket, ..)) = Upkeep::new(parts, now_ns)?;
        sockets::set_buffers(&socket, SOCKET_BUFFER_BYTES)?;
        sockets::set_gro(&socket)?;
        Ok(Self { upkeep, socket, records, channels: Channels::connect()? })
    }

    /// Reads what has come, as far as there is room in `batch`, and answers it; `message` is handed the messages. Does
    /// what is due.
    ///
    /// # Errors
    /// The socket fails, something is not the server's, the association has ended, or `message` says so.
    pub fn turn(
        &mut self,
        now_ns: u64,
        batch: &mut RecvBatch,
        message: impl FnMut(u16, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.upkeep.turn(now_ns, &self.socket)?;
        let filled = batch.receive(&self.socket, 0)?;
        let now = Instant::now();
        for index in 0..filled {
            let datagram = batch.datagram(index);
            for one in datagram.bytes.chunks(datagram.segment_len) {
                match Records::are_in(one) {
                    true => self.channels.take(now, self.records.open(one)?),
                    false => self.upkeep.take(one, &self.socket),
                }
            }
        }
        self.channels.turn(now);
        self.channels.messages(message)?;
        self.flush(now)
    }

    /// Sends what the association has to send.
    ///
    /// # Errors
    /// The socket fails.
    pub fn flush(&mut self, now: Instant) -> anyhow::Result<()> {
        let packets = self.channels.packets(now);
        let records: Vec<_> = packets.iter().map(|packet| self.records.protect(packet)).collect::<Result<_, _>>()?;
        let mut rest = &records[..];
        while let Some(first) = rest.first() {
            // What is equally long leaves together; the last may be shorter.
            let alike = rest.iter().take_while(|record| record.len() == first.len()).count();
            let shorter = rest.get(alike).is_some_and(|record| record.len() < first.len());
            let (train, tail) = rest.split_at((alike + usize::from(shorter)).min(TRAIN_RECORDS));
            let pieces: Vec<_> = train.iter().map(|record| IoSlice::new(record)).collect();
            // What the socket does not take is lost, as on a network.
            let _ = sockets::send_train(&self.socket, &pieces, u16::try_from(first.len())?);
            rest = tail;
        }
        Ok(())
    }

    /// Its channels.
    #[must_use]
    pub const fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The same, to open them and to send.
    pub const fn channels_mut(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// Its way out.
    #[must_use]
    pub fn into_upkeep(self) -> Upkeep {
        self.upkeep
    }
}
