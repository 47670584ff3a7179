#!/usr/bin/env bash
# Linux 6.18, io_uring: recvmsg as multishot on a UDP socket, with a ring of provided buffers that are consumed
# incrementally (IOU_PBUF_RING_INC, since Linux 6.12: several receives share one buffer, one after the other).
#
# A good guess: a datagram is taken whole, so if it does not fit into what is left of a buffer, then the kernel is done
# with that buffer and takes the next one from the ring, which is empty and large enough.
#
# Seen instead: the datagram is written into what is left and the rest of it is gone (MSG_TRUNC), though the ring has free
# buffers. The last datagram of a buffer is cut, whatever the size of the buffers; larger ones only make it rarer. Without
# the flag the same socket, datagrams and ring lose nothing.
# So this kind of ring suits streams; for datagrams each needs a buffer of its own.
#
# Takes a minute. Needs cargo and io_uring in Linux 6.12 or later. Sends to itself on loopback; nothing else is involved.
# Output as seen (Linux 6.18, crate io-uring 0.7.15; 60 datagrams of 1,200 bytes):
#   4096 bytes, a buffer each: 60 whole, 0 cut, errors []
#   4096 bytes, shared buffers: 45 whole, 15 cut, errors []
#   65536 bytes, a buffer each: 60 whole, 0 cut, errors []
#   65536 bytes, shared buffers: 59 whole, 1 cut, errors []
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

use io_uring::types::{BufRingEntry, Fd, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode};

const BUFFERS: u16 = 64;
const DATAGRAMS: usize = 60;
const DATAGRAM: usize = 1_200;

/// What became of the datagrams: whole, cut, and receives that ended with an error.
fn receive(buffer: u32, flags: u16) -> (usize, usize, Vec<i32>) {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let mut ring = IoUring::new(8).expect("io_uring");
    let memory = Layout::from_size_align(BUFFERS as usize * buffer as usize, 4_096).expect("a size");
    let entries = Layout::from_size_align(BUFFERS as usize * size_of::<BufRingEntry>(), 4_096).expect("a size");
    // Leaked: the kernel has them until the ring is gone.
    let (memory, entries) = unsafe { (alloc_zeroed(memory), alloc_zeroed(entries).cast::<BufRingEntry>()) };
    unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 1, flags) }.expect("a ring");
    for index in 0..BUFFERS {
        let entry = unsafe { &mut *entries.add(index.into()) };
        entry.set_addr(memory as u64 + u64::from(index) * u64::from(buffer));
        entry.set_len(buffer);
        entry.set_bid(index);
    }
    let tail = unsafe { &*BufRingEntry::tail(entries).cast::<AtomicU16>() };
    tail.store(BUFFERS, Ordering::Release);

    for number in 0..DATAGRAMS {
        let filled = [number as u8; DATAGRAM];
        sender.send_to(&filled, receiver.local_addr().expect("bound")).expect("sends");
    }
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = 16;
    let (mut whole, mut cut, mut errors) = (0, 0, Vec::new());
    let mut offsets = [0_usize; BUFFERS as usize];
    let mut armed = false;
    while whole + cut < DATAGRAMS && errors.len() < DATAGRAMS {
        if !armed {
            let entry = opcode::RecvMsgMulti::new(Fd(receiver.as_raw_fd()), &header, 1).build();
            unsafe { ring.submission().push(&entry) }.expect("room");
            armed = true;
        }
        ring.submit_and_wait(1).expect("waits");
        let done: Vec<_> = ring.completion().collect();
        for entry in done {
            armed &= cqueue::more(entry.flags());
            if entry.result() < 0 {
                errors.push(entry.result());
                continue;
            }
            let index = usize::from(cqueue::buffer_select(entry.flags()).expect("a buffer"));
            let length = entry.result() as usize;
            let at = index * buffer as usize + offsets[index];
            offsets[index] += length;
            let bytes = unsafe { std::slice::from_raw_parts(memory.add(at), length) };
            let message = RecvMsgOut::parse(bytes, &header).expect("a header");
            let is_whole = !message.is_payload_truncated() && message.payload_data().len() == DATAGRAM;
            *if is_whole { &mut whole } else { &mut cut } += 1;
        }
    }
    (whole, cut, errors)
}

fn main() {
    const INCREMENTAL: u16 = 2;
    let mut as_seen = true;
    for buffer in [4_096, 65_536] {
        for (flags, name) in [(0, "a buffer each"), (INCREMENTAL, "shared buffers")] {
            let (whole, cut, errors) = receive(buffer, flags);
            println!("{buffer} bytes, {name}: {whole} whole, {cut} cut, errors {errors:?}");
            as_seen &= errors.is_empty() && (cut > 0) == (flags != 0);
        }
    }
    if !as_seen {
        eprintln!("io_uring behaves otherwise than described above");
        std::process::exit(1);
    }
}
RUST
timeout 300 cargo build --quiet --manifest-path "$folder/Cargo.toml"
timeout 30 "$folder/target/debug/seen"
