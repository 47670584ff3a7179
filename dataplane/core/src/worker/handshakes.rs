//! DTLS handshakes that are under way, by the networks with which they are.
//!
//! A handshake takes up memory and, before its end, proves nothing of the other side. So there are few at a time, and
//! few with one network. If all places are taken then the newcomer gets that of the oldest of the network that holds
//! most: those who fill the places take them from each other, and an honest handshake, which needs one round trip, is
//! the youngest of its network.

use std::collections::{BTreeMap, VecDeque};

use corecast_wire::Discard;

use crate::io::Network;
use crate::key::TransportKey;
use crate::limits::{MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS};

/// The handshakes of a worker. No network is listed without one.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    /// The oldest first.
    by_network: BTreeMap<Network, VecDeque<TransportKey>>,
}

impl Handshakes {
    /// A handshake begins. Returns the one that has to give up its place for it.
    ///
    /// # Errors
    /// The network has as many as it may have.
    pub(crate) fn admit(&mut self, network: Network, key: TransportKey) -> Result<Option<TransportKey>, Discard> {
        let own = self.by_network.get(&network).map_or(0, VecDeque::len);
        if own >= MAX_HANDSHAKES_PER_ADDRESS {
            return Err(Discard::TooManyHandshakes);
        }
        let all: usize = self.by_network.values().map(VecDeque::len).sum();
        let displaced = if all < MAX_HANDSHAKES { None } else { self.displace(network) };
        self.by_network.entry(network).or_default().push_back(key);
        Ok(displaced)
    }

    /// Takes out the oldest of the network that holds most: the newcomer's own, if none holds more.
    fn displace(&mut self, newcomer: Network) -> Option<TransportKey> {
        let heaviest = self.by_network.iter().max_by_key(|(network, held)| (held.len(), **network == newcomer));
        let (network, key) = heaviest.and_then(|(network, held)| Some((*network, *held.front()?)))?;
        self.release(network, key);
        Some(key)
    }

    /// A handshake has ended.
    pub(crate) fn release(&mut self, network: Network, key: TransportKey) {
        if let Some(held) = self.by_network.get_mut(&network) {
            held.retain(|other| *other != key);
            if held.is_empty() {
                self.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> TransportKey {
        TransportKey::for_tests(u32::try_from(number).expect("small"))
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().expect("an address"))
    }

    #[test]
    fn all_addresses_of_a_64_have_one_share() {
        let mut handshakes = Handshakes::default();
        for number in 0..MAX_HANDSHAKES_PER_ADDRESS {
            let address = network(&format!("2001:db8::{number:x}"));
            assert_eq!(handshakes.admit(address, key(number)), Ok(None));
        }
        assert_eq!(handshakes.admit(network("2001:db8::ffff"), key(999)), Err(Discard::TooManyHandshakes));
        assert_eq!(handshakes.admit(network("2001:db8:0:1::"), key(999)), Ok(None));
    }

    #[test]
    fn who_fills_all_places_gives_them_up_to_others() {
        let mut handshakes = Handshakes::default();
        let crowd: Vec<_> = (0..MAX_HANDSHAKES / MAX_HANDSHAKES_PER_ADDRESS)
            .map(|number| Network::of([10, 0, 0, u8::try_from(number).expect("few")].into()))
            .collect();
        for number in 0..MAX_HANDSHAKES {
            assert_eq!(handshakes.admit(crowd[number % crowd.len()], key(number)), Ok(None));
        }
        // A stranger gets each time the place of the oldest of one that holds most.
        let (stranger, mut displaced) = (network("192.0.2.1"), Vec::new());
        for number in 1_000..1_000 + MAX_HANDSHAKES_PER_ADDRESS {
            displaced.extend(handshakes.admit(stranger, key(number)).expect("a place"));
        }
        // At last none holds more than it does, and it gives up its own.
        assert_eq!(displaced.pop(), Some(key(1_000)));
        assert_eq!(displaced.len(), 2 * crowd.len() - 1);
        assert!(displaced.iter().all(|key| key.index() < 2 * crowd.len() as u32), "{displaced:?}");
        // What has ended leaves its place.
        handshakes.release(stranger, key(1_000 + MAX_HANDSHAKES_PER_ADDRESS - 1));
        assert_eq!(handshakes.admit(network("192.0.2.2"), key(2_000)), Ok(None));
    }
}
