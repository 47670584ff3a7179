// Every request method of mediasoup's schemas is accepted once, and every notification goes by once, through the library
// as it is: its channel is listened to. What needs a browser is named here, and seen by call.mjs.

import { createRequire } from 'node:module';
import { AUDIO, LOCAL, Peer, VIDEO, assert, next, opus, rtp, startWorker, until, vp8 } from './common.mjs';

const require = createRequire(import.meta.url);
const library = new URL('node_modules/mediasoup/node/lib/', import.meta.url).pathname;
const { Channel } = require(`${library}Channel.js`);
const [{ Method }, { Event }] = ['request', 'notification'].map((name) => require(`${library}fbs/${name}.js`));
const seen = new Set();
const { request, notify, emit } = Channel.prototype;
Channel.prototype.request = async function listened(method, ...rest) {
  const answer = await request.call(this, method, ...rest);
  seen.add(Method[method]);
  return answer;
};
Channel.prototype.notify = function listened(event, ...rest) {
  seen.add(Event[event]);
  return notify.call(this, event, ...rest);
};
Channel.prototype.emit = function listened(handler, event, ...rest) {
  if (typeof event === 'number') seen.add(Event[event]);
  return emit.call(this, handler, event, ...rest);
};

// The worker, servers and routers.
const worker = await startWorker();
await worker.updateSettings({ logLevel: 'warn', logTags: ['info'] });
await worker.getResourceUsage();
const server = await worker.createWebRtcServer({ listenInfos: [LOCAL] });
await server.dump();
const [router, other] = [await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] }), await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] })];
await router.dump();

// A WebRTC transport of each kind.
const fingerprints = [{ algorithm: 'sha-256', value: Array(32).fill('AB').join(':') }];
const webrtc = await router.createWebRtcTransport({ webRtcServer: server, enableSctp: true });
const own = await router.createWebRtcTransport({ listenInfos: [LOCAL] });
await webrtc.connect({ dtlsParameters: { role: 'client', fingerprints } });
await webrtc.setMaxIncomingBitrate(1_000_000);
await webrtc.setMaxOutgoingBitrate(1_000_000);
await webrtc.setMinOutgoingBitrate(100_000);
await webrtc.restartIce();
await webrtc.enableTraceEvent(['bwe', 'probation']);
await webrtc.dump();
await webrtc.getStats();
await own.close();

// RTP between plain transports, with levels of sound and orientations of cameras.
const [sender, receiver] = [await Peer.open(), await Peer.open()];
const ingress = await router.createPlainTransport({ listenInfo: LOCAL, comedia: true, rtcpMux: false });
const egress = await router.createPlainTransport({ listenInfo: LOCAL });
await egress.connect({ ip: '127.0.0.1', port: receiver.port });
const [LEVEL, ORIENTATION] = [3, 5];
const sound = await ingress.produce({ kind: 'audio', rtpParameters: { ...opus(100),
  headerExtensions: [{ uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level', id: LEVEL }] } });
const pictures = await ingress.produce({ kind: 'video', rtpParameters: { ...vp8(200, 210),
  headerExtensions: [{ uri: 'urn:3gpp:video-orientation', id: ORIENTATION }] } });
const [loudest, speaker] = [await router.createAudioLevelObserver({ interval: 250, threshold: -70 }),
  await router.createActiveSpeakerObserver({ interval: 200 })];
for (const observer of [loudest, speaker]) {
  await observer.addProducer({ producerId: sound.id });
  await observer.pause();
  await observer.resume();
}
await pictures.enableTraceEvent(['rtp']);
await pictures.dump();
await pictures.getStats();
const watcher = await egress.consume({ producerId: pictures.id, rtpCapabilities: router.rtpCapabilities });
await watcher.enableTraceEvent(['rtp']);
await watcher.pause();
await watcher.resume();
await watcher.setPreferredLayers({ spatialLayer: 0 });
await watcher.setPriority(2);
await watcher.requestKeyFrame();
await watcher.dump();
await watcher.getStats();
const direct = await router.createDirectTransport();
await direct.consume({ producerId: sound.id, rtpCapabilities: router.rtpCapabilities });
let [sequence, level] = [0, 20];
const element = (id, byte) => Buffer.from([0xbe, 0xde, 0, 1, id << 4, byte, 0, 0]);
const send = (packet, extension) => {
  packet[0] |= 0x10;
  sender.send(Buffer.concat([packet.subarray(0, 12), extension, packet.subarray(12)]), ingress.tuple.localPort);
};
const key = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
const sending = setInterval(() => {
  sequence++;
  send(rtp({ payloadType: 111, sequence, timestamp: sequence * 960, ssrc: 100 }), element(LEVEL, 0x80 | (sequence % 10 ? level : 90)));
  for (const ssrc of [200, 210]) send(rtp({ payloadType: 96, sequence, timestamp: sequence * 1800, ssrc, marker: true, payload: key }), element(ORIENTATION, 1));
  sender.send(Buffer.from([0x80, 201, 0, 1, 0, 0, 0, 100]), ingress.rtcpTuple.localPort);
}, 20);
const has = (...names) => until(`${names} in ${[...seen].join(' ')}`, () => names.every((name) => seen.has(name)));
await has('PLAINTRANSPORT_TUPLE', 'PLAINTRANSPORT_RTCP_TUPLE', 'PRODUCER_SCORE', 'CONSUMER_SCORE', 'PRODUCER_TRACE', 'CONSUMER_TRACE',
  'CONSUMER_LAYERS_CHANGE', 'PRODUCER_VIDEO_ORIENTATION_CHANGE', 'CONSUMER_RTP', 'AUDIOLEVELOBSERVER_VOLUMES',
  'ACTIVESPEAKEROBSERVER_DOMINANT_SPEAKER');
level = 127;
await has('AUDIOLEVELOBSERVER_SILENCE');
clearInterval(sending);
await pictures.pause();
await pictures.resume();
await has('CONSUMER_PRODUCER_PAUSE', 'CONSUMER_PRODUCER_RESUME');
const said = await direct.produce({ kind: 'audio', rtpParameters: opus(300) });
said.send(rtp({ payloadType: 111, sequence: 1, ssrc: 300 }));
direct.sendRtcp(Buffer.from([0x80, 201, 0, 1, 0, 0, 0, 9]));
await has('DIRECTTRANSPORT_RTCP');

// A pipe, and messages through it.
const { pipeConsumer } = await router.pipeToRouter({ producerId: sound.id, router: other, keepId: false });
const talk = await direct.produceData();
await talk.dump();
await talk.getStats();
const heard = await direct.consumeData({ dataProducerId: talk.id });
await heard.pause();
await heard.resume();
await heard.setSubchannels([1]);
await heard.addSubchannel(2);
await heard.removeSubchannel(2);
await heard.dump();
await heard.getStats();
const message = next(heard, 'message');
talk.send('hello');
await message;
await talk.pause();
await talk.resume();
await has('DATACONSUMER_DATAPRODUCER_PAUSE', 'DATACONSUMER_DATAPRODUCER_RESUME');

// SCTP: messages wait until the other side is there, more than may wait.
const [near, far] = [await router.createPlainTransport({ listenInfo: LOCAL, enableSctp: true }),
  await other.createPlainTransport({ listenInfo: LOCAL, enableSctp: true, comedia: true })];
const leaving = await near.consumeData({ dataProducerId: talk.id });
await leaving.setBufferedAmountLowThreshold(1_000);
const long = Buffer.alloc(100_000);
for (let at = 0; at < 30; at++) talk.send(long);
await leaving.getBufferedAmount();
await has('DATACONSUMER_SCTP_SENDBUFFER_FULL');
await near.connect({ ip: '127.0.0.1', port: far.tuple.localPort });
await has('TRANSPORT_SCTP_STATE_CHANGE', 'TRANSPORT_SCTP_NEGOTIATED_CAPABILITIES', 'DATACONSUMER_BUFFERED_AMOUNT_LOW');
await leaving.send('to one');

// Everything closes by itself.
leaving.close();
pipeConsumer.close();
heard.close();
const gone = await direct.consumeData({ dataProducerId: talk.id });
talk.close();
await next(gone, 'dataproducerclose');
watcher.close();
const ended = await egress.consume({ producerId: sound.id, rtpCapabilities: router.rtpCapabilities });
sound.close();
await next(ended, 'producerclose');
await loudest.removeProducer({ producerId: said.id });
loudest.close();
server.close();
router.close();
await worker.dump();
worker.close();
sender.close();
receiver.close();

const names = (of) => Object.keys(of).filter((name) => Number.isNaN(Number(name)));
const missing = [...names(Method), ...names(Event)].filter((name) => !seen.has(name));
// The first is sent by no version of the library; the others are a browser's, or the channel's own.
assert.deepEqual(missing.sort(), ['TRANSPORT_CONNECT', 'TRANSPORT_TRACE', 'WEBRTCTRANSPORT_DTLS_STATE_CHANGE',
  'WEBRTCTRANSPORT_ICE_SELECTED_TUPLE_CHANGE', 'WEBRTCTRANSPORT_ICE_STATE_CHANGE'].sort());
