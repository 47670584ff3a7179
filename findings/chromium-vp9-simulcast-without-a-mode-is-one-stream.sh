#!/usr/bin/env bash
# Chromium 156 (Debian 12): sendEncodings with three RIDs in three sizes, and no scalabilityMode, which is optional.
#
# A good guess: three streams come, each of one size, with whatever codec is negotiated: the answer has accepted three
# RIDs.
#
# Seen instead: so it is with VP8 and H.264. With VP9 one stream comes, under the first RID, in which all three sizes
# are spatial layers (L3T3_KEY): the other RIDs never send a packet. With AV1 one stream of one size comes (L1T1), the
# first: the smaller ones are gone. If each encoding names a mode, if only L1T1, three streams come with VP9 and AV1 as
# well.
# So a page that may get VP9 or AV1 writes scalabilityMode: 'L1T1' into every encoding, and a server reads spatial
# layers within an encoding also where RIDs were agreed, and waits for none of them.
#
# Takes a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). Both ends are in one
# page.
# Output as seen:
#   Chrome/156.0.8078.108
#   VP8, no mode: f 1280 wide L1T3, h 640 wide L1T3, q 320 wide L1T3
#   H264, no mode: f 1280 wide L1T1, h 640 wide L1T1, q 320 wide L1T1
#   VP9, no mode: f 1280 wide L3T3_KEY
#   VP9, L1T1: f 1280 wide L1T1, h 640 wide L1T1, q 320 wide L1T1
#   AV1, no mode: f 1280 wide L1T1
#   AV1, L1T1: f 1280 wide L1T1, h 640 wide L1T1, q 320 wide L1T1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 > /dev/null
cat > run.mjs <<'JS'
import puppeteer from 'puppeteer-core';

/** Streams that are sent with this codec: encoding, width and layers of each. */
async function streams(codec, scalabilityMode) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
  const context = canvas.getContext('2d');
  let hue = 0;
  const drawing = setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
  from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
  to.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
  const rids = ['f', 'h', 'q'];
  const sendEncodings = rids.map((rid, at) => (
    { rid, scaleResolutionDownBy: 2 ** at, ...(scalabilityMode && { scalabilityMode }) }));
  const [track] = canvas.captureStream(20).getVideoTracks();
  const transceiver = from.addTransceiver(track, { direction: 'sendonly', sendEncodings });
  const wanted = [`video/${codec}`, 'video/rtx'];
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => wanted.includes(mimeType)));
  await from.setLocalDescription();
  // The receiver is a page, which takes no simulcast: it sees an offer without, and its answer is given the lines.
  const plain = from.localDescription.sdp.split('\r\n').filter((line) => !/^a=(rid|simulcast|ssrc)/.test(line));
  await to.setRemoteDescription({ type: 'offer', sdp: plain.join('\r\n') });
  await to.setLocalDescription();
  const lines = [...rids.map((rid) => `a=rid:${rid} recv`), `a=simulcast:recv ${rids.join(';')}`, ''].join('\r\n');
  await from.setRemoteDescription({ type: 'answer', sdp: to.localDescription.sdp + lines });
  let sent = [];
  let stands = 0;
  // Until nothing new has come for four seconds.
  for (let tries = 0; tries < 40 && stands < 8; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const all = [...(await from.getStats()).values()];
    const those = all.filter(({ type, framesSent }) => type === 'outbound-rtp' && framesSent > 0);
    const now = those.map((one) => `${one.rid} ${one.frameWidth} wide ${one.scalabilityMode}`).sort();
    stands = now.length && now.join() === sent.join() ? stands + 1 : 0;
    sent = now;
  }
  clearInterval(drawing);
  from.close();
  to.close();
  return sent.join(', ');
}

const three = (mode) => `f 1280 wide ${mode}, h 640 wide ${mode}, q 320 wide ${mode}`;
const cases = [['VP8', undefined, three('L1T3')], ['H264', undefined, three('L1T1')],
  ['VP9', undefined, 'f 1280 wide L3T3_KEY'], ['VP9', 'L1T1', three('L1T1')],
  ['AV1', undefined, 'f 1280 wide L1T1'], ['AV1', 'L1T1', three('L1T1')]];
const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  const page = await browser.newPage();
  for (const [codec, mode, expected] of cases) {
    const came = await page.evaluate(streams, codec, mode);
    console.log(`${codec}, ${mode ?? 'no mode'}: ${came}`);
    asSeen &&= came === expected;
  }
} finally {
  await browser.close();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node run.mjs
