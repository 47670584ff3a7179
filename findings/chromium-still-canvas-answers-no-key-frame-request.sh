#!/usr/bin/env bash
# Chromium 156 (Debian 12) sends the picture of a canvas (`canvas.captureStream()`), on which nothing is drawn for the
# moment: a whiteboard, slides, a document. Somebody who has just joined asks for a key frame (PLI).
#
# A good guess: the sender keeps its newest picture and encodes it again as a key frame (RFC 4585 section 6.3.1), so that
# who joins sees it within a round trip; Firefox does so. Or captureStream(30), at the latest, gives 30 pictures a second,
# whether something is drawn or not.
#
# Seen instead: Chromium counts the requests (pliCount) and sends nothing, until something is drawn, be it what is there
# already; that picture is a key frame then. Who joins sees nothing until then, and asking more often is of no use. A rate
# in captureStream changes nothing, nor does (by hand) the track's requestFrame(), or setParameters with `keyFrame: true`;
# the track of a MediaStreamTrackGenerator that is given nothing behaves alike.
# So a page that shares a canvas draws on it once a second, always; and a server that asks in vain for a key frame may
# have a sound sender before it.
#
# Takes a minute. Needs Node, npm, Chromium as /usr/bin/chromium and Firefox as /usr/bin/firefox-esr (or their paths in
# CHROMIUM and FIREFOX), and an address that is not loopback. The receiver is libdatachannel (node-datachannel 0.33.4).
# Output as seen (key frames + other pictures; Firefox's numbers vary):
#   Chrome/156.0.8078.114, firefox/153.8.0
#   firefox, captureStream(): 8 requests, meanwhile 8 + 1; drawn: 0 + 2, then 0 + 2
#   chromium, captureStream(): 8 requests, meanwhile 0 + 0; drawn: 1 + 0, then 0 + 1
#   chromium, captureStream(30): 8 requests, meanwhile 0 + 0; drawn: 1 + 0, then 0 + 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import { networkInterfaces } from 'node:os';
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

const ADDRESS = Object.values(networkInterfaces()).flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal).address;
const REQUESTS = 8;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Offers the picture of a canvas that moves until `moving` is cleared; `draw` draws once more what is there already. */
async function offer(...rate) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
  const context = canvas.getContext('2d');
  let hue = 0;
  window.draw = () => {
    context.fillStyle = `hsl(${hue} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  window.moving = setInterval(() => {
    hue += 7;
    draw();
  }, 50);
  const [track] = canvas.captureStream(...rate).getVideoTracks();
  window.connection = new RTCPeerConnection();
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly' });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === 'video/VP8'));
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
  const theirs = /^(a=(ice-|fingerprint|setup|candidate|ssrc|msid|sendonly)|o=)/;
  const lines = sdp.split('\r\n').filter((line) => line && !theirs.test(line));
  lines.splice(1, 0, 'o=- 1 1 IN IP4 127.0.0.1');
  return [...lines, 'a=recvonly', 'a=setup:active', ...own, ''].join('\r\n');
}

/** What begins in a packet of VP8: a key frame, another picture, or none. */
function begins(packet) {
  const extensions = packet[0] & 0x10 ? 4 + 4 * packet.readUInt16BE(14) : 0;
  const padding = packet[0] & 0x20 ? packet.at(-1) : 0;
  const payload = packet.subarray(12 + extensions, packet.length - padding);
  if (payload.length < 2 || !(payload[0] & 0x10) || payload[0] & 0x07) return undefined;
  let at = 1;
  if (payload[0] & 0x80) {
    const fields = payload[at++];
    if (fields & 0x80) at += payload[at] & 0x80 ? 2 : 1;
    if (fields & 0x40) at++;
    if (fields & 0x30) at++;
  }
  return payload[at] & 1 ? 'other' : 'key';
}

/** Stops the canvas, asks for key frames, and draws twice; what came meanwhile. */
async function call(browser, ...rate) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer, ...rate);
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [], bindAddress: ADDRESS });
  const payloadType = Number(sdp.match(/a=rtpmap:(\d+) VP8/)[1]);
  let came = { key: 0, other: 0 };
  let track, ssrc;
  receiver.onTrack((one) => {
    track = one;
    track.onMessage((packet) => {
      if ((packet[1] & 0x7f) !== payloadType) return;
      ssrc = packet.readUInt32BE(8);
      const kind = begins(packet);
      if (kind) came[kind]++;
    });
  });
  const taken = await answer(receiver, sdp);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  for (let tries = 0; tries < 50 && came.other < 20; tries++) await sleep(200);
  const moving = came;
  await page.evaluate(() => clearInterval(window.moving));
  await sleep(2_000);

  const pli = Buffer.from([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
  pli.writeUInt32BE(ssrc, 8);
  came = { key: 0, other: 0 };
  for (let times = 0; times < REQUESTS; times++) {
    track.sendMessageBinary(pli);
    await sleep(1_000);
  }
  const still = came;
  const { pliCount } = await page.evaluate(async () => [...(await connection.getStats()).values()]
    .find(({ type }) => type === 'outbound-rtp'));
  const drawn = [];
  for (let times = 0; times < 2; times++) {
    came = { key: 0, other: 0 };
    await page.evaluate(() => draw());
    await sleep(1_500);
    drawn.push(came);
  }
  receiver.close();
  await page.close();
  return { moving, pliCount, still, drawn };
}

const shown = ({ key, other }) => `${key} + ${other}`;

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection', '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows'];
const chromium = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
let firefox;
try {
  firefox = await puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    extraPrefsFirefox: { 'media.peerconnection.ice.obfuscate_host_addresses': false } });
  console.log(`${await chromium.version()}, ${await firefox.version()}`);
  const cases = [['firefox, captureStream()', firefox], ['chromium, captureStream()', chromium],
    ['chromium, captureStream(30)', chromium, 30]];
  const calls = await Promise.all(cases.map(([, browser, ...rate]) => call(browser, ...rate)));
  for (const [at, { moving, pliCount, still, drawn }] of calls.entries()) {
    const [name, browser] = cases[at];
    console.log(`${name}: ${pliCount} requests, meanwhile ${shown(still)}; drawn: ${drawn.map(shown).join(', then ')}`);
    asSeen &&= moving.other >= 20 && pliCount >= REQUESTS && drawn[1].other > 0;
    if (browser === firefox) asSeen &&= still.key >= REQUESTS / 2;
    else asSeen &&= still.key + still.other === 0 && drawn[0].key === 1 && drawn[1].key === 0;
  }
} finally {
  await chromium.close();
  await firefox?.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('the browsers behave otherwise than described above');
process.exit(0);
JS
timeout --kill-after=5 110 node run.mjs
