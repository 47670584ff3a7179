// Times that people in browsers notice, of a server whose URL is the first argument: `corecast-bench browsers` starts both.
// Prints a line of JSON for each thing that was measured.

import puppeteer from 'puppeteer-core';
import { build } from 'esbuild';

const [, , SERVER, given = '{}'] = process.argv;
const { publishers = 10, rounds = 10, switches = 10 } = JSON.parse(given);

const CHROMIUM = ['--no-sandbox', '--disable-gpu', '--use-fake-device-for-media-stream=fps=30', '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required', '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection'];
const FIREFOX = { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true, 'media.autoplay.default': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false };
const SMALL = { width: 320, height: 180, frameRate: 15 };
const LARGE = { width: 960, height: 540, frameRate: 30 };
const ENCODINGS = [['f', 1, 1_500_000], ['h', 2, 500_000], ['q', 4, 150_000]]
  .map(([rid, scaleResolutionDownBy, maxBitrate]) => ({ rid, scaleResolutionDownBy, maxBitrate }));

const { outputFiles: [script] } = await build({ entryPoints: ['times_page.js'], bundle: true, write: false, format: 'iife', target: 'es2022',
  define: { 'process.env.DEBUG': 'undefined' } });

async function launch(browser) {
  return browser === 'firefox'
    ? puppeteer.launch({ browser, executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true, extraPrefsFirefox: FIREFOX })
    : puppeteer.launch({ browser, executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: CHROMIUM });
}

/** A page of the server's own origin, with nothing on it but our script; and what closes it. */
async function open(browser) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => process.stderr.write(`uncaught: ${error}\n`));
  await page.goto(`${SERVER}/status`);
  await page.evaluate(script.text);
  const call = (method, ...args) => page.evaluate((wanted, args) => window.times[wanted](...args), method, args);
  return { call, close: () => context.close() };
}

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const rounded = (value) => (value === null || value === undefined ? null : Math.round(value * 10) / 10);

/** Medians of each step. */
function medians(all) {
  const names = [...new Set(all.flatMap(Object.keys))];
  return Object.fromEntries(names.map((name) =>
    [name, rounded(median(all.map((one) => one[name] ?? null).filter((value) => value !== null)))]));
}

/** Viewers one after the other, in turn by WHEP and by protoo. */
async function joins(what, browser, room, count) {
  const seen = { whep: [], protoo: [] };
  for (let round = 0; round < rounds; round++) {
    for (const way of Object.keys(seen)) {
      const viewer = await open(browser);
      seen[way].push(await viewer.call(way, room, count));
      await viewer.close();
    }
  }
  const [whep, protoo] = [medians(seen.whep), medians(seen.protoo)];
  const ratio = (name) => Math.round((100 * protoo[name]) / whep[name]) / 100;
  console.log(JSON.stringify({ what, publishers: count, rounds, whep, protoo, ratio: { first: ratio('first'), all: ratio('all') } }));
}

const chromium = await launch('chrome');
try {
  const crowd = await open(chromium);
  await crowd.call('publish', 'many', publishers, SMALL);
  await joins('join, chromium', chromium, 'many', publishers);
  await crowd.close();

  const one = await open(chromium);
  await one.call('publish', 'one', 1, SMALL);
  await joins('steps, chromium', chromium, 'one', 1);
  const firefox = await launch('firefox').catch((error) => process.stderr.write(`no Firefox: ${error}\n`));
  if (firefox !== true && firefox) {
    await joins('steps, firefox', firefox, 'one', 1).finally(() => firefox.close());
  }
  await one.close();

  const camera = await open(chromium);
  await camera.call('publish', 'layers', 1, LARGE, ENCODINGS);
  const viewer = await open(chromium);
  const { top, changes } = await viewer.call('switches', 'layers', switches, 2_500);
  const of = (name) => changes.map((one) => one[name]);
  console.log(JSON.stringify({ what: 'switches, chromium', count: changes.length, top,
    afterKeyFrame: { p50: rounded(median(of('afterKeyFrame'))), max: rounded(Math.max(...of('afterKeyFrame'))) },
    frozen: { p50: rounded(median(of('frozen'))), max: rounded(Math.max(...of('frozen'))) },
    afterAsking: { p50: rounded(median(of('afterAsking'))), max: rounded(Math.max(...of('afterAsking'))) } }));
} finally {
  await chromium.close();
}
process.exit(0);
