//! Which transport a worker died of. The one whose packet is taken in, or forwarded, stands in the words that outlive
//! the worker; if two workers in a row that died by themselves leave the same one, it is poison: the next one does not
//! go on with it.

use std::net::IpAddr;

use corecast_wire::{Command, Poisoner, Record, TransportId};

use crate::memory::{Name, What, Word, Words};
use crate::transport::Transport;

/// Whose packets a worker may be about to die of.
#[derive(Debug)]
pub(super) struct Blame {
    /// One more than the number of the transport whose packet is worked on; 0 if none is.
    serving: Word,
    /// The same of the last worker that died by itself.
    _suspect: Word,
    poison: Option<TransportId>,
    /// From where the poison came.
    source: Option<IpAddr>,
}

impl Blame {
    /// For a worker that begins. `is_blamed` says that the one before, if there was one, died by itself.
    pub(super) fn begin(words: &mut Words, is_blamed: bool) -> Self {
        let (mut serving, mut suspect) = (Word::default(), Word::default());
        words.keep(&mut serving, Name::new(What::Serving, 0, 0));
        words.keep(&mut suspect, Name::new(What::Suspect, 0, 0));
        let (served, suspected) = (serving.get(), suspect.get());
        serving.set(0);
        let mut poison = None;
        if is_blamed {
            poison = served.checked_sub(1).filter(|_| served == suspected).map(TransportId);
            suspect.set(served);
        }
        Self { serving, _suspect: suspect, poison, source: None }
    }

    /// A packet of a transport is about to be taken in.
    #[inline]
    pub(super) fn serve(&mut self, transport: Option<&Transport>) {
        self.serving.set(transport.map_or(0, |transport| transport.id().0.wrapping_add(1)));
    }

    /// What came by a transport is about to be forwarded.
    #[inline]
    pub(super) fn forward(&mut self, sender: TransportId) {
        self.serving.set(sender.0.wrapping_add(1));
    }

    /// No packet is worked on.
    #[inline]
    pub(super) fn rest(&mut self) {
        self.serving.set(0);
    }

    /// The transport whose packet is worked on.
    #[cfg(test)]
    pub(super) fn served(&self) -> Option<TransportId> {
        self.serving.get().checked_sub(1).map(TransportId)
    }

    /// Whether a record of the worker before is about what two workers died of. It is not taken over then, but for
    /// where the packets came from.
    pub(super) fn refuses(&mut self, record: &Record) -> bool {
        let (transport, source) = match record {
            Record::Command(
                Command::CreateWebRtcTransport { transport, .. } | Command::CreatePlainTransport { transport, .. },
            ) => (transport, None),
            Record::Path { transport, tuple: Some(tuple) } => (transport, Some(tuple.remote.ip())),
            Record::Remote { transport, remote, .. } => (transport, Some(remote.ip())),
            _ => return false,
        };
        let is_poison = self.poison == Some(*transport);
        if is_poison {
            self.source = source.or(self.source);
        }
        is_poison
    }

    /// What two workers died of, and was not taken over.
    pub(super) fn poisoner(&self) -> Option<Poisoner> {
        self.poison.map(|transport| Poisoner { transport, address: self.source })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use corecast_wire::{IceParameters, OutgoingBitrates, RouterId, WebRtcTransportOptions};

    use super::*;
    use crate::memory::PLACES;

    /// Workers that die one after the other, each by itself or not, of the packet of a transport (less one) or of none:
    /// what is poison to the one after the last.
    fn poison_after(deaths: &[(bool, u64)]) -> Option<TransportId> {
        let mut left: Option<&'static [AtomicU64]> = None;
        let mut was_blamed = false;
        for (by_itself, served) in deaths.iter().chain(&[(false, 0)]) {
            let block: &'static [AtomicU64] = Box::leak((0..PLACES).map(|_| AtomicU64::new(0)).collect());
            let mut given = Some(block);
            let mut words = Words::new(move || given.take()).following(left);
            let mut blame = Blame::begin(&mut words, was_blamed);
            left = Some(block);
            blame.serving.set(*served);
            let poison = blame.poison;
            // It dies: nothing is dropped.
            std::mem::forget(blame);
            was_blamed = *by_itself;
            if poison.is_some() {
                return poison;
            }
        }
        None
    }

    #[test]
    fn poison_is_refused_and_where_it_came_from_is_remembered() {
        let mut words = Words::default();
        let mut blame = Blame { poison: Some(TransportId(7)), ..Blame::begin(&mut words, false) };
        let remote = |transport, remote: &str| Record::Remote {
            transport: TransportId(transport),
            remote: remote.parse().expect("an address"),
            rtcp: false,
        };
        assert!(!blame.refuses(&remote(8, "192.0.2.8:4000")), "another transport");
        assert_eq!(blame.poisoner(), Some(Poisoner { transport: TransportId(7), address: None }));
        assert!(blame.refuses(&remote(7, "192.0.2.7:4000")));
        let created = Command::CreateWebRtcTransport {
            router: RouterId(1),
            transport: TransportId(7),
            options: WebRtcTransportOptions {
                ice: IceParameters { username_fragment: "abcd".into(), password: "p".repeat(22) },
                rtcp_ssrc: 1,
                max_incoming_bitrate_bps: 0,
                outgoing: OutgoingBitrates::default(),
                consent_timeout_ms: None,
                sctp: None,
            },
        };
        assert!(blame.refuses(&Record::Command(created)));
        let address = "192.0.2.7".parse().ok();
        assert_eq!(blame.poisoner(), Some(Poisoner { transport: TransportId(7), address }));
    }

    #[test]
    fn what_two_workers_in_a_row_died_of_is_poison() {
        assert_eq!(poison_after(&[(true, 8), (true, 8)]), Some(TransportId(7)));
        assert_eq!(poison_after(&[(true, 8)]), None, "once is chance");
        assert_eq!(poison_after(&[(true, 8), (true, 9)]), None, "another one");
        assert_eq!(poison_after(&[(true, 8), (true, 9), (true, 9)]), Some(TransportId(8)));
        assert_eq!(poison_after(&[(false, 8), (false, 8)]), None, "they were killed");
        assert_eq!(
            poison_after(&[(true, 8), (false, 3), (true, 8)]),
            Some(TransportId(7)),
            "one was killed in between"
        );
        assert_eq!(poison_after(&[(true, 0), (true, 0)]), None, "while no packet was taken in");
    }
}
