// Publishes by WHIP or watches by WHEP with libdatachannel (node-datachannel), and sends every message of a data channel
// back as it came.
//
//   libdatachannel_talk.mjs publish|watch URL LABEL
//
// Prints `open` once its channel is. When its standard input ends, it ends the session, prints `ended STATUS` and ends.

import library from 'node-datachannel';

const [what, url, label] = process.argv.slice(2);
const pc = new library.PeerConnection('client', { iceServers: [] });
const audio = new library.Audio('0', what === 'publish' ? 'SendOnly' : 'RecvOnly');
audio.addOpusCodec(97);
if (what === 'publish') audio.addSSRC(1111, 'client', 'stream', 'sound');
// Kept by a name: what nothing refers to is collected.
const track = pc.addTrack(audio);
track.onMessage(() => {});
const channel = pc.createDataChannel(label);
channel.onOpen(() => console.log('open'));
channel.onMessage((message) => {
  if (typeof message === 'string') channel.sendMessage(message);
  else channel.sendMessageBinary(Buffer.from(message));
});

// The offer is made as soon as there is a channel.
while (pc.gatheringState() !== 'complete') await new Promise((resolve) => setTimeout(resolve, 20));
const headers = { 'Content-Type': 'application/sdp' };
const response = await fetch(url, { method: 'POST', headers, body: pc.localDescription().sdp });
const answer = await response.text();
if (response.status !== 201) throw new Error(`POST ${url}: ${response.status} ${answer}`);
const session = new URL(response.headers.get('Location'), url);
pc.setRemoteDescription(answer, 'answer');

process.stdin.resume().on('end', async () => {
  const { status } = await fetch(session, { method: 'DELETE' });
  console.log(`ended ${status}`);
  pc.close();
  process.exit(0);
});
