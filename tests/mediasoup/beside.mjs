// corecast's worker beside another one, mediasoup's own: the same calls of the library on both, and every difference in
// what they return, refuse and tell. Messages of errors may differ, their kinds may not; what is drawn at random (ids,
// ports, keys, SSRCs) is not compared, nor is the order of lists. What differs on purpose (docs/mediasoup.md, "What
// differs") is counted apart; it ends with 1 if anything else does.
//
//     node beside.mjs WORKER OTHER_WORKER

import { spawnSync } from 'node:child_process';
import { AUDIO, LOCAL, Peer, VIDEO, mediasoup, opus, rtp, vp8 } from './common.mjs';

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

// --- Media that flows: what is told of it, by its kind and not by its number.

/** Counts, times and rates as whether there are any. */
function rough(value, name) {
  if (typeof value === 'number') return /^(score|spatialLayer|temporalLayer|rotation)$/.test(name) || value === 0 ? value : 'some';
  if (Array.isArray(value)) return value.map((one) => rough(one, name));
  if (value === null || typeof value !== 'object') return seen(value, name);
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, rough(value[key], key)]));
}

const WIDE_CC = { uri: 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01', id: 5 };
const SEND_TIME = { uri: 'http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time', id: 4 };
const TEMPORAL = [0, 2, 1, 2];
const PICTURES = { vp8: 96, vp9: 98 };

/** A picture of VP8 or VP9 in three temporal layers, the whole of it in one packet. */
function picture(codec, at) {
  const [isKey, temporal, base] = [at % 48 === 0, TEMPORAL[at % 4], Math.floor(at / 4)];
  const number = [0x80 | ((at >> 8) & 0x7f), at & 0xff];
  const body = Buffer.alloc(200, 7);
  if (codec === 'vp8') {
    const key = isKey ? [0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00] : [0x01, 0x00, 0x00];
    return Buffer.concat([Buffer.from([0x90, 0xe0, ...number, base & 0xff, (temporal << 6) | 0x20, ...key]), body]);
  }
  // I, P, L, B, E; the layers, of which any may be entered.
  return Buffer.concat([Buffer.from([0x80 | (isKey ? 0 : 0x40) | 0x20 | 0x0c, ...number, (temporal << 5) | 0x10, base & 0xff]), body]);
}

/** The number of a first packet. From 0, mediasoup's worker takes it for the one after 65,535, and counts as many lost. */
const FIRST = 1_000;

/** Sends sound and pictures of these SSRCs to a port, 50 a second, and reports; returns what ends it. */
function film(peer, port, sources) {
  let at = 0;
  let wide = 0;
  const timer = setInterval(() => {
    for (const { ssrc, codec, extensions } of sources) {
      const payload = codec === 'opus' ? undefined : picture(codec, at);
      const timestamp = at * (codec === 'opus' ? 960 : 1800);
      const packet = rtp({ payloadType: PICTURES[codec] ?? 111, sequence: FIRST + at, timestamp, ssrc, marker: true, payload });
      wide = (wide + 1) & 0xffff;
      const send = Math.floor(((Date.now() % 64_000) / 1000) * (1 << 18));
      const block = Buffer.from([0xbe, 0xde, 0, 2, (5 << 4) | 1, wide >> 8, wide & 0xff, (4 << 4) | 2, send >> 16, (send >> 8) & 0xff, send & 0xff, 0]);
      if (extensions) packet[0] |= 0x10;
      peer.send(Buffer.concat([packet.subarray(0, 12), ...(extensions ? [block] : []), packet.subarray(12)]), port);
      if (at % 10 === 0) {
        const report = Buffer.alloc(28);
        report.set([0x80, 200, 0, 6]);
        const now = Date.now();
        [ssrc, Math.floor(now / 1000) + 2_208_988_800, Math.floor(((now % 1000) / 1000) * 2 ** 32), timestamp, at, at * 200]
          .forEach((word, index) => report.writeUInt32BE(word >>> 0, 4 + 4 * index));
        peer.send(report, port);
      }
    }
    at += 1;
  }, 20);
  return () => clearInterval(timer);
}

const feedback = (...types) => types.map(([type, parameter]) => ({ type, parameter }));
const filmed = (mimeType, payloadType, encodings, extension, rtcpFeedback) => ({ encodings, rtcp: { cname: 'f' },
  codecs: [{ mimeType, payloadType, clockRate: 90000, rtcpFeedback }], headerExtensions: extension ? [extension] : [] });

/** Which traces there are, and what is in them. */
async function traced(producer, consumer) {
  const kinds = (value) => (value === null || typeof value !== 'object' ? typeof value
    : Object.fromEntries(Object.keys(value).sort().map((key) => [key, kinds(value[key])])));
  for (const [name, of] of Object.entries({ producer, consumer })) {
    const traces = new Map();
    of.on('trace', ({ type, direction, info }) => traces.set(`${type} ${direction} ${info.rtpPacket?.temporalLayer}`, kinds(info)));
    await of.enableTraceEvent(['rtp', 'keyframe', 'nack', 'pli', 'fir', 'sr']);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await of.enableTraceEvent([]);
    await call(`flow: traces of a ${name}`, () => Object.fromEntries([...traces].sort()));
  }
}

/** Producers in a router of another worker, and what is received of them there. */
async function piped(router, producers) {
  const worker = await mediasoup.createWorker({ logLevel: 'none', rtcMinPort: 44_000, rtcMaxPort: 44_099 });
  const far = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO, VP9, AV1, H264] });
  const direct = await far.createDirectTransport();
  const ends = {};
  for (const name of ['simulcast', 'temporal', 'voice']) {
    await call(`flow: pipe of ${name}`, async () => {
      const { pipeConsumer, pipeProducer } = await router.pipeToRouter({ producerId: producers[name].id, router: far });
      const consumer = await direct.consume({ producerId: pipeProducer.id, rtpCapabilities: far.rtpCapabilities });
      ends[name] = { pipeConsumer, pipeProducer, consumer };
      return [pipeConsumer, pipeProducer, consumer].map(({ type, rtpParameters, score, preferredLayers }) => seen([type, rtpParameters, score, preferredLayers ?? null]));
    });
  }
  // Each of the two has reported to the other, and heard of it.
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  for (const [name, { pipeConsumer, pipeProducer, consumer }] of Object.entries(ends)) {
    await call(`flow: pipe of ${name}: statistics`, async () => rough(await Promise.all([pipeConsumer, pipeProducer, consumer].map((one) => one.getStats()))));
    await call(`flow: pipe of ${name}: dumps`, async () => rough(await Promise.all([pipeConsumer, pipeProducer, consumer].map((one) => one.dump()))));
    await call(`flow: pipe of ${name}: layers`, () => [consumer.preferredLayers, consumer.currentLayers]);
  }
  await call('flow: pipe: pause', async () => {
    await producers.voice.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { pipeConsumer, pipeProducer, consumer } = ends.voice;
    const paused = [pipeConsumer.producerPaused, pipeProducer.paused, consumer.producerPaused];
    await producers.voice.resume();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return [paused, [pipeConsumer.producerPaused, pipeProducer.paused, consumer.producerPaused]];
  });
  worker.close();
}

async function flow(router) {
  const [peer, sink] = [await Peer.open(), await Peer.open()];
  const plain = (options) => router.createPlainTransport({ listenInfo: LOCAL, ...options });
  const [wide, remb, out] = [await plain({ comedia: true }), await plain({ comedia: true }), await plain({})];
  await out.connect({ ip: '127.0.0.1', port: sink.port });
  const L1T3 = (ssrc) => ({ ssrc, scalabilityMode: 'L1T3' });
  const CC = feedback(['nack'], ['nack', 'pli'], ['transport-cc']);
  const REMB = feedback(['nack'], ['nack', 'pli'], ['goog-remb']);
  const producers = {
    simulcast: await wide.produce({ kind: 'video', rtpParameters: filmed('video/VP8', 96, [L1T3(501), L1T3(502)], WIDE_CC, CC) }),
    temporal: await wide.produce({ kind: 'video', rtpParameters: filmed('video/VP9', 98, [L1T3(503)], WIDE_CC, CC) }),
    'one of vp8': await wide.produce({ kind: 'video', rtpParameters: filmed('video/VP8', 96, [L1T3(504)]) }),
    simple: await remb.produce({ kind: 'video', rtpParameters: filmed('video/VP8', 96, [{ ssrc: 505 }], SEND_TIME, REMB) }),
    voice: await remb.produce({ kind: 'audio', rtpParameters: opus(506) }),
  };
  const before = [wide, remb].map((one) => one.getStats());
  await call('flow: transports before', async () => (await Promise.all(before)).map(([of]) => [of.availableIncomingBitrate, of.rtpPacketLossReceived]));
  const consumers = {};
  for (const [name, { id: producerId }] of Object.entries(producers)) {
    consumers[name] = await out.consume({ producerId, rtpCapabilities: router.rtpCapabilities });
  }
  const stops = [film(peer, wide.tuple.localPort, [501, 502, 503, 504].map((ssrc) => ({ ssrc, codec: ssrc === 503 ? 'vp9' : 'vp8', extensions: ssrc !== 504 }))),
    film(peer, remb.tuple.localPort, [{ ssrc: 505, codec: 'vp8', extensions: true }, { ssrc: 506, codec: 'opus' }])];
  // A layer that comes is gone up to after two seconds, and scores are told each second.
  const rest = () => new Promise((resolve) => setTimeout(resolve, 4_000));
  const layers = (step) => call(`flow: layers ${step}`, () => Object.entries(consumers).map(([name, one]) => [name, one.type, one.preferredLayers, one.currentLayers]));
  await rest();
  await layers('at first');
  for (const [name, one] of Object.entries(producers)) {
    await call(`flow: ${name}: stats`, async () => rough(await one.getStats()));
    await call(`flow: ${name}: score`, () => rough(one.score));
    await call(`flow: ${name}: consumer's stats`, async () => rough(await consumers[name].getStats()));
    await call(`flow: ${name}: consumer's score`, () => consumers[name].score);
    await call(`flow: ${name}: dumps`, async () => rough([await one.dump(), await consumers[name].dump()]));
  }
  await traced(producers.simulcast, consumers.simulcast);
  await piped(router, producers);
  for (const [name, one] of Object.entries({ wide, remb, out })) await call(`flow: ${name}: stats`, async () => rough(await one.getStats()));
  for (const preferred of [{ spatialLayer: 0, temporalLayer: 0 }, { spatialLayer: 1, temporalLayer: 1 }, { spatialLayer: 0 }]) {
    for (const one of Object.values(consumers)) await one.setPreferredLayers(preferred);
    await rest();
    await layers(`up to ${JSON.stringify(preferred)}`);
    await call('flow: dumps', async () => (await Promise.all(Object.values(consumers).map((one) => one.dump())))
      .map((of) => [of.currentSpatialLayer, of.currentTemporalLayer, of.targetSpatialLayer, of.targetTemporalLayer, of.preferredSpatialLayer, of.preferredTemporalLayer]));
  }
  for (const one of Object.values(consumers)) await one.pause();
  await rest();
  await layers('while paused');
  stops.forEach((stop) => stop());
  [wide, remb, out].forEach((one) => one.close());
  peer.close();
  sink.close();
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
  await flow(router);
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
/** What differs on purpose: of which step and what in it. */
const ON_PURPOSE = [
  // No key frame is asked for where one has just come, or where nobody takes it.
  [/^flow: /, /\.pliCount$/],
  [/^flow: traces of a producer/, /pli out undefined$/],
  // The path of a plain transport is estimated once its receiver says what came.
  [/^flow: out: stats/, /\.(availableOutgoingBitrate|probationBytesSent|probationSendBitrate)$/],
  // The score of what it is sent, not 0 until that changes.
  [/^flow: .*: consumer's score$/, /\.producerScore$/],
  // What a consumer prefers is sent as soon as it has come for two seconds, not with the next change of a score.
  [/^flow: pipe of simulcast: (dumps|layers)/, /\.(current|target)?[sS]patialLayer$/],
];

const [ours, others] = process.argv.slice(2).map(steps);
if (!others) throw new Error('node beside.mjs WORKER OTHER_WORKER');
let [count, meant] = [0, 0];
for (const [at, [step, result]] of ours.entries()) {
  for (const [path, one, two] of differences(result, others[at][1])) {
    if (ON_PURPOSE.some(([steps, paths]) => steps.test(step) && paths.test(path))) {
      meant += 1;
      continue;
    }
    count += 1;
    const short = (value) => JSON.stringify(value)?.slice(0, 300);
    console.log(`${step}${path}:\n    ${short(one)}\n    ${short(two)}`);
  }
}
console.log(`${ours.length} calls, ${count} differences, and ${meant} on purpose`);
process.exitCode = count > 0 ? 1 : 0;
