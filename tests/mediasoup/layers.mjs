// Layers within one encoding, from Chromium to Chromium: VP9, and AV1, of which a viewer gets the lowest, because the
// library gives consumers no dependency descriptor. Then Firefox: it watches what Chromium sends, and is watched.

import { AUDIO, VIDEO, assert, startWorker, until } from './common.mjs';
import { ADDRESS, launch, open, peer } from './meet.mjs';

/** On few cores three layers are slow to encode, and to be all there. */
const ENCODER_MS = 60_000;

const worker = await startWorker({ rtcMinPort: 35_000, rtcMaxPort: 35_999 });
const webRtcServer = await worker.createWebRtcServer({ listenInfos: ['udp', 'tcp'].map((protocol) =>
  ({ protocol, ip: ADDRESS, port: 35_100 })) });
worker.appData.webRtcServer = webRtcServer;
const video = (mimeType, parameters) => ({ kind: 'video', mimeType, clockRate: 90000, parameters });
const CODECS = [AUDIO, VIDEO, video('video/VP9', { 'profile-id': 0 }), video('video/AV1', {})];
// Chromium makes three layers of VP9 from here on.
const size = { width: 960, height: 540 };
const browsers = { chromium: await launch('chromium'), firefox: await launch('firefox') };

/** A room with two pages: of those who publish and who watch. */
async function meet(publishes, watches) {
  const room = { worker, router: await worker.createRouter({ mediaCodecs: CODECS }) };
  const [alice, bob] = [peer(room), peer(room)];
  const [publisher, viewer] = [await open(browsers[publishes], `${publishes} publishes`, alice),
    await open(browsers[watches], `${watches} watches`, bob)];
  return { room, alice, bob, publisher, viewer };
}

const decodes = (viewer, video, count) => until(`${count} pictures`, async () =>
  ((await viewer('received', video)).framesDecoded ?? 0) >= count);

for (const [codec, scalabilityMode] of [['video/vp9', 'L3T3_KEY'], ['video/vp9', 'L3T3'], ['video/av1', 'L3T3']]) {
  const { room, alice, bob, publisher, viewer } = await meet('chromium', 'chromium');
  const published = await publisher('publish', codec, [{ scalabilityMode, maxBitrate: 1_500_000 }], size);
  const producer = alice.made.get(published.video);
  assert.equal(producer.type, 'svc');
  const watched = await viewer('consume', published.video);
  const consumer = bob.made.get(watched);
  assert.deepEqual([consumer.type, consumer.preferredLayers], ['svc', { spatialLayer: 2, temporalLayer: 2 }]);
  let layers;
  consumer.on('layerschange', (now) => { layers = now; });
  let last;
  const is = (spatialLayer, width) => until(`${codec} ${scalabilityMode}: layer ${spatialLayer} of ${width}`, async () => {
    last = { layers, ...(await viewer('received', watched)) };
    return layers?.spatialLayer === spatialLayer && last.frameWidth === width;
  }, ENCODER_MS).catch((error) => { throw new Error(`${error.message}, but ${JSON.stringify(last)}`); });
  await decodes(viewer, watched, 10);
  if (codec === 'video/av1') {
    await is(0, 240);
    console.log(codec, scalabilityMode, JSON.stringify({ layers, ...(await viewer('received', watched)) }));
    room.router.close();
    continue;
  }
  await is(2, 960);
  await consumer.setPreferredLayers({ spatialLayer: 0, temporalLayer: 2 });
  await is(0, 240);
  await consumer.setPreferredLayers({ spatialLayer: 1, temporalLayer: 2 });
  await is(1, 480);
  await consumer.setPreferredLayers({ spatialLayer: 2, temporalLayer: 0 });
  await is(2, 960);
  const { framesDecoded } = await viewer('received', watched);
  await decodes(viewer, watched, framesDecoded + 10);
  console.log(codec, scalabilityMode, JSON.stringify({ layers, ...(await viewer('received', watched)) }));
  room.router.close();
}

// Firefox on either side, with sound and messages.
for (const [publishes, watches] of [['chromium', 'firefox'], ['firefox', 'chromium']]) {
  const { room, alice, bob, publisher, viewer } = await meet(publishes, watches);
  const sizes = [4, 2, 1].map((scaleResolutionDownBy) => ({ scaleResolutionDownBy, maxBitrate: 700_000 / scaleResolutionDownBy }));
  const published = await publisher('publish', 'video/vp8', sizes, size);
  assert.equal(alice.made.get(published.video).type, 'simulcast');
  const [seen, heard] = [await viewer('consume', published.video), await viewer('consume', published.audio)];
  await decodes(viewer, seen, 20);
  await until('sound', async () => (await viewer('received', heard)).packetsReceived > 20);
  const data = await publisher('publishData', 'chat');
  await viewer('consumeData', data);
  await until('a message', async () => {
    await publisher('say', 'hello');
    return (await viewer('messages')).includes('hello');
  });
  assert.ok(bob.states.includes('dtls connected') && alice.states.includes('sctp connected'));
  console.log(`${publishes} to ${watches}`, JSON.stringify(await viewer('received', seen)));
  room.router.close();
}
for (const browser of Object.values(browsers)) await browser.close();
worker.close();
process.exit(0);
