// Times that people in browsers notice, of a server whose URL is the first argument: `corecast-bench browsers` starts both.
// Prints a line of JSON for each thing that was measured.

import puppeteer from 'puppeteer-core';
import { build } from 'esbuild';

const [, , SERVER, given = '{}'] = process.argv;
const { publishers = 10, rounds = 10, switches = 10, beside = null, insecure = false } = JSON.parse(given);

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
    ? puppeteer.launch({ browser, executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true, acceptInsecureCerts: insecure,
      extraPrefsFirefox: FIREFOX })
    : puppeteer.launch({ browser, executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, acceptInsecureCerts: insecure,
      args: CHROMIUM });
}

/** A page of the server's own origin, with nothing on it but our script; and what closes it. */
async function open(browser, server = SERVER) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => process.stderr.write(`uncaught: ${error}\n`));
  await page.goto(`${server}/status`);
  await page.evaluate(script.text);
  const call = (method, ...args) => page.evaluate((wanted, args) => window.times[wanted](...args), method, args);
  return { call, close: () => context.close() };
}

const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
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
      // So long after the one before that its key frame is of no use to this one, and the next may be asked for.
      await rest(1_000);
      seen[way].push(await viewer.call(way, room, count));
      await viewer.close();
    }
  }
  const [whep, protoo] = [medians(seen.whep), medians(seen.protoo)];
  const ratio = (name) => Math.round((100 * protoo[name]) / whep[name]) / 100;
  console.log(JSON.stringify({ what, publishers: count, rounds, whep, protoo, ratio: { first: ratio('first'), all: ratio('all') } }));
}

/** Looks from within a page how long after the click that joins each publisher's picture is there. */
function watchTiles(count) {
  const pictures = new Set();
  window.pictures = new Promise((resolve) => {
    const note = (video) => {
      if (pictures.has(video)) return;
      pictures.add(video);
      video.requestVideoFrameCallback((at) => {
        video.firstAt = at;
        const shown = [...pictures].map(({ firstAt }) => firstAt).filter(Boolean);
        if (shown.length === count) resolve({ first: Math.min(...shown) - window.joinedAt, all: Math.max(...shown) - window.joinedAt });
      });
    };
    const look = () => document.querySelectorAll('#grid video').forEach(note);
    document.addEventListener('DOMContentLoaded', () =>
      new MutationObserver(look).observe(document.getElementById('grid'), { childList: true, subtree: true }));
  });
  document.addEventListener('click', () => { window.joinedAt ??= performance.now(); }, { capture: true });
}

/** Who only watches joins by the server's page. */
async function joinByPage(browser, server, room, count) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.evaluateOnNewDocument(watchTiles, count);
  await page.goto(`${server}/?room=${room}`);
  await page.waitForSelector('#watch', { visible: true });
  await rest(1_000);
  await page.evaluate(() => document.getElementById('watch').click());
  const times = await page.evaluate(() => window.pictures);
  await context.close();
  return times;
}

/** The page of one server, and of the other, in turn. */
async function pages(browser, count) {
  const servers = Object.entries({ page: SERVER, ...(beside ? { beside } : {}) });
  const crowds = [];
  for (const [, server] of servers) {
    const crowd = await open(browser, server);
    await crowd.call('publish', 'pages', count, SMALL);
    crowds.push(crowd);
  }
  const seen = Object.fromEntries(servers.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, server] of servers) seen[name].push(await joinByPage(browser, server, 'pages', count));
  }
  for (const crowd of crowds) await crowd.close();
  const found = Object.fromEntries(Object.entries(seen).map(([name, all]) => [name, medians(all)]));
  const ratio = (name) => Math.round((100 * found.page[name]) / found.beside[name]) / 100;
  console.log(JSON.stringify({ what: 'pages, chromium', publishers: count, rounds, ...found,
    ...(beside ? { ratio: { first: ratio('first'), all: ratio('all') } } : {}) }));
}

const chromium = await launch('chrome');
try {
  const crowd = await open(chromium);
  await crowd.call('publish', 'many', publishers, SMALL);
  await joins('join, chromium', chromium, 'many', publishers);
  await crowd.close();
  await pages(chromium, publishers);

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
