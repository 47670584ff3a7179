//! Addresses from which no newcomer is taken in for a while, since two workers in a row have died of what came from
//! there. Who is connected stays, for many people may be behind one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use corecast_wire::{Command, Reply};

use super::Worker;
use crate::io::Network;
use crate::time::Instant;

/// Most of them; then the one that is over first is forgotten.
const MAX_SHUT_OUT: usize = 256;

/// Networks, and until when.
#[derive(Debug, Default)]
pub(super) struct ShutOut(BTreeMap<Network, Instant>);

impl ShutOut {
    /// For how long from now; nothing lets it in again.
    fn put(&mut self, now: Instant, address: IpAddr, time: Duration) {
        let network = Network::of(address);
        self.0.remove(&network);
        if time.is_zero() {
            return;
        }
        if self.0.len() >= MAX_SHUT_OUT
            && let Some((first, _)) = self.0.iter().min_by_key(|(_, until)| **until).map(|(of, until)| (*of, *until))
        {
            self.0.remove(&first);
        }
        self.0.insert(network, now + time);
    }

    /// Whether a newcomer from there is not taken in.
    #[inline]
    pub(super) fn has(&mut self, now: Instant, address: IpAddr) -> bool {
        !self.0.is_empty() && self.look(now, address)
    }

    #[cold]
    fn look(&mut self, now: Instant, address: IpAddr) -> bool {
        self.0.retain(|_, until| *until > now);
        self.0.contains_key(&Network::of(address))
    }
}

impl Worker {
    /// Answers a command about what workers have died of; nothing if it is another.
    pub(super) fn poison_command(&mut self, now: Instant, command: &Command) -> Option<Reply> {
        match command {
            Command::Poisoner => Some(Reply::Poisoner(self.blame.poisoner())),
            Command::ShutOut { address, ms } => {
                self.shut_out.put(now, *address, Duration::from_millis((*ms).into()));
                Some(Reply::Done)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_network_is_shut_out_until_its_time_is_over_or_it_is_let_in() {
        let mut shut_out = ShutOut::default();
        assert!(!shut_out.has(at(0), address("192.0.2.1")));
        shut_out.put(at(0), address("192.0.2.1"), Duration::from_secs(60));
        shut_out.put(at(0), address("2001:db8:1:2::1"), Duration::from_secs(90));
        for (seconds, from, is_out) in [
            (59, "192.0.2.1", true),
            (59, "::ffff:192.0.2.1", true),
            (59, "192.0.2.2", false),
            (59, "2001:db8:1:2:3::4", true),
            (59, "2001:db8:1:3::1", false),
            (60, "192.0.2.1", false),
            (60, "2001:db8:1:2::1", true),
            (90, "2001:db8:1:2::1", false),
        ] {
            assert_eq!(shut_out.has(at(seconds), address(from)), is_out, "{from} after {seconds} s");
        }
        shut_out.put(at(100), address("192.0.2.1"), Duration::from_secs(60));
        shut_out.put(at(101), address("192.0.2.1"), Duration::ZERO);
        assert!(!shut_out.has(at(101), address("192.0.2.1")));
    }

    #[test]
    fn there_are_only_so_many() {
        let mut shut_out = ShutOut::default();
        let number = |number: usize| IpAddr::from([10, 0, (number / 256) as u8, (number % 256) as u8]);
        for at_second in 0..=MAX_SHUT_OUT {
            shut_out.put(at(at_second as u64), number(at_second), Duration::from_secs(10_000));
        }
        assert_eq!(shut_out.0.len(), MAX_SHUT_OUT);
        assert!(!shut_out.has(at(500), number(0)) && shut_out.has(at(500), number(1)));
    }
}
