#!/usr/bin/env bash
# Linux 6.18, io_uring: recv and recvmsg as multishot on a UDP socket, with a ring of provided buffers, and a datagram
# without any bytes, which UDP allows.
#
# A good guess: a datagram of no bytes is a datagram like any other: one completion more, and the request goes on, as
# it does after all others while there are buffers. An end by zero bytes is for streams (recv(2): "When a stream socket
# peer has performed an orderly shutdown").
#
# Seen instead: the request ends (its completion has no IORING_CQE_F_MORE), with no error, with buffers left, on
# connected sockets and others. recvmsg's result is not even 0 then, since it counts the header and the name that stand
# before the datagram; recv's is 0 and names no buffer. What comes afterwards stays in the socket until it is armed again.
# So arm again whenever F_MORE is missing, not upon errors alone, take 0 for no end, and look for no buffer with it.
#
# Takes a minute. Needs cargo and io_uring in Linux 6.0 or later. Sends to itself on loopback; nothing else is involved.
# Output as seen (Linux 6.18, crate io-uring 0.7.15; three datagrams, of 100, 0 and 100 bytes):
#   recv: 100 more, 0 without a buffer, last; then nothing; armed again: 100 more
#   recv, connected: 100 more, 0 without a buffer, last; then nothing; armed again: 100 more
#   recvmsg: 132 more, 32 last; then nothing; armed again: 132 more
#   recvmsg, connected: 132 more, 32 last; then nothing; armed again: 132 more
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
io-uring = "=0.7.15"
libc = "=0.2.191"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use std::alloc::{Layout, alloc_zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

const BUFFERS: u16 = 16;
const BUFFER: usize = 2_048;

/// A ring with buffers for group 1. Leaked: the kernel has them until the ring is gone.
fn ring() -> IoUring {
    let ring = IoUring::new(8).expect("io_uring");
    let memory = Layout::from_size_align(usize::from(BUFFERS) * BUFFER, 4_096).expect("a size");
    let entries = Layout::from_size_align(usize::from(BUFFERS) * size_of::<BufRingEntry>(), 4_096).expect("a size");
    let (memory, entries) = unsafe { (alloc_zeroed(memory), alloc_zeroed(entries).cast::<BufRingEntry>()) };
    unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 1, 0) }.expect("a ring");
    for index in 0..BUFFERS {
        let entry = unsafe { &mut *entries.add(index.into()) };
        entry.set_addr(memory as u64 + u64::from(index) * BUFFER as u64);
        entry.set_len(BUFFER as u32);
        entry.set_bid(index);
    }
    let tail = unsafe { &*BufRingEntry::tail(entries).cast::<AtomicU16>() };
    tail.store(BUFFERS, Ordering::Release);
    ring
}

/// The next completion within a fifth of a second.
fn next(ring: &mut IoUring) -> String {
    let limit = Timespec::from(Duration::from_millis(200));
    // An error is the end of the time; then there is no completion.
    let _ = ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit));
    let Some(entry) = ring.completion().next() else { return "nothing".into() };
    let (result, flags) = (entry.result(), entry.flags());
    let buffer = if cqueue::buffer_select(flags).is_some() { "" } else { " without a buffer," };
    format!("{result}{buffer} {}", if cqueue::more(flags) { "more" } else { "last" })
}

fn arm(ring: &mut IoUring, request: &squeue::Entry) {
    unsafe { ring.submission().push(request) }.expect("room");
    ring.submit().expect("submits");
}

fn main() {
    let mut as_seen = true;
    for (with_header, connected) in [(false, false), (false, true), (true, false), (true, true)] {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("binds");
        sender.connect(receiver.local_addr().expect("bound")).expect("connects");
        if connected {
            receiver.connect(sender.local_addr().expect("bound")).expect("connects");
        }
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_namelen = 16;
        let file = Fd(receiver.as_raw_fd());
        let (name, overhead, request) = match with_header {
            true => ("recvmsg", 32, opcode::RecvMsgMulti::new(file, &header, 1).build()),
            false => ("recv", 0, opcode::RecvMulti::new(file, 1).build()),
        };
        let mut ring = ring();
        arm(&mut ring, &request);
        let mut after = |length: usize| {
            sender.send(&[7; 100][..length]).expect("sends");
            next(&mut ring)
        };
        let (first, empty, third) = (after(100), after(0), after(100));
        arm(&mut ring, &request);
        let again = next(&mut ring);
        let name = format!("{name}{}", if connected { ", connected" } else { "" });
        println!("{name}: {first}, {empty}; then {third}; armed again: {again}");
        let full = format!("{} more", 100 + overhead);
        let ended = if with_header { "32 last" } else { "0 without a buffer, last" };
        as_seen &= (&*first, &*empty, &*third, &*again) == (&*full, ended, "nothing", &*full);
    }
    if !as_seen {
        eprintln!("io_uring behaves otherwise than described above");
        std::process::exit(1);
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"
timeout 30 "$folder/target/debug/seen"
