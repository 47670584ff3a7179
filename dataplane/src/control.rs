//! What commands a worker and hears what it tells: control over a link, or a door in the same process that speaks
//! another protocol.

use std::os::fd::BorrowedFd;

use corecast_wire::{Command, CommandError, Event, Reply};

/// Whether the worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The worker goes on, and everything that came has been taken.
    All,
    /// The worker goes on, and more is there than one turn has time for.
    More,
    /// Control has gone, or wants the worker to end.
    Ended,
}

/// The worker, as the one that commands it sees it during [`Control::serve`].
pub trait Machine {
    /// Applies a command completely or not at all. [`Command::Shutdown`] is not for the machine: answer it with
    /// [`Served::Ended`].
    ///
    /// # Errors
    /// Every error leaves the worker as it was.
    fn execute(&mut self, command: &Command) -> Result<Reply, CommandError>;
    /// What the worker tells that was not told before.
    fn next_event(&mut self) -> Option<Event>;
    /// Whether another command may be executed in this turn: media does not wait for long.
    fn has_time(&mut self) -> bool;
    /// Forwards what has arrived, and receives nothing from now on: another worker may take this one's sockets. To be
    /// called before the end is answered.
    fn leave(&mut self);
}

/// The one that commands a worker. It never blocks the worker's thread.
pub trait Control {
    /// Readable when there is something to serve.
    fn fd(&self) -> BorrowedFd<'_>;
    /// Reads what has come, executes it, and writes as much as can be written. Called when [`Self::fd`] is readable,
    /// and ten times a second.
    fn serve(&mut self, machine: &mut dyn Machine) -> Served;
    /// Takes in what the worker tells by itself.
    fn tell(&mut self, event: Event);
    /// Whether something waits to be written.
    fn has_backlog(&self) -> bool;
    /// Writes everything, waiting for at most a second: for the last words of a worker.
    fn drain(&mut self);
}
