#!/usr/bin/env bash
# The Rust crates rtp and webrtc-media 0.17.2 (webrtc-rs) read VP9 whose packets name their references.
#
# A good guess: `SampleBuilder` with `Vp9Packet` gives the pictures of VP9 in flexible mode (RFC 9628: F is 1, and
# each predicted picture names up to three earlier ones) as it gives those of VP9 that is not flexible.
#
# Seen instead:
#   - The reader keeps the references of all packets that it has read. The third packet that names one is refused, and
#     each one after it: "too many PDiff". The builder, which uses one reader for the whole stream, gives the first
#     three pictures, and then none, without an error.
#   - Three references of one picture are refused, though the RFC allows them.
# So who records or decodes such a stream by these crates sees it stand still after a tenth of a second. Chromium 156
# (Debian 12) sends VP9 in flexible mode (by hand: without a scalabilityMode and with L1T1, descriptors begin with 9f
# and dd).
#
# Takes a minute. Needs cargo. The packets are written out by the script; nothing is sent.
# Output as seen:
#   not flexible: 9 of 10 pictures (the last one waits for what follows)
#   flexible: 3 of 10 pictures
#   1 reference: read
#   2 references: read
#   3 references: refused, too many PDiff
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
webrtc-media = "=0.17.2"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use bytes::Bytes;
use rtp::codecs::vp9::Vp9Packet;
use rtp::header::Header;
use rtp::packet::Packet;
use rtp::packetizer::Depacketizer;
use webrtc_media::io::sample_builder::SampleBuilder;

/// A picture in one packet: a 15-bit picture id, one layer, and in flexible mode so many references.
fn picture(number: u16, references: Option<u8>) -> Bytes {
    let (id, predicted) = (0x8000 | number, references.map_or(number > 0, |count| count > 0));
    // I, P, L, F, B, E, V, Z.
    let flags = 0b1010_1100 | u8::from(predicted) << 6 | u8::from(references.is_some()) << 4;
    let mut bytes = vec![flags, (id >> 8) as u8, id as u8, 0];
    match references {
        // The picture so far back, and whether another follows.
        Some(count) => bytes.extend((1..=count).map(|back| back << 1 | u8::from(back < count))),
        // TL0PICIDX.
        None => bytes.push(number as u8),
    }
    bytes.extend([number as u8; 50]);
    bytes.into()
}

fn built(is_flexible: bool) -> usize {
    let mut builder = SampleBuilder::new(50, Vp9Packet::default(), 90_000);
    let mut samples = 0;
    for number in 0..10 {
        let header = Header {
            version: 2,
            marker: true,
            payload_type: 98,
            sequence_number: 1_000 + number,
            timestamp: 3_000 * u32::from(number),
            ssrc: 1,
            ..Header::default()
        };
        let payload = picture(number, is_flexible.then(|| u8::from(number > 0)));
        builder.push(Packet { header, payload });
        samples += std::iter::from_fn(|| builder.pop()).count();
    }
    samples
}

fn main() {
    let (plain, flexible) = (built(false), built(true));
    println!("not flexible: {plain} of 10 pictures (the last one waits for what follows)");
    println!("flexible: {flexible} of 10 pictures");
    let mut as_seen = (plain, flexible) == (9, 3);
    for count in 1..=3 {
        let read = Vp9Packet::default().depacketize(&picture(7, Some(count)));
        let words = read.as_ref().map_or_else(|error| format!("refused, {error}"), |_| "read".into());
        println!("{count} reference{}: {words}", if count == 1 { "" } else { "s" });
        as_seen &= read.is_ok() == (count < 3);
    }
    if !as_seen {
        eprintln!("the crates behave otherwise than described above");
        std::process::exit(1);
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"
timeout 30 "$folder/target/debug/seen"
