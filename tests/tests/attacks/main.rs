//! Known attacks on a WebRTC server, played to the real machine: strangers with no credentials, strangers with forged
//! ones, and participants who misbehave. Each test counts what was discarded and why, looks for a single byte that went
//! to the attacker, and then for the media of the honest participants. The names are those of docs/testing.md,
//! "Attacks".

mod amplification;
mod asking;
mod certificates;
mod checks;
mod hellos;
mod hijack;
mod known;
mod media;
mod overload;
mod pair;
mod real;
mod replay;
mod slots;

use std::net::SocketAddr;
use std::time::Duration;

use corecast_tests::webrtc::{Bench, address};
use corecast_wire::{Discard, DtlsState, DtlsVersions, IceState};
use str0m::config::DtlsVersion;

/// Two who are connected, 1 publishing and 2 watching, and how much media they have exchanged.
struct Call {
    bench: Bench,
    sent: u64,
}

impl Call {
    fn new() -> Self {
        let mut bench = Bench::new(DtlsVersions::V12);
        bench.join(1, true, DtlsVersion::Dtls12);
        bench.join(2, true, DtlsVersion::Dtls12);
        bench.publish_and_watch();
        bench.run(Duration::from_secs(2));
        let mut call = Self { bench, sent: 0 };
        call.media_goes_on();
        call
    }

    /// Ten more packets arrive, each once and in order, and nothing has ever gone anywhere else.
    fn media_goes_on(&mut self) {
        for _ in 0..10 {
            self.bench.send_media(self.sent, &self.sent.to_be_bytes());
            self.sent += 1;
        }
        let expected: Vec<_> = (0..self.sent).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(self.bench.peers[1].received, expected);
        assert_eq!(self.bench.astray, Vec::new(), "not one byte to a stranger");
        for number in [1, 2] {
            let (ice, dtls, _) = self.bench.state_of(number);
            assert_eq!((ice, dtls), (IceState::Completed, DtlsState::Connected), "{number}");
        }
    }

    fn discarded(&self, why: Discard) -> u64 {
        self.bench.worker.totals().discards.get(why)
    }

    /// What the publisher sent last that begins with an RTP header.
    fn captured(&self) -> Vec<Vec<u8>> {
        let is_rtp = |sent: &&Vec<u8>| sent.first() == Some(&0x90) || sent.first() == Some(&0x80);
        let is_media = |sent: &&Vec<u8>| sent.get(1).is_some_and(|second| !(192..=223).contains(second));
        self.bench.peers[0].sent.iter().filter(is_rtp).filter(is_media).cloned().collect()
    }
}

fn stranger(port: u16) -> SocketAddr {
    address(200, port)
}

/// Small and seeded (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }
}
