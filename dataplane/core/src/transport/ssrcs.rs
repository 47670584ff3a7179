//! The SSRCs of a transport: those from which its producers' streams come, those under which its consumers send, and
//! those that are in use no longer and may not become something else.

use super::Transport;
use crate::key::{ConsumerKey, ProducerKey, StreamKey, take_out};
use crate::limits::MAX_LEFT_SSRCS;

/// An SSRC that a producer's sender uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inbound {
    pub(crate) ssrc: u32,
    pub(crate) stream: StreamKey,
    pub(crate) rtx: bool,
}

impl Transport {
    /// Forgets a producer. Returns the SSRCs of its streams, which leave.
    pub(crate) fn remove_producer(&mut self, key: ProducerKey, streams: &[StreamKey]) -> Vec<u32> {
        self.producers.retain(|producer| *producer != key);
        let leaves = |inbound: &Inbound| streams.contains(&inbound.stream);
        let left: Vec<u32> = self.inbound.iter().filter(|one| leaves(one)).map(|one| one.ssrc).collect();
        left.iter().for_each(|ssrc| self.leave(*ssrc));
        self.inbound.retain(|inbound| !leaves(inbound));
        left
    }

    /// An SSRC was a closed producer's.
    pub(crate) fn leave(&mut self, ssrc: u32) {
        self.left.push(ssrc);
        self.left.drain(..self.left.len().saturating_sub(MAX_LEFT_SSRCS));
    }

    /// Whether an SSRC was a closed producer's: its sender may not have noticed yet.
    pub(crate) fn has_left(&self, ssrc: u32) -> bool {
        self.left.contains(&ssrc)
    }

    /// The SSRCs that its producers' senders use.
    pub(crate) fn inbound(&self) -> &[Inbound] {
        &self.inbound
    }

    /// So many SSRCs belong to streams, or did under the same key.
    pub(crate) fn inbound_count(&self) -> usize {
        self.inbound.len() + self.retired.len()
    }

    /// Whether an SSRC has lost its place under SRTP.
    pub(crate) fn has_retired(&self, ssrc: u32) -> bool {
        self.retired.contains(&ssrc)
    }

    /// The SSRCs of a stream lose their place. Returns those that do not come back.
    pub(crate) fn retire_inbound(&mut self, stream: StreamKey) -> Vec<u32> {
        let its = self.inbound.iter().filter(|one| one.stream == stream && self.security.is_some());
        let retired: Vec<u32> = its.map(|one| one.ssrc).collect();
        self.retired.extend(&retired);
        self.inbound.retain(|inbound| inbound.stream != stream);
        retired
    }

    /// An SSRC has lost its place under SRTP.
    pub(crate) fn retire(&mut self, ssrc: u32) {
        self.retired.push(ssrc);
    }

    /// One more SSRC belongs to a stream.
    pub(crate) fn add_inbound(&mut self, inbound: Inbound) {
        let place = self.inbound.partition_point(|other| other.ssrc < inbound.ssrc);
        self.inbound.insert(place, inbound);
    }

    /// The stream of an SSRC, if it is known.
    #[inline]
    pub(crate) fn inbound_of(&self, ssrc: u32) -> Option<&Inbound> {
        let place = self.inbound.binary_search_by_key(&ssrc, |inbound| inbound.ssrc).ok()?;
        self.inbound.get(place)
    }

    /// A consumer sends under these SSRCs from now on.
    pub(crate) fn add_consumer(&mut self, key: ConsumerKey, ssrcs: impl Iterator<Item = u32>) {
        for ssrc in ssrcs {
            self.outbound.insert(ssrc, key);
            if let Some(security) = &mut self.security {
                security.use_ssrc(ssrc);
            }
        }
        self.consumers.push(key);
    }

    /// Forgets a consumer that sends under these SSRCs. Returns those under which it sent with the transport's key.
    pub(crate) fn remove_consumer(&mut self, key: ConsumerKey, ssrcs: impl Iterator<Item = u32>) -> Vec<u32> {
        take_out(&mut self.consumers, |consumer| *consumer == key);
        ssrcs.filter(|ssrc| self.outbound.remove(ssrc).is_some() && self.security.is_some()).collect()
    }

    /// Takes its producers and consumers out, to close them with it. Nothing that was theirs is found any longer.
    pub(crate) fn take_media(&mut self) -> (Vec<ProducerKey>, Vec<ConsumerKey>) {
        self.inbound.clear();
        (std::mem::take(&mut self.producers), std::mem::take(&mut self.consumers))
    }

    /// The consumer that sends under an SSRC, of its media or its retransmissions.
    pub(crate) fn consumer_of(&self, ssrc: u32) -> Option<ConsumerKey> {
        self.outbound.get(&ssrc).copied()
    }

    /// Whether an SSRC cannot be given to a new consumer: it sends now, or has sent under the same key.
    pub(crate) fn has_sent_as(&self, ssrc: u32) -> bool {
        self.outbound.contains_key(&ssrc) || self.security.as_ref().is_some_and(|security| security.has_used(ssrc))
    }
}
