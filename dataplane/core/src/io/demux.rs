//! What a datagram is, by its first bytes: RFC 7983 section 7 as updated by RFC 9443 section 3, and RFC 5761 section 4
//! for RTCP on the port of RTP. Looks at nothing beyond the second byte and the length; owns nothing.

/// What a datagram claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// First byte 0 to 3, at least 20 bytes (RFC 8489 section 5).
    Stun,
    /// First byte 20 to 63, at least 13 bytes (RFC 6347 section 4.1, RFC 9147 section 4: all handshakes start so).
    Dtls,
    /// First byte 128 to 191, second byte not 192 to 223, at least 12 bytes.
    Rtp,
    /// First byte 128 to 191, second byte 192 to 223, at least 8 bytes.
    Rtcp,
    /// First byte 16 to 19.
    Zrtp,
    /// First byte 64 to 79: a TURN channel, which has no business on a media port.
    TurnChannel,
    /// None of these (QUIC's ranges included), or shorter than the shortest packet of its kind.
    Unknown,
}

/// Shortest STUN message: its header.
const STUN_MIN_BYTES: usize = 20;
/// Shortest DTLS datagram: the header of a plaintext record.
const DTLS_MIN_BYTES: usize = 13;
/// Shortest RTP packet: its fixed header.
const RTP_MIN_BYTES: usize = 12;
/// Shortest RTCP packet of use: common header and one SSRC.
const RTCP_MIN_BYTES: usize = 8;

/// Tells protocols on one port apart.
#[must_use]
pub fn protocol_of(datagram: &[u8]) -> Protocol {
    let (protocol, min_bytes) = match datagram {
        [0..=3, ..] => (Protocol::Stun, STUN_MIN_BYTES),
        [16..=19, ..] => (Protocol::Zrtp, 1),
        [20..=63, ..] => (Protocol::Dtls, DTLS_MIN_BYTES),
        [64..=79, ..] => (Protocol::TurnChannel, 1),
        [128..=191, 192..=223, ..] => (Protocol::Rtcp, RTCP_MIN_BYTES),
        [128..=191, ..] => (Protocol::Rtp, RTP_MIN_BYTES),
        _ => (Protocol::Unknown, 0),
    };
    if datagram.len() < min_bytes { Protocol::Unknown } else { protocol }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 7983 section 7, figure 3, row by row, independent of the match above.
    fn expected(first: u8, second: u8, len: usize) -> Protocol {
        let rtcp = (192..=223).contains(&second);
        match first {
            128..=191 if rtcp && len >= 8 => Protocol::Rtcp,
            128..=191 if !rtcp && len >= 12 => Protocol::Rtp,
            64..=79 => Protocol::TurnChannel,
            20..=63 if len >= 13 => Protocol::Dtls,
            16..=19 => Protocol::Zrtp,
            0..=3 if len >= 20 => Protocol::Stun,
            _ => Protocol::Unknown,
        }
    }

    #[test]
    fn every_pair_of_first_bytes_and_every_short_length() {
        assert_eq!(protocol_of(&[]), Protocol::Unknown);
        let mut datagram = [0u8; 32];
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                datagram[0] = first;
                datagram[1] = second;
                for len in 2..=datagram.len() {
                    let seen = protocol_of(&datagram[..len]);
                    assert_eq!(seen, expected(first, second, len), "{first} {second} {len}");
                }
            }
        }
    }

    #[test]
    fn one_byte_is_never_media() {
        for first in 0..=255u8 {
            let seen = protocol_of(&[first]);
            assert!(matches!(seen, Protocol::Unknown | Protocol::Zrtp | Protocol::TurnChannel), "{first}: {seen:?}");
        }
    }
}
