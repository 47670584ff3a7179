// Where an application can tell a worker of mediasoup from another: what objects are when they are new, what a wrong
// request is refused with, what happens if something is asked for twice, and which states are told.

import { AUDIO, LOCAL, Peer, VIDEO, assert, next, opus, refused, rtp, startWorker, until, vp8 } from './common.mjs';

const worker = await startWorker();
const router = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO,
  { kind: 'video', mimeType: 'video/VP9', clockRate: 90000 }] });
const capable = { rtpCapabilities: router.rtpCapabilities };
/** Refused with a class of error, and a text that has this in it. */
const isRefused = async (promise, name, text) => {
  const error = await refused(promise);
  assert.equal(error.name, name, error.message);
  assert.match(error.message, text);
};

// Bitrates of transports on which nothing is estimated are checked, kept and told all the same.
const plain = await router.createPlainTransport({ listenInfo: LOCAL, rtcpMux: false });
await isRefused(plain.setMaxOutgoingBitrate(29_999), 'TypeError', /30000/);
await isRefused(plain.setMinOutgoingBitrate(1), 'TypeError', /30000/);
await plain.setMaxIncomingBitrate(1);
await plain.setMinOutgoingBitrate(50_000);
await isRefused(plain.setMaxOutgoingBitrate(40_000), 'TypeError', /min outgoing bitrate/);
await plain.setMaxOutgoingBitrate(3_000_000_000);
await isRefused(plain.setMinOutgoingBitrate(3_000_000_001), 'TypeError', /max outgoing bitrate/);
const bounds = ({ maxIncomingBitrate, maxOutgoingBitrate, minOutgoingBitrate }) =>
  [maxIncomingBitrate, maxOutgoingBitrate, minOutgoingBitrate];
assert.deepEqual(bounds((await plain.getStats())[0]), [1, 3_000_000_000, 50_000]);
await Promise.all([plain.setMaxIncomingBitrate(0), plain.setMaxOutgoingBitrate(0), plain.setMinOutgoingBitrate(0)]);
const [idle] = await plain.getStats();
assert.deepEqual(bounds(idle), [undefined, undefined, undefined]);
// A second address is in statistics once it is known whose, and in dumps before.
assert.deepEqual([idle.rtcpTuple, (await plain.dump()).rtcpTuple.localPort], [undefined, plain.rtcpTuple.localPort]);

// Codecs have their kinds of encodings.
const two = (mimeType) => ({ ...vp8(10, 20), codecs: [{ mimeType, payloadType: 96, clockRate: 90000 }] });
await isRefused(plain.produce({ kind: 'video', rtpParameters: two('video/VP9') }), 'TypeError', /not supported for simulcast/);
const layered = { ...opus(10), encodings: [{ ssrc: 10, scalabilityMode: 'L1T3' }] };
await isRefused(plain.produce({ kind: 'audio', rtpParameters: layered }), 'TypeError', /invalid RTP parameters/);

const named = (mid, ssrc) => plain.produce({ kind: 'audio', rtpParameters: { ...opus(ssrc), mid } });
const first = await named('one', 31);
await isRefused(named('one', 32), 'Error', /MID/);
assert.equal((await first.dump()).rtpParameters.encodings[0].scalabilityMode, 'S1T1');

// Streams tell what their codec's parameters say, and bitrates by layer only where there are layers.
const peer = await Peer.open();
const listening = await Peer.open();
const comedia = await router.createPlainTransport({ listenInfo: LOCAL, comedia: true });
const speech = await comedia.produce({ kind: 'audio', rtpParameters: { ...opus(100),
  codecs: [{ ...opus(100).codecs[0], parameters: { useinbandfec: 1, usedtx: 1 } }] } });
const film = await comedia.produce({ kind: 'video', rtpParameters: { ...vp8(200, 210),
  encodings: [{ ssrc: 200, scalabilityMode: 'L1T3' }, { ssrc: 210, scalabilityMode: 'L1T3' }] } });
const out = await router.createPlainTransport({ listenInfo: LOCAL });
await out.connect({ ip: '127.0.0.1', port: listening.port });
const [heard, seen] = [await out.consume({ producerId: speech.id, ...capable }), await out.consume({ producerId: film.id, ...capable })];
assert.deepEqual(heard.score, { score: 10, producerScore: 0, producerScores: [0] });
assert.deepEqual(seen.score, { score: 10, producerScore: 0, producerScores: [0, 0] });
assert.deepEqual([heard.preferredLayers, seen.preferredLayers], [undefined, { spatialLayer: 1, temporalLayer: 2 }]);
assert.deepEqual([await speech.getStats(), (await speech.dump()).rtpStreams], [[], undefined]);
assert.equal((await heard.getStats()).length, 1, 'its own stream, while nothing comes');
const sentStream = (await heard.dump()).rtpStream.params;
assert.deepEqual([sentStream.useInBandFec, sentStream.useDtx], [true, true]);
const keyFrame = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
let sequence = 0;
const filming = setInterval(() => {
  sequence++;
  peer.send(rtp({ payloadType: 111, sequence, timestamp: sequence * 960, ssrc: 100 }), comedia.tuple.localPort);
  for (const ssrc of [200, 210]) {
    peer.send(rtp({ payloadType: 96, sequence, timestamp: sequence * 1800, ssrc, marker: true, payload: keyFrame }), comedia.tuple.localPort);
  }
}, 20);
await until('statistics of all streams', async () => (await film.getStats()).length === 2 && (await speech.getStats()).length === 1);
assert.deepEqual((await speech.getStats())[0].bitrateByLayer, {});
assert.deepEqual(Object.keys((await film.getStats())[0].bitrateByLayer), ['0.0', '0.1', '0.2']);
await until('a bitrate of the lowest layer', async () => (await film.getStats())[0].bitrateByLayer['0.0'] > 0);
const [received] = (await speech.dump()).rtpStreams;
assert.deepEqual([received.params.useInBandFec, received.params.useDtx, received.params.cname], [true, true, 'somebody']);

// Pauses: twice is once, and what is sent is told to be nothing until it goes on.
let layers = [];
seen.on('layerschange', (now) => layers.push(now));
await until('the best layer', () => seen.currentLayers?.spatialLayer === 1);
assert.equal(seen.score.producerScore, seen.score.producerScores[1]);
layers = [];
await seen.pause();
await seen.pause();
await until('nothing is sent', () => layers.length > 0);
assert.equal(seen.currentLayers, undefined);
await seen.resume();
await seen.resume();
await until('it goes on', () => seen.currentLayers?.spatialLayer === 1);
layers = [];
let pauses = 0;
seen.on('producerpause', () => pauses++);
await film.pause();
await film.pause();
await until('nothing is sent', () => layers.includes(undefined));
assert.deepEqual([pauses, seen.producerPaused], [1, true]);
await film.resume();
await film.resume();
await until('it goes on', () => seen.currentLayers?.spatialLayer === 1);
// Layers that there are not become those that there are; a priority is checked and unset.
await seen.setPreferredLayers({ spatialLayer: 9, temporalLayer: 9 });
assert.deepEqual(seen.preferredLayers, { spatialLayer: 1, temporalLayer: 2 });
await heard.setPreferredLayers({ spatialLayer: 1, temporalLayer: 1 });
assert.equal(heard.preferredLayers, undefined);
await isRefused(seen.setPriority(0), 'TypeError', /priority/);
await seen.setPriority(7);
await seen.unsetPriority();
assert.deepEqual([seen.priority, (await seen.dump()).priority], [1, 1]);
clearInterval(filming);

// Transports tell how much of what they carry is RTP.
const [[inwards], [outwards]] = [await comedia.getStats(), await out.getStats()];
assert.ok(inwards.rtpBytesReceived > 0 && inwards.rtpBytesReceived <= inwards.bytesReceived, JSON.stringify(inwards));
assert.ok(outwards.rtpBytesSent > 0 && outwards.rtpBytesSent <= outwards.bytesSent, JSON.stringify(outwards));
assert.deepEqual([inwards.rtxBytesReceived, outwards.rtxBytesSent, outwards.probationBytesSent], [0, 0, 0]);

// An SSRC of a producer that has closed is free.
speech.close();
await comedia.produce({ kind: 'audio', rtpParameters: opus(100) });
await isRefused(comedia.produce({ kind: 'audio', rtpParameters: opus(100) }), 'Error', /100/);

// Observers take sound alone, and one that tells who speaks takes it once.
const [levels, speaker] = [await router.createAudioLevelObserver(), await router.createActiveSpeakerObserver()];
const voice = await comedia.produce({ kind: 'audio', rtpParameters: opus(300) });
for (const observer of [levels, speaker]) {
  await isRefused(observer.addProducer({ producerId: film.id }), 'TypeError', /audio/);
  await observer.addProducer({ producerId: voice.id });
}
await levels.addProducer({ producerId: voice.id });
await isRefused(speaker.addProducer({ producerId: voice.id }), 'Error', /already/);
await speaker.removeProducer({ producerId: voice.id });
await speaker.removeProducer({ producerId: voice.id });

// Data: what direct transports have not, what waits for nobody, and how much fits.
const direct = await router.createDirectTransport({ maxReceiveMessageSize: 100 });
const words = await direct.produceData({ label: 'words', protocol: 'none' });
const told = await direct.consumeData({ dataProducerId: words.id });
for (const asked of [told.getBufferedAmount(), told.setBufferedAmountLowThreshold(1), told.send('x')]) {
  await isRefused(asked, 'TypeError', /type/);
}
const messages = [];
told.on('message', (message) => messages.push(String(message)));
words.send('y'.repeat(101));
words.send('z'.repeat(100));
await until('the one that fits', () => messages.length > 0);
assert.equal(messages[0], 'z'.repeat(100));
await isRefused(plain.produceData({ sctpStreamParameters: { streamId: 1 } }), 'Error', /SCTP/);
await isRefused(plain.consumeData({ dataProducerId: words.id }), 'Error', /SCTP/);

// SCTP begins when both the other side and something to say are there.
const near = await router.createPlainTransport({ listenInfo: LOCAL, enableSctp: true, sctpDefaultStreamBufferedAmountLowThreshold: 7 });
const far = await router.createPlainTransport({ listenInfo: LOCAL, enableSctp: true });
const states = [];
near.on('sctpstatechange', (state) => states.push(state));
const leaving = await near.consumeData({ dataProducerId: words.id, ordered: false, maxRetransmits: 3 });
assert.deepEqual(leaving.sctpStreamParameters, { streamId: leaving.sctpStreamParameters.streamId, ordered: false, maxPacketLifeTime: undefined, maxRetransmits: 3 });
assert.deepEqual([near.sctpState, leaving.bufferedAmountLowThreshold ?? 7, (await leaving.dump()).bufferedAmountLowThreshold], ['new', 7, 7]);
await far.connect({ ip: '127.0.0.1', port: near.tuple.localPort });
assert.equal(far.sctpState, 'new', 'nobody needs it');
const stream = { sctpStreamParameters: { streamId: leaving.sctpStreamParameters.streamId } };
const arriving = await far.produceData({ ...stream, paused: true });
assert.deepEqual([arriving.paused, arriving.sctpStreamParameters.ordered], [true, true]);
await isRefused(far.produceData(stream), 'Error', /streamId/);
for (const wrong of [{ ordered: true, maxRetransmits: 1 }, { maxPacketLifeTime: 1, maxRetransmits: 1 }]) {
  await isRefused(far.produceData({ sctpStreamParameters: { streamId: 5, ...wrong } }), 'TypeError', /max/);
}
await near.connect({ ip: '127.0.0.1', port: far.tuple.localPort });
await until('both are connected', () => near.sctpState === 'connected' && far.sctpState === 'connected');
assert.deepEqual([...new Set(states)], ['connecting', 'connected']);
const low = next(leaving, 'bufferedamountlow');
assert.equal(typeof await leaving.send('more than seven bytes'), 'number');
assert.equal(await low, 0);
await until('it is counted, though paused', async () => (await arriving.getStats())[0].messagesReceived === 1);
await leaving.pause();
await isRefused(leaving.send('to nobody'), 'Error', /failed/);
await leaving.resume();
await words.pause();
await isRefused(leaving.send('to nobody'), 'Error', /failed/);

// A side that answers without a cookie: the association has failed, and is closed from then on.
const alone = await router.createPlainTransport({ listenInfo: LOCAL, enableSctp: true });
await alone.produceData(stream);
const [INIT, INIT_ACK] = [1, 2];
const castagnoli = (bytes) => {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
};
const stranger = await Peer.open();
stranger.socket.on('message', (packet) => {
  if (packet[12] !== INIT) return;
  const answer = Buffer.alloc(32);
  packet.copy(answer, 0, 0, 4);
  packet.copy(answer, 4, 16, 20);
  answer.set([INIT_ACK, 0, 0, 20], 12);
  packet.copy(answer, 16, 16, 32);
  answer.writeUInt32LE(castagnoli(answer), 8);
  stranger.send(answer, alone.tuple.localPort);
});
const course = [];
alone.on('sctpstatechange', (state) => course.push(state));
await alone.connect({ ip: '127.0.0.1', port: stranger.port });
await until('it has failed', () => alone.sctpState === 'failed');
assert.deepEqual([course, (await alone.dump()).sctpState, (await alone.getStats())[0].sctpState], [['connecting', 'failed'], 'closed', 'closed']);
stranger.close();

// Suites of SRTP: each that the library knows carries sound to another transport, and pipes have but one.
for (const srtpCryptoSuite of ['AEAD_AES_256_GCM', 'AEAD_AES_128_GCM', 'AES_CM_128_HMAC_SHA1_80', 'AES_CM_128_HMAC_SHA1_32']) {
  const [from, to] = await Promise.all([0, 1].map(() => router.createPlainTransport({ listenInfo: LOCAL, enableSrtp: true, srtpCryptoSuite })));
  assert.equal(from.srtpParameters.cryptoSuite, srtpCryptoSuite);
  await from.connect({ ip: '127.0.0.1', port: to.tuple.localPort, srtpParameters: to.srtpParameters });
  await to.connect({ ip: '127.0.0.1', port: from.tuple.localPort, srtpParameters: from.srtpParameters });
  const sealed = await from.consume({ producerId: voice.id, ...capable });
  const opened = await to.produce({ kind: 'audio', rtpParameters: sealed.rtpParameters });
  await until(`sound through ${srtpCryptoSuite}`, async () => {
    peer.send(rtp({ payloadType: 111, sequence: ++sequence, timestamp: sequence * 960, ssrc: 300 }), comedia.tuple.localPort);
    return (await opened.getStats())[0]?.packetCount > 3;
  });
}
const pipe = await router.createPipeTransport({ listenInfo: LOCAL, enableSrtp: true });
const short = { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80', keyBase64: Buffer.alloc(30).toString('base64') };
await isRefused(pipe.connect({ ip: '127.0.0.1', port: peer.port, srtpParameters: short }), 'TypeError', /cryptoSuite/);

// An address of IPv6 takes IPv4 as well, unless it is told not to.
const both = await router.createPlainTransport({ listenInfo: { protocol: 'udp', ip: '::' }, comedia: true });
const met = next(both, 'tuple');
await both.produce({ kind: 'audio', rtpParameters: opus(400) });
peer.send(rtp({ payloadType: 111, sequence: 1, ssrc: 400 }), both.tuple.localPort);
assert.deepEqual([(await met).remoteIp, (await met).remotePort], ['::ffff:127.0.0.1', peer.port]);
const port = both.tuple.localPort;
both.close();
const six = await router.createPlainTransport({ listenInfo: { protocol: 'udp', ip: '::', port, flags: { ipv6Only: true } } });
const four = await router.createPlainTransport({ listenInfo: { protocol: 'udp', ip: '0.0.0.0', port } });
assert.equal(six.tuple.localPort, four.tuple.localPort);

worker.close();
peer.close();
listening.close();
