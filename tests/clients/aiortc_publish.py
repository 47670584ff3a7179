"""Publishes moving pictures and a tone by WHIP with aiortc.

    aiortc_publish.py URL CODEC [channel]

CODEC is vp8 or h264; with `channel` a data channel is offered beside the media. Prints `publishing` once the transport
of the media is connected, and the channel is open and with it the whole connection connected, then a line of JSON twice a second: its state and what has been sent. When its standard input
ends, it ends the session, prints `ended STATUS` and ends.
"""

import asyncio
import json
import sys
import time

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

import exchange
import pictures


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

    async def recv(self):
        await self.pace(pictures.RATE)
        return pictures.picture(self.count - 1)


class Tone(Paced):
    kind = "audio"

    async def recv(self):
        await self.pace(pictures.SAMPLE_RATE / pictures.SAMPLES)
        return pictures.sound(self.count - 1)


async def sent(pc):
    report = (await pc.getStats()).values()
    return {stat.kind: stat.packetsSent for stat in report if stat.type == "outbound-rtp"}


async def main():
    url, codec, *more = sys.argv[1:]
    # No ICE servers: aiortc's default is one on the Internet.
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(Tone(), direction="sendonly")
    video = pc.addTransceiver(Pictures(), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    video.setCodecPreferences([one for one in codecs if one.mimeType.lower() == f"video/{codec}"])
    channel = pc.createDataChannel("channel") if more == ["channel"] else None
    await pc.setLocalDescription(await pc.createOffer())
    answer, session = await asyncio.to_thread(exchange.exchange, url, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    transport = video.sender.transport
    while transport.state != "connected":
        if transport.state in ("failed", "closed"):
            raise RuntimeError(f"the transport is {transport.state}\n{answer}")
        await asyncio.sleep(0.05)
    while channel and (channel.readyState != "open" or pc.connectionState != "connected"):
        await asyncio.sleep(0.05)
    print("publishing", flush=True)
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not over.done():
        print(json.dumps({"state": transport.state, "sent": await sent(pc)}), flush=True)
        await asyncio.wait([over], timeout=0.5)
    print("ended", await asyncio.to_thread(exchange.end, session), flush=True)
    await pc.close()


asyncio.run(main())
