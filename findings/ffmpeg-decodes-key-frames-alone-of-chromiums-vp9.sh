#!/usr/bin/env bash
# FFmpeg 8.1, as the wheel of PyAV 18.1.0 has it, reads VP9 from RTP as Chromium 156 (Debian 12) sends it: the usual way to
# record a call, with an SDP file.
#
# A good guess: VP9 is read as VP8 and H.264 are: FFmpeg knows `VP9/90000`, and the size is right from the first
# picture on. It warns that this is experimental, which may concern layers, but not what a page sends if it says nothing.
#
# Seen instead: key frames are decoded, and nothing else ("Invalid data"), also of a page's VP9 without any layers. So the
# record begins well, and stands still until somebody asks for a key frame.
# Chromium's pictures name those that they refer to (RFC 9628, flexible mode: F is 1), and FFmpeg leaves the bytes that do
# so in front of the picture. Of spatial layers it also throws the lower ones away, and nothing at all is decoded. If
# pictures are taken out of the packets as the RFC says, its decoders decode all; then, where there are spatial layers,
# `vp9` gives the smallest and `libvpx-vp9` the largest.
# Debian 12's FFmpeg 5.1 decodes key frames alone as well, GStreamer 1.22's rtpvp9depay takes them all out (by hand).
# So who records by FFmpeg asks publishers for VP8 or H.264, or takes the packets apart by other means.
#
# Takes a minute. Needs Node, npm, Chromium as /usr/bin/chromium (or its path in CHROMIUM), and Python 3 with
# venv. The packets are received by libdatachannel (node-datachannel 0.33.4) and sent on to FFmpeg over loopback.
# Output as seen (numbers of pictures vary):
#   Chrome/156.0.8078.114
#   scalabilityMode none: 140 pictures, 4 of them key frames
#     taken out as RFC 9628 says: vp9 decodes 140 (640x360), libvpx-vp9 140 (640x360)
#     taken out by FFmpeg: 140 pictures, of which 4 are decoded
#   scalabilityMode L1T3: 140 pictures, 4 of them key frames
#     taken out as RFC 9628 says: vp9 decodes 140 (640x360), libvpx-vp9 140 (640x360)
#     taken out by FFmpeg: 140 pictures, of which 4 are decoded
#   scalabilityMode L2T1: 140 pictures, 4 of them key frames
#     taken out as RFC 9628 says: vp9 decodes 140 (320x180), libvpx-vp9 140 (640x360)
#     taken out by FFmpeg: 140 pictures, of which 0 are decoded
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
python3 -m venv v
v/bin/pip install --quiet --disable-pip-version-check av==18.1.0
cat > receive.mjs <<'JS'
import { writeFileSync } from 'node:fs';
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function offer(encoding) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d');
  let count = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${count++ * 7} 50% 50%)`;
    context.fillRect(count * 5 % canvas.width, count * 3 % canvas.height, 60, 60);
  }, 50);
  window.connection = new RTCPeerConnection();
  const [track] = canvas.captureStream().getVideoTracks();
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly', sendEncodings: [encoding] });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  const wanted = ({ mimeType, sdpFmtpLine }) => mimeType === 'video/VP9' && sdpFmtpLine === 'profile-id=0';
  transceiver.setCodecPreferences(codecs.filter(wanted));
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
  return connection.localDescription.sdp;
}

async function answer(receiver, sdp) {
  const gathered = new Promise((resolve) => {
    receiver.onGatheringStateChange((state) => state === 'complete' && resolve());
  });
  receiver.setRemoteDescription(sdp, 'offer');
  await gathered;
  const own = receiver.localDescription().sdp.match(/a=(ice-ufrag|ice-pwd|fingerprint|candidate):.*/g);
  const theirs = /^(a=(ice-|fingerprint|setup|candidate|ssrc|msid|sendonly|extmap)|o=)/;
  const lines = sdp.split('\r\n').filter((line) => line && !theirs.test(line));
  lines.splice(1, 0, 'o=- 1 1 IN IP4 127.0.0.1');
  return [...lines, 'a=recvonly', 'a=setup:active', ...own, ''].join('\r\n');
}

/** Writes seven seconds of a stream to a file, with key frames when they were asked for. */
async function receive(browser, file, encoding) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer, encoding);
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [] });
  const payloadType = Number(sdp.match(/a=rtpmap:(\d+) VP9/)[1]);
  const packets = [];
  let track;
  receiver.onTrack((one) => {
    track = one;
    track.onMessage((packet) => {
      if ((packet[1] & 0x7f) === payloadType) packets.push(Buffer.from(packet));
    });
  });
  const taken = await answer(receiver, sdp);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  for (let tries = 0; tries < 100 && !packets.length; tries++) await sleep(100);
  // As much as all layers take (REMB, 2 Mbit/s), and then key frames (PLI).
  const remb = Buffer.from([0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 82, 69, 77, 66, 1, 0x18, 0x7a, 0x12, 0, 0, 0, 0]);
  packets[0].copy(remb, 20, 8, 12);
  track.sendMessageBinary(remb);
  await sleep(2_000);
  const pli = Buffer.from([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
  packets[0].copy(pli, 8, 8, 12);
  packets.length = 0;
  track.sendMessageBinary(pli);
  for (let seconds = 0; seconds < 7; seconds += 1.75) {
    await sleep(1_750);
    track.sendMessageBinary(pli);
  }
  receiver.close();
  await page.close();
  writeFileSync(file, packets.map((packet) => packet.toString('base64')).join('\n'));
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection', '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
try {
  console.log(await browser.version());
  await Promise.all([receive(browser, 'none', {}), receive(browser, 'L1T3', { scalabilityMode: 'L1T3' }),
    receive(browser, 'L2T1', { scalabilityMode: 'L2T1' })]);
} finally {
  await browser.close();
  nodeDataChannel.cleanup();
}
process.exit(0);
JS
cat > read.py <<'PY'
import base64
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av


class Packet:
    """A packet of RTP, and what RFC 9628 section 4.2 has in front of the picture in it."""

    def __init__(self, data):
        self.data = data
        self.is_last = bool(data[1] & 0x80)
        body = 12
        if data[0] & 0x10:
            body += 4 + 4 * struct.unpack(">H", data[14:16])[0]
        payload = data[body : len(data) - (data[-1] if data[0] & 0x20 else 0)]
        self.is_empty = not payload
        if self.is_empty:
            return
        has_id, is_predicted, has_layers, is_flexible, begins, _, has_structure = (
            bool(payload[0] & bit) for bit in (0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02)
        )
        at = 1
        if has_id:
            at += 2 if payload[at] & 0x80 else 1
        spatial = 0
        if has_layers:
            spatial = payload[at] >> 1 & 7
            at += 1 if is_flexible else 2
        self.begins_key_frame = begins and not is_predicted and spatial == 0
        self.names_pictures = is_flexible and is_predicted
        while self.names_pictures and payload[at] & 1:
            at += 1
        at += int(self.names_pictures)
        if has_structure:
            layers, has_sizes, has_pictures = (payload[at] >> 5) + 1, payload[at] & 0x10, payload[at] & 0x08
            at += 1 + (4 * layers if has_sizes else 0)
            if has_pictures:
                pictures = payload[at]
                at += 1
                for _ in range(pictures):
                    at += 1 + (payload[at] >> 2 & 3)
        self.picture = payload[at:]


def packets_of(file):
    """From the first key frame on to the end of the last picture, with padding left out and numbers that have no gap."""
    packets = [Packet(base64.b64decode(line)) for line in Path(file).read_text().splitlines()]
    packets = [packet for packet in packets if not packet.is_empty]
    while not packets[0].begins_key_frame:
        packets.pop(0)
    while not packets[-1].is_last:
        packets.pop()
    for number, packet in enumerate(packets, 1):
        packet.data = packet.data[:2] + struct.pack(">H", number) + packet.data[4:]
    return packets


def pictures_of(packets):
    picture = b""
    for packet in packets:
        picture += packet.picture
        if packet.is_last:
            yield picture
            picture = b""


def decoded(decoder, pictures):
    """How many pictures were decoded, and their size."""
    context = av.CodecContext.create(decoder, "r")
    count, size = 0, None
    for picture in pictures:
        try:
            for frame in context.decode(av.Packet(picture)):
                count, size = count + 1, f"{frame.width}x{frame.height}"
        except av.error.InvalidDataError:
            pass
    return (count, size) if count else (0, "none")


def free_port():
    """An even one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1] & ~1


def by_ffmpeg(mode, packets, port):
    """The pictures that FFmpeg takes out of the packets."""
    description = f"{mode}.sdp"
    kind = packets[0].data[1] & 0x7F
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=video {port} RTP/AVP {kind}",
             f"a=rtpmap:{kind} VP9/90000", ""]
    Path(description).write_text("\n".join(lines))

    def send():
        time.sleep(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for packet in packets:
                sender.sendto(packet.data, ("127.0.0.1", port))
                time.sleep(0.01)

    sending = threading.Thread(target=send)
    sending.start()
    options = {"protocol_whitelist": "file,udp,rtp", "analyzeduration": "500000", "probesize": "32000"}
    found = []
    try:
        with av.open(description, options=options, timeout=4) as container:
            found.extend(bytes(packet) for packet in container.demux(video=0))
    except av.error.ExitError:
        pass  # Nothing has come for four seconds.
    sending.join()
    return found


MODES = ("none", "L1T3", "L2T1")
av.logging.set_level(av.logging.PANIC)
streams = [packets_of(mode) for mode in MODES]
port = free_port()
with ThreadPoolExecutor() as pool:
    taken_out = list(pool.map(by_ffmpeg, MODES, streams, range(port, port + 6, 2)))
as_seen = True
for mode, packets, found in zip(MODES, streams, taken_out):
    pictures = list(pictures_of(packets))
    keys = sum(packet.begins_key_frame for packet in packets)
    names = any(packet.names_pictures for packet in packets)
    (small, small_size), (large, large_size) = decoded("vp9", pictures), decoded("libvpx-vp9", pictures)
    seen, _ = decoded("vp9", found)
    print(f"scalabilityMode {mode}: {len(pictures)} pictures, {keys} of them key frames")
    print(f"  taken out as RFC 9628 says: vp9 decodes {small} ({small_size}), libvpx-vp9 {large} ({large_size})")
    print(f"  taken out by FFmpeg: {len(found)} pictures, of which {seen} are decoded")
    has_small = mode == "L2T1"
    as_seen &= names and small == large == len(pictures) > 40 and keys > 2
    as_seen &= small_size == ("320x180" if has_small else "640x360") and large_size == "640x360"
    as_seen &= seen == (0 if has_small else keys)
if not as_seen:
    sys.exit("FFmpeg or Chromium behaves otherwise than described above")
PY
timeout --kill-after=5 60 node receive.mjs
timeout 60 v/bin/python read.py
