//! The memory of a worker's history and outbox: large regions, in huge pages if wanted, cut into pieces as they are
//! asked for. A worker lives as long as its process, so they are never given back.

use corecast_core::Memory;
use corecast_wire::HugePages;

use crate::driver::arena::Region;

/// Bytes of one region: two huge pages. What is not touched costs nothing.
const REGION_BYTES: usize = 4 << 20;

/// What is left of the newest region.
#[derive(Debug)]
pub(crate) struct WorkerMemory {
    rest: &'static mut [u8],
    huge_pages: HugePages,
}

impl WorkerMemory {
    pub(crate) const fn new(huge_pages: HugePages) -> Self {
        Self { rest: &mut [], huge_pages }
    }

    /// So many zeroed bytes; `None` if the system has none.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Memory> {
        if self.rest.len() < bytes {
            self.rest = Region::of_process(bytes.max(REGION_BYTES), self.huge_pages).ok()?;
        }
        let (taken, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes);
        self.rest = rest;
        Some(Memory::of_process(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_long_as_asked_for_zeroed_and_do_not_overlap() {
        let mut memory = WorkerMemory::new(HugePages::Auto);
        let mut pieces: Vec<_> = [1_000, REGION_BYTES, 100_000, REGION_BYTES + 1, 0, 4_000_000, 4_000_000]
            .into_iter()
            .map(|bytes| (bytes, memory.take(bytes).expect("memory")))
            .collect();
        for (number, (bytes, piece)) in (1..).zip(&mut pieces) {
            assert_eq!(piece.len(), *bytes);
            assert!(piece.iter().all(|byte| *byte == 0), "another piece's");
            piece.fill(number);
        }
    }
}
