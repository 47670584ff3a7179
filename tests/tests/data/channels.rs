//! Peers that behave.

use corecast_core::limits::DATA_TURN_PACKETS;
use corecast_tests::webrtc::Bench;
use corecast_wire::{
    Command, ConsumerId, DataConsumerId, Discard, DtlsVersions, Event, ObjectStats, Reply, SctpBuffers, SctpOptions,
    SctpState, StreamClosing, TransportId,
};
use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::DtlsVersion;

use crate::{Room, SCTP, labelled};

/// What a receiver says that its path carries.
const ESTIMATE_BPS: u64 = 1_000_000;

/// Text, binary data and empty messages, in both directions.
fn talk(room: &mut Room) {
    let (one, two) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    assert_eq!(room.open.len(), 2, "{:?}", room.bench.events);
    let messages = [(false, b"text".to_vec()), (true, vec![0, 1, 255]), (true, vec![7; 60_000]), (false, vec![b'a'])];
    for (binary, data) in &messages {
        room.send(1, one, *binary, data);
        room.send(2, two, *binary, data);
    }
    room.run(2_000);
    assert_eq!(room.received(1), messages);
    assert_eq!(room.received(2), messages);
}

#[test]
fn messages_pass_in_every_version_and_role() {
    for (versions, version) in [(DtlsVersions::V12, DtlsVersion::Dtls12), (DtlsVersions::V13, DtlsVersion::Dtls13)] {
        let mut room = Room::of_two(versions, version);
        talk(&mut room);
        let connected = |number| Event::SctpStateChanged {
            transport: TransportId(number),
            state: SctpState::Connected,
            detail: String::new(),
            streams: Some((u16::MAX, u16::MAX)),
        };
        assert!(room.bench.events.contains(&connected(1)) && room.bench.events.contains(&connected(2)));
        assert_eq!(room.bench.worker.totals().discards.iter().count(), 0);
    }
}

/// 1 sends 500 numbered messages to 2 while one datagram of 20 is lost each way and others come in another order.
fn under_loss(config: ChannelConfig) -> Vec<u32> {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, _) = (room.open(1, config.clone()), room.open(2, config));
    room.run(1_000);
    room.bench.lose_each = 20;
    for number in 0..500_u32 {
        room.send(1, one, true, &[&number.to_be_bytes()[..], &[7; 996]].concat());
        room.run(2);
    }
    room.run(30_000);
    let number = |(_, data): (bool, Vec<u8>)| u32::from_be_bytes(*data.first_chunk().expect("four bytes"));
    room.received(2).into_iter().map(number).collect()
}

#[test]
fn a_reliable_channel_loses_nothing_under_loss_and_reordering() {
    let ordered = under_loss(labelled("cursor"));
    assert_eq!(ordered, (0..500).collect::<Vec<_>>());
    let mut unordered = under_loss(ChannelConfig { ordered: false, ..labelled("cursor") });
    assert_ne!(unordered, (0..500).collect::<Vec<_>>(), "some have overtaken others");
    unordered.sort_unstable();
    assert_eq!(unordered, (0..500).collect::<Vec<_>>());
}

#[test]
fn what_may_be_given_up_is_not_sent_for_ever() {
    let reliability = Reliability::MaxRetransmits { retransmits: 0 };
    let some = under_loss(ChannelConfig { ordered: false, reliability, ..labelled("cursor") });
    assert!(some.len() < 500, "nothing was lost");
    assert!(some.len() > 350, "{} arrived", some.len());
}

#[test]
fn channels_of_other_labels_and_paused_ones_get_nothing() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, other) = (room.open(1, labelled("chat")), room.open(1, labelled("game")));
    let _ = room.open(2, labelled("chat"));
    room.run(500);
    room.send(1, other, false, b"move");
    room.send(1, one, false, b"hello");
    room.run(100);
    assert_eq!(room.received(2), [(false, b"hello".to_vec())]);
    let producer = room.open.iter().find(|open| open.transport == TransportId(1) && open.label == "chat");
    let data_producer = producer.expect("accepted").producer;
    room.bench.must(&Command::PauseDataProducer { data_producer, paused: true });
    room.send(1, one, false, b"unheard");
    room.run(100);
    room.bench.must(&Command::PauseDataProducer { data_producer, paused: false });
    room.send(1, one, false, b"heard");
    room.run(100);
    assert_eq!(room.received(2), [(false, b"heard".to_vec())]);
    assert_eq!(room.bench.worker.totals().discards.get(Discard::DataProducerPaused), 1);
}

#[test]
fn a_channel_that_is_closed_leaves_its_stream_to_the_next() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let _ = room.open(2, labelled("chat"));
    let mut streams = Vec::new();
    for round in 0..5 {
        let channel = room.open(1, labelled("chat"));
        room.run(300);
        streams.push(room.open.iter().find(|open| open.transport == TransportId(1)).expect("accepted").stream);
        let text = format!("round {round}").into_bytes();
        room.send(1, channel, false, &text);
        room.run(300);
        assert_eq!(room.received(2), [(false, text)]);
        room.bench.peers[0].rtc.direct_api().close_data_channel(channel);
        room.bench.prompt(1);
        room.run(300);
        assert_eq!(room.open.iter().filter(|open| open.transport == TransportId(1)).count(), 0);
        assert!(room.bench.peers[0].closed.contains(&channel));
    }
    assert_eq!(streams.iter().filter(|stream| **stream == streams[0]).count(), 5, "{streams:?}");
}

#[test]
fn control_closes_a_channel_and_the_peer_is_told() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    let open = room.open.iter().find(|open| open.transport == TransportId(1)).expect("accepted").clone();
    room.bench.must(&Command::CloseDataChannel { transport: open.transport, stream: open.stream });
    room.run(500);
    assert!(room.bench.peers[0].closed.contains(&one));
    let again = Command::CloseDataChannel { transport: open.transport, stream: open.stream };
    assert!(room.bench.ask(&again).is_err(), "it is closed");
}

/// What waits for a receiver that takes nothing is bounded; new messages are lost, and control is told once.
#[test]
fn a_receiver_that_is_gone_loses_new_messages_and_takes_no_memory() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    room.bench.cut_off = Some(room.bench.peers[1].address);
    for _ in 0..100 {
        room.send(1, one, true, &[7; 30_000]);
        room.run(20);
    }
    let stats = |room: &mut Room| match room.bench.ask(&Command::Stats { from: None }) {
        Ok(Reply::Stats(page)) => page.objects,
        answer => panic!("{answer:?}"),
    };
    let of_two: Vec<_> = stats(&mut room)
        .into_iter()
        .filter_map(|stats| match stats {
            ObjectStats::DataConsumer(stats) if stats.transport == TransportId(2) => Some(stats),
            _ => None,
        })
        .collect();
    let [stats] = of_two.as_slice() else { panic!("{of_two:?}") };
    assert!(stats.bytes_sent <= 1_024 * 1_024 && stats.buffered_amount <= 1_024 * 1_024, "{stats:?}");
    assert_eq!(stats.messages_sent + stats.discards.get(Discard::SendBufferFull), 100, "{stats:?}");
    let told = |event: &&Event| matches!(event, Event::DataConsumerSendBufferFull { .. });
    assert_eq!(room.bench.events.iter().filter(told).count(), 1);
}

/// Control is told when what waits has fallen to the threshold, and a paused data consumer is sent nothing.
#[test]
fn control_is_told_when_little_waits_and_may_pause_a_data_consumer() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    let stats = |room: &mut Room| match room.bench.ask(&Command::Stats { from: None }) {
        Ok(Reply::Stats(page)) => page.objects.into_iter().find_map(|stats| match stats {
            ObjectStats::DataConsumer(stats) if stats.transport == TransportId(2) => Some(stats),
            _ => None,
        }),
        answer => panic!("{answer:?}"),
    };
    let data_consumer = stats(&mut room).expect("linked").data_consumer;
    room.bench.must(&Command::SetBufferedAmountLowThreshold { data_consumer, bytes: 50_000 });
    room.bench.cut_off = Some(room.bench.peers[1].address);
    for _ in 0..10 {
        room.send(1, one, true, &[7; 30_000]);
        room.run(20);
    }
    let low = |room: &Room| {
        let of = |event: &Event| match event {
            Event::DataConsumerBufferedAmountLow { data_consumer: of, buffered_amount } if *of == data_consumer => {
                Some(*buffered_amount)
            }
            _ => None,
        };
        room.bench.events.iter().filter_map(of).collect::<Vec<_>>()
    };
    let waits = stats(&mut room).expect("linked").buffered_amount;
    assert!(waits > 50_000 && low(&room).is_empty(), "{waits} wait");
    room.bench.cut_off = None;
    room.run(20_000);
    let told = low(&room);
    assert!(told.len() == 1 && told[0] <= 50_000, "{told:?}");
    assert_eq!((room.received(2).len(), stats(&mut room).expect("linked").buffered_amount), (10, 0));
    room.bench.must(&Command::PauseDataConsumer { data_consumer, paused: true });
    room.send(1, one, false, b"unheard");
    room.run(100);
    room.bench.must(&Command::PauseDataConsumer { data_consumer, paused: false });
    room.send(1, one, false, b"heard");
    room.run(100);
    assert_eq!(room.received(2), [(false, b"heard".to_vec())]);
    assert_eq!(room.bench.worker.totals().discards.get(Discard::DataConsumerPaused), 1);
}

/// What waits for one receiver is what the operator allows.
#[test]
fn the_send_buffer_is_that_of_the_settings() {
    let bench = Bench::with_config(DtlsVersions::V12, |config| config.data.send_buffer_bytes = 300_000);
    let mut room = Room::new(bench);
    room.bench.join(1, true, DtlsVersion::Dtls12);
    room.bench.join(2, true, DtlsVersion::Dtls12);
    room.run(2_000);
    room.start();
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    room.bench.cut_off = Some(room.bench.peers[1].address);
    for _ in 0..20 {
        room.send(1, one, true, &[7; 30_000]);
        room.run(20);
    }
    assert_eq!(room.bench.worker.totals().discards.get(Discard::SendBufferFull), 10);
}

/// An association may have less than the operator allows, in all and for each stream; not more.
#[test]
fn an_association_may_be_given_less_than_the_settings_allow() {
    let refused = |buffers: SctpBuffers| {
        let mut room = Room::new(Bench::new(DtlsVersions::V12));
        room.bench.sctp = Some(SctpOptions { buffers, ..SCTP });
        room.bench.join(1, true, DtlsVersion::Dtls12);
        room.bench.join(2, true, DtlsVersion::Dtls12);
        room.run(2_000);
        room.start();
        let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
        room.run(500);
        room.bench.cut_off = Some(room.bench.peers[1].address);
        for _ in 0..60 {
            room.send(1, one, true, &[7; 30_000]);
            room.run(20);
        }
        room.bench.worker.totals().discards.get(Discard::SendBufferFull)
    };
    let of_worker = refused(SctpBuffers::OF_WORKER);
    assert!(of_worker > 20, "{of_worker} of 60 did not fit a megabyte");
    for buffers in [
        SctpBuffers { send_bytes: 300_000, ..SctpBuffers::OF_WORKER },
        SctpBuffers { stream_send_bytes: 300_000, ..SctpBuffers::OF_WORKER },
    ] {
        assert!(refused(buffers) > of_worker + 15, "{buffers:?}");
    }
}

/// Beside wanted pictures data takes at most 30 percent of what the path carries, and without them leaves as it comes.
#[test]
fn data_takes_at_most_its_share_while_pictures_are_wanted() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let config = ChannelConfig { ordered: false, ..labelled("game") };
    let (one, _) = (room.open(1, config.clone()), room.open(2, config));
    room.bench.publish_video_and_watch();
    room.run(500);
    room.bench.tell_remb(2, ESTIMATE_BPS);
    // 8 Mbit/s are offered for ten seconds.
    let seconds = |room: &mut Room, seconds: u64| {
        let mut bytes = 0;
        for ms in 0..seconds * 1_000 {
            if ms.is_multiple_of(1_000) {
                room.bench.tell_remb(2, ESTIMATE_BPS);
            }
            room.send(1, one, true, &[7; 1_000]);
            room.run(1);
            bytes += room.received(2).iter().map(|(_, data)| data.len() as u64).sum::<u64>();
        }
        bytes * 8 / seconds
    };
    let beside = seconds(&mut room, 10);
    let share = ESTIMATE_BPS * 3 / 10;
    assert!((share / 2..=share).contains(&beside), "{beside} of {share} bit/s");
    let discards = room.bench.worker.totals().discards;
    assert!(discards.get(Discard::DataOverShare) > 0 && discards.get(Discard::SendBufferFull) > 0, "{discards:?}");
    room.bench.must(&Command::PauseConsumer { consumer: ConsumerId(2), paused: true });
    room.run(20_000);
    let alone = seconds(&mut room, 5);
    assert!(alone > 7_000_000, "{alone} bit/s");
}

/// Media that comes while messages leave is looked for after a few packets.
#[test]
fn a_long_message_leaves_in_several_turns() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    for _ in 0..20 {
        room.send(1, one, true, &[7; 60_000]);
        room.run(100);
    }
    assert_eq!(room.received(2).len(), 20);
    assert_eq!(room.bench.most_dtls_at_once, DATA_TURN_PACKETS, "and the window lets more of them go");
}

/// The total of a worker holds where no single receiver is at its limit.
#[test]
fn a_workers_total_bounds_what_waits() {
    let bench = Bench::with_config(DtlsVersions::V12, |config| config.data.worker_bytes = 100_000);
    let mut room = Room::new(bench);
    room.bench.join(1, true, DtlsVersion::Dtls12);
    room.bench.join(2, true, DtlsVersion::Dtls12);
    room.run(2_000);
    room.start();
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    room.bench.cut_off = Some(room.bench.peers[1].address);
    for _ in 0..10 {
        room.send(1, one, true, &[7; 30_000]);
        room.run(100);
    }
    assert_eq!(room.bench.worker.totals().discards.get(Discard::SendBufferFull), 7);
}

#[test]
fn commands_that_make_no_sense_change_nothing() {
    let mut room = Room::of_two(DtlsVersions::V12, DtlsVersion::Dtls12);
    let (one, _) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    room.bench.sctp = None;
    room.bench.create_transport(corecast_wire::RouterId(1), 3);
    let open = room.open[0].clone();
    let produce = |transport, id, stream, label: &str| Command::ProduceData {
        transport,
        data_producer: corecast_wire::DataProducerId(id),
        options: corecast_wire::ProduceDataOptions {
            stream,
            label: label.to_owned(),
            protocol: String::new(),
            paused: false,
        },
    };
    let wrong = [
        produce(TransportId(3), 900, 0, ""),
        produce(TransportId(9), 900, 0, ""),
        produce(open.transport, 900, open.stream, ""),
        produce(open.transport, open.producer.0, 77, ""),
        produce(open.transport, 900, u16::MAX, ""),
        produce(open.transport, 900, 77, &"a".repeat(257)),
        Command::AcceptDataChannel { transport: open.transport, stream: open.stream },
        Command::CloseDataConsumer { data_consumer: DataConsumerId(900) },
    ];
    for command in wrong {
        assert!(room.bench.ask(&command).is_err(), "{command:?}");
    }
    room.send(1, one, false, b"still there");
    room.run(100);
    assert_eq!(room.received(2), [(false, b"still there".to_vec())]);
}

/// With mediasoup the application closes data producers: a channel that the peer closes takes its data consumers alone.
#[test]
fn a_data_producer_that_control_closes_outlives_its_channel() {
    let mut room = Room::new(Bench::new(DtlsVersions::V12));
    room.bench.sctp = Some(SctpOptions { closing: StreamClosing::ByControl, ..SCTP });
    room.bench.join(1, true, DtlsVersion::Dtls12);
    room.bench.join(2, true, DtlsVersion::Dtls12);
    room.run(2_000);
    room.start();
    let (one, two) = (room.open(1, labelled("chat")), room.open(2, labelled("chat")));
    room.run(500);
    let counts = |room: &mut Room| {
        let Ok(Reply::Stats(page)) = room.bench.ask(&Command::Stats { from: None }) else { panic!("a page") };
        let is_producer = |of: &&ObjectStats| matches!(of, ObjectStats::DataProducer(_));
        let is_consumer = |of: &&ObjectStats| matches!(of, ObjectStats::DataConsumer(_));
        (page.objects.iter().filter(is_producer).count(), page.objects.iter().filter(is_consumer).count())
    };
    assert_eq!(counts(&mut room), (2, 2));
    let open = room.open.clone();
    room.bench.peers[0].rtc.direct_api().close_data_channel(one);
    room.bench.prompt(1);
    room.run(500);
    assert!(room.bench.peers[0].closed.contains(&one), "our half is closed, too");
    assert_eq!(counts(&mut room), (2, 1), "what 1 is sent");
    assert_eq!(room.open.len(), 1, "control is told");
    // What control closes has its stream reset, and the data consumers of what it closes theirs.
    let of = |number| open.iter().find(|open| open.transport == TransportId(number)).expect("accepted").producer;
    room.bench.must(&Command::CloseDataProducer { data_producer: of(1) });
    room.run(500);
    assert_eq!(counts(&mut room), (1, 0));
    assert!(room.bench.peers[1].closed.contains(&two));
    room.bench.must(&Command::CloseDataProducer { data_producer: of(2) });
    assert_eq!(counts(&mut room), (0, 0));
}
