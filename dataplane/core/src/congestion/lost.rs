//! The share of packets that is lost, as feedback of single packets tells it.

/// What one feedback's losses weigh in their mean: as many as mediasoup's newest do.
const FEEDBACKS_IN_MEAN: i32 = 12;

/// A mean share of packets, in 1/65,536: the newer the feedback, the more it weighs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LostShare(u16);

impl LostShare {
    /// So many packets are lost of those of which one feedback tells. What is lost and comes later counts as lost.
    pub(super) fn note(&mut self, lost: u32, told: u32) {
        let Some(share) = (lost * u32::from(u16::MAX)).checked_div(told) else { return };
        let share = i32::try_from(share).unwrap_or(i32::MAX);
        let mean = i32::from(self.0) + (share - i32::from(self.0)) / FEEDBACKS_IN_MEAN;
        self.0 = u16::try_from(mean).unwrap_or(u16::MAX);
    }

    /// The mean.
    pub(super) const fn get(self) -> u16 {
        self.0
    }
}
