// Traces of packets: what the application has asked for is told, with what is in the packet, and nothing else. And the
// orientation of a sender's camera, which is told without being asked for.

import { AUDIO, LOCAL, Peer, VIDEO, assert, next, rtp, startWorker, until, vp8 } from './common.mjs';

const worker = await startWorker();
const router = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const [sender, receiver] = [await Peer.open(), await Peer.open()];
const ingress = await router.createPlainTransport({ listenInfo: LOCAL });
await ingress.connect({ ip: '127.0.0.1', port: sender.port });
const egress = await router.createPlainTransport({ listenInfo: LOCAL });
await egress.connect({ ip: '127.0.0.1', port: receiver.port });
const ORIENTATION = 5;
const producer = await ingress.produce({ kind: 'video',
  rtpParameters: { ...vp8(1000), headerExtensions: [{ uri: 'urn:3gpp:video-orientation', id: ORIENTATION }] } });
const consumer = await egress.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities, mid: '7' });
const out = consumer.rtpParameters.encodings[0].ssrc;

const told = (traced) => {
  const traces = [];
  // The library 3.27.1 tells each trace of a consumer twice.
  traced.on('trace', (trace) => trace === traces.at(-1) || traces.push(trace));
  return traces;
};
const [ofProducer, ofConsumer] = [told(producer), told(consumer)];
const of = (traces, type) => traces.filter((trace) => trace.type === type);

// A packet with the extension in the form of one byte.
let sequence = 100;
const key = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
const delta = Buffer.from([0x10, 0x01, 0x00, 0x00, 1, 2, 3]);
const send = (payload, orientation) => {
  const packet = rtp({ payloadType: 96, sequence: ++sequence, timestamp: sequence * 3000, ssrc: 1000, marker: true, payload });
  packet[0] |= 0x10;
  const extension = Buffer.from([0xbe, 0xde, 0, 1, ORIENTATION << 4, orientation, 0, 0]);
  sender.send(Buffer.concat([packet.subarray(0, 12), extension, packet.subarray(12)]), ingress.tuple.localPort);
};
const arrived = () => receiver.rtp(out).length;

// Nothing is told that was not asked for, but for the orientation.
const turned = next(producer, 'videoorientationchange');
send(key, 0x0b);
assert.deepEqual({ ...await turned }, { camera: true, flip: false, rotation: 270 });
await until('it arrives', () => arrived() === 1);
send(delta, 0x0b);
await until('it arrives', () => arrived() === 2);
assert.deepEqual([ofProducer, ofConsumer], [[], []]);

// Key frames apart from the other packets.
await producer.enableTraceEvent(['rtp', 'keyframe', 'pli', 'nack', 'sr', 'unknown']);
await consumer.enableTraceEvent(['rtp', 'keyframe', 'pli', 'nack', 'fir']);
assert.deepEqual((await producer.dump()).traceEventTypes, ['rtp', 'keyframe', 'nack', 'pli']);
assert.deepEqual((await consumer.dump()).traceEventTypes, ['rtp', 'keyframe', 'nack', 'pli', 'fir']);
let turns = 0;
producer.on('videoorientationchange', () => turns++);
send(key, 0x0b);
send(delta, 0x00);
await until('both are told', () => ofProducer.length >= 2 && ofConsumer.length >= 2);
assert.equal(turns, 1, 'only what changes');
const [first] = of(ofProducer, 'keyframe');
assert.equal(first.direction, 'in');
assert.equal(typeof first.timestamp, 'number');
const { rtpPacket, isRtx } = first.info;
assert.deepEqual([rtpPacket.ssrc, rtpPacket.sequenceNumber, rtpPacket.payloadType, rtpPacket.isKeyFrame, rtpPacket.marker,
  Number(rtpPacket.payloadSize), Number(rtpPacket.size), isRtx], [1000, sequence - 1, 96, true, true, key.length, 20 + key.length, false]);
const [second] = of(ofProducer, 'rtp');
assert.deepEqual([second.info.rtpPacket.sequenceNumber, second.info.rtpPacket.isKeyFrame], [sequence, false]);
assert.deepEqual(of(ofConsumer, 'keyframe').map(({ direction, info }) => [direction, info.rtpPacket.ssrc]), [['out', out]]);
assert.deepEqual(of(ofConsumer, 'rtp').map(({ info }) => info.rtpPacket.ssrc), [out]);
for (const { info } of ofConsumer) assert.equal(info.rtpPacket.mid, '7');

// What receivers ask for comes in at the consumer and goes out at the producer.
const feedback = (type, format, media, body = Buffer.alloc(0)) => {
  const packet = Buffer.alloc(12);
  packet[0] = 0x80 | format;
  packet[1] = type;
  packet.writeUInt16BE(2 + body.length / 4, 2);
  packet.writeUInt32BE(7, 4);
  packet.writeUInt32BE(media, 8);
  return Buffer.concat([packet, body]);
};
const last = receiver.rtp(out).at(-1).readUInt16BE(2);
const lost = Buffer.alloc(4);
lost.writeUInt16BE(last, 0);
receiver.send(feedback(205, 1, out, lost), egress.tuple.localPort);
await until('the request for a lost packet', () => of(ofConsumer, 'nack').length > 0);
await until('its retransmission', () => of(ofConsumer, 'rtp').some(({ info }) => info.isRtx));
assert.deepEqual(of(ofConsumer, 'nack')[0].direction, 'in');
receiver.send(feedback(206, 1, out), egress.tuple.localPort);
await until('the request for a key frame', () => of(ofConsumer, 'pli').length > 0);
assert.deepEqual([of(ofConsumer, 'pli')[0].direction, of(ofConsumer, 'pli')[0].info.ssrc], ['in', out]);
await until('what is asked of the sender', () => of(ofProducer, 'pli').length > 0);
assert.deepEqual([of(ofProducer, 'pli')[0].direction, of(ofProducer, 'pli')[0].info.ssrc], ['out', 1000]);
sequence += 2;
send(delta, 0x00);
await until('the request for what the sender lost', () => of(ofProducer, 'nack').length > 0);
assert.equal(of(ofProducer, 'nack')[0].direction, 'out');

// A sender report.
const report = Buffer.alloc(28);
report[0] = 0x80;
report[1] = 200;
report.writeUInt16BE(6, 2);
[1000, 11, 12, 13, 14, 15].forEach((word, at) => report.writeUInt32BE(word, 4 + 4 * at));
sender.send(report, ingress.tuple.localPort);
await until('the report', () => of(ofProducer, 'sr').length > 0);
assert.deepEqual({ ...of(ofProducer, 'sr')[0].info },
  { ssrc: 1000, ntpSec: 11, ntpFrac: 12, rtpTs: 13, packetCount: 14, octetCount: 15 });

// And nothing more.
await producer.enableTraceEvent();
await consumer.enableTraceEvent([]);
const counts = [ofProducer.length, ofConsumer.length];
const before = arrived();
send(delta, 0x00);
await until('it arrives', () => arrived() > before);
assert.deepEqual([(await producer.dump()).traceEventTypes, (await consumer.dump()).traceEventTypes], [[], []]);
assert.deepEqual([ofProducer.length, ofConsumer.length], counts);
worker.close();
sender.close();
receiver.close();
