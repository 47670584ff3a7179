//! Usage of a worker and counters of its objects. All counters count from the object's creation.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    ConsumerId, DataConsumerId, DataConsumerStats, DataProducerId, DataProducerStats, Discards, DtlsState, IceProtocol,
    IceState, MediaKind, ProducerId, RouterId, SrtpCryptoSuite, TransportId,
};

/// Time of a CPU, in nanoseconds since boot, from `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreTime {
    /// Everything but idle and iowait (includes softirq and steal).
    pub busy_ns: u64,
    /// Serving soft interrupts (the kernel's network receive work).
    pub softirq_ns: u64,
    /// Taken away by the hypervisor.
    pub steal_ns: u64,
    /// All states together, the same clock.
    pub total_ns: u64,
}

/// Upper bounds of the buckets of [`Waits`], in microseconds. The last is as long as media waits at most.
pub const WAIT_BOUNDS_US: [u64; 10] = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 300_000, 500_000];

/// How long packets of media waited for their turn in the queues of their transports, since the worker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Packets within each of [`WAIT_BOUNDS_US`] and not within the one before; those above all come last.
    pub counts: [u64; WAIT_BOUNDS_US.len() + 1],
    /// Sum of all, in microseconds.
    pub sum_us: u64,
}

impl Waits {
    /// Adds a packet that has waited for so long.
    pub fn add(&mut self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let bucket = WAIT_BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

/// What a worker has used since it started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// When this was read, in nanoseconds of the monotonic clock since the worker started.
    pub at_ns: u64,
    /// User CPU time of the worker's thread (`RUSAGE_THREAD`), in nanoseconds.
    pub user_ns: u64,
    /// System CPU time of the worker's thread, in nanoseconds.
    pub system_ns: u64,
    /// Voluntary context switches of the worker's thread.
    pub voluntary_switches: u64,
    /// Involuntary context switches of the worker's thread.
    pub involuntary_switches: u64,
    /// Its core's time.
    pub core_time: CoreTime,
    /// Datagrams received.
    pub packets_received: u64,
    /// Their UDP payload, in bytes.
    pub bytes_received: u64,
    /// Datagrams handed to the kernel and accepted by it.
    pub packets_sent: u64,
    /// Their UDP payload, in bytes.
    pub bytes_sent: u64,
    /// Segmented sends (trains) made; `packets_sent / trains_sent` is the mean train length.
    pub trains_sent: u64,
    /// What was lost in our own sockets' receive queues (`SO_RXQ_OVFL`), if known. The kernel counts what it queues:
    /// datagrams that it has merged (`UDP_GRO`) are one.
    pub receive_overflows: u64,
    /// Times that the worker's thread woke up.
    pub wakeups: u64,
    /// Everything that was discarded, by reason.
    pub discards: Discards,
    /// Time from a batch's receipt to the completion of the send of each train made from it, in microseconds: an
    /// hdrhistogram in its V2 serialization, cumulative since start.
    pub latency_us: Vec<u8>,
    /// Waits of the packets that have left after they had to wait: pictures that are paced, and what a new receiver is
    /// sent of the time before it came.
    pub queue_waits: Waits,
    /// Routers alive.
    pub routers: u32,
    /// Transports alive.
    pub transports: u32,
    /// Producers alive.
    pub producers: u32,
    /// Consumers alive.
    pub consumers: u32,
    /// Timers that wait, those included that no longer count when their time comes.
    pub timers: u32,
}

/// An object of a worker: the cursor of a paged dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Object {
    /// A transport.
    Transport(TransportId),
    /// A producer.
    Producer(ProducerId),
    /// A consumer.
    Consumer(ConsumerId),
    /// A data producer.
    DataProducer(DataProducerId),
    /// A data consumer.
    DataConsumer(DataConsumerId),
}

/// Bytes of a transport's RTP packets, headers included, without what SRTP adds to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpBytes {
    /// Media that came.
    pub received: u64,
    /// Retransmissions (RFC 4588) that came.
    pub rtx_received: u64,
    /// Media that was sent for the first time.
    pub sent: u64,
    /// Packets that were sent again.
    pub rtx_sent: u64,
    /// Padding that was sent to probe the path.
    pub probation_sent: u64,
}

/// Counters of a transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportStats {
    /// Which one.
    pub transport: TransportId,
    /// Its router.
    pub router: RouterId,
    /// Where we listen.
    pub local: SocketAddr,
    /// Where RTP goes, if known.
    pub remote: Option<SocketAddr>,
    /// Datagrams received on it.
    pub packets_received: u64,
    /// UDP payload of them, in bytes.
    pub bytes_received: u64,
    /// Datagrams sent from it.
    pub packets_sent: u64,
    /// UDP payload of them, in bytes.
    pub bytes_sent: u64,
    /// What of that was RTP.
    pub rtp: RtpBytes,
    /// Datagrams that it discarded on receipt, by reason.
    pub discards: Discards,
    /// The path to its receivers, if they say what it does.
    pub outgoing: Option<OutgoingStats>,
    /// The path from its senders, once something has come of which they are told how it came.
    pub incoming: Option<IncomingStats>,
    /// What only a WebRTC transport has.
    pub webrtc: Option<WebRtcStats>,
}

/// What senders are told of the path from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingStats {
    /// Bits per second of UDP and IP that get through (mediasoup's `availableIncomingBitrate`); `None` of senders that
    /// estimate it themselves.
    pub available_bps: Option<u64>,
    /// Share of packets that these have been told not to have come, in 1/65,536: a mean in which the newest feedback
    /// weighs most.
    pub lost_share: u16,
}

/// What the path to a transport's receivers is taken to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingStats {
    /// Bits per second of UDP and IP; `None` if the receiver says nothing of which that could be estimated
    /// (mediasoup's `availableOutgoingBitrate`).
    pub available_bps: Option<u64>,
    /// Why it is that much.
    pub cause: OutgoingCause,
    /// How long packets wait before the bottleneck, in microseconds.
    pub queue_us: u32,
    /// What its consumers would take if all of it were there, in bits per second.
    pub wanted_bps: u64,
    /// Share of packets that the receiver has said not to have, in 1/65,536: a mean in which the newest feedback of
    /// single packets weighs most.
    pub lost_share: u16,
}

/// What changed an estimate last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutgoingCause {
    /// Nothing: it is the initial one.
    Start,
    /// Nothing spoke against more.
    Increase,
    /// The queue grew.
    Delay,
    /// Packets arrived marked by a congested router.
    Ecn,
    /// More was lost than the path loses by itself.
    Loss,
    /// A probe arrived.
    Probe,
    /// The receiver said so.
    Remb,
    /// Packets left, and nothing was heard of them.
    Silence,
}

/// States of a WebRTC transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebRtcStats {
    /// State of ICE.
    pub ice_state: IceState,
    /// What carries the nominated path.
    pub protocol: Option<IceProtocol>,
    /// State of DTLS.
    pub dtls_state: DtlsState,
    /// SRTP suite, once there are keys.
    pub suite: Option<SrtpCryptoSuite>,
}

/// Counters of one stream of a producer (mediasoup's `inbound-rtp`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStats {
    /// Restriction identifier (RFC 8852), if it has one.
    pub rid: Option<String>,
    /// Rank of its quality among the producer's encodings, the lowest is 0.
    pub spatial: u8,
    /// Whether it sends: it has within the last 5 s, and other encodings have not gone on without it for 1.5 s.
    pub active: bool,
    /// No consumer takes it ([`crate::Event::ProducerLayersUnwanted`]).
    pub unwanted: bool,
    /// Width and height of its newest key frame, where its first packet tells them.
    pub picture: Option<(u16, u16)>,
    /// Spatial layers within it (SVC) that send; 0 if it has not been seen to have several.
    pub spatial_layers: u8,
    /// SSRC, once known.
    pub ssrc: Option<u32>,
    /// RTX SSRC, once known.
    pub rtx_ssrc: Option<u32>,
    /// RTP packets received, retransmissions included.
    pub packet_count: u64,
    /// Their payload, in bytes.
    pub byte_count: u64,
    /// RTP packets that have a payload, in bytes, by spatial layer within the encoding and by temporal layer; what is
    /// above the fourth counts as the fourth. With headers and padding, without what SRTP and retransmission add.
    pub layer_bytes: [[u64; 4]; 4],
    /// Cumulative loss (RFC 3550 section 6.4.1).
    pub packets_lost: i64,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Interarrival jitter, in RTP clock units.
    pub jitter: u32,
    /// Packets that arrived twice.
    pub packets_repeated: u64,
    /// Packets that arrived after a NACK of ours, by RTX or repeated.
    pub packets_repaired: u64,
    /// NACK messages sent to the sender.
    pub nack_count: u64,
    /// Packets asked for in them.
    pub nack_packet_count: u64,
    /// Picture loss indications sent to the sender.
    pub pli_count: u64,
    /// Full intra requests sent to the sender.
    pub fir_count: u64,
    /// Key frames received.
    pub key_frames: u64,
    /// Round trip to the sender, in microseconds, if it can be known (RFC 3611 DLRR).
    pub round_trip_us: Option<u32>,
}

/// Counters of a producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerStats {
    /// Which one.
    pub producer: ProducerId,
    /// Its transport.
    pub transport: TransportId,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Whether it is paused.
    pub paused: bool,
    /// One per encoding, in the order of the producer's encodings.
    pub streams: Vec<StreamStats>,
    /// Others are louder, and only so many are to be heard ([`crate::Command::SetLoudest`]): nobody is sent it.
    pub withheld: bool,
}

/// For how long nothing has come of a producer. Without a value nothing ever came, or there is no such producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Since the last packet of its media, in milliseconds.
    pub media_ms: Option<u32>,
    /// Since the last authenticated packet or check of its transport, in milliseconds. WebRTC transports alone know.
    pub life_ms: Option<u32>,
}

/// Counters of a consumer (mediasoup's `outbound-rtp`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerStats {
    /// Which one.
    pub consumer: ConsumerId,
    /// Its transport.
    pub transport: TransportId,
    /// Its producer.
    pub producer: ProducerId,
    /// Its SSRC.
    pub ssrc: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// The path to its receiver does not carry it, so nothing is sent until it does.
    pub suspended: bool,
    /// Spatial layer that it is to be sent at most, if that can be; the lowest is 0. The rank by quality of an encoding
    /// or, of an only encoding, a layer within it.
    pub preferred_spatial: u8,
    /// Spatial layer that it is sent, of a producer with several.
    pub current_spatial: Option<u8>,
    /// What keeps it from being sent more, of pictures.
    pub limited_by: Option<Limit>,
    /// RTP packets sent, retransmissions not included.
    pub packet_count: u64,
    /// Their payload, in bytes.
    pub byte_count: u64,
    /// The same packets with headers and padding, in bytes, without what SRTP adds.
    pub rtp_byte_count: u64,
    /// Packets retransmitted.
    pub packets_retransmitted: u64,
    /// NACK messages received.
    pub nack_count: u64,
    /// Packets asked for in them.
    pub nack_packet_count: u64,
    /// Picture loss indications received.
    pub pli_count: u64,
    /// Full intra requests received.
    pub fir_count: u64,
    /// Cumulative loss that the receiver reports.
    pub packets_lost: i64,
    /// Loss that the receiver last reported, in 1/256.
    pub fraction_lost: u8,
    /// Jitter that the receiver last reported, in RTP clock units.
    pub jitter: u32,
    /// Round trip, in microseconds, once a receiver report answered a sender report of ours.
    pub round_trip_us: Option<u32>,
    /// What was withheld from it or could not be sent, by reason.
    pub discards: Discards,
}

/// What keeps a consumer of pictures from being sent more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// The path to its receiver.
    Path,
    /// What its receiver has asked for.
    Preference,
    /// What the producer's sender sends.
    Source,
}

/// Counters of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectStats {
    /// Statistics of a transport.
    Transport(TransportStats),
    /// Statistics of a producer.
    Producer(ProducerStats),
    /// Statistics of a consumer.
    Consumer(ConsumerStats),
    /// Statistics of a data producer.
    DataProducer(DataProducerStats),
    /// Statistics of a data consumer.
    DataConsumer(DataConsumerStats),
}

/// One page of a worker's counters; fits a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsPage {
    /// At most 32 objects, in the order of [`Object`]: transports first, each kind in the order of its identifiers.
    pub objects: Vec<ObjectStats>,
    /// Where the next page begins, if there is one.
    pub next: Option<Object>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_falls_into_the_first_bucket_that_holds_it() {
        let mut waits = Waits::default();
        for us in [0, 1_000, 1_001, 500_000, 500_001] {
            waits.add(Duration::from_micros(us));
        }
        assert_eq!(waits, Waits { counts: [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1], sum_us: 1_002_002 });
    }
}
