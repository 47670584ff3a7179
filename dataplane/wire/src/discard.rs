//! Every reason for which a packet may be discarded, each with a name and a counter.

use serde::{Deserialize, Serialize};

macro_rules! discards {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// Why a packet was discarded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Discard {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Discard {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name in logs, `/stats` and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

discards! {
    /// First byte belongs to no protocol that we speak (RFC 7983).
    UnknownProtocol = "unknown_protocol",
    /// STUN, DTLS, ZRTP or TURN on a transport that does not speak it.
    UnexpectedProtocol = "unexpected_protocol",
    /// Shorter than its protocol's smallest packet, or cut off by the kernel.
    TooShort = "too_short",
    /// Payload longer than a history slot, or a truncated receive.
    TooLong = "too_long",
    /// Arrived on an endpoint whose transport has gone.
    NoTransport = "no_transport",
    /// Came from an address that is not the transport's remote side.
    WrongRemote = "wrong_remote",
    /// RTP header, extension block or padding that does not fit the packet (RFC 3550, 8285).
    MalformedRtp = "malformed_rtp",
    /// RTCP compound that does not add up (RFC 3550 section 6.1, appendix A.2).
    MalformedRtcp = "malformed_rtcp",
    /// SRTP or SRTCP tag did not verify.
    AuthenticationFailed = "authentication_failed",
    /// SRTP is on and the remote side's key is not known yet.
    NoKey = "no_key",
    /// Seen before (SRTP replay window, or the same sequence number in history).
    Replayed = "replayed",
    /// Came again on its RTX stream though it is in history: the sender probes its path, or repaired too late.
    AlreadyReceived = "already_received",
    /// Older than the replay window or than history.
    TooOld = "too_old",
    /// RTP of an SSRC (or payload type) that belongs to no producer.
    UnknownSsrc = "unknown_ssrc",
    /// RTP of a payload type that its producer did not announce.
    UnknownPayloadType = "unknown_payload_type",
    /// RTX that names no stream, or holds no original sequence number (RFC 4588).
    MalformedRtx = "malformed_rtx",
    /// Redundant audio data whose blocks do not add up, or are of another codec than announced (RFC 2198). Encrypted
    /// from end to end, it looks the same.
    MalformedRed = "malformed_red",
    /// Producer is paused.
    ProducerPaused = "producer_paused",
    /// Others in the room are louder, and only so many are to be heard.
    NotAmongLoudest = "not_among_loudest",
    /// Consumer is paused.
    ConsumerPaused = "consumer_paused",
    /// Consumer waits for a key frame.
    WaitingForKeyFrame = "waiting_for_key_frame",
    /// Consumer's receiver did not negotiate this payload type.
    PayloadTypeNotNegotiated = "payload_type_not_negotiated",
    /// Packet is of a layer that the consumer does not want.
    LayerNotWanted = "layer_not_wanted",
    /// There is no sound in it, and its consumer does without (mediasoup's `ignoreDtx`).
    SilenceNotWanted = "silence_not_wanted",
    /// Has no payload: it probes the path, or keeps it open. Receivers get its successors under its number.
    PaddingOnly = "padding_only",
    /// Packet precedes the point at which the consumer joined or resumed.
    BeforeSync = "before_sync",
    /// Transport has no remote side (or no SRTP key) to send to yet.
    NotConnected = "not_connected",
    /// Left history before a consumer could send it.
    LeftHistory = "left_history",
    /// Waited for its turn to be sent for longer than media is worth, or behind too many others.
    WaitedTooLong = "waited_too_long",
    /// The kernel refused a send (EAGAIN, ENOBUFS, unreachable).
    SendRefused = "send_refused",
    /// The outbox was full (RTCP and retransmissions only; media waits).
    OutboxFull = "outbox_full",
    /// Retransmission asked for a packet that is no longer, or never was, there.
    RetransmitNotFound = "retransmit_not_found",
    /// Retransmission asked for too often (once per round trip, ten times in all), or by who asks for much in vain.
    RetransmitTooOften = "retransmit_too_often",
    /// A receiver asked for more key frames than one may cause.
    KeyFrameTooOften = "key_frame_too_often",
    /// A receiver said more often what it has received than is looked at.
    FeedbackTooOften = "feedback_too_often",
    /// SRTP or SRTCP key has protected as many packets as it may (RFC 3711 section 9.2).
    KeyExhausted = "key_exhausted",
    /// Could not be sealed.
    SealFailed = "seal_failed",
    /// Every history slot of the worker is in use.
    NoHistory = "no_history",
    /// Feedback about a stream that is not the transport's.
    UnknownFeedback = "unknown_feedback",
    /// STUN that does not add up: cookie, lengths, FINGERPRINT (RFC 8489), or that is no Binding request.
    MalformedStun = "malformed_stun",
    /// STUN of a username fragment that no transport has.
    UnknownUsername = "unknown_username",
    /// STUN whose MESSAGE-INTEGRITY is missing or did not verify.
    StunIntegrityFailed = "stun_integrity_failed",
    /// DTLS, RTP or RTCP from an address that no ICE check has validated.
    UnvalidatedPath = "unvalidated_path",
    /// DTLS of a transport whose handshake may not begin, or not with this, or has failed or closed.
    UnexpectedDtls = "unexpected_dtls",
    /// Too many handshakes at a time, of the worker or of one address.
    TooManyHandshakes = "too_many_handshakes",
    /// A training-sized sequence jump of a plain RTP stream; the next packet decides (RFC 3550 appendix A.1).
    SequenceJump = "sequence_jump",
    /// RTP of one more SSRC than a transport may have.
    TooManySsrcs = "too_many_ssrcs",
    /// Media for which the worker was too late: it has more to forward than it can.
    Stale = "stale",
    /// SCTP on a transport without data channels, or beyond the associations that a worker may have.
    UnexpectedSctp = "unexpected_sctp",
    /// A message of no kind that data channels have, or that opens a channel and does not add up (RFC 8831, 8832).
    MalformedMessage = "malformed_message",
    /// A message on a stream that is no data producer's.
    UnknownDataStream = "unknown_data_stream",
    /// A message of a data producer that is paused.
    DataProducerPaused = "data_producer_paused",
    /// A message that a paused data consumer is not sent.
    DataConsumerPaused = "data_consumer_paused",
    /// A message for a data consumer whose receiver is too slow: more may not wait for it, or for the worker's others.
    SendBufferFull = "send_buffer_full",
    /// An SCTP packet that would have waited too long while data is held to its share of what the path carries. SCTP
    /// sends it again, and slows down.
    DataOverShare = "data_over_share",
    /// A message that is longer than a data consumer's receiver takes, or for one whose association is over.
    MessageRefused = "message_refused",
    /// RTP beyond what a transport may send per second.
    OverRate = "over_rate",
    /// A newcomer's, from an address of which two workers in a row have died.
    ShutOut = "shut_out",
}

/// A counter per reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discards(Vec<u64>);

impl Default for Discards {
    fn default() -> Self {
        Self(vec![0; Discard::ALL.len()])
    }
}

impl Discards {
    /// Counts one packet.
    pub fn count(&mut self, why: Discard) {
        self.add(why, 1);
    }

    /// Counts `packets` of them.
    pub fn add(&mut self, why: Discard, packets: u64) {
        if let Some(counter) = self.0.get_mut(why as usize) {
            *counter += packets;
        }
    }

    /// One counter.
    #[must_use]
    pub fn get(&self, why: Discard) -> u64 {
        self.0.get(why as usize).copied().unwrap_or(0)
    }

    /// (name, packets) of every reason that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Discard::ALL
            .iter()
            .zip(&self.0)
            .filter(|(_, packets)| **packets > 0)
            .map(|(why, packets)| (why.name(), *packets))
    }

    /// Sum over all reasons, in packets.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds another set of counters to this one.
    pub fn merge(&mut self, other: &Self) {
        for (why, packets) in Discard::ALL.iter().zip(&other.0) {
            self.add(*why, *packets);
        }
    }
}
