#!/usr/bin/env bash
# Chromium 156 and Firefox 153 (both Debian 12) receive pictures that come seldom, one in four seconds: slides, a
# whiteboard, a camera that looks at an empty yard. Nothing is lost.
#
# A good guess: a receiver sends a PLI when it has lost a picture or cannot decode one (RFC 4585 section 6.3.1). Who has
# got and decoded everything sends none, however seldom something comes.
#
# Seen instead: three seconds after each picture both ask for a key frame, though packetsLost is 0 and all were decoded;
# so each pause costs a request, and the last picture brings one more. With a picture each 2.5 seconds they ask for none.
# Where the sender is Chromium, and draws something on a canvas each four seconds, every picture is a key frame therefore:
# one viewer is enough.
# So in a server a PLI is no proof of a loss, and rules that count them (to choose a lower layer, say) are wrong about still
# pictures; and a sender that sends its picture again each two seconds saves key frames.
#
# Takes a minute. Needs Node, npm, Chromium as /usr/bin/chromium and Firefox as /usr/bin/firefox-esr (or their paths in
# CHROMIUM and FIREFOX), and an address that is not loopback. The sender is libdatachannel (node-datachannel 0.33.4), with
# VP8 that Chromium has encoded; in the last call both ends are Chromium.
# Output as seen:
#   Chrome/156.0.8078.114, firefox/153.8.0
#   chromium, one in 2.5 s: 35 sent, 35 decoded, 0 lost; asks 0 times
#   chromium, one in 4 s: 35 sent, 35 decoded, 0 lost; asks 6 times, 3.0 3.0 3.0 3.0 3.0 3.0 s after a picture
#   firefox, one in 2.5 s: 35 sent, 35 decoded, 0 lost; asks 0 times
#   firefox, one in 4 s: 35 sent, 35 decoded, 0 lost; asks 6 times, 3.0 3.0 3.0 3.0 3.0 3.0 s after a picture
#   chromium sends one in 4 s to chromium: of 5 pictures 5 are key frames
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

const [PSFB, PLI] = [206, 1];
const SLOW_PICTURES = 5;
const ADDRESS = Object.values(networkInterfaces()).flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal).address;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Pictures of which the first is the only key frame. */
async function encode(count) {
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
  for (let at = 0; at < count; at++) {
    context.fillStyle = `hsl(${at} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const picture = new VideoFrame(canvas, { timestamp: at * 33_333 });
    encoder.encode(picture, { keyFrame: at === 0 });
    picture.close();
  }
  await encoder.flush();
  return pictures;
}

/** Sends pictures of one packet each. */
class Sender {
  sent = 0;
  requests = [];

  constructor(pictures) {
    this.pictures = pictures;
    this.connection = new nodeDataChannel.PeerConnection('sender', { iceServers: [], bindAddress: ADDRESS });
    const video = new nodeDataChannel.Video('0', 'SendOnly');
    video.addVP8Codec(96);
    video.addSSRC(7, 'sender', 'stream', 'picture');
    this.track = this.connection.addTrack(video);
    this.track.onMessage((packet) => this.feedback(packet));
    this.opened = new Promise((resolve) => this.track.onOpen(resolve));
  }

  async offer() {
    const gathered = new Promise((resolve) => {
      this.connection.onGatheringStateChange((state) => state === 'complete' && resolve());
    });
    this.connection.setLocalDescription();
    await gathered;
    return this.connection.localDescription().sdp;
  }

  send() {
    const head = Buffer.alloc(13);
    head.set([0x80, 0x80 | 96]);
    head.writeUInt16BE(this.sent, 2);
    head.writeUInt32BE(Math.round(performance.now() * 90) % 2 ** 32, 4);
    head.writeUInt32BE(7, 8);
    head[12] = 0x10;
    this.track.sendMessageBinary(Buffer.concat([head, this.pictures[this.sent]]));
    this.sent++;
    this.newest = performance.now();
  }

  /** Notes for how long nothing had been sent when it was asked for a key frame. */
  feedback(packet) {
    for (let at = 0; at + 4 <= packet.length; at += 4 + 4 * packet.readUInt16BE(at + 2)) {
      if (packet[at + 1] === PSFB && (packet[at] & 31) === PLI) this.requests.push(performance.now() - this.newest);
    }
  }
}

/** A second of 30 pictures, and then slow ones, with so much between them. */
async function receive(browser, pictures, between) {
  const page = await browser.newPage();
  const sender = new Sender(pictures);
  const answer = await page.evaluate(async (sdp) => {
    window.connection = new RTCPeerConnection();
    await connection.setRemoteDescription({ type: 'offer', sdp });
    await connection.setLocalDescription();
    return connection.localDescription.sdp;
  }, await sender.offer());
  sender.connection.setRemoteDescription(answer, 'answer');
  await sender.opened;
  for (let fast = 0; fast < 30; fast++) {
    sender.send();
    await sleep(33);
  }
  sender.requests = [];
  for (let slow = 0; slow < SLOW_PICTURES; slow++) {
    await sleep(between);
    sender.send();
  }
  await sleep(between);
  const { framesDecoded, packetsLost } = await page.evaluate(async () => [...(await connection.getStats()).values()]
    .find(({ type }) => type === 'inbound-rtp'));
  sender.connection.close();
  await page.close();
  const { sent, requests } = sender;
  return { sent, framesDecoded, packetsLost, seconds: requests.map((each) => (each / 1_000).toFixed(1)) };
}

/** How many of a canvas's slow pictures are key frames, with one viewer, in one page. */
async function publish() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
  const context = canvas.getContext('2d');
  let count = 0;
  const draw = () => {
    context.fillStyle = `hsl(${count++ * 7} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  one.onicecandidate = ({ candidate }) => other.addIceCandidate(candidate);
  other.onicecandidate = ({ candidate }) => one.addIceCandidate(candidate);
  one.addTransceiver(canvas.captureStream().getVideoTracks()[0], { direction: 'sendonly' });
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  const rest = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const look = async () => [...(await one.getStats()).values()].find(({ type }) => type === 'outbound-rtp');
  for (let fast = 0; fast < 60; fast++) {
    draw();
    await rest(33);
  }
  await rest(1_000);
  const before = await look();
  for (let slow = 0; slow < 5; slow++) {
    await rest(4_000);
    draw();
  }
  await rest(1_000);
  const after = await look();
  return [after.framesEncoded - before.framesEncoded, after.keyFramesEncoded - before.keyFramesEncoded];
}

async function watch(chromium, firefox) {
  // Only a page of a secure context has an encoder.
  const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const page = await chromium.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const pictures = (await page.evaluate(encode, 30 + SLOW_PICTURES)).map((text) => Buffer.from(text, 'base64'));
  server.close();
  const [[encoded, keys], ...calls] = await Promise.all([
    page.evaluate(publish),
    ...[chromium, firefox].flatMap((browser) => [2_500, 4_000].map((between) => receive(browser, pictures, between))),
  ]);
  let asSeen = encoded === 5 && keys === 5;
  for (const [at, { sent, framesDecoded, packetsLost, seconds }] of calls.entries()) {
    const [who, isSlow] = [at < 2 ? 'chromium' : 'firefox', at % 2 === 1];
    const asked = `asks ${seconds.length} times${seconds.length ? `, ${seconds.join(' ')} s after a picture` : ''}`;
    const numbers = `${sent} sent, ${framesDecoded} decoded, ${packetsLost} lost`;
    console.log(`${who}, one in ${isSlow ? 4 : 2.5} s: ${numbers}; ${asked}`);
    asSeen &&= framesDecoded === sent && packetsLost === 0 && seconds.length === (isSlow ? SLOW_PICTURES + 1 : 0)
      && seconds.every((each) => each >= 2.8 && each <= 3.9);
  }
  console.log(`chromium sends one in 4 s to chromium: of ${encoded} pictures ${keys} are key frames`);
  return asSeen;
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection', '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows'];
const chromium = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen, firefox;
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
process.exit(0);
JS
timeout --kill-after=5 110 node run.mjs
