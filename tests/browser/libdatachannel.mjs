// Publishes by WHIP or watches by WHEP with libdatachannel (node-datachannel): a native stack of its own for ICE, DTLS
// and SRTP, without codecs. What it publishes are the packets (VP8, Opus) that come to two ports of 127.0.0.1.
//
//   libdatachannel.mjs publish URL VIDEO_PORT AUDIO_PORT
//   libdatachannel.mjs watch URL
//
// Prints `publishing` once the connection stands, if it publishes, then a line of JSON twice a second: the state of the
// connection, and how many pictures and packets of sound have come or gone. When its standard input ends, it ends the
// session, prints `ended STATUS` and ends.

import { createSocket } from 'node:dgram';
import library from 'node-datachannel';

const [what, url, ...ports] = process.argv.slice(2);
const publishes = what === 'publish';
const direction = publishes ? 'SendOnly' : 'RecvOnly';
const pc = new library.PeerConnection('client', { iceServers: [] });
const frames = { audio: 0, video: 0 };

const count = (kind, packet) => {
  const rtcp = packet[1] >= 192 && packet[1] <= 223;
  const ends = kind === 'audio' || packet[1] >= 128;
  if (!rtcp && ends) frames[kind] += 1;
};

const audio = new library.Audio('0', direction);
audio.addOpusCodec(97);
const video = new library.Video('1', direction);
video.addVP8Codec(96);
if (publishes) {
  audio.addSSRC(1111, 'client', 'stream', 'sound');
  video.addSSRC(2222, 'client', 'stream', 'picture');
}
// Kept by a name: what nothing refers to is collected.
const tracks = { audio: pc.addTrack(audio), video: pc.addTrack(video) };
for (const [kind, track] of Object.entries(tracks)) {
  if (!publishes) track.setMediaHandler(new library.RtcpReceivingSession());
  track.onMessage((packet) => {
    if (!publishes) count(kind, packet);
  });
}

const gathered = new Promise((resolve) => pc.onGatheringStateChange((state) => state === 'complete' && resolve()));
pc.setLocalDescription('offer');
await gathered;
let response;
for (let tries = 0; tries < 30; tries += 1) {
  const headers = { 'Content-Type': 'application/sdp' };
  response = await fetch(url, { method: 'POST', headers, body: pc.localDescription().sdp });
  if (response.status !== 409) break;
  await new Promise((resolve) => setTimeout(resolve, 500));
}
const answer = await response.text();
if (response.status !== 201) throw new Error(`POST ${url}: ${response.status} ${answer}`);
const session = new URL(response.headers.get('Location'), url);
pc.setRemoteDescription(answer, 'answer');

function send() {
  const kinds = ['video', 'audio'];
  ports.forEach((port, index) => {
    const [kind, socket] = [kinds[index], createSocket('udp4')];
    socket.on('message', (packet) => {
      if (!tracks[kind].isOpen()) return;
      tracks[kind].sendMessageBinary(packet);
      count(kind, packet);
    });
    socket.bind(Number(port), '127.0.0.1');
  });
}
if (publishes) send();

let told = !publishes;
setInterval(() => {
  const state = pc.state();
  if (!told && state !== 'connected') return;
  console.log(told ? JSON.stringify({ state, [publishes ? 'sent' : 'frames']: frames }) : 'publishing');
  told = true;
}, 500);

process.stdin.resume().on('end', async () => {
  const { status } = await fetch(session, { method: 'DELETE' });
  console.log(`ended ${status}`);
  pc.close();
  library.cleanup();
  process.exit(0);
});
