//! More than the machine can do: media that has waited for too long is shed, and what keeps calls alive is not.

use std::time::Duration;

use corecast_tests::bare::BarePeer;
use corecast_tests::webrtc::Bench;
use corecast_wire::{Command, Discard, DtlsState, DtlsVersions, Event, IceState, ObjectStats, Reply};

use crate::pair::{Pair, ROOM};

const KEY_FRAME: [u8; 5] = [0x10, 0x00, 0x9d, 0x01, 0x2a];
const DELTA_FRAME: [u8; 4] = [0x10, 0x01, 0x00, 0x00];
/// Consent lasts for 30 s.
const SECONDS: u64 = 40;

impl Pair {
    /// Requests for key frames that the viewer's consumer has heard.
    fn key_frames_asked_for(&mut self) -> u64 {
        let Ok(Reply::Stats(page)) = self.bench.ask(&Command::Stats { from: None }) else { panic!("another reply") };
        let consumers = page.objects.iter().filter_map(|object| match object {
            ObjectStats::Consumer(consumer) => Some(consumer.pli_count),
            _ => None,
        });
        consumers.sum()
    }
}

#[test]
fn checks_handshakes_and_reports_are_taken_while_media_is_shed() {
    let bench = Bench::with_config(DtlsVersions::V12, |config| {
        config.max_media_age = Duration::from_millis(200);
        let webrtc = config.webrtc.as_mut().expect("there is");
        assert!(Duration::from_millis(webrtc.consent_timeout_ms.into()) < Duration::from_secs(SECONDS));
    });
    let mut pair = Pair::on(bench, true);
    pair.bench.skip(Duration::from_secs(2));
    pair.publish(&pair.media(0, &KEY_FRAME));
    assert_eq!(pair.watched().len(), 1);

    // All that comes has waited for a second.
    pair.bench.lateness = Duration::from_secs(1);
    let nack = pair.viewer.peer.rtcp(&[0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0x10, 0x92, 0, 7, 0, 0]);
    pair.bench.inject(pair.viewer.peer.address, &nack);
    let repeated = pair.watched();
    assert_eq!(repeated.iter().map(|(ssrc, sequence, _)| (*ssrc, *sequence)).collect::<Vec<_>>(), [(4_243, 5)]);
    for second in 0..SECONDS {
        for index in 5 * second..5 * second + 5 {
            pair.bench.skip(Duration::from_millis(200));
            pair.publish(&pair.media(1 + index, &DELTA_FRAME));
        }
        if second % 5 == 0 {
            pair.publisher.check(&mut pair.bench);
            pair.viewer.peer.check(&mut pair.bench);
        }
        assert_eq!(pair.watched(), [], "{second} s");
    }
    assert_eq!(pair.discarded(Discard::Stale), 5 * SECONDS);
    let is_lost = |event: &Event| matches!(event, Event::IceStateChanged { state: IceState::Disconnected, .. });
    assert_eq!(pair.bench.events.iter().find(|event| is_lost(event)), None, "checks are heard");
    let pli = pair.viewer.peer.rtcp(&[0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0x10, 0x92]);
    pair.bench.inject(pair.viewer.peer.address, &pli);
    assert_eq!(pair.key_frames_asked_for(), 1, "reports are heard");
    let third = BarePeer::join(&mut pair.bench, ROOM, 3);
    assert!(third.keys.is_some(), "handshakes are made");
    assert_eq!(pair.bench.state_of(3).1, DtlsState::Connected);

    pair.bench.lateness = Duration::ZERO;
    pair.publish(&pair.media(1 + 5 * SECONDS, &KEY_FRAME));
    let after = pair.watched();
    assert_eq!(after.iter().map(|(_, sequence, _)| *sequence).collect::<Vec<_>>(), [8], "without a gap");
}
