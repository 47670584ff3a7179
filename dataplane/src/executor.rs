//! Runs the pump of a worker on the calling thread, which is pinned already: as a plain loop, or as tasks of a glommio
//! executor with a queue for media and one for housekeeping. The only file that names glommio.
//!
//! The thread sleeps in one place, the pump's own ring (parking in glommio costs three times as much per wake-up), so
//! glommio looks at its rings only when nothing is runnable. Hence no glommio I/O, timers or wake-ups from other
//! threads here: housekeeping is run when the pump says so, which it does when the link can be read and every 100 ms.

use corecast_wire::{Executor, Io, StartError};
use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, Shares, executor, spawn_local_into};

use crate::pump::{Life, Pump, Turn};

/// glommio's own rings are idle: the least that it takes.
const RING_DEPTH: usize = 16;
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Media is given nearly all of the core where both queues have something to do.
const MEDIA_SHARES: usize = 1_000;
const HOUSEKEEPING_SHARES: usize = 10;

/// A loop that is ready to run a pump.
pub(crate) enum Runner {
    /// The calling thread.
    Thread,
    /// A glommio executor on the calling thread.
    Glommio(Box<LocalExecutor>),
}

/// Makes the runner that `executor` names; a driver over system calls always gets the plain loop. With glommio,
/// io_uring must have been seen to work, because glommio panics where it does not.
///
/// # Errors
/// The error of glommio.
pub(crate) fn make(executor: Executor, io: Io, core: u32) -> Result<Runner, StartError> {
    if executor == Executor::Thread || io == Io::Syscalls {
        return Ok(Runner::Thread);
    }
    let builder = LocalExecutorBuilder::new(Placement::Fixed(core as usize))
        .name(&format!("worker-{core}"))
        .ring_depth(RING_DEPTH)
        .io_memory(IO_MEMORY_BYTES);
    let made = builder.make().map_err(|error| StartError::Other(format!("cannot make an executor: {error}")))?;
    Ok(Runner::Glommio(Box::new(made)))
}

/// Runs a pump until its link ends or it is told to shut down.
///
/// # Errors
/// If the worker cannot go on.
pub(crate) fn run(runner: Runner, pump: Box<Pump>) -> Result<(), StartError> {
    match runner {
        Runner::Thread => run_loop(pump),
        Runner::Glommio(executor) => executor.run(run_tasks(pump)),
    }
}

fn run_loop(mut pump: Box<Pump>) -> Result<(), StartError> {
    loop {
        let turn = pump.turn().map_err(|error| cannot_wait(&error))?;
        if turn == Turn::Housekeep && pump.housekeep() == Life::Ends {
            pump.end();
            return Ok(());
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
        if pump.turn().map_err(|error| cannot_wait(&error))? == Turn::Media {
            continue;
        }
        let work = async move {
            let life = pump.housekeep();
            (pump, life)
        };
        let done = spawn_local_into(work, housekeeping)
            .map_err(|error| StartError::Other(format!("cannot start housekeeping: {error}")))?;
        let (returned, life) = done.await;
        if life == Life::Ends {
            returned.end();
            return Ok(());
        }
        pump = returned;
    }
}

fn cannot_wait(error: &std::io::Error) -> StartError {
    StartError::Other(format!("the worker can no longer wait: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_runs_the_loop_where_it_is_asked_to_or_where_io_uring_is_not_used() {
        for (executor, io) in
            [(Executor::Thread, Io::Uring), (Executor::Thread, Io::Syscalls), (Executor::Glommio, Io::Syscalls)]
        {
            let runner = make(executor, io, 0).expect("nothing is made");
            assert!(matches!(runner, Runner::Thread), "{executor:?} {io:?}");
        }
    }
}
