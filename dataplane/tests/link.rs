//! A worker over its link, on both drivers: it says how it started, answers, and ends with its link.

mod common;

use common::{Control, DRIVERS, config};
use corecast_dataplane::driver::{Driver, SocketOptions};
use corecast_wire::{Command, CommandError, Event, Frame, Io, Reply, TestHook, WorkerConfig};

#[test]
fn a_worker_starts_tells_its_usage_and_shuts_down() {
    for io in DRIVERS {
        let mut control = Control::start(config(io));
        assert_ne!(control.started(), Io::Auto);
        let Ok(Reply::Usage(first)) = control.ask(Command::Usage) else { panic!("no usage") };
        let Ok(Reply::Usage(second)) = control.ask(Command::Usage) else { panic!("no usage") };
        assert!(second.at_ns > first.at_ns && second.wakeups > first.wakeups);
        assert!(second.user_ns + second.system_ns > 0 && second.core_time.total_ns > 0);
        assert!(!second.latency_us.is_empty());
        assert_eq!(control.ask(Command::TestHook(TestHook::Panic)), Err(CommandError::HooksOff));
        assert_eq!(control.ask(Command::Shutdown), Ok(Reply::Done));
        assert_eq!(control.worker.join().expect("no panic"), Ok(()));
    }
}

#[test]
fn a_worker_ends_with_its_link() {
    for io in DRIVERS {
        let mut control = Control::start(config(io));
        control.started();
        drop(control.stream);
        assert_eq!(control.worker.join().expect("no panic"), Ok(()));
    }
}

#[test]
fn a_flood_of_requests_is_answered_in_order() {
    for io in DRIVERS {
        let mut control = Control::start(config(io));
        let requests: Vec<_> = (0..500).map(|id| Frame::Request { id, command: Command::Usage }).collect();
        control.write(&requests);
        control.started();
        for expected in 0..500 {
            let Frame::Reply { id, result: Ok(_) } = control.read() else { panic!("not a reply") };
            assert_eq!(id, expected);
        }
        assert_eq!(control.ask(Command::Shutdown), Ok(Reply::Done));
    }
}

#[test]
fn a_core_that_is_not_there_is_reported() {
    let mut control = Control::start(WorkerConfig { core: 4_000, ..config(Io::Auto) });
    let Frame::Event(Event::StartFailed(error)) = control.read() else { panic!("no event") };
    assert!(error.to_string().contains("core 4000"), "{error}");
    assert_eq!(control.worker.join().expect("no panic"), Err(error));
}

#[test]
fn io_uring_is_used_where_the_host_allows_it_and_refused_where_it_does_not() {
    let options = SocketOptions { gro: true, recv_buffer_bytes: 65_536, send_buffer_bytes: 65_536 };
    let allowed = Driver::ring(options, 16).is_ok();
    assert_eq!(Control::start(config(Io::Auto)).started(), if allowed { Io::Uring } else { Io::Syscalls });
    let mut control = Control::start(config(Io::Uring));
    match control.read() {
        Frame::Event(Event::Started { io, .. }) => assert!(allowed && io == Io::Uring),
        Frame::Event(Event::StartFailed(error)) => assert!(!allowed, "{error}"),
        other => panic!("{other:?}"),
    }
}
