// corecast's worker beside another one, mediasoup's own: the same calls of the library on both, and every difference in
// what they return, refuse and tell. Messages of errors may differ, their kinds may not; what is drawn at random (ids,
// ports, keys, SSRCs) is not compared, nor is the order of lists.
//
//     node beside.mjs WORKER OTHER_WORKER

import { spawnSync } from 'node:child_process';
import { AUDIO, LOCAL, VIDEO, mediasoup, opus, vp8 } from './common.mjs';

const TCP = { protocol: 'tcp', ip: '127.0.0.1' };
const H264 = { kind: 'video', mimeType: 'video/H264', clockRate: 90000,
  parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 } };
const VP9 = { kind: 'video', mimeType: 'video/VP9', clockRate: 90000, parameters: { 'profile-id': 0 } };
const AV1 = { kind: 'video', mimeType: 'video/AV1', clockRate: 90000 };
const FINGERPRINT = { algorithm: 'sha-256', value: Array.from({ length: 32 }, (_, at) => (16 + at).toString(16).toUpperCase()).join(':') };
const SUITES = { AEAD_AES_256_GCM: 44, AEAD_AES_128_GCM: 28, AES_CM_128_HMAC_SHA1_80: 30, AES_CM_128_HMAC_SHA1_32: 30 };
const key = (cryptoSuite, length = SUITES[cryptoSuite]) => ({ cryptoSuite, keyBase64: Buffer.alloc(length, 7).toString('base64') });
const AT = { ip: '127.0.0.1', port: 1234 };

// --- What is seen, without what is drawn.

const DRAWN = new Set(['timestamp', 'pid', 'port', 'localPort', 'usernameFragment', 'password', 'localIceUsernameFragment', 'keyBase64',
  'value', 'cname', 'routerId', 'webRtcTransportId']);
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

function seen(value, name) {
  if (value === undefined) return 'undefined';
  if (value === null || typeof value === 'boolean') return value;
  if (DRAWN.has(name) && typeof value !== 'object') return `${typeof value} ${String(value).length > 5 ? String(value).length : ''}`;
  if (typeof value === 'number') return /ssrc|key/i.test(name) && value > 100_000_000 ? 'an SSRC' : value;
  if (typeof value === 'string') return value.replace(UUID, 'an id');
  if (Array.isArray(value)) {
    return value.map((one) => seen(one, name)).sort((one, two) => (JSON.stringify(one) < JSON.stringify(two) ? -1 : 1));
  }
  if (!['Object', undefined].includes(value.constructor?.name)) return value.constructor.name;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, seen(value[key], key)]));
}

const say = (step, result) => console.log(JSON.stringify([step, result]));
const told = [];

/** One call: what it returns, or the kind of error with which it is refused. */
async function call(step, ask) {
  try {
    say(step, seen((await ask()) ?? 'done', ''));
  } catch (error) {
    say(step, `refused: ${error.name}`);
  }
}

/** Notes what an object tells. */
function hear(object, name, events) {
  for (const event of events) object.on(event, (...values) => told.push([name, event, seen(values[0] ?? '', event)]));
  return object;
}

/** What has been told since the last time. */
async function heard(step) {
  await new Promise((resolve) => setTimeout(resolve, 300));
  say(`${step}: events`, told.splice(0).map((one) => JSON.stringify(one)).sort());
}

// --- The calls.

const made = {};
/** Makes an object that later calls use by its name; says what `show` shows of it. */
const make = (name, ask, show, events = []) =>
  call(name, async () => {
    made[name] = hear(await ask(), name, events);
    return show(made[name]);
  });
const dumps = async (...names) => {
  for (const name of names) {
    if (!made[name]) continue;
    await call(`${name}: dump`, () => made[name].dump());
    if (made[name].getStats) await call(`${name}: stats`, () => made[name].getStats());
  }
};

async function transports(router, server) {
  const webrtc = (name, options) =>
    make(name, () => router.createWebRtcTransport(options), (of) => ({ role: of.iceRole, parameters: of.iceParameters,
      candidates: of.iceCandidates, ice: of.iceState, tuple: of.iceSelectedTuple, dtls: of.dtlsParameters, state: of.dtlsState,
      certificate: of.dtlsRemoteCert, sctp: [of.sctpParameters, of.sctpState] }),
    ['icestatechange', 'iceselectedtuplechange', 'dtlsstatechange', 'sctpstatechange', 'trace', 'routerclose']);
  await webrtc('webrtc', { listenInfos: [LOCAL] });
  await webrtc('webrtc udp tcp', { listenInfos: [LOCAL, TCP], enableTcp: true });
  await webrtc('webrtc prefer tcp', { listenInfos: [LOCAL, TCP], enableTcp: true, preferTcp: true });
  await webrtc('webrtc listenIps', { listenIps: [{ ip: '127.0.0.1', announcedIp: '192.0.2.1' }], enableTcp: true });
  await webrtc('webrtc announced', { listenInfos: [{ ...LOCAL, announcedAddress: 'media.example.org' }] });
  await webrtc('webrtc internal', { listenInfos: [{ ...LOCAL, announcedAddress: 'media.example.org', exposeInternalIp: true }] });
  await webrtc('webrtc sctp', { listenInfos: [LOCAL], enableSctp: true, numSctpStreams: { OS: 2048, MIS: 1024 }, maxSctpMessageSize: 1e6 });
  await webrtc('webrtc server', { webRtcServer: server });
  await webrtc('webrtc server tcp', { webRtcServer: server, enableUdp: false, enableTcp: true });
  await webrtc('webrtc no address', { listenInfos: [{ protocol: 'udp', ip: 'nowhere' }] });
  await webrtc('webrtc foreign', { listenInfos: [{ protocol: 'udp', ip: '192.0.2.9' }] });
  await webrtc('webrtc one port', { listenInfos: [{ ...LOCAL, portRange: { min: 42000, max: 42000 } }] });
  await webrtc('webrtc same port', { listenInfos: [{ ...LOCAL, portRange: { min: 42000, max: 42000 } }] });
  await webrtc('webrtc wrong range', { listenInfos: [{ ...LOCAL, portRange: { min: 42010, max: 42000 } }] });
  await webrtc('webrtc v6', { listenInfos: [{ protocol: 'udp', ip: '::1' }] });
  const { webrtc: one, 'webrtc sctp': two, 'webrtc server': three } = made;
  await dumps('webrtc', 'webrtc sctp');
  await call('server: dump', () => server.dump());
  await call('restartIce', async () => one.iceParameters.password !== (await one.restartIce()).password);
  for (const [name, bitrate] of [['setMaxIncomingBitrate', 1e6], ['setMaxOutgoingBitrate', 2e6], ['setMinOutgoingBitrate', 1e6],
    ['setMinOutgoingBitrate', 3e6], ['setMaxOutgoingBitrate', 5e5], ['setMaxOutgoingBitrate', 1e3], ['setMaxOutgoingBitrate', 0],
    ['setMinOutgoingBitrate', 0]]) {
    await call(`${name} ${bitrate}`, () => one[name](bitrate));
  }
  await call('traces', async () => { await one.enableTraceEvent(['nothing', 'bwe']); return (await one.dump()).traceEventTypes; });
  for (const [name, dtlsParameters] of [['nothing', undefined], ['no fingerprints', { fingerprints: [] }],
    ['wrong algorithm', { fingerprints: [{ ...FINGERPRINT, algorithm: 'sha-1000' }] }],
    ['wrong role', { role: 'chicken', fingerprints: [FINGERPRINT] }], ['client', { role: 'client', fingerprints: [FINGERPRINT] }],
    ['again', { role: 'client', fingerprints: [FINGERPRINT] }]]) {
    await call(`connect: ${name}`, () => one.connect({ dtlsParameters }));
    await call(`connect: ${name}: role`, async () => [one.dtlsParameters.role, (await one.dump()).dtlsParameters.role, one.dtlsState]);
  }
  await call('connect: auto', async () => { await two.connect({ dtlsParameters: { fingerprints: [FINGERPRINT] } }); return two.dtlsParameters.role; });
  await call('connect: server', async () => {
    await three.connect({ dtlsParameters: { role: 'server', fingerprints: [FINGERPRINT] } });
    return three.dtlsParameters.role;
  });
  await heard('webrtc');

  const tuples = (of) => ({ tuple: of.tuple, rtcp: of.rtcpTuple, srtp: of.srtpParameters, sctp: [of.sctpParameters, of.sctpState] });
  const plain = (name, options) =>
    make(name, () => router.createPlainTransport(options), tuples, ['tuple', 'rtcptuple', 'sctpstatechange', 'routerclose']);
  await plain('plain', { listenInfo: LOCAL });
  await plain('plain announced', { listenInfo: { ...LOCAL, announcedAddress: '192.0.2.4' } });
  await plain('plain rtcp', { listenInfo: LOCAL, rtcpMux: false });
  await plain('plain comedia', { listenInfo: LOCAL, comedia: true });
  await plain('plain comedia rtcp', { listenInfo: LOCAL, comedia: true, rtcpMux: false });
  for (const srtpCryptoSuite of Object.keys(SUITES)) await plain(`plain ${srtpCryptoSuite}`, { listenInfo: LOCAL, enableSrtp: true, srtpCryptoSuite });
  await plain('plain srtp', { listenInfo: LOCAL, enableSrtp: true });
  await plain('plain srtp comedia', { listenInfo: LOCAL, enableSrtp: true, comedia: true });
  await plain('plain sctp', { listenInfo: LOCAL, enableSctp: true });
  await plain('plain no address', { listenInfo: { protocol: 'udp', ip: 'nowhere' } });
  await plain('plain tcp', { listenInfo: TCP });
  await plain('plain port', { listenInfo: { ...LOCAL, port: 43001 } });
  await plain('plain same port', { listenInfo: { ...LOCAL, port: 43001 } });
  await dumps('plain', 'plain rtcp', 'plain comedia', 'plain srtp', 'plain sctp');
  const CM80 = key('AES_CM_128_HMAC_SHA1_80');
  for (const [name, parameters] of [['plain', {}], ['plain', { ip: AT.ip }], ['plain', { port: 1 }], ['plain', { ip: '127.0.0', port: 1 }],
    ['plain', { ...AT, rtcpPort: 1235 }], ['plain', { ...AT, srtpParameters: CM80 }], ['plain', AT], ['plain', AT],
    ['plain rtcp', AT], ['plain rtcp', { ...AT, rtcpPort: 1235 }], ['plain comedia', AT], ['plain comedia', {}], ['plain srtp', AT],
    ['plain srtp', { ...AT, srtpParameters: key('AES_CM_128_HMAC_SHA1_80', 3) }], ['plain srtp', { ...AT, srtpParameters: { ...CM80, cryptoSuite: 'NONE' } }],
    ['plain srtp', { ...AT, srtpParameters: CM80 }], ['plain srtp comedia', { srtpParameters: key('AEAD_AES_256_GCM') }]]) {
    await call(`${name}: connect ${JSON.stringify(parameters)}`, async () => { await made[name].connect(parameters); return tuples(made[name]); });
  }
  await heard('plain');

  const pipe = (name, options) => make(name, () => router.createPipeTransport({ listenInfo: LOCAL, ...options }), tuples);
  await pipe('pipe', {});
  await pipe('pipe of all', { enableRtx: true, enableSrtp: true, enableSctp: true });
  await dumps('pipe', 'pipe of all');
  for (const [name, parameters] of [['pipe', {}], ['pipe', { ...AT, srtpParameters: key('AEAD_AES_256_GCM') }], ['pipe', AT], ['pipe', AT],
    ['pipe of all', AT], ['pipe of all', { ...AT, srtpParameters: CM80 }], ['pipe of all', { ...AT, srtpParameters: key('AEAD_AES_256_GCM') }]]) {
    await call(`${name}: connect ${JSON.stringify(parameters)}`, async () => { await made[name].connect(parameters); return tuples(made[name]); });
  }
  await make('direct', () => router.createDirectTransport(), () => 'made', ['routerclose']);
  await dumps('direct');
  await call('direct: setMaxIncomingBitrate', () => made.direct.setMaxIncomingBitrate(1e6));
  await call('direct: setMaxOutgoingBitrate', () => made.direct.setMaxOutgoingBitrate(1e6));
  await webrtc('sender', { listenInfos: [LOCAL] });
  await webrtc('receiver', { listenInfos: [LOCAL], enableSctp: true });
}

async function media(router) {
  const sound = (ssrc, mid) => ({ ...opus(ssrc), mid, headerExtensions: [{ uri: 'urn:ietf:params:rtp-hdrext:sdes:mid', id: 10 }] });
  const picture = (mimeType, encodings, mid, parameters = {}) => ({ mid, encodings, rtcp: { cname: 'c' },
    codecs: [{ mimeType, payloadType: 98, clockRate: 90000, parameters, rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }] },
      { mimeType: 'video/rtx', payloadType: 99, clockRate: 90000, parameters: { apt: 98 } }] });
  const produce = (name, kind, rtpParameters, options = {}, on = 'sender') =>
    make(name, () => made[on].produce({ kind, rtpParameters, ...options }), (of) => ({ type: of.type, paused: of.paused, score: of.score,
      rtp: of.rtpParameters, consumable: of.consumableRtpParameters }), ['score', 'trace', 'transportclose']);
  await produce('sound', 'audio', { ...sound(11_111_111, 'S'), encodings: [{ ssrc: 11_111_111, dtx: true }] });
  await produce('paused sound', 'audio', sound(11_111_112, 'P'), { paused: true });
  const four = [0, 1, 2, 3].map((at) => ({ ssrc: 2_000 + at, rtx: { ssrc: 2_100 + at }, scalabilityMode: 'L1T3' }));
  await produce('simulcast', 'video', picture('video/H264', four, 'V', H264.parameters), { keyFrameRequestDelay: 1000 }, 'receiver');
  await produce('rids', 'video', { ...picture('video/H264', [{ rid: 'a' }, { rid: 'b' }], 'R', H264.parameters),
    headerExtensions: [{ uri: 'urn:ietf:params:rtp-hdrext:sdes:mid', id: 10 }, { uri: 'urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id', id: 11 }] });
  await produce('svc', 'video', picture('video/VP9', [{ ssrc: 3_000, rtx: { ssrc: 3_001 }, scalabilityMode: 'L3T3_KEY' }], '9', VP9.parameters));
  await produce('av1', 'video', picture('video/AV1', [{ ssrc: 3_010, scalabilityMode: 'L3T3' }], '1'));
  await produce('vp8', 'video', vp8(4_000, 4_010, 4_020));
  await produce('same mid', 'audio', sound(5_000, 'S'));
  await produce('same SSRC', 'audio', sound(11_111_111, 'T'));
  await produce('same RTX SSRC', 'video', picture('video/VP9', [{ ssrc: 5_001, rtx: { ssrc: 3_001 } }], 'U', VP9.parameters));
  await produce('same id', 'audio', sound(5_002, 'W'), { id: made.sound.id });
  await produce('unnamed', 'audio', { ...opus(1), encodings: [{}] });
  await produce('other codec', 'audio', { ...sound(5_003, 'X'), codecs: [{ mimeType: 'audio/ISAC', payloadType: 108, clockRate: 32000 }] });
  await dumps('sound', 'paused sound', 'simulcast', 'rids', 'svc', 'av1', 'vp8');
  for (const name of ['pause', 'pause', 'resume', 'resume']) await call(`sound: ${name}`, () => made.sound[name]());
  for (const types of [['rtp', 'pli'], ['nothing', 'fir'], []]) {
    await call(`sound: trace ${types}`, async () => { await made.sound.enableTraceEvent(types); return (await made.sound.dump()).traceEventTypes; });
  }
  await heard('producers');

  const consume = (name, on, producer, options = {}) =>
    make(name, () => made[on].consume({ producerId: made[producer]?.id ?? producer, rtpCapabilities: router.rtpCapabilities, ...options }),
      (of) => ({ type: of.type, paused: of.paused, producerPaused: of.producerPaused, priority: of.priority, score: of.score,
        layers: [of.preferredLayers, of.currentLayers], rtp: of.rtpParameters }),
      ['score', 'layerschange', 'producerpause', 'producerresume', 'producerclose', 'transportclose', 'trace']);
  await consume('hears', 'receiver', 'sound');
  await consume('sees', 'receiver', 'simulcast', { paused: true, preferredLayers: { spatialLayer: 12 } });
  await consume('hears paused', 'receiver', 'paused sound');
  await consume('sees svc', 'receiver', 'svc');
  await consume('sees vp8', 'receiver', 'vp8', { preferredLayers: { spatialLayer: 1, temporalLayer: 0 } });
  await consume('sees rids', 'receiver', 'rids');
  await consume('sees all', 'receiver', 'simulcast', { pipe: true });
  await consume('without rtx', 'receiver', 'simulcast', { enableRtx: false });
  await consume('with a mid', 'receiver', 'sound', { mid: '100', ignoreDtx: true });
  await consume('of nobody', 'receiver', 'nobody');
  await consume('on pipe', 'pipe', 'simulcast');
  await consume('on plain', 'plain', 'sound');
  await consume('on direct', 'direct', 'sound');
  await dumps('hears', 'sees', 'hears paused', 'sees svc', 'sees vp8', 'sees all', 'on pipe', 'sender', 'receiver');
  await call('router: dump', () => router.dump());
  for (const name of ['pause', 'pause', 'resume', 'resume']) await call(`hears: ${name}`, () => made.hears[name]());
  await call('sees: resume', () => made.sees.resume());
  for (const layers of [{ spatialLayer: 0 }, { spatialLayer: 2, temporalLayer: 3 }, { spatialLayer: 9, temporalLayer: 9 }, {}]) {
    for (const name of ['sees', 'sees svc', 'hears']) {
      await call(`${name}: prefer ${JSON.stringify(layers)}`, async () => {
        await made[name].setPreferredLayers(layers);
        return made[name].preferredLayers;
      });
    }
  }
  for (const priority of [2, 300, 'high']) {
    await call(`sees: priority ${priority}`, async () => { await made.sees.setPriority(priority); return made.sees.priority; });
  }
  await call('sees: unsetPriority', async () => { await made.sees.unsetPriority(); return made.sees.priority; });
  for (const name of ['sees', 'hears']) await call(`${name}: requestKeyFrame`, () => made[name].requestKeyFrame());
  await call('sees: trace', async () => { await made.sees.enableTraceEvent(['rtp', 'nothing']); return (await made.sees.dump()).traceEventTypes; });
  await heard('consumers');
  for (const name of ['pause', 'resume']) {
    await call(`sound: ${name}`, () => made.sound[name]());
    await heard(`sound: ${name}`);
  }
  await call('simulcast: close', () => made.simulcast.close());
  await heard('simulcast: close');
  await dumps('receiver');
}

async function data() {
  const produce = (name, options, on = 'receiver') =>
    make(name, () => made[on].produceData(options), (of) => [of.type, of.sctpStreamParameters, of.label, of.protocol, of.paused], ['transportclose']);
  const stream = (streamId, more = {}) => ({ sctpStreamParameters: { streamId, ...more } });
  await produce('data', { ...stream(666), label: 'chat', protocol: 'text' });
  await produce('data retransmitted', stream(777, { maxRetransmits: 3 }));
  await produce('data for a time', stream(778, { maxPacketLifeTime: 3000 }));
  await produce('data unordered', stream(779, { ordered: false }));
  await produce('data of both', stream(780, { maxRetransmits: 1, maxPacketLifeTime: 3000 }));
  await produce('data same stream', stream(666));
  await produce('data no stream', {});
  await produce('data high stream', stream(65_535));
  await produce('data without sctp', stream(1), 'sender');
  await produce('data direct', { label: 'd' }, 'direct');
  await produce('data paused', { ...stream(790), paused: true });
  const consume = (name, producer, options = {}, on = 'receiver') =>
    make(name, () => made[on].consumeData({ dataProducerId: made[producer]?.id ?? producer, ...options }),
      (of) => [of.type, of.sctpStreamParameters, of.label, of.protocol, of.paused, of.dataProducerPaused, of.subchannels],
      ['dataproducerclose', 'dataproducerpause', 'dataproducerresume', 'transportclose', 'message', 'sctpsendbufferfull', 'bufferedamountlow']);
  await consume('reads', 'data');
  await consume('reads otherwise', 'data', { ordered: false, maxPacketLifeTime: 4000 });
  await consume('reads retransmitted', 'data retransmitted');
  await consume('reads direct', 'data direct');
  await consume('reads paused', 'data paused', { subchannels: [0, 1, 1, 5] });
  await consume('direct reads', 'data', {}, 'direct');
  await consume('reads nobody', 'nobody');
  await consume('reads without sctp', 'data', {}, 'sender');
  await dumps('data', 'data retransmitted', 'data direct', 'data paused', 'reads', 'direct reads', 'reads paused');
  for (const name of ['reads', 'direct reads']) {
    await call(`${name}: buffered`, () => made[name].getBufferedAmount());
    await call(`${name}: threshold`, () => made[name].setBufferedAmountLowThreshold(1000));
    await call(`${name}: send`, () => made[name].send('hello'));
  }
  const subchannels = (name, ask) => call(name, async () => { await ask(made['reads paused']); return made['reads paused'].subchannels; });
  await subchannels('setSubchannels', (of) => of.setSubchannels([3, 3, 2, 65535]));
  await subchannels('addSubchannel', (of) => of.addSubchannel(7));
  await subchannels('removeSubchannel', (of) => of.removeSubchannel(3));
  await heard('data');
  for (const name of ['pause', 'pause', 'resume', 'close']) {
    await call(`data: ${name}`, () => made.data[name]());
    await heard(`data: ${name}`);
  }
}

async function observers(router) {
  for (const options of [{}, { maxEntries: 0 }, { threshold: 5 }, { threshold: -200 }, { interval: 10 }, { interval: 100_000 }]) {
    await call(`audio levels ${JSON.stringify(options)}`, async () => { made.levels = await router.createAudioLevelObserver(options); return made.levels.type; });
    await call(`active speaker ${JSON.stringify(options)}`, async () => (await router.createActiveSpeakerObserver(options)).type);
  }
  const levels = await router.createAudioLevelObserver();
  for (const [name, producerId] of [['sound', made.sound.id], ['sound again', made.sound.id], ['video', made.svc.id], ['nobody', 'nobody']]) {
    await call(`levels: add ${name}`, () => levels.addProducer({ producerId }));
  }
  for (const name of ['pause', 'pause', 'resume']) await call(`levels: ${name}`, () => levels[name]());
  for (let time = 0; time < 2; time++) await call('levels: remove', () => levels.removeProducer({ producerId: made.sound.id }));
  await call('router: observers', async () => (await router.dump()).rtpObserverIds.length);
}

async function all() {
  const worker = await mediasoup.createWorker({ logLevel: 'none', rtcMinPort: 40_000, rtcMaxPort: 40_999 });
  worker.on('died', (error) => { throw error; });
  await call('usage', async () => Object.keys(await worker.getResourceUsage()));
  await call('worker: dump', () => worker.dump());
  const listenInfos = [{ ...LOCAL, port: 41_001 }, { ...TCP, announcedAddress: 'media.example.org', port: 41_002 }];
  const server = await worker.createWebRtcServer({ listenInfos });
  await call('server: same port', () => worker.createWebRtcServer({ listenInfos: [{ ...LOCAL, port: 41_001 }] }));
  await call('server: wrong address', () => worker.createWebRtcServer({ listenInfos: [{ protocol: 'udp', ip: 'nowhere', port: 41_003 }] }));
  const router = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO, VP9, AV1, H264] });
  await transports(router, server);
  await media(router);
  await data();
  await observers(router);
  await call('receiver: close', () => made.receiver.close());
  await heard('receiver: close');
  await call('router: dump', () => router.dump());
  await call('router: close', () => router.close());
  await heard('router: close');
  await call('worker: dump', () => worker.dump());
  worker.close();
}

// --- The comparison.

function* differences(one, two, path = '') {
  const isObject = (value) => value !== null && typeof value === 'object';
  if (!isObject(one) || !isObject(two)) {
    if (one !== two) yield [path, one, two];
  } else if (Array.isArray(one) && Array.isArray(two) && one.length !== two.length) {
    yield [path, one, two];
  } else {
    for (const key of new Set([...Object.keys(one), ...Object.keys(two)])) yield* differences(one[key], two[key], `${path}.${key}`);
  }
}

function steps(worker) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [import.meta.filename, '--calls'],
    { env: { ...process.env, MEDIASOUP_WORKER_BIN: worker }, encoding: 'utf8', timeout: 120_000, maxBuffer: 64 << 20 });
  if (status !== 0) throw new Error(`${worker} ended with ${status}: ${stderr}`);
  return stdout.trim().split('\n').map((line) => JSON.parse(line));
}

if (process.argv[2] === '--calls') {
  await all();
  process.exit(0);
}
const [ours, others] = process.argv.slice(2).map(steps);
if (!others) throw new Error('node beside.mjs WORKER OTHER_WORKER');
let count = 0;
for (const [at, [step, result]] of ours.entries()) {
  for (const [path, one, two] of differences(result, others[at][1])) {
    count += 1;
    const short = (value) => JSON.stringify(value)?.slice(0, 300);
    console.log(`${step}${path}:\n    ${short(one)}\n    ${short(two)}`);
  }
}
console.log(`${ours.length} calls, ${count} differences`);
