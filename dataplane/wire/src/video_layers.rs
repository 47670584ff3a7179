//! The header extension `video-layers-allocation00`: what a sender means to send of each of its encodings.
//!
//! Read here, and never passed on: who gets one encoding of several would take it for what it is sent. The format is
//! that of libwebrtc, `docs/native-code/rtp-hdrext/video-layers-allocation00`.

/// Most encodings, spatial layers of an encoding and temporal layers of those that it can tell of.
const MAX_EACH: usize = 4;
/// Bytes that a size takes, and the picture rate behind it.
const SIZE_BYTES: usize = 5;

/// What a sender means to send of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingTarget {
    /// Width times height of its largest picture, if sizes are told.
    pub pixels: Option<u64>,
    /// Its bitrate with all layers, in bits per second.
    pub bitrate_bps: u64,
}

/// What a packet says of the encodings of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoLayers {
    /// The encoding in which the packet came, counted from 0 in the order of the offer.
    pub own: u8,
    /// How many encodings there are.
    pub count: u8,
    /// What is to be sent of each; `None` of one that is not sent.
    pub targets: [Option<EncodingTarget>; MAX_EACH],
}

impl VideoLayers {
    /// Reads the extension. `None` if it is malformed, or says that nothing is sent. Work is bounded by the length of
    /// an extension: 16 layers of 4 numbers at most.
    #[must_use]
    pub fn parse(extension: &[u8]) -> Option<Self> {
        let (first, rest) = extension.split_first()?;
        let (own, count) = (first >> 6, (first >> 4 & 3) + 1);
        if own >= count {
            return None;
        }
        let (bitmasks, rest) = bitmasks(first & 0x0f, count, rest)?;
        let layers: usize = bitmasks.iter().map(|mask| mask.count_ones() as usize).sum();
        let (temporal, mut rest) = rest.split_at_checked(layers.div_ceil(4)).filter(|_| layers > 0)?;
        let mut targets = [None; MAX_EACH];
        let mut temporal =
            temporal.iter().flat_map(|four| [6, 4, 2, 0].map(|shift| usize::from(four >> shift & 3) + 1));
        for (target, mask) in targets.iter_mut().zip(bitmasks) {
            for _ in 0..mask.count_ones() {
                let mut highest_kbps = 0;
                for _ in 0..temporal.next()? {
                    let kbps;
                    (kbps, rest) = leb128(rest)?;
                    highest_kbps = highest_kbps.max(kbps);
                }
                let known = target.get_or_insert(EncodingTarget { pixels: None, bitrate_bps: 0 });
                known.bitrate_bps = known.bitrate_bps.max(u64::from(highest_kbps) * 1_000);
            }
        }
        if !rest.is_empty() {
            sizes(rest, layers, bitmasks, &mut targets)?;
        }
        Some(Self { own, count, targets })
    }
}

/// Which spatial layers each encoding has: the same for all, or for each its own.
fn bitmasks(shared: u8, count: u8, rest: &[u8]) -> Option<([u8; MAX_EACH], &[u8])> {
    let count = usize::from(count);
    let mut masks = [shared; MAX_EACH];
    let (own, rest) = rest.split_at_checked(if shared == 0 { count.div_ceil(2) } else { 0 })?;
    let halves = own.iter().flat_map(|two| [two >> 4, two & 0x0f]);
    masks.iter_mut().zip(halves).for_each(|(mask, half)| *mask = half);
    masks.iter_mut().skip(count).for_each(|mask| *mask = 0);
    Some((masks, rest))
}

/// The size of each layer's picture, in the order of the layers, and nothing behind that.
fn sizes(
    bytes: &[u8],
    layers: usize,
    bitmasks: [u8; MAX_EACH],
    targets: &mut [Option<EncodingTarget>; MAX_EACH],
) -> Option<()> {
    if bytes.len() != layers * SIZE_BYTES {
        return None;
    }
    let mut sizes = bytes.chunks_exact(SIZE_BYTES);
    for (target, mask) in targets.iter_mut().zip(bitmasks) {
        for size in sizes.by_ref().take(mask.count_ones() as usize) {
            let [w1, w0, h1, h0, _] = *size.first_chunk::<SIZE_BYTES>()?;
            let (width, height) = (u64::from(u16::from_be_bytes([w1, w0])), u64::from(u16::from_be_bytes([h1, h0])));
            let known = target.as_mut()?;
            known.pixels = known.pixels.max(Some((width + 1) * (height + 1)));
        }
    }
    Some(())
}

/// A number in LEB128, as AV1 has it, of 32 bits at most.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn target(pixels: Option<u64>, kbps: u64) -> Option<EncodingTarget> {
        Some(EncodingTarget { pixels, bitrate_bps: kbps * 1_000 })
    }

    /// Three encodings of one spatial layer with one temporal layer each, 100, 300 and 1,200 kbit/s.
    const THREE: [u8; 6] = [0b0110_0001, 0b0000_0000, 100, 0xac, 0x02, 0xb0];

    #[test]
    fn three_encodings_with_and_without_sizes() {
        let mut bytes = [&THREE[..], &[0x09]].concat();
        let expected = |pixels: [Option<u64>; 3]| {
            let [low, middle, high] = pixels;
            let targets = [target(low, 100), target(middle, 300), target(high, 1_200), None];
            Some(VideoLayers { own: 1, count: 3, targets })
        };
        assert_eq!(VideoLayers::parse(&bytes), expected([None; 3]));
        for (width, height) in [(320_u16, 180_u16), (640, 360), (1_280, 720)] {
            bytes.extend([(width - 1).to_be_bytes(), (height - 1).to_be_bytes()].as_flattened());
            bytes.push(30);
        }
        assert_eq!(VideoLayers::parse(&bytes), expected([57_600, 230_400, 921_600].map(Some)));
        for len in 0..bytes.len() {
            let cut = VideoLayers::parse(bytes.get(..len).expect("shorter"));
            assert_eq!(cut.is_some(), len == 7, "{len} bytes");
        }
        bytes.push(0);
        assert_eq!(VideoLayers::parse(&bytes), None, "a byte too many");
    }

    /// Chromium 156 with VP8 in three encodings of 320x180, 640x360 and 1,280x720 and three temporal layers.
    #[test]
    fn what_chromium_says() {
        const RATES: [u8; 14] = [0xa8, 0x3c, 0x5a, 0x96, 0x01, 0xc8, 0x01, 0xac, 0x02, 0xf4, 0x03, 0xf4, 0x03, 0xae];
        const SIZES: [u8; 15] =
            [0x01, 0x3f, 0x00, 0xb3, 0x17, 0x02, 0x7f, 0x01, 0x67, 0x17, 0x04, 0xff, 0x02, 0xcf, 0x17];
        let rates = [150, 500, 930];
        for own in 0..3_u8 {
            let with_sizes = [&[own << 6 | 0x21][..], &RATES, &[0x04, 0xa2, 0x07], &SIZES].concat();
            let sizes = [57_600, 230_400, 921_600].map(Some);
            let expected = |sizes: [Option<u64>; 3]| {
                let [low, middle, high] = [0, 1, 2].map(|at| target(sizes[at], rates[at]));
                Some(VideoLayers { own, count: 3, targets: [low, middle, high, None] })
            };
            assert_eq!(VideoLayers::parse(&with_sizes), expected(sizes), "in a key frame");
            let rates_alone = with_sizes.get(..with_sizes.len() - SIZES.len()).expect("longer");
            assert_eq!(VideoLayers::parse(rates_alone), expected([None; 3]), "in another frame");
        }
        // While its path carries no more than one of them.
        let one = [0x01, 0x80, 0x50, 0x78, 0xc8, 0x01, 0x01, 0x3f, 0x00, 0xb3, 0x3c];
        let targets = [target(Some(57_600), 200), None, None, None];
        assert_eq!(VideoLayers::parse(&one), Some(VideoLayers { own: 0, count: 1, targets }));
    }

    #[test]
    fn layers_that_differ_and_an_encoding_that_is_not_sent() {
        // The first of two has two spatial layers, of one and of two temporal layers; the second has none.
        let bytes = [0b0001_0000, 0b0011_0000, 0b0001_0000, 50, 70, 90];
        let targets = [target(None, 90), None, None, None];
        assert_eq!(VideoLayers::parse(&bytes), Some(VideoLayers { own: 0, count: 2, targets }));
    }

    #[test]
    fn nothing_is_read_of_what_is_malformed() {
        assert_eq!(VideoLayers::parse(&[]), None);
        assert_eq!(VideoLayers::parse(&[0]), None, "nothing is sent");
        assert_eq!(VideoLayers::parse(&[0, 0, 0]), None, "no layers");
        assert_eq!(VideoLayers::parse(&[0b0100_0001, 0, 1]), None, "the second of one");
        assert_eq!(VideoLayers::parse(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]).map(|one| one.count), Some(1), "u32::MAX");
        assert_eq!(VideoLayers::parse(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x1f]), None, "more than 32 bits");
        assert_eq!(VideoLayers::parse(&[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), None, "longer than 5 bytes");
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn whatever_comes_is_read_within_its_bounds() {
        let (mut state, mut read) = (1, 0);
        for round in 0..300_000_u64 {
            let len = random(&mut state) % if round.is_multiple_of(2) { 12 } else { 256 };
            let bytes: Vec<_> = (0..len).map(|_| random(&mut state).to_le_bytes()[0]).collect();
            let Some(VideoLayers { own, count, targets }) = VideoLayers::parse(&bytes) else { continue };
            read += 1;
            assert!(own < count && (1..=4).contains(&count), "{bytes:?}");
            assert!(targets.iter().skip(count.into()).all(Option::is_none), "{bytes:?}");
            assert!(targets.iter().flatten().all(|target| target.pixels.is_none_or(|pixels| pixels <= 1 << 32)));
        }
        assert!(read > 1_000, "{read} of them are lawful");
    }
}
