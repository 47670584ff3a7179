"""Prints the UDP datagrams of one network interface that leave from, or go to, a port of a range: source port,
destination port, payload in hexadecimal. As many as it is told, then it ends.

    capture.py INTERFACE FIRST_PORT LAST_PORT COUNT
"""

import socket
import struct
import sys

ETH_P_ALL = 3
IPV4 = 0x0800
UDP = 17


def main():
    interface, first, last, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    taps = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    taps.bind((interface, 0))
    print("captures", flush=True)
    while count > 0:
        frame = taps.recv(65_536)
        if struct.unpack("!H", frame[12:14])[0] != IPV4 or frame[23] != UDP:
            continue
        header = 14 + (frame[14] & 15) * 4
        source, destination = struct.unpack("!HH", frame[header : header + 4])
        if first <= source <= last or first <= destination <= last:
            print(source, destination, frame[header + 8 :].hex(), flush=True)
            count -= 1


main()
