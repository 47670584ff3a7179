//! The Data Channel Establishment Protocol (RFC 8832): how a client opens a channel by itself, without signaling.

use corecast_wire::SctpStreamParameters;

use crate::limits::MAX_LABEL_BYTES;

/// First byte of a message that opens a channel, and of the one that acknowledges it (RFC 8832 section 8.2.1).
const OPEN: u8 = 0x03;
const ACK: u8 = 0x02;
/// Bytes of a message that opens a channel, in front of its label.
const OPEN_BYTES: usize = 12;
/// Bit of the channel type that says that messages may overtake each other (RFC 8832 section 5.1).
const UNORDERED: u8 = 0x80;

/// The message that acknowledges a channel.
pub(crate) const ACKNOWLEDGEMENT: [u8; 1] = [ACK];

/// A message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The sender opens a channel on the stream on which this comes.
    Open(Open),
    /// The sender has taken in our message that opened a channel.
    Ack,
}

/// What a channel is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) parameters: SctpStreamParameters,
}

/// Reads a message. `None` if it is none: an unknown type, lengths that do not add up, a label or a protocol that is
/// longer than [`MAX_LABEL_BYTES`] or is no UTF-8.
pub(crate) fn parse(bytes: &[u8]) -> Option<Message> {
    match *bytes {
        [ACK] => Some(Message::Ack),
        [OPEN, kind, _, _, r0, r1, r2, r3, l0, l1, p0, p1, ..] => {
            let reliability = u32::from_be_bytes([r0, r1, r2, r3]);
            let parameters = parameters(kind, reliability)?;
            let [label_len, protocol_len] = [[l0, l1], [p0, p1]].map(|len| usize::from(u16::from_be_bytes(len)));
            if label_len > MAX_LABEL_BYTES || protocol_len > MAX_LABEL_BYTES {
                return None;
            }
            let (label, protocol) = bytes.get(OPEN_BYTES..)?.split_at_checked(label_len)?;
            if protocol.len() != protocol_len {
                return None;
            }
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            Some(Message::Open(Open { label: text(label)?, protocol: text(protocol)?, parameters }))
        }
        _ => None,
    }
}

/// How messages of a channel type are delivered (RFC 8832 section 5.1).
fn parameters(kind: u8, reliability: u32) -> Option<SctpStreamParameters> {
    let ordered = kind & UNORDERED == 0;
    let at_most = u16::try_from(reliability).unwrap_or(u16::MAX);
    let (max_retransmits, max_packet_life_time) = match kind & !UNORDERED {
        0x00 => (None, None),
        0x01 => (Some(at_most), None),
        0x02 => (None, Some(at_most)),
        _ => return None,
    };
    Some(SctpStreamParameters { ordered, max_packet_life_time, max_retransmits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(kind: u8, reliability: u32, label: &[u8], protocol: &[u8]) -> Vec<u8> {
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
        let head = [&[OPEN, kind, 1, 0], &reliability.to_be_bytes()[..], &len(label), &len(protocol)].concat();
        [&head, label, protocol].concat()
    }

    #[test]
    fn every_channel_type_is_read_and_no_other() {
        let read = |kind| match parse(&open(kind, 70_000, b"chat", b"")) {
            Some(Message::Open(open)) => Some(open.parameters),
            _ => None,
        };
        let of = |ordered, max_retransmits, max_packet_life_time| {
            Some(SctpStreamParameters { ordered, max_packet_life_time, max_retransmits })
        };
        assert_eq!(read(0x00), of(true, None, None));
        assert_eq!(read(0x80), of(false, None, None));
        assert_eq!(read(0x01), of(true, Some(u16::MAX), None));
        assert_eq!(read(0x81), of(false, Some(u16::MAX), None));
        assert_eq!(read(0x02), of(true, None, Some(u16::MAX)));
        assert_eq!(read(0x82), of(false, None, Some(u16::MAX)));
        let known = (0..=255).filter(|kind| read(*kind).is_some()).count();
        assert_eq!(known, 6);
    }

    #[test]
    fn a_message_that_does_not_add_up_is_none() {
        let whole = open(0, 0, "grüße".as_bytes(), b"v1");
        let Some(Message::Open(read)) = parse(&whole) else { panic!("lawful") };
        assert_eq!((read.label.as_str(), read.protocol.as_str()), ("grüße", "v1"));
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None, "cut off at {len}");
        }
        assert_eq!(parse(&[&whole[..], b"x"].concat()), None, "a byte too many");
        assert_eq!(parse(&open(0, 0, &[0xFF, 0xFE], b"")), None, "no UTF-8");
        assert_eq!(parse(&open(0, 0, &[b'a'; MAX_LABEL_BYTES + 1], b"")), None, "too long");
        assert!(parse(&open(0, 0, &[b'a'; MAX_LABEL_BYTES], &[b'b'; MAX_LABEL_BYTES])).is_some());
        assert_eq!((parse(&[ACK]), parse(&[ACK, 0]), parse(&[])), (Some(Message::Ack), None, None));
    }
}
