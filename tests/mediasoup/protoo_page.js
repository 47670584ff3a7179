// What an application on mediasoup-client and protoo-client does, in either generation of mediasoup-demo: it joins a
// room, publishes, and takes what it is offered. Only members of its own dialect are read. Bundled for the browser.

import { Device } from 'mediasoup-client';
import { Peer, WebSocketTransport } from 'protoo-client';

const legacy = () => settings.dialect === 'legacy';

let settings;
let protoo;
let device;
let transports;
let producers;
const seen = { events: [], joins: 0 };
const peers = new Map();
const consumers = new Map();
const dataConsumers = new Map();
const dataProducers = new Map();
let offers = Promise.resolve();

const log = (...what) => seen.events.push(what);
const need = (value, what) => {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
};

/** A request of the legacy dialect is a notification of the typed one. */
async function tell(method, data) {
  if (legacy()) return protoo.request(method, data);
  await protoo.notify(method, data);
}

async function transport(sends) {
  const asked = legacy()
    ? { forceTcp: Boolean(settings.forceTcp), producing: sends, consuming: !sends, sctpCapabilities: device.sctpCapabilities ?? { numStreams: { OS: 1024, MIS: 1024 } } }
    : { forceTcp: Boolean(settings.forceTcp), appData: { direction: sends ? 'producer' : 'consumer' } };
  const told = await protoo.request('createWebRtcTransport', asked);
  const { iceParameters, iceCandidates, dtlsParameters, sctpParameters } = told;
  const id = need(legacy() ? told.id : told.transportId, 'the id of a transport');
  // A server that is the client of DTLS makes this side the server. (On transports that receive mediasoup-client 3.24.1
  // tells the server so, and answers the browser's offer otherwise.)
  if (settings.dtlsServer && sends) dtlsParameters.role = 'client';
  const options = { id, iceParameters, iceCandidates, dtlsParameters: { ...dtlsParameters }, sctpParameters, iceServers: [] };
  const made = sends ? device.createSendTransport(options) : device.createRecvTransport(options);
  made.on('connect', ({ dtlsParameters: own }, done, failed) => {
    protoo.request('connectWebRtcTransport', { transportId: made.id, dtlsParameters: own }).then(done, failed);
  });
  made.on('connectionstatechange', (state) => log('state', sends ? 'send' : 'recv', state));
  if (!sends) return made;
  made.on('produce', async ({ kind, rtpParameters, appData }, done, failed) => {
    try {
      const answer = await protoo.request('produce', { transportId: made.id, kind, rtpParameters, appData });
      done({ id: need(legacy() ? answer.id : answer.producerId, 'the id of a producer') });
    } catch (error) {
      failed(error);
    }
  });
  made.on('producedata', async ({ sctpStreamParameters, label, protocol, appData }, done, failed) => {
    try {
      const asked = { transportId: made.id, sctpStreamParameters, label, protocol, appData };
      const answer = await protoo.request('produceData', asked);
      done({ id: need(legacy() ? answer.id : answer.dataProducerId, 'the id of a data producer') });
    } catch (error) {
      failed(error);
    }
  });
  return made;
}

async function consume(data) {
  const id = need(legacy() ? data.id : data.consumerId, 'the id of a consumer');
  const { peerId, producerId, kind, rtpParameters, type, producerPaused, appData } = data;
  need(peers.get(peerId), `peer ${peerId}, who was to be told of before,`);
  const consumer = await transports.recv.consume({ id, producerId, kind, rtpParameters,
    streamId: `${peerId}-${appData.share ? 'share' : 'mic-webcam'}`, appData: { ...appData, peerId } });
  Object.assign(consumer, { type, producerPaused, layers: undefined, score: data.consumerScore });
  consumers.set(consumer.id, consumer);
  const element = document.createElement(kind);
  Object.assign(element, { autoplay: true, muted: kind === 'video', srcObject: new MediaStream([consumer.track]) });
  document.body.append(element);
  consumer.element = element;
}

async function consumeData(data) {
  const id = need(legacy() ? data.id : data.dataConsumerId, 'the id of a data consumer');
  const { dataProducerId, sctpStreamParameters, label, protocol, peerId } = data;
  const consumer = await transports.recv.consumeData({ id, dataProducerId, sctpStreamParameters, label, protocol, appData: { peerId } });
  consumer.on('message', (message) => log('message', label, peerId ?? null, message));
  dataConsumers.set(consumer.id, consumer);
}

const notified = {
  newPeer: (data) => {
    const peer = legacy() ? data : data.peer;
    peers.set(need(legacy() ? peer.id : peer.peerId, 'the id of a peer'), peer);
  },
  peerClosed: ({ peerId }) => peers.delete(peerId),
  peerDisplayNameChanged: ({ peerId, displayName }) => { peers.get(peerId).displayName = displayName; },
  consumerClosed: ({ consumerId }) => {
    const consumer = consumers.get(consumerId);
    consumer?.close();
    consumer?.element.remove();
    consumers.delete(consumerId);
  },
  consumerPaused: ({ consumerId }) => { need(consumers.get(consumerId), 'a consumer').producerPaused = true; },
  consumerResumed: ({ consumerId }) => { need(consumers.get(consumerId), 'a consumer').producerPaused = false; },
  consumerLayersChanged: (data) => {
    const consumer = consumers.get(data.consumerId);
    if (consumer) consumer.layers = legacy() ? data : data.layers;
  },
  consumerScore: ({ consumerId, score }) => {
    const consumer = consumers.get(consumerId);
    if (consumer) consumer.score = score;
  },
  dataConsumerClosed: ({ dataConsumerId }) => {
    dataConsumers.get(dataConsumerId)?.close();
    dataConsumers.delete(dataConsumerId);
  },
};

async function join() {
  for (const consumer of consumers.values()) consumer.element.remove();
  for (const made of [peers, consumers, dataConsumers, dataProducers]) made.clear();
  transports = {};
  producers = {};
  device = new Device();
  if (!legacy()) await protoo.request('getRtcStatsUrl');
  const capabilities = await protoo.request('getRouterRtpCapabilities');
  await device.load({ routerRtpCapabilities: legacy() ? capabilities : capabilities.routerRtpCapabilities });
  transports.send = await transport(true);
  transports.recv = await transport(false);
  const told = await protoo.request('join', { displayName: settings.displayName, device: { flag: 'test', name: 'Test', version: '1' },
    rtpCapabilities: device.rtpCapabilities, ...(legacy() ? { sctpCapabilities: { numStreams: { OS: 1024, MIS: 1024 } } } : {}) });
  for (const peer of told.peers) peers.set(need(legacy() ? peer.id : peer.peerId, 'the id of a peer'), peer);
  seen.joins++;
  if (settings.publish !== false) await window.page.publish(settings.video, settings.audio);
  if (settings.chat) await window.page.chat();
}

window.page = {
  /** Connects, and joins each time that there is a connection. */
  start(given) {
    settings = given;
    const url = `${settings.url}?roomId=${settings.roomId}&peerId=${settings.peerId}${settings.query ?? ''}`;
    protoo = new Peer(new WebSocketTransport(url));
    protoo.on('open', () => join().catch((error) => log('failed', String(error))));
    for (const event of ['failed', 'disconnected', 'close']) protoo.on(event, () => log(`protoo ${event}`));
    protoo.on('request', (request, accept, reject) => {
      const wanted = { newConsumer: consume, newDataConsumer: consumeData }[request.method];
      if (settings.refuse?.includes(request.method)) return reject(403, 'I do not want to consume');
      // One after the other, as applications do it.
      offers = offers.then(() => wanted(request.data)).then(() => accept(), (error) => {
        log('failed', request.method, String(error));
        reject(500, String(error));
      });
    });
    protoo.on('notification', ({ method, data }) => {
      log(method, data);
      notified[method]?.(data);
    });
  },

  /** Sends camera and microphone. */
  async publish({ codec, encodings, width = 1280, height = 720 } = {}, audio = true) {
    const media = await navigator.mediaDevices.getUserMedia({ audio, video: codec ? { width, height } : false });
    if (audio) {
      producers.audio = await transports.send.produce({ track: media.getAudioTracks()[0],
        appData: legacy() ? {} : { source: 'audio' } });
    }
    if (!codec) return;
    const wanted = device.rtpCapabilities.codecs.find(({ mimeType, parameters }) =>
      mimeType.toLowerCase() === codec.toLowerCase() && !(parameters?.['profile-id'] > 0));
    producers.video = await transports.send.produce({ track: media.getVideoTracks()[0], encodings,
      codec: need(wanted, codec), codecOptions: { videoGoogleStartBitrate: 1000 }, appData: legacy() ? {} : { source: 'video' } });
  },

  /** Sends a tone, which is heard while `speak` says so. */
  async publishTone() {
    const context = new AudioContext();
    const [tone, gain, out] = [context.createOscillator(), context.createGain(), context.createMediaStreamDestination()];
    gain.gain.value = 0;
    tone.connect(gain).connect(out);
    tone.start();
    producers.audio = await transports.send.produce({ track: out.stream.getAudioTracks()[0], appData: { source: 'audio' } });
    window.page.speak = (isHeard) => gain.gain.setTargetAtTime(isHeard ? 0.5 : 0, context.currentTime, 0.01);
  },

  /** What a decoder of a peer's sound has had to make up, in samples, and what it was sent. */
  async heard(peerId) {
    const consumer = [...consumers.values()].find((one) => one.appData.peerId === peerId && one.kind === 'audio');
    const entry = [...(await consumer.getStats()).values()].find(({ type }) => type === 'inbound-rtp') ?? {};
    const { packetsReceived = 0, packetsLost = 0, concealedSamples = 0, silentConcealedSamples = 0, totalAudioEnergy = 0 } = entry;
    return { packetsReceived, packetsLost, madeUp: concealedSamples - silentConcealedSamples, totalAudioEnergy };
  },

  /** Opens the channels of chat and bot. */
  async chat() {
    for (const label of ['chat', 'bot']) {
      const ways = legacy() && label === 'chat' ? { ordered: false, maxRetransmits: 1 } : legacy() ? { ordered: false, maxPacketLifeTime: 2000 } : {};
      const made = await transports.send.produceData({ ...ways, label, priority: 'medium',
        appData: legacy() ? { info: label } : { channel: label } });
      dataProducers.set(label, made);
    }
  },

  say(label, text) {
    const made = dataProducers.get(label);
    if (made?.readyState !== 'open') return false;
    made.send(text);
    return true;
  },

  /** All that there is, as text: what stands in it twice would come out once. */
  look: () => JSON.stringify({ ...seen, peers: [...peers.values()],
    transports: transports && Object.fromEntries(
      Object.entries(transports).map(([name, one]) => [name, { id: one.id, state: one.connectionState }])),
    producers: producers && Object.fromEntries(Object.entries(producers).map(([kind, one]) => [kind, one.id])),
    dataProducers: Object.fromEntries([...dataProducers].map(([label, one]) => [label, one.id])),
    dataConsumers: [...dataConsumers.values()].map(({ id, label, appData }) => ({ id, label, ...appData })),
    consumers: [...consumers.values()].map(({ id, kind, type, layers, score, producerPaused, appData, rtpParameters }) =>
      ({ id, kind, type, layers, score, producerPaused, appData, codec: rtpParameters.codecs[0].mimeType,
        codecs: rtpParameters.codecs.map(({ mimeType }) => mimeType),
        mode: rtpParameters.encodings[0].scalabilityMode })) }),

  /** What is received of a peer's track of this kind. */
  async received(peerId, kind) {
    const consumer = [...consumers.values()].find((one) => one.appData.peerId === peerId && one.kind === kind);
    if (!consumer) return {};
    for (const entry of (await consumer.getStats()).values()) {
      if (entry.type === 'inbound-rtp') {
        const { framesDecoded, frameWidth, packetsReceived, packetsLost, totalSamplesReceived, bytesReceived } = entry;
        return { id: consumer.id, framesDecoded, frameWidth, packetsReceived, packetsLost, totalSamplesReceived, bytesReceived,
          takes: consumer.rtpReceiver.getParameters().codecs.map(({ mimeType }) => mimeType) };
      }
    }
    return {};
  },

  tell,
  request: (method, data) => protoo.request(method, data).then((answer) => ({ answer }), (error) => ({ code: error.code, error: error.message })),

  /** Closes a producer as applications do: the server is told, and the transport. */
  async close(kind) {
    await tell('closeProducer', { producerId: producers[kind].id });
    producers[kind].close();
    delete producers[kind];
  },

  async restartIce() {
    for (const made of Object.values(transports)) {
      const told = await protoo.request('restartIce', { transportId: made.id });
      await made.restartIce({ iceParameters: legacy() ? told : told.iceParameters });
    }
  },

  /** Closes every transport, and tells the server nothing. */
  hangUp() { for (const made of Object.values(transports)) made.close(); },

  leave() { protoo.close(); },
};
