//! What joins the workers of a server: for each two of them memory that both map, with a lane in either direction, and
//! for each worker a bell (an eventfd) that wakes it when it sleeps.
//!
//! The one that starts the workers makes a [`Mesh`] and gives each its [`Ends`], across processes as well. It lives as
//! long as they do: a new server has a new one. A worker has nothing of what lies between two others.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::event::{EventfdFlags, eventfd};

use crate::driver::arena::{Region, memory_file};
use crate::lane::{LANE_WORDS, Reader, Writer};

/// A lane in either direction.
const PAIR_WORDS: usize = 2 * LANE_WORDS;

/// All of a server.
#[derive(Debug)]
pub struct Mesh {
    /// By worker.
    bells: Vec<OwnedFd>,
    /// By the later worker of two, then by the other.
    pairs: Vec<Vec<OwnedFd>>,
}

impl Mesh {
    /// Between so many workers.
    ///
    /// # Errors
    /// If the system refuses file descriptors, or memory.
    pub fn new(workers: u32) -> io::Result<Self> {
        // For 64 workers there are 2,080 descriptors, until each has its own.
        let _ = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
        let bell = |_| Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let pair = |_| memory_file(c"corecast-lanes", (PAIR_WORDS * size_of::<u64>()) as u64).map(OwnedFd::from);
        Ok(Self {
            bells: (0..workers).map(bell).collect::<io::Result<_>>()?,
            pairs: (0..workers).map(|later| (0..later).map(pair).collect()).collect::<io::Result<_>>()?,
        })
    }

    /// The descriptors of one worker's ends, as [`Ends::of`] takes them; none if there is no such worker, or no other.
    #[must_use]
    pub fn ends_of(&self, worker: u32) -> Vec<BorrowedFd<'_>> {
        let own = worker as usize;
        let Some(bell) = self.bells.get(own).filter(|_| self.bells.len() > 1) else { return Vec::new() };
        let mut ends = vec![bell.as_fd()];
        for (other, bell) in self.bells.iter().enumerate().filter(|(other, _)| *other != own) {
            let pair = self.pairs.get(own.max(other)).and_then(|pairs| pairs.get(own.min(other)));
            ends.extend(pair.into_iter().chain([bell]).map(AsFd::as_fd));
        }
        ends
    }
}

/// What one worker has of a mesh.
#[derive(Debug)]
pub struct Ends(Vec<OwnedFd>);

/// One worker as another has it: its number, the lanes there and from there, and its bell.
pub(crate) type Other = (u32, Writer, Reader, OwnedFd);

impl Ends {
    /// From the descriptors that [`Mesh::ends_of`] named for the worker, or copies of them.
    #[must_use]
    pub const fn of(descriptors: Vec<OwnedFd>) -> Self {
        Self(descriptors)
    }

    /// Maps the memory, for as long as the process lives. Returns this worker's own bell and all others; nothing if
    /// there is no mesh.
    pub(crate) fn open(self, own_worker: u32) -> io::Result<Option<(OwnedFd, Vec<Other>)>> {
        let mut descriptors = self.0.into_iter();
        let Some(own) = descriptors.next() else { return Ok(None) };
        let mut others = Vec::new();
        for worker in (0..).filter(|other| *other != own_worker) {
            let (Some(pair), Some(bell)) = (descriptors.next(), descriptors.next()) else { break };
            let memory = Region::words_of_file(&File::from(pair), 0, PAIR_WORDS)?;
            // The first of the two lanes leads to the later worker.
            let (up, down) = memory.split_at(LANE_WORDS);
            let (to, from) = if worker > own_worker { (up, down) } else { (down, up) };
            let ends = Writer::of(to).zip(Reader::of(from));
            let (to, from) = ends.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            others.push((worker, to, from, bell));
        }
        Ok(Some((own, others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::{Label, MAX_PACKET_BYTES};

    #[test]
    fn what_each_worker_writes_to_another_that_one_reads_and_nobody_else() {
        let mesh = Mesh::new(3).expect("memory");
        let mut workers = Vec::new();
        for worker in 0..3 {
            let own = mesh.ends_of(worker).iter().map(|fd| fd.try_clone_to_owned().expect("a descriptor")).collect();
            workers.push(Ends::of(own).open(worker).expect("memory").expect("a mesh").1);
        }
        let known: Vec<Vec<_>> = workers.iter().map(|others| others.iter().map(|other| other.0).collect()).collect();
        assert_eq!(known, [[1, 2], [0, 2], [0, 1]]);
        for (worker, others) in (0_u16..).zip(&mut workers) {
            for (other, to, ..) in others {
                assert!(to.push(Label { from: worker, to: *other as u16, came_ns: 0 }, b"hello"));
                to.publish();
            }
        }
        for (worker, others) in (0_u16..).zip(&mut workers) {
            for (other, _, from, _) in others {
                let mut room = [0; MAX_PACKET_BYTES];
                assert!(from.look());
                let label = Label { from: *other as u16, to: worker, came_ns: 0 };
                assert_eq!(from.pop(&mut room), Some((label, 5)));
                assert!(!from.look());
            }
        }
    }

    #[test]
    fn without_a_mesh_there_are_no_others() {
        assert!(Ends::of(Vec::new()).open(0).expect("nothing").is_none());
        assert!(Mesh::new(2).expect("memory").ends_of(2).is_empty());
        assert!(Mesh::new(1).expect("memory").ends_of(0).is_empty());
    }
}
