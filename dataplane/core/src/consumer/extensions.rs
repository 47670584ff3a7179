//! Header extensions out (RFC 8285): what a consumer passes on, under its receiver's numbers, and what it writes
//! itself: MID, abs-send-time, transport-wide sequence number.
//!
//! Decided once, when the consumer is made, so that forwarding only copies. What is passed on lies in history with the
//! router's numbers; a receiver that has the same gets it as it lies there, with what is new behind it.
//!
//! A packet that may be sealed twice under one index must be the same to the byte both times, which time and a counter
//! never are. So a consumer whose receiver may ask for packets again, without a retransmission stream for all of them,
//! writes neither (see [`may_repeat`]).
//!
//! The one-byte form is used wherever it can carry every element, the two-byte form where it cannot: a dependency
//! descriptor with a template structure may be longer than 16 bytes. Whether a receiver agreed to `extmap-allow-mixed`
//! is not asked then: libwebrtc, Firefox and GStreamer read both forms of any packet, and without the structure nothing
//! of the stream could be decoded.

use corecast_wire::{ConsumeOptions, HeaderExtension};

use crate::rtp::{EXTENSION_HEAD_BYTES, Extensions, extension_block_len, write_extension_block};
use crate::time::{Instant, ntp_time};

/// Most bytes of elements that a consumer writes itself: a MID of 16 bytes, abs-send-time, a sequence number.
const MAX_OWN_BYTES: usize = 24;
/// See [`ExtensionPlan::descriptor`].
const NAMED: u8 = 0x80;
/// First bytes of a block in the one-byte form (RFC 8285 section 4.2).
const ONE_BYTE_FORM: [u8; 2] = [0xbe, 0xde];

/// What is different in each packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    /// Seconds in 6.18 bits.
    pub(crate) abs_send_time: [u8; 3],
    /// Transport-wide sequence number.
    pub(crate) transport_cc: u16,
}

/// What a packet of history carries to be passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed<'a> {
    /// See [`crate::media::PacketMeta::extension_ids`].
    pub(crate) ids: u16,
    /// The extension block of history.
    pub(crate) block: &'a [u8],
    /// What leaves instead of the dependency descriptor in it.
    pub(crate) descriptor: Option<&'a [u8]>,
}

/// The extensions of one consumer's packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExtensionPlan {
    /// Four bits for each of the router's ids: what the receiver calls it; 0 for what is not passed on.
    receiver_ids: u64,
    /// Elements that the consumer writes itself, in the one-byte form, padded to words; without their stamp.
    own: [u8; MAX_OWN_BYTES],
    own_len: u8,
    /// Where in `own` the stamp goes; 0 for nowhere.
    abs_send_time_at: u8,
    transport_cc_at: u8,
    /// What the router calls dependency descriptors, if they are passed on; else 0. And [`NAMED`]: its receiver says
    /// what came by SSRC and sequence number (RFC 8888). In one byte, so that all of it is on the lines of the cache
    /// that a consumer has for it.
    descriptor: u8,
    /// Bit n is set if the router's id n is passed on, and if it is under the same number.
    passed: u16,
    same: u16,
}

/// Whether a receiver may ask for a packet again that has no retransmission stream to come on.
pub(crate) fn may_repeat(options: &ConsumeOptions) -> bool {
    let is_retransmitted = |payload_type| {
        options.rtx.as_ref().is_some_and(|rtx| rtx.payload_types.iter().any(|(media, _)| *media == payload_type))
    };
    options.nack && !options.payload_types.iter().all(|one| is_retransmitted(one.router))
}

/// `now` as abs-send-time: the NTP clock in 6.18 bits
/// (<http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time>).
pub(crate) fn abs_send_time(unix_time_ns: u64, now: Instant) -> [u8; 3] {
    let [.., a, b, c] = (ntp_time(unix_time_ns, now) >> 14).to_be_bytes();
    [a, b, c]
}

impl ExtensionPlan {
    pub(crate) fn new(options: &ConsumeOptions) -> Self {
        let mut plan = Self::default();
        let is_stamped = !may_repeat(options);
        for one in &options.header_extensions {
            match (one.extension, &options.mid) {
                (HeaderExtension::Mid, Some(mid)) => _ = plan.push_own(one.receiver_id, mid.as_bytes()),
                (HeaderExtension::AbsSendTime, _) if is_stamped => {
                    plan.abs_send_time_at = plan.push_own(one.receiver_id, &[0; 3]).unwrap_or(0);
                }
                (HeaderExtension::TransportCc, _) if is_stamped => {
                    plan.transport_cc_at = plan.push_own(one.receiver_id, &[0; 2]).unwrap_or(0);
                }
                (extension, _) if extension.is_hop_local() => {}
                (extension, _) => {
                    plan.pass_on(one.router_id, one.receiver_id);
                    if extension == HeaderExtension::DependencyDescriptor {
                        plan.descriptor = one.router_id & !NAMED;
                    }
                }
            }
        }
        plan.own_len = plan.own_len.next_multiple_of(4);
        if options.ccfb && plan.transport_cc_at == 0 {
            plan.descriptor |= NAMED;
        }
        plan
    }

    /// Appends an element; the place of its data. None if it does not fit.
    fn push_own(&mut self, id: u8, data: &[u8]) -> Option<u8> {
        let len = u8::try_from(data.len()).ok().filter(|len| (1..=16).contains(len))?;
        let at = usize::from(self.own_len);
        let (head, rest) = self.own.get_mut(at..=at + data.len())?.split_first_mut()?;
        *head = id << 4 | (len - 1);
        rest.copy_from_slice(data);
        self.own_len += 1 + len;
        Some(self.own_len - len)
    }

    fn pass_on(&mut self, router: u8, receiver: u8) {
        let bit = 1_u16.checked_shl(u32::from(router)).unwrap_or(0);
        self.passed |= bit;
        self.same |= if router == receiver { bit } else { 0 };
        self.receiver_ids |= u64::from(receiver & 0x0f).checked_shl(u32::from(router) * 4).unwrap_or(0);
    }

    /// Whether packets carry a transport-wide sequence number. Only those count: to a receiver, a number that never
    /// comes is a loss.
    pub(crate) const fn has_transport_cc(&self) -> bool {
        self.transport_cc_at != 0
    }

    /// Whether the receiver says what came of packets: by that number, or by SSRC and sequence number.
    pub(crate) const fn is_reported(&self) -> bool {
        self.has_transport_cc() || self.descriptor & NAMED != 0
    }

    /// What the receiver calls a packet when it says so, unless that is the transport-wide number.
    #[expect(clippy::cast_possible_truncation, reason = "RTP carries the lower 16 bits")]
    pub(crate) fn name_of(&self, ssrc: u32, index: u64) -> Option<(u32, u16)> {
        (self.descriptor & NAMED != 0).then_some((ssrc, index as u16))
    }

    const fn descriptor_id(&self) -> u8 {
        self.descriptor & !NAMED
    }

    /// The dependency descriptor that is passed on of a packet.
    pub(crate) fn descriptor<'a>(&self, ids: u16, block: &'a [u8]) -> Option<&'a [u8]> {
        let id = self.descriptor_id();
        let is_there = id != 0 && ids.checked_shr(u32::from(id)).unwrap_or(0) & 1 == 1;
        is_there.then_some(())?;
        Extensions::of_block(block).find(|(one, _)| *one == id).map(|(_, data)| data)
    }

    /// How long a packet's extension block is.
    pub(crate) fn block_len(&self, passed: Passed<'_>) -> usize {
        let own_len = usize::from(self.own_len);
        match self.copied(passed) {
            Some([]) if own_len == 0 => 0,
            Some([]) => EXTENSION_HEAD_BYTES + own_len,
            Some(block) => block.len() + own_len,
            None => extension_block_len(self.elements(passed, &self.own)),
        }
    }

    /// Writes a packet's extension block to `out`, which is [`Self::block_len`] long.
    pub(crate) fn write(&self, passed: Passed<'_>, stamp: Stamp, out: &mut [u8]) -> Option<()> {
        if out.is_empty() {
            return Some(());
        }
        let own = self.stamped(stamp);
        let Some(block) = self.copied(passed) else {
            let len = out.len();
            return (write_extension_block(out, self.elements(passed, &own)) == len).then_some(());
        };
        let own = own.get(..usize::from(self.own_len))?;
        let words = u16::try_from((out.len() - EXTENSION_HEAD_BYTES) / 4).ok()?;
        let (passed, new) = out.split_at_mut_checked(block.len().max(EXTENSION_HEAD_BYTES))?;
        new.copy_from_slice(own);
        if block.is_empty() {
            passed.first_chunk_mut().map(|form| *form = ONE_BYTE_FORM)?;
        } else {
            passed.copy_from_slice(block);
        }
        *passed.get_mut(2..)?.first_chunk_mut()? = words.to_be_bytes();
        Some(())
    }

    /// The part of a block that can be copied as it is; `None` if its elements must be looked at one by one.
    fn copied<'a>(&self, Passed { ids, block, descriptor }: Passed<'a>) -> Option<&'a [u8]> {
        if ids & self.passed == 0 {
            return Some(&[]);
        }
        let has_form = self.own_len == 0 || block.starts_with(&ONE_BYTE_FORM);
        (ids & !self.same == 0 && has_form && descriptor.is_none()).then_some(block)
    }

    fn stamped(&self, stamp: Stamp) -> [u8; MAX_OWN_BYTES] {
        let mut own = self.own;
        let place = |at: u8| usize::from(at);
        if self.abs_send_time_at != 0
            && let Some(data) = own.get_mut(place(self.abs_send_time_at)..).and_then(<[u8]>::first_chunk_mut)
        {
            *data = stamp.abs_send_time;
        }
        if self.transport_cc_at != 0
            && let Some(data) = own.get_mut(place(self.transport_cc_at)..).and_then(<[u8]>::first_chunk_mut)
        {
            *data = stamp.transport_cc.to_be_bytes();
        }
        own
    }

    /// What is passed on of a block, renumbered, and what is new.
    fn elements<'a>(
        &self,
        Passed { block, descriptor, .. }: Passed<'a>,
        own: &'a [u8],
    ) -> impl Iterator<Item = (u8, &'a [u8])> + Clone {
        let (receiver_ids, descriptor_id) = (self.receiver_ids, self.descriptor_id());
        let passed = Extensions::of_block(block).filter_map(move |(id, data)| {
            let shifted = receiver_ids.checked_shr(u32::from(id) * 4).unwrap_or(0);
            let receiver = (shifted & 0x0f) as u8;
            let data = descriptor.filter(|_| id == descriptor_id).unwrap_or(data);
            (receiver != 0).then_some((receiver, data))
        });
        passed.chain(Extensions::of_elements(own.get(..usize::from(self.own_len)).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use corecast_wire::{ConsumerExtension, PayloadTypeMapping, RtxOptions};

    use super::*;

    const STAMP: Stamp = Stamp { abs_send_time: [1, 2, 3], transport_cc: 0x0405 };

    fn options(extensions: &[(HeaderExtension, u8, u8)]) -> ConsumeOptions {
        let extension = |&(extension, router_id, receiver_id)| ConsumerExtension { extension, router_id, receiver_id };
        ConsumeOptions {
            rtx: Some(RtxOptions { ssrc: 2, payload_types: vec![(100, 101)], first_sequence: 0 }),
            header_extensions: extensions.iter().map(extension).collect(),
            mid: Some("ab".into()),
            nack: true,
            ..ConsumeOptions::new(1, vec![PayloadTypeMapping::same(100)], String::new())
        }
    }

    /// The elements that a packet with `passed` (the router's ids) leaves with, and the block.
    fn written(options: &ConsumeOptions, passed: &[(u8, &[u8])]) -> (Vec<(u8, Vec<u8>)>, Vec<u8>) {
        let mut block = [0; 512];
        let len = write_extension_block(&mut block, passed.iter().copied());
        let (block, plan) = (&block[..len], ExtensionPlan::new(options));
        let ids = passed.iter().fold(0, |ids, (id, _)| ids | 1 << id);
        let passed = Passed { ids, block, descriptor: None };
        let mut out = vec![0xff; plan.block_len(passed)];
        plan.write(passed, STAMP, &mut out).expect("as long as it says");
        assert!(out.len().is_multiple_of(4));
        if let Some(words) = out.get(2..4) {
            assert_eq!(usize::from(u16::from_be_bytes([words[0], words[1]])) * 4 + 4, out.len());
        }
        (Extensions::of_block(&out).map(|(id, data)| (id, data.to_vec())).collect(), out)
    }

    fn ids_and_data(elements: &[(u8, &[u8])]) -> Vec<(u8, Vec<u8>)> {
        elements.iter().map(|(id, data)| (*id, data.to_vec())).collect()
    }

    const OWN: [(HeaderExtension, u8, u8); 3] =
        [(HeaderExtension::Mid, 1, 9), (HeaderExtension::AbsSendTime, 2, 10), (HeaderExtension::TransportCc, 3, 11)];
    const NEW: [(u8, &[u8]); 3] = [(9, b"ab"), (10, &[1, 2, 3]), (11, &[4, 5])];

    #[test]
    fn what_is_new_is_written_into_every_packet() {
        let (elements, block) = written(&options(&OWN), &[]);
        assert_eq!(elements, ids_and_data(&NEW));
        assert_eq!(block.len(), 4 + 12, "3 + 4 + 3 bytes of elements");
        assert_eq!(written(&options(&[]), &[(4, &[7])]).1, [], "nothing new, nothing passed on");
        let longest = ConsumeOptions { mid: Some("0123456789abcdef".into()), ..options(&OWN) };
        assert_eq!(written(&longest, &[]).0.len(), 3);
    }

    #[test]
    fn what_is_known_is_passed_on_and_renumbered_where_it_must_be() {
        let passed: [(u8, &[u8]); 2] = [(4, &[7]), (5, &[8, 0])];
        let known = |four, five: Option<u8>| {
            let mut known = OWN.to_vec();
            known.push((HeaderExtension::VideoOrientation, 4, four));
            known.extend(five.map(|five| (HeaderExtension::PlayoutDelay, 5, five)));
            options(&known)
        };
        let same = [&passed[..], &NEW].concat();
        assert_eq!(written(&known(4, Some(5)), &passed).0, ids_and_data(&same));
        let renumbered = [&[(14, &[7][..]), (4, &[8, 0])], &NEW[..]].concat();
        assert_eq!(written(&known(14, Some(4)), &passed).0, ids_and_data(&renumbered));
        let fewer = [&passed[..1], &NEW].concat();
        assert_eq!(written(&known(4, None), &passed).0, ids_and_data(&fewer));
        assert_eq!(written(&known(4, Some(5)), &[(6, &[1])]).0, ids_and_data(&NEW), "not negotiated");
        let only = options(&[(HeaderExtension::VideoOrientation, 4, 4)]);
        assert_eq!(written(&only, &passed[..1]).0, ids_and_data(&passed[..1]), "nothing new");
    }

    #[test]
    fn the_two_byte_form_is_for_those_who_get_what_needs_it() {
        let long = [1; 30];
        let passed: [(u8, &[u8]); 2] = [(4, &[7]), (7, &long)];
        let mut known = OWN.to_vec();
        known.push((HeaderExtension::VideoOrientation, 4, 4));
        let (elements, block) = written(&options(&known), &passed);
        assert_eq!((elements, &block[..2]), (ids_and_data(&[&passed[..1], &NEW].concat()), &ONE_BYTE_FORM[..]));
        known.push((HeaderExtension::DependencyDescriptor, 7, 7));
        let (elements, block) = written(&options(&known), &passed);
        assert_eq!((elements, &block[..2]), (ids_and_data(&[&passed[..], &NEW].concat()), &[0x10, 0][..]));
    }

    #[test]
    fn what_may_be_repeated_holds_nothing_that_changes() {
        let with = |nack, rtx: &[(u8, u8)]| {
            let rtx = RtxOptions { ssrc: 2, payload_types: rtx.to_vec(), first_sequence: 0 };
            ConsumeOptions { nack, rtx: Some(rtx), ..options(&OWN) }
        };
        assert_eq!(written(&with(true, &[]), &[]).0, ids_and_data(&NEW[..1]));
        assert_eq!(written(&with(true, &[(99, 98)]), &[]).0, ids_and_data(&NEW[..1]), "of another payload type");
        assert_eq!(written(&with(true, &[(100, 101)]), &[]).0, ids_and_data(&NEW));
        assert_eq!(written(&with(false, &[]), &[]).0, ids_and_data(&NEW));
        assert!(!ExtensionPlan::new(&with(true, &[])).has_transport_cc(), "nor does it count");
        assert!(ExtensionPlan::new(&with(false, &[])).has_transport_cc());
    }

    #[test]
    fn a_second_is_two_to_the_eighteenth() {
        let at = |nanos| {
            let [a, b, c] = abs_send_time(0, Instant::from_nanos(nanos));
            u32::from_be_bytes([0, a, b, c])
        };
        assert_eq!(at(1_000_000_000).wrapping_sub(at(0)) & 0xff_ffff, 1 << 18);
        assert_eq!(at(64_000_000_000), at(0), "wraps after 64 s");
        assert_eq!(at(500_000_000).wrapping_sub(at(0)) & 0xff_ffff, 1 << 17);
    }
}
