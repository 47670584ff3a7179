#!/usr/bin/env bash
# Linux 6.18, io_uring: many sends on one blocking UDP socket, in one submission, more than its send buffer holds because
# the interface is slow.
#
# A good guess: requests are carried out in the order of submission, so datagrams leave in that order: some at once, the
# rest as room comes, just as a loop of send(2) on the same socket does it.
#
# Seen instead: each send that finds the buffer full waits by itself, and whichever is woken first goes first. All
# datagrams arrive, but about half of them behind a later one. With MSG_DONTWAIT
# the order is kept, and those for which there is no room are refused with EAGAIN.
# So a sender of media asks for MSG_DONTWAIT and drops, or queues by itself, what is refused: receivers take what comes
# late for lost. On loopback it is never seen, since there the buffer does not fill.
#
# Takes a minute. Needs root, cargo, iproute2, and io_uring. Makes two network namespaces and removes them.
# Output as seen (Linux 6.18, crate io-uring 0.7.15; 200 datagrams; numbers vary by a few):
#   singly: 0 refused; 200 came, 0 of them behind a later one
#   waiting: 0 refused; 200 came, 102 of them behind a later one
#   not-waiting: 103 refused; 97 came, 0 of them behind a later one
set -euo pipefail
folder=$(mktemp -d)
near=near$$
far=far$$
trap 'ip netns del $near 2> /dev/null || true; ip netns del $far 2> /dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2024"

[dependencies]
io-uring = "=0.7.15"
libc = "=0.2.191"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

const DATAGRAMS: u32 = 200;
const DATAGRAM: usize = 1_200;
const PORT: u16 = 5_000;

/// Hands all datagrams over in one submission, numbered. How many were refused.
fn send(to: &str, flags: i32) -> usize {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("binds");
    socket.connect((to, PORT)).expect("connects");
    let mut ring = IoUring::new(256).expect("io_uring");
    let datagrams: Vec<[u8; DATAGRAM]> = (0..DATAGRAMS)
        .map(|number| {
            let mut datagram = [0; DATAGRAM];
            datagram[..4].copy_from_slice(&number.to_be_bytes());
            datagram
        })
        .collect();
    for datagram in &datagrams {
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), datagram.as_ptr(), DATAGRAM as u32).flags(flags).build();
        unsafe { ring.submission().push(&entry) }.expect("room");
    }
    // The datagrams stay where they are until all have ended.
    ring.submit_and_wait(datagrams.len()).expect("waits");
    ring.completion().filter(|entry| entry.result() != DATAGRAM as i32).count()
}

/// The same, one call after the other.
fn send_singly(to: &str) -> usize {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("binds");
    socket.connect((to, PORT)).expect("connects");
    let mut datagram = [0; DATAGRAM];
    let mut send = |number: u32| {
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        socket.send(&datagram).is_err()
    };
    (0..DATAGRAMS).filter(|number| send(*number)).count()
}

/// How many came, and how many of them after one with a higher number.
fn receive() -> (usize, usize) {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).expect("binds");
    println!("ready");
    let (mut came, mut behind, mut highest) = (0, 0, 0);
    let mut datagram = [0; DATAGRAM];
    socket.set_read_timeout(Some(Duration::from_secs(8))).expect("a time");
    while socket.recv(&mut datagram).is_ok() {
        let number = u32::from_be_bytes(datagram[..4].try_into().expect("four"));
        came += 1;
        behind += usize::from(number < highest);
        highest = highest.max(number);
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a time");
    }
    (came, behind)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("singly") => println!("{} refused", send_singly(&arguments[2])),
        Some("waiting") => println!("{} refused", send(&arguments[2], 0)),
        Some("not-waiting") => println!("{} refused", send(&arguments[2], libc::MSG_DONTWAIT)),
        _ => {
            let (came, behind) = receive();
            println!("{came} came, {behind} of them behind a later one");
        }
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"

ip netns add $near
ip netns add $far
ip link add slow netns $near type veth peer name slow netns $far
ip -n $near addr add 192.0.2.1/24 dev slow
ip -n $far addr add 192.0.2.2/24 dev slow
ip -n $near link set slow up
ip -n $far link set slow up
sleep 2
tc -n $near qdisc add dev slow root tbf rate 4mbit burst 5k latency 20s

for how in singly waiting not-waiting; do
  ip netns exec $far timeout 30 "$folder/target/debug/seen" receive > "$folder/came" &
  receiver=$!
  until grep -q ready "$folder/came"; do sleep 0.1; done
  refused=$(ip netns exec $near timeout 30 "$folder/target/debug/seen" $how 192.0.2.2)
  wait $receiver
  line="$refused; $(tail -n 1 "$folder/came")"
  echo "$how: $line"
  case $how in
    singly) seen='^0 refused; 200 came, 0 of them' ;;
    waiting) seen='^0 refused; 200 came, [1-9][0-9]+ of them' ;;
    not-waiting) seen='^[1-9][0-9]* refused; [0-9]+ came, 0 of them' ;;
  esac
  if ! grep -Eq "$seen" <<< "$line"; then
    echo "io_uring behaves otherwise than described above" >&2
    exit 1
  fi
done
