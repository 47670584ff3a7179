//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1): for a
//! run of transport-wide sequence numbers, which packets came and when.

/// Feedback on a run of packets.
#[derive(Clone, Copy, Debug)]
pub struct TransportCc<'a> {
    /// Who received.
    pub sender_ssrc: u32,
    /// Who sent; any of its SSRCs.
    pub media_ssrc: u32,
    /// Transport-wide sequence number of the first status.
    pub base_sequence: u16,
    /// How many statuses there are.
    pub status_count: u16,
    /// Arrival that the first delta adds to, in 64 ms; 24 bits, signed, of a clock that nobody knows.
    pub reference_time: i32,
    /// Counts feedback packets, modulo 256.
    pub feedback_count: u8,
    /// Chunks, and after as many as `status_count` needs, deltas.
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// How many of at most `left` statuses a chunk tells, and the bytes of their deltas; `None` if one is reserved.
fn chunk_len(chunk: u16, left: usize) -> Option<(usize, usize)> {
    let bytes = |symbol| match symbol {
        Symbol::NotReceived => Some(0),
        Symbol::Small => Some(1),
        Symbol::Large => Some(2),
        Symbol::Reserved => None,
    };
    match chunk >> 14 {
        0 | 1 => {
            let count = usize::from(chunk & 0x1fff).min(left);
            if count == 0 { Some((0, 0)) } else { Some((count, count * bytes(Symbol::of_bits(chunk >> 13))?)) }
        }
        2 => {
            let count = ONE_BIT_SYMBOLS.min(left);
            let told = (chunk & 0x3fff) >> (ONE_BIT_SYMBOLS - count);
            Some((count, told.count_ones() as usize))
        }
        _ => {
            let count = TWO_BIT_SYMBOLS.min(left);
            let symbols = (0..count).map(|at| Symbol::of_bits(chunk >> (2 * (TWO_BIT_SYMBOLS - 1 - at))));
            let sum = symbols.map(bytes).try_fold(0, |sum, one| Some(sum + one?));
            sum.map(|sum| (count, sum))
        }
    }
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketStatus {
    /// Transport-wide sequence number.
    pub sequence: u16,
    /// None if it has not come, else its arrival after that of the previous packet that came, in 250 µs.
    pub delta: Option<i16>,
}

impl<'a> TransportCc<'a> {
    /// Verifies that the chunks are there for every status and the deltas for every packet that came.
    pub(super) fn read(sender_ssrc: u32, media_ssrc: u32, fci: &'a [u8]) -> Option<Self> {
        let (&[b0, b1, c0, c1, t0, t1, t2, feedback_count], chunks) = fci.split_first_chunk()?;
        let status_count = u16::from_be_bytes([c0, c1]);
        // Chunk by chunk: three of them may tell of 24,000 packets.
        let (mut left, mut rest, mut delta_bytes) = (usize::from(status_count), chunks, 0);
        while left > 0 {
            let (chunk, after) = rest.split_first_chunk()?;
            let (count, bytes) = chunk_len(u16::from_be_bytes(*chunk), left)?;
            (left, rest) = (left - count, after);
            delta_bytes += bytes;
        }
        let deltas = rest.get(..delta_bytes)?;
        Some(Self {
            sender_ssrc,
            media_ssrc,
            base_sequence: u16::from_be_bytes([b0, b1]),
            status_count,
            // Sign-extends 24 bits.
            reference_time: i32::from_be_bytes([t0, t1, t2, 0]) >> 8,
            feedback_count,
            chunks,
            deltas,
        })
    }

    /// One status for each of [`Self::status_count`] sequence numbers from [`Self::base_sequence`] on. They are the
    /// sender's word: bound the work by what was really sent.
    #[must_use]
    pub fn statuses(&self) -> PacketStatuses<'a> {
        PacketStatuses {
            sequence: self.base_sequence,
            symbols: Symbols { chunks: self.chunks, chunk: 0, in_chunk: 0, left: self.status_count },
            deltas: self.deltas,
        }
    }
}

/// The statuses of a [`TransportCc`], in order.
#[derive(Clone, Debug)]
pub struct PacketStatuses<'a> {
    sequence: u16,
    symbols: Symbols<'a>,
    deltas: &'a [u8],
}

impl Iterator for PacketStatuses<'_> {
    type Item = PacketStatus;

    fn next(&mut self) -> Option<Self::Item> {
        let delta = match self.symbols.next()? {
            Symbol::NotReceived | Symbol::Reserved => None,
            Symbol::Small => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i16::from(*delta))
            }
            Symbol::Large => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*delta))
            }
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some(PacketStatus { sequence, delta })
    }
}

/// A packet's status as two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    NotReceived,
    /// Received, with a delta of one byte.
    Small,
    /// Received, with a signed delta of two bytes.
    Large,
    Reserved,
}

impl Symbol {
    fn of_bits(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::NotReceived,
            1 => Self::Small,
            2 => Self::Large,
            _ => Self::Reserved,
        }
    }
}

/// Symbols out of chunks: run lengths and vectors of 14 one-bit or 7 two-bit symbols.
#[derive(Clone, Debug)]
struct Symbols<'a> {
    /// What follows the current chunk.
    chunks: &'a [u8],
    /// The current chunk.
    chunk: u16,
    /// Symbols that the current chunk still has.
    in_chunk: u16,
    /// Symbols to give at all: the last chunk may have more.
    left: u16,
}

impl Iterator for Symbols<'_> {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        self.left = self.left.checked_sub(1)?;
        // A run of no symbols is passed over; each pass takes two bytes, so this ends.
        while self.in_chunk == 0 {
            let (chunk, rest) = self.chunks.split_first_chunk()?;
            self.chunks = rest;
            self.chunk = u16::from_be_bytes(*chunk);
            self.in_chunk = match self.chunk >> 14 {
                0 | 1 => self.chunk & 0x1fff,
                2 => 14,
                _ => 7,
            };
        }
        self.in_chunk -= 1;
        Some(Symbol::of_bits(match self.chunk >> 14 {
            0 | 1 => self.chunk >> 13,
            2 => self.chunk >> self.in_chunk & 1,
            _ => self.chunk >> (2 * self.in_chunk),
        }))
    }
}

/// The longest run that a chunk can tell.
const MAX_RUN: usize = 0x1fff;
/// Symbols in a vector of one-bit, and of two-bit symbols.
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;

/// Writes the chunks that tell `statuses`, as few as a look at the next 14 can find, and says how many statuses there
/// were; none if that is more than 65,535 or `put` has no room.
pub(super) fn write_chunks(
    statuses: impl Iterator<Item = Option<i16>> + Clone,
    mut put: impl FnMut(u16) -> Option<()>,
) -> Option<u16> {
    let mut symbols = statuses.map(|status| match status {
        None => 0u16,
        Some(0..=255) => 1,
        Some(_) => 2,
    });
    let mut total = 0usize;
    while let Some(first) = symbols.clone().next() {
        let run = symbols.clone().take(MAX_RUN).take_while(|&symbol| symbol == first).count();
        let one_bit = symbols.clone().take(ONE_BIT_SYMBOLS).all(|symbol| symbol <= 1);
        let in_chunk = if run >= ONE_BIT_SYMBOLS || (run >= TWO_BIT_SYMBOLS && !one_bit) {
            put(first << 13 | run as u16)?;
            run
        } else if one_bit {
            put(0x8000 | vector(symbols.clone(), ONE_BIT_SYMBOLS, 1))?;
            ONE_BIT_SYMBOLS
        } else {
            put(0xc000 | vector(symbols.clone(), TWO_BIT_SYMBOLS, 2))?;
            TWO_BIT_SYMBOLS
        };
        total += symbols.by_ref().take(in_chunk).count();
        u16::try_from(total).ok()?;
    }
    u16::try_from(total).ok()
}

/// The next `count` symbols of `bits` bits each, the first one uppermost, missing ones 0.
fn vector(symbols: impl Iterator<Item = u16>, count: usize, bits: usize) -> u16 {
    symbols.chain(std::iter::repeat(0)).take(count).fold(0, |vector, symbol| vector << bits | symbol)
}
