#!/usr/bin/env bash
# Chromium 156 (Debian 12) and the flag V of the header extension ssrc-audio-level (RFC 6464: "whether the encoder believes
# the audio packet contains voice activity"), while the microphone is silent.
#
# A good guess: V is 1 while somebody speaks and 0 in silence, so a server may choose who speaks by it, without a
# threshold of its own, as it cannot hear what is encrypted or decode what is many.
#
# Seen instead: V is 1 in every packet: with a tone, with one of -63 dBov, and in complete silence (level 127) as well.
# Only if the answer asks for discontinuous sound (usedtx=1) is it 0, in the few packets of silence that are still sent;
# the faint tone has V then, too. So it says that Opus did not leave the packet out, not that somebody speaks.
# So a server compares levels over time, and leaves V alone.
#
# Takes half a minute. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The receiver is
# libdatachannel (node-datachannel 0.33.4); it reads the extension.
# Output as seen (numbers vary by a few; of each two seconds):
#   Chrome/156.0.8078.108
#   plain, tone: 100 packets, 100 with V, level 3
#   plain, faint tone: 100 packets, 100 with V, level 63
#   plain, silence: 100 packets, 100 with V, level 127
#   usedtx=1, tone: 100 packets, 100 with V, level 3
#   usedtx=1, faint tone: 100 packets, 100 with V, level 63
#   usedtx=1, silence: 10 packets, 0 with V, level 127
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 node-datachannel@0.33.4 > /dev/null
cat > run.mjs <<'JS'
import nodeDataChannel from 'node-datachannel';
import puppeteer from 'puppeteer-core';

/** Offers a tone whose strength can be changed. */
async function offer() {
  const audio = new AudioContext();
  window.strength = audio.createGain();
  const tone = audio.createOscillator();
  const destination = audio.createMediaStreamDestination();
  tone.connect(strength);
  strength.connect(destination);
  tone.start();
  window.connection = new RTCPeerConnection();
  connection.addTransceiver(destination.stream.getAudioTracks()[0], { direction: 'sendonly' });
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
  return connection.localDescription.sdp;
}

/** An answer that takes all of the offer: its lines, with what the receiver says of itself. */
async function answer(receiver, sdp, extra) {
  const gathered = new Promise((resolve) => {
    receiver.onGatheringStateChange((state) => state === 'complete' && resolve());
  });
  receiver.setRemoteDescription(sdp, 'offer');
  await gathered;
  const own = receiver.localDescription().sdp.match(/a=(ice-ufrag|ice-pwd|fingerprint|candidate):.*/g);
  const theirs = /^(a=(ice-|fingerprint|setup|candidate|ssrc|msid|sendonly|rtcp:)|o=)/;
  const lines = sdp.split('\r\n').filter((line) => line && !theirs.test(line));
  lines.splice(1, 0, 'o=- 1 1 IN IP4 127.0.0.1');
  const edited = lines.map((line) => (line.startsWith('a=fmtp:111 ') ? `${line}${extra}` : line));
  return [...edited, 'a=recvonly', 'a=setup:active', ...own, ''].join('\r\n');
}

/** The byte of the extension with this id in an RTP packet; undefined if there is none. */
function level(packet, id) {
  if (!(packet[0] & 0x10)) return undefined;
  let at = 12 + 4 * (packet[0] & 0x0f);
  const end = at + 4 + 4 * packet.readUInt16BE(at + 2);
  for (at += 4; at < end;) {
    if (packet[at] >> 4 === id) return packet[at + 1];
    at += packet[at] === 0 ? 1 : (packet[at] & 0x0f) + 2;
  }
  return undefined;
}

async function listen(browser, name, extra) {
  const page = await browser.newPage();
  const sdp = await page.evaluate(offer);
  const id = Number(sdp.match(/a=extmap:(\d+) urn:ietf:params:rtp-hdrext:ssrc-audio-level/)[1]);
  const receiver = new nodeDataChannel.PeerConnection('receiver', { iceServers: [] });
  const tracks = [];
  let heard = [];
  receiver.onTrack((track) => {
    tracks.push(track);
    track.onMessage((packet) => (packet[1] & 0x7f) === 111 && heard.push(level(packet, id)));
  });
  const taken = await answer(receiver, sdp, extra);
  await page.evaluate((text) => connection.setRemoteDescription({ type: 'answer', sdp: text }), taken);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  let asSeen = true;
  for (const [what, gain] of [['tone', 1], ['faint tone', 0.001], ['silence', 0]]) {
    await page.evaluate((value) => { strength.gain.value = value; }, gain);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    heard = [];
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const [all, flagged] = [heard, heard.filter((byte) => byte & 0x80)];
    const levels = [...new Set(all.map((byte) => byte & 0x7f))];
    console.log(`${name}, ${what}: ${all.length} packets, ${flagged.length} with V, level ${levels.join(' ')}`);
    asSeen &&= all.length > 3 && flagged.length === (extra && !gain ? 0 : all.length);
    asSeen &&= gain || levels.join() === '127';
  }
  receiver.close();
  await page.close();
  return asSeen;
}

const args = ['--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  asSeen = await listen(browser, 'plain', '') && asSeen;
  asSeen = await listen(browser, 'usedtx=1', ';usedtx=1') && asSeen;
} finally {
  await browser.close();
  nodeDataChannel.cleanup();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node run.mjs
