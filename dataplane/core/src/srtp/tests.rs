//! The RFCs' own vectors, and what must be refused.

use std::sync::atomic::AtomicU64;

use corecast_wire::{SrtpCryptoSuite, SrtpParameters, TransportId};

use super::cipher::Cipher;
use super::{OpenError, Opener, Replay, SealError, Sealer};
use crate::limits::MAX_RTCP_SOURCES_PER_KEY;
use crate::memory::{PLACES, Words};

/// Bytes of a hexadecimal text.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

const SALT: &str = "517569642070726f2071756f";
const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Sealer and opener over the session keys that RFC 7714 gives (it derives none).
fn gcm(key: &str) -> (Sealer, Opener) {
    let cipher = || Cipher::gcm(&hex(key), hex(SALT).try_into().unwrap()).unwrap();
    (Sealer::with_ciphers(cipher(), cipher()), Opener::with_ciphers(cipher(), cipher()))
}

/// RFC 7714 sections 16.1.1, 16.1.2, 16.2.1 and 16.2.2.
#[test]
fn seals_and_opens_rtp_as_in_rfc_7714() {
    let plain =
        hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465
                     73207472 6573");
    let with_128 = hex("8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
                        51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce");
    let with_256 = hex("8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
                        76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13");
    for (key, expected) in [(KEY_128, with_128), (KEY_256, with_256)] {
        let (sealer, opener) = gcm(key);
        let (header, payload) = plain.split_at(12);
        let mut packet = header.to_vec();
        packet.resize(plain.len() + sealer.rtp_overhead(), 0);
        sealer.seal_rtp(0x5501_a0b2, 0xf17b, &mut packet, 12, payload).unwrap();
        assert_eq!(packet, expected);

        let mut out = [0; 64];
        let len = opener.open_rtp(0x5501_a0b2, 0xf17b, header, &packet[12..], &mut out).unwrap();
        assert_eq!(&out[..len], payload);
    }
}

/// RFC 7714 sections 17.1 and 17.2.
#[test]
fn seals_and_opens_rtcp_as_in_rfc_7714() {
    let plain =
        hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef
                     deadbeef deadbeef");
    let with_128 = hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
                        4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
    let with_256 = hex("81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be
                        8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4");
    for (key, expected) in [(KEY_128, with_128), (KEY_256, with_256)] {
        let (mut sealer, mut opener) = gcm(key);
        sealer.skip_to_rtcp_index(0x5d4);
        let mut packet = plain.clone();
        packet.resize(plain.len() + sealer.rtcp_overhead(), 0);
        let len = sealer.seal_rtcp(&mut packet, plain.len()).unwrap();
        assert_eq!(packet[..len], expected);
        assert_eq!(sealer.next_rtcp_index(), 0x5d5);

        // Section 17's packets that are only authenticated have no E flag: we take none.
        let mut unflagged = packet.clone();
        unflagged[len - 4] &= 0x7f;
        let mut out = [0; 128];
        assert_eq!(opener.open_rtcp(&unflagged, &mut out), Err(OpenError::NotEncrypted));
        let len = opener.open_rtcp(&packet, &mut out).unwrap();
        assert_eq!(out[..len], plain);
    }
}

/// RFC 3711 appendix B.2: the key stream of AES-CM, its first three and last three blocks.
#[test]
fn makes_the_key_stream_of_rfc_3711() {
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap();
    let Cipher::Cm(cipher) = Cipher::cm(&key, &[0; 20], salt, 10).unwrap() else { unreachable!() };
    let mut stream = vec![0; 0xff02 * 16];
    cipher.apply(0, 0, &mut stream).unwrap();
    let first =
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0");
    assert_eq!(stream[..48], first);
    let last =
        hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44");
    assert_eq!(stream[0xfeff * 16..], last);
}

/// Numbers that only look random: SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `bound`, which it excludes.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(super) const SUITES: [SrtpCryptoSuite; 4] = [
    SrtpCryptoSuite::AeadAes128Gcm,
    SrtpCryptoSuite::AeadAes256Gcm,
    SrtpCryptoSuite::AesCm128HmacSha1_80,
    SrtpCryptoSuite::AesCm128HmacSha1_32,
];

fn pair(suite: SrtpCryptoSuite) -> (Sealer, Opener) {
    let key_and_salt = (7..).take(suite.key_and_salt_len()).collect();
    let parameters = SrtpParameters { suite, key_and_salt };
    (Sealer::new(&parameters).unwrap(), Opener::new(&parameters).unwrap())
}

const HEADER: [u8; 12] = [0x80, 96, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5];

fn sealed_rtp(sealer: &Sealer, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = HEADER.to_vec();
    packet.resize(12 + payload.len() + sealer.rtp_overhead(), 0);
    sealer.seal_rtp(5, index, &mut packet, 12, payload).unwrap();
    packet
}

fn sealed_rtcp(sealer: &mut Sealer, ssrc: u32, len: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.resize(len, 0xab);
    packet.resize(len + sealer.rtcp_overhead(), 0);
    let total = sealer.seal_rtcp(&mut packet, len).unwrap();
    assert_eq!(total, packet.len());
    packet
}

/// Every payload length comes back as it went in, the empty one too.
#[test]
fn opens_what_it_sealed() {
    for suite in SUITES {
        let (mut sealer, mut opener) = pair(suite);
        let payload: Vec<u8> = (0..1_500).map(|at| at as u8).collect();
        let mut out = [0; 1_600];
        for len in 0..payload.len() {
            let index = (1 << 48) - 1 - len as u64;
            let packet = sealed_rtp(&sealer, index, &payload[..len]);
            assert_eq!(opener.open_rtp(5, index, &HEADER, &packet[12..], &mut out), Ok(len));
            assert_eq!(out[..len], payload[..len]);
            if len >= 8 {
                let packet = sealed_rtcp(&mut sealer, 5, len);
                assert_eq!(opener.open_rtcp(&packet, &mut out), Ok(len));
                assert_eq!(out[8..len], vec![0xab; len - 8]);
                assert_eq!(out[..8], packet[..8]);
            }
        }
    }
}

/// Whatever is cut off or turned over, in whatever place: refused, and nothing is kept.
#[test]
fn refuses_forged_and_truncated_rtp() {
    for suite in SUITES {
        let (sealer, opener) = pair(suite);
        let packet = sealed_rtp(&sealer, 9, &[0x55; 100]);
        let mut out = [0; 128];
        for len in 0..packet.len() - 12 {
            let expected =
                if len < sealer.rtp_overhead() { OpenError::TooShort } else { OpenError::AuthenticationFailed };
            assert_eq!(opener.open_rtp(5, 9, &HEADER, &packet[12..12 + len], &mut out), Err(expected));
        }
        for bit in 0..packet.len() * 8 {
            let mut forged = packet.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let verdict = opener.open_rtp(5, 9, &forged[..12], &forged[12..], &mut out);
            assert_eq!(verdict, Err(OpenError::AuthenticationFailed), "bit {bit}");
        }
        let body = &packet[12..];
        for (ssrc, index) in [(5, 9 | 1 << 16), (5, 9 | 1 << 47)] {
            assert_eq!(opener.open_rtp(ssrc, index, &HEADER, body, &mut out), Err(OpenError::AuthenticationFailed));
        }
        assert_eq!(opener.open_rtp(5, 1 << 48, &HEADER, body, &mut out), Err(OpenError::IndexOutOfRange));
        assert_eq!(opener.open_rtp(5, 9, &HEADER, body, &mut out[..99]), Err(OpenError::TooLong));
        assert_eq!(opener.open_rtp(5, 9, &HEADER, body, &mut out), Ok(100));
    }
}

#[test]
fn refuses_forged_and_truncated_rtcp() {
    for suite in SUITES {
        let (mut sealer, mut opener) = pair(suite);
        let packet = sealed_rtcp(&mut sealer, 5, 60);
        let mut out = [0; 128];
        for len in 0..packet.len() {
            assert!(opener.open_rtcp(&packet[..len], &mut out).is_err(), "length {len}");
        }
        for bit in 0..packet.len() * 8 {
            let mut forged = packet.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open_rtcp(&forged, &mut out).is_err(), "bit {bit}");
        }
        assert_eq!(opener.rtcp_sources().count(), 0, "a forged packet left something behind");
        assert_eq!(opener.open_rtcp(&packet, &mut out[..59]), Err(OpenError::TooLong));
        assert_eq!(opener.open_rtcp(&packet, &mut out), Ok(60));
        assert_eq!(opener.open_rtcp(&packet, &mut out), Err(OpenError::Replay(Replay::Seen)));
        assert_eq!(opener.rtcp_sources().collect::<Vec<_>>(), [(5, 0)]);
    }
}

/// Random bytes of every length that a datagram has.
#[test]
fn refuses_noise() {
    let mut random = Random(3);
    let mut noise = [0; 2_048];
    let mut out = [0; 2_048];
    for suite in SUITES {
        let (_, mut opener) = pair(suite);
        for len in 0..noise.len() {
            for byte in &mut noise {
                *byte = random.next() as u8;
            }
            assert!(opener.open_rtcp(&noise[..len], &mut out).is_err());
            assert!(
                opener.open_rtp(random.next() as u32, random.next() >> 16, &HEADER, &noise[..len], &mut out).is_err()
            );
        }
        assert_eq!(opener.rtcp_sources().count(), 0);
    }
}

#[test]
fn refuses_buffers_that_do_not_fit() {
    for suite in SUITES {
        let (mut sealer, _) = pair(suite);
        let tag = sealer.rtp_overhead();
        let payload = [1; 100];
        for len in (0..200).filter(|len| *len != 112 + tag) {
            assert_eq!(sealer.seal_rtp(5, 9, &mut vec![0; len], 12, &payload), Err(SealError::Length));
        }
        assert_eq!(sealer.seal_rtp(5, 9, &mut vec![0; 112 + tag], usize::MAX, &payload), Err(SealError::Length));
        let room = 100 + sealer.rtcp_overhead();
        for (len, given) in [(100, room - 1), (0, room), (7, room), (usize::MAX, room), (room, room)] {
            assert_eq!(sealer.seal_rtcp(&mut vec![0; given], len), Err(SealError::Length));
        }
        assert_eq!(sealer.next_rtcp_index(), 0, "a refusal spends no index");
    }
}

/// RFC 3711 section 9.2: 2^48 RTP and 2^31 RTCP packets, and none more.
#[test]
fn stops_when_the_key_is_exhausted() {
    for suite in SUITES {
        let (mut sealer, mut opener) = pair(suite);
        let mut packet = vec![0; 22 + sealer.rtp_overhead()];
        assert_eq!(sealer.seal_rtp(5, (1 << 48) - 1, &mut packet, 12, &[0; 10]), Ok(()));
        assert_eq!(sealer.seal_rtp(5, 1 << 48, &mut packet, 12, &[0; 10]), Err(SealError::KeyExhausted));
        assert_eq!(sealer.seal_rtp(5, u64::MAX, &mut packet, 12, &[0; 10]), Err(SealError::KeyExhausted));

        sealer.skip_to_rtcp_index((1 << 31) - 1);
        sealer.skip_to_rtcp_index(3);
        let last = sealed_rtcp(&mut sealer, 5, 20);
        let mut out = [0; 64];
        assert_eq!(opener.open_rtcp(&last, &mut out), Ok(20));
        assert_eq!(opener.rtcp_sources().collect::<Vec<_>>(), [(5, (1 << 31) - 1)]);
        assert_eq!(sealer.seal_rtcp(&mut [0; 64], 20), Err(SealError::KeyExhausted));
        sealer.skip_to_rtcp_index(u32::MAX);
        assert_eq!(sealer.seal_rtcp(&mut [0; 64], 20), Err(SealError::KeyExhausted));
    }
}

/// Places for words, which stay.
fn places() -> Option<&'static [AtomicU64]> {
    Some(Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect()))
}

#[test]
fn rtcp_sources_have_a_maximum_and_survive_a_restart() {
    let (mut sealer, mut opener) = pair(SrtpCryptoSuite::AeadAes128Gcm);
    let mut out = [0; 64];
    let packets: Vec<_> =
        (0..MAX_RTCP_SOURCES_PER_KEY as u32 + 1).map(|ssrc| sealed_rtcp(&mut sealer, ssrc, 20)).collect();
    let (one_more, first) = packets.split_last().unwrap();
    let block = places().unwrap();
    let mut given = Some(block);
    let mut words = Words::new(move || given.take());
    for packet in first {
        assert_eq!(opener.open_rtcp(packet, &mut out), Ok(20));
        opener.keep_newest(&mut words, TransportId(7));
    }
    assert_eq!(opener.open_rtcp(one_more, &mut out), Err(OpenError::TooManySources));

    let (_, mut restored) = pair(SrtpCryptoSuite::AeadAes128Gcm);
    restored.follow(&mut Words::new(places).following([block]), TransportId(9));
    assert_eq!(restored.rtcp_sources().count(), 0, "another transport's");
    restored.follow(&mut Words::new(places).following([block]), TransportId(7));
    assert_eq!(restored.open_rtcp(one_more, &mut out), Err(OpenError::TooManySources));
    for packet in first {
        assert_eq!(restored.open_rtcp(packet, &mut out), Err(OpenError::Replay(Replay::Seen)));
    }
    assert_eq!(restored.open_rtcp(&sealed_rtcp(&mut sealer, 3, 20), &mut out), Ok(20));
}
