//! Whether a stream sends: with its first packet it has its share of history, and gives it back when nothing comes.

use corecast_wire::Discard;

use super::super::history::History;
use super::super::share::Holder;
use super::Stream;
use crate::io::{Deadline, Timer, Timers};
use crate::key::StreamKey;
use crate::limits::IDLE_TIME;
use crate::time::Instant;

/// Idle streams are looked for at multiples of this.
const IDLE_GRID_NS: u64 = 1_000_000_000;

impl Stream {
    /// An authentic packet has come: it has its share of history from now on.
    ///
    /// # Errors
    /// [`Discard::NoHistory`] if all shares of history are taken.
    pub(crate) fn open_history(&mut self, history: &mut History, holder: Holder) -> Result<(), Discard> {
        self.held.open(history, holder)
    }

    /// It sends, and so has its share of history.
    pub(crate) const fn has_history(&self) -> bool {
        self.held.is_open()
    }

    /// When it is to be looked at whether it still sends.
    pub(crate) const fn idle_deadline(&mut self) -> &mut Deadline {
        &mut self.idle_deadline
    }

    /// When its last packet came, if one has.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        self.highest.map(|_| self.last_arrival)
    }

    /// When it counts as idle if nothing comes.
    pub(crate) fn idle_at(&self) -> Instant {
        self.last_arrival + IDLE_TIME
    }

    /// Looks then whether it still sends: on a grid, many streams in one wake-up.
    pub(crate) fn arm_idle(&mut self, timers: &mut Timers, key: StreamKey) {
        let at = Instant::from_nanos(self.idle_at().as_nanos().next_multiple_of(IDLE_GRID_NS));
        self.idle_deadline.arm(timers, at, Timer::Idle(key));
    }

    /// Gives back every slot, its share of history and the memory for batches: it does not send.
    pub(crate) fn close_history(&mut self, history: &mut History) {
        if let Some(picture) = self.newest_picture(history) {
            self.reception_mut().set_picture_ids(picture);
        }
        self.held.close(history, self.highest.map_or(0, |highest| highest + 1));
        self.missing.clear();
        self.fresh = Vec::new();
        self.round = Vec::new();
    }
}
