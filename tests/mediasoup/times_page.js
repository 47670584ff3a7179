// What a page does whose times are taken: publishers by WHIP, viewers by WHEP as pages had it before there were rooms (a
// session for each publisher), and a viewer on mediasoup-client and protoo-client. Bundled for the browser.

import { Device } from 'mediasoup-client';
import { Peer, WebSocketTransport } from 'protoo-client';

const now = () => performance.now();

/** Notes the times of each connection that anybody on this page makes. */
const connections = [];
const Native = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Native {
  constructor(...given) {
    super(...given);
    this.times = {};
    connections.push(this);
    this.addEventListener('iceconnectionstatechange', () => {
      if (['connected', 'completed'].includes(this.iceConnectionState)) this.times.ice ??= now();
    });
    this.addEventListener('connectionstatechange', () => {
      if (this.connectionState === 'connected') this.times.dtls ??= now();
    });
    this.addEventListener('track', ({ track }) => {
      const note = () => { this.times.packet ??= now(); };
      if (!track.muted) note();
      track.addEventListener('unmute', note, { once: true });
    });
  }
};

/** Shows a track; resolves with the time of its first picture. */
function shown(track, everyFrame = () => {}) {
  const video = document.createElement('video');
  Object.assign(video, { muted: true, autoplay: true, playsInline: true, srcObject: new MediaStream([track]) });
  document.body.append(video);
  return new Promise((resolve) => {
    video.addEventListener('loadeddata', () => resolve(now()), { once: true });
    const frame = (at, metadata) => {
      resolve(now());
      everyFrame(at, metadata);
      video.requestVideoFrameCallback(frame);
    };
    video.requestVideoFrameCallback(frame);
  });
}

async function exchange(pc, path) {
  await pc.setLocalDescription();
  pc.times.offer = now();
  const headers = { 'Content-Type': 'application/sdp' };
  const response = await fetch(path, { method: 'POST', headers, body: pc.localDescription.sdp });
  const sdp = await response.text();
  if (response.status !== 201) throw new Error(`${path}: ${response.status} ${sdp}`);
  pc.times.answer = now();
  await pc.setRemoteDescription({ type: 'answer', sdp });
}

/** Who publishes in a room, as a page learns it. */
function publishers(room, count) {
  return new Promise((resolve) => {
    const events = new EventSource(`/rooms/${room}/events`);
    const there = new Set();
    const note = (...peers) => {
      for (const { peer } of peers) there.add(peer);
      if (there.size < count) return;
      events.close();
      resolve([...there]);
    };
    events.addEventListener('peers', ({ data }) => note(...JSON.parse(data)));
    events.addEventListener('joined', ({ data }) => note(JSON.parse(data)));
  });
}

/** The steps of the first connection that got a picture, in milliseconds since `began`. */
function steps(began, frames, more) {
  const receiving = connections.filter(({ times }) => times.packet !== undefined);
  const [first] = receiving.sort((one, other) => one.times.packet - other.times.packet);
  const since = (at) => (at === undefined ? null : at - began);
  const of = Object.fromEntries(Object.entries({ ...more, ...first?.times }).map(([step, at]) => [step, since(at)]));
  return { ...of, first: since(Math.min(...frames)), all: since(Math.max(...frames)) };
}

let protoo;
const consumers = new Map();

/** Joins a room by mediasoup-client, as mediasoup-demo's application does. `taken` is told of each consumer. */
async function enter(room, taken, times) {
  const url = `${location.origin.replace('http', 'ws')}/?roomId=${room}&peerId=viewer-${Math.random()}`;
  protoo = new Peer(new WebSocketTransport(url));
  const device = new Device();
  let recv;
  protoo.on('request', (request, accept, reject) => {
    if (request.method !== 'newConsumer') return reject(403, 'not wanted');
    times.offered ??= now();
    const { consumerId: id, producerId, kind, rtpParameters, peerId } = request.data;
    // One at once, as mediasoup-demo does it: the library takes what comes meanwhile into one description.
    recv.consume({ id, producerId, kind, rtpParameters, streamId: peerId }).then((consumer) => {
      accept();
      consumers.set(id, consumer);
      taken(consumer);
    }).catch((error) => reject(500, String(error)));
  });
  await new Promise((resolve, reject) => {
    protoo.on('open', resolve);
    protoo.on('failed', reject);
  });
  const { routerRtpCapabilities } = await protoo.request('getRouterRtpCapabilities');
  await device.load({ routerRtpCapabilities });
  const made = await protoo.request('createWebRtcTransport', { appData: { direction: 'consumer' } });
  recv = device.createRecvTransport({ ...made, id: made.transportId, iceServers: [] });
  recv.on('connect', ({ dtlsParameters }, done, failed) => {
    protoo.request('connectWebRtcTransport', { transportId: recv.id, dtlsParameters }).then(done, failed);
  });
  await protoo.request('join', { displayName: 'viewer', device: { name: 'times' }, rtpCapabilities: device.rtpCapabilities });
  times.joined = now();
}

window.times = {
  /** So many publishers of one camera and microphone, each an encoder and a session of its own. */
  async publish(room, count, size, sendEncodings) {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: size });
    for (let number = 0; number < count; number++) {
      const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
      for (const track of media.getTracks()) {
        const isVideo = track.kind === 'video';
        pc.addTransceiver(track.clone(), { direction: 'sendonly', ...(isVideo && sendEncodings ? { sendEncodings } : {}) });
      }
      await exchange(pc, `/whip/${room}?peer=publisher-${number}`);
    }
    await publishers(room, count);
  },

  /** Watches everybody, a session for each: the times of it. */
  async whep(room, count) {
    const began = now();
    const frames = (await publishers(room, count)).map(async (peer) => {
      const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
      const tracks = ['audio', 'video'].map((kind) => pc.addTransceiver(kind, { direction: 'recvonly' }).receiver.track);
      const frame = shown(tracks[1]);
      await exchange(pc, `/whep/${room}/${peer}`);
      return frame;
    });
    return steps(began, await Promise.all(frames), {});
  },

  /** Watches everybody by mediasoup-client. */
  async protoo(room, count) {
    const [began, times, frames] = [now(), {}, []];
    const all = new Promise((resolve, reject) => {
      enter(room, ({ kind, track }) => {
        if (kind === 'video') frames.push(shown(track));
        if (frames.length === count) resolve();
      }, times).catch(reject);
    });
    await all;
    return steps(began, await Promise.all(frames), times);
  },

  /** Has the layer changed up and down so often: for each change how long after its key frame had come the first picture
   * of the new layer was shown, and for how long the picture stood still. */
  async switches(room, count, restMs) {
    const shots = [];
    const consumer = await new Promise((resolve, reject) => {
      enter(room, (one) => {
        if (one.kind !== 'video') return;
        shown(one.track, (at, { width, receiveTime, presentationTime }) => shots.push({ at, width, receiveTime, presentationTime }));
        resolve(one);
      }, {}).catch(reject);
    });
    const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const reaches = async (isIt, from) => {
      for (const end = now() + 30_000; now() < end; await rest(20)) {
        const at = shots.findIndex((shot, index) => index >= from && isIt(shot.width));
        if (at >= 0) return at;
      }
      throw new Error(`the layer did not change: ${shots.at(-1)?.width} wide`);
    };
    const widest = () => Math.max(...shots.map(({ width }) => width));
    // The path is tried until it carries the best.
    await rest(6_000);
    const top = widest();
    const changes = [];
    for (let number = 0; number < count; number++) {
      const spatialLayer = number % 2 === 0 ? 0 : 2;
      const [asked, from] = [now(), shots.length];
      await protoo.notify('setConsumerPreferredLayers', { consumerId: consumer.id, spatialLayer, temporalLayer: 2 });
      const first = await reaches((width) => (spatialLayer === 0 ? width < top : width === top), from);
      await rest(restMs);
      const around = shots.slice(Math.max(0, from - 15), first + 15);
      const gaps = around.slice(1).map((shot, index) => shot.presentationTime - around[index].presentationTime);
      const { presentationTime, receiveTime, width } = shots[first];
      changes.push({ up: spatialLayer === 2, width, afterKeyFrame: presentationTime - receiveTime, frozen: Math.max(...gaps),
        afterAsking: presentationTime - asked });
    }
    return { top, changes };
  },
};
