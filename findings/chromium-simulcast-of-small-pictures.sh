#!/usr/bin/env bash
# Chromium 156 (Debian 12), simulcast of a picture of modest size, its encodings listed from the smallest on.
#
# A good guess: sendEncodings with three RIDs and scaleResolutionDownBy 4, 2, 1 (the order of most examples) send three
# sizes of whatever the camera gives; or, if a picture is not worth so many, the smallest ones are left out.
#
# Seen instead: by the area of the picture only the first encodings of the list are sent, one of 320 by 180, two of
# 480 by 270, 640 by 360 and 800 by 600, three from 960 by 540 on; of the others nothing comes. With the smallest
# first a camera of 640 by 360 arrives as 320 by 180 at best, and one of 320 by 180 as 80 by 45. With the largest first
# the full size is always sent.
# So a page lists the largest first, and a server ranks layers by what they are, not by where they stand.
#
# Takes a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). Both ends are in one page.
# Output as seen:
#   Chrome/156.0.8078.108
#   320x180: q 80x45, h nothing, f nothing; largest first: f 320x180, h nothing, q nothing
#   640x360: q 160x90, h 320x180, f nothing; largest first: f 640x360, h 320x180, q nothing
#   1280x720: q 320x180, h 640x360, f 1280x720; largest first: f 1280x720, h 640x360, q 320x180
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 > /dev/null)
cat > "$folder/run.mjs" <<'JS'
import puppeteer from 'puppeteer-core';

const BY = { q: 4, h: 2, f: 1 };
const SEEN = { '320x180': 1, '640x360': 2, '1280x720': 3 };

/** The size in which each encoding is sent, by RID, in this order; of a canvas that changes 25 times a second. */
async function send(width, height, order, by) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  let hue = 0;
  const drawing = setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, width, height);
  }, 40);
  const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
  near.onicecandidate = ({ candidate }) => candidate && far.addIceCandidate(candidate);
  far.onicecandidate = ({ candidate }) => candidate && near.addIceCandidate(candidate);
  const sendEncodings = order.map((rid) => ({ rid, scaleResolutionDownBy: by[rid] }));
  near.addTransceiver(canvas.captureStream(25).getVideoTracks()[0], { direction: 'sendonly', sendEncodings });
  await near.setLocalDescription();
  // No browser answers simulcast by itself: the far side sees one stream, and the near side an answer that takes all.
  const sdp = near.localDescription.sdp.replace(/a=(rid|simulcast):.*\r\n/g, '');
  await far.setRemoteDescription({ type: 'offer', sdp });
  await far.setLocalDescription();
  const rids = order.map((rid) => `a=rid:${rid} recv\r\n`).join('');
  const taken = `${far.localDescription.sdp}${rids}a=simulcast:recv ${order.join(';')}\r\n`;
  await near.setRemoteDescription({ type: 'answer', sdp: taken });
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const stats = [...(await near.getStats()).values()].filter(({ type }) => type === 'outbound-rtp');
  const sizes = stats.map((one) => [one.rid, one.framesEncoded ? `${one.frameWidth}x${one.frameHeight}` : 'nothing']);
  clearInterval(drawing);
  near.close();
  far.close();
  return Object.fromEntries(sizes);
}

const args = ['--no-sandbox', '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  const page = await browser.newPage();
  for (const [size, count] of Object.entries(SEEN)) {
    const said = [];
    for (const order of [['q', 'h', 'f'], ['f', 'h', 'q']]) {
      const sizes = await page.evaluate(send, ...size.split('x').map(Number), order, BY);
      said.push(order.map((rid) => `${rid} ${sizes[rid]}`).join(', '));
      asSeen &&= order.every((rid, place) => (sizes[rid] === 'nothing') === (place >= count));
    }
    console.log(`${size}: ${said.join('; largest first: ')}`);
  }
} finally {
  await browser.close();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 120 node "$folder/run.mjs"
