#!/usr/bin/env bash
# Chromium 156 and Firefox 153 (both Debian 12) send VP8 in two sizes (simulcast), and the answer limits them, in one of
# four ways that RFCs have for it.
#
# A good guess: a sender keeps to what the answer says: size and rate of one encoding by its RID (RFC 8851: max-width,
# max-height, max-br), the pixels of all by VP8's own parameter (RFC 7741: max-fs, in blocks of 16 by 16), and the rate
# of the section, all encodings together, by b=TIAS, or by b=AS if there is no TIAS (RFC 8829).
#
# Seen instead: each browser keeps to some, and no way means the same in both.
#   - By RID: neither does. Each encoding goes on in full, though the line is accepted.
#   - max-fs: Firefox makes the larger picture smaller; Chromium goes on in full.
#   - b=TIAS: for Chromium it bounds the sum; Firefox gives as much to each encoding, so twice as much here.
#   - b=AS: Chromium takes it as TIAS; Firefox passes it over.
# So an answer alone limits no sender for certain: a server counts what comes, and one that writes b=TIAS divides it by
# the number of encodings where the offer is Firefox's.
#
# Takes a minute and a half. Needs Node, npm, Firefox as /usr/bin/firefox-esr and Chromium as /usr/bin/chromium (or
# their paths in FIREFOX and CHROMIUM). Both ends are in one page; the answer's limit is written by the script.
# Output as seen (rates vary; those of f and q in kbit/s):
#   Chrome/156.0.8078.108
#     none: f is 640 wide; 681 and 147
#     by RID: f is 640 wide; 685 and 148
#     max-fs=240: f is 640 wide; 644 and 145
#     b=TIAS:400000: f is 640 wide; 137 and 105
#     b=AS:400: f is 640 wide; 140 and 94
#   firefox/153.8.0
#     none: f is 640 wide; 1682 and 149
#     by RID: f is 640 wide; 1700 and 182
#     max-fs=240: f is 328 wide; 155 and 479
#     b=TIAS:400000: f is 640 wide; 410 and 380
#     b=AS:400: f is 640 wide; 1662 and 167
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 > /dev/null
cat > run.mjs <<'JS'
import puppeteer from 'puppeteer-core';

const LIMITS = {
  none: {},
  'by RID': { rid: ' max-width=320;max-height=180;max-br=60000' },
  'max-fs=240': { parameters: 'max-fs=240' },
  'b=TIAS:400000': { bandwidth: 'TIAS:400000' },
  'b=AS:400': { bandwidth: 'AS:400' },
};

/** Size and kbit/s of both encodings of a picture that is hard to encode, once they have settled. */
async function send({ rid = '', parameters, bandwidth }) {
  const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d');
  const drawing = setInterval(() => {
    for (let count = 0; count < 4; count++) {
      context.fillStyle = `hsl(${360 * Math.random()} 50% 50%)`;
      context.fillRect(640 * Math.random(), 360 * Math.random(), 40, 40);
    }
  }, 33);
  const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
  near.onicecandidate = ({ candidate }) => candidate && far.addIceCandidate(candidate);
  far.onicecandidate = ({ candidate }) => candidate && near.addIceCandidate(candidate);
  const sendEncodings = [{ rid: 'f' }, { rid: 'q', scaleResolutionDownBy: 2 }];
  const [track] = canvas.captureStream(30).getVideoTracks();
  const transceiver = near.addTransceiver(track, { direction: 'sendonly', sendEncodings });
  const { codecs } = RTCRtpReceiver.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === 'video/VP8'));
  await near.setLocalDescription();
  const offer = near.localDescription.sdp;
  // No browser answers simulcast by itself: the far side sees one stream, and the near side an answer that takes both.
  await far.setRemoteDescription({ type: 'offer', sdp: offer.replace(/a=(rid|simulcast|ssrc)[^\r]*\r\n/g, '') });
  await far.setLocalDescription();
  let { sdp } = far.localDescription;
  const [, type] = sdp.match(/a=rtpmap:(\d+) VP8/);
  if (parameters) sdp = sdp.replace(new RegExp(`a=fmtp:${type} .*\r\n`), '') + `a=fmtp:${type} ${parameters}\r\n`;
  if (bandwidth) sdp = sdp.replace(/m=video.*\r\nc=.*\r\n/, `$&b=${bandwidth}\r\n`);
  sdp += `a=rid:f recv${rid}\r\na=rid:q recv\r\na=simulcast:recv f;q\r\n`;
  await near.setRemoteDescription({ type: 'answer', sdp });
  const streams = async () => {
    const all = [...(await near.getStats()).values()].filter(({ type, rid }) => type === 'outbound-rtp' && rid);
    return Object.fromEntries(all.map((one) => [one.rid, one]));
  };
  await sleep(4_000);
  const before = await streams();
  await sleep(4_000);
  const after = await streams();
  clearInterval(drawing);
  near.close();
  far.close();
  const rate = (one) => Math.round((8 * (after[one].bytesSent - before[one].bytesSent)) / 4_000);
  return { width: after.f.frameWidth, f: rate('f'), q: rate('q') };
}

/** All limits in a browser, which is to heed these. */
async function watch(browser, heeds) {
  console.log(await browser.version());
  let asSeen = true;
  for (const [name, limit] of Object.entries(LIMITS)) {
    const page = await browser.newPage();
    const { width, f, q } = await page.evaluate(send, limit);
    await page.close();
    console.log(`  ${name}: f is ${width} wide; ${f} and ${q}`);
    asSeen &&= heeds[name] ? heeds[name]({ width, f, q }) : width === 640 && f > 500;
  }
  return asSeen;
}

const isSum = ({ f, q }) => f + q < 500;
const isEach = ({ f, q }) => f < 550 && q < 550 && f + q > 500;
const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browsers = [
  [{ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args },
    { 'b=TIAS:400000': isSum, 'b=AS:400': isSum }],
  [{ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    extraPrefsFirefox: { 'media.peerconnection.ice.obfuscate_host_addresses': false } },
    { 'max-fs=240': ({ width }) => width < 400, 'b=TIAS:400000': isEach }],
];
let asSeen = true;
for (const [options, heeds] of browsers) {
  const browser = await puppeteer.launch(options);
  try {
    asSeen = await watch(browser, heeds) && asSeen;
  } finally {
    await browser.close();
  }
}
if (!asSeen) throw new Error('the browsers behave otherwise than described above');
JS
timeout 150 node run.mjs
