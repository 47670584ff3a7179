//! Participants with keys that misbehave, and what the machine makes of what they send.

use std::collections::BTreeSet;
use std::time::Duration;

use corecast_core::rtp::RtpView;
use corecast_core::srtp::ReplayWindow;
use corecast_tests::bare::BarePeer;
use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, ConsumerId, Discard, DtlsVersions, EncodingMapping, MediaKind,
    PayloadTypeMapping, ProduceOptions, ProducerId, RouterId, RtxOptions, TransportId,
};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

/// The room of the honest participants.
pub(crate) const ROOM: RouterId = RouterId(1);
/// Payload type of media and of its retransmissions.
pub(crate) const MEDIA: u8 = 96;
pub(crate) const RTX: u8 = 97;

/// Media of one or two encodings: VP8 with retransmission if `video`, else a sound codec.
pub(crate) fn produce(video: bool, encodings: Vec<EncodingMapping>) -> ProduceOptions {
    let mapping = |payload_type, mapped_payload_type, codec| CodecMapping {
        payload_type,
        mapped_payload_type,
        codec,
        clock_rate_hz: 90_000,
    };
    let codecs = if video {
        vec![mapping(MEDIA, 100, Codec::Vp8), mapping(RTX, 101, Codec::Rtx { apt: MEDIA })]
    } else {
        vec![mapping(MEDIA, 100, Codec::Other)]
    };
    ProduceOptions {
        pli: video,
        ..ProduceOptions::new(if video { MediaKind::Video } else { MediaKind::Audio }, codecs, encodings)
    }
}

/// Options of a producer with an announced SSRC, and the next SSRC for retransmissions of video.
pub(crate) fn announced(video: bool, ssrc: u32) -> ProduceOptions {
    let rtx_ssrc = video.then_some(ssrc + 1);
    produce(video, vec![EncodingMapping { ssrc: Some(ssrc), rtx_ssrc, rid: None }])
}

pub(crate) fn consume(ssrc: u32, nack: bool) -> ConsumeOptions {
    ConsumeOptions {
        rtx: nack.then(|| RtxOptions { ssrc: ssrc + 1, payload_types: vec![(100, RTX)], first_sequence: 5 }),
        nack,
        first_sequence: 7,
        ..ConsumeOptions::new(ssrc, vec![PayloadTypeMapping { router: 100, receiver: MEDIA }], "one".to_owned())
    }
}

/// A viewer who opens what he gets with the crate `webrtc-srtp`, which makes its own guess of the rollover counter.
pub(crate) struct Viewer {
    pub(crate) peer: BarePeer,
    context: Context,
}

impl Viewer {
    pub(crate) fn new(peer: BarePeer) -> Self {
        let (_, key) = peer.keys.as_ref().expect("connected");
        let (key, salt) = key.key_and_salt.split_at(32);
        let context = Context::new(key, salt, ProtectionProfile::AeadAes256Gcm, None, None).expect("a context");
        Self { peer, context }
    }

    /// (SSRC, sequence number, payload) of the RTP that has come since the last time.
    pub(crate) fn watch(&mut self, bench: &mut Bench) -> Vec<(u32, u16, Vec<u8>)> {
        let _ = self.peer.arrived(bench);
        let is_rtp = |datagram: &Vec<u8>| !(192..=223).contains(&datagram[1]);
        let rtp: Vec<_> = std::mem::take(&mut self.peer.media).into_iter().filter(is_rtp).collect();
        let open = |datagram: &Vec<u8>| {
            let opened = self.context.decrypt_rtp(datagram).expect("in step");
            let view = RtpView::parse(&opened).expect("RTP");
            (view.ssrc(), view.sequence(), view.body().to_vec())
        };
        rtp.iter().map(open).collect()
    }
}

/// 1 publishes SSRC 42 and 2 watches it as 4242; both are ours.
pub(crate) struct Pair {
    pub(crate) bench: Bench,
    pub(crate) publisher: BarePeer,
    pub(crate) viewer: Viewer,
}

impl Pair {
    pub(crate) fn new(video: bool) -> Self {
        Self::on(Bench::new(DtlsVersions::V12), video)
    }

    /// On a machine that is as nobody else knows it.
    pub(crate) fn on(mut bench: Bench, video: bool) -> Self {
        let publisher = BarePeer::join(&mut bench, ROOM, 1);
        let viewer = Viewer::new(BarePeer::join(&mut bench, ROOM, 2));
        let mut pair = Self { bench, publisher, viewer };
        pair.produce(1, 1, announced(video, 42));
        pair.consume(2, 1, 1, consume(4_242, video));
        pair
    }

    pub(crate) fn produce(&mut self, transport: u64, producer: u64, options: ProduceOptions) {
        let (transport, producer) = (TransportId(transport), ProducerId(producer));
        self.bench.must(&Command::Produce { transport, producer, options });
    }

    pub(crate) fn consume(&mut self, transport: u64, consumer: u64, producer: u64, options: ConsumeOptions) {
        let (transport, consumer, producer) = (TransportId(transport), ConsumerId(consumer), ProducerId(producer));
        self.bench.must(&Command::Consume { transport, consumer, producer, options });
    }

    pub(crate) fn discarded(&self, why: Discard) -> u64 {
        self.bench.worker.totals().discards.get(why)
    }

    /// Takes in a datagram of the publisher and forwards what comes of it.
    pub(crate) fn publish(&mut self, datagram: &[u8]) {
        self.bench.inject(self.publisher.address, datagram);
        self.bench.skip(Duration::ZERO);
    }

    /// A packet of the announced stream.
    pub(crate) fn media(&self, index: u64, payload: &[u8]) -> Vec<u8> {
        self.publisher.rtp(42, MEDIA, index, payload)
    }

    pub(crate) fn watched(&mut self) -> Vec<(u32, u16, Vec<u8>)> {
        self.viewer.watch(&mut self.bench)
    }

    /// An hour, in which both go on checking.
    pub(crate) fn an_hour(&mut self) {
        for _ in 0..180 {
            self.bench.skip(Duration::from_secs(20));
            self.publisher.check(&mut self.bench);
            self.viewer.peer.check(&mut self.bench);
            let _ = self.publisher.arrived(&mut self.bench);
            let _ = self.viewer.peer.arrived(&mut self.bench);
        }
    }
}

/// Every index at most once.
pub(crate) fn assert_once(window: &mut ReplayWindow, seen: &mut BTreeSet<u64>, sequence: u16) {
    let index = window.guess(sequence);
    window.accept(index);
    assert!(seen.insert(index), "{index} twice");
}
