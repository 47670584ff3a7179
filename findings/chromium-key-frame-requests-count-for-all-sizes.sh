#!/usr/bin/env bash
# Chromium 156 (Debian 12) publishes three sizes of a picture (simulcast), and is asked for key frames by RTCP (PLI), which
# names the SSRC of one of them.
#
# A good guess: a request brings a key frame of that size, and one that comes soon after another is answered at
# once or a little later, since a viewer who joined in between needs it. A PLI is for one media source (RFC 4585).
#
# Seen instead: whichever size is named, all of them send a key frame at once, also with H264, where each size has an
# encoder of its own. And what comes within 300 ms after a request that was answered is passed over for good, even if it
# names another size.
# So one viewer who joins makes all sizes send a key frame; and a server takes a request for one as one for all, and
# asks again, later than 300 ms, for those whom the key frame did not reach.
#
# Takes a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The receiver is
# libdatachannel (node-datachannel 0.33.4); it sends requests, and Chromium's statistics tell what came of them.
# Output as seen (key frames of f, h and q):
#   Chrome/156.0.8078.108
#   video/VP8, asked for f: 1, 1, 1 key frames
#   video/VP8, asked for h: 1, 1, 1 key frames
#   video/VP8, asked for q: 1, 1, 1 key frames
#   video/VP8, asked for f and, 100 ms later, f: 1, 1, 1 key frames
#   video/VP8, asked for f and, 100 ms later, q: 1, 1, 1 key frames
#   video/VP8, asked for f and, 600 ms later, q: 2, 2, 2 key frames
#   and the same for video/H264
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

/** Offers a picture that changes all the time, in three sizes. */
async function offer(mimeType) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 960, height: 540 });
  const context = canvas.getContext('2d');
  let hue = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  window.connection = new RTCPeerConnection();
  const sizes = { f: 1, h: 2, q: 4 };
  const sendEncodings = Object.entries(sizes).map(([rid, scaleResolutionDownBy]) => (
    { rid, scaleResolutionDownBy, maxBitrate: 400_000 / scaleResolutionDownBy, scalabilityMode: 'L1T1' }));
  const [track] = canvas.captureStream(20).getVideoTracks();
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly', sendEncodings });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter((codec) => [mimeType, 'video/rtx'].includes(codec.mimeType)));
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
  return connection.localDescription.sdp;
}

/** Of each size its SSRC, and the frames and key frames that it has encoded. */
async function sizes() {
  const those = [...(await connection.getStats()).values()].filter(({ type }) => type === 'outbound-rtp');
  return Object.fromEntries(those.map(({ rid, ssrc, framesEncoded, keyFramesEncoded }) => (
    [rid, { ssrc, frames: framesEncoded, keys: keyFramesEncoded }])));
}

/** An answer that takes all of the offer: its lines, with what the receiver says of itself. */
async function answer(receiver, sdp) {
  const gathered = new Promise((resolve) => {
    receiver.onGatheringStateChange((state) => state === 'complete' && resolve());
  });
  receiver.setRemoteDescription(sdp, 'offer');
  await gathered;
  const own = receiver.localDescription().sdp.match(/a=(ice-ufrag|ice-pwd|fingerprint|candidate):.*/g);
  const theirs = /^(a=(ice-|fingerprint|setup|candidate|ssrc|msid|sendonly|rid|simulcast)|o=)|transport-(wide-)?cc/;
  const lines = sdp.split('\r\n').filter((line) => line && !theirs.test(line));
  lines.splice(1, 0, 'o=- 1 1 IN IP4 127.0.0.1');
  const rids = ['f', 'h', 'q'].map((rid) => `a=rid:${rid} recv`);
  return [...lines, 'a=recvonly', 'a=setup:active', ...own, ...rids, 'a=simulcast:recv f;h;q', ''].join('\r\n');
}

/** Feedback of this kind (RFC 4585 section 6.1) on a stream, with what belongs to it. */
function feedback(format, ssrc, ...words) {
  const packet = Buffer.alloc(12 + 4 * words.length);
  packet.set([0x80 | format, 206, 0, 2 + words.length]);
  packet.writeUInt32BE(1, 4);
  packet.writeUInt32BE(ssrc, 8);
  words.forEach((word, index) => packet.writeUInt32BE(word, 12 + 4 * index));
  return packet;
}

async function ask(browser, mimeType) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer, mimeType);
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [] });
  const tracks = [];
  receiver.onTrack((track) => {
    tracks.push(track);
    track.onMessage(() => {});
  });
  const taken = await answer(receiver, sdp);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  let now = {};
  /** Waits, and says twice a second that there is room for 8 Mbit/s (REMB), so that all sizes are sent. */
  async function wait(milliseconds) {
    for (let rest = milliseconds; rest > 0; rest -= 500) {
      if (now.f) tracks[0].sendMessageBinary(feedback(15, 0, 0x52454d42, (1 << 24) | (6 << 18) | 125_000, now.f.ssrc));
      await new Promise((resolve) => setTimeout(resolve, Math.min(rest, 500)));
    }
    now = await page.evaluate(sizes);
  }
  await wait(500);
  for (let tries = 0; tries < 40; tries++) {
    const before = now;
    await wait(500);
    if (['f', 'h', 'q'].every((rid) => now[rid]?.frames > (before[rid]?.frames ?? 0) && before[rid]?.frames > 0)) break;
  }
  let asSeen = true;
  const cases = [[['f']], [['h']], [['q']], [['f', 'f'], 100], [['f', 'q'], 100], [['f', 'q'], 600]];
  for (const [named, apart] of cases) {
    await wait(700);
    const before = now;
    for (const [index, rid] of named.entries()) {
      if (index) await new Promise((resolve) => setTimeout(resolve, apart));
      tracks[0].sendMessageBinary(feedback(1, before[rid].ssrc));
    }
    await wait(1_000);
    const came = ['f', 'h', 'q'].map((rid) => now[rid].keys - before[rid].keys);
    console.log(`${mimeType}, asked for ${named.join(` and, ${apart} ms later, `)}: ${came.join(', ')} key frames`);
    asSeen &&= came.every((count) => count === (apart > 300 ? 2 : 1));
  }
  receiver.close();
  await page.close();
  return asSeen;
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  for (const mimeType of ['video/VP8', 'video/H264']) asSeen = await ask(browser, mimeType) && asSeen;
} finally {
  await browser.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 115 node run.mjs
