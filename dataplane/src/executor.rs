//! What drives the pump of a worker: a glommio executor with a queue for media and one for housekeeping, or nothing but
//! a loop where io_uring is not used. The only file that names glommio.
//!
//! The thread sleeps in one place, the pump's own ring (parking in glommio costs three times as much per wake-up), so
//! glommio sees to its rings only when nothing is runnable. Hence no glommio I/O, timers or wake-ups from other threads
//! here: housekeeping is run when the pump says so, and it says so when the link can be read and every 100 ms.

use corecast_wire::{Io, StartError};
use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, Shares, executor, spawn_local_into};

use crate::pump::{Life, Pump, Turn};

/// glommio's own rings are idle: the least that it takes.
const RING_DEPTH: usize = 16;
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Media is given nearly all of the core where both queues have something to do.
const MEDIA_SHARES: usize = 1_000;
const HOUSEKEEPING_SHARES: usize = 10;

/// Where a pump is run: on the calling thread, until its link ends or it is told to shut down.
pub(crate) enum Executor {
    /// A loop.
    Plain,
    /// An executor of glommio's.
    Glommio(Box<LocalExecutor>),
}

impl Executor {
    /// Io_uring must have been seen to work: glommio panics where it does not.
    ///
    /// # Errors
    /// What glommio says.
    pub(crate) fn new(io: Io, core: u32) -> Result<Self, StartError> {
        if io == Io::Syscalls {
            return Ok(Self::Plain);
        }
        let builder = LocalExecutorBuilder::new(Placement::Fixed(core as usize))
            .name(&format!("worker-{core}"))
            .ring_depth(RING_DEPTH)
            .io_memory(IO_MEMORY_BYTES);
        let made = builder.make().map_err(|error| StartError::Other(format!("cannot make an executor: {error}")))?;
        Ok(Self::Glommio(Box::new(made)))
    }

    pub(crate) fn run(self, pump: Box<Pump>) -> Result<(), StartError> {
        match self {
            Self::Plain => run_plain(pump),
            Self::Glommio(executor) => executor.run(run_tasks(pump)),
        }
    }
}

fn run_plain(mut pump: Box<Pump>) -> Result<(), StartError> {
    loop {
        match pump.turn() {
            Ok(Turn::Media) => {}
            Ok(Turn::Housekeep) if pump.housekeep() == Life::Ends => return Ok(()),
            Ok(Turn::Housekeep) => {}
            Err(error) => return Err(cannot_wait(&error)),
        }
    }
}

async fn run_tasks(pump: Box<Pump>) -> Result<(), StartError> {
    // No latency for either: glommio would keep a timer for it, and the pump bounds its turns by itself.
    let queue = |shares, name| executor().create_task_queue(Shares::Static(shares), Latency::NotImportant, name);
    let (media, housekeeping) = (queue(MEDIA_SHARES, "media"), queue(HOUSEKEEPING_SHARES, "housekeeping"));
    let task = spawn_local_into(pump_media(pump, housekeeping), media)
        .map_err(|error| StartError::Other(format!("cannot start the media task: {error}")))?;
    task.await
}

/// The media task. It gives the pump away for housekeeping and waits to have it back, so that nothing is shared, and so
/// that glommio runs the other queue: a mere yield would run only what is runnable already.
async fn pump_media(mut pump: Box<Pump>, housekeeping: glommio::TaskQueueHandle) -> Result<(), StartError> {
    loop {
        match pump.turn() {
            Ok(Turn::Media) => {}
            Ok(Turn::Housekeep) => {
                let work = async move {
                    let life = pump.housekeep();
                    (pump, life)
                };
                let done = spawn_local_into(work, housekeeping)
                    .map_err(|error| StartError::Other(format!("cannot start housekeeping: {error}")))?;
                let (returned, life) = done.await;
                if life == Life::Ends {
                    return Ok(());
                }
                pump = returned;
            }
            Err(error) => return Err(cannot_wait(&error)),
        }
    }
}

fn cannot_wait(error: &std::io::Error) -> StartError {
    StartError::Other(format!("the worker can no longer wait: {error}"))
}
