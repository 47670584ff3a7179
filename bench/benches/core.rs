//! What one packet costs, step by step, ours beside the independent crates.
//!
//! `cargo bench -p corecast-bench --bench core -- seal` runs one group. Groups: `seal`, `open`.

use std::hint::black_box;

use corecast_core::srtp::{Opener, Sealer};
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

const HEADER_BYTES: usize = 12;
const SSRC: u32 = 0x1234_5678;
/// Lengths of packets before sealing: of voice, and of video.
const PACKET_BYTES: [usize; 2] = [120, 1_200];
const SUITES: [(SrtpCryptoSuite, ProtectionProfile, usize); 3] = [
    (SrtpCryptoSuite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm, 16),
    (SrtpCryptoSuite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm, 32),
    (SrtpCryptoSuite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80, 16),
];

fn parameters(suite: SrtpCryptoSuite) -> SrtpParameters {
    SrtpParameters { suite, key_and_salt: (1..).take(suite.key_and_salt_len()).collect() }
}

/// The independent implementation under the same key. Without replay protection: it decrypts one packet over and over.
fn theirs(suite: SrtpCryptoSuite, profile: ProtectionProfile, key_len: usize) -> Context {
    let parameters = parameters(suite);
    let (key, salt) = parameters.key_and_salt.split_at(key_len);
    Context::new(key, salt, profile, None, None).unwrap()
}

/// A plain packet: header and payload.
fn packet(len: usize, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(1_000_u32.to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend((0..len - HEADER_BYTES).map(|at| (at % 251) as u8));
    packet
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for len in PACKET_BYTES {
        group.throughput(Throughput::Elements(1));
        let plain = packet(len, 1);
        for (suite, profile, key_len) in SUITES {
            let sealer = Sealer::new(&parameters(suite)).unwrap();
            let mut out = plain.clone();
            out.resize(len + sealer.rtp_overhead(), 0);
            let mut index = 0;
            group.bench_function(BenchmarkId::new(format!("corecast/{}", suite.name()), len), |bencher| {
                bencher.iter(|| {
                    index += 1;
                    sealer.seal_rtp(SSRC, index, &mut out, HEADER_BYTES, black_box(&plain[HEADER_BYTES..])).unwrap();
                    black_box(&out);
                });
            });
            let mut context = theirs(suite, profile, key_len);
            group.bench_function(BenchmarkId::new(format!("webrtc-srtp/{}", suite.name()), len), |bencher| {
                bencher.iter(|| black_box(context.encrypt_rtp(black_box(&plain)).unwrap()));
            });
        }
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for len in PACKET_BYTES {
        group.throughput(Throughput::Elements(1));
        let plain = packet(len, 1);
        for (suite, profile, key_len) in SUITES {
            let sealer = Sealer::new(&parameters(suite)).unwrap();
            let opener = Opener::new(&parameters(suite)).unwrap();
            let mut sealed = plain.clone();
            sealed.resize(len + sealer.rtp_overhead(), 0);
            sealer.seal_rtp(SSRC, 1, &mut sealed, HEADER_BYTES, &plain[HEADER_BYTES..]).unwrap();
            let (header, body) = sealed.split_at(HEADER_BYTES);
            let mut out = vec![0; len];
            group.bench_function(BenchmarkId::new(format!("corecast/{}", suite.name()), len), |bencher| {
                bencher.iter(|| black_box(opener.open_rtp(SSRC, 1, black_box(header), body, &mut out).unwrap()));
            });
            let mut context = theirs(suite, profile, key_len);
            group.bench_function(BenchmarkId::new(format!("webrtc-srtp/{}", suite.name()), len), |bencher| {
                bencher.iter(|| black_box(context.decrypt_rtp(black_box(&sealed)).unwrap()));
            });
        }
    }
    group.finish();
}

// To come: `parse` (RTP header view against `rtp::header::Header::unmarshal`), `rewrite`, `forward`.

criterion_group!(benches, seal, open);
criterion_main!(benches);
