// The worker as a process: how it starts and ends, what it says of itself, routers.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import {
  AUDIO, LOCAL, VIDEO, assert, mediasoup, next, opus, refused, startWorker, until, vp8,
} from './common.mjs';

const exitOf = async (child) => (await once(child, 'exit'))[0];
const bin = process.env.MEDIASOUP_WORKER_BIN;
const start = (version, args = [], variables = {}) =>
  spawn(bin, args, { env: { ...process.env, ...variables, MEDIASOUP_VERSION: version }, stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] });

const worker = await startWorker();
assert.ok(worker.pid > 0);
const usage = await worker.getResourceUsage();
assert.ok(usage.ru_maxrss > 1_000 && usage.ru_utime >= 0, JSON.stringify(usage));
assert.deepEqual((await worker.dump()).routerIds, []);

const router = await worker.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const dump = await worker.dump();
assert.deepEqual([dump.pid, dump.routerIds], [worker.pid, [router.id]]);
assert.ok(dump.channelMessageHandlers.channelRequestHandlers.includes(router.id));
assert.deepEqual((await router.dump()).transportIds, []);
assert.match(readFileSync(`/proc/${worker.pid}/status`, 'utf8'), /^Seccomp:\t2$/m, 'its system calls are filtered');

// What is ignored is said, once. What is too much is refused with the number that is not.
const warned = [];
mediasoup.setLogEventListeners({ onwarn: (namespace, log) => warned.push(log) });
const plain = await router.createPlainTransport({ listenInfo: LOCAL, comedia: true });
for (const ssrc of [1, 2]) {
  await plain.produce({ kind: 'audio', rtpParameters: opus(ssrc), enableMediasoupPacketIdHeaderExtension: true });
}
await until('a line of the log', () => warned.length > 0);
assert.equal(warned.filter((line) => line.includes('enableMediasoupPacketIdHeaderExtension')).length, 1, warned.join('\n'));
const five = { kind: 'video', rtpParameters: vp8(11, 13, 15, 17, 19) };
assert.match((await refused(plain.produce(five))).message, /at most 4 encodings/);
mediasoup.setLogEventListeners(undefined);
await worker.updateSettings({ logLevel: 'debug', logTags: ['info', 'ice'] });
await worker.updateSettings({ logLevel: 'none' });
assert.equal((await refused(worker.updateSettings({ logLevel: 'loud' }))).name, 'TypeError');
router.close();
assert.deepEqual((await worker.dump()).routerIds, []);

// Closing ends the process, and whoever has not asked for it is told of its death.
const ended = next(worker, 'subprocessclose');
worker.close();
await ended;
const killed = await mediasoup.createWorker();
const died = next(killed, 'died');
process.kill(killed.pid, 'SIGKILL');
assert.match(String(await died), /SIGKILL/);

// Signals: those that close it, and those that must not.
for (const signal of ['SIGINT', 'SIGTERM']) {
  const signalled = await mediasoup.createWorker();
  process.kill(signalled.pid, 'SIGHUP');
  process.kill(signalled.pid, 'SIGUSR1');
  await signalled.dump();
  const closed = next(signalled, 'died');
  process.kill(signalled.pid, signal);
  assert.match(String(await closed), /code:0/);
}

// Exit codes: no version, another version, wrong settings; and the library's end of the channel closes.
const bare = spawn(bin, [], { env: { ...process.env, MEDIASOUP_VERSION: undefined }, stdio: 'ignore' });
assert.equal(await exitOf(bare), 41);
assert.equal(await exitOf(start('3.26.0')), 43);
assert.equal(await exitOf(start('3.27.1', ['--rtcMinPort=2000', '--rtcMaxPort=1000'])), 42);
assert.equal((await refused(mediasoup.createWorker({ rtcMinPort: 2_000, rtcMaxPort: 1_000 }))).message, 'wrong settings');
const left = start('3.27.1');
left.stdio[4].once('data', () => left.stdio[3].end());
assert.equal(await exitOf(left), 0);

// Cores: each worker runs on one of those that it may, and says what is wrong with their list.
const coresOf = (of) => readdirSync(`/proc/${of}/task`)
  .map((thread) => /Cpus_allowed_list:\s*(.*)/.exec(readFileSync(`/proc/${of}/task/${thread}/status`, 'utf8'))[1]);
const [first] = coresOf('self')[0].split(/[-,]/);
for (const list of [first, undefined]) {
  const pinned = start('3.27.1', [], list ? { CORECAST_WORKER_CORES: list } : {});
  await once(pinned.stdio[4], 'data');
  const cores = coresOf(pinned.pid).filter((one) => /^\d+$/.test(one));
  assert.ok(cores.length > 0 && (!list || cores.includes(list)), `on ${coresOf(pinned.pid)}, allowed ${list}`);
  pinned.stdio[3].end();
  assert.equal(await exitOf(pinned), 0);
}
const misplaced = start('3.27.1', [], { CORECAST_WORKER_CORES: '3-1' });
let reason = '';
misplaced.stderr.on('data', (data) => { reason += data; });
assert.equal(await exitOf(misplaced), 40);
assert.match(reason, /CORECAST_WORKER_CORES/);

// What cannot be read costs nothing but itself: an empty message, noise, one that is too long, one cut short.
const noise = start('3.27.1');
await once(noise.stdio[4], 'data');
const framed = (bytes, length = bytes.length) => {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(length);
  return Buffer.concat([prefix, bytes]);
};
for (let round = 0; round < 200; round++) {
  noise.stdio[3].write(framed(Buffer.from(Array.from({ length: round % 64 }, (_, at) => (round * 31 + at * 7) & 0xff))));
}
noise.stdio[3].write(framed(Buffer.alloc(9 * 1024 * 1024)));
noise.stdio[3].end(framed(Buffer.alloc(10), 1_000));
assert.equal(await exitOf(noise), 0);
