#!/usr/bin/env bash
# The Rust crates rtp and webrtc-media 0.17.2 (webrtc-rs) take H.265 and H.264 out of RTP.
#
# A good guess: both readers implement `Depacketizer`, so `SampleBuilder` gives for either a picture as a decoder or a
# file takes it: NAL units behind start codes (Annex B), fragments joined.
#
# Seen instead: for H.264 that is so. For H.265 a sample is the payloads of the packets as they came, one behind the
# other: no start codes, and two bytes of payload header and one of FU header before each fragment (RFC 7798 section
# 4.4.3). No error is told. So who records H.265 has to join fragments by himself, from what the reader keeps beside
# the bytes that it returns.
#
# Takes a minute. Needs cargo. The packets are written out by the script; nothing is sent.
# Output as seen:
#   H.264: 00 00 00 01 65 a0 a1 a2 a3 b0 b1 b2 b3
#   H.265: 62 01 93 a0 a1 a2 a3 62 01 53 b0 b1 b2 b3
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
use rtp::codecs::h264::H264Packet;
use rtp::codecs::h265::H265Packet;
use rtp::header::Header;
use rtp::packet::Packet;
use rtp::packetizer::Depacketizer;
use webrtc_media::io::sample_builder::SampleBuilder;

/// The bytes of a picture of two packets, behind which the first one of the next picture comes.
fn sample(reader: impl Depacketizer + 'static, first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut builder = SampleBuilder::new(50, reader, 90_000);
    // One before, and one behind.
    let packets = [(first, 0, false), (second, 0, true), (first, 3_000, false)];
    for ((payload, timestamp, marker), sequence_number) in packets.into_iter().zip(1..) {
        let header =
            Header { version: 2, marker, payload_type: 96, sequence_number, timestamp, ssrc: 1, ..Header::default() };
        builder.push(Packet { header, payload: Bytes::copy_from_slice(payload) });
    }
    builder.pop().map(|sample| sample.data.to_vec()).unwrap_or_default()
}

fn main() {
    // One NAL unit of a key frame, in two fragments: FU-A of H.264 (type 5), FU of H.265 (type 19).
    let h264 = sample(
        H264Packet::default(),
        &[0x7c, 0x85, 0xa0, 0xa1, 0xa2, 0xa3],
        &[0x7c, 0x45, 0xb0, 0xb1, 0xb2, 0xb3],
    );
    let fragments = [[0x62, 0x01, 0x93, 0xa0, 0xa1, 0xa2, 0xa3], [0x62, 0x01, 0x53, 0xb0, 0xb1, 0xb2, 0xb3]];
    let h265 = sample(H265Packet::default(), &fragments[0], &fragments[1]);
    for (name, bytes) in [("H.264", &h264), ("H.265", &h265)] {
        println!("{name}: {}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    }
    let joined = [0, 0, 0, 1, 0x65, 0xa0, 0xa1, 0xa2, 0xa3, 0xb0, 0xb1, 0xb2, 0xb3];
    if h264 != joined || h265 != fragments.concat() {
        eprintln!("the crates behave otherwise than described above");
        std::process::exit(1);
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"
timeout 30 "$folder/target/debug/seen"
