#!/usr/bin/env bash
# The Rust crate rtp 0.17.2 (webrtc-rs) reads lawful packets and writes them again.
#
# A good guess: what was read and is written again without a change is the same packet, and header extensions of both
# forms of RFC 8285 are found by their ids.
#
# Seen instead:
#   - How much padding a packet had is forgotten. It is written with as much as makes the payload a multiple of four,
#     at least 1: a probe of 224 bytes of padding becomes one of 4, and one byte becomes four. So who relays through
#     it changes the lengths by which a sender's estimate of the path goes.
#   - Two-byte extensions are known if the profile is 0x1000. The lower four bits are the application's (section 4.3),
#     and with any of them the whole block is one extension with id 0.
#   - Where id 15 ends the one-byte elements (section 4.2), the rest of the block becomes the beginning of the
#     payload.
#
# Takes a minute. Needs cargo. The packets are written out by the script; nothing is sent.
# Output as seen:
#   224 of padding, no payload: written with 4
#   16 of padding, 8 of payload: written with 4
#   1 of padding, 4 of payload: written with 4
#   3 of padding, 5 of payload: written with 3
#   profile 0x1000: ids [1], payload [1, 2, 3]
#   profile 0x1001: ids [0], payload [1, 2, 3]
#   one-byte elements: ids [1], payload [1, 2, 3]
#   ended by id 15: ids [1], payload [3, 1, 2, 3]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2024"

[dependencies]
bytes = "1"
rtp = "=0.17.2"
webrtc-util = "=0.17.2"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use bytes::Bytes;
use rtp::packet::Packet;
use webrtc_util::marshal::{Marshal, Unmarshal};

fn read(flags: u8, rest: &[u8]) -> Packet {
    let header = [flags, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9];
    Packet::unmarshal(&mut Bytes::from([&header, rest].concat())).expect("lawful")
}

fn main() {
    let mut as_seen = true;
    for (padding, payload, seen) in [(224, 0, 4), (16, 8, 4), (1, 4, 4), (3, 5, 3)] {
        let mut rest = vec![7; payload];
        rest.resize(payload + padding - 1, 0);
        rest.push(padding as u8);
        let written = read(0xa0, &rest).marshal().expect("written");
        let now = written.len() - 12 - payload;
        let of = if payload == 0 { "no payload".into() } else { format!("{payload} of payload") };
        println!("{padding} of padding, {of}: written with {now}");
        as_seen &= now == seen;
    }
    let cases: [(&str, [u8; 8], &[u8], &[u8]); 4] = [
        ("profile 0x1000", [0x10, 0, 0, 1, 1, 2, 7, 8], &[1], &[1, 2, 3]),
        ("profile 0x1001", [0x10, 1, 0, 1, 1, 2, 7, 8], &[0], &[1, 2, 3]),
        ("one-byte elements", [0xbe, 0xde, 0, 1, 0x10, 9, 0, 0], &[1], &[1, 2, 3]),
        ("ended by id 15", [0xbe, 0xde, 0, 1, 0x10, 9, 0xf0, 3], &[1], &[3, 1, 2, 3]),
    ];
    for (name, block, ids, payload) in cases {
        let packet = read(0x90, &[&block[..], &[1, 2, 3]].concat());
        println!("{name}: ids {:?}, payload {:?}", packet.header.get_extension_ids(), packet.payload.to_vec());
        as_seen &= packet.header.get_extension_ids() == ids && packet.payload == payload;
    }
    if !as_seen {
        eprintln!("the crate rtp behaves otherwise than described above");
        std::process::exit(1);
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"
timeout 30 "$folder/target/debug/seen"
