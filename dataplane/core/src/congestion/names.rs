//! Under which SSRC and sequence number packets have left: feedback of RFC 8888 names them so. The newest alone, and
//! only where a receiver gives such feedback.

use std::collections::VecDeque;

use crate::limits::MAX_SENT_NAMES;
use crate::rtcp::{Ccfb, CcfbStream, Fate};

/// A packet that has left, and of which nothing has been heard.
#[derive(Clone, Copy, Debug)]
struct Name {
    /// Its transport-wide number, unwrapped, though it may not carry it.
    number: u64,
    ssrc: u32,
    sequence: u16,
}

/// At most [`MAX_SENT_NAMES`] of them, by numbers that grow.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: VecDeque<Name>,
}

/// A packet that came: how long before the feedback was written, in 1/1,024 s, and its ECN bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) before: u16,
    pub(super) ecn: u8,
}

impl Names {
    /// A packet has left under this name.
    pub(super) fn record(&mut self, number: u64, (ssrc, sequence): (u32, u16)) {
        if self.names.len() >= MAX_SENT_NAMES {
            self.names.pop_front();
        }
        self.names.push_back(Name { number, ssrc, sequence });
    }

    /// The number of the oldest.
    pub(super) fn first(&self) -> Option<u64> {
        self.names.front().map(|name| name.number)
    }

    /// Forgets what feedback tells of, and says it to `told` in the order in which it left: the number, and how it came
    /// or that it did not. What came at a time that is not told is forgotten alone.
    pub(super) fn take(&mut self, feedback: &Ccfb<'_>, mut told: impl FnMut(u64, Option<Came>)) {
        let mut streams: Vec<CcfbStream<'_>> = feedback.streams().filter(|stream| !stream.is_empty()).collect();
        streams.sort_by_key(|stream| stream.ssrc);
        self.names.retain(|name| {
            let at = streams.binary_search_by_key(&name.ssrc, |stream| stream.ssrc);
            let stream = at.ok().and_then(|at| streams.get(at));
            match stream.and_then(|stream| stream.fate(name.sequence)) {
                None => return true,
                Some(Fate::Missing) => told(name.number, None),
                Some(Fate::Came { before: Some(before), ecn }) => told(name.number, Some(Came { before, ecn })),
                Some(Fate::Came { before: None, .. }) => {}
            }
            false
        });
    }

    /// Forgets what left before this number.
    pub(super) fn forget_before(&mut self, number: u64) {
        let old = self.names.partition_point(|name| name.number < number);
        self.names.drain(..old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{self, Packet};

    /// Feedback at time 0 with these streams: SSRC, first sequence number, reports.
    fn take(names: &mut Names, streams: &[(u32, u16, &[u16])]) -> Vec<(u64, Option<Came>)> {
        let mut body = vec![0, 0, 0, 1];
        for (ssrc, first, reports) in streams {
            body.extend(ssrc.to_be_bytes());
            body.extend(first.to_be_bytes());
            body.extend((reports.len() as u16).to_be_bytes());
            reports.iter().for_each(|report| body.extend(report.to_be_bytes()));
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body.extend([0; 4]);
        let words = (body.len() / 4) as u16;
        let compound = [&[0x8b, 205][..], &words.to_be_bytes(), &body].concat();
        let Some(Packet::Ccfb(feedback)) = rtcp::parse(&compound).expect("lawful").next() else { panic!("not ccfb") };
        let mut told = Vec::new();
        names.take(&feedback, |number, came| told.push((number, came)));
        told
    }

    #[test]
    fn each_packet_is_told_of_once_in_the_order_in_which_it_left() {
        let mut names = Names::default();
        for (number, name) in (100..).zip([(7, 0xffff), (9, 5), (7, 0), (9, 6), (7, 1)]) {
            names.record(number, name);
        }
        let came = |before, ecn| Some(Came { before, ecn });
        let streams: [(u32, u16, &[u16]); 3] =
            [(9, 4, &[0x8001, 0xe002]), (7, 0xffff, &[0x8003, 0, 0x9fff]), (8, 0, &[0x8000])];
        assert_eq!(take(&mut names, &streams), [(100, came(3, 0)), (101, came(2, 3)), (102, None)]);
        assert_eq!(take(&mut names, &streams), [], "once, and 104 came at a time that nobody knows");
        assert_eq!(names.first(), Some(103));
        names.forget_before(103);
        assert_eq!(names.first(), Some(103));
        names.forget_before(104);
        assert_eq!(names.first(), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut names = Names::default();
        (0..3 * MAX_SENT_NAMES as u64).for_each(|number| names.record(number, (1, number as u16)));
        assert_eq!(names.first(), Some(2 * MAX_SENT_NAMES as u64));
    }
}
