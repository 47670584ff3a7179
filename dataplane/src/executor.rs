//! What drives the pump of a worker: nothing but a loop where system calls are used.

use corecast_wire::{Io, StartError};

use crate::pump::{Life, Pump, Turn};

/// Runs a pump on the calling thread until its link ends or it is told to shut down.
pub(crate) fn run(pump: Box<Pump>, _io: Io, _core: u32) -> Result<(), StartError> {
    run_plain(pump)
}

fn run_plain(mut pump: Box<Pump>) -> Result<(), StartError> {
    loop {
        match pump.turn() {
            Ok(Turn::Media) => {}
            Ok(Turn::Housekeep) if pump.housekeep() == Life::Ends => return Ok(()),
            Ok(Turn::Housekeep) => {}
            Err(error) => return Err(StartError::Other(format!("the worker cannot wait any more: {error}"))),
        }
    }
}
