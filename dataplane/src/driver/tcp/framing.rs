//! Packets on a TCP connection, each behind its length in two bytes (RFC 4571 section 2; RFC 6544
//! asks for this framing on ICE-TCP). Pure: cuts and appends bytes, and owns none.

use crate::driver::outgoing::SegmentedSend;

/// The length before every packet, in bytes.
pub(super) const LENGTH_BYTES: usize = 2;
/// Longest packet that is taken in, in bytes: as long as a datagram may be without `UDP_GRO`. More than any packet that
/// could be forwarded; the limit bounds the memory that an unauthenticated peer can make the worker keep.
pub(super) const MAX_PACKET_BYTES: usize = 2_048;

/// The first thing in some bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A length, and a packet that long behind it. 0 is allowed and means nothing.
    Packet(usize),
    /// The beginning of a packet.
    Part,
    /// A packet longer than [`MAX_PACKET_BYTES`]: no peer of ours sends one.
    TooLong,
}

/// Looks at the beginning of `bytes`.
pub(super) fn cut(bytes: &[u8]) -> Cut {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Cut::Part };
    match usize::from(u16::from_be_bytes(*length)) {
        len if len > MAX_PACKET_BYTES => Cut::TooLong,
        len if len > rest.len() => Cut::Part,
        len => Cut::Packet(len),
    }
}

/// Packets that were appended to a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::driver) struct Appended {
    pub(in crate::driver) packets: u64,
    /// Bytes of the packets, without the lengths.
    pub(in crate::driver) bytes: u64,
}

/// Room that a train takes on a connection, in bytes.
pub(super) fn framed_len<P>(train: &SegmentedSend<P>) -> usize {
    let lengths = usize::try_from(train.packets()).unwrap_or(usize::MAX).saturating_mul(LENGTH_BYTES);
    train.len.saturating_add(lengths)
}

/// Appends the packets of a train, as many as are whole in `room` bytes. Appends nothing if the pieces do not add up to
/// the length of the train: the peer could not find the next packet behind such a train.
pub(super) fn append<'a, P>(queue: &mut Vec<u8>, room: usize, train: SegmentedSend<P>) -> Appended
where
    P: Iterator<Item = &'a [u8]>,
{
    let segment_len = usize::from(train.segment_len);
    if segment_len == 0 {
        return Appended::default();
    }
    let fits = if framed_len(&train) <= room { train.len } else { room / (LENGTH_BYTES + segment_len) * segment_len };
    let wanted = fits.min(train.len);
    let (before, mut total, mut at) = (queue.len(), 0, 0);
    for piece in train.pieces {
        total += piece.len();
        let mut rest = piece.get(..piece.len().min(wanted - at)).unwrap_or_default();
        while !rest.is_empty() {
            let into = at % segment_len;
            if into == 0 {
                let length = u16::try_from(segment_len.min(wanted - at)).unwrap_or(u16::MAX);
                queue.extend_from_slice(&length.to_be_bytes());
            }
            let (now, later) = rest.split_at(rest.len().min(segment_len - into));
            queue.extend_from_slice(now);
            at += now.len();
            rest = later;
        }
    }
    if total != train.len {
        debug_assert!(false, "a train whose pieces do not add up");
        queue.truncate(before);
        return Appended::default();
    }
    Appended { packets: wanted.div_ceil(segment_len) as u64, bytes: wanted as u64 }
}

#[cfg(test)]
mod tests {
    use corecast_core::{EndpointId, Path};

    use super::*;

    fn train(bytes: &[u8], segment_len: u16, piece_len: usize) -> SegmentedSend<impl Iterator<Item = &[u8]>> {
        let path = Path { local: EndpointId(0), remote: "192.0.2.1:9".parse().expect("an address") };
        SegmentedSend { path, segment_len, len: bytes.len(), pieces: bytes.chunks(piece_len) }
    }

    fn packets(mut queue: &[u8]) -> Vec<&[u8]> {
        let mut packets = Vec::new();
        while let Cut::Packet(len) = cut(queue) {
            packets.push(&queue[LENGTH_BYTES..][..len]);
            queue = &queue[LENGTH_BYTES + len..];
        }
        assert!(queue.is_empty(), "whole packets only");
        packets
    }

    #[test]
    fn a_train_is_framed_packet_by_packet_wherever_its_pieces_end() {
        let bytes: Vec<u8> = (0..250).collect();
        for piece_len in 1..=250 {
            let mut queue = vec![];
            let appended = append(&mut queue, 1_000, train(&bytes, 100, piece_len));
            assert_eq!(appended, Appended { packets: 3, bytes: 250 });
            assert_eq!(packets(&queue), bytes.chunks(100).collect::<Vec<_>>(), "pieces of {piece_len}");
        }
    }

    #[test]
    fn packets_that_do_not_fit_are_left_out_whole() {
        let bytes: Vec<u8> = (0..250).collect();
        for room in 0..300 {
            let mut queue = vec![0, 0];
            let appended = append(&mut queue, room, train(&bytes, 100, 77));
            let expected = [256, 204, 102].iter().filter(|needed| **needed <= room).count();
            assert_eq!(appended.packets, expected as u64, "room for {room}");
            assert_eq!(packets(&queue).len(), 1 + expected);
            assert_eq!(queue.len() - 2, 2 * expected + usize::try_from(appended.bytes).expect("few"));
        }
    }

    #[test]
    fn what_a_beginning_says() {
        assert_eq!(cut(&[]), Cut::Part);
        assert_eq!(cut(&[0]), Cut::Part);
        assert_eq!(cut(&[0, 0]), Cut::Packet(0));
        assert_eq!(cut(&[0, 3, 1, 2]), Cut::Part);
        assert_eq!(cut(&[0, 3, 1, 2, 3, 4]), Cut::Packet(3));
        assert_eq!(cut(&[8, 0]), Cut::Part, "the longest");
        assert_eq!(cut(&[8, 1]), Cut::TooLong, "known before the packet has come");
    }
}
