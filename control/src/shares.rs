//! What all clients share, such as connections: how much there is, and how much of it one address may hold at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// The limit of this source.
    OfOne,
    /// The limit of all sources together.
    OfAll,
}

/// The address that counts: a client that has one IPv6 address has 2^64 of them.
pub(crate) fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        v4 => v4,
    }
}

/// Shares of one thing. A table entry for each address that holds any.
#[derive(Debug)]
pub(crate) struct Shares {
    all: usize,
    each: AtomicUsize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// One of what is shared; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    source: IpAddr,
}

impl Shares {
    /// So many for all, and for one address (IPv6: for one /64).
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each: AtomicUsize::new(each), held: Mutex::default() })
    }

    /// From now on one address may take so many. What it has by then it keeps.
    pub(crate) fn set_each(&self, each: usize) {
        self.each.store(each, Ordering::Relaxed);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one for an address.
    pub(crate) fn take(self: &Arc<Self>, source: IpAddr) -> Result<Share, TooMany> {
        let source = source_of(source);
        let mut held = self.held();
        let own = held.by.get(&source).copied().unwrap_or(0);
        if own >= self.each.load(Ordering::Relaxed) {
            return Err(TooMany::OfOne);
        }
        if held.all >= self.all {
            return Err(TooMany::OfAll);
        }
        held.all += 1;
        held.by.insert(source, own + 1);
        Ok(Share { shares: Arc::clone(self), source })
    }
}

impl Shares {
    /// Takes one for an address that had it already, whatever the limits are.
    pub(crate) fn take_over(self: &Arc<Self>, source: IpAddr) -> Share {
        let source = source_of(source);
        let mut held = self.held();
        held.all += 1;
        *held.by.entry(source).or_default() += 1;
        Share { shares: Arc::clone(self), source }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        held.all = held.all.saturating_sub(1);
        match held.by.get_mut(&self.source) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(held.by.remove(&self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_something_for_others() {
        let shares = Shares::new(5, 3);
        let one: IpAddr = "2001:db8::1".parse().expect("address");
        let neighbour = "2001:db8::2".parse().expect("address");
        let other = "192.0.2.1".parse().expect("address");
        let mut held: Vec<_> = (0..3).map(|_| shares.take(one).expect("is free")).collect();
        assert_eq!(shares.take(neighbour).expect_err("of the same /64"), TooMany::OfOne);
        held.push(shares.take(other).expect("has its own"));
        held.push(shares.take(other).expect("has its own"));
        assert_eq!(shares.take(other).expect_err("all are held"), TooMany::OfAll);
        held.remove(0);
        held.push(shares.take(neighbour).expect("was given back"));
        held.clear();
        let left = shares.held();
        assert_eq!((left.all, left.by.len()), (0, 0));
    }
}
