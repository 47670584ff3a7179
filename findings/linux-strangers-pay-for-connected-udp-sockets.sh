#!/usr/bin/env bash
# Linux 6.18: a UDP server with one socket for each client, connected to that client, all on one port (SO_REUSEPORT), and
# one more that is not connected and takes what comes from new clients.
#
# A good guess: the kernel walks through the sockets of a port for each datagram, so 10,000 of them make every datagram
# dear; or, if one has heard of the table of connected UDP sockets that Linux 6.13 brought: since then none is.
#
# Seen instead: a datagram from a client who has a socket costs the same beside 10,000 others as beside 100. One from an
# address that has none costs as many steps as there are connected sockets, here thirty times as much.
# And a socket that is bound to the port on all addresses, before it is connected, costs more the more there are; bound
# to one address it hardly does.
# So this design is cheap for those who stay, but new clients, and those to whom their NAT gave another port, are dear.
# One socket that is not connected, with a table of one's own behind it, serves both alike.
#
# Takes ten seconds. Needs Python 3, and Linux 6.13 or later. Sends to itself on loopback, where the sender's processor
# does the receiver's part as well; the times are of processor, the best of some rounds.
# Output as seen (times vary):
#   Linux 6.18.44; 1000 datagrams from a client who has a socket, 1000 from a stranger; all came
#   100 sockets: client 3.1 us, stranger 3.5 us; one more socket: 8 us on all addresses, 7 us on one
#   10000 sockets: client 3.1 us, stranger 114.9 us; one more socket: 218 us on all addresses, 16 us on one
set -euo pipefail
timeout 110 python3 - <<'PY'
import platform
import resource
import socket
import sys
import time

COUNT, ROUNDS = 50, 20
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
    free.bind(("0.0.0.0", 0))
    PORT = free.getsockname()[1]


def bound(address, peer=None):
    """A UDP socket on the port, connected if there is a peer."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((address, PORT))
    if peer:
        one.connect(peer)
    return one


def cost(sender, receiver):
    """Microseconds of processor for each datagram, at best; every one must arrive at this receiver."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.thread_time_ns()
        for _ in range(COUNT):
            sender.sendto(b"x" * 200, ("127.0.0.1", PORT))
        best = min(best, (time.thread_time_ns() - before) / COUNT / 1_000)
        for _ in range(COUNT):
            receiver.recv(2_048, socket.MSG_DONTWAIT)
    return best


def making(address, first, count):
    """Sockets for this many clients, and microseconds of processor that the last ones took, each."""
    made, tail = [], min(count, 200)
    for number in range(first, first + count):
        if number == first + count - tail:
            before = time.thread_time_ns()
        made.append(bound(address, ("127.0.0.2", 1_024 + number)))
    return made, (time.thread_time_ns() - before) / tail / 1_000


def measure(count):
    """Costs beside this many connected sockets: a client, a stranger, one more socket on all addresses and on one."""
    listener = bound("0.0.0.0")
    clients, wide = making("0.0.0.0", 0, count)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.2", 1_024 + count // 2))
        known = cost(client, clients[count // 2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.3", 0))
        unknown = cost(stranger, listener)
    for one in [listener, *clients]:
        one.close()
    clients, narrow = making("127.0.0.1", 0, count)
    for one in clients:
        one.close()
    print(f"{count} sockets: client {known:.1f} us, stranger {unknown:.1f} us; "
          f"one more socket: {wide:.0f} us on all addresses, {narrow:.0f} us on one")
    return known, unknown, wide, narrow


resource.setrlimit(resource.RLIMIT_NOFILE, (12_000, max(12_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
total = COUNT * ROUNDS
print(f"Linux {platform.release().split('-')[0]}; {total} datagrams from a client who has a socket, "
      f"{total} from a stranger; all came")
few, many = measure(100), measure(10_000)
if not (many[0] < 2 * few[0] and many[1] > 8 * many[0] and many[2] > 2 * many[3]):
    sys.exit("Linux behaves otherwise than described above")
PY
