//! What a consumer has sent, counted.

use super::Consumer;

/// From so many on, bytes are added to those of before.
const MANY_BYTES: u32 = 1 << 31;

/// What every packet counts: bytes lately, so that they take little room, and the rest in [`SentBefore`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    packets: u64,
    payload_bytes: u32,
    /// Headers and padding.
    other_bytes: u32,
}

/// Bytes that were sent before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SentBefore {
    payload_bytes: u64,
    other_bytes: u64,
}

impl Consumer {
    /// Counts a media packet that was put into the outbox: its payload, and what is around that, in bytes.
    #[inline]
    pub(crate) const fn count_sent(&mut self, payload_bytes: u32, other_bytes: u32) {
        let sent = &mut self.sent;
        sent.packets += 1;
        sent.payload_bytes += payload_bytes;
        sent.other_bytes += other_bytes;
        if sent.payload_bytes | sent.other_bytes >= MANY_BYTES {
            self.sent_before.payload_bytes += sent.payload_bytes as u64;
            self.sent_before.other_bytes += sent.other_bytes as u64;
            (sent.payload_bytes, sent.other_bytes) = (0, 0);
        }
    }

    /// Media packets that it has sent, once each.
    pub(crate) const fn packets_sent(&self) -> u64 {
        self.sent.packets
    }

    /// Their payload, in bytes.
    pub(super) const fn payload_sent(&self) -> u64 {
        self.sent_before.payload_bytes + self.sent.payload_bytes as u64
    }

    /// Their headers and padding, in bytes.
    pub(super) const fn other_sent(&self) -> u64 {
        self.sent_before.other_bytes + self.sent.other_bytes as u64
    }
}
