// A server for pages with mediasoup-client: what a page may ask of it, the page itself, and the browsers that open it.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';
import { assert } from './common.mjs';

/** Where the server is reached; Firefox does not connect to a loopback address. */
export const ADDRESS = process.env.CORECAST_TEST_ADDRESS ?? '127.0.0.1';

/** What a page may ask of the server. */
export function peer(room) {
  const made = new Map();
  return { made, states: [],
    async rtpCapabilities() { return room.router.rtpCapabilities; },
    async createTransport(direction) {
      // Who sends is reached on the worker's server, and who receives on ports of the transport's own.
      const announced = { ip: '0.0.0.0', announcedAddress: ADDRESS };
      const where = direction === 'send' ? { webRtcServer: room.worker.appData.webRtcServer }
        : { listenInfos: [{ protocol: 'udp', ...announced }, { protocol: 'tcp', ...announced }] };
      const transport = await room.router.createWebRtcTransport({ ...where,
        enableUdp: true, enableTcp: true, preferUdp: true, initialAvailableOutgoingBitrate: 1_000_000, enableSctp: true });
      await transport.enableTraceEvent(['bwe', 'probation']);
      await transport.setMaxIncomingBitrate(5_000_000);
      transport.on('icestatechange', (state) => this.states.push(`ice ${state}`));
      transport.on('dtlsstatechange', (state) => this.states.push(`dtls ${state}`));
      transport.on('sctpstatechange', (state) => this.states.push(`sctp ${state}`));
      transport.on('iceselectedtuplechange', () => this.states.push('tuple'));
      transport.on('trace', (trace) => this.states.push(`trace ${trace.type}`));
      made.set(transport.id, transport);
      this[direction] = transport;
      const { id, iceParameters, iceCandidates, dtlsParameters, sctpParameters } = transport;
      return { id, iceParameters, iceCandidates, dtlsParameters, sctpParameters };
    },
    async connect(id, dtlsParameters) { await made.get(id).connect({ dtlsParameters }); },
    async produce(id, kind, rtpParameters) {
      const producer = await made.get(id).produce({ kind, rtpParameters });
      made.set(producer.id, producer);
      return producer.id;
    },
    async consume(id, producerId, rtpCapabilities) {
      assert.ok(room.router.canConsume({ producerId, rtpCapabilities }));
      const consumer = await made.get(id).consume({ producerId, rtpCapabilities, paused: true });
      made.set(consumer.id, consumer);
      const { kind, rtpParameters } = consumer;
      return { id: consumer.id, producerId, kind, rtpParameters };
    },
    async resume(id) { await made.get(id).resume(); },
    async produceData(id, sctpStreamParameters, label, protocol) {
      const producer = await made.get(id).produceData({ sctpStreamParameters, label, protocol });
      made.set(producer.id, producer);
      return producer.id;
    },
    async consumeData(id, dataProducerId) {
      const consumer = await made.get(id).consumeData({ dataProducerId });
      made.set(consumer.id, consumer);
      const { sctpStreamParameters, label, protocol } = consumer;
      return { id: consumer.id, dataProducerId, sctpStreamParameters, label, protocol };
    },
  };
}

const bundle = await build({ entryPoints: [new URL('page.js', import.meta.url).pathname], bundle: true, write: false });
const web = createServer((_, response) =>
  response.setHeader('content-type', 'text/html').end(`<!doctype html><body><script>${bundle.outputFiles[0].text}</script>`));
web.listen(0, '127.0.0.1');
await once(web, 'listening');
web.unref();

/** A browser of this kind: `chromium` or `firefox`. */
export const launch = (kind) => kind === 'firefox'
  ? puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true,
    extraPrefsFirefox: { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true,
      'media.autoplay.default': 0, 'media.peerconnection.ice.obfuscate_host_addresses': false } })
  : puppeteer.launch({ browser: 'chrome', executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--use-fake-device-for-media-stream=fps=30',
      '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
      '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection'] });

/** Opens the page as this peer. Returns a function that calls the page's functions by name. */
export async function open(browser, name, server) {
  const page = await (await browser.createBrowserContext()).newPage();
  page.on('console', (message) => process.stderr.write(`${name}: ${message.text()}\n`));
  page.on('pageerror', (error) => process.stderr.write(`${name}: uncaught: ${error}\n`));
  await page.exposeFunction('ask', (method, ...args) => server[method](...args));
  await page.goto(`http://127.0.0.1:${web.address().port}/`);
  return (wanted, ...args) => page.evaluate((method, given) => window.page[method](...given), wanted, args);
}
