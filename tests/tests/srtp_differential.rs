//! SRTP and SRTCP of corecast-core against `webrtc-srtp`, both ways, byte for byte, over wraps of the sequence number.

use corecast_core::srtp::{OpenError, Opener, Replay, ReplayWindow, Sealer};
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

const SUITES: [(SrtpCryptoSuite, ProtectionProfile, usize); 4] = [
    (SrtpCryptoSuite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm, 16),
    (SrtpCryptoSuite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm, 32),
    (SrtpCryptoSuite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80, 16),
    (SrtpCryptoSuite::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha1_32, 16),
];
const SSRC: u32 = 0xfeed_beef;

/// Numbers that only look random: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Out of order by less than `block`, a twentieth lost, a twentieth twice.
    fn disturb<T: Clone>(&mut self, items: &[T], block: usize) -> Vec<T> {
        let mut disturbed = Vec::new();
        for block in items.chunks(block) {
            let mut block: Vec<T> = block.iter().filter(|_| self.below(20) > 0).cloned().collect();
            for at in (1..block.len()).rev() {
                block.swap(at, self.below(at as u64 + 1) as usize);
            }
            for item in block {
                disturbed.push(item.clone());
                if self.below(20) == 0 {
                    disturbed.push(item);
                }
            }
        }
        disturbed
    }
}

fn ends(seed: u64, at: usize) -> (Sealer, Opener, Context, Context) {
    let (suite, profile, key_len) = SUITES[at];
    let key_and_salt = Random(seed).bytes(suite.key_and_salt_len());
    let (key, salt) = key_and_salt.split_at(key_len);
    let context = || {
        let windows = (srtp_replay_protection(2_048), srtcp_replay_protection(2_048));
        Context::new(key, salt, profile, Some(windows.0), Some(windows.1)).unwrap()
    };
    let (theirs_out, theirs_in) = (context(), context());
    let parameters = SrtpParameters { suite, key_and_salt };
    (Sealer::new(&parameters).unwrap(), Opener::new(&parameters).unwrap(), theirs_out, theirs_in)
}

/// A packet and the length of its header: contributing sources and an extension come and go.
fn rtp(random: &mut Random, index: u64) -> (Vec<u8>, usize) {
    let csrcs = random.below(4) as u8;
    let extension = random.below(2) as u8;
    let mut packet = vec![0x80 | extension << 4 | csrcs, 96 | (random.below(2) as u8) << 7];
    packet.extend((index as u16).to_be_bytes());
    packet.extend((random.next() as u32).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend(random.bytes(usize::from(csrcs) * 4));
    if extension == 1 {
        packet.extend([0xbe, 0xde, 0, 1, 0x12]);
        packet.extend(random.bytes(3));
    }
    let header_len = packet.len();
    let payload_len = random.below(200) as usize;
    packet.extend(random.bytes(payload_len));
    (packet, header_len)
}

fn seal(sealer: &Sealer, index: u64, plain: &[u8], header_len: usize) -> Vec<u8> {
    let mut packet = plain[..header_len].to_vec();
    packet.resize(plain.len() + sealer.rtp_overhead(), 0);
    sealer.seal_rtp(SSRC, index, &mut packet, header_len, &plain[header_len..]).unwrap();
    packet
}

/// Index, plain packet, its header's length, sealed packet: a stream with jumps, over many wraps.
fn stream(random: &mut Random, sealer: &Sealer, theirs: &mut Context) -> Vec<(u64, Vec<u8>, usize, Vec<u8>)> {
    let mut index = random.below(1 << 15);
    (0..10_000)
        .map(|_| {
            index += 1 + if random.below(100) == 0 { random.below(10_000) } else { random.below(3) };
            let (plain, header_len) = rtp(random, index);
            let sealed = seal(sealer, index, &plain, header_len);
            assert_eq!(sealed, theirs.encrypt_rtp(&plain).unwrap(), "index {index:#x}");
            (index, plain, header_len, sealed)
        })
        .collect()
}

/// Both ends seal the same bytes; each opens them however the network left them, and none twice.
#[test]
fn rtp_is_the_same_both_ways_over_wraps_loss_and_reordering() {
    for at in 0..SUITES.len() {
        let seed = 40 + at as u64;
        let mut random = Random(seed);
        let (sealer, opener, mut theirs_out, mut theirs_in) = ends(seed, at);
        let packets = stream(&mut random, &sealer, &mut theirs_out);
        let wraps = packets.last().unwrap().0 >> 16;
        assert!(wraps >= 5, "only {wraps} wraps");

        let mut window = ReplayWindow::default();
        // The first one in order: what comes first sets the rollover counter.
        let mut arriving = packets[..1].to_vec();
        arriving.extend(random.disturb(&packets[1..], 24));
        let mut opened = 0;
        for (index, plain, header_len, sealed) in &arriving {
            let guessed = window.guess(*index as u16);
            assert_eq!(guessed, *index, "seed {seed}");
            let mut out = [0; 256];
            match window.check(guessed) {
                Ok(()) => {
                    let (header, body) = sealed.split_at(*header_len);
                    let len = opener.open_rtp(SSRC, guessed, header, body, &mut out).unwrap();
                    assert_eq!(out[..len], plain[*header_len..]);
                    window.accept(guessed);
                    opened += 1;
                    let theirs = theirs_in.decrypt_rtp(sealed);
                    assert_eq!(theirs.as_deref(), Ok(plain.as_slice()), "seed {seed}, index {index:#x}");
                }
                Err(Replay::Seen) => assert!(theirs_in.decrypt_rtp(sealed).is_err(), "seed {seed}, index {index:#x}"),
                // A jump overtook it.
                Err(Replay::TooOld) => {}
            }
        }
        assert!(opened > 8_500, "seed {seed}: only {opened} opened");
    }
}

/// Seven SSRCs: theirs counts per SSRC, ours for the session, so bytes are compared for one SSRC only.
#[test]
fn rtcp_opens_both_ways() {
    for at in 0..SUITES.len() {
        let seed = 50 + at as u64;
        let mut random = Random(seed);
        let (mut sealer, mut opener, mut theirs_out, mut theirs_in) = ends(seed, at);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..2_000 {
            let words = 1 + random.below(30) as u16;
            let mut plain = vec![0x80, 200];
            plain.extend(words.to_be_bytes());
            plain.extend((random.below(7) as u32).to_be_bytes());
            plain.extend(random.bytes(usize::from(words - 1) * 4));
            let mut buffer = plain.clone();
            buffer.resize(plain.len() + sealer.rtcp_overhead(), 0);
            let len = sealer.seal_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(len, buffer.len());
            theirs.push((plain.clone(), theirs_out.encrypt_rtcp(&plain).unwrap().to_vec()));
            ours.push((plain, buffer));
        }
        for (plain, sealed) in random.disturb(&theirs, 16) {
            let mut out = [0; 256];
            match opener.open_rtcp(&sealed, &mut out) {
                Ok(len) => assert_eq!(out[..len], plain),
                Err(error) => assert_eq!(error, OpenError::Replay(Replay::Seen), "seed {seed}"),
            }
            assert_eq!(opener.open_rtcp(&sealed, &mut out), Err(OpenError::Replay(Replay::Seen)));
        }
        for (plain, sealed) in random.disturb(&ours, 16) {
            if let Ok(opened) = theirs_in.decrypt_rtcp(&sealed) {
                assert_eq!(opened, plain);
            }
            assert!(theirs_in.decrypt_rtcp(&sealed).is_err(), "opened twice");
        }
    }
}

#[test]
fn rtcp_of_one_ssrc_is_sealed_to_the_same_bytes() {
    for at in 0..SUITES.len() {
        let (mut sealer, _, mut theirs, _) = ends(60, at);
        // Theirs counts before it seals, so its first index is 1; RFC 3711 section 3.4 starts at 0.
        sealer.skip_to_rtcp_index(1);
        for words in 1..100_u16 {
            let mut plain = vec![0x81, 201];
            plain.extend(words.to_be_bytes());
            plain.resize(usize::from(words) * 4 + 4, 0x5a);
            let mut buffer = plain.clone();
            buffer.resize(plain.len() + sealer.rtcp_overhead(), 0);
            sealer.seal_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(buffer, theirs.encrypt_rtcp(&plain).unwrap());
        }
    }
}

/// One bit turned, in whatever place, and neither opens it.
#[test]
fn both_refuse_a_forged_packet() {
    for at in 0..SUITES.len() {
        let (sealer, opener, _, mut theirs) = ends(70, at);
        let (plain, header_len) = rtp(&mut Random(9), 77);
        let sealed = seal(&sealer, 77, &plain, header_len);
        for bit in header_len * 8..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let (header, body) = forged.split_at(header_len);
            assert_eq!(opener.open_rtp(SSRC, 77, header, body, &mut [0; 256]), Err(OpenError::AuthenticationFailed));
            assert!(theirs.decrypt_rtp(&forged).is_err());
        }
        assert_eq!(theirs.decrypt_rtp(&sealed).as_deref(), Ok(plain.as_slice()));
    }
}
