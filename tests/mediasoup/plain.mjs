// Plain transports: real RTP through the worker, pauses, closures, statistics, SRTP keys, refusals.

import { AUDIO, LOCAL, Peer, VIDEO, assert, next, opus, payloadOf, refused, rtp, startWorker, until, vp8 } from './common.mjs';

const worker = await startWorker();
const router = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const [sender, receiver] = [await Peer.open(), await Peer.open()];

const ingress = await router.createPlainTransport({ listenInfo: LOCAL, comedia: true });
assert.equal(ingress.tuple.localAddress, '127.0.0.1');
assert.equal(ingress.tuple.remoteIp, undefined);
const producer = await ingress.produce({ kind: 'audio', rtpParameters: opus(1111) });
assert.equal(producer.type, 'simple');
const egress = await router.createPlainTransport({ listenInfo: { ...LOCAL, announcedAddress: 'media.example' } });
await egress.connect({ ip: '127.0.0.1', port: receiver.port });
assert.deepEqual([egress.tuple.localAddress, egress.tuple.remoteIp, egress.tuple.remotePort],
  ['media.example', '127.0.0.1', receiver.port]);
assert.match((await refused(egress.connect({ ip: '127.0.0.1', port: 1 }))).message, /connect\(\) already called/);
const consumer = await egress.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities, paused: true });
assert.deepEqual([consumer.paused, consumer.producerPaused, consumer.kind, consumer.type], [true, false, 'audio', 'simple']);
const out = consumer.rtpParameters.encodings[0].ssrc;

/** The highest sequence number of these packets. */
const consumerHighest = (packets) => packets.at(-1).readUInt16BE(2);

let sequence = 100;
const speak = (count = 5) => {
  for (let at = 0; at < count; at++, sequence++) {
    const payload = Buffer.from(`packet ${sequence}`);
    sender.send(rtp({ payloadType: 111, sequence, timestamp: sequence * 960, ssrc: 1111, payload }), ingress.tuple.localPort);
  }
};
const scored = next(producer, 'score');
const learnt = next(ingress, 'tuple');
speak();
assert.equal((await learnt).remotePort, sender.port);
await until('the packets are counted', async () => (await producer.getStats())[0]?.packetCount === 5);
assert.equal(receiver.rtp(out).length, 0, 'the consumer is paused');
assert.deepEqual(await scored, [{ encodingIdx: 0, ssrc: 1111, rid: undefined, score: 10 }]);
await until('its consumer hears of it', () => consumer.score.producerScore === 10);
assert.deepEqual(consumer.score, { score: 10, producerScore: 10, producerScores: [10] });

await consumer.resume();
speak();
await until('they are forwarded', () => receiver.rtp(out).length === 5);
const payloadType = consumer.rtpParameters.codecs[0].payloadType;
for (const [at, packet] of receiver.rtp(out).entries()) {
  assert.equal(packet[1] & 0x7f, payloadType);
  assert.equal(payloadOf(packet).toString(), `packet ${105 + at}`);
}

// What the producer does, the consumer hears of.
const paused = next(consumer, 'producerpause');
await producer.pause();
await paused;
assert.equal(consumer.producerPaused, true);
const resumed = next(consumer, 'producerresume');
await producer.resume();
await resumed;
const late = await egress.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities });
speak();
await until('both consumers get it', () => receiver.rtp(late.rtpParameters.encodings[0].ssrc).length === 5);

// Dumps and statistics. Bytes are those of whole RTP packets.
const [received] = await producer.getStats();
assert.equal(received.byteCount, 15 * (12 + 'packet 100'.length));
const arrived = receiver.rtp(out).reduce((bytes, packet) => bytes + packet.length, 0);
assert.equal((await consumer.getStats())[0].byteCount, arrived);
assert.deepEqual([received.type, received.kind, received.mimeType, received.ssrc, received.packetCount],
  ['inbound-rtp', 'audio', 'audio/opus', 1111, 15]);
const [sent, source] = await consumer.getStats();
assert.deepEqual([sent.type, sent.ssrc, sent.packetCount, source.type], ['outbound-rtp', out, 10, 'inbound-rtp']);
const [transport] = await ingress.getStats();
assert.equal(transport.type, 'plain-rtp-transport');
assert.ok(transport.bytesReceived >= received.byteCount, JSON.stringify(transport));
const dump = await router.dump();
assert.deepEqual(new Set(dump.transportIds), new Set([ingress.id, egress.id]));
assert.deepEqual(dump.mapConsumerIdProducerId.find(({ key }) => key === consumer.id).value, producer.id);
assert.deepEqual((await egress.dump()).consumerIds.length, 2);
assert.deepEqual((await ingress.dump()).rtpListener.ssrcTable, [{ key: 1111, value: producer.id }]);
const [produced, consumed] = [await producer.dump(), await consumer.dump()];
assert.deepEqual([produced.type, produced.rtpStreams.length, consumed.producerId], ['simple', 1, producer.id]);
assert.deepEqual(consumed.supportedCodecPayloadTypes, [payloadType]);

// Loss shows in scores: what the sender lost in the producer's, what the receiver reports in the consumer's.
const [told, heard] = [[], []];
producer.on('score', ([{ score }]) => told.push(score));
consumer.on('score', ({ score, producerScore }) => heard.push([score, producerScore]));
sequence += 50;
speak();
await until('most packets are lost on the way in', () => told.some((score) => score > 0 && score < 10));
await until('the consumer hears of it', () => heard.some(([score, ofProducer]) => score === 10 && told.includes(ofProducer)));
const report = Buffer.alloc(32);
[[0x81c90007, 0], [1, 4], [out, 8], [(41 << 24) | 1, 12], [consumerHighest(receiver.rtp(out)), 16]].forEach(
  ([word, at]) => report.writeUInt32BE(word >>> 0, at));
receiver.send(report, egress.tuple.localPort);
// A score is the mean of the last looks, one a second: it gets there, and back, in a while.
await until('a sixth is lost on the way out', () => consumer.score.score === 5, 30_000);
assert.equal((await consumer.getStats())[0].score, 5);
speak();
await until('the way in is good again', () => producer.score[0].score === 10, 30_000);

// Refusals change nothing.
assert.match((await refused(ingress.produce({ kind: 'audio', rtpParameters: opus(1111) }))).message, /1111/);
await consumer.enableTraceEvent([]);
assert.equal((await refused(egress.connect({ ip: 'x', port: 1 }))).name, 'Error');
const unconnected = await router.createPlainTransport({ listenInfo: LOCAL });
assert.equal((await refused(unconnected.connect({ ip: 'nowhere', port: 1 }))).name, 'TypeError');
assert.equal((await refused(unconnected.connect({}))).name, 'TypeError');
await unconnected.connect({ ip: '127.0.0.1', port: receiver.port });
unconnected.close();

// RTCP on a port of its own, SRTP with a key, a port that is asked for.
const two = await router.createPlainTransport({ listenInfo: LOCAL, rtcpMux: false });
assert.ok(two.rtcpTuple.localPort !== two.tuple.localPort);
await two.connect({ ip: '127.0.0.1', port: receiver.port, rtcpPort: receiver.port + 1 });
assert.equal(two.rtcpTuple.remotePort, receiver.port + 1);
const srtp = await router.createPlainTransport({ listenInfo: LOCAL, enableSrtp: true, srtpCryptoSuite: 'AEAD_AES_128_GCM' });
assert.equal(Buffer.from(srtp.srtpParameters.keyBase64, 'base64').length, 28);
assert.equal((await refused(srtp.connect({ ip: '127.0.0.1', port: receiver.port }))).name, 'TypeError');
await srtp.connect({ ip: '127.0.0.1', port: receiver.port, srtpParameters:
  { cryptoSuite: 'AEAD_AES_128_GCM', keyBase64: Buffer.alloc(28, 7).toString('base64') } });
await srtp.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities });
const given = await router.createPlainTransport({ listenInfo: { ...LOCAL, portRange: { min: 33_100, max: 33_110 } } });
assert.ok(given.tuple.localPort >= 33_100 && given.tuple.localPort <= 33_110);
const taken = router.createPlainTransport({ listenInfo: { ...LOCAL, port: given.tuple.localPort } });
assert.match((await refused(taken)).message, /listen/);

// Simulcast: one of three encodings is sent, as its consumer prefers, and the choice is told.
const video = await ingress.produce({ kind: 'video', rtpParameters: vp8(2000, 2010, 2020) });
assert.equal(video.type, 'simulcast');
const watcher = await egress.consume({ producerId: video.id, rtpCapabilities: router.rtpCapabilities,
  preferredLayers: { spatialLayer: 1 } });
assert.deepEqual(watcher.preferredLayers, { spatialLayer: 1, temporalLayer: 0 });
const keyFrame = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
let frame = 0;
const film = () => {
  frame++;
  for (const ssrc of [2000, 2010, 2020]) {
    sender.send(rtp({ payloadType: 96, sequence: frame, timestamp: frame * 3000, ssrc, marker: true, payload: keyFrame }),
      ingress.tuple.localPort);
  }
};
const filming = setInterval(film, 33);
let layers;
watcher.on('layerschange', (now) => { layers = now; });
await until('the preferred layer is sent', () => layers?.spatialLayer === 1);
await watcher.setPreferredLayers({ spatialLayer: 0 });
await until('the lowest layer is sent', () => layers?.spatialLayer === 0);
assert.equal((await watcher.dump()).currentSpatialLayer, 0);
assert.equal((await video.getStats()).length, 3);
await watcher.requestKeyFrame();
await watcher.setPriority(5);
assert.equal(watcher.priority, 5);
await until('the sender is asked for a key frame', () => sender.rtcp.length > 0);
clearInterval(filming);

// Layers within an encoding: each is counted with those below it, headers and all, and what is not there is nothing.
const layered = await ingress.produce({ kind: 'video', rtpParameters: { ...vp8(3000),
  encodings: [{ ssrc: 3000, rtx: { ssrc: 3001 }, scalabilityMode: 'L1T3' }] } });
assert.equal(layered.type, 'svc');
const ofLayer = (temporal) => Buffer.concat([Buffer.from([0x90, 0x20, temporal << 6]), keyFrame.subarray(1), Buffer.alloc(88)]);
const layering = setInterval(() => {
  frame++;
  sender.send(rtp({ payloadType: 96, sequence: frame, timestamp: frame * 3000, ssrc: 3000, marker: true, payload: ofLayer(frame % 2) }),
    ingress.tuple.localPort);
}, 10);
const ofLayers = await until('both layers have a bitrate', async () => {
  const stats = (await layered.getStats())[0];
  return stats?.bitrateByLayer['0.1'] > 0 && stats;
});
clearInterval(layering);
const { '0.0': lower, '0.1': upper, '0.2': none } = ofLayers.bitrateByLayer;
assert.ok(lower > 0 && Math.abs(upper / lower - 2) < 0.2 && none === 0, JSON.stringify(ofLayers));
assert.equal(ofLayers.byteCount, ofLayers.packetCount * (12 + ofLayer(0).length));
layered.close();

// Opus without sound: one consumer does without it, and its numbers have no holes there.
const speech = await ingress.produce({ kind: 'audio', rtpParameters: opus(9000) });
const capable = { producerId: speech.id, rtpCapabilities: router.rtpCapabilities };
const [whole, spare] = [await egress.consume(capable), await egress.consume({ ...capable, ignoreDtx: true })];
const words = [Buffer.from([8, 1, 2]), Buffer.from([8]), Buffer.from([10, 0]), Buffer.from([11, 0]), Buffer.from([8, 9, 9])];
words.forEach((payload, at) => sender.send(
  rtp({ payloadType: 111, sequence: at, timestamp: at * 960, ssrc: 9000, payload }), ingress.tuple.localPort));
const of = (one) => receiver.rtp(one.rtpParameters.encodings[0].ssrc);
await until('all of it', () => of(whole).length === words.length && of(spare).length === words.length - 2);
const numbers = of(spare).map((packet) => packet.readUInt16BE(2));
assert.deepEqual(numbers.map((number) => (number - numbers[0]) & 0xffff), [0, 1, 2]);
speech.close();

// Closures: consumers of what closes are told, and nothing is left.
const closed = Promise.all([next(consumer, 'producerclose'), next(late, 'producerclose')]);
producer.close();
await closed;
assert.ok(consumer.closed && late.closed);
const gone = next(watcher, 'producerclose');
ingress.close();
await gone;
const rest = await router.dump();
assert.deepEqual([rest.mapProducerIdConsumerIds, rest.mapConsumerIdProducerId], [[], []]);
router.close();
const end = await worker.dump();
assert.deepEqual([end.routerIds, end.channelMessageHandlers.channelRequestHandlers], [[], []]);
sender.close();
receiver.close();
worker.close();
