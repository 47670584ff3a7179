#!/usr/bin/env bash
# Firefox 153 (Debian 12) receives pictures, and the page works on for a while in the same task in which its
# setLocalDescription(answer), or setRemoteDescription(answer), has resolved: it builds tiles, say, before it awaits
# anything else. The sender begins as soon as DTLS is connected.
#
# A good guess: media is received and decoded on other threads than the page's, so a page that is busy shows pictures
# late, but loses none. So it is in Chromium; and in Firefox as well, if the work begins 20 ms later.
#
# Seen instead: ICE and DTLS get on during that work, and whatever the sender sends is thrown away until it ends. No
# number tells: packetsReceived does not count it, and packetsLost is 0. Then Firefox asks for a key frame (PLI), and
# shows nothing until it comes. Without any such work this happens now and then on a machine that is busy (by hand, in
# one call of ten).
# So a page leaves its task (setTimeout) before it works on; and a sender that is asked for a key frame early on makes
# one at once, or repeats what it began with.
#
# Takes a minute. Needs Node, npm, an address that is not loopback, Firefox as /usr/bin/firefox-esr and Chromium as
# /usr/bin/chromium (or their paths in FIREFOX and CHROMIUM). The sender is libdatachannel (node-datachannel 0.33.4),
# with VP8 that Chromium has encoded. Each picture is one packet; the work takes two seconds.
# Output as seen (numbers of pictures vary; how many are gone depends on when ICE and DTLS have ended):
#   Chrome/156.0.8078.108, firefox/153.8.0
#   answers, no work: chromium 100 sent, 0 gone, 0 PLI; firefox 105 sent, 0 gone, 0 PLI
#   answers, works at once: chromium 49 sent, 0 gone, 0 PLI; firefox 103 sent, 53 gone, 2 PLI
#   answers, works 20 ms later: chromium 105 sent, 0 gone, 0 PLI; firefox 105 sent, 0 gone, 0 PLI
#   offers, works at once: chromium 104 sent, 0 gone, 0 PLI; firefox 75 sent, 30 gone, 2 PLI
#   offers, works 20 ms later: chromium 105 sent, 0 gone, 0 PLI; firefox 74 sent, 0 gone, 0 PLI
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';
import { networkInterfaces } from 'node:os';
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

const WORK_MS = 2_000;
const [PSFB, PLI] = [206, 1];
const ADDRESS = Object.values(networkInterfaces()).flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal).address;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Three seconds of a picture that changes all the time, of which the first is a key frame. */
async function encode() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
  const context = canvas.getContext('2d');
  const pictures = [];
  const output = (chunk) => {
    const bytes = new Uint8Array(chunk.byteLength);
    chunk.copyTo(bytes);
    pictures.push(btoa(String.fromCharCode(...bytes)));
  };
  const encoder = new VideoEncoder({ output, error: console.error });
  encoder.configure({ codec: 'vp8', width: 320, height: 180, bitrate: 200_000, latencyMode: 'realtime' });
  for (let at = 0; at < 90; at++) {
    context.fillStyle = `hsl(${at} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const picture = new VideoFrame(canvas, { timestamp: at * 33_333 });
    encoder.encode(picture, { keyFrame: at === 0 });
    picture.close();
  }
  await encoder.flush();
  return pictures;
}

/** Sends from the first moment on, 30 pictures a second, and goes back to the key frame when it is asked for one. */
class Sender {
  sent = 0;
  requests = 0;
  next = 0;

  constructor(pictures, payloadType) {
    Object.assign(this, { pictures, payloadType });
    this.connection = new nodeDataChannel.PeerConnection('sender', { iceServers: [], bindAddress: ADDRESS });
    const video = new nodeDataChannel.Video('0', 'SendOnly');
    video.addVP8Codec(payloadType);
    video.addSSRC(7, 'sender', 'stream', 'picture');
    this.track = this.connection.addTrack(video);
    this.track.onMessage((packet) => this.feedback(packet));
    this.track.onOpen(() => {
      this.send();
      this.timer = setInterval(() => this.send(), 33);
    });
  }

  /** Its offer, or its answer to one. */
  async describe(offer) {
    const gathered = new Promise((resolve) => {
      this.connection.onGatheringStateChange((state) => state === 'complete' && resolve());
    });
    if (offer) this.connection.setRemoteDescription(offer, 'offer');
    else this.connection.setLocalDescription();
    await gathered;
    return this.connection.localDescription().sdp;
  }

  send() {
    const picture = this.pictures[this.next];
    this.next = (this.next + 1) % this.pictures.length;
    this.sent++;
    const head = Buffer.alloc(13);
    head.set([0x80, 0x80 | this.payloadType]);
    head.writeUInt16BE(this.sent, 2);
    head.writeUInt32BE(this.sent * 3_000, 4);
    head.writeUInt32BE(7, 8);
    head[12] = 0x10;
    this.track.sendMessageBinary(Buffer.concat([head, picture]));
  }

  feedback(packet) {
    for (let at = 0; at + 4 <= packet.length; at += 4 + 4 * packet.readUInt16BE(at + 2)) {
      if (packet[at + 1] !== PSFB || (packet[at] & 31) !== PLI) continue;
      this.requests++;
      this.next = 0;
    }
  }
}

/** What runs in the page. */
function prepare() {
  const connection = new RTCPeerConnection();
  const work = async (rest, milliseconds) => {
    if (rest) await new Promise((resolve) => setTimeout(resolve, rest));
    for (const until = performance.now() + milliseconds; performance.now() < until;);
  };
  let answer;
  window.receiver = {
    async take(sdp) {
      await connection.setRemoteDescription({ type: 'offer', sdp });
      answer = await connection.createAnswer();
      return answer.sdp;
    },
    async answers(...times) {
      await connection.setLocalDescription(answer);
      await work(...times);
    },
    async offer() {
      connection.addTransceiver('video', { direction: 'recvonly' });
      await connection.setLocalDescription();
      while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
      return connection.localDescription.sdp;
    },
    async offers(sdp, ...times) {
      await connection.setRemoteDescription({ type: 'answer', sdp });
      await work(...times);
    },
    async statistics() {
      const all = [...(await connection.getStats()).values()];
      const { packetsReceived, packetsLost } = all.find(({ type }) => type === 'inbound-rtp') ?? {};
      return { packetsReceived, packetsLost };
    },
  };
}

/** A call, in which the page answers or offers, rests, and works. */
async function call(browser, pictures, role, ...times) {
  const page = await browser.newPage();
  await page.evaluate(prepare);
  const ask = (name, ...given) => page.evaluate((name, given) => receiver[name](...given), name, given);
  let sender, work;
  if (role === 'answers') {
    sender = new Sender(pictures, 96);
    const answer = await ask('take', await sender.describe());
    work = ask('answers', ...times);
    // The sender learns of it when the work, if there is any, has begun.
    await sleep(200);
    sender.connection.setRemoteDescription(answer, 'answer');
  } else {
    const offer = await ask('offer');
    sender = new Sender(pictures, Number(offer.match(/a=rtpmap:(\d+) VP8/)[1]));
    work = ask('offers', await sender.describe(offer), ...times);
  }
  await Promise.all([sleep(3_500), work]);
  clearInterval(sender.timer);
  await sleep(300);
  const { packetsReceived, packetsLost } = await ask('statistics');
  const { sent, requests } = sender;
  sender.connection.close();
  await page.close();
  return { sent, gone: sent - packetsReceived, requests, packetsLost };
}

async function watch(chromium, firefox) {
  // Only a page of a secure context has an encoder.
  const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const page = await chromium.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const pictures = (await page.evaluate(encode)).map((text) => Buffer.from(text, 'base64'));
  await page.close();
  server.close();
  let asSeen = true;
  for (const [role, name, ...times] of [['answers', 'no work', 0, 0], ['answers', 'works at once', 0, WORK_MS],
    ['answers', 'works 20 ms later', 20, WORK_MS], ['offers', 'works at once', 0, WORK_MS],
    ['offers', 'works 20 ms later', 20, WORK_MS]]) {
    const shown = [];
    for (const browser of [chromium, firefox]) {
      const { sent, gone, requests, packetsLost } = await call(browser, pictures, role, ...times);
      const who = browser === firefox ? 'firefox' : 'chromium';
      shown.push(`${who} ${sent} sent, ${gone} gone, ${requests} PLI`);
      const isLost = browser === firefox && name === 'works at once';
      asSeen &&= sent > 20 && packetsLost === 0 && (isLost ? gone > 5 && requests > 0 : gone === 0 && requests === 0);
    }
    console.log(`${role}, ${name}: ${shown.join('; ')}`);
  }
  return asSeen;
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns'];
const chromium = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let firefox;
let asSeen;
try {
  firefox = await puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    extraPrefsFirefox: { 'media.peerconnection.ice.obfuscate_host_addresses': false } });
  console.log(`${await chromium.version()}, ${await firefox.version()}`);
  asSeen = await watch(chromium, firefox);
} finally {
  await chromium.close();
  await firefox?.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('the browsers behave otherwise than described above');
JS
timeout 110 node run.mjs
