//! Observers of sound, from packets with levels (RFC 6464) to what is told.

use std::time::Duration;

use corecast_wire::{
    Codec, CodecMapping, Command, EncodingMapping, Event, ExtensionMapping, HeaderExtension, MediaKind, ProduceOptions,
    ProducerId, RouterId, RtpObserverId, RtpObserverOptions, Volume,
};

use crate::bed::{Bed, packet, path, video};

/// The sender's number of the extension.
const LEVEL: u8 = 3;
const LEVELS: RtpObserverId = RtpObserverId(1);
const SPEAKER: RtpObserverId = RtpObserverId(2);

fn sound(ssrc: u32) -> ProduceOptions {
    let codec =
        CodecMapping { payload_type: 111, mapped_payload_type: 100, codec: Codec::Other, clock_rate_hz: 48_000 };
    let level = ExtensionMapping { extension: HeaderExtension::AudioLevel, id: LEVEL, mapped_id: 6 };
    ProduceOptions {
        header_extensions: vec![level],
        ..ProduceOptions::new(MediaKind::Audio, vec![codec], vec![EncodingMapping::announced(ssrc)])
    }
}

/// Two senders of sound, and both observers listening to both.
fn room() -> Bed {
    let mut bed = Bed::new();
    for (number, ssrc) in [(1, 11), (2, 22)] {
        bed.transport(number, false, false);
        bed.produce_as(number, number.into(), sound(ssrc)).expect("a new producer");
    }
    let levels = RtpObserverOptions::AudioLevel { max_entries: 1, threshold_dbov: -70, interval_ms: 500 };
    for (observer, options) in [(LEVELS, levels), (SPEAKER, RtpObserverOptions::ActiveSpeaker { interval_ms: 300 })] {
        bed.command(&Command::CreateRtpObserver { router: RouterId(1), observer, options }).expect("new");
        for producer in [1, 2].map(ProducerId) {
            bed.command(&Command::ObserveProducer { observer, producer, observed: true }).expect("sound");
        }
    }
    bed
}

/// Both send for so long, at these levels; what is told meanwhile.
fn talk(bed: &mut Bed, from: u16, packets: u16, levels: [u8; 2]) -> Vec<Event> {
    let mut told = Vec::new();
    for sequence in from..from + packets {
        bed.now = bed.now + Duration::from_millis(20);
        for (number, (ssrc, level)) in (1..).zip([11, 22].into_iter().zip(levels)) {
            // Speech has pauses. The first bit says that it is speech.
            let level = if level < 50 && sequence % 10 == 0 { 90 } else { level };
            bed.arrive(path(number), &packet(ssrc, 111, sequence, &[(LEVEL, &[0x80 | level])], b"sound"));
        }
        bed.worker.handle_timeout(bed.now, &mut bed.outbox);
        bed.outbox.clear();
        told.extend(std::iter::from_fn(|| bed.worker.poll_event()));
    }
    told
}

#[test]
fn the_loudest_and_the_one_who_speaks_are_told() {
    let mut bed = room();
    let told = talk(&mut bed, 0, 150, [90, 20]);
    let volumes = |event: &Event| match event {
        Event::AudioLevels { observer: LEVELS, volumes } => Some(volumes.clone()),
        _ => None,
    };
    let heard: Vec<_> = told.iter().filter_map(volumes).collect();
    assert!(heard.len() >= 5, "{told:?}");
    for volumes in heard {
        let [Volume { producer: ProducerId(2), dbov: -30..=-20 }] = volumes[..] else { panic!("{volumes:?}") };
    }
    let dominant: Vec<_> = told.iter().filter(|event| matches!(event, Event::DominantSpeaker { .. })).collect();
    assert_eq!(dominant.last(), Some(&&Event::DominantSpeaker { observer: SPEAKER, producer: ProducerId(2) }));
    // Silence is told once.
    let told = talk(&mut bed, 150, 150, [90, 90]);
    assert_eq!(told.iter().filter_map(volumes).filter(Vec::is_empty).count(), 1, "{told:?}");
}

#[test]
fn what_is_paused_or_closed_is_not_heard() {
    let mut bed = room();
    bed.command(&Command::PauseProducer { producer: ProducerId(2), paused: true }).expect("there");
    let told = talk(&mut bed, 0, 150, [90, 20]);
    assert!(!told.iter().any(|event| matches!(event, Event::AudioLevels { .. })), "{told:?}");
    bed.command(&Command::PauseProducer { producer: ProducerId(2), paused: false }).expect("there");
    bed.command(&Command::PauseRtpObserver { observer: LEVELS, paused: true }).expect("there");
    let told = talk(&mut bed, 150, 150, [90, 20]);
    assert!(!told.iter().any(|event| matches!(event, Event::AudioLevels { .. })), "{told:?}");
    bed.command(&Command::PauseRtpObserver { observer: LEVELS, paused: false }).expect("there");
    assert!(talk(&mut bed, 300, 150, [90, 20]).iter().any(|event| matches!(event, Event::AudioLevels { .. })));
    bed.command(&Command::CloseProducer { producer: ProducerId(2) }).expect("there");
    let told: Vec<_> = std::iter::from_fn(|| bed.worker.poll_event()).collect();
    assert_eq!(told, [Event::DominantSpeaker { observer: SPEAKER, producer: ProducerId(1) }], "the one who is left");
    bed.command(&Command::CloseRtpObserver { observer: LEVELS }).expect("there");
    bed.command(&Command::CloseRouter { router: RouterId(1) }).expect("there");
    assert!(bed.command(&Command::CloseRtpObserver { observer: SPEAKER }).is_err(), "it has closed with its router");
}

#[test]
fn a_wrong_request_changes_nothing() {
    let mut bed = room();
    let loud = RtpObserverOptions::AudioLevel { max_entries: 1, threshold_dbov: 1, interval_ms: 500 };
    let create = |observer, options| Command::CreateRtpObserver { router: RouterId(1), observer, options };
    assert!(bed.command(&create(RtpObserverId(9), loud)).is_err(), "above 0 dBov");
    let quiet = RtpObserverOptions::ActiveSpeaker { interval_ms: 300 };
    assert!(bed.command(&create(LEVELS, quiet)).is_err(), "the number is taken");
    bed.transport(3, false, false);
    bed.produce_as(3, 3, video()).expect("a new producer");
    let observe = |observer, producer| Command::ObserveProducer { observer, producer, observed: true };
    assert!(bed.command(&observe(LEVELS, ProducerId(3))).is_err(), "no sound");
    assert!(bed.command(&observe(LEVELS, ProducerId(7))).is_err(), "not there");
    assert!(bed.command(&observe(RtpObserverId(9), ProducerId(1))).is_err(), "not there");
    assert!(bed.command(&observe(LEVELS, ProducerId(1))).is_ok(), "once more changes nothing");
}
