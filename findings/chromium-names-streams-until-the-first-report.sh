#!/usr/bin/env bash
# Chromium 156 (Debian 12) sends simulcast, whose streams are told apart by the header extensions MID and RID (RFC
# 8852), as there is no SSRC in the offer that would say which is which.
#
# A good guess: what was negotiated stands in every packet, or in some packets now and then, so that a receiver that
# comes later, or has lost its memory, finds out again; at the latest when a stream begins again after a pause.
#
# Seen instead: every packet has both until the first receiver report names the stream's SSRC (RFC 3550 section 6.4.2),
# and none has either from then on: not after the encoding was inactive for seconds, and not after the track was taken
# away and given back. Of the other sizes, on which nothing was reported, all packets keep theirs.
# So a server that is restarted within a call, or hands a call to another one, must take along which SSRC is which; and
# it reports on nothing that it could not name yet.
#
# Takes half a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The receiver is
# libdatachannel (node-datachannel 0.33.4), which reports nothing by itself; the script sends one report, about f.
# Output as seen (numbers of packets vary; of each two seconds):
#   Chrome/156.0.8078.108
#   before any report: f 41 of 41 named, h 46 of 46 named, q 181 of 181 named
#   after a report on f: f 0 of 27 named, h 39 of 39 named, q 45 of 45 named
#   f was inactive: f 0 of 40 named, h 44 of 44 named, q 177 of 177 named
#   the track was away: f 0 of 46 named, h 47 of 47 named, q 37 of 37 named
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

const RIDS = ['f', 'h', 'q'];

/** Offers a picture that changes all the time, in three sizes. */
async function offer(rids) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 960, height: 540 });
  const context = canvas.getContext('2d');
  let hue = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  window.connection = new RTCPeerConnection();
  const [track] = canvas.captureStream(20).getVideoTracks();
  const sendEncodings = rids.map((rid, at) => ({ rid, scaleResolutionDownBy: 2 ** at, maxBitrate: 90_000 }));
  const transceiver = connection.addTransceiver(track, { direction: 'sendonly', sendEncodings });
  window.sender = transceiver.sender;
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === 'video/VP8'));
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
  return connection.localDescription.sdp;
}

/** Turns the first size off and on again, or takes the track away and gives it back. */
async function pause(how) {
  const { track } = sender;
  const change = async (on) => {
    if (how === 'track') return sender.replaceTrack(on ? track : null);
    const parameters = sender.getParameters();
    parameters.encodings[0].active = on;
    return sender.setParameters(parameters);
  };
  await change(false);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await change(true);
}

/** An answer that takes all of the offer but transport-wide feedback. */
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
  const rids = RIDS.map((rid) => `a=rid:${rid} recv`);
  const simulcast = `a=simulcast:recv ${RIDS.join(';')}`;
  return [...lines, 'a=recvonly', 'a=setup:active', ...own, ...rids, simulcast, ''].join('\r\n');
}

/** Header extensions of an RTP packet, by id. */
function extensions(packet) {
  const found = new Map();
  if (!(packet[0] & 0x10)) return found;
  let at = 12 + 4 * (packet[0] & 0x0f);
  const isShort = packet.readUInt16BE(at) === 0xbede;
  const end = at + 4 + 4 * packet.readUInt16BE(at + 2);
  for (at += 4; at < end;) {
    if (packet[at] === 0) {
      at += 1;
      continue;
    }
    const [id, length] = isShort ? [packet[at] >> 4, (packet[at] & 0x0f) + 1] : [packet[at], packet[at + 1]];
    at += isShort ? 1 : 2;
    found.set(id, packet.toString('latin1', at, at + length));
    at += length;
  }
  return found;
}

/** Feedback that there is room for 8 Mbit/s, so that all sizes are sent; and a report on a stream. */
function room() {
  const packet = Buffer.alloc(20);
  packet.set([0x8f, 206, 0, 4]);
  packet.write('REMB', 12);
  packet.writeUInt32BE((6 << 18) | 125_000, 16);
  return packet;
}

function report(ssrc, sequence) {
  const packet = Buffer.alloc(32);
  packet.set([0x81, 201, 0, 7]);
  packet.writeUInt32BE(1, 4);
  packet.writeUInt32BE(ssrc, 8);
  packet.writeUInt32BE(sequence, 16);
  return packet;
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function watch(browser) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer, RIDS);
  const idOf = (name) => Number(sdp.match(new RegExp(`a=extmap:(\\d+) urn:ietf:params:rtp-hdrext:sdes:${name}\r`))[1]);
  const [mid, rid] = [idOf('mid'), idOf('rtp-stream-id')];
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [] });
  const [names, sequences, tracks] = [new Map(), new Map(), []];
  let counts = {};
  receiver.onTrack((track) => {
    tracks.push(track);
    track.onMessage((packet) => {
      if (packet[1] >= 192 && packet[1] <= 223) return;
      const [ssrc, found] = [packet.readUInt32BE(8), extensions(packet)];
      if (found.has(rid)) names.set(ssrc, found.get(rid));
      sequences.set(ssrc, packet.readUInt16BE(2));
      const count = counts[names.get(ssrc)] ??= { all: 0, named: 0 };
      count.all++;
      if (found.has(rid) && found.has(mid)) count.named++;
    });
  });
  const taken = await answer(receiver, sdp);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  /** Waits until all sizes come, then counts for two seconds. */
  async function look(name) {
    for (let tries = 0; tries < 40; tries++) {
      counts = {};
      if (tracks[0]?.isOpen()) tracks[0].sendMessageBinary(room());
      await sleep(500);
      if (tries > 1 && RIDS.every((one) => counts[one]?.all > 2)) break;
    }
    counts = {};
    await sleep(2_000);
    const shown = RIDS.map((one) => `${one} ${counts[one]?.named ?? 0} of ${counts[one]?.all ?? 0} named`);
    console.log(`${name}: ${shown.join(', ')}`);
    const isAll = (one) => counts[one]?.all > 5 && counts[one].named === counts[one].all;
    return { f: isAll('f'), none: counts.f?.all > 5 && counts.f.named === 0, others: isAll('h') && isAll('q') };
  }
  const before = await look('before any report');
  const [first] = [...names].find(([, name]) => name === 'f');
  tracks[0].sendMessageBinary(report(first, sequences.get(first)));
  await sleep(500);
  const later = [await look('after a report on f')];
  await page.evaluate(pause, 'encoding');
  later.push(await look('f was inactive'));
  await page.evaluate(pause, 'track');
  later.push(await look('the track was away'));
  receiver.close();
  return before.f && before.others && later.every(({ none, others }) => none && others);
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen;
try {
  console.log(await browser.version());
  asSeen = await watch(browser);
} finally {
  await browser.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node run.mjs
