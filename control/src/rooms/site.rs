//! A router of a room, and the worker that it is on.

use std::sync::Arc;

use corecast_wire::{Command, RouterId};

use crate::workers::Worker;

/// A router of a room. A room has its home, and may have one on each further worker.
#[derive(Clone, Debug)]
pub(super) struct Site {
    worker: Arc<Worker>,
    router: RouterId,
}

impl Site {
    pub(super) fn new(worker: Arc<Worker>, router: RouterId) -> Self {
        Self { worker, router }
    }

    pub(super) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    pub(super) fn router(&self) -> RouterId {
        self.router
    }

    /// What makes the router.
    pub(super) fn create(&self) -> Command {
        Command::CreateRouter { router: self.router }
    }

    /// What closes it with everything inside.
    pub(super) fn close(&self) -> Command {
        Command::CloseRouter { router: self.router }
    }

    /// Whether it is on this worker.
    pub(super) fn is_on(&self, worker: &Worker) -> bool {
        self.worker.index() == worker.index()
    }
}

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        self.router == other.router
    }
}
