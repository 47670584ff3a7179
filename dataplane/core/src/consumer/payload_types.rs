//! The receiver's payload types by the router's: the first four with what every packet needs, more where it costs those
//! few that have more.

use corecast_wire::{Codec, CodecMapping, PayloadTypeMapping};

use super::Consumer;
use crate::media::Producer;

const NEAR: usize = 4;

/// The first four; unused places repeat the first.
#[derive(Debug)]
pub(super) struct NearPayloadTypes([PayloadTypeMapping; NEAR]);

/// The others.
#[derive(Debug)]
pub(super) struct OtherPayloadTypes(Box<[PayloadTypeMapping]>);

impl Consumer {
    /// What the receiver calls a payload type of the router's.
    #[inline]
    pub(crate) fn payload_type(&self, router: u8) -> Option<u8> {
        self.payload_types.get(router).or_else(|| self.other_payload_types.get(router))
    }
}

impl NearPayloadTypes {
    pub(super) fn new(all: &[PayloadTypeMapping]) -> Self {
        let first = all.first().copied().unwrap_or(PayloadTypeMapping { router: 0, receiver: 0 });
        Self(std::array::from_fn(|place| all.get(place).copied().unwrap_or(first)))
    }

    #[inline]
    pub(super) fn get(&self, router: u8) -> Option<u8> {
        find(&self.0, router)
    }
}

impl OtherPayloadTypes {
    pub(super) fn new(all: &[PayloadTypeMapping]) -> Self {
        Self(all.iter().skip(NEAR).copied().collect())
    }

    #[cold]
    pub(super) fn get(&self, router: u8) -> Option<u8> {
        find(&self.0, router)
    }
}

/// The router's payload types of a producer of which the receiver can be sent nothing: bit n is set for n. From
/// redundant audio data it can be sent the primary block, if it knows the codec of that.
pub(super) fn unknown(source: &Producer, is_known: impl Fn(u8) -> bool) -> u128 {
    let of = |codec: &CodecMapping| match codec.codec {
        Codec::Red => source.carried_codec().is_some_and(|carried| is_known(carried.mapped_payload_type)),
        _ => is_known(codec.mapped_payload_type),
    };
    let unknown = source.media_codecs().filter(|codec| !of(codec)).map(|codec| codec.mapped_payload_type);
    unknown.fold(0, |set, one| set | 1_u128.checked_shl(u32::from(one)).unwrap_or(0))
}

#[inline]
fn find(types: &[PayloadTypeMapping], router: u8) -> Option<u8> {
    types.iter().find(|one| one.router == router).map(|one| one.receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_type_is_found_and_no_other() {
        for count in 1..=8 {
            let all: Vec<_> = (0..count).map(|n| PayloadTypeMapping { router: 10 + n, receiver: 100 + n }).collect();
            let (near, other) = (NearPayloadTypes::new(&all), OtherPayloadTypes::new(&all));
            for router in 0..=127 {
                let receiver = (10..10 + count).contains(&router).then(|| router + 90);
                assert_eq!(near.get(router).or_else(|| other.get(router)), receiver, "{router} of {count}");
            }
        }
    }
}
