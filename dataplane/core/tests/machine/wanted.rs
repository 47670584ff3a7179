//! Simulcast: which layers nobody takes, as control is told of it for their sender.

use corecast_wire::{Command, ConsumerId, Event, SpatialLayer};

use crate::active_layers::Sender;
use crate::layers::OUT;

const CONSUMER: ConsumerId = ConsumerId(OUT as u64);

impl Sender {
    /// What control was told of unwanted layers since it was asked last.
    fn told(&mut self) -> Vec<Vec<u8>> {
        let events = std::iter::from_fn(|| self.bed.worker.poll_event());
        let unwanted = events.filter_map(|event| match event {
            Event::ProducerLayersUnwanted { encodings, .. } => Some(encodings),
            _ => None,
        });
        unwanted.collect()
    }

    fn prefer(&mut self, layer: u8) {
        let spatial = SpatialLayer::Quality(layer);
        let command = Command::SetPreferredLayers { consumer: CONSUMER, spatial, temporal: None };
        self.bed.command(&command).expect("there");
        self.leave();
    }

    fn pause(&mut self, paused: bool) {
        self.bed.command(&Command::PauseConsumer { consumer: CONSUMER, paused }).expect("there");
        self.leave();
    }
}

#[test]
fn without_viewers_the_lowest_layer_alone_is_wanted_until_one_comes() {
    let mut sender = Sender::new();
    sender.run_of(&[0, 1], 4_500);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.run_of(&[0, 1], 1_000);
    assert_eq!(sender.told(), [[1]]);
    // The sender leaves it out.
    sender.run_of(&[0], 20_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.watch();
    assert_eq!(sender.told(), [[]], "at once");
    sender.run_of(&[0, 1], 10_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0], "it is taken");
    assert_eq!(sender.picture(1, false).last(), Some(&1));
}

#[test]
fn a_layer_that_is_preferred_again_is_wanted_though_it_is_not_sent() {
    let mut sender = Sender::new();
    sender.watch();
    sender.run_of(&[0, 1], 3_000);
    sender.prefer(0);
    sender.run_of(&[0, 1], 6_000);
    assert_eq!(sender.told(), [[1]]);
    sender.run_of(&[0], 5_000);
    sender.prefer(1);
    assert_eq!(sender.told(), [[]]);
    sender.run_of(&[0], 60_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0], "what does not come is not taken for unwanted");
}

#[test]
fn who_has_paused_takes_nothing() {
    let mut sender = Sender::new();
    sender.watch();
    sender.run_of(&[0, 1], 3_000);
    sender.pause(true);
    sender.run_of(&[0, 1], 6_000);
    assert_eq!(sender.told(), [[1]]);
    sender.run_of(&[0], 3_000);
    sender.pause(false);
    assert_eq!(sender.told(), [[]], "before the first key frame of the other layer");
    assert!(sender.wanted[0], "which is asked for meanwhile");
}

#[test]
fn a_paused_producer_is_not_judged() {
    let mut sender = Sender::new();
    sender.watch();
    sender.run_of(&[0, 1], 3_000);
    sender.prefer(0);
    sender.run_of(&[0, 1], 3_000);
    let command = |paused| Command::PauseProducer { producer: corecast_wire::ProducerId(1), paused };
    sender.bed.command(&command(true)).expect("there");
    sender.run_of(&[0, 1], 20_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.bed.command(&command(false)).expect("there");
    sender.run_of(&[0, 1], 4_000);
    assert_eq!(sender.told(), [] as [Vec<u8>; 0]);
    sender.run_of(&[0, 1], 2_000);
    assert_eq!(sender.told(), [[1]]);
}
