#!/usr/bin/env bash
# Chromium 156 (Debian 12): a page takes its sound away with sender.replaceTrack(null) (to turn the microphone off), and
# gives it a track again some seconds later. Pictures go on all the time.
#
# A good guess: RTP timestamps are a clock (RFC 3550 section 5.1), so they have gone on by the length of the pause, as they
# do for pictures; the receiver plays what comes as it did before. If not, the next sender report sets it right.
#
# Seen instead: of sound the first packet after the pause has the next timestamp, as if there had been none. The
# receiver, Chromium as well, then takes sound and pictures that belong together for seconds apart, this way and that, for
# half a minute and longer, though sender reports come, and delays one or the other to make up for it: lips and voice
# part. If encodings[0].active is set to false before, and to true afterwards, then the timestamps go on.
# So pause sound with active (or with track.enabled), and in a server don't take sound's timestamps for a clock.
#
# Takes a minute and a half. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). Both ends are in
# one page. How far they are apart is told by the receiver's estimatedPlayoutTimestamp of both.
# Output as seen (numbers vary):
#   Chrome/156.0.8078.108
#   active = false, replaceTrack(null): 5 s without sound, timestamps went on by 4.6 s
#   replaceTrack(null): 5 s without sound, timestamps went on by 0.0 s; apart by at most 0.1 s before, 4.7 s after
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 > /dev/null)
cat > "$folder/run.mjs" <<'JS'
import puppeteer from 'puppeteer-core';

/** A call within the page: how far sound and pictures are apart, and sound's timestamps before and after a pause. */
async function call(how, seconds, settle, after) {
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
  const context = canvas.getContext('2d');
  let hue = 0;
  const drawing = setInterval(() => {
    context.fillStyle = `hsl(${hue++ % 360} 50% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 33);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const destination = audio.createMediaStreamDestination();
  tone.connect(destination);
  tone.start();
  const sound = destination.stream.getAudioTracks()[0];
  const stream = new MediaStream([sound, canvas.captureStream(30).getVideoTracks()[0]]);
  const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
  near.onicecandidate = ({ candidate }) => candidate && far.addIceCandidate(candidate);
  far.onicecandidate = ({ candidate }) => candidate && near.addIceCandidate(candidate);
  const [sender] = stream.getTracks().map((track) => near.addTrack(track, stream));
  const element = Object.assign(document.createElement('video'), { autoplay: true });
  document.body.append(element);
  far.ontrack = ({ streams }) => { element.srcObject = streams[0]; };
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
  const hearing = far.getReceivers().find(({ track }) => track.kind === 'audio');

  /** The most seconds that sound and pictures which play together are apart in the receiver's reckoning. */
  async function widest(count) {
    let most = 0;
    for (let number = 0; number < count; number++) {
      await sleep(1_000);
      const times = {};
      for (const { type, kind, estimatedPlayoutTimestamp: time } of (await far.getStats()).values()) {
        if (type === 'inbound-rtp') times[kind] = time;
      }
      most = Math.max(most, Math.abs(times.audio - times.video) / 1_000 || 0);
    }
    return most;
  }
  async function set(active) {
    const parameters = sender.getParameters();
    parameters.encodings[0].active = active;
    if (active) await sender.replaceTrack(sound);
    if (how.startsWith('active')) await sender.setParameters(parameters);
    if (!active) await sender.replaceTrack(null);
  }

  const before = await widest(settle);
  await set(false);
  await sleep(500);
  const [from] = hearing.getSynchronizationSources();
  await sleep(seconds * 1_000 - 500);
  await set(true);
  let [to] = [from];
  while (to.rtpTimestamp === from.rtpTimestamp) {
    await sleep(5);
    [to] = hearing.getSynchronizationSources();
  }
  const advance = ((to.rtpTimestamp - from.rtpTimestamp) >>> 0) / 48_000;
  const apart = await widest(after);
  clearInterval(drawing);
  near.close();
  far.close();
  element.remove();
  await audio.close();
  return { before, advance, apart };
}

const args = ['--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  const page = await browser.newPage();
  const pause = 5;
  const kept = await page.evaluate(call, 'active = false', pause, 2, 0);
  console.log(`active = false, replaceTrack(null): ${pause} s without sound, `
    + `timestamps went on by ${kept.advance.toFixed(1)} s`);
  const lost = await page.evaluate(call, 'replaceTrack(null)', pause, 16, 30);
  console.log(`replaceTrack(null): ${pause} s without sound, timestamps went on by ${lost.advance.toFixed(1)} s; `
    + `apart by at most ${lost.before.toFixed(1)} s before, ${lost.apart.toFixed(1)} s after`);
  asSeen = kept.advance > pause - 1 && lost.advance < pause / 2 && lost.apart > 1 && lost.apart > 2 * lost.before;
} finally {
  await browser.close();
}
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 110 node "$folder/run.mjs"
