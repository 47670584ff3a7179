//! Rooms in which only the loudest are heard.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast_core::rtcp;
use corecast_core::rtp::RtpView;
use corecast_wire::{
    Codec, CodecMapping, Command, ConsumeOptions, EncodingMapping, ExtensionMapping, HeaderExtension, MediaKind,
    Object, ObjectStats, PayloadTypeMapping, ProduceOptions, ProducerId, Reply, RouterId,
};

use crate::bed::{Bed, packet, path, remote};

/// The sender's number of the extension.
const LEVEL: u8 = 3;
const SPEAKERS: u32 = 5;
const LISTENER: u32 = 9;
const QUIET: u8 = 90;
const SPEECH: u8 = 30;

/// Speakers by number. The last one writes no levels.
struct Room {
    bed: Bed,
    sequence: u16,
    /// Numbers under which the listener got packets, by speaker.
    got: BTreeMap<u32, Vec<u16>>,
}

impl Room {
    fn new() -> Self {
        let mut bed = Bed::new();
        bed.transport(LISTENER, false, false);
        let mut room = Self { bed, sequence: 0, got: BTreeMap::new() };
        (0..SPEAKERS).for_each(|number| room.come(number, number + 1 < SPEAKERS));
        room
    }

    fn come(&mut self, number: u32, writes_levels: bool) {
        let codec =
            CodecMapping { payload_type: 111, mapped_payload_type: 100, codec: Codec::Other, clock_rate_hz: 48_000 };
        let level = ExtensionMapping { extension: HeaderExtension::AudioLevel, id: LEVEL, mapped_id: 6 };
        let options = ProduceOptions {
            header_extensions: if writes_levels { vec![level] } else { Vec::new() },
            ..ProduceOptions::new(MediaKind::Audio, vec![codec], vec![EncodingMapping::announced(100 + number)])
        };
        self.bed.transport(number, false, false);
        self.bed.produce_as(number, number.into(), options).expect("new");
        let options = ConsumeOptions::new(200 + number, vec![PayloadTypeMapping::same(100)], "c".into());
        self.bed.consume_as(LISTENER, number.into(), options).expect("new");
    }

    fn limit(&mut self, speakers: u16) {
        self.bed.command(&Command::SetLoudest { router: RouterId(1), speakers }).expect("there");
    }

    /// All send for so many packets, each with this level. Who was heard at each packet.
    fn talk(&mut self, packets: u16, level_of: impl Fn(u32) -> u8) -> Vec<Vec<u32>> {
        let mut heard = Vec::new();
        for _ in 0..packets {
            self.sequence += 1;
            self.bed.now = self.bed.now + Duration::from_millis(20);
            for number in 0..SPEAKERS {
                let level = [level_of(number)];
                let extensions: &[(u8, &[u8])] = if number + 1 < SPEAKERS { &[(LEVEL, &level)] } else { &[] };
                self.bed.arrive(path(number), &packet(100 + number, 111, self.sequence, extensions, b"sound"));
            }
            let mut now = Vec::new();
            for (to, bytes) in self.bed.sent() {
                if to != remote(LISTENER) || rtcp::parse(&bytes).is_ok() {
                    continue;
                }
                let view = RtpView::parse(&bytes).expect("lawful");
                let number = view.ssrc() - 200;
                self.got.entry(number).or_default().push(view.sequence());
                now.push(number);
            }
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.bed.outbox.clear();
            now.sort_unstable();
            heard.push(now);
        }
        heard
    }

    fn withheld(&mut self, number: u32) -> bool {
        let object = Object::Producer(ProducerId(number.into()));
        match self.bed.command(&Command::ObjectStats { object }) {
            Ok(Reply::ObjectStats(stats)) => match *stats {
                ObjectStats::Producer(stats) => stats.withheld,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn check_numbers(&self) {
        for (number, got) in &self.got {
            assert!(got.windows(2).all(|two| two[1] == two[0].wrapping_add(1)), "{number}: without gaps: {got:?}");
        }
    }
}

#[test]
fn the_loudest_are_heard_from_their_first_word_on_and_numbers_go_on() {
    let mut room = Room::new();
    room.limit(2);
    room.talk(20, |_| QUIET);
    for round in 0..12 {
        let speaker = round * 3 % (SPEAKERS - 1);
        for heard in room.talk(60, |number| if number == speaker { SPEECH } else { QUIET }) {
            assert!(heard.contains(&speaker) && heard.len() == 3 && heard.contains(&(SPEAKERS - 1)), "{heard:?}");
        }
        let withheld = (0..SPEAKERS).filter(|number| room.withheld(*number)).count();
        assert_eq!(withheld, 2, "those who are not heard are told");
        // So long that somebody else becomes the softest.
        room.talk(200, |_| QUIET);
    }
    room.check_numbers();
    let discarded: BTreeMap<_, _> = room.bed.discarded().into_iter().collect();
    assert!(discarded["not_among_loudest"] > 1_000 && discarded.len() == 1, "{discarded:?}");
}

#[test]
fn all_are_heard_again_without_a_limit() {
    let mut room = Room::new();
    assert!(room.talk(20, |_| SPEECH).iter().all(|heard| heard.len() == 5), "there is none at first");
    room.limit(1);
    room.talk(20, |_| SPEECH);
    assert_eq!(room.talk(1, |_| SPEECH)[0].len(), 2);
    room.limit(3);
    assert_eq!(room.talk(1, |_| SPEECH)[0].len(), 4, "at once");
    room.limit(0);
    assert!(room.talk(20, |_| SPEECH).iter().all(|heard| heard.len() == 5));
    assert!((0..SPEAKERS).all(|number| !room.withheld(number)));
    room.check_numbers();
}

#[test]
fn who_is_paused_or_leaves_makes_room_and_who_comes_is_ranked() {
    let mut room = Room::new();
    room.limit(1);
    room.talk(20, |number| if number == 0 { SPEECH } else { QUIET });
    assert!(!room.withheld(0) && room.withheld(1));
    room.bed.command(&Command::PauseProducer { producer: ProducerId(0), paused: true }).expect("there");
    room.talk(20, |number| if number == 1 { SPEECH } else { QUIET });
    assert!(!room.withheld(1) && room.withheld(2));
    room.bed.command(&Command::CloseProducer { producer: ProducerId(1) }).expect("there");
    room.talk(20, |number| if number == 2 { SPEECH } else { QUIET });
    assert!(!room.withheld(2) && room.withheld(3));
    room.bed.command(&Command::PauseProducer { producer: ProducerId(0), paused: false }).expect("there");
    room.talk(20, |number| if number == 2 { SPEECH } else { QUIET });
    assert!(room.withheld(0), "is ranked again");
    assert!(room.bed.command(&Command::SetLoudest { router: RouterId(7), speakers: 1 }).is_err(), "not there");
    room.bed.command(&Command::CloseRouter { router: RouterId(1) }).expect("there");
    room.bed.now = room.bed.now + Duration::from_secs(1);
    room.bed.worker.handle_timeout(room.bed.now, &mut room.bed.outbox);
    room.bed.command(&Command::CreateRouter { router: RouterId(1) }).expect("gone");
}
