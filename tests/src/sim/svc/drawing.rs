//! Runs of a room in which a WebRTC participant sends layers within one encoding to others on narrow links.

use corecast_wire::{Codec, DtlsVersions, HeaderExtension, MediaKind};

use super::Svc;
use crate::sim::link::LinkModel;
use crate::sim::numbers::MS;
use crate::sim::random::Random;
use crate::sim::scenario::{PeerPlan, Plan, SourcePlan};

impl Plan {
    /// One sender of layers, VP9 or AV1, and up to three who watch it over links that may be narrow and lose packets,
    /// and who change their minds.
    #[must_use]
    pub fn draw_svc(random: &mut Random) -> Self {
        // Layers are entered when they have been steady for two seconds.
        let chaos_ns = random.range(3_000..=7_000) * MS;
        let versions = random.pick(&[DtlsVersions::V12, DtlsVersions::V13, DtlsVersions::Both]);
        let count = random.range(2..=4);
        let mut peers: Vec<_> = (0..count).map(|at| PeerPlan::draw(random, at, 1, chaos_ns, false)).collect();
        for (at, peer) in peers.iter_mut().enumerate() {
            peer.sources.clear();
            peer.subscribes = at > 0;
            (peer.join_ns, peer.extensions) = (peer.join_ns / 2, true);
            peer.make_webrtc(random, versions, chaos_ns);
            let webrtc = peer.webrtc.as_mut().expect("just made");
            for known in [HeaderExtension::TransportCc, HeaderExtension::DependencyDescriptor] {
                let free = (1..=14).find(|id| webrtc.extensions.iter().all(|(_, taken)| taken != id));
                if let Some(id) = free.filter(|_| webrtc.extension(known).is_none()) {
                    webrtc.extensions.push((known, id));
                }
            }
            if at > 0 && random.percent(60) {
                let rate_bps = random.range(150_000..=1_500_000);
                let queue_bytes = rate_bps / 8 * random.range(50..=300) / 1_000;
                peer.down = LinkModel { rate_bps, queue_bytes: queue_bytes.max(6_000), ..peer.down };
            }
        }
        (peers[0].leave_ns, peers[0].join_ns) = (None, 0);
        let mut source = SourcePlan::draw(random, MediaKind::Video, 0);
        source.adapt_to_str0m(0, peers[0].webrtc.as_ref().expect("it is one"));
        source.give_layers(random);
        peers[0].sources.push(source);
        let mut plan = Self { routers: 1, peers, webrtc: Some(versions), replicas: 1, ..Self::draw(random) };
        plan.limits_sound = false;
        plan.end_after(chaos_ns);
        plan
    }
}

impl SourcePlan {
    fn give_layers(&mut self, random: &mut Random) {
        self.codec = random.pick(&[Codec::Vp9, Codec::Av1]);
        self.options.codecs[0].codec = self.codec;
        let of = |random: &mut Random| u8::try_from(random.range(1..=3)).expect("few");
        let svc = Svc { spatial: of(random), temporal: of(random), keyed: random.percent(50) };
        self.svc = Some(svc);
        if self.codec != Codec::Av1 {
            let is_other = |extension| extension != HeaderExtension::DependencyDescriptor;
            self.extensions.retain(|one| is_other(one.extension));
            self.options.header_extensions.retain(|one| is_other(one.extension));
        }
        self.max_payload = self.max_payload.max(100);
    }
}
