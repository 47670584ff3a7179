//! On which core this worker runs: mediasoup does not pin its workers, so nobody tells.
//!
//! Each core has seats, one above the other, and a worker takes the lowest that is free on any core that is allowed. A
//! seat is the name of an abstract Unix socket: the kernel gives it to one process, and frees it with the process.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Cores on which workers may run, as `0-3,6`; without it all on which this process may.
const VARIABLE: &str = "CORECAST_WORKER_CORES";
/// Workers on one core at most.
const MAX_SEATS: u32 = 1_024;

/// Takes a core. It is free for another worker when the seat is dropped.
///
/// # Errors
/// A sentence about what is wrong with [`VARIABLE`], or with the system.
pub(crate) fn take() -> Result<(u32, UnixDatagram), String> {
    let here: Vec<u32> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|core| u32::try_from(core.id).ok())
        .collect();
    let cores = match std::env::var(VARIABLE) {
        Ok(list) => parse(&list).map_err(|error| format!("{VARIABLE}: {error}"))?,
        Err(_) => here.clone(),
    };
    let allowed: Vec<u32> = cores.into_iter().filter(|core| here.contains(core)).collect();
    if allowed.is_empty() {
        return Err(format!("{VARIABLE}: none of these cores is there and allowed; those are {here:?}"));
    }
    for seat in 0..MAX_SEATS {
        for core in &allowed {
            if let Ok(taken) = sit(*core, seat) {
                return Ok((*core, taken));
            }
        }
    }
    Err(format!("there are {MAX_SEATS} workers on each core of {allowed:?} already"))
}

fn sit(core: u32, seat: u32) -> std::io::Result<UnixDatagram> {
    let name = format!("corecast-mediasoup-worker/{core}/{seat}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Numbers and ranges of numbers between commas.
fn parse(list: &str) -> Result<Vec<u32>, String> {
    let mut cores = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| format!("{part:?} is no core"));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(format!("{part:?} goes backwards"));
        }
        cores.extend((first..=last).map(u32::from));
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_is_read() {
        assert_eq!(parse("0-2, 6"), Ok(vec![0, 1, 2, 6]));
        for wrong in ["", "a", "3-1", "1-", "70000"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_next_worker_takes_another_core_or_another_seat() {
        let (core, seat) = take().expect("a core is free");
        let first = seat.local_addr().expect("bound").as_abstract_name().map(<[u8]>::to_vec);
        let (next, other) = take().expect("a core is free");
        let second = other.local_addr().expect("bound").as_abstract_name().map(<[u8]>::to_vec);
        assert_ne!(first, second, "core {core} and core {next}");
    }
}
