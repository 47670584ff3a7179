//! The SRTP keys of a transport.

use std::collections::BTreeSet;

use corecast_wire::SrtpCryptoSuite;

use crate::srtp::{Opener, Sealer};

/// Protection of what leaves and of what arrives.
#[derive(Debug)]
pub(crate) struct Security {
    suite: SrtpCryptoSuite,
    sealer: Sealer,
    /// `None` until the remote side's key is known.
    opener: Option<Opener>,
    /// SSRCs that were ever sealed with this key, so that none is used twice.
    used_ssrcs: BTreeSet<u32>,
}

impl Security {
    pub(crate) const fn new(suite: SrtpCryptoSuite, sealer: Sealer, opener: Option<Opener>) -> Self {
        Self { suite, sealer, opener, used_ssrcs: BTreeSet::new() }
    }

    pub(crate) const fn suite(&self) -> SrtpCryptoSuite {
        self.suite
    }

    pub(crate) const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) const fn sealer_mut(&mut self) -> &mut Sealer {
        &mut self.sealer
    }

    /// Opens what arrives; `None` until the remote side's key is known.
    pub(crate) const fn opener(&self) -> Option<&Opener> {
        self.opener.as_ref()
    }

    pub(crate) const fn opener_mut(&mut self) -> Option<&mut Opener> {
        self.opener.as_mut()
    }

    /// The remote side's key is known.
    pub(crate) fn set_opener(&mut self, opener: Opener) {
        self.opener = Some(opener);
    }

    /// SSRCs that were ever sealed with this key.
    pub(crate) fn used_ssrcs(&self) -> usize {
        self.used_ssrcs.len()
    }

    /// Whether an SSRC was ever sealed with this key.
    pub(crate) fn has_used(&self, ssrc: u32) -> bool {
        self.used_ssrcs.contains(&ssrc)
    }

    /// An SSRC is sealed with this key from now on.
    pub(crate) fn use_ssrc(&mut self, ssrc: u32) {
        self.used_ssrcs.insert(ssrc);
    }
}
