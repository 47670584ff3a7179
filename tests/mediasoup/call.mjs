// A call through a server as they are usually written with mediasoup: a pool of workers made in a loop, each with a
// WebRtcServer, the next one taken in turn for every new room, resource usage printed at an interval, exit when one has
// died. Two pages of Chromium with mediasoup-client meet in a room: one publishes VP8 in three sizes, Opus and a data
// channel, the other one watches.

import { AUDIO, VIDEO, assert, next, startWorker, until } from './common.mjs';
import { launch, open, peer } from './meet.mjs';

const WORKERS = 2;
const CODECS = [AUDIO, VIDEO, { kind: 'video', mimeType: 'video/VP9', clockRate: 90000, parameters: { 'profile-id': 0 } }];

// The pool.
const workers = [];
for (let at = 0; at < WORKERS; at++) {
  const worker = await startWorker({ logLevel: 'warn', rtcMinPort: 34_000, rtcMaxPort: 34_999 });
  worker.appData.webRtcServer = await worker.createWebRtcServer({ listenInfos: [
    { protocol: 'udp', ip: '127.0.0.1', port: 34_100 + at }, { protocol: 'tcp', ip: '127.0.0.1', port: 34_100 + at }] });
  workers.push(worker);
}
const usages = [];
const usageTimer = setInterval(async () => {
  for (const worker of workers) usages.push(await worker.getResourceUsage());
}, 500);
let nextWorker = 0;
const takeWorker = () => workers[nextWorker++ % workers.length];

async function createRoom() {
  const worker = takeWorker();
  return { worker, router: await worker.createRouter({ mediaCodecs: CODECS }) };
}

const browser = await launch('chromium');
const rooms = [await createRoom(), await createRoom()];
assert.notEqual(rooms[0].worker, rooms[1].worker, 'rooms are on workers in turn');
const [room] = rooms;
const [alice, bob] = [peer(room), peer(room)];
const [publisher, viewer] = [await open(browser, 'publisher', alice), await open(browser, 'viewer', bob)];

const sizes = [4, 2, 1].map((scaleResolutionDownBy, at) =>
  ({ scaleResolutionDownBy, scalabilityMode: 'L1T3', maxBitrate: [150_000, 500_000, 1_500_000][at] }));
const published = await publisher('publish', 'video/vp8', sizes);
assert.equal(alice.made.get(published.video).type, 'simulcast');
const [video, audio] = [await viewer('consume', published.video), await viewer('consume', published.audio)];
const consumer = bob.made.get(video);
let layers;
consumer.on('layerschange', (now) => { layers = now; });
const pictures = async (count) => until(`${count} more pictures`, async () => {
  const { framesDecoded = 0 } = await viewer('received', video);
  return framesDecoded >= count && framesDecoded;
});
const first = await pictures(30);
await until('sound', async () => (await viewer('received', audio)).totalSamplesReceived > 48_000);

// What the server is told of both transports.
for (const state of ['ice connected', 'ice completed', 'dtls connecting', 'dtls connected', 'tuple']) {
  assert.ok(alice.states.includes(state) || state === 'ice connected', `${state} in ${alice.states}`);
  assert.ok(bob.states.includes(state) || state === 'ice connected', `${state} in ${bob.states}`);
}
assert.match(alice.send.dtlsRemoteCert, /^-----BEGIN CERTIFICATE-----\n/);
assert.equal(alice.send.iceSelectedTuple.protocol, 'udp');
assert.deepEqual(bob.recv.iceCandidates.map(({ address, protocol }) => `${protocol} ${address}`),
  ['udp 127.0.0.1', 'tcp 127.0.0.1']);
assert.deepEqual([bob.recv.iceSelectedTuple.localAddress, bob.recv.iceSelectedTuple.localPort],
  ['127.0.0.1', bob.recv.iceCandidates[0].port]);
const [stats] = await bob.recv.getStats();
assert.deepEqual([stats.type, stats.iceState, stats.dtlsState], ['webrtc-transport', 'completed', 'connected']);
assert.ok(stats.bytesSent > 10_000 && stats.availableOutgoingBitrate > 0, JSON.stringify(stats));
await until('a trace of the bitrate', () => bob.states.includes('trace bwe'));
await until('traces of padding that probes the path, if there was any', async () =>
  bob.states.includes('trace probation') === (await bob.recv.getStats())[0].probationBytesSent > 0);

// Layers: the highest at first, the lowest when it is asked for, and back.
const width = (wanted) => until(`pictures of ${wanted}`, async () => (await viewer('received', video)).frameWidth === wanted);
await until('three layers come', async () => (await alice.made.get(published.video).getStats()).length === 3);
await consumer.setPreferredLayers({ spatialLayer: 0 });
await until('the lowest layer', () => layers?.spatialLayer === 0);
await width(320);
await consumer.setPreferredLayers({ spatialLayer: 1, temporalLayer: 2 });
await until('the middle layer', () => layers?.spatialLayer === 1);
await width(640);

// Pauses are told and stop the pictures; with the end of a pause they come again.
const paused = next(consumer, 'producerpause');
await alice.made.get(published.video).pause();
await paused;
const { framesDecoded: still } = await viewer('received', video);
const resumed = next(consumer, 'producerresume');
await alice.made.get(published.video).resume();
await resumed;
await pictures(still + 30);

// Data.
const dataProducer = await publisher('publishData', 'chat');
const dataConsumer = bob.made.get(await viewer('consumeData', dataProducer));
await until('data flows', async () => {
  await publisher('say', 'hello');
  return (await viewer('messages')).includes('hello');
});
assert.ok((await dataConsumer.getStats())[0].messagesSent > 0);
assert.ok((await alice.made.get(dataProducer).getStats())[0].messagesReceived > 0);
assert.ok(bob.states.includes('sctp connected'), bob.states.join());
await dataConsumer.setBufferedAmountLowThreshold(1_000);

// A bot on a direct transport says something to the viewer, and hears what the publisher says.
const bot = await room.router.createDirectTransport({ maxMessageSize: 512 });
const voice = await bot.produceData({ label: 'bot' });
assert.equal(voice.type, 'direct');
const toViewer = bob.made.get(await viewer('consumeData', voice.id));
await until('the bot is heard', async () => {
  voice.send('from the bot');
  return (await viewer('messages')).includes('from the bot');
});
await toViewer.send('to you alone');
await until('what is for one alone', async () => (await viewer('messages')).includes('to you alone'));
const ear = await bot.consumeData({ dataProducerId: dataProducer });
const heard = next(ear, 'message');
await publisher('say', 'to the bot');
assert.equal(String(await heard), 'to the bot');
assert.equal((await bot.getStats())[0].type, 'direct-transport');
assert.deepEqual((await bot.dump()).dataProducerIds, [voice.id]);
const silenced = next(toViewer, 'dataproducerclose');
bot.close();
await silenced;
assert.equal(await dataConsumer.getBufferedAmount(), 0);

// A client that closes a channel takes its data consumer with it, and not its data producer: that is the application's,
// and when it closes that, who hears it has the channel closed.
const another = await viewer('consumeData', dataProducer);
await bob.made.get(another).dump();
await viewer('closeData', another);
await until('its end', () => bob.made.get(another).dump().then(() => false, ({ message }) => /not found/.test(message)));
await publisher('closeData');
await until('the channel is closed on either side', async () => (await publisher('channelState')) === 'closed');
assert.deepEqual((await alice.made.get(dataProducer).dump()).id, dataProducer);
assert.equal(await viewer('channelState', dataConsumer.id), 'open');
const over = next(dataConsumer, 'dataproducerclose');
alice.made.get(dataProducer).close();
await over;
await until('the viewer is told by its channel', async () => (await viewer('channelState', dataConsumer.id)) === 'closed');

// ICE restarts, and pictures go on.
const iceParameters = await bob.recv.restartIce();
await viewer('restartIce', 'recv', iceParameters);
await pictures((await viewer('received', video)).framesDecoded + 60);
assert.equal(await viewer('state', 'recv'), 'connected');
assert.ok(first > 0);

console.log(JSON.stringify({ layers, received: await viewer('received', video), stats, alice: alice.states, bob: bob.states }));

// A transport closes with what is inside it.
const closed = next(consumer, 'producerclose');
alice.send.close();
await closed;
assert.ok(usages.length > WORKERS && usages.every(({ ru_utime: time }) => time >= 0));

// The server that closes closes its transports.
await peer(room).createTransport('send');
const [last] = [...room.router.transportsForTesting.values()].slice(-1);
const gone = next(last, 'listenserverclose');
room.worker.appData.webRtcServer.close();
await gone;

// When a worker has died the program of such a server exits.
clearInterval(usageTimer);
await browser.close();
workers[1].removeAllListeners('died');
const died = next(workers[1], 'died');
process.kill(workers[1].pid, 'SIGKILL');
await died;
workers[0].close();
process.exit(0);
