// Drives real browsers for tests: reads one command a line (JSON) on standard input, answers each with one line on
// standard output, `{"id", "value"}` or `{"id", "error"}`. What pages log goes to standard error. It ends, and every
// browser with it, when its standard input does.
//
//   launch      {browser: "chromium" | "firefox", args?, prefs?}       -> {version}
//   open        {page, browser, url, width?, height?, wishes?}         -> true; `page` is the name it is called by
//   reload      {page}                                                 -> true
//   resize      {page, width, height}                                  -> true
//   scheme      {page, dark}                                           -> true; which colours its window asks for
//   close       {page}                                                 -> true
//   call        {page, name, args?}                                    -> what `window.probe[name](...args)` gives
//   screenshot  {page, path, width, height}                            -> true
//   axe         {page}                                                 -> findings of axe-core that are serious or worse
//   quit        {browser}                                              -> true

import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

const probe = readFileSync(new URL('probe.js', import.meta.url), 'utf8');
// The clients of WHIP's and WHEP's authors, as published but for `export`: pages have no path to them.
const published = ['whip', 'whep'].map((name) => {
  const text = readFileSync(new URL(`node_modules/whip-whep/${name}.js`, import.meta.url), 'utf8');
  return text.replace(/^export class/m, 'class');
});
const clients = `window.published = (() => { ${published.join('\n')}\nreturn { WHIPClient, WHEPClient }; })();`;
const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const browsers = new Map();
const pages = new Map();

// The fake camera of Chromium runs at 20 frames a second unless told. Addresses instead of mDNS names, and loopback,
// because the server is on this machine and may have no other address.
const CHROMIUM = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-default-apps', '--use-fake-device-for-media-stream=fps=30',
  '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns', '--allow-loopback-in-peer-connection',
];
const FIREFOX = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
};

const LAUNCH = {
  chromium: ({ args = [] }) =>
    puppeteer.launch({ browser: 'chrome', executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true,
      args: [...CHROMIUM, ...args] }),
  firefox: ({ prefs = {} }) =>
    puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
      headless: true, extraPrefsFirefox: { ...FIREFOX, ...prefs } }),
};

const page = (name) => {
  const found = pages.get(name);
  if (!found) throw new Error(`no page ${name}`);
  return found;
};

const commands = {
  async launch({ browser, ...options }) {
    const started = await LAUNCH[browser](options);
    browsers.set(browser, started);
    return { version: await started.version() };
  },

  async open({ page: name, browser, url, width = 1280, height = 800, wishes = {} }) {
    // A window of its own: a tab behind another is hidden, and browsers save work there.
    const context = await browsers.get(browser).createBrowserContext();
    const opened = await context.newPage();
    opened.on('console', (message) => process.stderr.write(`${name}: ${message.type()}: ${message.text()}\n`));
    opened.on('pageerror', (error) => process.stderr.write(`${name}: uncaught: ${error.stack ?? error}\n`));
    await opened.setViewport({ width, height });
    await opened.evaluateOnNewDocument(`${clients}\n${probe}\nObject.assign(window.probe.wishes, ${JSON.stringify(wishes)});`);
    pages.set(name, opened);
    await opened.goto(url, { waitUntil: 'domcontentloaded', timeout: 15_000 });
    return true;
  },

  async reload({ page: name }) {
    await page(name).reload({ waitUntil: 'domcontentloaded', timeout: 15_000 });
    return true;
  },

  async resize({ page: name, width, height }) {
    await page(name).setViewport({ width, height });
    return true;
  },

  async scheme({ page: name, dark }) {
    await page(name).emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]);
    return true;
  },

  async close({ page: name }) {
    const closing = page(name);
    pages.delete(name);
    await closing.browserContext().close();
    return true;
  },

  call: ({ page: name, name: wanted, args = [] }) =>
    page(name).evaluate((asked, given) => window.probe[asked](...given), wanted, args),

  async screenshot({ page: name, path, width, height }) {
    await page(name).setViewport({ width, height });
    await page(name).screenshot({ path });
    return true;
  },

  async axe({ page: name }) {
    await page(name).evaluate(axe);
    const { violations } = await page(name).evaluate(() => window.axe.run());
    const grave = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
    return grave.map(({ id, help, nodes }) => ({ id, help, where: nodes.map((node) => `${node.html}: ${node.failureSummary}`) }));
  },

  async quit({ browser }) {
    await browsers.get(browser).close();
    browsers.delete(browser);
    return true;
  },
};

async function answer(line) {
  const { id, do: wanted, ...rest } = JSON.parse(line);
  let said;
  try {
    said = { id, value: (await commands[wanted](rest)) ?? null };
  } catch (error) {
    said = { id, error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}

async function end() {
  await Promise.allSettled([...browsers.values()].map((browser) => browser.close()));
  process.exit(0);
}

createInterface({ input: process.stdin }).on('line', answer).on('close', end);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, end);
