//! The RFCs' own vectors.

use super::cipher::Cipher;
use super::{OpenError, Opener, Sealer};

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
    let Cipher::Cm(cipher) = Cipher::cm(&key, &[0; 20], salt).unwrap() else { unreachable!() };
    let mut stream = vec![0; 0xff02 * 16];
    cipher.apply(0, 0, &mut stream).unwrap();
    let first =
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0");
    assert_eq!(stream[..48], first);
    let last =
        hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44");
    assert_eq!(stream[0xfeff * 16..], last);
}
