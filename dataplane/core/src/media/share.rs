//! How many slots of history a stream may hold, so that no stream's packets ever wait for another's to leave.
//!
//! Half of the slots are *shares*: a stream that sends has its share for itself. The other half is for *growth* beyond
//! the shares, first come, first served, but no transport and no router gets all of it. Both halves together are one
//! slot less than there are: that one is the spare into which the next packet is opened.

use std::collections::BTreeMap;

use corecast_wire::{MediaKind, RouterId};

use crate::key::TransportKey;
use crate::limits::{AUDIO_SHARE_PACKETS, LEAST_SHARE_PACKETS, VIDEO_SHARE_PACKETS};

/// Parts of the shares that the streams of one transport have in full; further ones get [`LEAST_SHARE_PACKETS`].
const TRANSPORT_PART_OF_SHARES: usize = 128;
/// Parts of the growth that are for one transport, and for one router.
const TRANSPORT_PART_OF_GROWTH: usize = 8;
const ROUTER_PART_OF_GROWTH: usize = 2;

/// Whose a stream is, as far as it counts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The transport on which it comes.
    pub(crate) transport: TransportKey,
    /// That transport's router.
    pub(crate) router: RouterId,
}

/// Slots that the streams of a transport have.
#[derive(Clone, Copy, Debug, Default)]
struct Holding {
    shares: usize,
    growth: usize,
}

/// Slots that are promised, and slots that are held beyond that.
#[derive(Debug)]
pub(super) struct Shares {
    max_shares: usize,
    max_growth: usize,
    shares: usize,
    growth: usize,
    transports: BTreeMap<TransportKey, Holding>,
    routers: BTreeMap<RouterId, usize>,
}

/// Packets of history that a stream has for itself.
const fn wanted(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Audio => AUDIO_SHARE_PACKETS,
        MediaKind::Video => VIDEO_SHARE_PACKETS,
    }
}

impl Shares {
    /// The shares of so many slots.
    pub(super) fn new(slots: usize) -> Self {
        let max_shares = slots.saturating_sub(1) / 2;
        Self {
            max_shares,
            max_growth: slots.saturating_sub(1 + max_shares),
            shares: 0,
            growth: 0,
            transports: BTreeMap::new(),
            routers: BTreeMap::new(),
        }
    }

    /// Streams of this kind that can have their shares.
    pub(super) const fn max_streams(&self, kind: MediaKind) -> usize {
        self.max_shares / wanted(kind)
    }

    /// Whether so many more streams could have their shares, if they began to send now.
    pub(super) fn have_room(&self, kind: MediaKind, streams: usize) -> bool {
        self.shares.saturating_add(streams.saturating_mul(wanted(kind))) <= self.max_shares
    }

    /// A stream's share, from now on. `None` if no slot is left to promise.
    pub(super) fn claim(&mut self, holder: Holder, kind: MediaKind) -> Option<usize> {
        let holding = self.transports.entry(holder.transport).or_default();
        let in_full = (self.max_shares / TRANSPORT_PART_OF_SHARES).max(wanted(kind));
        let room = in_full.saturating_sub(holding.shares).max(LEAST_SHARE_PACKETS);
        let share = wanted(kind).min(room).min(self.max_shares.saturating_sub(self.shares));
        self.shares += share;
        holding.shares += share;
        self.tidy(holder);
        (share > 0).then_some(share)
    }

    /// Gives a stream's share back.
    pub(super) fn give_back(&mut self, holder: Holder, share: usize) {
        self.shares = self.shares.saturating_sub(share);
        if let Some(holding) = self.transports.get_mut(&holder.transport) {
            holding.shares = holding.shares.saturating_sub(share);
        }
        self.tidy(holder);
    }

    /// One slot more for a stream that has its share. False if its transport, its router or all have what they may.
    pub(super) fn grow(&mut self, holder: Holder) -> bool {
        let of_transport = self.transports.get(&holder.transport).map_or(0, |holding| holding.growth);
        let of_router = self.routers.get(&holder.router).copied().unwrap_or(0);
        let may = self.growth < self.max_growth
            && of_transport < self.max_growth / TRANSPORT_PART_OF_GROWTH
            && of_router < self.max_growth / ROUTER_PART_OF_GROWTH;
        if may {
            self.growth += 1;
            self.transports.entry(holder.transport).or_default().growth += 1;
            *self.routers.entry(holder.router).or_default() += 1;
        }
        may
    }

    /// One slot beyond its share has left a stream.
    pub(super) fn shrink(&mut self, holder: Holder) {
        self.growth = self.growth.saturating_sub(1);
        if let Some(holding) = self.transports.get_mut(&holder.transport) {
            holding.growth = holding.growth.saturating_sub(1);
        }
        if let Some(growth) = self.routers.get_mut(&holder.router) {
            *growth = growth.saturating_sub(1);
        }
        self.tidy(holder);
    }

    /// Forgets a holder that has nothing.
    fn tidy(&mut self, holder: Holder) {
        if self.transports.get(&holder.transport).is_some_and(|holding| holding.shares + holding.growth == 0) {
            self.transports.remove(&holder.transport);
        }
        if self.routers.get(&holder.router) == Some(&0) {
            self.routers.remove(&holder.router);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn holder(transport: u32, router: u64) -> Holder {
        Holder { transport: Key::for_tests(transport), router: RouterId(router) }
    }

    #[test]
    fn shares_and_growth_never_exceed_the_slots() {
        let mut shares = Shares::new(10_001);
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut streams: Vec<(Holder, usize, usize)> = Vec::new();
        for _ in 0..100_000 {
            let kind = if random(2) == 0 { MediaKind::Audio } else { MediaKind::Video };
            let holder = holder(random(20) as u32, random(5) as u64);
            let chosen = random(streams.len().max(1));
            match random(8) {
                0 => streams.extend(shares.claim(holder, kind).map(|share| (holder, share, 0))),
                1 if chosen < streams.len() => {
                    let (holder, share, growth) = streams.swap_remove(chosen);
                    (0..growth).for_each(|_| shares.shrink(holder));
                    shares.give_back(holder, share);
                }
                _ => {
                    if let Some((holder, _, growth)) = streams.get_mut(chosen) {
                        *growth += usize::from(shares.grow(*holder));
                    }
                }
            }
            let held: usize = streams.iter().map(|(_, share, growth)| share + growth).sum();
            assert!(held <= 10_000, "{held}");
            assert_eq!(held, shares.shares + shares.growth);
        }
        for (holder, share, growth) in streams {
            (0..growth).for_each(|_| shares.shrink(holder));
            shares.give_back(holder, share);
        }
        assert_eq!((shares.shares, shares.growth, shares.transports.len(), shares.routers.len()), (0, 0, 0, 0));
    }

    #[test]
    fn no_transport_and_no_router_grows_over_all() {
        let mut shares = Shares::new(2_001);
        let grown = |shares: &mut Shares, holder| (0..2_000).filter(|_| shares.grow(holder)).count();
        assert_eq!(grown(&mut shares, holder(1, 1)), 125, "an eighth for a transport");
        let router: usize = (2..20).map(|transport| grown(&mut shares, holder(transport, 1))).sum();
        assert_eq!(125 + router, 500, "half for a router");
        let others: usize = (20..40).map(|transport| grown(&mut shares, holder(transport, 2))).sum();
        assert_eq!(others, 500);
    }

    #[test]
    fn many_streams_of_one_transport_have_small_shares() {
        let mut shares = Shares::new(2 * 128 * 2 * VIDEO_SHARE_PACKETS + 1);
        let claimed: Vec<_> = (0..4).filter_map(|_| shares.claim(holder(1, 1), MediaKind::Video)).collect();
        let (full, least) = (VIDEO_SHARE_PACKETS, LEAST_SHARE_PACKETS);
        assert_eq!(claimed, [full, full, least, least]);
        assert_eq!(shares.claim(holder(2, 1), MediaKind::Video), Some(full), "another transport");
    }
}
