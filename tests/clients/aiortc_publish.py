"""Publishes moving pictures and a tone by WHIP with aiortc.

    aiortc_publish.py URL CODEC

CODEC is vp8 or h264. Prints `publishing` once the connection stands, then a line of JSON twice a second: the state of the
connection and what has been sent. When its standard input ends, it ends the session, prints `ended STATUS` and ends.
"""

import asyncio
import fractions
import json
import sys
import time

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

import exchange

WIDTH, HEIGHT, RATE = 320, 240, 15
SAMPLE_RATE, SAMPLES = 48_000, 960


class Paced(MediaStreamTrack):
    """Frames in real time."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.began = None

    async def pace(self, a_second):
        if self.began is None:
            self.began = time.monotonic()
        due = self.began + self.count / a_second
        self.count += 1
        await asyncio.sleep(max(0.0, due - time.monotonic()))


class Pictures(Paced):
    kind = "video"

    def __init__(self):
        super().__init__()
        self.planes = [bytes((x + y) % 256 for x in range(WIDTH)) for y in range(512)]

    async def recv(self):
        await self.pace(RATE)
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        # A slope of grey that moves; the chroma stays in the middle.
        shift = 4 * self.count % 256
        stride = frame.planes[0].line_size
        frame.planes[0].update(b"".join(row.ljust(stride, b"\0") for row in self.planes[shift : shift + HEIGHT]))
        for plane in frame.planes[1:]:
            plane.update(bytes([100 + self.count % 56]) * plane.buffer_size)
        frame.pts = (self.count - 1) * 90_000 // RATE
        frame.time_base = fractions.Fraction(1, 90_000)
        return frame


class Tone(Paced):
    kind = "audio"

    async def recv(self):
        await self.pace(SAMPLE_RATE / SAMPLES)
        frame = av.AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        # 500 Hz, square: 48 samples up, 48 down.
        wave = (b"\0\x20" * 48 + b"\0\xe0" * 48) * (SAMPLES // 96)
        frame.planes[0].update(wave)
        frame.sample_rate = SAMPLE_RATE
        frame.pts = (self.count - 1) * SAMPLES
        frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
        return frame


async def sent(pc):
    report = (await pc.getStats()).values()
    return {stat.kind: stat.packetsSent for stat in report if stat.type == "outbound-rtp"}


async def main():
    url, codec = sys.argv[1:]
    # No ICE servers: aiortc's default is one on the Internet.
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(Tone(), direction="sendonly")
    video = pc.addTransceiver(Pictures(), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    video.setCodecPreferences([one for one in codecs if one.mimeType.lower() == f"video/{codec}"])
    await pc.setLocalDescription(await pc.createOffer())
    answer, session = await asyncio.to_thread(exchange.exchange, url, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    while pc.connectionState != "connected":
        if pc.connectionState in ("failed", "closed"):
            raise RuntimeError(f"the connection is {pc.connectionState}\n{answer}")
        await asyncio.sleep(0.05)
    print("publishing", flush=True)
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not over.done():
        print(json.dumps({"state": pc.connectionState, "sent": await sent(pc)}), flush=True)
        await asyncio.wait([over], timeout=0.5)
    print("ended", await asyncio.to_thread(exchange.end, session), flush=True)
    await pc.close()


asyncio.run(main())
