//! Why `rtp` and `rtcp` 0.17 read no byte from the network in the server: each test feeds one of them a datagram on
//! which it panics, and shows that ours refuses the same datagram. With "a panic restarts the process", any of them
//! would be a way to restart the server from afar. A test here that fails after an update of a crate is good news:
//! write it down as refuted, or drop it.

use std::panic::{UnwindSafe, catch_unwind};

use corecast_core::rtcp::MalformedRtcp;
use corecast_core::rtp::{MalformedRtp, RtpView};
use webrtc_util::marshal::Unmarshal;

fn panics<T>(read: impl FnOnce() -> T + UnwindSafe) -> bool {
    catch_unwind(read).is_err()
}

fn crate_panics_on_rtp(datagram: &'static [u8]) -> bool {
    panics(|| rtp::packet::Packet::unmarshal(&mut &*datagram).is_ok())
}

fn crate_panics_on_rtcp(compound: &'static [u8]) -> bool {
    panics(|| rtcp::packet::unmarshal(&mut &*compound).is_ok())
}

/// Anybody can send this: the header is read before SRTP authenticates it.
#[test]
fn rtp_panics_on_a_one_byte_extension_element_that_runs_past_the_packet() {
    const DATAGRAM: &[u8] = &[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0];
    assert!(crate_panics_on_rtp(DATAGRAM));
    assert_eq!(RtpView::parse(DATAGRAM).err(), Some(MalformedRtp::Extension));
}

/// Anybody can send this too.
#[test]
fn rtp_panics_on_a_two_byte_extension_element_without_its_length() {
    const DATAGRAM: &[u8] = &[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 1, 0, 0, 0, 1];
    assert!(crate_panics_on_rtp(DATAGRAM));
    assert_eq!(RtpView::parse(DATAGRAM).err(), Some(MalformedRtp::Extension));
}

/// Any participant of a call can send this and the following ones: RTCP is read once SRTCP has opened it.
#[test]
fn rtcp_panics_on_a_remb_that_counts_more_ssrcs_than_it_has() {
    const COMPOUND: &[u8] = b"\x8f\xce\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00REMB\xff\x00\x00\x01";
    assert!(crate_panics_on_rtcp(COMPOUND));
    assert_eq!(corecast_core::rtcp::parse(COMPOUND).err(), Some(MalformedRtcp::Body));
}

#[test]
fn rtcp_panics_on_a_nack_of_length_1() {
    const COMPOUND: &[u8] = &[0x81, 205, 0, 1, 0, 0, 0, 1];
    assert!(crate_panics_on_rtcp(COMPOUND));
    assert_eq!(corecast_core::rtcp::parse(COMPOUND).err(), Some(MalformedRtcp::Body));
}

#[test]
fn rtcp_panics_on_a_fir_whose_length_is_not_whole_entries() {
    const NO_MEDIA_SSRC: &[u8] = &[0x84, 206, 0, 1, 0, 0, 0, 1];
    const HALF_AN_ENTRY: &[u8] = &[0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
    for compound in [NO_MEDIA_SSRC, HALF_AN_ENTRY] {
        assert!(crate_panics_on_rtcp(compound));
        assert_eq!(corecast_core::rtcp::parse(compound).err(), Some(MalformedRtcp::Body));
    }
}

/// The crates do read the lawful neighbours of these datagrams: it is not the way they are called that panics.
#[test]
fn the_lawful_neighbours_are_read_by_both() {
    const RTP: [&[u8]; 2] = [
        &[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x12, 0, 0, 0],
        &[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 1, 0, 0, 1, 0],
    ];
    for datagram in RTP {
        assert!(!crate_panics_on_rtp(datagram));
        assert!(rtp::packet::Packet::unmarshal(&mut &*datagram).is_ok());
        assert!(RtpView::parse(datagram).is_ok());
    }
    const RTCP: [&[u8]; 3] = [
        b"\x8f\xce\x00\x05\x00\x00\x00\x01\x00\x00\x00\x00REMB\x01\x00\x00\x01\x00\x00\x00\x02",
        &[0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 0],
        &[0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0],
    ];
    for compound in RTCP {
        assert!(!crate_panics_on_rtcp(compound));
        assert!(rtcp::packet::unmarshal(&mut &*compound).is_ok());
        assert!(corecast_core::rtcp::parse(compound).is_ok());
    }
}

/// Not a panic, but a reason not to rely on it: feedback that ends with its chunks, because nothing came, is refused.
#[test]
fn rtcp_refuses_lawful_transport_feedback_on_packets_that_were_all_lost() {
    const COMPOUND: &[u8] = &[0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 80, 0, 0, 1, 0, 0, 40, 0, 40];
    assert!(rtcp::packet::unmarshal(&mut &*COMPOUND).is_err());
    assert!(corecast_core::rtcp::parse(COMPOUND).is_ok());
}
