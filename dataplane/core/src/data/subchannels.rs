//! Subchannels of messages: to which data consumers one goes, and how that travels through a pipe.
//!
//! The format in which a pipe carries them is mediasoup's, so that its workers and ours can be joined: eight bytes that
//! no application begins a message with by accident, whose two lowest bits say what is there, then the number of
//! subchannels, the subchannels, the required one and the ignored one, 16 bits each, big endian, then the message.

use std::collections::BTreeSet;

use corecast_wire::Subchannels;

use crate::limits::MAX_SUBCHANNELS;

const TOKEN: u64 = 0xa5f0_9cb3_d6e1_f28c;
const REQUIRED: u64 = 2;
const IGNORED: u64 = 1;

/// Whether a data consumer with these subchannels is meant. A pipe carries on what it has none of its own for, and does
/// not look at the ignored one: the other router's data consumers may be meant.
pub(super) fn is_meant(own: &BTreeSet<u16>, is_pipe: bool, to: &Subchannels) -> bool {
    if is_pipe && own.is_empty() {
        return true;
    }
    to.required.is_none_or(|required| own.contains(&required))
        && (is_pipe || !to.ignored.is_some_and(|ignored| own.contains(&ignored)))
        && (to.any.is_empty() || to.any.iter().any(|subchannel| own.contains(subchannel)))
}

/// The message as a pipe carries it, if that is not as it is.
pub(super) fn carry(own: &BTreeSet<u16>, to: &Subchannels, payload: &[u8]) -> Option<Vec<u8>> {
    needs_header(to, payload).then(|| encode(own, to, payload))
}

fn encode(own: &BTreeSet<u16>, to: &Subchannels, payload: &[u8]) -> Vec<u8> {
    let any: Vec<u16> =
        to.any.iter().copied().filter(|subchannel| own.is_empty() || own.contains(subchannel)).collect();
    let flags = if to.required.is_some() { REQUIRED } else { 0 } | if to.ignored.is_some() { IGNORED } else { 0 };
    let count = u16::try_from(any.len()).unwrap_or(u16::MAX);
    let mut message = (TOKEN | flags).to_be_bytes().to_vec();
    let numbers = std::iter::once(count).chain(any.into_iter().take(count.into())).chain(to.required).chain(to.ignored);
    message.extend(numbers.flat_map(u16::to_be_bytes));
    message.extend_from_slice(payload);
    message
}

/// Whether a pipe has to say to whom a message goes: it would be read as if it said so, or it does not go to all.
fn needs_header(to: &Subchannels, payload: &[u8]) -> bool {
    let token = payload.first_chunk().map(|token| u64::from_be_bytes(*token) & !(REQUIRED | IGNORED));
    !to.is_all() || token == Some(TOKEN)
}

/// What a pipe has brought: to whom it goes, and the message. A message without subchannels goes to all. `None` if they
/// cannot be read.
pub(crate) fn decode(message: &[u8]) -> Option<(Subchannels, &[u8])> {
    let Some((token, rest)) = message.split_first_chunk().map(|(token, rest)| (u64::from_be_bytes(*token), rest))
    else {
        return Some((Subchannels::default(), message));
    };
    if token & !(REQUIRED | IGNORED) != TOKEN {
        return Some((Subchannels::default(), message));
    }
    let (count, mut rest) = number(rest)?;
    if usize::from(count) > MAX_SUBCHANNELS {
        return None;
    }
    let mut to = Subchannels::default();
    for _ in 0..count {
        let (subchannel, others) = number(rest)?;
        to.any.push(subchannel);
        rest = others;
    }
    for (flag, place) in [(REQUIRED, &mut to.required), (IGNORED, &mut to.ignored)] {
        if token & flag != 0 {
            let (subchannel, others) = number(rest)?;
            *place = Some(subchannel);
            rest = others;
        }
    }
    Some((to, rest)).filter(|(_, payload)| !payload.is_empty())
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u16::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_again() {
        for required in [None, Some(7)] {
            for ignored in [None, Some(0)] {
                for any in [vec![], vec![1], vec![2, 65_535]] {
                    let to = Subchannels { any, required, ignored };
                    let message = encode(&BTreeSet::new(), &to, b"hello");
                    assert_eq!(decode(&message), Some((to, &b"hello"[..])));
                    let header = message.len() - 5;
                    assert!((10..=header).all(|cut| decode(&message[..cut]).is_none()), "cut short");
                }
            }
        }
    }

    #[test]
    fn the_bytes_are_mediasoups() {
        let to = Subchannels { any: vec![5], required: None, ignored: None };
        let expected = [&[0xa5, 0xf0, 0x9c, 0xb3, 0xd6, 0xe1, 0xf2, 0x8c, 0, 1, 0, 5][..], b"hello"].concat();
        assert_eq!(encode(&BTreeSet::new(), &to, b"hello"), expected);
    }

    #[test]
    fn other_messages_go_to_all() {
        for message in [&b"hello"[..], b"longer than a token", b"\xa5\xf0\x9c\xb3"] {
            assert_eq!(decode(message), Some((Subchannels::default(), message)));
        }
    }

    #[test]
    fn what_a_client_sends_is_not_taken_for_subchannels() {
        let (own, all) = (BTreeSet::new(), Subchannels::default());
        assert_eq!(carry(&own, &all, b"hello"), None);
        let forged = encode(&own, &Subchannels { any: vec![5], ..Subchannels::default() }, b"hello");
        let carried = carry(&own, &all, &forged).expect("escaped");
        assert_eq!(decode(&carried), Some((all, &forged[..])));
    }

    #[test]
    fn a_pipe_with_subchannels_of_its_own_carries_those_alone() {
        let own = BTreeSet::from([1, 2]);
        let to = Subchannels { any: vec![2, 3], required: None, ignored: Some(1) };
        assert!(is_meant(&own, true, &to) && !is_meant(&own, false, &to));
        let (carried, _) = decode(&encode(&own, &to, b"x")).map(|(to, rest)| (to, rest.len())).expect("read");
        assert_eq!(carried, Subchannels { any: vec![2], ..to });
    }
}
