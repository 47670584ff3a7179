//! The SRTP keys of a transport.

use std::collections::BTreeSet;

use corecast_wire::SrtpCryptoSuite;

use crate::srtp::{Opener, Sealer};

/// Protection of what leaves and of what arrives.
#[derive(Debug)]
pub(crate) struct Security {
    pub(crate) suite: SrtpCryptoSuite,
    pub(crate) sealer: Sealer,
    /// `None` until the remote side's key is known.
    pub(crate) opener: Option<Opener>,
    /// SSRCs that were ever sealed with this key, so that none is used twice.
    pub(crate) used_ssrcs: BTreeSet<u32>,
}
