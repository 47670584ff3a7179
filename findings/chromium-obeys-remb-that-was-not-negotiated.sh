#!/usr/bin/env bash
# Chromium 156 (Debian 12) sends pictures, and the answer has taken neither goog-remb nor transport-cc: no feedback
# about bandwidth was agreed on. The receiver sends REMB all the same, once.
#
# A good guess: what was not negotiated is passed over (RFC 4585 section 4.2: only what the answer has is used). If it
# does count, then as other feedback does: for a while, after which the sender finds out again by itself.
#
# Seen instead: it counts, both ways, at once, and for as long as the call lasts. A single REMB of 2 Mbit/s takes the
# encoder from 250 kbit/s to some 1.7 Mbit/s in one step; without one it stays where it began. A single one of 100
# kbit/s holds it below that from then on; nothing is ever tried above it, though nobody repeats it.
# So who sends a cap by REMB has to take it back itself, by a higher one, when the reason has gone (and again if that
# one may have been lost); and a receiver that forwards others' REMB limits senders that never agreed to it.
#
# Takes a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The receiver is
# libdatachannel (node-datachannel 0.33.4), which sends nothing about bandwidth by itself.
# Output as seen (the encoder's targetBitrate in kbit/s, each 2 s; it varies by some percent):
#   Chrome/156.0.8078.108
#   offered: goog-remb, transport-cc; answered: ccm fir, nack, nack pli
#   no REMB: 250 250 249 249 249
#   one REMB of 2000: 1417 1700 1700 1457 1249
#   one REMB of 100: 79 79 79 83 83 83 83 83 83 83
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

/** Offers a picture that needs more than there is. */
async function offer() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 960, height: 540 });
  const context = canvas.getContext('2d');
  const any = (below) => Math.random() * below;
  setInterval(() => {
    for (let spots = 0; spots < 200; spots++) {
      context.fillStyle = `hsl(${any(360)} 50% 50%)`;
      context.fillRect(any(canvas.width), any(canvas.height), 40, 40);
    }
  }, 100);
  window.connection = new RTCPeerConnection();
  const [track] = canvas.captureStream(10).getVideoTracks();
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly' });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === 'video/VP8'));
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
  return connection.localDescription.sdp;
}

/** The bitrate that the encoder is told to keep to, in kbit/s, and the SSRC of its stream. */
async function look() {
  const all = [...(await connection.getStats()).values()];
  const stream = all.find(({ type }) => type === 'outbound-rtp');
  const { targetBitrate = 0, bytesSent = 0, ssrc } = stream ?? {};
  return { kbps: Math.round(targetBitrate / 1_000), ssrc, bytes: bytesSent };
}

/** An answer that takes all of the offer but feedback about bandwidth. */
async function answer(receiver, sdp) {
  const gathered = new Promise((resolve) => {
    receiver.onGatheringStateChange((state) => state === 'complete' && resolve());
  });
  receiver.setRemoteDescription(sdp, 'offer');
  await gathered;
  const own = receiver.localDescription().sdp.match(/a=(ice-ufrag|ice-pwd|fingerprint|candidate):.*/g);
  const theirs = /^(a=(ice-|fingerprint|setup|candidate|ssrc|msid|sendonly)|o=)/;
  const ofBandwidth = /transport-(wide-)?cc|goog-remb|abs-send-time|ccfb/;
  const isTaken = (line) => line && !theirs.test(line) && !ofBandwidth.test(line);
  const lines = sdp.split('\r\n').filter(isTaken);
  lines.splice(1, 0, 'o=- 1 1 IN IP4 127.0.0.1');
  return [...lines, 'a=recvonly', 'a=setup:active', ...own, ''].join('\r\n');
}

/** REMB of that many kbit/s for a stream. */
function remb(kbps, ssrc) {
  const packet = Buffer.alloc(24);
  packet.set([0x8f, 206, 0, 5]);
  packet.writeUInt32BE(1, 4);
  packet.write('REMB', 12);
  packet.writeUInt32BE((1 << 24) | (4 << 18) | (kbps * 1_000 / 16), 16);
  packet.writeUInt32BE(ssrc, 20);
  return packet;
}

const feedback = (sdp) => [...new Set([...sdp.matchAll(/a=rtcp-fb:\d+ (.*)/g)].map(([, one]) => one.trim()))];

/** Targets of each two seconds after one REMB, or after none. */
async function watch(browser, kbps, seconds) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer);
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [] });
  const tracks = [];
  receiver.onTrack((track) => {
    tracks.push(track);
    track.onMessage(() => {});
  });
  const taken = await answer(receiver, sdp);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  let now = await page.evaluate(look);
  for (let tries = 0; tries < 40 && now.bytes < 10_000; tries++) {
    await sleep(250);
    now = await page.evaluate(look);
  }
  if (kbps) tracks[0].sendMessageBinary(remb(kbps, now.ssrc));
  const targets = [];
  for (let at = 0; at < seconds; at += 2) {
    await sleep(2_000);
    targets.push((await page.evaluate(look)).kbps);
  }
  receiver.close();
  await page.close();
  return { targets, offered: feedback(sdp), answered: feedback(taken) };
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen;
try {
  console.log(await browser.version());
  const none = await watch(browser, undefined, 10);
  const left = none.offered.filter((one) => !none.answered.includes(one) && !one.includes('ccfb'));
  console.log(`offered: ${left.join(', ')}; answered: ${none.answered.join(', ')}`);
  console.log(`no REMB: ${none.targets.join(' ')}`);
  const up = await watch(browser, 2_000, 10);
  console.log(`one REMB of 2000: ${up.targets.join(' ')}`);
  const down = await watch(browser, 100, 20);
  console.log(`one REMB of 100: ${down.targets.join(' ')}`);
  asSeen = none.answered.length > 0 && none.targets.every((kbps) => kbps <= 300)
    && up.targets.slice(1).every((kbps) => kbps > 600) && down.targets.every((kbps) => kbps > 0 && kbps <= 100);
} finally {
  await browser.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node run.mjs
