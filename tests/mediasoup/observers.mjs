// Observers of sound: levels in real packets, the loudest, silence, and who speaks.

import { AUDIO, LOCAL, Peer, VIDEO, assert, next, opus, refused, rtp, startWorker, until, vp8 } from './common.mjs';

const LEVEL = { uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level', id: 3 };
const worker = await startWorker();
const router = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const levels = await router.createAudioLevelObserver({ maxEntries: 2, threshold: -70, interval: 300 });
const speaker = await router.createActiveSpeakerObserver({ interval: 200 });
assert.equal((await refused(router.createAudioLevelObserver({ threshold: 5 }))).name, 'TypeError');

const peer = await Peer.open();
const senders = [];
for (const ssrc of [100, 200]) {
  const transport = await router.createPlainTransport({ listenInfo: LOCAL, comedia: true });
  const producer = await transport.produce({ kind: 'audio', rtpParameters: { ...opus(ssrc), headerExtensions: [LEVEL] } });
  await levels.addProducer({ producerId: producer.id });
  await speaker.addProducer({ producerId: producer.id });
  senders.push({ ssrc, transport, producer, level: 90 });
}
const dump = await router.dump();
assert.deepEqual(new Set(dump.rtpObserverIds), new Set([levels.id, speaker.id]));
assert.equal(dump.mapProducerIdObserverIds.find(({ key }) => key === senders[0].producer.id).values.length, 2);

let sequence = 0;
const talking = setInterval(() => {
  sequence++;
  for (const { ssrc, transport, level } of senders) {
    const packet = rtp({ payloadType: 111, sequence, timestamp: sequence * 960, ssrc });
    packet[0] |= 0x10;
    // One element of one byte: the level, and that it is speech. Speech has pauses.
    const now = level < 50 && sequence % 10 === 0 ? 90 : level;
    const extension = Buffer.from([0xbe, 0xde, 0, 1, LEVEL.id << 4, 0x80 | now, 0, 0]);
    peer.send(Buffer.concat([packet.subarray(0, 12), extension, packet.subarray(12)]), transport.tuple.localPort);
  }
}, 20);
const [one, two] = senders;
one.level = 20;
const volumes = await next(levels, 'volumes');
assert.deepEqual(volumes.map(({ producer }) => producer.id), [one.producer.id]);
assert.ok(volumes[0].volume <= -20 && volumes[0].volume >= -35, String(volumes[0].volume));
let dominant;
speaker.on('dominantspeaker', ({ producer }) => { dominant = producer.id; });
[one.level, two.level] = [90, 10];
await until('the other one dominates', () => dominant === two.producer.id);
[one.level, two.level] = [90, 90];
await next(levels, 'silence');
await levels.pause();
two.level = 10;
await levels.resume();
await next(levels, 'volumes');
await speaker.removeProducer({ producerId: two.producer.id });
assert.match((await refused(levels.addProducer({ producerId: 'nobody' }))).message, /nobody/);
const video = await one.transport.produce({ kind: 'video', rtpParameters: vp8(5000) });
assert.match((await refused(levels.addProducer({ producerId: video.id }))).message, /audio/);
clearInterval(talking);
levels.close();
assert.deepEqual((await router.dump()).rtpObserverIds, [speaker.id]);
router.close();
assert.deepEqual((await worker.dump()).channelMessageHandlers.channelRequestHandlers, []);
peer.close();
worker.close();
