// A room wider than a worker: `pipeToRouter` between routers of two workers. All encodings go through the pipe, and the
// other router's consumers choose among them.

import { AUDIO, LOCAL, Peer, VIDEO, assert, next, opus, rtp, startWorker, until, vp8 } from './common.mjs';

const [one, two] = [await startWorker(), await startWorker()];
const near = await one.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const far = await two.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const [sender, receiver] = [await Peer.open(), await Peer.open()];
const ingress = await near.createPlainTransport({ listenInfo: LOCAL, comedia: true });
const egress = await far.createPlainTransport({ listenInfo: LOCAL });
await egress.connect({ ip: '127.0.0.1', port: receiver.port });
const ssrcs = [1000, 1010, 1020];
const video = await ingress.produce({ kind: 'video', rtpParameters: vp8(...ssrcs) });
const audio = await ingress.produce({ kind: 'audio', rtpParameters: opus(2000), paused: true });

const { pipeConsumer, pipeProducer } = await near.pipeToRouter({ producerId: video.id, router: far });
assert.deepEqual([pipeConsumer.type, pipeProducer.type, pipeProducer.id], ['pipe', 'simulcast', video.id]);
assert.equal(pipeConsumer.rtpParameters.encodings.length, 3);
const sound = await near.pipeToRouter({ producerId: audio.id, router: far });
assert.ok(sound.pipeProducer.paused, 'the pipe begins as what is piped');
const viewer = await egress.consume({ producerId: pipeProducer.id, rtpCapabilities: far.rtpCapabilities });
let layers;
viewer.on('layerschange', (now) => { layers = now; });
const listener = await egress.consume({ producerId: sound.pipeProducer.id, rtpCapabilities: far.rtpCapabilities });

const keyFrame = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
let sequence = 0;
const sending = setInterval(() => {
  sequence++;
  for (const [layer, ssrc] of ssrcs.entries()) {
    // A better layer takes more.
    const payload = Buffer.concat([keyFrame, Buffer.alloc(200 * layer), Buffer.from([layer])]);
    sender.send(rtp({ payloadType: 96, sequence, timestamp: sequence * 3000, ssrc, marker: true, payload }), ingress.tuple.localPort);
  }
  sender.send(rtp({ payloadType: 111, sequence, timestamp: sequence * 960, ssrc: 2000 }), ingress.tuple.localPort);
}, 30);
await until('all three encodings arrive', async () =>
  (await pipeProducer.getStats()).filter(({ packetCount }) => packetCount > 10).length === 3);
const out = viewer.rtpParameters.encodings[0].ssrc;
for (const spatialLayer of [0, 2, 1]) {
  await viewer.setPreferredLayers({ spatialLayer });
  await until(`layer ${spatialLayer}`, () => layers?.spatialLayer === spatialLayer);
  await until(`its packets`, () => receiver.rtp(out).at(-1)?.at(-1) === spatialLayer);
}
assert.equal((await pipeConsumer.getStats()).length, 3);
assert.equal((await pipeConsumer.dump()).rtpStreams.length, 3);
const [pipe] = [...near.transportsForTesting.values()].filter(({ type }) => type === 'pipe');
assert.equal((await pipe.getStats())[0].type, 'pipe-transport');
assert.equal((await pipe.dump()).mapSsrcConsumerId.length, 4);

// A pause goes through the pipe, and so does the end.
assert.equal(receiver.rtp(listener.rtpParameters.encodings[0].ssrc).length, 0);
const resumed = next(listener, 'producerresume');
await audio.resume();
await resumed;
await until('sound', () => receiver.rtp(listener.rtpParameters.encodings[0].ssrc).length > 5);
const paused = next(viewer, 'producerpause');
await video.pause();
await paused;
const closed = next(viewer, 'producerclose');
video.close();
await closed;
clearInterval(sending);

// SRTP between pipes, and a pipe by hand.
const [here, there] = [await near.createPipeTransport({ listenInfo: LOCAL, enableSrtp: true, enableRtx: true }),
  await far.createPipeTransport({ listenInfo: LOCAL, enableSrtp: true, enableRtx: true })];
assert.equal(here.srtpParameters.cryptoSuite, 'AEAD_AES_256_GCM');
for (const [from, to] of [[here, there], [there, here]]) {
  await from.connect({ ip: '127.0.0.1', port: to.tuple.localPort, srtpParameters: to.srtpParameters });
}
const encrypted = await here.consume({ producerId: audio.id });
const decrypted = await there.produce({ kind: 'audio', rtpParameters: encrypted.rtpParameters });
await until('sound comes through SRTP', async () => {
  sender.send(rtp({ payloadType: 111, sequence: ++sequence, timestamp: sequence * 960, ssrc: 2000 }), ingress.tuple.localPort);
  return (await decrypted.getStats())[0]?.packetCount > 5;
});
for (const worker of [one, two]) worker.close();
sender.close();
receiver.close();
