//! Control's end of a link, for tests.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use corecast_wire::{
    Coalesce, Command, CommandError, DataLimits, Event, Executor, Frame, FrameDecoder, HugePages, Io, Maxima, Reply,
    Sandbox, StartError, WorkerConfig, encode,
};

/// Each driver with each executor that can run it. `Auto` is io_uring where the host allows it.
pub(crate) const WORKERS: [(Io, Executor); 3] =
    [(Io::Syscalls, Executor::Thread), (Io::Auto, Executor::Glommio), (Io::Auto, Executor::Thread)];

/// A worker on a thread of its own, and the other end of its link.
pub(crate) struct Control {
    pub(crate) stream: UnixStream,
    decoder: FrameDecoder,
    pub(crate) worker: JoinHandle<Result<(), StartError>>,
    next_id: u64,
}

/// For a worker whose thread is not ours.
fn nobody() -> JoinHandle<Result<(), StartError>> {
    std::thread::spawn(|| Ok(()))
}

/// A configuration that works.
pub(crate) fn config((io, executor): (Io, Executor)) -> WorkerConfig {
    WorkerConfig {
        index: 0,
        core: 0,
        io,
        executor,
        coalesce: Coalesce::Auto,
        gro: true,
        huge_pages: HugePages::Auto,
        sandbox: Sandbox::On,
        // Ports of tests lie below what the system draws free ports from: else a client's socket may have one of them.
        port_range: (31_200, 31_299),
        recv_buffer_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        max_sound_wait_us: 0,
        max_media_age_ms: 200,
        max_packets_per_s: 20_000,
        data: DataLimits::DEFAULT,
        maxima: Maxima::DEFAULT,
        webrtc: None,
        is_blamed: false,
        test_hooks: false,
    }
}

impl Control {
    pub(crate) fn start(config: WorkerConfig) -> Self {
        let (stream, theirs) = UnixStream::pair().expect("a socket pair");
        let worker = std::thread::spawn(move || corecast_dataplane::run(theirs));
        Self { worker, ..Self::over(stream, config) }
    }

    /// Over a link to a worker of another process.
    pub(crate) fn over(stream: UnixStream, config: WorkerConfig) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut control = Self { stream, decoder: FrameDecoder::default(), worker: nobody(), next_id: 0 };
        control.write(&[Frame::Config(config)]);
        control
    }

    pub(crate) fn write(&mut self, frames: &[Frame]) {
        let mut bytes = Vec::new();
        for frame in frames {
            encode(frame, &mut bytes).expect("a short frame");
        }
        self.stream.write_all(&bytes).expect("the worker reads");
    }

    pub(crate) fn read(&mut self) -> Frame {
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

    pub(crate) fn ask(&mut self, command: Command) -> Result<Reply, CommandError> {
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

    pub(crate) fn started(&mut self) -> Io {
        match self.read() {
            Frame::Event(Event::Started { io, reason, .. }) => {
                assert!(!reason.is_empty());
                io
            }
            other => panic!("{other:?}"),
        }
    }
}
