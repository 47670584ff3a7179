//! Redundant audio data (RFC 2198): one payload with several blocks, the last of which is what the packet is about (the
//! *primary* block) and the others what earlier packets had. Each has a header: four bytes for a redundant block (a bit
//! that says so, payload type, timestamp offset in 14 bits, length in 10), one byte for the primary.
//!
//! All blocks must be of the codec that the sender has announced for them, and the primary must have something in it:
//! then a receiver without redundancy can be sent the primary block alone. Reads and renames; owns nothing, and no
//! payload makes it panic.

/// Most blocks of a packet, the primary included. Chromium sends two, and nine if it is told to.
const MAX_BLOCKS: usize = 10;
/// Bytes of a redundant block's header.
const HEADER_BYTES: usize = 4;
/// Another header follows.
const FOLLOWS: u8 = 0x80;

/// The blocks of a packet, each of which has been checked to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// How many they are, the primary included.
    pub(crate) count: u8,
    /// Where the primary begins in the payload, in bytes.
    pub(crate) primary_at: usize,
}

/// The blocks of a payload, if all are whole and of payload type `carried`.
pub(crate) fn read(payload: &[u8], carried: u8) -> Option<Blocks> {
    let (mut rest, mut redundant) = (payload, 0);
    for count in 1..=MAX_BLOCKS {
        let first = *rest.first()?;
        if first & !FOLLOWS != carried {
            return None;
        }
        if first & FOLLOWS == 0 {
            // Behind the headers: all redundant blocks, and at least a byte of the primary one.
            let primary_at = (count - 1) * HEADER_BYTES + 1 + redundant;
            let is_whole = primary_at < payload.len();
            return is_whole.then_some(Blocks { count: u8::try_from(count).ok()?, primary_at });
        }
        let (header, after) = rest.split_first_chunk::<HEADER_BYTES>()?;
        redundant += block_len(*header);
        rest = after;
    }
    None
}

/// Where the primary block begins in a payload of so many blocks that has been [`read`].
pub(crate) fn primary_at(payload: &[u8], count: u8) -> usize {
    let headers = payload.chunks_exact(HEADER_BYTES).take(usize::from(count).saturating_sub(1));
    let blocks =
        headers.filter_map(|header| header.first_chunk().copied()).map(|header| HEADER_BYTES + block_len(header));
    blocks.sum::<usize>() + 1
}

/// The payload type of the blocks of a payload.
pub(crate) fn carried(payload: &[u8]) -> Option<u8> {
    payload.first().map(|first| first & !FOLLOWS)
}

/// Gives another payload type to the blocks of a payload of so many that has been [`read`].
pub(crate) fn rename(payload: &mut [u8], count: u8, to: u8) {
    for first in payload.iter_mut().step_by(HEADER_BYTES).take(usize::from(count)) {
        *first = *first & FOLLOWS | to & !FOLLOWS;
    }
}

/// Most bytes of a redundant block, and the oldest that it may be, in RTP time.
const MAX_BLOCK_BYTES: usize = (1 << 10) - 1;
const MAX_AGE: u32 = (1 << 14) - 1;

/// Whether a payload can be a redundant block of a packet that is so much younger, in RTP time.
pub(crate) fn can_repeat(age: u32, len: usize) -> bool {
    (1..=MAX_AGE).contains(&age) && (1..=MAX_BLOCK_BYTES).contains(&len)
}

/// Writes a payload of these earlier payloads, the oldest first, each with how much older it is, and the primary one.
/// Its length; `None` if `room` is too short or one [cannot be repeated](can_repeat).
pub(crate) fn write<'a>(
    room: &mut [u8],
    carried: u8,
    earlier: impl Iterator<Item = (u32, &'a [u8])> + Clone,
    primary: &[u8],
) -> Option<usize> {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        room.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(at)
    };
    for (age, block) in earlier.clone() {
        let len = u32::try_from(block.len()).ok().filter(|_| can_repeat(age, block.len()))?;
        let word = u32::from(FOLLOWS | carried) << 24 | age << 10 | len;
        put(&word.to_be_bytes())?;
    }
    put(&[carried & !FOLLOWS])?;
    for (_, block) in earlier {
        put(block)?;
    }
    put(primary)
}

fn block_len(header: [u8; HEADER_BYTES]) -> usize {
    let [_, _, high, low] = header;
    usize::from(high & 0x03) << 8 | usize::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload of blocks of these lengths, the last of which is the primary; block n is filled with n.
    fn payload(carried: u8, lens: &[usize]) -> Vec<u8> {
        let (primary, redundant) = lens.split_last().expect("at least one");
        let mut payload = Vec::new();
        for (age, len) in redundant.iter().enumerate().map(|(place, len)| (redundant.len() - place, *len)) {
            let word = 0x8000_0000 | u32::from(carried) << 24 | (age as u32 * 960) << 10 | len as u32;
            payload.extend(word.to_be_bytes());
        }
        payload.push(carried);
        for (block, len) in (0_u8..).zip(redundant.iter().chain([primary])) {
            payload.extend(std::iter::repeat_n(block, *len));
        }
        payload
    }

    #[test]
    fn the_primary_is_behind_the_blocks_of_earlier_packets() {
        for lens in [&[60][..], &[60, 61], &[60, 61, 62], &[0, 3], &[1_023, 1]] {
            let bytes = payload(111, lens);
            let blocks = read(&bytes, 111).expect("whole");
            assert_eq!(usize::from(blocks.count), lens.len());
            assert_eq!(bytes.len() - blocks.primary_at, lens[lens.len() - 1]);
            assert!(bytes[blocks.primary_at..].iter().all(|byte| usize::from(*byte) == lens.len() - 1));
            assert_eq!(primary_at(&bytes, blocks.count), blocks.primary_at);
            assert_eq!(carried(&bytes), Some(111));
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let (older, old, primary) = ([1; 50], [2; 60], [3; 70]);
        for earlier in [&[][..], &[(960, &old[..])], &[(1_920, &older[..]), (960, &old[..])]] {
            let mut room = [0; 300];
            let len = write(&mut room, 111, earlier.iter().copied(), &primary).expect("fits");
            let blocks = read(&room[..len], 111).expect("whole");
            assert_eq!(usize::from(blocks.count), earlier.len() + 1);
            assert_eq!(room[blocks.primary_at..len], primary);
            let (headers, mut rest) = room[..blocks.primary_at].split_at(earlier.len() * HEADER_BYTES + 1);
            for ((age, block), header) in earlier.iter().zip(headers.chunks_exact(HEADER_BYTES)) {
                let word = u32::from_be_bytes(header.try_into().expect("four bytes"));
                assert_eq!((word >> 10 & MAX_AGE, (word & 0x3ff) as usize), (*age, block.len()));
                let (found, behind) = rest.split_at(block.len());
                assert_eq!(found, *block);
                rest = behind;
            }
            assert!(rest.is_empty());
            for room in 0..len {
                assert_eq!(write(&mut vec![0; room], 111, earlier.iter().copied(), &primary), None, "{room} bytes");
            }
        }
    }

    #[test]
    fn what_no_header_can_say_is_not_written() {
        let block = [7; 1_100];
        for (age, len, can) in [
            (960, 60, true),
            (1, 1_023, true),
            (16_383, 1, true),
            (0, 60, false),
            (16_384, 60, false),
            (u32::MAX - 959, 60, false),
            (960, 0, false),
            (960, 1_024, false),
        ] {
            assert_eq!(can_repeat(age, len), can, "{len} bytes of {age} before");
            let written = write(&mut [0; 1_500], 111, std::iter::once((age, &block[..len])), &[1]);
            assert_eq!(written, can.then_some(HEADER_BYTES + 1 + len + 1));
        }
    }

    #[test]
    fn what_chromium_sends() {
        // 20 ms before, 3 bytes of payload type 111; then 2 bytes of the packet's own.
        let bytes = [0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 2, 3, 4, 5];
        assert_eq!(read(&bytes, 111), Some(Blocks { count: 2, primary_at: 8 }));
    }

    #[test]
    fn what_does_not_add_up_is_nothing() {
        let whole = payload(111, &[20, 30]);
        for len in 0..=4 + 1 + 20 {
            assert_eq!(read(&whole[..len], 111), None, "of {len} bytes");
        }
        assert!(read(&whole[..26], 111).is_some(), "a primary of one byte");
        assert_eq!(read(&whole, 96), None, "another codec than was announced");
        assert_eq!(read(&payload(111, &[0, 0]), 111), None, "nothing in the primary");
        let mut mixed = whole.clone();
        mixed[4] = 8;
        assert_eq!(read(&mixed, 111), None, "the primary of another codec");
        assert!(read(&payload(111, &[1; MAX_BLOCKS]), 111).is_some());
        assert_eq!(read(&payload(111, &[1; MAX_BLOCKS + 1]), 111), None, "too many");
        assert_eq!(read(&[0xff; 1_400], 0x7f), None, "headers without an end");
    }

    #[test]
    fn renaming_changes_the_payload_types_alone_and_can_be_taken_back() {
        let before = payload(111, &[20, 30, 40]);
        let mut bytes = before.clone();
        rename(&mut bytes, 3, 100);
        assert_eq!(read(&bytes, 100), read(&before, 111));
        let changed = bytes.iter().zip(&before).filter(|(one, other)| one != other).count();
        assert_eq!(changed, 3);
        rename(&mut bytes, 3, 111);
        assert_eq!(bytes, before);
    }

    /// Payloads that are nearly right: whole ones with a few bytes changed, cut or added.
    #[test]
    fn random_payloads_never_lead_outside_themselves() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut draw = move |below: u64| {
            // xorshift64: any numbers will do, as long as they are the same each time.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below).expect("small")
        };
        let (mut whole, mut wrong) = (0, 0);
        for _ in 0..100_000 {
            let lens: Vec<usize> = (0..=draw(11)).map(|_| draw(1_024)).collect();
            let mut bytes = payload(111, &lens);
            for _ in 0..draw(4) {
                let place = draw(bytes.len().min(50) as u64);
                bytes[place] = u8::try_from(draw(256)).expect("a byte");
            }
            bytes.truncate(bytes.len() - draw(bytes.len() as u64) * draw(2));
            match read(&bytes, 111) {
                Some(Blocks { count, primary_at: at }) => {
                    assert!(at < bytes.len() && (1..=MAX_BLOCKS).contains(&usize::from(count)));
                    assert_eq!(primary_at(&bytes, count), at);
                    let before = bytes.clone();
                    rename(&mut bytes, count, 5);
                    assert_eq!(bytes[at..], before[at..], "what is in the blocks stays as it is");
                    assert_eq!(read(&bytes, 5), Some(Blocks { count, primary_at: at }));
                    whole += 1;
                }
                None => wrong += 1,
            }
            // What was not read is harmless as well.
            rename(&mut bytes, u8::MAX, 5);
            let _ = primary_at(&bytes, u8::MAX);
        }
        assert!(whole > 10_000 && wrong > 10_000, "{whole} whole, {wrong} wrong");
    }
}
