//! A consumer that outlives its producer, or its worker: what it keeps of what it sent last, and how it goes on with
//! another producer's media, or the same one's, under the same SSRCs and payload types.

use super::payload_types::unknown;
use super::{Consumer, Ending};
use crate::codec::Rewrite;
use crate::key::{ProducerKey, StreamKey};
use crate::media::{Producer, Reception, Stream};
use crate::memory::Words;

impl Consumer {
    /// It stays when its producer closes.
    pub(crate) const fn outlives_producer(&self) -> bool {
        self.outlives_producer
    }

    /// Its producer closes: what it was sent last, if that is still there, is what the next producer's media goes on
    /// from.
    pub(crate) fn part(&mut self, last: Option<(&Stream, Reception)>) {
        if let Some((stream, reception)) = last {
            let picture = self.numbering.newest_change(stream.withheld()).applied_to(reception.picture_ids());
            self.parting = Some(Box::new(Ending { reception, picture }));
        }
        self.resynchronise();
    }

    /// Keeps its next numbers among the worker's words. If a worker before left them there, it goes on after what that
    /// one sent last. `stream_at` says which stream that was of, by its place among its producer's, and what it was at.
    pub(crate) fn keep(
        &mut self,
        words: &mut Words,
        stream_at: impl FnOnce(u8) -> Option<(StreamKey, Option<Reception>)>,
    ) {
        self.retransmissions.keep(words, self.id);
        let Some(last) = self.numbering.keep(words, self.id) else { return };
        let (stream, reception) = stream_at(last.place).unwrap_or((StreamKey::GONE, None));
        self.numbering.follow(last, stream);
        self.exact_offset = last.timestamp_offset;
        self.parting = reception
            .map(|reception| Box::new(Ending { reception, picture: last.change.applied_to(reception.picture_ids()) }));
    }

    /// What a switch needs of a stream that is no longer there, or of which nothing has come to this worker.
    pub(crate) fn parting(&self) -> Option<Ending> {
        self.parting.as_deref().copied()
    }

    /// Whether it has a payload type for the codec that a producer prefers.
    pub(crate) fn can_take(&self, source: &Producer) -> bool {
        let preferred = source.media_codecs().next();
        preferred.is_some_and(|codec| self.payload_type(codec.mapped_payload_type).is_some())
    }

    /// It sends another producer's media from now on.
    pub(crate) fn follow(
        &mut self,
        (producer, target, preferred_layer): (ProducerKey, StreamKey, u8),
        source: &Producer,
    ) {
        (self.producer, self.preferred_layer, self.subscribed) = (producer, preferred_layer, 0);
        self.filter.payload_types = unknown(source, |router| self.payload_type(router).is_some());
        self.rewrite = Rewrite::of(source.media_codecs().map(|mapping| mapping.codec));
        (self.has_key_frames, self.clock_rate_hz) = (source.has_key_frames(), source.clock_rate_hz());
        self.set_target(target);
    }
}
