// What a page does with mediasoup-client: it publishes its camera, its microphone and a data channel, and watches what
// others publish. The server's side is asked by `ask`, which the test puts into the page. Bundled for the browser.

import { Device } from 'mediasoup-client';

let device;
const transports = {};
const consumers = new Map();
const messages = [];

async function transport(direction) {
  if (!device) {
    device = new Device();
    await device.load({ routerRtpCapabilities: await ask('rtpCapabilities') });
  }
  if (transports[direction]) return transports[direction];
  const parameters = await ask('createTransport', direction);
  const made = direction === 'send' ? device.createSendTransport(parameters) : device.createRecvTransport(parameters);
  const settle = (promise, done, failed) => promise.then(done, failed);
  made.on('connect', ({ dtlsParameters }, done, failed) => settle(ask('connect', made.id, dtlsParameters), done, failed));
  made.on('produce', ({ kind, rtpParameters }, done, failed) =>
    settle(ask('produce', made.id, kind, rtpParameters), (id) => done({ id }), failed));
  made.on('producedata', ({ sctpStreamParameters, label, protocol }, done, failed) =>
    settle(ask('produceData', made.id, sctpStreamParameters, label, protocol), (id) => done({ id }), failed));
  transports[direction] = made;
  return made;
}

let channel;

window.page = {
  async publish(codec, encodings, size = { width: 1280, height: 720 }) {
    const sending = await transport('send');
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: size });
    const wanted = device.rtpCapabilities.codecs.find(({ mimeType }) => mimeType.toLowerCase() === codec);
    const video = await sending.produce({ track: media.getVideoTracks()[0], encodings, codec: wanted,
      codecOptions: { videoGoogleStartBitrate: 1000 } });
    const audio = await sending.produce({ track: media.getAudioTracks()[0] });
    return { video: video.id, audio: audio.id };
  },

  async consume(producerId) {
    const receiving = await transport('recv');
    const parameters = await ask('consume', receiving.id, producerId, device.rtpCapabilities);
    const consumer = await receiving.consume(parameters);
    consumers.set(consumer.id, consumer);
    const element = document.createElement(consumer.kind);
    Object.assign(element, { autoplay: true, muted: true, srcObject: new MediaStream([consumer.track]) });
    document.body.append(element);
    await ask('resume', consumer.id);
    return consumer.id;
  },

  /** What is received of a consumer's track. */
  async received(consumerId) {
    const report = await consumers.get(consumerId).getStats();
    for (const entry of report.values()) {
      if (entry.type === 'inbound-rtp') {
        const { framesDecoded, frameWidth, packetsReceived, packetsLost, freezeCount, totalSamplesReceived } = entry;
        return { framesDecoded, frameWidth, packetsReceived, packetsLost, freezeCount, totalSamplesReceived };
      }
    }
    return {};
  },

  async publishData(label) {
    channel = await (await transport('send')).produceData({ label });
    if (channel.readyState !== 'open') await new Promise((resolve) => channel.on('open', resolve));
    return channel.id;
  },

  say(text) { channel.send(text); },

  async consumeData(dataProducerId) {
    const parameters = await ask('consumeData', (await transport('recv')).id, dataProducerId);
    const consumer = await transports.recv.consumeData(parameters);
    consumer.on('message', (message) => messages.push(message));
    consumers.set(consumer.id, consumer);
    return consumer.id;
  },

  /** Closes a channel that is received, or the one that is sent. */
  closeData(id) { (consumers.get(id) ?? channel).close(); },

  /** The state of the same. */
  channelState: (id) => (consumers.get(id) ?? channel).readyState,

  messages: () => messages,

  async restartIce(direction, iceParameters) { await transports[direction].restartIce({ iceParameters }); },

  state: (direction) => transports[direction].connectionState,
};
