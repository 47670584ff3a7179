//! What the control plane must not forget when the server dies: rows of tables, in a file in memory that the supervisor
//! holds. A row is written before the client is told of what it says; a server that finds rows goes on with them.
//!
//! The file has two halves. Changes are appended to one, each with its length and a checksum, so that one that was not
//! written to its end does not count. When the half holds much that is no longer true, all rows are written to the
//! other one, and only then does the head name that one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Names the layout, and what rows look like; another version of corecast begins with nothing.
const MAGIC: &[u8; 8] = b"coreled3";
const HEAD_BYTES: u64 = 4_096;
/// Pages that are not touched take no memory.
const HALF_BYTES: u64 = 512 << 20;
/// Rows are written again from the start when so many bytes, and four times those of all rows, have been written.
const LEAST_REWRITTEN: u64 = 1 << 20;
const PREFIX_BYTES: u64 = 8;
/// Changes that are read at a time, in bytes.
const READ_BYTES: usize = 128 * 1024;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum About {
    /// How many servers there have been.
    Life,
    /// The server's certificate.
    Certificate,
    Room,
    Peer,
    /// A room on a further worker, by the worker's index.
    Branch,
    Transport,
    Producer,
    Consumer,
    /// Sessions of WHIP and WHEP, by the secret in their URL.
    Session,
    /// Peers that an operator has removed from a room.
    Removed,
    /// Whether an operator wants no new rooms.
    Cordon,
    /// Where the numbers of events begin.
    Journal,
    /// The last events, by their number.
    Event,
    /// Number of the event that each webhook has taken last, by its URL.
    Webhook,
    /// Rooms that matter more than others.
    Priority,
    /// Until when nobody new is let in from an address.
    ShutOut,
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) about: About,
    /// Name of the room that it is of; empty if it is of none.
    pub(crate) room: String,
    /// Its name in the table, or in the room's part of it.
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(about: About, room: &str, name: &str) -> Self {
        Self { about, room: room.to_owned(), name: name.to_owned() }
    }
}

/// The rows that the server before left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows(BTreeMap<Key, Vec<u8>>);

impl Rows {
    /// All rows of a table, or of a room's part of it. One that cannot be read is left out.
    pub(crate) fn of<T: DeserializeOwned>(&self, about: About, room: Option<&str>) -> Vec<(Key, T)> {
        let first = Key::new(about, room.unwrap_or_default(), "");
        let own = self.0.range(first..);
        let own = own.take_while(|(key, _)| key.about == about && room.is_none_or(|room| room == key.room));
        own.filter_map(|(key, bytes)| Some((key.clone(), read(bytes, key)?))).collect()
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8], key: &Key) -> Option<T> {
    let row = serde_json::from_slice(bytes);
    row.inspect_err(|error| tracing::warn!("a row of {:?} is left out: {error}", key.about)).ok()
}

/// The ledger. One that keeps nothing takes everything, too.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Option<Mutex<Option<Book>>>);

impl Ledger {
    /// A file for one, with nothing in it.
    pub(crate) fn memory() -> io::Result<OwnedFd> {
        let file = File::from(memfd_create(c"corecast-ledger", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(HEAD_BYTES + 2 * HALF_BYTES)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL))?;
        Ok(file.into())
    }

    /// Reads what is there, of a server that may live and go on writing.
    pub(crate) fn look(memory: BorrowedFd<'_>) -> io::Result<Rows> {
        let mut book = Book::unread(memory.try_clone_to_owned()?.into());
        book.read_all()?;
        Ok(Rows(book.rows))
    }

    /// Opens the file, and reads what the server before has left.
    pub(crate) fn open(memory: OwnedFd) -> io::Result<(Arc<Self>, Rows)> {
        let book = Book::open(memory.into())?;
        let rows = Rows(book.rows.clone());
        Ok((Arc::new(Self(Some(Mutex::new(Some(book))))), rows))
    }

    /// Keeps a row, in place of the one that stood there.
    pub(crate) fn put(&self, key: Key, row: &impl Serialize) {
        if self.0.is_some() {
            match serde_json::to_vec(row) {
                Ok(bytes) => self.write(key, Some(bytes)),
                Err(error) => tracing::error!("a row of {:?} cannot be kept: {error}", key.about),
            }
        }
    }

    /// Keeps a row no longer.
    pub(crate) fn remove(&self, key: Key) {
        self.write(key, None);
    }

    fn write(&self, key: Key, row: Option<Vec<u8>>) {
        let Some(book) = &self.0 else { return };
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Err(error)) = book.as_mut().map(|book| book.note(key, row)) else { return };
        if let Some(book) = book.take() {
            book.give_up();
        }
        tracing::error!("rooms and sessions will not outlive this server: {error}");
    }
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

/// The file in use.
#[derive(Debug)]
struct Book {
    file: File,
    half: u8,
    rows: BTreeMap<Key, Vec<u8>>,
    written: u64,
    /// Bytes of all rows when the half was begun.
    begun_with: u64,
}

impl Book {
    fn unread(file: File) -> Self {
        Self { file, half: 0, rows: BTreeMap::new(), written: 0, begun_with: 0 }
    }

    fn read_all(&mut self) -> io::Result<()> {
        let mut head = [0; 9];
        self.file.read_exact_at(&mut head, 0)?;
        if let Some(half @ 0..=1) = head.strip_prefix(MAGIC.as_slice()).and_then(|rest| rest.first().copied()) {
            self.half = half;
            self.read()?;
        }
        Ok(())
    }

    fn open(file: File) -> io::Result<Self> {
        let mut book = Self::unread(file);
        book.read_all()?;
        // Behind the last whole change there may be a part of one.
        book.rewrite(1 - book.half)?;
        Ok(book)
    }

    fn start_of(half: u8) -> u64 {
        HEAD_BYTES + u64::from(half) * HALF_BYTES
    }

    fn read(&mut self) -> io::Result<()> {
        let mut file = BufReader::with_capacity(READ_BYTES, ReadFrom(&self.file, Self::start_of(self.half)));
        let mut at = 0;
        while at + PREFIX_BYTES <= HALF_BYTES {
            let mut prefix = [0; PREFIX_BYTES as usize];
            file.read_exact(&mut prefix)?;
            let [a, b, c, d, e, f, g, h] = prefix;
            let (length, checksum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            at += PREFIX_BYTES;
            if length == 0 || at + u64::from(length) > HALF_BYTES {
                break;
            }
            let mut body = vec![0; length as usize];
            file.read_exact(&mut body)?;
            if crc32fast::hash(&body) != checksum {
                break;
            }
            let Ok((key, row)) = postcard::from_bytes::<(Key, Option<Vec<u8>>)>(&body) else { break };
            match row {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
            at += u64::from(length);
        }
        Ok(())
    }

    fn note(&mut self, key: Key, row: Option<Vec<u8>>) -> io::Result<()> {
        if self.rows.get(&key) == row.as_ref() {
            return Ok(());
        }
        let bytes = change(&key, row.as_deref())?;
        match row {
            Some(row) => drop(self.rows.insert(key, row)),
            None => drop(self.rows.remove(&key)),
        }
        if self.written + bytes.len() as u64 > (4 * self.begun_with + LEAST_REWRITTEN).min(HALF_BYTES) {
            return self.rewrite(1 - self.half);
        }
        self.file.write_all_at(&bytes, Self::start_of(self.half) + self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes all rows to a half; then it is the one that counts.
    fn rewrite(&mut self, half: u8) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (key, row) in &self.rows {
            bytes.extend(change(key, Some(row))?);
        }
        if bytes.len() as u64 > HALF_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // What was there before reads as zeros.
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let signed = |number: u64| i64::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        fallocate(&self.file, flags, signed(Self::start_of(half))?, signed(HALF_BYTES)?)?;
        self.file.write_all_at(&bytes, Self::start_of(half))?;
        let mut head = MAGIC.to_vec();
        head.push(half);
        self.file.write_all_at(&head, 0)?;
        (self.half, self.written, self.begun_with) = (half, bytes.len() as u64, bytes.len() as u64);
        Ok(())
    }

    /// Who opens the file next finds nothing.
    fn give_up(&self) {
        let _ = self.file.write_all_at(&[0; MAGIC.len()], 0);
    }
}

/// A change as it stands in the file.
fn change(key: &Key, row: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(&(key, row)).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Key {
        Key::new(About::Peer, "a", name)
    }

    fn names(memory: &OwnedFd) -> Vec<(String, u32)> {
        let (_, rows) = Ledger::open(memory.try_clone().expect("a descriptor")).expect("a file");
        rows.of(About::Peer, Some("a")).into_iter().map(|(key, row)| (key.name, row)).collect()
    }

    #[test]
    fn the_next_one_finds_the_rows_that_are_left() {
        let memory = Ledger::memory().expect("a file in memory");
        let (ledger, rows) = Ledger::open(memory.try_clone().expect("a descriptor")).expect("a file");
        assert!(rows.of::<u32>(About::Peer, None).is_empty());
        ledger.put(peer("x"), &1);
        ledger.put(peer("y"), &2);
        ledger.put(Key::new(About::Peer, "b", "z"), &3);
        ledger.put(Key::new(About::Room, "a", ""), &4);
        ledger.put(peer("x"), &5);
        ledger.remove(peer("y"));
        ledger.remove(peer("never there"));
        drop(ledger);
        for _ in 0..3 {
            assert_eq!(names(&memory), [("x".to_owned(), 5)]);
        }
        let (_, rows) = Ledger::open(memory).expect("a file");
        assert_eq!(rows.of::<u32>(About::Peer, None).len(), 2);
        assert!(rows.of::<String>(About::Peer, None).is_empty(), "they are numbers");
    }

    #[test]
    fn a_file_that_grows_is_shortened_and_what_was_half_written_does_not_count() {
        let memory = Ledger::memory().expect("a file in memory");
        let mut book = Book::open(memory.try_clone().expect("a descriptor").into()).expect("a file");
        for number in 0..200_000_u32 {
            let key = peer(&(number % 10).to_string());
            book.note(key, Some(number.to_string().into_bytes())).expect("room");
        }
        assert!(book.written < 2 * LEAST_REWRITTEN, "{} bytes", book.written);
        let end = Book::start_of(book.half) + book.written;
        book.note(peer("half"), Some(b"1".to_vec())).expect("room");
        book.file.write_all_at(&[0xff], end + PREFIX_BYTES + 3).expect("room");
        assert_eq!(names(&memory).len(), 10);
        book.give_up();
        assert!(names(&memory).is_empty());
    }

    #[test]
    fn one_that_keeps_nothing_takes_everything() {
        let ledger = Ledger::default();
        ledger.put(peer("x"), &1);
        ledger.remove(peer("x"));
    }
}
