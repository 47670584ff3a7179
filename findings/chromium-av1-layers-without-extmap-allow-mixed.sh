#!/usr/bin/env bash
# Chromium 156 (Debian 12) sends AV1 in layers, and the answer takes the dependency descriptor, the header extension that
# describes them, but lacks the line a=extmap-allow-mixed (RFC 8285 section 6), which Chromium offered.
#
# A good guess: the line concerns the form of header extensions alone. The descriptor fits into the one-byte form except
# at key frames, where it brings the structure of the layers; so at most those packets differ.
#
# Seen instead: where the structure takes more than 16 bytes, as with three layers of either kind, no packet at all has a
# descriptor, though both sides have agreed to it. Two temporal layers take 15 bytes, and all packets have it.
# A server that forwards by descriptor then knows no layers, and Chromium as the receiver decodes nothing of L3T3 (of L1T3
# it decodes all; this was seen by hand, and is not part of the script).
# So an answer repeats a=extmap-allow-mixed from the offer, and an offer to those who publish has it.
#
# Takes half a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The receiver is
# libdatachannel (node-datachannel 0.33.4); it counts packets.
# Output as seen (numbers vary):
#   Chrome/156.0.8078.108
#   L1T2, mixed: 78 packets of pictures, 78 with a descriptor; longest 15 bytes
#   L1T2, not mixed: 81 packets of pictures, 81 with a descriptor; longest 15 bytes
#   L1T3, mixed: 92 packets of pictures, 92 with a descriptor; longest 20 bytes
#   L1T3, not mixed: 96 packets of pictures, 0 with a descriptor; longest 0 bytes
#   L3T3, mixed: 156 packets of pictures, 156 with a descriptor; longest 52 bytes
#   L3T3, not mixed: 148 packets of pictures, 0 with a descriptor; longest 0 bytes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

/** Offers a picture that changes all the time, in AV1, in these layers. */
async function offer(scalabilityMode) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d');
  let hue = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  window.connection = new RTCPeerConnection();
  const [track] = canvas.captureStream(20).getVideoTracks();
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly', sendEncodings: [{ scalabilityMode }] });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === 'video/AV1'));
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
  return connection.localDescription.sdp;
}

/** An answer that takes all of the offer: its lines, with what the receiver says of itself. */
async function answer(receiver, sdp, isMixed) {
  const gathered = new Promise((resolve) => {
    receiver.onGatheringStateChange((state) => state === 'complete' && resolve());
  });
  receiver.setRemoteDescription(sdp, 'offer');
  await gathered;
  const own = receiver.localDescription().sdp.match(/a=(ice-ufrag|ice-pwd|fingerprint|candidate):.*/g);
  const theirs = /^(a=(ice-|fingerprint|setup|candidate|ssrc|msid|sendonly|extmap-allow-mixed)|o=)/;
  const lines = sdp.split('\r\n').filter((line) => line && !theirs.test(line));
  lines.splice(1, 0, 'o=- 1 1 IN IP4 127.0.0.1');
  if (isMixed) lines.splice(lines.findIndex((line) => line.startsWith('m=')), 0, 'a=extmap-allow-mixed');
  return [...lines, 'a=recvonly', 'a=setup:active', ...own, ''].join('\r\n');
}

/** The length of the extension with this id in an RTP packet; undefined if there is none. */
function extension(packet, id) {
  if (!(packet[0] & 0x10)) return undefined;
  let at = 12 + 4 * (packet[0] & 0x0f);
  const isShort = packet.readUInt16BE(at) === 0xbede;
  const end = at + 4 + 4 * packet.readUInt16BE(at + 2);
  for (at += 4; at < end;) {
    if (packet[at] === 0) at += 1;
    else if (isShort) {
      const length = (packet[at] & 0x0f) + 1;
      if (packet[at] >> 4 === id) return length;
      at += 1 + length;
    } else {
      if (packet[at] === id) return packet[at + 1];
      at += 2 + packet[at + 1];
    }
  }
  return undefined;
}

async function count(browser, mode, isMixed) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer, mode);
  const id = Number(sdp.match(/a=extmap:(\d+) .*dependency-descriptor/)[1]);
  const payloadType = Number(sdp.match(/a=rtpmap:(\d+) AV1/)[1]);
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [] });
  const tracks = [];
  const lengths = [];
  receiver.onTrack((track) => {
    tracks.push(track);
    track.onMessage((packet) => {
      // Those that carry padding alone are probes.
      const isPadding = packet[0] & 0x20;
      if ((packet[1] & 0x7f) === payloadType && !isPadding) lengths.push(extension(packet, id));
    });
  });
  const taken = await answer(receiver, sdp, isMixed);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  receiver.close();
  await page.close();
  const those = lengths.filter((length) => length !== undefined);
  console.log(`${mode}, ${isMixed ? 'mixed' : 'not mixed'}: ${lengths.length} packets of pictures, `
    + `${those.length} with a descriptor; longest ${Math.max(0, ...those)} bytes`);
  return lengths.length > 5 && those.length === (isMixed || mode === 'L1T2' ? lengths.length : 0);
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  for (const mode of ['L1T2', 'L1T3', 'L3T3']) {
    for (const isMixed of [true, false]) asSeen = await count(browser, mode, isMixed) && asSeen;
  }
} finally {
  await browser.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node run.mjs
