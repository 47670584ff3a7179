//! What senders are asked for on behalf of receivers, and how much one receiver may ask for.

use std::time::Duration;

use corecast_core::rtcp::{self, Packet, Writer};
use corecast_core::rtp::RtpView;
use corecast_wire::{Command, ConsumerId, SpatialLayer};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote};
use crate::layers::layers;

/// A sender of two layers and viewers who each have a transport, all of whom watch the upper layer.
struct Call {
    bed: Bed,
    viewers: u32,
    sequence: u16,
    /// When a request left, by the layers that it names.
    requests: Vec<(u64, Vec<u32>)>,
    /// Layers that answer a request for any of them, with the next picture.
    answering: [bool; 2],
    wanted: bool,
    /// Number of the newest packet of media that has left.
    newest: u16,
    /// Bytes of a picture.
    size: usize,
}

impl Call {
    fn new(viewers: u32, answering: [bool; 2]) -> Self {
        let mut bed = Bed::new();
        (0..=viewers).for_each(|transport| bed.transport(transport, false, false));
        bed.produce_as(0, 1, layers(2)).expect("new");
        let (sequence, newest, size) = (0, 0, KEY_FRAME.len() + 1);
        let mut call =
            Self { bed, viewers, sequence, requests: vec![], answering: [true; 2], wanted: true, newest, size };
        call.run(3_000);
        (1..=viewers).for_each(|viewer| _ = call.bed.consume_as(viewer, 1, receiver(20 + viewer)).expect("new"));
        call.run(1_000);
        call.requests.clear();
        call.answering = answering;
        call
    }

    fn millis(&self) -> u64 {
        self.bed.now.as_nanos() / 1_000_000
    }

    /// Notes what leaves; layers of pictures that reach each viewer.
    fn leave(&mut self) -> Vec<(u32, u8)> {
        let mut got = Vec::new();
        for (to, bytes) in self.bed.sent() {
            if to == remote(0) {
                let asked = rtcp::parse(&bytes).expect("RTCP").filter_map(|packet| match packet {
                    Packet::Pli { media_ssrc, .. } => Some(media_ssrc - 1_000),
                    _ => None,
                });
                let asked: Vec<_> = asked.collect();
                if !asked.is_empty() {
                    self.requests.push((self.millis(), asked));
                    self.wanted = true;
                }
            } else if rtcp::parse(&bytes).is_err() {
                let viewer = (1..=self.viewers).find(|viewer| remote(*viewer) == to).expect("one of them");
                self.newest = RtpView::parse(&bytes).expect("lawful").sequence();
                got.extend(bytes.last().map(|layer| (viewer, *layer)));
            }
        }
        got
    }

    /// Both layers have a picture each 20 ms.
    fn run(&mut self, millis: u64) -> Vec<(u32, u8)> {
        let mut got = Vec::new();
        for _ in 0..millis / 20 {
            self.sequence += 1;
            let wanted = std::mem::take(&mut self.wanted);
            for (layer, answers) in (0..).zip(self.answering) {
                let head = if wanted && answers { KEY_FRAME } else { DELTA_FRAME };
                let mut payload = head.to_vec();
                payload.resize(self.size, layer);
                let packet = packet(1_000 + u32::from(layer), 96, self.sequence, &[], &payload);
                self.bed.arrive(path(0), &packet);
            }
            got.extend(self.leave());
            self.bed.now = self.bed.now + Duration::from_millis(20);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            got.extend(self.leave());
        }
        got
    }

    /// A viewer says what `write` writes.
    fn say(&mut self, viewer: u32, write: impl FnOnce(&mut Writer<'_>)) {
        let mut bytes = [0; 512];
        let mut writer = Writer::new(&mut bytes);
        write(&mut writer);
        let len = writer.len();
        self.bed.arrive(path(viewer), &bytes[..len]);
        self.leave();
    }

    fn pli(&mut self, viewer: u32) {
        self.say(viewer, |writer| _ = writer.push_pli(9, 20 + viewer));
    }

    /// A viewer says what its path carries.
    fn carries(&mut self, viewer: u32, bps: u64) {
        self.say(viewer, |writer| _ = writer.push_remb(9, bps, [20 + viewer]));
    }

    fn command(&mut self, command: &Command) {
        self.bed.command(command).expect("there");
        self.leave();
    }

    fn prefer(&mut self, viewer: u32, layer: u8) {
        let (consumer, spatial) = (self::viewer(viewer), SpatialLayer::Encoding(layer));
        self.command(&Command::SetPreferredLayers { consumer, spatial, temporal: None });
    }
}

#[test]
fn one_request_serves_all_layers_of_a_producer() {
    let mut call = Call::new(2, [true; 2]);
    let at = call.millis();
    call.pli(1);
    call.prefer(2, 0);
    assert_eq!(call.requests, [(at, vec![1])], "the second wish is served by the first request");
    let got = call.run(2_000);
    assert!(got.contains(&(2, 0)), "the switch is made");
    assert_eq!(call.requests.len(), 1, "and nobody is asked again: {:?}", call.requests);
}

#[test]
fn a_sender_that_answers_for_one_layer_is_asked_for_the_other_too() {
    let mut call = Call::new(2, [false, true]);
    let at = call.millis();
    call.pli(1);
    call.prefer(2, 0);
    call.run(380);
    assert_eq!(call.requests, [(at, vec![1])]);
    call.run(20);
    assert_eq!(call.requests, [(at, vec![1]), (at + 400, vec![0])], "the one whose key frame has not come");
}

#[test]
fn an_unanswered_request_is_repeated_after_400_ms_and_names_all_layers_that_are_waited_for() {
    let mut call = Call::new(3, [false; 2]);
    let at = call.millis();
    call.prefer(1, 0);
    call.command(&Command::PauseConsumer { consumer: viewer(2), paused: true });
    call.command(&Command::PauseConsumer { consumer: viewer(2), paused: false });
    call.run(1_000);
    let all = vec![0, 1];
    assert_eq!(call.requests, [(at, vec![0]), (at + 400, all.clone()), (at + 800, all)]);
}

const fn viewer(viewer: u32) -> ConsumerId {
    ConsumerId(20 + viewer as u64)
}

#[test]
fn after_an_answer_the_next_request_waits_until_chromium_takes_it() {
    let mut call = Call::new(1, [true; 2]);
    let at = call.millis();
    call.pli(1);
    call.run(60);
    call.pli(1);
    call.run(1_000);
    assert_eq!(call.requests, [(at, vec![1]), (at + 500, vec![1])]);
}

#[test]
fn one_viewer_that_asks_for_key_frames_all_the_time_costs_few() {
    let mut call = Call::new(2, [true; 2]);
    for _ in 0..120 {
        call.pli(1);
        call.run(500);
    }
    // In a minute: six at once, and one each 4 s.
    assert_eq!(call.requests.len(), 6 + 14, "{:?}", call.requests);
    let refused = call.bed.discarded().into_iter().find(|(name, _)| *name == "key_frame_too_often");
    assert_eq!(refused, Some(("key_frame_too_often", 120 - 20)));
    let at = call.millis();
    call.pli(2);
    assert_eq!(call.requests.last(), Some(&(at, vec![1])), "another viewer is served at once");
}

/// Requests in a minute in which so many viewers ask twice a second. After that one who has never asked is served.
fn a_minute_of(bad: u32) -> usize {
    let mut call = Call::new(bad + 1, [true; 2]);
    for _ in 0..120 {
        (1..=bad).for_each(|viewer| call.pli(viewer));
        call.run(500);
    }
    let requests = call.requests.len();
    let refused = |call: &Call| call.bed.discarded().into_iter().find(|(name, _)| *name == "key_frame_too_often");
    let before = refused(&call);
    call.pli(bad + 1);
    call.run(500);
    assert_eq!((call.requests.len(), refused(&call)), (requests + 1, before), "{bad}: who asks seldom is served");
    // Asking again at once, it waits for the ration of those who ask often, and no longer.
    for _ in 0..9 {
        call.pli(bad + 1);
        call.run(500);
    }
    assert!(call.requests.len() >= requests + 2, "{bad}: {:?}", call.requests);
    requests
}

#[test]
fn three_viewers_that_ask_for_key_frames_all_the_time_cost_hardly_more_than_one() {
    let [one, three] = [1, 3].map(a_minute_of);
    assert_eq!(one, 20);
    assert!(three <= one + 8, "{three} for {one}");
}

/// Requests in a minute in which one viewer does something twice a second, and what the two viewers got of the layer
/// that both watch. A third viewer, who has done nothing of the kind, is served at once after that.
fn a_minute_in_which_one(mut does: impl FnMut(&mut Call, u64)) -> (usize, [usize; 2]) {
    let mut call = Call::new(3, [true; 2]);
    let mut got = [0; 2];
    for turn in 0..120 {
        does(&mut call, turn);
        for (viewer, _) in call.run(500) {
            if let Some(count) = got.get_mut(viewer as usize - 1) {
                *count += 1;
            }
        }
    }
    let requests = call.requests.len();
    call.run(1_000);
    call.pli(3);
    call.run(500);
    assert!(call.requests.iter().any(|(at, _)| *at + 500 >= call.millis()), "who asks seldom is served");
    assert!(call.bed.discarded().iter().all(|(why, _)| *why != "key_frame_too_often"), "and never refused");
    (requests, got)
}

/// Six at once and one each 4 s, as for who asks by RTCP.
const ALLOWED: usize = 6 + 15;

#[test]
fn one_viewer_that_pauses_and_resumes_all_the_time_costs_few_key_frames() {
    let (requests, [got, _]) = a_minute_in_which_one(|call, turn| {
        call.command(&Command::PauseConsumer { consumer: viewer(1), paused: turn % 2 == 0 });
    });
    assert!((6..=ALLOWED).contains(&requests), "{requests}");
    assert!(got > 0, "it gets some");
}

#[test]
fn one_viewer_that_chooses_another_layer_all_the_time_costs_few_key_frames() {
    let (requests, [got, _]) = a_minute_in_which_one(|call, turn| call.prefer(1, u8::from(turn % 2 == 1)));
    assert!((6..=ALLOWED).contains(&requests), "{requests}");
    assert!(got > 2_500, "it gets the one until the other begins: {got} of 3,000");
}

#[test]
fn one_viewer_for_whom_control_asks_all_the_time_costs_few_key_frames() {
    let (requests, _) =
        a_minute_in_which_one(|call, _| call.command(&Command::RequestKeyFrame { consumer: viewer(1) }));
    assert!((6..=ALLOWED).contains(&requests), "{requests}");
}

/// By what it says of its path, its pictures wait for longer than they are worth, again and again.
#[test]
fn one_viewer_whose_own_queue_overflows_all_the_time_costs_few_key_frames() {
    let mut lost = 0;
    let (requests, [got, other]) = a_minute_in_which_one(|call, turn| {
        call.size = 1_000;
        // A second of too little, and one of enough.
        call.carries(1, if turn % 4 < 2 { 100_000 } else { 5_000_000 });
        lost = call.bed.discarded().iter().find(|(why, _)| *why == "waited_too_long").map_or(0, |(_, lost)| *lost);
    });
    assert!(lost >= 100, "its queue overflows: {lost}");
    assert!(requests <= ALLOWED, "{requests}");
    assert!(got > 0, "it begins again");
    assert!(other >= 2_999, "the other misses nothing: {other} of 3,000");
}

#[test]
fn one_viewer_that_asks_in_vain_is_looked_for_little() {
    let mut call = Call::new(2, [true; 2]);
    let mut asked = 0;
    for _ in 0..100 {
        // Numbers from before it came.
        call.say(1, |writer| _ = writer.push_nack(9, 21, (0..100).map(|n| 65_000 + n)));
        asked += 64;
        call.run(100);
    }
    let discarded = call.bed.discarded();
    let count = |wanted| discarded.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, packets)| *packets);
    let looked_for = count("retransmit_not_found");
    assert!((1_000..=256 + 1_000).contains(&looked_for) && looked_for < asked, "{looked_for} of {asked}");
    assert!(count("retransmit_too_often") >= asked - looked_for);
    let newest = call.newest;
    call.say(2, |writer| _ = writer.push_nack(9, 22, [newest]));
    assert_eq!(call.bed.discarded(), discarded, "the other's packet is repeated");
}
