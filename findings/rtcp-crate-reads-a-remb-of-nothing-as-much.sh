#!/usr/bin/env bash
# The Rust crate rtcp 0.17.2 (webrtc-rs) reads two kinds of lawful feedback on congestion.
#
# A good guess: a REMB whose mantissa is 0 is read as 0 bit/s ("send nothing"), and transport-wide feedback that says
# that no packet of its span has arrived is read like any other, with no deltas.
#
# Seen instead:
#   - A mantissa of 0 is read as 2^23 times 2^exponent: "nothing" becomes 8.4 Mbit/s, or more.
#   - Feedback that ends with its chunks, because nothing arrived and so there are no deltas, is refused: "Packet status
#     chunk must be 2 bytes".
# So a sender that obeys this reader sends most, or hears nothing, just when nothing arrives.
#
# Takes a minute. Needs cargo. The packets are written out by the script; nothing is sent.
# Output as seen:
#   REMB of 1 * 2^0: 1
#   REMB of 250000 * 2^10: 256000000
#   REMB of 0 * 2^0: 8388608
#   REMB of 0 * 2^3: 67108864
#   feedback, the last packet arrived: 1 read
#   feedback, no packet arrived: refused, Packet status chunk must be 2 bytes
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
rtcp = "=0.17.2"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;

/// A REMB for one SSRC, with this exponent and mantissa: 6 and 18 bits.
fn remb(exponent: u8, mantissa: u32) -> Vec<u8> {
    let [_, high, middle, low] = mantissa.to_be_bytes();
    let mut bytes = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    bytes.extend(b"REMB");
    bytes.extend([1, exponent << 2 | high, middle, low, 0, 0, 0, 2]);
    bytes
}

fn read(bytes: &[u8]) -> Option<f32> {
    let packets = rtcp::packet::unmarshal(&mut &*bytes).ok()?;
    let packet = packets.first()?.as_any();
    packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>().map(|remb| remb.bitrate)
}

/// Transport-wide feedback on 40 packets, of which the last has come or none has.
fn feedback(is_last_there: bool) -> Vec<u8> {
    let mut bytes = vec![0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 40, 0, 0, 1, 0];
    if is_last_there {
        // 39 not received; 1 received, small delta; the delta.
        bytes.extend([0, 39, 0x20, 1, 4, 0, 0, 0]);
        bytes[3] = 6;
        // Three bytes of padding.
        bytes[0] |= 0x20;
        *bytes.last_mut().expect("there are some") = 3;
    } else {
        // 20 not received, twice: chunks fill the word.
        bytes.extend([0, 20, 0, 20]);
    }
    bytes
}

fn main() {
    let mut as_seen = true;
    let cases = [(0, 1, 1.0), (10, 250_000, 256_000_000.0), (0, 0, 8_388_608.0), (3, 0, 67_108_864.0)];
    for (exponent, mantissa, seen) in cases {
        let read = read(&remb(exponent, mantissa));
        println!("REMB of {mantissa} * 2^{exponent}: {}", read.map_or("refused".into(), |bitrate| bitrate.to_string()));
        as_seen &= read == Some(seen);
    }
    for (is_last_there, name) in [(true, "the last packet arrived"), (false, "no packet arrived")] {
        let read = rtcp::packet::unmarshal(&mut &*feedback(is_last_there));
        let words = match &read {
            Ok(packets) => format!("{} read", packets.len()),
            Err(error) => format!("refused, {error}"),
        };
        println!("feedback, {name}: {words}");
        as_seen &= read.is_ok() == is_last_there;
    }
    if !as_seen {
        eprintln!("the crate rtcp behaves otherwise than described above");
        std::process::exit(1);
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"
timeout 30 "$folder/target/debug/seen"
