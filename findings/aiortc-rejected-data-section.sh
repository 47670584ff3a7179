#!/usr/bin/env bash
# aiortc 1.16.0 offers sound and a data channel, and the answer rejects the channel (its m= line has port 0).
#
# A good guess: a rejected section needs nothing but its m= line and its mid (RFC 8829 section 5.3.1), and once ICE and
# DTLS of what was accepted have ended, connectionState is "connected" (W3C webrtc-pc section 4.3.3).
#
# Seen instead:
#   - setRemoteDescription raises "ICE username fragment or password is missing" unless the rejected section repeats
#     ICE credentials.
#   - With credentials repeated media flows, but connectionState stays "connecting" and iceConnectionState "checking":
#     the transport that was made for the rejected section is kept, checks, and finds nobody.
# So whoever waits for "connected" before it shows or sends media waits for ever; look at the tracks instead.
#
# Takes half a minute. Needs Python 3 with venv. Both ends are aiortc's; nothing else is involved.
# Output as seen (numbers of frames vary):
#   without a channel: connected, completed; 387 frames
#   rejected without credentials: ICE username fragment or password is missing
#   rejected with credentials: connecting, checking; 383 frames
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0

cat > "$folder/run.py" <<'PY'
import asyncio
import re
import sys

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

SECTION = re.compile(r"(?m)^(?=m=)")


def without_data(offer):
    """The offer as an answerer sees it that knows no data channels."""
    first = re.search(r"a=group:BUNDLE (\S+)", offer).group(1)
    kept = "".join(part for part in SECTION.split(offer) if not part.startswith("m=application"))
    return re.sub(r"a=group:BUNDLE [^\r\n]*", f"a=group:BUNDLE {first}", kept)


def rejected(offer, answer, with_credentials):
    """The section that the answer has for the channel."""
    data = next(part for part in SECTION.split(offer) if part.startswith("m=application"))
    mid = re.search(r"a=mid:(\S+)", data).group(1)
    lines = ["m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=sctp-port:5000"]
    if with_credentials:
        found = re.findall(r"(?m)^(a=(?:ice-ufrag|ice-pwd|fingerprint|setup):[^\r\n]*)", answer)
        lines += dict.fromkeys(found)
    return "".join(line + "\r\n" for line in lines)


async def call(channel, with_credentials=False):
    """States of the offerer and frames that the answerer has got after eight seconds, or the error."""
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    frames = 0

    @answerer.on("track")
    def on_track(track):
        async def pull():
            nonlocal frames
            while True:
                await track.recv()
                frames += 1

        pulling.append(asyncio.ensure_future(pull()))

    pulling = []
    try:
        offerer.addTrack(AudioStreamTrack())
        if channel:
            offerer.createDataChannel("chat")
        await offerer.setLocalDescription(await offerer.createOffer())
        offer = offerer.localDescription.sdp
        await answerer.setRemoteDescription(RTCSessionDescription(without_data(offer), "offer"))
        await answerer.setLocalDescription(await answerer.createAnswer())
        answer = answerer.localDescription.sdp
        if channel:
            answer += rejected(offer, answer, with_credentials)
        try:
            await offerer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except ValueError as error:
            return str(error)
        await asyncio.sleep(8)
        return offerer.connectionState, offerer.iceConnectionState, frames
    finally:
        for one in pulling:
            one.cancel()
        await offerer.close()
        await answerer.close()


async def main():
    state, ice, frames = await call(channel=False)
    print(f"without a channel: {state}, {ice}; {frames} frames")
    as_seen = (state, ice) == ("connected", "completed") and frames > 100
    error = await call(channel=True)
    print(f"rejected without credentials: {error}")
    as_seen &= error == "ICE username fragment or password is missing"
    state, ice, frames = await call(channel=True, with_credentials=True)
    print(f"rejected with credentials: {state}, {ice}; {frames} frames")
    as_seen &= (state, ice) == ("connecting", "checking") and frames > 100
    if not as_seen:
        sys.exit("aiortc behaves otherwise than described above")


asyncio.run(asyncio.wait_for(main(), 60))
PY
timeout 90 "$folder/v/bin/python" "$folder/run.py"
