//! Every maximum of the machine, with the assertions that relate them. Those that control has to know as well are in
//! `wire`.

use std::time::Duration;

pub use corecast_wire::{
    MAX_CHANNELS_PER_TRANSPORT, MAX_CNAME_BYTES, MAX_CODECS, MAX_CONSUMER_MID_BYTES, MAX_CONSUMER_PAYLOAD_TYPES,
    MAX_ENCODINGS, MAX_HEADER_EXTENSIONS, MAX_LABEL_BYTES, MAX_MESSAGE_BYTES, MAX_SUBCHANNELS,
};

/// Longest RTP payload that is forwarded, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1_500;
/// Longest payload of redundant sound that is made: with all headers it fits any path.
pub const MAX_MADE_BYTES: usize = 1_100;
/// Room before the payload of a slot, for the original sequence number of RTX (RFC 4588 section 4).
pub const HEADROOM_BYTES: usize = 2;
/// Most padding that may be added to even out the lengths of a train.
pub const MAX_PAD_BYTES: usize = 16;
/// Room in a slot for contributing sources and header extensions.
pub const MAX_HEADER_EXTRA_BYTES: usize = 224;
/// Bytes in the outbox that the longest packet takes, of RTP or RTCP, sealed.
pub const MAX_PACKET_BYTES: usize = 2_048;

/// Most segments in one train. The kernel takes 128; 64 since Linux 4.18.
pub const MAX_TRAIN_SEGMENTS: usize = 64;
/// Most bytes in one train: the largest UDP payload over IPv4.
pub const MAX_TRAIN_BYTES: usize = 65_507;

/// Bytes of the outbox. Stays in a core's second-level cache.
pub const OUTBOX_BYTES: usize = 512 * 1024;
/// Most trains in the outbox.
pub const OUTBOX_TRAINS: usize = 512;
/// Most segments in the outbox.
pub const OUTBOX_SEGMENTS: usize = 2_048;

/// History slots that one chunk of memory holds.
pub const SLOTS_PER_CHUNK: usize = 64;
/// Most history slots of a worker (some 450 MiB).
pub const MAX_SLOTS: usize = 256 * 1024;
/// Packets of history per video stream. A power of two.
pub const VIDEO_HISTORY_PACKETS: usize = 512;
/// Packets of history per audio stream. A power of two.
pub const AUDIO_HISTORY_PACKETS: usize = 64;
/// Packets of history that a video stream that sends has for itself, whatever others hold: more than a batch brings of
/// one stream, and a key frame.
pub const VIDEO_SHARE_PACKETS: usize = 64;
/// The same of an audio stream.
pub const AUDIO_SHARE_PACKETS: usize = 16;
/// The same of a stream of a transport with many of them.
pub const LEAST_SHARE_PACKETS: usize = 4;
/// How long packets are kept beyond a stream's share: no receiver asks for older ones.
pub const HISTORY_AGE: Duration = Duration::from_secs(5);
/// Time without packets after which a stream gives its whole history back.
pub const IDLE_TIME: Duration = Duration::from_secs(10);

/// Longest datagram of a DTLS handshake that we send, in bytes.
pub const DTLS_MTU_BYTES: usize = 1_150;
/// Longest datagram of DTLS that is looked at: it is within a path's MTU (RFC 6347 section 4.1.1).
pub const MAX_DTLS_BYTES: usize = 1_500;
/// Records of one datagram that are looked at.
pub const MAX_RECORDS_PER_DATAGRAM: usize = 8;
/// Longest message of a handshake, in bytes.
pub const MAX_HANDSHAKE_MESSAGE_BYTES: u32 = 64 * 1_024;
/// Messages of one side in a handshake.
pub const MAX_HANDSHAKE_MESSAGES: u16 = 16;
/// Records of one handshake of DTLS 1.2 that wait for those before them. In the library each takes 5 KB and what is in
/// it; all of a handshake, 64 KiB. An honest flight has fewer.
pub const MAX_QUEUED_RECORDS_12: usize = 9;
/// The same where 1.3 is spoken: flights have fewer records, which take 9 KB each.
pub const MAX_QUEUED_RECORDS_13: usize = 5;
/// Records in which a hello may come.
pub const MAX_HELLO_RECORDS: u8 = 4;
/// Times that one handshake begins again as soon as it has to.
pub const MAX_HANDSHAKE_RESTARTS: u8 = 20;
/// Least time from one such beginning to the next after that.
pub const HANDSHAKE_RESTART_INTERVAL: Duration = Duration::from_millis(100);
/// Time for a handshake, from its first datagram.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes of a worker at a time.
pub const MAX_HANDSHAKES: usize = 200;
/// Handshakes with one address, or one /64 of IPv6, at a time.
pub const MAX_HANDSHAKES_PER_ADDRESS: usize = 20;

/// Records of application data that one key of DTLS 1.2 protects. The library draws their explicit nonces of 64 bits at
/// random, so that two of so many are the same with a probability of 2^-21.
pub const MAX_DATA_RECORDS_12: u32 = 1 << 22;
/// Longest SCTP packet that we send, in bytes: libwebrtc's, which takes 1,191 and rounds down to whole words.
pub const SCTP_MTU_BYTES: usize = 1_188;
/// SCTP associations of a worker: their windows together are bounded by it.
pub const MAX_ASSOCIATIONS: usize = 4_096;
/// Part of what a path carries that data may take while its receiver wants pictures, in percent.
pub const DATA_SHARE_PERCENT: u64 = 30;
/// Packets of data channels that leave before the worker looks for media again.
pub const DATA_TURN_PACKETS: usize = 16;
/// Longest time that an SCTP packet waits for its turn while data is held to that share.
pub const MAX_DATA_QUEUE_TIME: Duration = Duration::from_millis(200);
/// Least time from the end of a transport's association to the next one.
pub const ASSOCIATION_INTERVAL: Duration = Duration::from_secs(1);
/// Data consumers of a transport: a publisher has one for each viewer that sends to it.
pub const MAX_DATA_CONSUMERS_PER_TRANSPORT: usize = 4_096;
/// Data consumers of a worker.
pub const MAX_DATA_CONSUMERS: usize = 50_000;

/// Producers of a pipe between two routers, which carries what whole rooms send.
pub const MAX_PRODUCERS_PER_PIPE: usize = 1_024;
/// SSRCs from which they receive, retransmissions included.
pub const MAX_SSRCS_PER_PIPE: usize = 4_096;
/// SSRCs of a transport's closed producers that are remembered.
pub const MAX_LEFT_SSRCS: usize = 64;
/// Longest MID or RID of a producer, in bytes: that of the two-byte form (RFC 8285 section 4.3).
pub const MAX_NAME_BYTES: usize = 255;
/// Filters of a stream's consumers of which it counts what they withhold.
pub const MAX_FILTERS: usize = 16;
/// SSRCs from which one key may receive RTCP: senders of a transport, repaired streams and the receiver's own.
pub const MAX_RTCP_SOURCES_PER_KEY: usize = 64;
/// Events that wait to be polled; beyond that those are dropped that say nothing which stays true. Timers stop before
/// that and leave room for those of datagrams and commands, which a turn bounds.
pub const MAX_EVENTS: usize = 4_096;
/// Events for which the queue keeps room while it is empty.
pub const KEPT_EVENTS: usize = 256;
/// Observers of sound of a worker.
pub const MAX_OBSERVERS: usize = 20_000;
/// Producers to which one of them listens.
pub const MAX_OBSERVED_PRODUCERS: usize = 4_096;
/// Observers that listen to one producer.
pub const MAX_OBSERVERS_PER_PRODUCER: usize = 8;
/// Layer-change events per producer and tick; the rest wait for the next tick.
pub const MAX_LAYER_EVENTS: usize = 1_024;
/// Objects on one page of statistics: media waits while a page is made, and has its turn before the next.
pub const STATS_PAGE_OBJECTS: usize = 32;

/// Longest STUN message that is looked at. RFC 8489 section 6.1 keeps them within a path's MTU; every byte of one may
/// be hashed before it turns out to be forged.
pub const MAX_STUN_BYTES: usize = 1_500;
/// Longest STUN message that we write: an error response with all its unknown attributes takes 100 bytes.
pub const MAX_STUN_ANSWER_BYTES: usize = 128;
/// Attributes that one answer says we do not know.
pub const MAX_UNKNOWN_ATTRIBUTES: usize = 8;
/// Paths of a transport that checks have validated (mediasoup: 8).
pub const MAX_TUPLES: usize = 8;

/// Missing packets that a stream keeps asking for (mediasoup: 1,000).
pub const MAX_MISSING: usize = 1_000;
/// Times that one missing packet is asked for (mediasoup: 10).
pub const MAX_NACK_TRIES: u8 = 10;
/// Packets by which a missing one may be behind (mediasoup: 10,000), bounded by history.
pub const MAX_NACK_AGE: u64 = 1_000;
/// Interval of the NACK timer (mediasoup: 40 ms).
pub const NACK_INTERVAL: Duration = Duration::from_millis(40);
/// Times that one packet is retransmitted to one consumer.
pub const MAX_RETRANSMITS: u8 = 10;
/// Recent retransmissions that a consumer remembers. A power of two.
pub const RETRANSMIT_MEMORY: usize = 256;
/// Packets retransmitted for one NACK message.
pub const MAX_RETRANSMITS_PER_NACK: usize = 64;
/// Interval of REMB (mediasoup: 1.5 s).
pub const REMB_INTERVAL: Duration = Duration::from_millis(1_000);
/// Arrival window of transport-wide feedback, in packets: 100 ms at 100 Mbit/s. A power of two.
pub const TRANSPORT_CC_WINDOW: usize = 1_024;
/// Trains of packets to one receiver about which its feedback can say something: some seconds.
pub const MAX_SENT_TRAINS: usize = 512;
/// Packets to one receiver that its feedback can name by SSRC and sequence number (RFC 8888): two seconds at 10 Mbit/s.
pub const MAX_SENT_NAMES: usize = 2_048;
/// Packets about which one feedback can say something: the rest is passed over.
pub const MAX_FEEDBACK_STATUSES: usize = 4_096;
/// Time after which a receiver may send one more feedback about what came, and how many at once. libwebrtc sends 10 to
/// 20 a second.
pub const FEEDBACK_INTERVAL: Duration = Duration::from_millis(10);
/// See [`FEEDBACK_INTERVAL`].
pub const FEEDBACKS_AT_ONCE: u32 = 50;
/// Time after which what a receiver is sent is looked at again, at the earliest.
pub const ALLOCATION_INTERVAL: Duration = Duration::from_millis(200);
/// Consumers of a transport that are looked at together whenever one of them changes; if there are more, then not
/// sooner after the last time than [`CROWD_INTERVAL`] for each so many, nor later than [`ALLOCATION_INTERVAL`].
pub const CROWD: usize = 64;
/// See [`CROWD`].
pub const CROWD_INTERVAL: Duration = Duration::from_millis(1);
/// What is remembered of a path and of what was decided for it: two minutes and more.
pub const MAX_DECISIONS: usize = 160;
/// What a path is taken to carry before its receiver has said anything, in bits per second, unless control says so.
pub const INITIAL_OUTGOING_BPS: u64 = 1_000_000;
/// What a path is taken to carry at most, unless control says so.
pub const MAX_OUTGOING_BPS: u64 = 200_000_000;
/// Receivers on a transport whose reference times are answered at a time.
pub const MAX_REFERENCE_TIMES: usize = 16;
/// How old the key frame may be from which a new receiver starts: after this time its sender can be asked for the next.
pub const REPLAY_AGE: Duration = Duration::from_millis(500);
/// Packets since that key frame that such a receiver is sent first.
pub const REPLAY_PACKETS: u64 = 256;
/// Times faster than it came at which what a consumer is sent of the time before it joined leaves.
pub const REPLAY_SPEED: u64 = 3;
/// Least rate at which it leaves, in bits per second.
pub const REPLAY_MIN_BPS: u64 = 4_000_000;
/// A replay's rate is reckoned as if its packets had come in this time at least: a key frame comes as fast as its
/// sender's pacer lets it, which says little of the stream.
pub const REPLAY_SPAN: Duration = Duration::from_millis(150);
/// Packets of a transport that wait to be sealed.
pub const MAX_QUEUED_PACKETS: usize = 8_192;
/// Longest time that a packet waits to be sealed: media that is older is of no use.
pub const MAX_QUEUE_TIME: Duration = Duration::from_millis(500);
/// Time from a request for a key frame that was answered to the next one to the same producer. Chromium passes over for
/// good what comes within 300 ms of one that it answered.
pub const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);
/// Time after which a request that was not answered is repeated.
pub const KEY_FRAME_RETRY: Duration = Duration::from_millis(400);
/// Key frames that a receiver may cause at once by asking for them, and all of a producer's receivers together that ask
/// often.
pub const KEY_FRAMES_AT_ONCE: u32 = 6;
/// Time after which it, or they, may cause one more.
pub const KEY_FRAME_RATION: Duration = Duration::from_secs(4);
/// A receiver that has caused none for so long does not ask often.
pub const KEY_FRAMES_SELDOM: Duration = Duration::from_secs(20);
/// Packets for which a receiver may ask in vain at once.
pub const VAIN_REQUESTS_AT_ONCE: u32 = 256;
/// Time after which it may ask for one more in vain.
pub const VAIN_REQUEST_RATION: Duration = Duration::from_millis(10);

const _: () = assert!(VIDEO_HISTORY_PACKETS.is_power_of_two() && AUDIO_HISTORY_PACKETS.is_power_of_two());
const _: () = assert!(RETRANSMIT_MEMORY.is_power_of_two() && TRANSPORT_CC_WINDOW.is_power_of_two());
const _: () = assert!(REPLAY_PACKETS <= VIDEO_HISTORY_PACKETS as u64);
const _: () = assert!(MAX_QUEUED_PACKETS / 2 >= 16 * REPLAY_PACKETS as usize, "a meeting of some twenty can be joined");
const _: () = assert!(MAX_QUEUED_PACKETS <= u16::MAX as usize, "a consumer counts its own");
const _: () = assert!(DTLS_MTU_BYTES <= MAX_DTLS_BYTES, "what we send finds room where what we receive does");
const _: () = assert!(SCTP_MTU_BYTES + 13 + 8 + 16 + 8 + 40 <= 1_280, "a record by UDP fits the least MTU of IPv6");
const _: () = assert!(OUTBOX_SEGMENTS >= OUTBOX_TRAINS);
const _: () = {
    // A consumer's own extensions are 28 bytes, the two-byte form takes one more for each that is passed on, and a
    // dependency descriptor 5 more to say what a receiver of some layers can decode.
    let header = 12 + MAX_HEADER_EXTRA_BYTES + 64;
    let (payload, tag) = (HEADROOM_BYTES + MAX_PAYLOAD_BYTES + MAX_PAD_BYTES, 16);
    assert!(header + payload + tag <= MAX_PACKET_BYTES, "a packet for which there is room can be sealed");
};
const _: () = assert!(OUTBOX_BYTES >= 4 * MAX_TRAIN_BYTES, "a full train never waits for itself");
const _: () = assert!(MAX_LAYER_EVENTS * 2 <= MAX_EVENTS, "one producer's ticks leave room for other events");
const _: () = assert!(VIDEO_SHARE_PACKETS <= VIDEO_HISTORY_PACKETS && AUDIO_SHARE_PACKETS <= AUDIO_HISTORY_PACKETS);
const _: () = assert!(LEAST_SHARE_PACKETS > 0 && LEAST_SHARE_PACKETS <= AUDIO_SHARE_PACKETS);
const _: () = assert!(MAX_SLOTS.is_multiple_of(SLOTS_PER_CHUNK));
const _: () = assert!(MAX_PAD_BYTES < 256, "RTP padding is counted in one byte (RFC 3550 section 5.1)");
