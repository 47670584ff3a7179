//! What a consumer's receiver would like and what the path to it allows: of layers the lesser of both, and nothing
//! while either says so.

use corecast_wire::Limit;

use super::{Consumer, Next};
use crate::key::StreamKey;
use crate::media::{Producer, TEMPORAL_LAYERS};

/// What a path allows a consumer to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Highest spatial and temporal layer.
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// Nothing.
    pub(crate) suspended: bool,
}

impl Allowed {
    /// Everything.
    pub(crate) const ALL: Self = Self { spatial: u8::MAX, temporal: u8::MAX, suspended: false };
}

impl Consumer {
    /// Pauses or resumes by request. False if nothing changes.
    pub(crate) fn set_paused(&mut self, paused: bool) -> bool {
        self.pause_asked = paused;
        self.settle_pause()
    }

    /// The next packet that leaves after a change begins a segment. False if nothing changes.
    fn settle_pause(&mut self) -> bool {
        let paused = self.pause_asked || self.is_suspended();
        let changes = self.paused != paused;
        if changes {
            self.paused = paused;
            self.interrupt();
        }
        changes
    }

    /// It was asked to pause.
    pub(crate) const fn is_pause_asked(&self) -> bool {
        self.pause_asked
    }

    /// What the path to its receiver allows; `None` before that is decided.
    pub(crate) const fn allowed(&self) -> Option<Allowed> {
        self.allowed
    }

    /// What it is allowed is to be decided as if nothing had been. Until then nothing changes.
    pub(crate) const fn forget_allowed(&mut self) {
        self.allowed = None;
    }

    /// Its receiver would have more than before, and it was not the path that kept it from that: what more it gets is
    /// decided as at its beginning.
    pub(crate) const fn want_more(&mut self) {
        self.wants_more = true;
    }

    /// Whether that is still to be decided. It is no more.
    pub(crate) const fn take_wants_more(&mut self) -> bool {
        std::mem::replace(&mut self.wants_more, false)
    }

    /// The path to its receiver does not carry it.
    pub(crate) const fn is_suspended(&self) -> bool {
        matches!(self.allowed, Some(Allowed { suspended: true, .. }))
    }

    /// The path to its receiver allows this from now on. Returns whether it pauses or resumes for that.
    pub(crate) fn set_allowed(&mut self, allowed: Allowed) -> bool {
        let before = self.wanted_temporal();
        self.allowed = Some(allowed);
        if self.wanted_temporal() != before {
            self.follow_layers();
        }
        self.settle_pause()
    }

    /// The highest layer that it may be sent: as its receiver would like, and the path allows.
    pub(crate) fn highest_layer(&self) -> u8 {
        self.preferred_layer.min(self.allowed.unwrap_or(Allowed::ALL).spatial)
    }

    /// Whether its path limits it, if that is not what control was told last; `highest` is the producer's best layer.
    pub(crate) fn report_limited(&mut self, highest: u8) -> Option<bool> {
        let limited = self.limited_by(highest) == Limit::Path;
        (std::mem::replace(&mut self.reported_limited, limited) != limited).then_some(limited)
    }

    /// Whether it is suspended, if that is not what control was told last.
    pub(crate) fn report_suspended(&mut self) -> Option<bool> {
        let suspended = self.is_suspended();
        (std::mem::replace(&mut self.reported_suspended, suspended) != suspended).then_some(suspended)
    }

    /// What keeps it from being sent more; `highest` is the producer's best layer.
    pub(crate) fn limited_by(&self, highest: u8) -> Limit {
        let preferred = self.preferred_layer.min(highest);
        let leaves_out = |allowed: Allowed| {
            let temporal = self.preferred_temporal.min(TEMPORAL_LAYERS as u8 - 1);
            allowed.suspended || allowed.spatial < preferred || allowed.temporal < temporal
        };
        match self.allowed {
            Some(allowed) if leaves_out(allowed) => Limit::Path,
            _ if preferred < highest || self.preferred_temporal != u8::MAX => Limit::Preference,
            _ => Limit::Source,
        }
    }

    /// The highest spatial layer within one encoding that its receiver can decode.
    pub(crate) const fn decodable_spatial(&self) -> u8 {
        self.decodable_spatial
    }

    /// It is to get this spatial layer within one encoding; [`u8::MAX`] for all. `is_independent` if layers need each
    /// other at key frames only.
    pub(crate) fn set_spatial(&mut self, spatial: u8, is_independent: bool) {
        (self.spatial, self.is_independent) = (spatial, is_independent);
        self.follow_layers();
    }

    /// It waits for a key frame with which to enter another spatial layer of its encoding.
    pub(crate) const fn awaits_layer(&self) -> bool {
        let (has, wants) = (self.filter.spatial, self.spatial);
        let waits = has != u8::MAX && (wants > has || (wants < has && self.is_independent));
        matches!(self.next, Next::Filter) && waits
    }

    /// The layer that its receiver would like best.
    pub(crate) const fn preferred_layer(&self) -> u8 {
        self.preferred_layer
    }

    /// The temporal layer that its receiver would like best.
    pub(crate) const fn preferred_temporal(&self) -> u8 {
        self.preferred_temporal
    }

    /// The highest temporal layer that it may be sent; [`u8::MAX`] for all, also where that is the highest that is told
    /// apart: what comes to the same is one filter.
    pub(super) fn wanted_temporal(&self) -> u8 {
        let highest = self.preferred_temporal.min(self.allowed.unwrap_or(Allowed::ALL).temporal);
        if usize::from(highest) + 1 < TEMPORAL_LAYERS { highest } else { u8::MAX }
    }

    /// Its receiver would like this layer best; the stream is named if it is to be that one even when the ranks of the
    /// streams change. False if nothing changes.
    pub(crate) fn set_preferred_layer(&mut self, layer: u8, stream: Option<StreamKey>) -> bool {
        let changes = self.preferred_layer != layer;
        (self.preferred_layer, self.preferred_stream) = (layer, stream);
        changes
    }

    /// The ranks of the producer's streams have changed.
    pub(crate) fn follow_rank(&mut self, producer: &Producer) {
        if let Some(layer) = self.preferred_stream.and_then(|stream| producer.layer_of(stream)) {
            self.preferred_layer = layer;
        }
    }

    /// What its receiver's path would carry of it, in bits per second; `None` if that is not known.
    pub(crate) const fn usable_bps(&self) -> Option<u64> {
        self.usable_bps
    }

    pub(crate) const fn set_usable_bps(&mut self, usable_bps: Option<u64>) {
        self.usable_bps = usable_bps;
    }

    /// The higher comes first where the path does not carry all.
    pub(crate) const fn priority(&self) -> u8 {
        self.priority
    }

    pub(crate) const fn set_priority(&mut self, priority: u8) {
        self.priority = priority;
    }

    /// The receiver would like temporal layers up to this one.
    pub(crate) fn set_preferred_temporal(&mut self, layer: u8) {
        self.preferred_temporal = layer;
        self.follow_layers();
    }

    /// It may be to get other layers: those below as soon as the structure of frames allows, those above where they may
    /// be entered.
    pub(super) fn follow_layers(&mut self) {
        let has_all = self.filter.temporal == self.wanted_temporal() && self.filter.spatial == self.spatial;
        match self.next {
            Next::Filter if has_all => self.next = Next::Packet,
            Next::Packet | Next::Count if !has_all => self.next = Next::Filter,
            Next::Packet | Next::Count | Next::Filter | Next::Segment => {}
        }
    }
}
