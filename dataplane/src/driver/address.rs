//! Socket addresses and control messages as the kernel lays them out in memory. Safe code: it only builds and reads
//! bytes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `sizeof(struct sockaddr_in6)`, the longest address that we meet.
pub(super) const NAME_BYTES: usize = 28;
const NAME_V4_BYTES: usize = 16;

/// `CMSG_SPACE(sizeof(int))` on 64-bit Linux.
pub(super) const CONTROL_INT_BYTES: usize = 24;
/// `CMSG_SPACE(sizeof(struct timespec))` on 64-bit Linux.
const CONTROL_TIME_BYTES: usize = 32;
/// Room for the control messages that a receive may bring: `UDP_GRO`, `SO_RXQ_OVFL` and `SO_TIMESTAMPNS`.
pub(super) const CONTROL_BYTES: usize = 2 * CONTROL_INT_BYTES + CONTROL_TIME_BYTES;

const CMSG_HEADER_BYTES: usize = 16;
/// `CMSG_LEN(sizeof(u16))`.
const SEGMENT_CMSG_LEN: usize = CMSG_HEADER_BYTES + 2;

/// A `struct sockaddr_in` or `sockaddr_in6`, where the kernel may read or write it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) bytes: [u8; NAME_BYTES],
    pub(super) len: u32,
}

impl Name {
    pub(super) const EMPTY: Self = Self { bytes: [0; NAME_BYTES], len: 0 };

    pub(super) fn of(address: SocketAddr) -> Self {
        let mut name = Self::EMPTY;
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(room) = name.bytes.get_mut(at..at + bytes.len()) {
                room.copy_from_slice(bytes);
            }
        };
        put(2, &address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                put(0, &family(libc::AF_INET));
                put(4, &v4.ip().octets());
                name.len = 16;
            }
            SocketAddr::V6(v6) => {
                put(0, &family(libc::AF_INET6));
                put(4, &v6.flowinfo().to_be_bytes());
                put(8, &v6.ip().octets());
                put(24, &v6.scope_id().to_ne_bytes());
                name.len = 28;
            }
        }
        name
    }
}

/// The address in `bytes`, if it is a whole IPv4 or IPv6 one.
pub(super) fn parse_name(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(at(bytes, 0)?));
    let port = u16::from_be_bytes(at(bytes, 2)?);
    if family == libc::AF_INET && bytes.len() >= NAME_V4_BYTES {
        let ip = Ipv4Addr::from(at::<4>(bytes, 4)?);
        return Some(SocketAddr::V4(SocketAddrV4::new(ip, port)));
    }
    if family == libc::AF_INET6 {
        let flow = u32::from_be_bytes(at(bytes, 4)?);
        let ip = Ipv6Addr::from(at::<16>(bytes, 8)?);
        let scope = u32::from_ne_bytes(at(bytes, 24)?);
        return Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)));
    }
    None
}

/// A `UDP_SEGMENT` control message: `struct cmsghdr`, then the segment length, padded to `CMSG_SPACE`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentControl {
    len: usize,
    level: i32,
    kind: i32,
    segment_len: u16,
    padding: [u8; 6],
}

impl SegmentControl {
    pub(super) const fn new(segment_len: u16) -> Self {
        Self { len: SEGMENT_CMSG_LEN, level: libc::SOL_UDP, kind: libc::UDP_SEGMENT, segment_len, padding: [0; 6] }
    }
}

const _: () = assert!(size_of::<SegmentControl>() == CONTROL_INT_BYTES, "CMSG_SPACE(2) is 24 on 64-bit Linux");

/// Contents of the control messages of a received message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ancillary {
    /// `UDP_GRO`: the message is several datagrams of this length, the last one perhaps shorter.
    pub(super) segment_len: Option<usize>,
    /// `SO_RXQ_OVFL`: datagrams that the socket has lost since it was opened.
    pub(super) overflows: Option<u32>,
    /// `SO_TIMESTAMPNS`: Unix time at which the kernel took the message in, in nanoseconds.
    pub(super) taken_in_ns: Option<u64>,
}

/// Reads the control messages in `control`.
pub(super) fn parse_control(mut control: &[u8]) -> Ancillary {
    let mut found = Ancillary::default();
    while let Some(len) = at(control, 0).map(usize::from_ne_bytes) {
        let (Some(level), Some(kind)) =
            (at(control, 8).map(i32::from_ne_bytes), at(control, 12).map(i32::from_ne_bytes))
        else {
            break;
        };
        let value = at(control, CMSG_HEADER_BYTES);
        match (level, kind, value) {
            (libc::SOL_UDP, libc::UDP_GRO, Some(value)) => {
                found.segment_len = usize::try_from(i32::from_ne_bytes(value)).ok().filter(|len| *len > 0);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, Some(value)) => found.overflows = Some(u32::from_ne_bytes(value)),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, _) => found.taken_in_ns = time(control),
            _ => {}
        }
        let Some(rest) = len.checked_next_multiple_of(8).filter(|next| *next > 0).and_then(|next| control.get(next..))
        else {
            break;
        };
        control = rest;
    }
    found
}

/// The `struct timespec` of a control message.
fn time(control: &[u8]) -> Option<u64> {
    let seconds = at(control, CMSG_HEADER_BYTES).map(i64::from_ne_bytes)?;
    let nanoseconds = at(control, CMSG_HEADER_BYTES + 8).map(i64::from_ne_bytes)?;
    u64::try_from(seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)?).ok()
}

fn family(family: i32) -> [u8; 2] {
    u16::try_from(family).unwrap_or_default().to_ne_bytes()
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_layout() {
        for text in ["192.0.2.1:5004", "[2001:db8::1]:65535", "[fe80::1%7]:9"] {
            let address: SocketAddr = text.parse().expect("an address");
            let name = Name::of(address);
            assert_eq!(parse_name(&name.bytes[..name.len as usize]), Some(address));
        }
    }

    #[test]
    fn a_name_that_is_cut_off_is_no_address() {
        let name = Name::of("[2001:db8::1]:1".parse().expect("an address"));
        for len in 0..NAME_BYTES {
            assert_eq!(parse_name(&name.bytes[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn all_control_messages_are_found_and_a_lying_length_ends_the_search() {
        let mut control = Vec::new();
        let mut message = |level: i32, kind: i32, value: u32| {
            control.extend_from_slice(&20_usize.to_ne_bytes());
            control.extend_from_slice(&level.to_ne_bytes());
            control.extend_from_slice(&kind.to_ne_bytes());
            control.extend_from_slice(&value.to_ne_bytes());
            control.extend_from_slice(&[0; 4]);
        };
        message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 7);
        message(libc::SOL_UDP, libc::UDP_GRO, 1_200);
        let counts = Ancillary { segment_len: Some(1_200), overflows: Some(7), taken_in_ns: None };
        assert_eq!(parse_control(&control), counts);
        control.extend_from_slice(&32_usize.to_ne_bytes());
        control.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control.extend_from_slice(&libc::SCM_TIMESTAMPNS.to_ne_bytes());
        control.extend_from_slice(&3_i64.to_ne_bytes());
        assert_eq!(parse_control(&control), counts, "a time that is cut off");
        control.extend_from_slice(&5_i64.to_ne_bytes());
        assert_eq!(parse_control(&control), Ancillary { taken_in_ns: Some(3_000_000_005), ..counts });
        control.truncate(48);
        control[..8].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(parse_control(&control), Ancillary { segment_len: None, overflows: Some(7), taken_in_ns: None });
        control[..8].copy_from_slice(&0_usize.to_ne_bytes());
        assert_eq!(parse_control(&control).segment_len, None);
    }
}
