// Applications on mediasoup-client and protoo-client, both unmodified, against corecast alone: pages of Chromium and
// Firefox, one of each generation of mediasoup-demo, in rooms of a server whose URL is the argument.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { execFileSync } from 'node:child_process';
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

const [, , SERVER, ...only] = process.argv;
const SOCKET = SERVER.replace('http', 'ws');
const PATIENCE_MS = 60_000;

const CHROMIUM = ['--no-sandbox', '--disable-gpu', '--use-fake-device-for-media-stream=fps=30', '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required', '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection'];
const FIREFOX = { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true, 'media.autoplay.default': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false };

const { outputFiles: [script] } = await build({ entryPoints: ['protoo_page.js'], bundle: true, write: false, format: 'iife', target: 'es2022',
  define: { 'process.env.DEBUG': 'undefined' } });
const web = createServer((request, response) => {
  const isScript = request.url.startsWith('/page.js');
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? script.contents : '<!doctype html><title>test</title><script src="/page.js"></script>');
}).listen(0, '127.0.0.1');
await once(web, 'listening');

const browsers = {
  chromium: await puppeteer.launch({ browser: 'chrome', executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: CHROMIUM }),
  firefox: await puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true,
    extraPrefsFirefox: FIREFOX }),
};
for (const browser of Object.values(browsers)) console.log(await browser.version());

async function until(what, isSo) {
  const end = Date.now() + PATIENCE_MS;
  let last;
  for (;;) {
    try {
      const value = await isSo();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    assert.ok(Date.now() < end, `never came true: ${what}${last ? `: ${last}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const opened = new Set();

/** A page of an application that joins a room. */
class Client {
  static async open(browser, dialect, peerId, settings) {
    const client = Object.assign(new Client(), { name: `${peerId} (${browser}, ${dialect})`, peerId, dialect });
    client.context = await browsers[browser].createBrowserContext();
    client.page = await client.context.newPage();
    client.page.on('console', (message) => process.stderr.write(`${client.name}: ${message.text()}\n`));
    client.page.on('pageerror', (error) => process.stderr.write(`${client.name}: uncaught: ${error}\n`));
    await client.page.goto(`http://127.0.0.1:${web.address().port}/`);
    opened.add(client);
    await client.call('start', { url: `${SOCKET}/`, peerId, dialect, displayName: peerId.toUpperCase(), ...settings });
    await until(`${client.name} joins`, async () => (await client.look()).joins > 0);
    return client;
  }

  call(method, ...args) { return this.page.evaluate((wanted, given) => window.page[wanted](...given), method, args); }

  async look() { return JSON.parse(await this.call('look')); }

  received(of, kind = 'video') { return this.call('received', of, kind); }

  /** Waits for this many more pictures of a peer, perhaps of a width. */
  async sees(of, frames = 30, width = undefined) {
    const { framesDecoded: from = 0 } = await this.received(of);
    return until(`${this.name} decodes ${frames} pictures of ${of}${width ? `, ${width} wide` : ''}`, async () => {
      const now = await this.received(of);
      return now.framesDecoded >= from + frames && (!width || now.frameWidth === width) && now;
    });
  }

  async hears(of) {
    const { totalSamplesReceived: from = 0 } = await this.received(of, 'audio');
    await until(`${this.name} hears ${of}`, async () => (await this.received(of, 'audio')).totalSamplesReceived > from + 48_000);
  }

  async consumer(of, kind = 'video') {
    return until(`${this.name} has ${kind} of ${of}`, async () =>
      (await this.look()).consumers.find((one) => one.appData.peerId === of && one.kind === kind));
  }

  /** Waits for a notification. */
  told(method, isIt = () => true) {
    return until(`${this.name} is told ${method}`, async () =>
      (await this.look()).events.find(([name, data]) => name === method && isIt(data))?.concat([true])[1]);
  }

  async request(method, data) {
    const { answer, code, error } = await this.call('request', method, data);
    assert.equal(error, undefined, `${method}: ${code} ${error}`);
    return answer;
  }

  async fine() {
    const { events } = await this.look();
    assert.deepEqual(events.filter(([name]) => name === 'failed'), [], this.name);
  }

  async close() {
    opened.delete(this);
    await this.context.close();
  }
}

const SIZES = [4, 2, 1].map((scaleResolutionDownBy, at) =>
  ({ scaleResolutionDownBy, scalabilityMode: 'L1T3', maxBitrate: [150_000, 500_000, 1_500_000][at] }));
const CAMERA = { codec: 'video/VP8', width: 640, height: 360 };

const tests = {
  /** One of each generation meets the other; everything that one may ask of a call. */
  async call() {
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'call', chat: true,
      video: { codec: 'video/VP8', encodings: SIZES } });
    const b = await Client.open('firefox', 'legacy', 'ben', { roomId: 'call', chat: true, video: CAMERA });
    await Promise.all([a.sees('ben'), b.sees('anna')]);
    await Promise.all([a.hears('ben'), b.hears('anna')]);
    const [seen] = (await a.look()).peers;
    assert.deepEqual([seen.peerId, seen.displayName, seen.device.name, typeof seen.remoteAddress], ['ben', 'BEN', 'Test', 'string']);
    assert.equal((await b.look()).peers[0].displayName, 'ANNA');

    // Layers, both ways, and what is told of them.
    const video = await b.consumer('anna');
    assert.deepEqual([video.type, video.mode, video.codec], ['simulcast', 'L3T3', 'video/VP8']);
    await b.sees('anna', 10, 1280);
    await b.call('tell', 'setConsumerPreferredLayers', { consumerId: video.id, spatialLayer: 0, temporalLayer: 1 });
    await b.sees('anna', 10, 320);
    const low = await b.told('consumerLayersChanged', ({ spatialLayer }) => spatialLayer === 0);
    assert.equal(low.temporalLayer, 1);
    await b.call('tell', 'setConsumerPreferredLayers', { consumerId: video.id, spatialLayer: 2, temporalLayer: 2 });
    await b.sees('anna', 10, 1280);
    await b.call('tell', 'setConsumerPriority', { consumerId: video.id, priority: 7 });
    await b.call('tell', 'requestConsumerKeyFrame', { consumerId: video.id });
    await until('scores', async () => (await b.consumer('anna')).score?.producerScores?.every((score) => score === 10));
    await a.told('producerScore', ({ score }) => score.length === 3 && score.every((one) => one.score === 10 && one.ssrc > 0));

    // Pauses: the publisher's, and the viewer's own.
    const { producers } = await a.look();
    await a.call('tell', 'pauseProducer', { producerId: producers.video });
    await b.told('consumerPaused', ({ consumerId }) => consumerId === video.id);
    await stands(b, 'anna');
    await a.call('tell', 'resumeProducer', { producerId: producers.video });
    await b.told('consumerResumed', ({ consumerId }) => consumerId === video.id);
    await b.sees('anna');
    await b.call('tell', 'pauseConsumer', { consumerId: video.id });
    await stands(b, 'anna');
    await b.call('tell', 'resumeConsumer', { consumerId: video.id });
    await b.sees('anna');

    // Sound: who speaks and how loud, in the words of each.
    await a.told('activeSpeaker', ({ peerId }) => peerId !== undefined);
    await a.told('speakingPeers', ({ peerVolumes }) => peerVolumes.some(({ peerId, volume }) => peerId === 'ben' && volume < 0));
    await b.told('activeSpeaker', ({ peerId, volume }) => peerId !== null && volume <= 0 && volume >= -127);
    assert.ok(!(await b.look()).events.some(([name]) => name === 'speakingPeers'), 'the legacy client knows no speakingPeers');

    // Messages, to each other and to the bot.
    await until('chat from a', () => a.call('say', 'chat', 'hello'));
    await b.told('message', (label) => label === 'chat');
    await until('ben reads it', async () => (await b.look()).events.some(([, label, peer, text]) => label === 'chat' && peer === 'anna' && text === 'hello'));
    await until('chat from b', () => b.call('say', 'chat', 'good day'));
    await until('anna reads it', async () => (await a.look()).events.some(([, , peer, text]) => peer === 'ben' && text === 'good day'));
    await until('a speaks to the bot', () => a.call('say', 'bot', 'are you there?'));
    for (const one of [a, b]) {
      await until('the bot answers', async () => (await one.look()).events.some(([, label, peer, text]) =>
        label === 'bot' && peer === null && text === 'ANNA said me: "are you there?"'));
    }

    // Statistics: bare for one, wrapped for the other.
    await statistics(a, (answer) => answer.stats);
    await statistics(b, (answer) => answer);

    await b.call('tell', 'changeDisplayName', { displayName: 'Benjamin' });
    const renamed = await a.told('peerDisplayNameChanged');
    assert.deepEqual(renamed, { peerId: 'ben', displayName: 'Benjamin', oldDisplayName: 'BEN' });

    // New paths, and everything goes on.
    for (const one of [a, b]) await one.call('restartIce');
    await Promise.all([a.sees('ben', 60), b.sees('anna', 60)]);
    for (const [one, method, data] of [[a, 'applyNetworkThrottle', { secret: 'x', options: {} }], [a, 'stopNetworkThrottle', { secret: 'x' }],
      [b, 'resetNetworkThrottle', { secret: 'x' }], [b, 'applyNetworkThrottle', { secret: 'x' }]]) {
      assert.equal((await one.call('request', method, data)).code, 403, method);
    }
    assert.equal((await a.call('request', 'nonsense', {})).code, 500);

    // What closes is told, and what is made again is offered again.
    await a.call('close', 'video');
    await b.told('consumerClosed', ({ consumerId }) => consumerId === video.id);
    await a.call('publish', CAMERA, false);
    await until('anna is there again', async () => (await b.consumer('anna')).id !== video.id);
    await b.sees('anna');
    await Promise.all([a.fine(), b.fine()]);
    await b.call('leave');
    await a.told('peerClosed', ({ peerId }) => peerId === 'ben');
    await until('nothing is left of ben', async () => (await a.look()).consumers.length === 0);
  },

  /** Codecs with spatial layers within them, from Chromium, and VP9 of Firefox. */
  async codecs() {
    const f = await Client.open('firefox', 'typed', 'fay', { roomId: 'codecs', video: { ...CAMERA, codec: 'video/VP9' } });
    for (const [codec, scalabilityMode] of [['video/VP9', 'L3T3_KEY'], ['video/AV1', 'L3T3']]) {
      const encodings = [{ scalabilityMode, maxBitrate: 1_500_000 }];
      const c = await Client.open('chromium', 'typed', 'cid', { roomId: 'codecs', video: { codec, width: 1280, height: 720, encodings } });
      const viewer = await Client.open('chromium', 'legacy', 'vera', { roomId: 'codecs', publish: false });
      const consumer = await viewer.consumer('cid');
      assert.deepEqual([consumer.type, consumer.mode, consumer.codec], ['svc', scalabilityMode, codec]);
      await viewer.sees('cid', 20);
      await viewer.sees('cid', 10, 1280);
      await viewer.call('tell', 'setConsumerPreferredLayers', { consumerId: consumer.id, spatialLayer: 0, temporalLayer: 2 });
      await viewer.sees('cid', 10, 320);
      await viewer.call('tell', 'setConsumerPreferredLayers', { consumerId: consumer.id, spatialLayer: 2, temporalLayer: 2 });
      await viewer.sees('cid', 10, 1280);
      await Promise.all([c.sees('fay', 20), viewer.sees('fay', 20), f.sees('cid', 20)]);
      await Promise.all([c.fine(), viewer.fine(), f.fine()]);
      await c.close();
      await viewer.close();
      await until('they have left', async () => (await f.look()).peers.length === 0);
    }
  },

  /** A client that is the server of DTLS, and one that comes by TCP. */
  async roles() {
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'roles', dtlsServer: true, video: CAMERA });
    const b = await Client.open('chromium', 'legacy', 'ben', { roomId: 'roles', forceTcp: true, video: CAMERA });
    await Promise.all([a.sees('ben'), b.sees('anna')]);
    const { transports: { recv } } = await b.look();
    const [stats] = await b.request('getTransportStats', { transportId: recv.id });
    assert.equal(stats.iceSelectedTuple.protocol, 'tcp');
    await Promise.all([a.fine(), b.fine()]);
  },

  /** The same peer comes again: the one before is closed for good. A client that takes nothing is left in peace. */
  async again() {
    const first = await Client.open('chromium', 'typed', 'anna', { roomId: 'again', video: CAMERA });
    const b = await Client.open('chromium', 'typed', 'ben', { roomId: 'again', publish: false, refuse: ['newDataConsumer'] });
    await b.sees('anna');
    const second = await Client.open('chromium', 'typed', 'anna', { roomId: 'again', video: CAMERA });
    await first.told('protoo close');
    await b.told('peerClosed', ({ peerId }) => peerId === 'anna');
    await b.sees('anna');
    assert.equal((await first.look()).joins, 1, 'it does not come again');
    const none = await Client.open('chromium', 'legacy', 'nora', { roomId: 'again', publish: false, refuse: ['newConsumer'] });
    await b.told('newPeer', ({ peer }) => peer.peerId === 'nora');
    await until('what is refused is closed', async () => {
      const { consumers } = await (await fetch(`${SERVER}/stats`)).json();
      return consumers.every(({ peerId }) => peerId !== 'nora');
    });
    await Promise.all([second.fine(), none.fine()]);

    // Whose transports have closed is closed as well.
    await second.call('hangUp');
    await second.told('protoo close');
    await until('anna has left again', async () => (await b.look()).peers.every(({ peerId }) => peerId !== 'anna'));
  },

  /** Three consumers of each producer, as the room's first client wants it. */
  async replicas() {
    const query = '&consumerReplicas=2';
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'replicas', query, video: CAMERA });
    const b = await Client.open('chromium', 'typed', 'ben', { roomId: 'replicas', publish: false });
    await until('six consumers', async () => (await b.look()).consumers.length === 6);
    await b.sees('anna');
    await Promise.all([a.fine(), b.fine()]);
  },

  /** The server's own page and a client in one room: pictures, sound and chat both ways. */
  async page() {
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'page', chat: true, video: CAMERA });
    const context = await browsers.chromium.createBrowserContext();
    const page = await context.newPage();
    await page.goto(`${SERVER}/?room=page&name=Paula&auto=1&codec=vp8`);
    const { peer } = await a.told('newPeer', ({ peer }) => peer.displayName === 'Paula');
    assert.equal(peer.device.flag, 'chrome');
    await a.sees(peer.peerId);
    await a.hears(peer.peerId);
    await until('the page shows a moving picture of anna', () => page.evaluate(async () => {
      const videos = [...document.querySelectorAll('video')].filter((video) => !video.muted && video.videoWidth > 0);
      return videos.some((video) => video.currentTime > 1);
    }));
    await until('anna says something', () => a.call('say', 'chat', 'hello Paula'));
    await until('Paula reads it', () => page.evaluate(() => document.getElementById('chat-log').innerText.includes('hello Paula')));
    await page.evaluate(() => {
      document.getElementById('chat-field').value = 'hello Anna';
      document.getElementById('chat-form').requestSubmit();
    });
    await until('anna reads it', async () => (await a.look()).events.some(([what, label, from, text]) =>
      what === 'message' && label === 'chat' && from === peer.peerId && text === 'hello Anna'));
    await context.close();
    await a.told('peerClosed', ({ peerId }) => peerId === peer.peerId);
    await a.fine();
  },

  /** A publisher by WHIP, a viewer by WHEP and a client in one room. */
  async whip() {
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'mixed', video: CAMERA });
    const context = await browsers.chromium.createBrowserContext();
    const page = await context.newPage();
    await page.goto(`${SERVER}/status`);
    const session = (path, publishes) => page.evaluate(async (path, publishes) => {
      const pc = new RTCPeerConnection();
      (window.sessions ??= []).push(pc);
      const media = publishes ? await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 180 } }) : null;
      for (const kind of ['audio', 'video']) {
        const [track] = media?.getTracks().filter((one) => one.kind === kind) ?? [];
        pc.addTransceiver(track ?? kind, { direction: publishes ? 'sendonly' : 'recvonly' });
      }
      await pc.setLocalDescription();
      const headers = { 'Content-Type': 'application/sdp' };
      const response = await fetch(path, { method: 'POST', headers, body: pc.localDescription.sdp });
      await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    }, path, publishes);
    await session('/whip/mixed?peer=paula&name=Paula', true);
    await a.told('newPeer', ({ peer }) => peer.displayName === 'Paula');
    await a.sees('paula');
    await a.hears('paula');
    await session('/whep/mixed/anna', false);
    await a.told('newPeer', ({ peer }) => peer.device.flag === 'viewer');
    await until('the viewer decodes pictures of anna', () => page.evaluate(async () => {
      const stats = [...(await window.sessions.at(-1).getStats()).values()];
      return stats.some(({ type, kind, framesDecoded }) => type === 'inbound-rtp' && kind === 'video' && framesDecoded > 30);
    }));
    await context.close();
    await a.told('peerClosed', ({ peerId }) => peerId === 'paula');
    await a.fine();
  },

  /** Nothing reaches the server's media address any longer, which is not where its WebSocket is: the peer is closed. */
  async silence() {
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'silence', video: CAMERA });
    const b = await Client.open('chromium', 'legacy', 'ben', { roomId: 'silence', publish: false });
    await b.sees('anna');
    execFileSync('nft', ['-f', '-'], { input:
      'table ip silence {\n chain in {\n type filter hook input priority 0;\n ip daddr 198.51.100.2 drop;\n }\n}\n' });
    try {
      for (const one of [a, b]) await one.told('protoo close');
      await until('the room is closed', async () => (await (await fetch(`${SERVER}/rooms`)).json()).rooms.length === 0);
    } finally {
      execFileSync('nft', ['delete', 'table', 'ip', 'silence']);
    }
  },

  /** A room in which the loudest alone is heard: two speak in turn, and to a decoder who is not heard has paused. */
  async loudest() {
    const silent = { roomId: 'loudest', publish: false };
    const speakers = {};
    for (const name of ['anna', 'ben']) {
      speakers[name] = await Client.open('chromium', 'typed', name, silent);
      await speakers[name].call('publishTone');
    }
    const viewer = await Client.open('chromium', 'typed', 'vera', silent);
    const names = Object.keys(speakers);
    for (const name of names) await viewer.consumer(name, 'audio');
    const look = async () => Object.fromEntries(await Promise.all(names.map(async (name) => [name, await viewer.call('heard', name)])));
    const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const speak = (name, other) => Promise.all([speakers[name].call('speak', true), speakers[other].call('speak', false)]);
    for (const [name, other] of [names, names.toReversed()]) {
      await speak(name, other);
      const { totalAudioEnergy: from } = await viewer.call('heard', name);
      await until(`${name} is heard`, async () => (await viewer.call('heard', name)).totalAudioEnergy > from + 0.02);
    }
    const before = await look();
    const turns = 6;
    for (let turn = 0; turn < turns; turn++) {
      await speak(names[turn % 2], names[(turn + 1) % 2]);
      await rest(1_000);
    }
    const after = await look();
    for (const name of names) {
      const of = (what) => after[name][what] - before[name][what];
      console.log(`${name}: ${of('packetsReceived')} packets, ${of('packetsLost')} lost, ${of('madeUp')} samples made up, energy ${of('totalAudioEnergy')}`);
      assert.equal(of('packetsLost'), 0, 'numbers have no gaps');
      assert.ok(of('totalAudioEnergy') > 0.1, `${name} was heard`);
      assert.ok(of('madeUp') < turns * 48_000 / 5, 'a decoder takes what is withheld for a pause');
    }
    await viewer.fine();
  },

  /** Much sound is lost: a client that asks for redundant sound by its URL is sent it, and Firefox publishes without. */
  async redundant() {
    const a = await Client.open('firefox', 'legacy', 'anna', { roomId: 'redundant' });
    const b = await Client.open('chromium', 'typed', 'ben', { roomId: 'redundant', publish: false, query: '&red=true' });
    const c = await Client.open('chromium', 'typed', 'cid', { roomId: 'redundant', publish: false });
    await Promise.all([b.hears('anna'), c.hears('anna')]);
    assert.deepEqual((await b.consumer('anna', 'audio')).codecs, ['audio/opus', 'audio/red']);
    assert.deepEqual((await c.consumer('anna', 'audio')).codecs, ['audio/opus']);
    assert.deepEqual((await b.received('anna', 'audio')).takes, ['audio/opus', 'audio/red'], 'the browser has it in the answer');
    const each = ({ bytesReceived, packetsReceived }) => bytesReceived / packetsReceived;
    execFileSync('nft', ['-f', '-'], { input: 'table ip lossy {\n chain in {\n type filter hook input priority 0;\n'
      + ' ip saddr 198.51.100.2 meta l4proto udp numgen random mod 100 < 15 drop;\n }\n}\n' });
    try {
      await until('what was lost comes with the next packet', async () => each(await b.received('anna', 'audio')) > 1.2 * each(await c.received('anna', 'audio')));
    } finally {
      execFileSync('nft', ['delete', 'table', 'ip', 'lossy']);
    }
    await Promise.all([b.hears('anna'), c.hears('anna')]);
    await Promise.all([a.fine(), b.fine(), c.fine()]);
  },

  /** The server's process dies: clients come again by themselves, and pictures with them. */
  async restart() {
    const a = await Client.open('chromium', 'typed', 'anna', { roomId: 'restart', video: CAMERA });
    const b = await Client.open('firefox', 'legacy', 'ben', { roomId: 'restart', video: CAMERA });
    await Promise.all([a.sees('ben'), b.sees('anna')]);
    const { pid } = await (await fetch(`${SERVER}/stats`)).json();
    process.kill(pid, 'SIGKILL');
    for (const one of [a, b]) {
      await one.told('protoo disconnected');
      await until(`${one.name} joins again`, async () => (await one.look()).joins === 2);
    }
    await Promise.all([a.sees('ben'), b.sees('anna')]);
    await Promise.all([a.fine(), b.fine()]);
  },
};

/** No picture comes any longer. */
async function stands(client, of) {
  await until(`${client.name} sees ${of} stand still`, async () => {
    const { framesDecoded: before } = await client.received(of);
    await new Promise((resolve) => setTimeout(resolve, 700));
    return (await client.received(of)).framesDecoded === before;
  });
}

async function statistics(client, entries) {
  const { transports, producers, consumers, dataProducers, dataConsumers } = await client.look();
  const ask = async (method, data) => entries(await client.request(method, data));
  const [transport] = await ask('getTransportStats', { transportId: transports.recv.id });
  assert.deepEqual([transport.type, transport.transportId, transport.iceState, transport.dtlsState, transport.iceRole],
    ['webrtc-transport', transports.recv.id, 'completed', 'connected', 'controlled']);
  assert.ok(transport.bytesSent > 10_000 && transport.timestamp > 0 && transport.iceSelectedTuple.remotePort > 0);
  const received = await ask('getProducerStats', { producerId: producers.video });
  assert.ok(received.every(({ type, kind, ssrc, mimeType, packetCount }) =>
    type === 'inbound-rtp' && kind === 'video' && ssrc > 0 && mimeType === 'video/VP8' && packetCount > 0), JSON.stringify(received));
  const video = consumers.find(({ kind }) => kind === 'video');
  const [sent, source] = await ask('getConsumerStats', { consumerId: video.id });
  assert.deepEqual([sent.type, sent.mimeType, sent.kind, source.type], ['outbound-rtp', 'video/VP8', 'video', 'inbound-rtp']);
  assert.ok(sent.byteCount > 10_000 && source.byteCount > 10_000);
  const [said] = await ask('getDataProducerStats', { dataProducerId: dataProducers.chat });
  assert.deepEqual([said.type, said.label, said.messagesReceived], ['data-producer', 'chat', 1]);
  const chat = dataConsumers.find(({ label }) => label === 'chat');
  const [read] = await ask('getDataConsumerStats', { dataConsumerId: chat.id });
  assert.deepEqual([read.type, read.label, read.messagesSent], ['data-consumer', 'chat', 1]);
}

let failed = 0;
for (const [name, test] of Object.entries(tests).filter(([name]) => only.length === 0 || only.includes(name))) {
  const from = Date.now();
  try {
    await test();
    console.log(`${name}: ok, ${Math.round((Date.now() - from) / 1000)} s`);
  } catch (error) {
    failed++;
    console.log(`${name}: FAILED after ${Math.round((Date.now() - from) / 1000)} s: ${error.stack}`);
    for (const client of opened) {
      const { events = [], ...rest } = await client.look().catch((lost) => ({ lost: String(lost) }));
      const told = events.filter(([name]) => !['activeSpeaker', 'speakingPeers'].includes(name));
      console.log(client.name, JSON.stringify(rest), told.map((event) => JSON.stringify(event)).join('\n  '));
    }
  }
  for (const client of [...opened]) await client.close().catch(() => {});
}
for (const browser of Object.values(browsers)) await browser.close();
web.close();
process.exit(failed ? 1 : 0);
