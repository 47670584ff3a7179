//! Feedback of RFC 8888: runs of streams, and their bounds.

use super::super::*;
use super::packet;

/// Feedback with these blocks of streams, at time 0x0102_0304.
fn feedback(streams: &[u8]) -> Vec<u8> {
    packet(11, 205, &[&[0, 0, 0, 9], streams, &[1, 2, 3, 4]].concat())
}

fn of(compound: &[u8]) -> Ccfb<'_> {
    let Ok(mut packets) = parse(compound) else { panic!("refused") };
    let Some(Packet::Ccfb(ccfb)) = packets.next() else { panic!("not ccfb") };
    ccfb
}

#[test]
fn runs_of_several_streams() {
    let first = [0, 0, 0, 1, 0xff, 0xff, 0, 3, 0x80, 0, 0x00, 0, 0xff, 0xfd, 0, 0];
    let second = [0, 0, 0, 2, 0, 7, 0, 2, 0x9f, 0xfe, 0xdf, 0xff];
    let empty = [0, 0, 0, 3, 0, 0, 0, 0];
    let compound = feedback(&[&first[..], &second, &empty].concat());
    let ccfb = of(&compound);
    assert_eq!((ccfb.sender_ssrc, ccfb.timestamp), (9, 0x0102_0304));
    let streams: Vec<_> = ccfb.streams().collect();
    let heads: Vec<_> = streams.iter().map(|one| (one.ssrc, one.first_sequence, one.len())).collect();
    assert_eq!(heads, [(1, 0xffff, 3), (2, 7, 2), (3, 0, 0)]);
    let fates = |at: usize, sequences: &[u16]| -> Vec<_> {
        sequences.iter().map(|sequence| streams[at].fate(*sequence)).collect()
    };
    let came = |before, ecn| Some(Fate::Came { before, ecn });
    assert_eq!(
        fates(0, &[0xfffe, 0xffff, 0, 1, 2]),
        [None, came(Some(0), 0), Some(Fate::Missing), came(Some(0x1ffd), 3), None],
        "what pads the run is no report"
    );
    assert_eq!(fates(1, &[7, 8]), [came(None, 0), came(None, 2)], "too early to be told, and later than the feedback");
    assert!(streams[2].is_empty() && streams[2].fate(0).is_none());
    assert_eq!(of(&feedback(&[])).streams().count(), 0);
}

#[test]
fn what_is_not_there_is_refused() {
    let head = |count: u16| [&[0, 0, 0, 1, 0, 0][..], &count.to_be_bytes()].concat();
    for (streams, why) in [
        (head(1), "no report"),
        ([&head(3)[..], &[0x80, 0, 0x80, 0]].concat(), "one report is missing"),
        ([&head(16_385)[..], &[0; 32_772]].concat(), "longer than the RFC allows"),
        (vec![0, 0, 0, 1], "half a head"),
        ([&head(2)[..], &[0x80, 0, 0x80, 0, 0, 0, 0, 1]].concat(), "half a head behind a stream"),
    ] {
        assert_eq!(parse(&feedback(&streams)).unwrap_err(), MalformedRtcp::Body, "{why}");
    }
    assert!(parse(&packet(11, 205, &[0, 0, 0, 9])).is_err(), "no time");
    assert_eq!(of(&feedback(&[&head(16_384)[..], &[0x80; 32_768]].concat())).streams().count(), 1);
}

/// Whatever bytes come, walking them ends, and tells of no more packets than there are bytes for.
#[test]
fn bytes_at_random_are_bounded() {
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Small numbers are lawful more often.
                let byte = (state >> 56) as u8;
                if byte & 3 == 0 { byte } else { byte >> 6 }
            })
            .collect();
        let compound = feedback(&bytes);
        let Ok(mut packets) = parse(&compound) else { continue };
        let Some(Packet::Ccfb(ccfb)) = packets.next() else { panic!("not ccfb") };
        let reports: usize = ccfb.streams().map(|stream| stream.len()).sum();
        assert!(reports * 2 + ccfb.streams().count() * 8 <= bytes.len());
        ccfb.streams()
            .for_each(|one| assert!((0..=u16::MAX).filter(|at| one.fate(*at).is_some()).count() == one.len()));
    }
}
