// Direct transports: messages between the application and itself, subchannels, pauses, closures.

import { AUDIO, assert, next, refused, startWorker, until } from './common.mjs';

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
assert.equal(await all.getBufferedAmount(), 0);
assert.match((await refused(one.produceData({ id: producer.id }))).message, /same id/);
const [stats, dump] = [(await one.getStats())[0], await one.dump()];
assert.deepEqual([stats.type, dump.direct, dump.dataProducerIds], ['direct-transport', dump.direct, [producer.id]]);

const closed = Promise.all(consumers.map((consumer) => next(consumer, 'dataproducerclose')));
one.close();
await closed;
assert.deepEqual((await two.dump()).dataConsumerIds, []);
router.close();
assert.deepEqual((await worker.dump()).channelMessageHandlers.channelRequestHandlers, []);
worker.close();
