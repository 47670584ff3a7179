#!/usr/bin/env bash
# aiortc 1.16.0 receives pictures of one packet each, 30 a second, and the path loses a packet: in one call that packet
# alone, in another also what was sent again in its place.
#
# A good guess: what is missing is asked for again (NACK), more than once, until it is too old, some hundred milliseconds
# later; then the receiver asks for a key frame (PLI), goes on with it, and is as near to the sender as before.
#
# Seen instead: a packet is asked for once. If it does not come, then no picture comes out until 512 packets have come
# behind the gap, nor does a PLI leave before: 17 seconds here. From then on one picture comes out for each packet that
# comes in, so the queue never gets shorter: the picture stays 17 seconds behind the sender, while the call lasts.
# Pictures of five packets stand still for 3 s, and catch up within another 3 s (by hand).
# So an application that takes small pictures with aiortc (a bot, a recorder) compares frame.pts with its clock, and
# subscribes again when it has fallen behind.
#
# Takes a minute. Needs Python 3 with venv. Both ends are aiortc's; the path that loses is the script's.
# Output as seen:
#   0 lost: 0 NACK, 0 PLI; longest wait 0.1 s, at the end 0.1 s behind
#   1 lost: 1 NACK, 0 PLI; longest wait 0.1 s, at the end 0.1 s behind
#   2 lost: 1 NACK, 1 PLI; longest wait 17.1 s, at the end 17.1 s behind
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0

cat > "$folder/run.py" <<'PY'
import asyncio
import sys
import time
from fractions import Fraction

from aiortc import RTCPeerConnection, VideoStreamTrack
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRtpfbPacket, RtpPacket, is_rtcp
from av import VideoFrame

RATE = 30
LOSES_AT = 3
SECONDS = 35


class Grey(VideoStreamTrack):
    """Pictures so simple that each is one packet."""

    count = 0
    begun = None

    async def recv(self):
        self.begun = self.begun or time.monotonic()
        await asyncio.sleep(max(0, self.begun + self.count / RATE - time.monotonic()))
        frame = VideoFrame(160, 90, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self.count % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = self.count * 90_000 // RATE, Fraction(1, 90_000)
        self.count += 1
        return frame


class Path:
    """The way between the two, which loses so many packets: one, and what is sent again in its place."""

    def __init__(self, sender, receiver, losses):
        self.losses, self.lost, self.stream, self.begun = losses, 0, None, time.monotonic()
        self.asked = {"NACK": [], "PLI": []}
        self.forth, self.back = sender._send_rtp, receiver._send_rtp
        sender._send_rtp, receiver._send_rtp = self.pictures, self.feedback

    async def pictures(self, data):
        if not is_rtcp(data):
            packet = RtpPacket.parse(data)
            is_again = self.stream not in (None, packet.ssrc)
            is_time = time.monotonic() - self.begun > LOSES_AT
            if self.lost < self.losses and (is_again or (self.stream is None and is_time)):
                self.stream = self.stream or packet.ssrc
                self.lost += 1
                return
        await self.forth(data)

    async def feedback(self, data):
        if is_rtcp(data) and self.lost:
            for packet in RtcpPacket.parse(data):
                if isinstance(packet, RtcpRtpfbPacket | RtcpPsfbPacket) and packet.fmt == 1:
                    name = "NACK" if isinstance(packet, RtcpRtpfbPacket) else "PLI"
                    self.asked[name].append(time.monotonic() - self.begun - LOSES_AT)
        await self.back(data)


async def call(losses):
    sender, receiver = RTCPeerConnection(), RTCPeerConnection()
    found = asyncio.get_running_loop().create_future()
    receiver.on("track", found.set_result)
    track = Grey()
    sending = sender.addTrack(track)
    try:
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        await sender.setRemoteDescription(receiver.localDescription)
        remote = await found
        await asyncio.wait_for(remote.recv(), 10)
        path = Path(sending.transport, receiver.getReceivers()[0].transport, losses)
        longest, last = 0, time.monotonic()
        while (left := path.begun + SECONDS - time.monotonic()) > 0:
            frame = await asyncio.wait_for(remote.recv(), left + 5)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        behind = (track.count - frame.pts * RATE // 90_000) / RATE
        return path, longest, behind
    finally:
        await sender.close()
        await receiver.close()


async def main():
    as_seen = True
    for losses, (path, longest, behind) in enumerate(await asyncio.gather(*(call(losses) for losses in range(3)))):
        asked = ", ".join(f"{len(times)} {name}" for name, times in path.asked.items())
        print(f"{path.lost} lost: {asked}; longest wait {longest:.1f} s, at the end {behind:.1f} s behind")
        as_seen &= path.lost == losses and len(path.asked["NACK"]) == min(losses, 1)
        if losses < 2:
            as_seen &= longest < 2 and behind < 2
        else:
            as_seen &= longest > 15 and behind > 15 and all(at > 15 for at in path.asked["PLI"])
    if not as_seen:
        sys.exit("aiortc behaves otherwise than described above")


asyncio.run(asyncio.wait_for(main(), 60))
PY
timeout 90 "$folder/v/bin/python" "$folder/run.py"
