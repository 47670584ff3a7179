//! What outlives a worker: a file in memory with its records and words, and the sockets that it is reached at. The one
//! that starts workers makes a [`Keep`] for each place and gives it to one worker after the other; a worker that finds
//! something in it goes on with the calls of the one before.
//!
//! The file has two halves for words and two for records, so that what the worker before left is there until this one
//! has taken all of it over: then the head names the other halves. It holds keys, and only its owner can open it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU64;

use corecast_core::{PLACES, Words};
use corecast_wire::{Change, Record, Records};
use nix::fcntl::{FallocateFlags, fallocate};

use crate::driver::arena::{Region, memory_file};
use crate::keeper::Keeper;

/// Names the layout of the file; another version of corecast leaves what it does not understand.
const MAGIC: u64 = u64::from_le_bytes(*b"corekp03");
const HEAD_BYTES: u64 = 4_096;
/// A half for words: two million of them. Pages that are not touched take no memory.
const WORDS_BYTES: u64 = 32 << 20;
/// A half for records.
const RECORDS_BYTES: u64 = 64 << 20;
const FILE_BYTES: u64 = HEAD_BYTES + 2 * WORDS_BYTES + 2 * RECORDS_BYTES;
/// Records are written again from the start when so many bytes, and four times those that are in effect, have been
/// written.
const LEAST_REWRITTEN: u64 = 256 * 1024;
/// Records that are read at a time, in bytes.
const READ_BYTES: usize = 128 * 1024;

/// Returns once the worker before has ended, with what it has left.
pub type WaitForKeep = Box<dyn FnOnce() -> io::Result<Keep> + Send>;

/// What outlives a worker.
#[derive(Debug)]
pub struct Keep {
    memory: OwnedFd,
    sockets: Vec<OwnedFd>,
    keeper: Option<Keeper>,
}

impl Keep {
    /// With nothing in it yet.
    ///
    /// # Errors
    /// If the system refuses a file in memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self::of_memory(memory_file(c"corecast-worker", FILE_BYTES)?.into()))
    }

    /// The file of a [`Keep`] that has come from another process.
    #[must_use]
    pub const fn of_memory(memory: OwnedFd) -> Self {
        Self { memory, sockets: Vec::new(), keeper: None }
    }

    /// The file, to be handed to another process.
    #[must_use]
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// With bound sockets. A worker that listens at the address of one takes that one, with what it has received.
    #[must_use]
    pub fn with_sockets(mut self, sockets: Vec<OwnedFd>) -> Self {
        self.sockets = sockets;
        self
    }

    /// Whom the worker tells of the sockets that it opens and closes.
    #[must_use]
    pub fn held_by(mut self, keeper: Keeper) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// The same file and sockets, for the next worker.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let sockets = self.sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        let keeper = self.keeper.as_ref().map(Keeper::try_clone).transpose()?;
        Ok(Self { memory: self.memory.try_clone()?, sockets, keeper })
    }

    pub(crate) fn into_parts(self) -> (OwnedFd, Vec<OwnedFd>, Option<Keeper>) {
        (self.memory, self.sockets, self.keeper)
    }
}

/// Which halves are in use.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    words_half: u32,
    records_half: u32,
}

impl Head {
    fn read(file: &File) -> io::Result<Option<Self>> {
        let head = Self { words_half: read_number(file, 8)?, records_half: read_number(file, 12)? };
        let mut magic = [0; 8];
        file.read_exact_at(&mut magic, 0)?;
        Ok(Some(head).filter(|head| magic == MAGIC.to_le_bytes() && head.words_half < 2 && head.records_half < 2))
    }

    /// Written in one piece: a worker that dies meanwhile leaves the old head or the new one.
    fn write(&self, file: &File) -> io::Result<()> {
        let halves = [self.words_half, self.records_half].map(u32::to_le_bytes).concat();
        file.write_all_at(&[&MAGIC.to_le_bytes()[..], &halves].concat(), 0)
    }
}

/// A file of the kept, in use.
#[derive(Debug)]
pub(crate) struct Kept {
    file: File,
    head: Head,
    records: Records,
    /// Bytes written in the half for records, and of those that were in effect when the half was begun.
    written: u64,
    in_effect: u64,
}

/// What the worker before left: all its places for words, and its records in the order in which they are to be told.
type Left = (&'static [AtomicU64], Vec<Record>);

impl Kept {
    /// Begins in the halves that the worker before did not use. What it left stays until [`Self::settle`].
    pub(crate) fn open(memory: OwnedFd) -> io::Result<(Self, Left)> {
        let file = File::from(memory);
        let found = Head::read(&file)?;
        let mut left: Left = (&[], Vec::new());
        let mut records = Records::default();
        let mut head = Head::default();
        if let Some(before) = found {
            let blocks = read_number(&file, blocks_at(before.words_half))? as usize;
            left.0 = words_of(&file, before.words_half)?.get(..blocks * PLACES).unwrap_or_default();
            read_records(&file, before.records_half, &mut records)?;
            left.1 = records.sweep();
            head = Head { words_half: 1 - before.words_half, records_half: 1 - before.records_half };
        }
        write_number(&file, blocks_at(head.words_half), 0)?;
        empty(&file, words_at(head.words_half), WORDS_BYTES)?;
        Ok((Self { file, head, records, written: 0, in_effect: 0 }, left))
    }

    /// Words in this worker's half.
    pub(crate) fn words(&self) -> io::Result<Words> {
        let (file, half) = (self.file.try_clone()?, self.head.words_half);
        let mut blocks = words_of(&file, half)?.chunks_exact(PLACES);
        let mut given = 0;
        Ok(Words::new(move || {
            let block = blocks.next()?;
            given += 1;
            write_number(&file, blocks_at(half), given).ok()?;
            Some(block)
        }))
    }

    /// Everything has been taken over: from now on it is this worker's halves that count.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.rewrite(self.head.records_half)?;
        self.head.write(&self.file)
    }

    /// Keeps what was applied or learnt.
    pub(crate) fn note(&mut self, record: &Record) -> io::Result<()> {
        let changes = self.records.note(record);
        let mut bytes = Vec::new();
        changes.iter().for_each(|change| append(&mut bytes, change));
        if self.written + bytes.len() as u64 > (4 * self.in_effect + LEAST_REWRITTEN).min(RECORDS_BYTES) {
            let half = 1 - self.head.records_half;
            self.records.sweep();
            self.rewrite(half)?;
            self.head.records_half = half;
            return self.head.write(&self.file);
        }
        self.file.write_all_at(&bytes, records_at(self.head.records_half) + self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes all records that are in effect into a half.
    fn rewrite(&mut self, half: u32) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.records.changes().for_each(|change| append(&mut bytes, &change));
        if bytes.len() as u64 > RECORDS_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        empty(&self.file, records_at(half), RECORDS_BYTES)?;
        self.file.write_all_at(&bytes, records_at(half))?;
        (self.written, self.in_effect) = (bytes.len() as u64, bytes.len() as u64);
        Ok(())
    }

    /// Nothing of it counts any longer: who comes next begins with nothing.
    pub(crate) fn give_up(&self) {
        let _ = self.file.write_all_at(&[0; 8], 0);
    }
}

const fn words_at(half: u32) -> u64 {
    HEAD_BYTES + half as u64 * WORDS_BYTES
}

const fn records_at(half: u32) -> u64 {
    HEAD_BYTES + 2 * WORDS_BYTES + half as u64 * RECORDS_BYTES
}

/// All places of a half for words.
fn words_of(file: &File, half: u32) -> io::Result<&'static [AtomicU64]> {
    Region::words_of_file(file, words_at(half), WORDS_BYTES as usize / size_of::<AtomicU64>())
}

/// Where the head counts the blocks of a half that a worker has been given.
const fn blocks_at(half: u32) -> u64 {
    16 + 4 * half as u64
}

fn write_number(file: &File, at: u64, number: u32) -> io::Result<()> {
    file.write_all_at(&number.to_le_bytes(), at)
}

fn read_number(file: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Gives the memory of a part of the file back: it reads as zeros.
fn empty(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let signed = |number: u64| i64::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(file, flags, signed(offset)?, signed(bytes)?)?;
    Ok(())
}

/// A change as it stands in the file: length, checksum, what postcard makes of it.
fn append(out: &mut Vec<u8>, change: &Change) {
    let Ok(body) = postcard::to_stdvec(change) else { return };
    let Ok(length) = u32::try_from(body.len()) else { return };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
}

/// Reads a file from a place on. The file has a place of its own, but all share it who have the file open.
struct ReadFrom<'a>(&'a File, u64);

impl Read for ReadFrom<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read_at(room, self.1)?;
        self.1 += length as u64;
        Ok(length)
    }
}

/// Takes in what a half holds, up to what was not written to its end.
fn read_records(file: &File, half: u32, records: &mut Records) -> io::Result<()> {
    let mut file = BufReader::with_capacity(READ_BYTES, ReadFrom(file, records_at(half)));
    let (mut at, mut prefix) = (0, [0; 8]);
    while at + 8 <= RECORDS_BYTES {
        file.read_exact(&mut prefix)?;
        let [a, b, c, d, e, f, g, h] = prefix;
        let (length, checksum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if length == 0 || at + 8 + u64::from(length) > RECORDS_BYTES {
            break;
        }
        let mut body = vec![0; length as usize];
        file.read_exact(&mut body)?;
        let Some(change) = Some(body).filter(|body| crc32fast::hash(body) == checksum) else { break };
        let Ok(change) = postcard::from_bytes(&change) else { break };
        records.take_over(change);
        at += 8 + u64::from(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use corecast_wire::{Command, RouterId, TransportId};

    use super::*;

    fn router(id: u64) -> Record {
        Record::Command(Command::CreateRouter { router: RouterId(id) })
    }

    fn transport(id: u64) -> Record {
        Record::Command(Command::CreateDirectTransport { router: RouterId(1), transport: TransportId(id) })
    }

    fn next(keep: &Keep) -> (Kept, Left) {
        Kept::open(keep.try_clone().expect("a descriptor").into_parts().0).expect("a file")
    }

    #[test]
    fn what_a_worker_keeps_the_next_one_finds_and_only_once_it_has_settled_its_own() {
        let keep = Keep::new().expect("a file in memory");
        let (mut first, left) = next(&keep);
        assert!(left.0.is_empty() && left.1.is_empty());
        first.settle().expect("room");
        for record in [router(1), transport(5), transport(4)] {
            first.note(&record).expect("room");
        }
        drop(first);
        for _ in 0..3 {
            // This one dies before it has taken over.
            let (mut second, left) = next(&keep);
            assert_eq!(left.1, [router(1), transport(4), transport(5)]);
            second.note(&transport(6)).expect("room");
        }
        let (mut second, _) = next(&keep);
        second.note(&Record::Command(Command::CloseTransport { transport: TransportId(5) })).expect("room");
        second.settle().expect("room");
        assert_eq!(next(&keep).1.1, [router(1), transport(4)]);
        second.give_up();
        assert!(next(&keep).1.1.is_empty());
    }

    #[test]
    fn a_log_that_grows_is_shortened() {
        let keep = Keep::new().expect("a file in memory");
        let (mut kept, _) = next(&keep);
        kept.settle().expect("room");
        kept.note(&router(1)).expect("room");
        for id in 0..40_000 {
            kept.note(&transport(id)).expect("room");
            if id >= 10 {
                let closed = Command::CloseTransport { transport: TransportId(id - 10) };
                kept.note(&Record::Command(closed)).expect("room");
            }
        }
        assert!(kept.written <= 2 * LEAST_REWRITTEN, "{} bytes", kept.written);
        let left = next(&keep).1.1;
        assert_eq!((left.len(), left.last()), (11, Some(&transport(39_999))));
    }

    #[test]
    fn what_was_not_written_to_its_end_does_not_count() {
        let keep = Keep::new().expect("a file in memory");
        let (mut kept, _) = next(&keep);
        kept.settle().expect("room");
        kept.note(&router(1)).expect("room");
        let end = records_at(kept.head.records_half) + kept.written;
        kept.note(&transport(2)).expect("room");
        kept.file.write_all_at(&[0xff], end + 9).expect("room");
        assert_eq!(next(&keep).1.1, [router(1)]);
    }
}
