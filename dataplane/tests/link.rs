//! A worker over its link, on both drivers: it says how it started, answers, and ends with its link.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use corecast_wire::{
    Coalesce, Command, CommandError, Event, Frame, FrameDecoder, Io, Reply, StartError, TestHook, WorkerConfig, encode,
};

struct Control {
    stream: UnixStream,
    decoder: FrameDecoder,
    worker: JoinHandle<Result<(), StartError>>,
    next_id: u64,
}

fn config(io: Io) -> WorkerConfig {
    WorkerConfig {
        index: 0,
        core: 0,
        io,
        coalesce: Coalesce::Auto,
        gro: true,
        port_range: (42_200, 42_299),
        recv_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        test_hooks: false,
    }
}

impl Control {
    fn start(config: WorkerConfig) -> Self {
        let (stream, theirs) = UnixStream::pair().expect("a socket pair");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let worker = std::thread::spawn(move || corecast_dataplane::run(theirs));
        let mut control = Self { stream, decoder: FrameDecoder::default(), worker, next_id: 0 };
        control.write(&[Frame::Config(config)]);
        control
    }

    fn write(&mut self, frames: &[Frame]) {
        let mut bytes = Vec::new();
        for frame in frames {
            encode(frame, &mut bytes).expect("a short frame");
        }
        self.stream.write_all(&bytes).expect("the worker reads");
    }

    fn read(&mut self) -> Frame {
        let mut room = vec![0; 65_536];
        loop {
            if let Some(frame) = self.decoder.next_frame().expect("well-formed") {
                return frame;
            }
            let count = self.stream.read(&mut room).expect("the worker answers");
            assert_ne!(count, 0, "the link ended");
            self.decoder.push(&room[..count]);
        }
    }

    fn ask(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.next_id += 1;
        let asked = self.next_id;
        self.write(&[Frame::Request { id: asked, command }]);
        loop {
            if let Frame::Reply { id, result } = self.read() {
                assert_eq!(id, asked);
                return result;
            }
        }
    }

    fn started(&mut self) -> Io {
        match self.read() {
            Frame::Event(Event::Started { io, reason, .. }) => {
                assert!(!reason.is_empty());
                io
            }
            other => panic!("{other:?}"),
        }
    }
}

const DRIVERS: [Io; 2] = [Io::Syscalls, Io::Auto];

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
