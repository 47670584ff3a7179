// Messages between routers of two workers, over SCTP that nothing protects: through a pipe, with subchannels, and between
// two plain transports, one of which learns where the other is.

import { AUDIO, LOCAL, assert, next, refused, startWorker, until } from './common.mjs';

const [one, two] = [await startWorker(), await startWorker()];
const [near, far] = [await one.createRouter({ mediaCodecs: [AUDIO] }), await two.createRouter({ mediaCodecs: [AUDIO] })];
const [speaker, listener] = [await near.createDirectTransport(), await far.createDirectTransport()];

// A pipe carries a data producer, and to whom its messages go.
const producer = await speaker.produceData({ label: 'chat', protocol: 'text' });
const { pipeDataConsumer, pipeDataProducer } = await near.pipeToRouter({ dataProducerId: producer.id, router: far });
assert.deepEqual([pipeDataConsumer.type, pipeDataProducer.type, pipeDataProducer.id, pipeDataProducer.label],
  ['sctp', 'sctp', producer.id, 'chat']);
const consumers = [];
for (const subchannels of [[], [1], [1, 2]]) {
  const consumer = await listener.consumeData({ dataProducerId: producer.id, subchannels });
  consumer.heard = [];
  consumer.on('message', (message, ppid) => consumer.heard.push(`${message}/${ppid}`));
  consumers.push(consumer);
}
producer.send('to all');
producer.send('to one', undefined, [1]);
producer.send('needs two', undefined, [1], 2);
producer.send('not for one', undefined, undefined, undefined, 1);
producer.send(Buffer.from([1, 2, 3]));
for (const consumer of consumers) await until('the last one', () => consumer.heard.at(-1)?.endsWith('/53'));
assert.deepEqual(consumers.map(({ heard }) => heard.slice(0, -1).map((text) => text.split('/')[0])),
  [['to all', 'not for one'], ['to all', 'to one'], ['to all', 'to one', 'needs two']]);
// What looks like subchannels, and was not said to be for any, arrives as it is.
const forged = Buffer.concat([Buffer.from('a5f09cb3d6e1f28c00010002', 'hex'), Buffer.from('hello')]);
producer.send(forged);
await until('it', () => consumers[0].heard.length === 4);
for (const { heard } of consumers) assert.equal(heard.at(-1), `${forged}/53`);
const [piped] = await pipeDataProducer.getStats();
assert.equal(piped.messagesReceived, 6);
const pipes = [...near.transportsForTesting.values()].filter(({ type }) => type === 'pipe');
assert.deepEqual([pipes.length, pipes[0].sctpState], [1, 'connected']);
const closed = Promise.all(consumers.map((consumer) => next(consumer, 'dataproducerclose')));
producer.close();
await closed;

// Plain transports: the passive one learns the other side from its first packet.
const active = await near.createPlainTransport({ listenInfo: LOCAL, enableSctp: true, maxSendMessageSize: 1000 });
const passive = await far.createPlainTransport({ listenInfo: LOCAL, enableSctp: true, comedia: true });
assert.deepEqual([active.sctpState, passive.sctpState, active.sctpParameters.maxSendMessageSize], ['new', 'new', 1000]);
const talk = await speaker.produceData();
const leaving = await active.consumeData({ dataProducerId: talk.id, ordered: true });
const connected = [next(active, 'sctpstatechange'), next(passive, 'tuple')];
await active.connect({ ip: '127.0.0.1', port: passive.tuple.localPort });
await Promise.all(connected);
await until('they are connected', () => active.sctpState === 'connected' && passive.sctpState === 'connected');
assert.deepEqual((await active.dump()).sctpNegotiatedCapabilities,
  { negotiatedMaxOutboundStreams: 65535, negotiatedMaxInboundStreams: 65535 });
assert.equal(passive.tuple.remotePort, active.tuple.localPort);
const arriving = await passive.produceData({ sctpStreamParameters: { streamId: leaving.sctpStreamParameters.streamId } });
const heard = [];
const hears = await listener.consumeData({ dataProducerId: arriving.id });
hears.on('message', (message) => heard.push(String(message)));
const words = Array.from({ length: 300 }, (_, at) => `word ${at}`);
words.forEach((word) => talk.send(word));
await until('every word', () => heard.length === words.length);
assert.deepEqual(heard, words);
assert.match((await refused(leaving.send('x'.repeat(1001)))).message, /message/);
// Sizes that the application gives: so much waits on a stream, and no more is taken.
const narrow = await near.createPlainTransport({ listenInfo: LOCAL, enableSctp: true, sctpPerStreamSendQueueLimit: 2500 });
const full = await narrow.consumeData({ dataProducerId: talk.id });
const isFull = next(full, 'sctpsendbufferfull');
await narrow.connect({ ip: '127.0.0.1', port: 9 });
for (let time = 0; time < 3; time++) talk.send('x'.repeat(1000));
await until('three wait', async () => (await full.getBufferedAmount()) === 3000);
talk.send('one more');
await isFull;
assert.equal(await full.getBufferedAmount(), 3000);
narrow.close();
assert.ok((await refused(passive.produceData({ sctpStreamParameters: { streamId: 65535 } }))) instanceof TypeError);
const over = next(passive, 'sctpstatechange');
active.close();
assert.equal(await over, 'closed');

// Two transports may share an address if both want it; the library reads the suite that the other side has chosen.
const group = { protocol: 'udp', ip: '224.0.0.1', flags: { udpReusePort: true } };
const first = await near.createPlainTransport({ listenInfo: group });
const shared = { ...group, port: first.tuple.localPort };
assert.equal((await near.createPlainTransport({ listenInfo: shared })).tuple.localPort, shared.port);
await refused(near.createPlainTransport({ listenInfo: { ...shared, flags: {} } }));
const [left, right] = [await near.createPlainTransport({ listenInfo: LOCAL, enableSrtp: true }),
  await far.createPlainTransport({ listenInfo: LOCAL, enableSrtp: true, srtpCryptoSuite: 'AEAD_AES_128_GCM' })];
await left.connect({ ip: '127.0.0.1', port: right.tuple.localPort, srtpParameters: right.srtpParameters });
assert.equal(left.srtpParameters.cryptoSuite, 'AEAD_AES_128_GCM');
await right.connect({ ip: '127.0.0.1', port: left.tuple.localPort, srtpParameters: left.srtpParameters });
for (const worker of [one, two]) worker.close();
