//! Packets of SCTP that are nearly right: chunks of every type, with the numbers that an association expects or some
//! near them, and now and then a length or a byte that is wrong.

use fastrand::Rng;

/// Types that have another one where messages are interleaved.
const DATA: u8 = 0;
const FORWARD_TSN: u8 = 192;

/// What both sides count from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// First TSN of the peer's, and of the machine's.
    pub ours: u32,
    /// See [`Self::ours`].
    pub theirs: u32,
    /// Messages are interleaved (RFC 8260): then DATA and FORWARD-TSN end the association, and otherwise I-DATA and
    /// I-FORWARD-TSN do.
    pub interleaves: bool,
}

impl Numbers {
    /// Learns them from an INIT of the peer's, or an INIT ACK of the machine's (RFC 9260 section 3.3.2).
    pub fn learn(&mut self, packet: &[u8]) {
        let Some(tsn) = packet.get(28..32).and_then(|bytes| bytes.try_into().ok()) else { return };
        match packet.get(12) {
            Some(1) => self.ours = u32::from_be_bytes(tsn),
            Some(2) => self.theirs = u32::from_be_bytes(tsn),
            _ => {}
        }
    }
}

/// A number near one: mostly a little above, sometimes below, far ahead or any.
fn near(random: &mut Rng, number: u32) -> u32 {
    match random.u8(..16) {
        0 => random.u32(..),
        1 => number.wrapping_add(1 << 31),
        2 => number.wrapping_sub(random.u32(..8)),
        3 => number.wrapping_add(random.u32(..5_000)),
        _ => number.wrapping_add(random.u32(..32)),
    }
}

fn bytes(random: &mut Rng, most: usize) -> Vec<u8> {
    (0..random.usize(..=most)).map(|_| random.u8(..)).collect()
}

/// A stream: mostly one that is in use.
fn stream(random: &mut Rng) -> [u8; 2] {
    let number = if random.u8(..16) == 0 { random.u16(..) } else { random.u16(..8) };
    number.to_be_bytes()
}

/// What a message holds: now and then the opening of a channel (RFC 8832).
fn message(random: &mut Rng) -> ([u8; 4], Vec<u8>) {
    let identifier: u32 = [50, 50, 51, 53, 56, 57, 52, random.u32(..)][random.usize(..8)];
    let payload = match identifier {
        50 if random.bool() => {
            let kind = [0, 0x80, 1, 0x81, 2, 0x82, random.u8(..)][random.usize(..7)];
            [&[3, kind, 0, 0, 0, 0, 0, 9, 0, 4, 0, 0][..], b"chat"].concat()
        }
        _ => bytes(random, 80),
    };
    (identifier.to_be_bytes(), payload)
}

/// Parameters of INIT, INIT ACK and RE-CONFIG (RFC 9260 section 3.3.2.1, RFC 6525 section 4).
fn parameters(random: &mut Rng, numbers: Numbers) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.usize(..4) {
        let kind: u16 = [13, 14, 15, 16, 17, 18, 7, 5, 0x8001, 0x8008, 0xC000, random.u16(..)][random.usize(..12)];
        let mut body = Vec::new();
        if (13..=18).contains(&kind) {
            body.extend(near(random, numbers.ours).to_be_bytes());
            body.extend(near(random, numbers.theirs).to_be_bytes());
            body.extend(near(random, numbers.ours).to_be_bytes());
            (0..random.usize(..4)).for_each(|_| body.extend(stream(random)));
        } else {
            body = bytes(random, 24);
        }
        out.extend(kind.to_be_bytes());
        out.extend(u16::try_from(body.len() + 4).expect("short").to_be_bytes());
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// What a chunk of this type holds.
fn body(random: &mut Rng, kind: u8, numbers: Numbers) -> Vec<u8> {
    let (ours, theirs) = (near(random, numbers.ours), near(random, numbers.theirs));
    match kind {
        // DATA, I-DATA (RFC 8260 section 2.1)
        0 | 64 => {
            let (identifier, payload) = message(random);
            let mut out = [&ours.to_be_bytes()[..], &stream(random)].concat();
            let order = random.u16(..4).to_be_bytes();
            match kind {
                0 => out.extend(order),
                _ => out.extend([&[0; 4][..], &order].concat()),
            }
            out.extend(identifier);
            out.extend(payload);
            out
        }
        // SACK
        3 => {
            let (gaps, repeated) = (random.u16(..4), random.u16(..4));
            let window = [0, 100_000, random.u32(..)][random.usize(..3)];
            let mut out = [theirs.to_be_bytes(), window.to_be_bytes()].concat();
            out.extend(gaps.to_be_bytes());
            out.extend(repeated.to_be_bytes());
            (0..gaps).for_each(|_| {
                out.extend(random.u16(..64).to_be_bytes());
                out.extend(random.u16(..64).to_be_bytes());
            });
            (0..repeated).for_each(|_| out.extend(ours.to_be_bytes()));
            out
        }
        // INIT, INIT ACK
        1 | 2 => {
            let mut out = [random.u32(..).to_be_bytes(), random.u32(..).to_be_bytes()].concat();
            out.extend([random.u16(..), random.u16(..)].into_iter().flat_map(u16::to_be_bytes));
            out.extend(ours.to_be_bytes());
            out.extend(parameters(random, numbers));
            out
        }
        130 => parameters(random, numbers),
        // SHUTDOWN
        7 => theirs.to_be_bytes().to_vec(),
        // FORWARD-TSN (RFC 3758), I-FORWARD-TSN (RFC 8260 section 2.3.1)
        192 | 194 => {
            let mut out = ours.to_be_bytes().to_vec();
            for _ in 0..random.usize(..4) {
                out.extend(stream(random));
                out.extend(random.u16(..4).to_be_bytes());
                if kind == 194 {
                    out.extend(random.u32(..4).to_be_bytes());
                }
            }
            out
        }
        _ => bytes(random, 64),
    }
}

/// One to six chunks. Those that end an association are rare, so that others find one.
#[must_use]
pub fn chunks(random: &mut Rng, numbers: Numbers) -> Vec<u8> {
    const COMMON: [u8; 10] = [DATA, DATA, DATA, DATA, 3, 3, 130, FORWARD_TSN, 4, 1];
    const RARE: [u8; 16] = [2, 5, 6, 7, 8, 9, 10, 11, 14, 132, 128, 63, 0, 64, 192, 194];
    let mut out = Vec::new();
    for _ in 0..random.usize(1..=6) {
        let kind = match random.u8(..) {
            0 => RARE[random.usize(..RARE.len())],
            1 => random.u8(..),
            _ => COMMON[random.usize(..COMMON.len())],
        };
        let kind = match kind {
            DATA if numbers.interleaves => 64,
            FORWARD_TSN if numbers.interleaves => 194,
            _ => kind,
        };
        let body = body(random, kind, numbers);
        let len = u16::try_from(body.len() + 4).expect("short");
        let len = if random.u8(..24) == 0 { random.u16(..) } else { len };
        out.extend([kind, random.u8(..)]);
        out.extend(len.to_be_bytes());
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    if random.u8(..16) == 0 {
        let position = random.usize(..out.len());
        out[position] ^= 1 << random.u8(..8);
    }
    out
}
