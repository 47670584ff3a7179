"""Publishes silence by WHIP or watches by WHEP with aiortc, and sends every message of a data channel back as it came.

    aiortc_talk.py publish|watch URL LABEL

Prints `open` once its channel is. When its standard input ends, it ends the session, prints `ended STATUS` and ends.
"""

import asyncio
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

import exchange


async def main():
    what, url, label = sys.argv[1:]
    # No ICE servers: aiortc's default is one on the Internet.
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if what == "publish":
        pc.addTransceiver(AudioStreamTrack(), direction="sendonly")
    else:
        pc.addTransceiver("audio", direction="recvonly")
    channel = pc.createDataChannel(label)
    channel.on("message", channel.send)
    await pc.setLocalDescription(await pc.createOffer())
    answer, session = await asyncio.to_thread(exchange.exchange, url, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    while channel.readyState != "open":
        await asyncio.sleep(0.05)
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print("ended", await asyncio.to_thread(exchange.end, session), flush=True)
    await pc.close()


asyncio.run(main())
