"""Watches by WHEP with aiortc and counts what it decodes.

    aiortc_watch.py URL

Prints a line of JSON twice a second: the state of the connection and the frames decoded so far, by kind. When its
standard input ends, it ends the session, prints `ended STATUS` and ends.
"""

import asyncio
import json
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

import exchange


async def count(track, frames):
    try:
        while True:
            await track.recv()
            frames[track.kind] += 1
    except MediaStreamError:
        pass


async def main():
    (url,) = sys.argv[1:]
    frames = {"audio": 0, "video": 0}
    # No ICE servers: aiortc's default is one on the Internet.
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks = []
    pc.on("track", lambda track: tasks.append(asyncio.create_task(count(track, frames))))
    for kind in frames:
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    answer, session = await asyncio.to_thread(exchange.exchange, url, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not over.done():
        print(json.dumps({"state": pc.connectionState, "frames": frames}), flush=True)
        await asyncio.wait([over], timeout=0.5)
    print("ended", await asyncio.to_thread(exchange.end, session), flush=True)
    await pc.close()


asyncio.run(main())
