#!/usr/bin/env bash
# Chromium 156 (Debian 12): a page makes an encoding of its simulcast inactive before the answer comes, in sendEncodings
# or by setParameters, because it is not to be sent yet (a small window, a poor network, nobody who watches it).
#
# A good guess: active is the page's own setting, so it stays until the page changes it, whatever the other side
# answers.
#
# Seen instead: the offer calls such an encoding paused (a=simulcast:send f;~h;q, RFC 8853), and the answer's list
# decides: if it names the encoding without ~, active becomes true and pictures are sent; other parameters, such as
# maxBitrate, stay. This comes again with each later negotiation. Without simulcast, with one encoding, active stays as
# it was.
# So a server that answers with the plain RIDs turns on what the page has turned off. Its answer has to repeat the ~;
# what is paused that way is sent as soon as the page makes it active, with no negotiation. A page repairs it after the
# answer.
#
# Takes half a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). Both ends are in
# one page; of the receiver's answer the list of encodings is written by the script.
# Output as seen:
#   Chrome/156.0.8078.108
#   inactive in sendEncodings: offered f;~h;q, answered f;h;q: h true, sent, maxBitrate 90000
#   inactive by setParameters: offered f;~h;q, answered f;h;q: h true, sent, maxBitrate 90000
#   the same, negotiated again: offered f;~h;q, answered f;h;q: h true, sent, maxBitrate 90000
#   inactive in sendEncodings: offered f;~h;q, answered f;~h;q: h false, not sent, maxBitrate 90000
#   the same, active since: h true, sent, maxBitrate 90000
#   a single one, inactive: false, not sent
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 > /dev/null
cat > run.mjs <<'JS'
import puppeteer from 'puppeteer-core';

/** What the page makes of encodings of which it wants one not sent; lines to be shown. */
async function tried() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
  const context = canvas.getContext('2d');
  let hue = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  const isOfSimulcast = /^a=(rid|simulcast|ssrc)/;
  const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  class Call {
    constructor(sendEncodings) {
      this.from = new RTCPeerConnection();
      this.to = new RTCPeerConnection();
      this.from.onicecandidate = ({ candidate }) => this.to.addIceCandidate(candidate);
      this.to.onicecandidate = ({ candidate }) => this.from.addIceCandidate(candidate);
      const [track] = canvas.captureStream(20).getVideoTracks();
      this.sender = this.from.addTransceiver(track, { direction: 'sendonly', sendEncodings }).sender;
    }

    /** Negotiates; the answer's list of encodings is this. Answers the offer's. */
    async negotiate(list) {
      await this.from.setLocalDescription();
      const { sdp } = this.from.localDescription;
      const plain = sdp.split('\r\n').filter((line) => !isOfSimulcast.test(line)).join('\r\n');
      await this.to.setRemoteDescription({ type: 'offer', sdp: plain });
      await this.to.setLocalDescription();
      const rids = list.split(';').filter(Boolean).map((rid) => `a=rid:${rid.replace('~', '')} recv\r\n`);
      const simulcast = rids.length ? `${rids.join('')}a=simulcast:recv ${list}\r\n` : '';
      await this.from.setRemoteDescription({ type: 'answer', sdp: this.to.localDescription.sdp + simulcast });
      return sdp.match(/a=simulcast:send (.*)/)?.[1];
    }

    async setActive(active) {
      const parameters = this.sender.getParameters();
      parameters.encodings[1].active = active;
      await this.sender.setParameters(parameters);
    }

    /** Pictures of an encoding so far. */
    async sent(rid) {
      const those = [...(await this.from.getStats()).values()].filter(({ type }) => type === 'outbound-rtp');
      return those.find((one) => one.rid === rid)?.framesSent ?? 0;
    }

    async look(at) {
      const { rid, active, maxBitrate } = this.sender.getParameters().encodings[at];
      const before = await this.sent(rid);
      // Time to connect and to find out what the path carries.
      for (let tries = 0; tries < (active ? 40 : 8) && await this.sent(rid) === before; tries++) await sleep(500);
      const isSent = await this.sent(rid) > before;
      const shown = `${active}, ${isSent ? 'sent' : 'not sent'}`;
      return rid ? `${rid} ${shown}, maxBitrate ${maxBitrate}` : shown;
    }

    close() {
      this.from.close();
      this.to.close();
    }
  }

  const encodings = (active) => ['f', 'h', 'q'].map((rid, at) => (
    { rid, scaleResolutionDownBy: 2 ** at, maxBitrate: 90_000, active: rid !== 'h' || active }));
  const lines = [];
  for (const list of ['f;h;q', 'f;~h;q']) {
    const call = new Call(encodings(false));
    const answered = `answered ${list}`;
    const offered = await call.negotiate(list);
    lines.push(`inactive in sendEncodings: offered ${offered}, ${answered}: ${await call.look(1)}`);
    if (list.includes('~')) {
      await call.setActive(true);
      lines.push(`the same, active since: ${await call.look(1)}`);
    } else {
      const other = new Call(encodings(true));
      for (const when of ['inactive by setParameters', 'the same, negotiated again']) {
        await other.setActive(false);
        lines.push(`${when}: offered ${await other.negotiate(list)}, ${answered}: ${await other.look(1)}`);
      }
      other.close();
    }
    call.close();
  }
  const single = new Call([{ active: false }]);
  await single.negotiate('');
  lines.push(`a single one, inactive: ${await single.look(0)}`);
  single.close();
  return lines;
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let lines;
try {
  console.log(await browser.version());
  lines = await (await browser.newPage()).evaluate(tried);
} finally {
  await browser.close();
}
console.log(lines.join('\n'));
const [woken, kept] = ['h true, sent, maxBitrate 90000', 'h false, not sent, maxBitrate 90000'];
const expected = [woken, woken, woken, kept, woken, 'false, not sent'];
const asSeen = expected.every((end, at) => lines[at].endsWith(`: ${end}`));
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node run.mjs
