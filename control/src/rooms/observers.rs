//! What listens to a room's sound on its worker, for participants: how loud each is, and who dominates.

use corecast_wire::{Command, ProducerId, RouterId, RtpObserverId, RtpObserverOptions};

use super::draw::next_id;

/// How many are told at most, and how loud at least: mediasoup-demo's.
const MAX_ENTRIES: u16 = 10;
const THRESHOLD_DBOV: i8 = -80;
const LEVELS_INTERVAL_MS: u16 = 800;
/// mediasoup's.
const SPEAKER_INTERVAL_MS: u16 = 300;

/// Both observers of a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observers {
    pub(super) levels: RtpObserverId,
    pub(super) speaker: RtpObserverId,
}

impl Observers {
    pub(super) fn draw() -> Self {
        Self { levels: RtpObserverId(next_id()), speaker: RtpObserverId(next_id()) }
    }

    /// Commands that make them.
    pub(super) fn make(self, router: RouterId) -> [Command; 2] {
        let levels = RtpObserverOptions::AudioLevel {
            max_entries: MAX_ENTRIES,
            threshold_dbov: THRESHOLD_DBOV,
            interval_ms: LEVELS_INTERVAL_MS,
        };
        let speaker = RtpObserverOptions::ActiveSpeaker { interval_ms: SPEAKER_INTERVAL_MS };
        let make = |observer, options| Command::CreateRtpObserver { router, observer, options };
        [make(self.levels, levels), make(self.speaker, speaker)]
    }

    /// Commands that have them listen to a producer of sound.
    pub(super) fn listen(self, producer: ProducerId) -> [Command; 2] {
        let listen = |observer| Command::ObserveProducer { observer, producer, observed: true };
        [listen(self.levels), listen(self.speaker)]
    }

    /// Commands that close them.
    pub(super) fn close(self) -> Vec<Command> {
        [self.levels, self.speaker].map(|observer| Command::CloseRtpObserver { observer }).into()
    }
}
