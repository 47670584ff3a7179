//! A worker that is wrong on purpose, so that it can be seen that the checkers see it.

use corecast_core::{Endpoint, EndpointOp, Forward, Instant, Path, Totals};
use corecast_wire::{Command, CommandError, Event, IceState, Reply, TransportId};

use super::machine::{Machine, RealWorker};
use super::wire::is_rtcp;

/// What it does wrong, from its hundredth RTP packet on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing.
    Nothing,
    /// Sends every packet twice.
    Duplicate,
    /// Leaves out one packet.
    Omit,
    /// Changes a bit of the payload.
    Corrupt,
    /// Counts sequence numbers on, as if one packet had been left out.
    Gap,
    /// Uses a sequence number for two packets.
    Reuse,
    /// Sends under another SSRC.
    WrongSsrc,
    /// Drops the marker.
    Unmark,
    /// Moves the timestamp.
    Retime,
    /// Sends to another participant.
    WrongRemote,
    /// Says that it has less than it has, when all is closed.
    Leak,
    /// Answers every check twice.
    AnswerTwice,
    /// Sends every RTCP packet twice.
    DuplicateRtcp,
    /// Does not tell that a consent is lost.
    Unnoticed,
}

/// The real worker behind a saboteur.
#[derive(Debug)]
pub struct Saboteur {
    worker: RealWorker,
    wrong: Wrong,
    packets: u64,
}

impl Saboteur {
    /// A worker that does one thing wrong.
    #[must_use]
    pub const fn new(worker: RealWorker, wrong: Wrong) -> Self {
        Self { worker, wrong, packets: 0 }
    }
}

/// One packet, spoilt.
fn spoil(wrong: Wrong, number: u64, path: Path, bytes: &[u8], packet: &mut dyn FnMut(Path, &[u8])) {
    let (mut path, mut bytes) = (path, bytes.to_vec());
    let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
    let late = number >= 100;
    match wrong {
        Wrong::Duplicate if late => packet(path, &bytes),
        Wrong::Omit if number == 100 => return,
        Wrong::Corrupt if late => {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
        }
        Wrong::Gap if late => bytes[2..4].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes()),
        Wrong::Reuse if late => bytes[2..4].copy_from_slice(&sequence.wrapping_sub(1).to_be_bytes()),
        Wrong::WrongSsrc if late => bytes[8] ^= 0x10,
        Wrong::Unmark if late => bytes[1] &= 0x7F,
        Wrong::Retime if number == 100 => bytes[7] ^= 1,
        Wrong::WrongRemote if late => path.remote.set_port(path.remote.port() ^ 1),
        _ => {}
    }
    packet(path, &bytes);
}

impl Machine for Saboteur {
    fn open_webrtc(&mut self, endpoint: Endpoint) {
        self.worker.open_webrtc(endpoint);
    }

    fn drain(&mut self, packet: &mut dyn FnMut(Path, &[u8])) {
        let Self { worker, wrong, packets } = self;
        worker.drain(&mut |path, bytes| {
            let is_stun = bytes.first().is_some_and(|first| *first < 4);
            match wrong {
                Wrong::AnswerTwice if is_stun => packet(path, bytes),
                Wrong::DuplicateRtcp if is_rtcp(bytes) => packet(path, bytes),
                _ => {}
            }
            if is_rtcp(bytes) || bytes.first().is_none_or(|first| first >> 6 != 2) {
                return packet(path, bytes);
            }
            spoil(*wrong, *packets, path, bytes, packet);
            *packets += 1;
        });
    }

    fn totals(&self) -> Totals {
        let mut totals = self.worker.totals();
        totals.consumers += u32::from(self.wrong == Wrong::Leak);
        totals
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.worker.handle_datagram(now, path, datagram);
    }

    fn wants_flush(&self) -> bool {
        self.worker.wants_flush()
    }

    fn forward(&mut self, now: Instant) -> Forward {
        self.worker.forward(now)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.worker.handle_timeout(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.worker.next_timeout()
    }

    fn sound_due(&self) -> Option<Instant> {
        self.worker.sound_due()
    }

    fn handle_command(&mut self, now: Instant, command: &Command, opened: &[Endpoint]) -> Result<Reply, CommandError> {
        self.worker.handle_command(now, command, opened)
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.worker.poll_event();
        let lost = matches!(event, Some(Event::IceStateChanged { state: IceState::Disconnected, .. }));
        event.filter(|_| !lost || self.wrong != Wrong::Unnoticed)
    }

    fn poll_endpoint_op(&mut self) -> Option<EndpointOp> {
        self.worker.poll_endpoint_op()
    }

    fn send_refused(&mut self, path: Path, packets: u64) {
        self.worker.send_refused(path, packets);
    }

    fn slots_in_use(&self) -> usize {
        self.worker.slots_in_use()
    }

    fn crash(&mut self, now: Instant, opened: &dyn Fn(TransportId) -> Vec<Endpoint>) -> Result<(), String> {
        self.worker.crash(now, opened)
    }
}
