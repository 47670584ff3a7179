// Direct transports: messages between the application and itself, subchannels, pauses, closures; then RTP and RTCP.

import { AUDIO, LOCAL, Peer, VIDEO, assert, next, opus, refused, rtp, startWorker, until, vp8 } from './common.mjs';

const worker = await startWorker();
const router = await worker.createRouter({ mediaCodecs: [AUDIO] });
const [one, two] = [await router.createDirectTransport(), await router.createDirectTransport()];
const producer = await one.produceData({ label: 'chat', protocol: 'text' });
assert.deepEqual([producer.type, producer.label, producer.protocol, producer.sctpStreamParameters], ['direct', 'chat', 'text', undefined]);
const consumers = [];
for (const subchannels of [[], [1], [1, 2]]) {
  const consumer = await two.consumeData({ dataProducerId: producer.id, subchannels });
  consumer.heard = [];
  consumer.on('message', (message, ppid) => consumer.heard.push(`${message}/${ppid}`));
  consumers.push(consumer);
}
const [all, first, both] = consumers;
assert.deepEqual([all.type, both.subchannels], ['direct', [1, 2]]);
const heard = (of, ...wanted) => until(`${wanted} in ${of.heard}`, () => wanted.every((text) => of.heard.includes(text)));

producer.send('to all');
producer.send(Buffer.from('bytes'));
producer.send('');
for (const consumer of consumers) await heard(consumer, 'to all/51', 'bytes/53', ' /56');

producer.send('to one', undefined, [1]);
producer.send('to two', undefined, [2]);
producer.send('needs two', undefined, undefined, 2);
producer.send('not for one', undefined, undefined, undefined, 1);
producer.send('last');
for (const consumer of consumers) await heard(consumer, 'last/51');
const got = (consumer) => consumer.heard.slice(3, -1).map((text) => text.split('/')[0]);
assert.deepEqual(consumers.map(got), [['not for one'], ['to one'], ['to one', 'to two', 'needs two']]);
await first.addSubchannel(2);
await both.setSubchannels([7]);
await both.removeSubchannel(7);
assert.deepEqual([first.subchannels, both.subchannels, (await first.dump()).subchannels], [[1, 2], [], [1, 2]]);

// Pauses, counters, and what is refused.
const paused = next(all, 'dataproducerpause');
await producer.pause();
await paused;
producer.send('to nobody');
await producer.resume();
await first.pause();
producer.send('to the others');
await heard(all, 'to the others/51');
assert.ok(!all.heard.includes('to nobody/51') && !first.heard.includes('to the others/51'));
const [sent] = await all.getStats();
assert.equal(sent.messagesSent, all.heard.length);
assert.ok((await producer.getStats())[0].messagesReceived >= 5);
assert.match((await refused(one.produceData({ id: producer.id }))).message, /same id/);
const [stats, dump] = [(await one.getStats())[0], await one.dump()];
assert.deepEqual([stats.type, dump.direct, dump.dataProducerIds], ['direct-transport', dump.direct, [producer.id]]);

const closed = Promise.all(consumers.map((consumer) => next(consumer, 'dataproducerclose')));
one.close();
await closed;
assert.deepEqual((await two.dump()).dataConsumerIds, []);
router.close();
assert.deepEqual((await worker.dump()).channelMessageHandlers.channelRequestHandlers, []);

// The application sends RTP, which a plain transport's receiver gets and another direct transport tells the application.
const studio = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const [from, to] = [await studio.createDirectTransport(), await studio.createDirectTransport()];
const peer = await Peer.open();
const plain = await studio.createPlainTransport({ listenInfo: LOCAL });
await plain.connect({ ip: '127.0.0.1', port: peer.port });
const sound = await from.produce({ kind: 'audio', rtpParameters: opus(5000) });
const capabilities = { rtpCapabilities: studio.rtpCapabilities };
const [outside, inside] = [await plain.consume({ producerId: sound.id, ...capabilities }),
  await to.consume({ producerId: sound.id, ...capabilities })];
const told = [];
inside.on('rtp', (packet) => told.push(packet));
const payload = (at) => Buffer.from(`sound ${at}`);
for (let at = 0; at < 100; at++) sound.send(rtp({ payloadType: 111, sequence: at, timestamp: at * 960, ssrc: 5000, payload: payload(at) }));
await until('every packet', () => told.length === 100 && peer.rtp(outside.rtpParameters.encodings[0].ssrc).length === 100);
const offset = (packet) => 12 + (packet[0] & 0x10 ? 4 + 4 * packet.readUInt16BE(14) : 0);
told.forEach((packet, at) => {
  assert.equal(packet.readUInt32BE(8), inside.rtpParameters.encodings[0].ssrc);
  // Packets may be padded.
  const end = packet.length - (packet[0] & 0x20 ? packet.at(-1) : 0);
  assert.equal(String(packet.subarray(offset(packet), end)), `sound ${at}`);
});
assert.equal((await sound.getStats())[0].packetCount, 100);
assert.equal((await inside.getStats())[0].packetCount, 100);
sound.send(Buffer.from('not a packet'));

// RTP from outside, and RTCP both ways: the application asks for a key frame, and is asked for one.
const camera = await plain.produce({ kind: 'video', rtpParameters: vp8(6000) });
const screen = await to.consume({ producerId: camera.id, ...capabilities });
const pictures = [];
screen.on('rtp', (packet) => pictures.push(packet));
const key = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
peer.send(rtp({ payloadType: 96, sequence: 1, timestamp: 1, ssrc: 6000, marker: true, payload: key }), plain.tuple.localPort);
await until('the picture', () => pictures.length === 1);
const asked = (packets, media) => packets.some((packet) => packet[1] === 206 && (packet[0] & 0x1f) === 1 && packet.readUInt32BE(8) === media);
const pli = (media) => {
  const packet = Buffer.from([0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0]);
  packet.writeUInt32BE(media, 8);
  return packet;
};
const before = peer.rtcp.length;
const again = setInterval(() => to.sendRtcp(pli(screen.rtpParameters.encodings[0].ssrc)), 100);
await until('the sender outside is asked', () => asked(peer.rtcp.slice(before), 6000));
clearInterval(again);
const drawn = await from.produce({ kind: 'video', rtpParameters: vp8(7000) });
const rtcp = [];
from.on('rtcp', (packet) => rtcp.push(packet));
const viewer = await plain.consume({ producerId: drawn.id, ...capabilities });
drawn.send(rtp({ payloadType: 96, sequence: 1, timestamp: 1, ssrc: 7000, marker: true, payload: key }));
await until('it arrives', () => peer.rtp(viewer.rtpParameters.encodings[0].ssrc).length === 1);
const ask = setInterval(() => peer.send(pli(viewer.rtpParameters.encodings[0].ssrc), plain.tuple.localPort), 100);
await until('the application is asked', () => asked(rtcp, 7000));
clearInterval(ask);
await until('reports', () => rtcp.some((packet) => packet[1] === 201));
assert.ok((await from.getStats())[0].bytesReceived > 1000);
to.close();
from.close();
worker.close();
peer.close();
