#!/usr/bin/env bash
# dcsctp 0.1.16 (Rust, SCTP without I/O) in a program whose logger is at the usual level, "info".
#
# A good guess: a protocol library that is quiet by default writes single packets at "trace", if at all, so at "info" its
# user's messages stay out of the log; and with a logger that takes nothing, writing costs nothing.
#
# Seen instead:
#   - Every packet that leaves or comes is logged at "info" as hexadecimal text (the form that text2pcap reads, marked
#     SCTP_PACKET). What people say over data channels is in it, readable by anybody who can read the log.
#   - The text is made before anybody asks whether it is wanted: also with logging off (log::max_level is Off) making it is
#     about half of a packet's time or more. The script compares the time per packet with logging off against the time
#     that making such lines alone takes.
# So a server filters this target (dcsctp=off), and guards the function if it sends many packets.
#
# Takes a minute. Needs cargo. Two associations in one process talk to each other; nothing else is involved.
# Output as seen (times vary):
#   lines at info: 12, with the message in the clear: 2
#   logging off: 130.2 us a packet; making the line alone: 61.6 us, 47 percent (on a machine that was busy)
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
dcsctp = "=0.1.16"
log = "=0.4.29"

[profile.release]
debug = false
TOML
cat > "$folder/src/main.rs" <<'RUST'
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dcsctp::api::{DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketTime, StreamId};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keeps;

impl log::Log for Keeps {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }
    fn flush(&self) {}
}

/// Carries packets until neither side has any; how many there were.
fn exchange(sides: &mut [Box<dyn DcSctpSocket>; 2]) -> u32 {
    let mut packets = 0;
    loop {
        let before = packets;
        for from in [0, 1] {
            while let Some(event) = sides[from].poll_event() {
                if let SocketEvent::SendPacket(packet) = event {
                    packets += 1;
                    sides[1 - from].handle_input(&packet);
                }
            }
            while sides[from].get_next_message().is_some() {}
        }
        if packets == before {
            return packets;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, " {byte:02x}");
        text
    })
}

fn main() {
    log::set_logger(&Keeps).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let mut sides = ["one", "two"].map(|name| dcsctp::new_socket(name, &Options::default()));
    sides[0].connect();
    exchange(&mut sides);
    let words = b"meet me at the station at nine";
    let send = |side: &mut Box<dyn DcSctpSocket>, words: Vec<u8>| {
        side.send(Message::new(StreamId(1), PpId(51), words), &SendOptions::default()).unwrap();
    };
    send(&mut sides[0], words.to_vec());
    exchange(&mut sides);
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    let wanted = hex(words);
    let at_info = lines.iter().filter(|line| line.starts_with("INFO") && line.contains("SCTP_PACKET")).count();
    let in_the_clear = lines.iter().filter(|line| line.contains(&wanted)).count();
    println!("lines at info: {at_info}, with the message in the clear: {in_the_clear}");
    assert!(at_info > 0 && in_the_clear == 2, "once when it leaves, once when it comes");

    log::set_max_level(log::LevelFilter::Off);
    let (rounds, mut packets, mut now) = (3_000, 0, Duration::ZERO);
    let from = Instant::now();
    for _ in 0..rounds {
        send(&mut sides[0], vec![7; 1_000]);
        packets += exchange(&mut sides);
        now += Duration::from_micros(100);
        sides.iter_mut().for_each(|side| side.advance_time(SocketTime::zero() + now));
        packets += exchange(&mut sides);
    }
    let each = from.elapsed().as_secs_f64() * 1e6 / f64::from(packets);
    assert!(LINES.lock().unwrap().is_empty(), "nothing was logged");
    // A packet is written out twice: when it leaves and when it comes. Half of the packets are acknowledgements.
    let (long, short) = (vec![7; 1_028], vec![7; 28]);
    let from = Instant::now();
    for _ in 0..rounds {
        for packet in [&long, &long, &short, &short] {
            black_box(hex(black_box(packet)));
        }
    }
    let line = from.elapsed().as_secs_f64() * 1e6 / f64::from(rounds * 2);
    let share = 100.0 * line / each;
    println!("logging off: {each:.1} us a packet; making the line alone: {line:.1} us, {share:.0} percent");
    assert!(share > 25.0, "much of a packet's time is spent on a text that nobody reads");
}
RUST
cd "$folder" && CARGO_TARGET_DIR="$folder/target" cargo run --quiet --release
