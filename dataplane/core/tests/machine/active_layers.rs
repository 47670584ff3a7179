//! Simulcast: which layers send, and with which a viewer begins.

use std::time::Duration;

use corecast_core::Instant;
use corecast_core::rtcp::{self, Packet};

use crate::bed::{Bed, DELTA_FRAME, KEY_FRAME, packet, path, receiver, remote};
use crate::layers::{OUT, layers};

/// A sender of two layers, and what it was asked for.
pub(crate) struct Sender {
    pub(crate) bed: Bed,
    sequences: [u16; 2],
    /// Layers whose next picture is to be a key frame, and requests so far.
    pub(crate) wanted: [bool; 2],
    requests: usize,
}

impl Sender {
    pub(crate) fn new() -> Self {
        let mut bed = Bed::new();
        bed.transport(0, false, false);
        bed.transport(1, false, false);
        bed.produce_as(0, 1, layers(2)).expect("new");
        Self { bed, sequences: [0; 2], wanted: [false; 2], requests: 0 }
    }

    pub(crate) fn watch(&mut self) {
        self.bed.consume_as(1, 1, receiver(OUT)).expect("new");
        self.leave();
    }

    /// What has to leave: the layers of pictures that reach the viewer. Requests for key frames are noted.
    pub(crate) fn leave(&mut self) -> Vec<u8> {
        let mut layers = Vec::new();
        for (to, bytes) in self.bed.sent() {
            if let Ok(packets) = rtcp::parse(&bytes) {
                for packet in packets {
                    if let Packet::Pli { media_ssrc, .. } = packet {
                        self.wanted[media_ssrc as usize - 1_000] = true;
                        self.requests += 1;
                    }
                }
            } else if to == remote(1) {
                layers.extend(bytes.last());
            }
        }
        layers
    }

    pub(crate) fn picture(&mut self, layer: u8, key: bool) -> Vec<u8> {
        let head = if key { KEY_FRAME } else { DELTA_FRAME };
        self.send(layer, &[&head[..], &[layer]].concat(), false)
    }

    /// A packet that only probes the path.
    fn padding(&mut self, layer: u8) -> Vec<u8> {
        self.send(layer, &[0, 0, 0, 0, 0, 6], true)
    }

    fn send(&mut self, layer: u8, payload: &[u8], has_padding: bool) -> Vec<u8> {
        let sequence = &mut self.sequences[usize::from(layer)];
        *sequence += 1;
        let mut packet = packet(1_000 + u32::from(layer), 96, *sequence, &[], payload);
        packet[0] |= if has_padding { 0x20 } else { 0 };
        packet[4..8].copy_from_slice(&((self.bed.now.as_nanos() / 1_000_000 * 90) as u32).to_be_bytes());
        self.bed.arrive(path(0), &packet);
        self.leave()
    }

    fn pass(&mut self, millis: u64) {
        let until = self.bed.now + Duration::from_millis(millis);
        while let Some(at) = self.bed.worker.next_timeout().filter(|at| *at <= until) {
            self.bed.now = at.max(self.bed.now);
            self.bed.worker.handle_timeout(self.bed.now, &mut self.bed.outbox);
            self.leave();
        }
        self.bed.now = until;
    }

    /// Both layers send every 50 ms.
    fn run(&mut self, millis: u64) {
        self.run_of(&[0, 1], millis);
    }

    /// These layers do.
    pub(crate) fn run_of(&mut self, layers: &[u8], millis: u64) {
        for _ in 0..millis / 50 {
            for layer in layers.iter().copied() {
                let key = std::mem::take(&mut self.wanted[usize::from(layer)]);
                self.picture(layer, key);
            }
            self.pass(50);
        }
    }
}

#[test]
fn a_layer_of_padding_alone_is_not_active() {
    let mut sender = Sender::new();
    for _ in 0..60 {
        sender.picture(0, false);
        sender.padding(1);
        sender.pass(50);
    }
    sender.watch();
    assert_eq!(sender.wanted, [true, false], "the layer that has pictures is asked");
    sender.padding(1);
    assert_eq!(sender.picture(0, true), [0]);
    for _ in 0..100 {
        sender.padding(1);
        assert_eq!(sender.picture(0, false), [0]);
        sender.pass(50);
    }
    assert_eq!((sender.wanted, sender.requests), ([true, false], 1), "the other one is never waited for");
}

#[test]
fn a_layer_that_turns_to_padding_is_left() {
    let mut sender = Sender::new();
    sender.run(3_000);
    sender.watch();
    sender.picture(1, true);
    let mut got = Vec::new();
    for _ in 0..60 {
        sender.padding(1);
        let key = std::mem::take(&mut sender.wanted[0]);
        got.extend(sender.picture(0, key));
        sender.pass(50);
    }
    assert!(got.len() > 20 && got.iter().all(|layer| *layer == 0), "{got:?}");
}

#[test]
fn a_viewer_begins_with_whichever_key_frame_comes_first() {
    let mut sender = Sender::new();
    sender.run(3_000);
    sender.watch();
    assert_eq!(sender.picture(0, false), [], "a key frame it must be");
    assert_eq!(sender.picture(0, true), [0], "of the lower layer");
    assert_eq!(sender.picture(1, false), []);
    assert_eq!(sender.picture(0, false), [0]);
    assert_eq!(sender.picture(1, true), [1], "the better one is still waited for");
    assert_eq!(sender.picture(0, true), []);
    assert_eq!(sender.picture(1, false), [1]);
    assert_eq!(sender.bed.discarded(), [("waiting_for_key_frame", 1)]);
}

#[test]
fn a_viewer_that_prefers_less_does_not_begin_with_more() {
    let mut sender = Sender::new();
    sender.run(3_000);
    sender.watch();
    let spatial = corecast_wire::SpatialLayer::Quality(0);
    let consumer = corecast_wire::ConsumerId(OUT.into());
    sender.bed.command(&corecast_wire::Command::SetPreferredLayers { consumer, spatial, temporal: None }).expect("ok");
    assert_eq!(sender.picture(1, true), []);
    assert_eq!(sender.picture(0, true), [0]);
}

#[test]
fn a_slow_screen_share_is_not_dead() {
    // Each layer has a picture every two seconds, in turn or nearly at once.
    for offset in [50, 1_000] {
        let mut sender = Sender::new();
        sender.watch();
        let (mut got, mut keys) = (Vec::new(), 0);
        let start: Instant = sender.bed.now;
        for _ in 0..12 {
            for (layer, pause) in [(0, offset), (1, 2_000 - offset)] {
                let key = std::mem::take(&mut sender.wanted[usize::from(layer)]) || sender.sequences == [0, 0];
                keys += usize::from(key);
                got.extend(sender.picture(layer, key));
                sender.pass(pause);
            }
        }
        assert_eq!(sender.bed.now.since(start), Duration::from_secs(24));
        assert!(got.iter().filter(|layer| **layer == 1).count() >= 8, "{offset}: the better layer is reached, {got:?}");
        assert!(keys <= 5, "{offset}: {keys} key frames");
    }
}
