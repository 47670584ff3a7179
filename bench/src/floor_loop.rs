//! The floor's bare loop: receive the batch, seal it for each subscriber with the same cipher, send each subscriber's
//! run as one train. No lookup, no rewriting, no history, no RTCP; every socket is connected.
//!
//! Packets whose lengths differ by a few bytes are padded to one length (RFC 3550 section 5.1) so that a run stays one
//! train. What leaves is proper SRTP, so that subscribers check it as they check the server's.

use std::io::{self, BufRead as _, BufReader, IoSlice, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context as _;
use corecast_core::Instant;
use corecast_dataplane::coalesce::{Coalescer, Plan, TurnRecord};
use corecast_wire::Coalesce;

use crate::clock::Clock;
use crate::crypto::Sealer;
use crate::floor::{Assignment, Gather, Ready, Report};
use crate::packet::FIRST_SSRC;
use crate::ring::{OutTrain, RecvRing, SendRing};
use crate::sockets::{self, Epoll, RecvBatch};

/// Nothing for so long means that the program that started the floor is gone.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const SOCKET_BUFFER_BYTES: i32 = 8 * 1_024 * 1_024;
/// Bytes that are sealed before they are sent, so that they stay in the core's cache.
const SCRATCH_BYTES: usize = 256 * 1_024;
const MAX_PAD_BYTES: usize = 16;
const MAX_TRAIN_BYTES: usize = 65_507;
const MAX_TRAIN_PACKETS: usize = 64;
const RECV_BUFFERS: usize = 512;
const RECV_BUFFER_BYTES: usize = 2_048;

/// Packets come in.
trait Intake {
    /// Receives a batch, waiting as `plan` says; the packets of the batch before are gone. Says when it woke up, by
    /// `now`.
    fn gather(&mut self, plan: Plan, now: impl Fn() -> Instant) -> io::Result<Instant>;
    /// Waits for more, to join the batch.
    fn gather_more(&mut self) -> io::Result<()>;
    /// Packets in the batch.
    fn len(&self) -> usize;
    fn packet(&self, index: usize) -> &[u8];
    /// Pads a packet to `len` bytes.
    fn pad(&mut self, index: usize, len: usize);
}

/// A question for a report is a datagram of one byte. It comes when nothing else does.
fn ends_with_question(intake: &impl Intake, count: usize) -> bool {
    count > 0 && intake.packet(count - 1).len() == 1
}

/// Packets go out.
trait Outlet {
    /// Sends every train; says how many packets were refused.
    fn send(&mut self, trains: &[OutTrain<'_>]) -> io::Result<u64>;
}

fn sleep(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

fn pad(buffer: &mut [u8], from: usize, to: usize) {
    buffer[0] |= 0x20;
    buffer[from..to].fill(0);
    buffer[to - 1] = (to - from) as u8;
}

struct SyscallIntake {
    sockets: Vec<UdpSocket>,
    epoll: Epoll,
    batch: RecvBatch,
    /// Lengths, padding included.
    lens: Vec<usize>,
}

impl SyscallIntake {
    /// Sleeps until something has come, `linger` longer, and takes what is there. Says when the first had come.
    fn take(&mut self, linger: Duration, now: impl Fn() -> Instant) -> io::Result<Instant> {
        let mut ready = self.epoll.wait(IDLE_LIMIT)?;
        let woke_at = now();
        if !linger.is_zero() {
            // Nothing is taken before: what has come by then is taken by one call per socket.
            drop(ready);
            sleep(linger);
            ready = self.epoll.wait(Duration::ZERO)?;
        }
        for socket in ready {
            let from = self.lens.len();
            let count = self.batch.receive(&self.sockets[socket], from)?;
            self.lens.extend((from..from + count).map(|index| self.batch.datagram(index).bytes.len()));
        }
        Ok(woke_at)
    }
}

impl Intake for SyscallIntake {
    fn gather(&mut self, plan: Plan, now: impl Fn() -> Instant) -> io::Result<Instant> {
        self.lens.clear();
        sleep(plan.gather);
        self.take(plan.linger, now)
    }

    fn gather_more(&mut self) -> io::Result<()> {
        self.take(Duration::ZERO, Instant::default).map(drop)
    }

    fn len(&self) -> usize {
        self.lens.len()
    }

    fn packet(&self, index: usize) -> &[u8] {
        &self.batch.buffer(index)[..self.lens[index]]
    }

    fn pad(&mut self, index: usize, len: usize) {
        pad(self.batch.buffer_mut(index), self.lens[index], len);
        self.lens[index] = len;
    }
}

impl Intake for RecvRing {
    fn gather(&mut self, plan: Plan, now: impl Fn() -> Instant) -> io::Result<Instant> {
        self.release();
        if !plan.gather.is_zero() && self.wait(plan.gather, true)? > 0 {
            return Ok(now());
        }
        self.wait(IDLE_LIMIT, false)?;
        let woke_at = now();
        if !plan.linger.is_zero() {
            self.wait(plan.linger, true)?;
        }
        Ok(woke_at)
    }

    fn gather_more(&mut self) -> io::Result<()> {
        self.wait(IDLE_LIMIT, false).map(drop)
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn packet(&self, index: usize) -> &[u8] {
        self.packet(index)
    }

    fn pad(&mut self, index: usize, to: usize) {
        let (buffer, len) = self.packet_mut(index);
        pad(buffer, *len, to);
        *len = to;
    }
}

struct SyscallOutlet(Vec<UdpSocket>);

impl Outlet for SyscallOutlet {
    fn send(&mut self, trains: &[OutTrain<'_>]) -> io::Result<u64> {
        let mut refused = 0;
        for train in trains {
            if sockets::send_train(&self.0[train.subscriber], train.pieces, train.segment_len).is_err() {
                refused += train.packets;
            }
        }
        Ok(refused)
    }
}

impl Outlet for SendRing {
    fn send(&mut self, trains: &[OutTrain<'_>]) -> io::Result<u64> {
        Self::send(self, trains)
    }
}

/// Neighbouring packets that may leave as one train: equally long, the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TrainRange {
    from: usize,
    to: usize,
    segment_len: usize,
}

fn find_runs(lens: &[usize], runs: &mut Vec<TrainRange>) {
    runs.clear();
    let mut bytes = 0;
    for (index, len) in lens.iter().copied().enumerate() {
        match runs.last_mut() {
            Some(run)
                if len <= run.segment_len
                    && bytes == (run.to - run.from) * run.segment_len
                    && bytes + len <= MAX_TRAIN_BYTES
                    && run.to - run.from < MAX_TRAIN_PACKETS =>
            {
                run.to += 1;
                bytes += len;
            }
            _ => {
                runs.push(TrainRange { from: index, to: index + 1, segment_len: len });
                bytes = len;
            }
        }
    }
}

/// Evens out lengths that differ by little, as a server may by RTP padding.
fn even_out(intake: &mut impl Intake, batch: Range<usize>) {
    let longest = batch.clone().map(|index| intake.packet(index).len()).max().unwrap_or(0);
    for index in batch {
        let len = intake.packet(index).len();
        if len < longest && longest - len <= MAX_PAD_BYTES {
            intake.pad(index, longest);
        }
    }
}

#[derive(Debug, Default)]
struct Totals {
    packets_received: u64,
    packets_sent: u64,
    trains_sent: u64,
    refused: u64,
}

/// The loop and what it needs from one batch to the next.
struct Bare {
    sealers: Vec<Option<Sealer>>,
    overhead: usize,
    /// (last sequence number, rollovers) per publisher.
    indexes: Vec<(u16, u32)>,
    rollovers: Vec<u32>,
    lens: Vec<usize>,
    runs: Vec<TrainRange>,
    scratch: Box<[u8]>,
    totals: Totals,
    link: UnixStream,
}

impl Bare {
    fn run(&mut self, gather: Gather, mut intake: impl Intake, mut outlet: impl Outlet) -> anyhow::Result<()> {
        let clock = Clock::default();
        let now = || Instant::from_nanos(clock.now_ns());
        let mut coalescer = Coalescer::new(match gather {
            Gather::Coalesced(mode) => mode,
            Gather::Count(_) => Coalesce::Off,
        });
        loop {
            let slept_at = now();
            let plan = coalescer.plan();
            let woke_at = intake.gather(plan, now)?;
            let began_at = now();
            let at_once = if let Gather::Count(packets) = gather { packets as usize } else { usize::MAX };
            while matches!(gather, Gather::Count(_)) && !intake.len().is_multiple_of(at_once) {
                let before = intake.len();
                if ends_with_question(&intake, before) {
                    break;
                }
                intake.gather_more()?;
                if intake.len() == before {
                    break;
                }
            }
            let (received, sent) = (intake.len(), self.totals.packets_sent);
            if received == 0 {
                return Ok(());
            }
            let mut count = received;
            while ends_with_question(&intake, count) {
                count -= 1;
            }
            for from in (0..count).step_by(at_once) {
                self.forward(&mut intake, &mut outlet, from..from.saturating_add(at_once).min(count))?;
            }
            for _ in count..received {
                self.report()?;
            }
            let (received, sent) = (received as u64, self.totals.packets_sent - sent);
            let waited = plan != Plan::default();
            coalescer.update(TurnRecord { slept_at, woke_at, began_at, done_at: now(), waited, received, sent });
        }
    }

    fn forward(
        &mut self,
        intake: &mut impl Intake,
        outlet: &mut impl Outlet,
        batch: Range<usize>,
    ) -> anyhow::Result<()> {
        even_out(intake, batch.clone());
        self.lens.clear();
        self.lens.extend(batch.clone().map(|index| intake.packet(index).len() + self.overhead));
        find_runs(&self.lens, &mut self.runs);
        self.totals.packets_received += batch.len() as u64;
        if self.overhead == 0 {
            self.send_plain(intake, batch, outlet)
        } else {
            self.send_sealed(intake, batch, outlet)
        }
    }

    /// The same bytes to every subscriber, straight from where they were received.
    fn send_plain(
        &mut self,
        intake: &impl Intake,
        batch: Range<usize>,
        outlet: &mut impl Outlet,
    ) -> anyhow::Result<()> {
        let pieces: Vec<_> = batch.map(|index| IoSlice::new(intake.packet(index))).collect();
        let mut trains = Vec::with_capacity(self.sealers.len() * self.runs.len());
        for subscriber in 0..self.sealers.len() {
            trains.extend(self.runs.iter().map(|run| out_train(subscriber, run, &pieces[run.from..run.to])));
        }
        self.count(&trains);
        self.totals.refused += outlet.send(&trains)?;
        Ok(())
    }

    fn send_sealed(
        &mut self,
        intake: &impl Intake,
        batch: Range<usize>,
        outlet: &mut impl Outlet,
    ) -> anyhow::Result<()> {
        self.rollovers.clear();
        for index in batch.clone() {
            let rollovers = self.rollovers_of(intake.packet(index));
            self.rollovers.push(rollovers);
        }
        let each: usize = self.lens.iter().sum();
        if each > self.scratch.len() {
            self.scratch = vec![0; each].into_boxed_slice();
        }
        let together = (self.scratch.len() / each.max(1)).max(1);
        let mut scratch = std::mem::take(&mut self.scratch);
        for first in (0..self.sealers.len()).step_by(together) {
            let subscribers = first..(first + together).min(self.sealers.len());
            for (sealer, out) in self.sealers[subscribers.clone()].iter().zip(scratch.chunks_exact_mut(each.max(1))) {
                let sealer = sealer.as_ref().context("a subscriber without a key")?;
                let mut rest = out;
                for (index, (len, rollovers)) in batch.clone().zip(self.lens.iter().zip(&self.rollovers)) {
                    let (packet, after) = rest.split_at_mut(*len);
                    sealer.seal(intake.packet(index), *rollovers, packet)?;
                    rest = after;
                }
            }
            let mut pieces = Vec::with_capacity(together * self.runs.len());
            for out in scratch.chunks_exact(each.max(1)).take(subscribers.len()) {
                let mut rest = out;
                for run in &self.runs {
                    let (bytes, after) = rest.split_at(self.lens[run.from..run.to].iter().sum());
                    pieces.push(IoSlice::new(bytes));
                    rest = after;
                }
            }
            let runs = self.runs.iter().cycle();
            let trains: Vec<_> = (pieces.chunks_exact(1).zip(runs).enumerate())
                .map(|(index, (piece, run))| out_train(first + index / self.runs.len(), run, piece))
                .collect();
            self.count(&trains);
            self.totals.refused += outlet.send(&trains)?;
        }
        self.scratch = scratch;
        Ok(())
    }

    fn count(&mut self, trains: &[OutTrain<'_>]) {
        self.totals.trains_sent += trains.len() as u64;
        self.totals.packets_sent += trains.iter().map(|train| train.packets).sum::<u64>();
    }

    /// Packets of a stream come in order here, so a smaller sequence number is the next round (RFC 3711 section 3.3.1).
    fn rollovers_of(&mut self, packet: &[u8]) -> u32 {
        let Some([_, _, high, low, _, _, _, _, ssrc @ ..]) = packet.first_chunk::<12>() else { return 0 };
        let publisher = u32::from_be_bytes(*ssrc).wrapping_sub(FIRST_SSRC) as usize;
        let Some((last, rollovers)) = self.indexes.get_mut(publisher) else { return 0 };
        let sequence = u16::from_be_bytes([*high, *low]);
        *rollovers += u32::from(sequence < *last);
        *last = sequence;
        *rollovers
    }

    fn report(&mut self) -> anyhow::Result<()> {
        let report = Report {
            cpu_ns: sockets::thread_cpu_time()?.as_nanos() as u64,
            packets_received: self.totals.packets_received,
            packets_sent: self.totals.packets_sent - self.totals.refused,
            trains_sent: self.totals.trains_sent,
            refused: self.totals.refused,
        };
        write_line(&mut self.link, &report)
    }
}

fn out_train<'a>(subscriber: usize, run: &TrainRange, pieces: &'a [IoSlice<'a>]) -> OutTrain<'a> {
    OutTrain { subscriber, pieces, segment_len: run.segment_len as u16, packets: (run.to - run.from) as u64 }
}

fn write_line(link: &mut UnixStream, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(link.write_all(&line)?)
}

fn bind() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    sockets::set_buffers(&socket, SOCKET_BUFFER_BYTES)?;
    Ok(socket)
}

/// The hidden subcommand `__floor`: runs until no more packets come or the parent ends.
///
/// # Errors
/// The assignment cannot be carried out.
pub fn run(link: UnixStream) -> anyhow::Result<()> {
    let mut line = String::new();
    sockets::precise_timers();
    BufReader::new(&link).read_line(&mut line)?;
    let assignment: Assignment = serde_json::from_str(&line).context("assignment")?;
    let core = core_affinity::CoreId { id: assignment.core as usize };
    anyhow::ensure!(core_affinity::set_for_current(core), "cannot pin to core {}", assignment.core);
    let (mut incoming, mut outgoing, mut sealers) = (Vec::new(), Vec::new(), Vec::new());
    for publisher in &assignment.publishers {
        let socket = bind()?;
        socket.connect(publisher)?;
        incoming.push(socket);
    }
    let ask = bind()?;
    let ask_address = ask.local_addr()?;
    incoming.push(ask);
    for (address, key) in &assignment.subscribers {
        let socket = bind()?;
        socket.connect(address)?;
        outgoing.push(socket);
        sealers.push(key.as_ref().map(Sealer::new).transpose()?);
    }
    let ready = Ready {
        publish_to: incoming[..assignment.publishers.len()]
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<Result<_, _>>()?,
        send_from: outgoing.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?,
        ask: ask_address,
    };
    let mut bare = Bare {
        overhead: sealers.first().and_then(Option::as_ref).map_or(0, Sealer::overhead),
        sealers,
        indexes: vec![(0, 0); assignment.publishers.len()],
        rollovers: Vec::new(),
        lens: Vec::new(),
        runs: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        totals: Totals::default(),
        link,
    };
    if assignment.uring {
        let (intake, outlet) = (RecvRing::new(&incoming)?, SendRing::new(&outgoing)?);
        write_line(&mut bare.link, &ready)?;
        bare.run(assignment.gather, intake, outlet)
    } else {
        let epoll = Epoll::new(&incoming)?;
        let batch = RecvBatch::new(RECV_BUFFERS, RECV_BUFFER_BYTES);
        let intake = SyscallIntake { sockets: incoming, epoll, batch, lens: Vec::new() };
        write_line(&mut bare.link, &ready)?;
        bare.run(assignment.gather, intake, SyscallOutlet(outgoing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_lawful_trains() {
        let mut runs = Vec::new();
        find_runs(&[100, 100, 60, 60, 100, 101], &mut runs);
        let expected = [(0, 3, 100), (3, 4, 60), (4, 5, 100), (5, 6, 101)];
        assert_eq!(runs, expected.map(|(from, to, segment_len)| TrainRange { from, to, segment_len }));
        find_runs(&[1_228; 60], &mut runs);
        assert_eq!(runs.iter().map(|run| run.to - run.from).collect::<Vec<_>>(), [53, 7]);
    }
}
