//! All events in their order: numbered, and the last ones kept, also in the ledger, so that a reader goes on where it
//! was when its server has died.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::event::{Begun, Event, Happened, RoomId};
use crate::ledger::{About, Key, Ledger, Rows};

/// Events that are kept: some 2 MB, and as much in the ledger.
const KEPT: usize = 4_096;

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal {
    ledger: Arc<Ledger>,
    /// Tells this server, over its deaths, from others.
    origin: u64,
    pages: Mutex<Pages>,
    /// Whether the last event has been told; seen again whenever there is a new one.
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct Pages {
    /// Number of the newest.
    last: u64,
    /// Their numbers follow each other.
    events: VecDeque<Arc<Event>>,
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Numbers sort as they count.
fn key(number: u64) -> Key {
    Key::new(About::Event, "", &format!("{number:020}"))
}

impl Journal {
    /// Goes on behind the server before. Without one, numbers begin at the time in microseconds: behind all that this
    /// machine ever told, unless its clock was set back.
    pub(crate) fn open(ledger: Arc<Ledger>, rows: &Rows) -> Arc<Self> {
        let before = rows.of::<u64>(About::Journal, None).first().map(|(_, origin)| *origin);
        let origin = before.unwrap_or_else(|| u64::try_from(now().as_micros()).unwrap_or_default());
        ledger.put(Key::new(About::Journal, "", ""), &origin);
        let events: VecDeque<_> = rows.of(About::Event, None).into_iter().map(|(_, event)| Arc::new(event)).collect();
        let last = events.back().map_or(origin, |newest: &Arc<Event>| newest.number);
        let pages = Mutex::new(Pages { last, events });
        Arc::new(Self { ledger, origin, pages, ended: watch::Sender::new(false) })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number before that of the first event that this server, or one before it that died, has told.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// Number of the newest event.
    pub(crate) fn last(&self) -> u64 {
        self.pages().last
    }

    /// Something has happened in a room.
    pub(crate) fn tell(&self, room: &RoomId, what: &Happened) {
        self.write(|marks| Event::of_room(marks, room, what));
    }

    /// The server has begun.
    pub(crate) fn tell_begun(&self, begun: &Begun) {
        self.write(|marks| Event::of_server(marks, begun));
    }

    fn write(&self, make: impl FnOnce((u64, u64, u64)) -> Event) {
        {
            let mut pages = self.pages();
            let event = make((pages.last + 1, self.origin, now().as_secs()));
            pages.last = event.number;
            self.ledger.put(key(event.number), &event);
            pages.events.push_back(Arc::new(event));
            if pages.events.len() > KEPT
                && let Some(oldest) = pages.events.pop_front()
            {
                self.ledger.remove(key(oldest.number));
            }
        }
        self.ended.send_modify(|_| ());
    }

    /// The first event behind this number, and how many are between them that are kept no longer.
    pub(crate) fn after(&self, number: u64) -> Option<(u64, Arc<Event>)> {
        let pages = self.pages();
        let index = pages.events.partition_point(|event| event.number <= number);
        let event = pages.events.get(index)?;
        Some((event.number - number - 1, Arc::clone(event)))
    }

    /// The same; waits for it. None if the server stops and everything has been told.
    pub(crate) async fn next(&self, number: u64) -> Option<(u64, Arc<Event>)> {
        let mut ended = self.ended.subscribe();
        loop {
            let is_last = *ended.borrow_and_update();
            if let Some(found) = self.after(number) {
                return Some(found);
            }
            if is_last {
                return None;
            }
            ended.changed().await.ok()?;
        }
    }

    /// Everything has been told: who has read it all reads no further.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomId {
        RoomId { name: "r".into(), number: 1 }
    }

    #[tokio::test]
    async fn numbers_go_up_over_a_death_and_a_reader_goes_on_where_it_was() {
        let memory = Ledger::memory().expect("a file in memory");
        let open = || {
            let (ledger, rows) = Ledger::open(memory.try_clone().expect("a descriptor")).expect("a file");
            Journal::open(ledger, &rows)
        };
        let first = open();
        let origin = first.origin();
        first.tell(&room(), &Happened::RoomStarted);
        first.tell(&room(), &Happened::RoomFinished);
        let (lost, event) = first.next(origin).await.expect("an event");
        assert_eq!((lost, event.number, event.name.as_str()), (0, origin + 1, "room_started"));
        drop(first);
        let second = open();
        assert_eq!((second.origin(), second.last()), (origin, origin + 2));
        second.tell_begun(&Begun { again: true, rooms: Vec::new() });
        let mut read = Vec::new();
        let mut at = event.number;
        second.end();
        while let Some((lost, event)) = second.next(at).await {
            at = event.number;
            read.push((lost, event.name.clone()));
        }
        assert_eq!(read, [(0, "room_finished".to_owned()), (0, "server_restarted".to_owned())]);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_much_is_lost() {
        let journal = Journal::open(Arc::default(), &Rows::default());
        for _ in 0..KEPT + 10 {
            journal.tell(&room(), &Happened::RoomStarted);
        }
        let (lost, event) = journal.next(journal.origin()).await.expect("an event");
        assert_eq!((lost, event.number), (10, journal.origin() + 11));
        assert!(journal.after(journal.last()).is_none());
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_next() {
        let journal = Journal::open(Arc::default(), &Rows::default());
        let reader = tokio::spawn({
            let journal = Arc::clone(&journal);
            async move { journal.next(journal.origin()).await.map(|(_, event)| event.name.clone()) }
        });
        tokio::task::yield_now().await;
        journal.tell(&room(), &Happened::RoomStarted);
        assert_eq!(reader.await.expect("runs"), Some("room_started".to_owned()));
    }
}
